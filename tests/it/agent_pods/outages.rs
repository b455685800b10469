//! What the agent comes through as a pod: it is killed, or what it works with fails and is there again.

use super::{SYSTEM, Turn, kill};
use crate::bed::{Cable, Hold, deployment, idle};
use crate::outages::big_image;
use crate::wire::server::Registry;
use tokio::runtime::Runtime;

const SOURCE: &str = "busybox:1.36";
const OTHER: &str = "nginx:1.21.4-alpine";

/// The agent is killed in the middle of a big copy, while it has other work.
fn killed_in_a_copy(name: &str, replicas: &str) {
    let Some(mut turn) = Turn::take(name) else {
        return;
    };
    let runtime = Runtime::new().expect("a runtime");
    let source = runtime.block_on(Registry::start());
    let (layers, biggest) = big_image(&source);
    let of = format!("/blobs/{biggest}");
    let hold = Hold::for_pods(&source.host, &of, 8 * 1024 * 1024);
    let address = hold.address().to_owned();
    turn.sources.push(("big.corp".to_owned(), address));
    turn.install(&["--secrets", "all", "--replicas", replicas])
        .exits(0);
    let bed = &turn.bed;
    let work = [("big", "big.corp/app:1"), ("small", SOURCE)];
    let names = |kind: &str| {
        (0..5)
            .map(move |at| format!("{kind}-{at}"))
            .collect::<Vec<_>>()
    };
    let apply = |(kind, image): (&str, &str)| {
        let all = names(kind).into_iter().map(|name| idle(&name, image));
        bed.apply(&all.collect::<Vec<_>>().join("---\n"));
    };
    apply(work[0]);
    hold.holds();
    bed.until("all layers but the biggest", || {
        layers.iter().all(|layer| bed.times_taken(layer) == 1)
    });
    let (before, leader) = (turn.holder(), turn.leader());
    apply(work[1]);
    kill(&leader);
    hold.open();

    for (kind, image) in work {
        for name in names(kind) {
            let what = format!("deploy/{name}");
            turn.becomes(&what, &turn.copy(image));
            // as it was made, and one patch
            assert_eq!(turn.generation(&what), 2, "{name}");
        }
    }
    for layer in layers.iter().chain([&biggest]) {
        assert_eq!(
            bed.times_taken(layer),
            1,
            "{layer}\n{:#?}",
            bed.writes("TARGET")
        );
    }
    assert_ne!(turn.holder(), before);
    assert!(
        bed.digest("TARGET", &format!("{}/big.corp/app", bed.namespace), "1")
            .is_some()
    );
}

#[test]
fn a_pod_that_is_killed_in_a_copy_goes_on_where_it_was() {
    killed_in_a_copy("pod-killed", "1");
}

#[test]
fn of_two_pods_the_one_that_leads_is_killed_in_a_copy_and_nothing_is_lost() {
    killed_in_a_copy("leader-killed", "2");
}

#[test]
fn a_pod_whose_api_server_is_started_again_loses_nothing_and_goes_on() {
    let Some(turn) = Turn::take("pod-api-server") else {
        return;
    };
    let bed = &turn.bed;
    let mut server = bed.api_server();
    let cable = Cable::for_pods(server.address());
    turn.install(&["--secrets", "all", "--set", "MAX_ROLLOUTS=0"])
        .exits(0);
    let (host, port) = cable.address().split_once(':').expect("a port");
    let host = format!("KUBERNETES_SERVICE_HOST={host}");
    let port = format!("KUBERNETES_SERVICE_PORT={port}");
    let agent = "deploy/image-cloner";
    bed.kubectl(&["-n", SYSTEM, "set", "env", agent, &host, &port]);
    bed.kubectl(&["-n", SYSTEM, "rollout", "status", agent, "--timeout=120s"]);
    bed.apply(&deployment("web", &[("web", SOURCE)], &[]));
    turn.becomes("deploy/web", &turn.copy(SOURCE));
    bed.rolled_out("deploy/web");

    // it goes down in the middle of work
    let many = (0..60).map(|at| idle(&format!("idle-{at}"), SOURCE));
    bed.apply(&many.collect::<Vec<_>>().join("---\n"));
    server.end();
    // before the kubelet takes it for unready it leads no more
    turn.is_unready(&["lease: "]);
    bed.apply(&idle("meanwhile", OTHER));
    bed.kubectl(&["delete", "deploy/idle-0", "deploy/idle-59"]);
    turn.says(&["leading no more"]);

    server.start();
    turn.becomes("deploy/meanwhile", &turn.copy(OTHER));
    for at in 1..59 {
        let what = format!("deploy/idle-{at}");
        turn.becomes(&what, &turn.copy(SOURCE));
        assert_eq!(turn.generation(&what), 2, "{what}");
    }
    turn.is_ready();
    // by itself
    let pods = turn.own("pods");
    let pod = &pods["items"][0]["status"]["containerStatuses"][0];
    assert_eq!(pod["restartCount"], 0, "{pods:#}");
}

#[test]
fn a_target_that_is_down_for_a_while_is_waited_for_by_the_pod_that_came_from_it() {
    let Some(mut turn) = Turn::take("pod-target-down") else {
        return;
    };
    let mut target = turn.bed.registry_with(&["users"]);
    let cable = Cable::for_pods(target.address());
    turn.target = format!("{}/prod", target.host());
    turn.endpoint = format!("http://{}", cable.address());
    turn.install(&["--secrets", "all"]).exits(0);
    let bed = &turn.bed;
    bed.apply(&deployment("first", &[("web", SOURCE)], &[]));
    turn.becomes("deploy/first", &turn.copy(SOURCE));
    bed.rolled_out("deploy/first");
    let before = turn.generation("deploy/first");

    target.end();
    bed.apply(&deployment("second", &[("web", OTHER)], &[]));
    turn.is_unready(&["target: logging in to ", &target.host()]);
    assert_eq!(turn.image("deploy/second"), OTHER);

    target.start();
    turn.becomes("deploy/second", &turn.copy(OTHER));
    bed.rolled_out("deploy/second");
    turn.is_ready();
    assert_eq!(turn.generation("deploy/first"), before);
}

#[test]
fn nodes_that_no_longer_trust_the_target_cost_one_rollout_and_the_pod_says_so() {
    let Some(mut turn) = Turn::take("pod-distrust") else {
        return;
    };
    let target = turn.bed.registry_with(&["tls", "users"]);
    target.trust(true);
    let cable = Cable::for_pods(target.address());
    turn.target = target.host();
    turn.endpoint = format!("https://{}", cable.address());
    let config = turn.bed.folder().join("trusting.yaml");
    let authority = target.authority().display().to_string();
    let text = format!(
        "registries: {{'{}': {{caFile: '{authority}'}}}}\n",
        target.host()
    );
    std::fs::write(&config, text).expect("a file");
    turn.config = Some(config);
    turn.install(&["--secrets", "all"]).exits(0);

    // its own image is there by now
    target.trust(false);
    let bed = &turn.bed;
    let names = ["a", "b", "c"];
    let all = names.map(|name| deployment(name, &[("web", SOURCE)], &[]));
    bed.apply(&all.join("---\n"));
    turn.says(&["it could not pull its copy", "x509"]);
    turn.is_unready(&["nodes: nothing is repointed", &target.host()]);
    for name in names {
        bed.rolled_out(&format!("deploy/{name}"));
        assert_eq!(turn.image(&format!("deploy/{name}")), SOURCE);
    }
    let mut generations = names.map(|name| turn.generation(&format!("deploy/{name}")));
    generations.sort_unstable();
    assert_eq!(generations, [1, 1, 3], "one was repointed and put back");

    // who begins anew waits for nothing that was before
    target.trust(true);
    let agent = "deploy/image-cloner";
    bed.kubectl(&["-n", SYSTEM, "rollout", "restart", agent]);
    for name in names {
        turn.becomes(&format!("deploy/{name}"), &turn.copy(SOURCE));
        bed.rolled_out(&format!("deploy/{name}"));
    }
    turn.is_ready();
}
