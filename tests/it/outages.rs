//! What the agent comes through: what it works with fails, and is there again. Nothing is lost, and nobody has
//! to start it again.

use crate::bed::{Agent, ApiProxy, Bed, Hold, deployment, idle, image, var};
use crate::wire::server::Registry;
use crate::wire::{MANIFEST, bytes};
use serde_json::json;
use tokio::runtime::Runtime;

const SOURCE: &str = "busybox:1.36";

/// Waits until its readiness probe fails for a reason with these words; gives all of it.
#[track_caller]
fn is_unready(bed: &Bed, agent: &Agent<'_>, words: &[&str]) -> String {
    let mut said = String::new();
    bed.until(&format!("unready: {words:?}\n{}", agent.log()), || {
        let (code, why) = agent.answers("probes", "/readyz");
        said = why;
        code == "503" && words.iter().all(|word| said.contains(word))
    });
    said
}

#[test]
fn a_new_leader_is_ready_when_it_has_listed_everything() {
    let Some(bed) = Bed::share("listing", true) else {
        return;
    };
    // another leads
    bed.apply(
        "apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: image-cloner}
spec: {holderIdentity: another, leaseDurationSeconds: 3600}
",
    );
    let proxy = ApiProxy::start();
    let hold = Hold::before(&proxy.address(), "/deployments?", 0);
    let kubeconfig = bed.kubeconfig_at(&format!("http://{}", hold.address()));
    let agent = bed.candidate_as(&kubeconfig, "one", &[]);
    agent.says(&["the lease has a new holder", "another"]);
    agent.figure("ready", "1");
    let gone = r#"{"spec":{"holderIdentity":""}}"#;
    bed.kubectl(&["patch", "lease/image-cloner", "--type=merge", "-p", gone]);
    hold.holds();
    agent.figure("leading", "1");
    let (code, why) = agent.answers("probes", "/readyz");
    let is_said = why.contains("workloads: not listed yet\n");
    assert!(code == "503" && is_said, "{code} {why}");
    hold.open();
    agent.figure("ready", "1");
}

#[test]
fn an_api_server_that_is_started_again_costs_nothing_but_time() {
    let Some(bed) = Bed::share("api-server", true) else {
        return;
    };
    let mut server = bed.api_server();
    let kubeconfig = bed.kubeconfig_at(&format!("https://{}", server.address()));
    let mut agent = bed.candidate_as(&kubeconfig, "one", &[("MAX_ROLLOUTS", "0")]);
    bed.apply(&deployment("web", &[("web", SOURCE)], &[]));
    let copy = format!("{}/{SOURCE}", bed.target());
    agent.until("deploy/web", |web| image(web) == copy);
    agent.figure("ready", "1");

    // it goes down in the middle of work
    let many: Vec<String> = (0..60)
        .map(|at| idle(&format!("idle-{at}"), SOURCE))
        .collect();
    bed.apply(&many.join("---\n"));
    server.end();
    agent.says(&["watching deployments.apps in "]);
    // what happens meanwhile is heard of later
    bed.apply(&idle("meanwhile", "nginx:1.21.4-alpine"));
    bed.kubectl(&["delete", "deploy/idle-0", "deploy/idle-59"]);
    agent.says(&["leading no more"]);
    is_unready(&bed, &agent, &["lease: "]);

    server.start();
    let other = format!("{}/nginx:1.21.4-alpine", bed.target());
    bed.until(&format!("all of them\n{}", agent.log()), || {
        let all = bed.get("deploy");
        let all = all["items"].as_array().expect("a list");
        let has = |copy: &str| all.iter().filter(|it| image(it) == copy).count();
        (has(&copy), has(&other), all.len()) == (59, 1, 60)
    });
    agent.figure("workloads", "60");
    agent.figure("ready", "1");
    bed.rolled_out("deploy/web");
    // while the API server starts it may answer late, which costs another
    let terms = agent.count(&["leading identity="]);
    assert!(terms >= 2, "{}", agent.log());
    assert_eq!(agent.count(&["deployment image cloned", SOURCE]), 1);
    agent.signal("TERM");
    assert_eq!(agent.ends(), Some(0), "{}", agent.log());
}

#[test]
fn a_target_that_is_down_for_a_while_is_waited_for_and_harms_nothing() {
    let Some(bed) = Bed::share("target-down", true) else {
        return;
    };
    let mut target = bed.registry();
    let agent = bed.agent(&[("REGISTRY", &format!("{}/prod", target.host()))]);
    let copy = |image: &str| format!("{}/prod/{image}", target.host());
    let (first, second) = (copy(SOURCE), copy("nginx:1.21.4-alpine"));
    bed.apply(&deployment("first", &[("web", SOURCE)], &[]));
    agent.until("deploy/first", |it| image(it) == first);
    bed.rolled_out("deploy/first");
    let before = bed.get("deploy/first")["metadata"]["generation"].clone();

    target.end();
    bed.apply(&deployment(
        "second",
        &[("web", "nginx:1.21.4-alpine")],
        &[],
    ));
    is_unready(&bed, &agent, &["target: logging in to ", &target.host()]);
    assert_eq!(image(&bed.get("deploy/second")), "nginx:1.21.4-alpine");
    // its copy is known, and the node has it
    bed.apply(&deployment("third", &[("web", SOURCE)], &[]));
    agent.until("deploy/third", |it| image(it) == first);
    bed.rolled_out("deploy/third");

    target.start();
    agent.until("deploy/second", |it| image(it) == second);
    bed.rolled_out("deploy/second");
    agent.figure("ready", "1");
    assert_eq!(bed.get("deploy/first")["metadata"]["generation"], before);
    bed.rolled_out("deploy/first");
}

/// An image of three layers and a bigger one, in a registry of this process; their digests. All of them are big
/// enough to be asked about: what is sent sooner than a far registry answers is not.
pub(crate) fn big_image(source: &Registry) -> (Vec<String>, String) {
    const MIB: usize = 1024 * 1024;
    let (mut digests, mut described) = (Vec::new(), Vec::new());
    for (seed, size) in [
        (1, 300),
        (2, 5 * MIB),
        (3, 5 * MIB),
        (4, 5 * MIB),
        (5, 16 * MIB),
    ] {
        let digest = source.put_blob("app", &bytes(seed, size));
        described.push(json!({"mediaType": "application/x", "digest": digest, "size": size}));
        digests.push(digest);
    }
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
                          "config": described[0], "layers": described[1..]});
    source.put_manifest("app", "1", MANIFEST, manifest.to_string().as_bytes());
    let biggest = digests.pop().expect("five");
    (digests.split_off(1), biggest)
}

#[test]
fn an_agent_that_is_killed_in_a_big_copy_sends_no_finished_layer_again() {
    let Some(bed) = Bed::share("big-copy", true) else {
        return;
    };
    let runtime = Runtime::new().expect("a runtime");
    let source = runtime.block_on(Registry::start());
    let (layers, biggest) = big_image(&source);
    let hold = Hold::before(&source.host, &format!("/blobs/{biggest}"), 8 * 1024 * 1024);
    let config = |address: &str| bed.config(&[("big.corp", address)]).display().to_string();
    bed.apply(&idle("web", "big.corp/app:1"));

    let mut agent = bed.agent(&[("CONFIG", &config(hold.address()))]);
    hold.holds();
    bed.until("all layers but the biggest", || {
        layers.iter().all(|layer| bed.times_taken(layer) == 1)
    });
    agent.signal("KILL");
    assert_eq!(agent.ends(), None);
    assert_eq!(bed.times_taken(&biggest), 0);

    let again = bed.agent(&[("CONFIG", &config(&source.host))]);
    let copy = format!("{}/big.corp/app:1", bed.target());
    again.until("deploy/web", |web| image(web) == copy);
    for layer in layers.iter().chain([&biggest]) {
        assert_eq!(
            bed.times_taken(layer),
            1,
            "{layer}\n{:#?}",
            bed.writes("TARGET")
        );
    }
    let repository = format!("{}/big.corp/app", bed.namespace);
    assert!(bed.digest("TARGET", &repository, "1").is_some());
}

#[test]
fn nodes_that_do_not_trust_the_target_cost_one_rollout_until_they_do() {
    let Some(bed) = Bed::share("distrust", true) else {
        return;
    };
    let target = bed.distrusted_registry();
    let names = ["a", "b", "c"];
    for name in names {
        bed.apply(&deployment(name, &[("web", SOURCE)], &[]));
    }
    for name in names {
        bed.rolled_out(&format!("deploy/{name}"));
    }
    // the agent trusts it, and so can push
    let config = bed.folder().join("trusting.yaml");
    let text = format!(
        "registries:\n  docker.io: {{endpoint: 'http://{}'}}\n  '{}': {{endpoint: 'https://{}', caFile: '{}'}}\n",
        var("DOCKER_IO"),
        target.host(),
        target.host(),
        target.authority().display()
    );
    std::fs::write(&config, text).expect("a file");
    let agent = bed.agent(&[
        ("CONFIG", config.to_str().expect("UTF-8")),
        ("REGISTRY", &target.host()),
    ]);
    agent.says(&["it could not pull its copy", "x509"]);
    let why = is_unready(&bed, &agent, &["nodes: "]);
    assert!(why.contains(&target.host()), "{why}");
    let generations = || -> Vec<u64> {
        let objects = bed.get("deploy");
        let objects = objects["items"].as_array().expect("a list").iter();
        let generations = objects.map(|object| {
            assert_eq!(image(object), SOURCE, "{}", agent.log());
            object["metadata"]["generation"].as_u64().expect("a number")
        });
        let mut generations: Vec<u64> = generations.collect();
        generations.sort_unstable();
        generations
    };
    assert_eq!(generations(), [1, 1, 3], "one was repointed and put back");
    for name in names {
        bed.rolled_out(&format!("deploy/{name}"));
    }

    // the nodes are told of the authority, the agent that something changed
    target.trust(true);
    agent.set("MAX_ROLLOUTS", "5");
    for name in names {
        let copy = format!("{}/{SOURCE}", target.host());
        agent.until(&format!("deploy/{name}"), |it| image(it) == copy);
        bed.rolled_out(&format!("deploy/{name}"));
    }
    agent.figure("ready", "1");
}
