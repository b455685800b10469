//! At work: the seed, two of it, many at once, and a namespace that it may not look into.

use super::{SYSTEM, Turn};
use crate::bed::{Bed, deployment, idle};
use serde_json::Value;
use std::fs::{self, File};

#[test]
fn an_applied_deployment_is_cloned_kept_and_given_back() {
    let Some(turn) = Turn::take("agent") else {
        return;
    };
    let bed = &turn.bed;
    let installed = turn
        .install(&["--secrets", "all", "--set", "MAX_ROLLOUTS=3"])
        .exits(0)
        .says("the agent runs");
    assert!(
        installed
            .stdout
            .contains("deployment.apps/image-cloner created")
    );
    let pods = bed.kubectl(&["-n", SYSTEM, "get", "pods", "-o", "json"]);
    let pods: Value = serde_json::from_str(&pods).unwrap();
    let image = pods["items"][0]["spec"]["containers"][0]["image"]
        .as_str()
        .unwrap();
    let own = format!("{}/image-cloner.internal/agent:v", bed.target());
    assert!(
        image.starts_with(&own) && image.contains("@sha256:"),
        "{image}"
    );

    // the seed: the example as it is, in a namespace of this test's own
    let example = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/deploy-nginx.yml"
    ));
    bed.apply(&example.unwrap().replace("demo-system", &bed.namespace));
    let copy = format!("{}/nginx:1.21.4-alpine", bed.target());
    turn.becomes("deploy/nginx", &copy);
    bed.rolled_out("deploy/nginx");
    let running = bed.kubectl(&[
        "get",
        "pods",
        "-o",
        "jsonpath={.items[*].spec.containers[*].image}",
    ]);
    assert!(running.contains(&copy), "{running}");

    // looked at again, it is left alone
    let generation = || bed.get("deploy/nginx")["metadata"]["generation"].as_u64();
    let before = generation().unwrap();
    let writes = bed.writes("TARGET").len();
    let looks = || {
        let log = turn.log();
        let looks = log
            .lines()
            .filter(|line| line.contains("image already cloned") && line.contains(&copy));
        looks.count()
    };
    bed.until("a look after its rollout", || looks() > 0);
    let before_it = looks();
    // a change that plans look at, and none of its spec
    bed.kubectl(&["label", "deploy/nginx", "image-cloner.io/skip=true"]);
    bed.kubectl(&["label", "deploy/nginx", "image-cloner.io/skip-"]);
    bed.until("another look", || looks() > before_it);
    assert_eq!(generation(), Some(before));
    assert_eq!(bed.writes("TARGET").len(), writes);

    // installed again, nothing changes; with a flag, that alone does
    let again = turn.install(&[]).exits(0).says("nothing changes");
    assert!(
        !again.stdout.contains("configured") && !again.stdout.contains("created"),
        "{}",
        again.stdout
    );
    let again = bed
        .plugin(&[
            "install-agent",
            "--set",
            "MAX_ROLLOUTS=4",
            "--agent-binary",
            &turn.binary.display().to_string(),
        ])
        .exits(0)
        .says("configmap/image-cloner-config: IMAGE_CLONER_MAX_ROLLOUTS 3 -> 4");
    assert!(
        again
            .stdout
            .contains("deployment.apps/image-cloner unchanged"),
        "{}",
        again.stdout
    );
    // the kubelet brings it to the pod, which goes on
    turn.says(&["settings changed"]);
    let status = turn.status();
    assert!(
        status.contains("ready      1/1") && status.contains("paused     no"),
        "{status}"
    );
    // which is asked for no longer than a person likes to wait
    bed.until("the agent's version", || {
        let version = bed.plugin(&["version"]).exits(0).stdout;
        version.contains("\nagent   v")
    });

    // held, it begins nothing
    bed.plugin(&["agent", "pause"]).exits(0);
    assert!(turn.status().contains("paused     yes"));
    bed.until("the pause to be seen", || turn.figure("paused") == 1);
    let seen = turn.figure("workloads");
    bed.apply(&deployment("held", &[("web", "busybox:1.36")], &[]));
    bed.until("another workload to be seen", || {
        turn.figure("workloads") > seen
    });
    bed.rolled_out("deploy/held");
    assert_eq!(turn.image("deploy/held"), "busybox:1.36");
    let written = bed.writes("TARGET");
    assert!(
        !written.iter().any(|line| line.contains("/busybox/")),
        "{written:?}"
    );
    let followed = bed.folder().join("followed.log");
    let mut follow = bed.plugin_command(&["agent", "logs", "-f", "--tail", "1"]);
    follow.stdout(File::create(&followed).unwrap());
    let mut follow = follow.spawn().unwrap();
    let read = || fs::read_to_string(&followed).unwrap();
    bed.until("the log's last line", || !read().is_empty());
    bed.plugin(&["agent", "resume"]).exits(0);
    turn.becomes("deploy/held", &format!("{}/busybox:1.36", bed.target()));
    bed.until("what it did in the log that is followed", || {
        let log = read();
        let mut lines = log.lines();
        lines.any(|line| line.contains("reference updated") && line.contains("\"held\""))
    });
    follow.kill().unwrap();
    follow.wait().unwrap();

    // and put back with the rest
    bed.plugin(&["uninstall-agent", "--restore", "--yes"])
        .exits(0);
    assert_eq!(turn.image("deploy/nginx"), "nginx:1.21.4-alpine");
    let left = bed.kubectl(&["get", "role,rolebinding", "-o", "name"]);
    assert!(!left.contains("image-cloner"), "{left}");
    let namespace = bed.kubectl(&[
        "get",
        "namespace",
        SYSTEM,
        "--ignore-not-found",
        "-o",
        "name",
    ]);
    assert_eq!(namespace, "");
    bed.plugin(&["agent", "status"])
        .exits(1)
        .says("there is no agent");
}

/// Whether the API server has a Deployment of this image made as one of its copy.
fn is_repointed_on_creation(bed: &Bed, image: &str) -> bool {
    let file = bed.folder().join("probe.yaml");
    std::fs::write(&file, deployment("probe", &[("web", image)], &[])).unwrap();
    let file = file.display().to_string();
    let made = bed.kubectl(&["create", "--dry-run=server", "-o", "yaml", "-f", &file]);
    made.contains(&format!("{}/{image}", bed.target()))
}

#[test]
fn of_two_pods_one_works_and_answers_the_api_server_and_the_other_takes_over() {
    let Some(turn) = Turn::take("two-pods") else {
        return;
    };
    let bed = &turn.bed;
    // API servers before 1.21 give namespaces no such label
    let own = format!("kubernetes.io/metadata.name={}", bed.namespace);
    bed.kubectl(&["label", "--overwrite", "namespace", &bed.namespace, &own]);
    turn.install(&["--secrets", "all", "--webhook", "--replicas", "2"])
        .exits(0);
    // a machine under load may take longer than is well for a cluster
    let patient = r#"[{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 10}]"#;
    let configuration = "mutatingwebhookconfiguration/image-cloner-webhook";
    bed.kubectl(&["patch", configuration, "--type=json", "-p", patient]);
    let asked = || {
        let selector = "image-cloner.io/leader=true";
        bed.kubectl(&["-n", SYSTEM, "get", "pods", "-l", selector, "-o", "name"])
    };

    // the first one of an image is the loop's, each further one the webhook's
    let nginx = "nginx:1.21.4-alpine";
    bed.apply(&deployment("first", &[("web", nginx)], &[]));
    turn.becomes("deploy/first", &format!("{}/{nginx}", bed.target()));
    bed.until("the API server asks the pod", || {
        is_repointed_on_creation(bed, nginx)
    });
    let leader = turn.leader();
    assert_eq!(asked(), format!("pod/{leader}\n"));
    bed.apply(&deployment("second", &[("web", nginx)], &[]));
    let second = bed.get("deploy/second");
    let image = &second["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(*image, format!("{}/{nginx}", bed.target()));
    bed.rolled_out("deploy/second");
    assert_eq!(bed.get("deploy/second")["metadata"]["generation"], 1);

    // held, neither of the two changes anything
    bed.plugin(&["agent", "pause"]).exits(0);
    bed.until("the webhook is held", || {
        !is_repointed_on_creation(bed, nginx)
    });
    bed.plugin(&["agent", "resume"]).exits(0);
    bed.until("the webhook is held no longer", || {
        is_repointed_on_creation(bed, nginx)
    });

    // the pod goes, and there is work meanwhile
    bed.kubectl(&["-n", SYSTEM, "delete", "pod", &leader, "--wait=false"]);
    bed.apply(&deployment("third", &[("web", "busybox:1.36")], &[]));
    bed.until("another leader", || {
        let now = turn.leader();
        !now.is_empty() && now != leader
    });
    turn.becomes("deploy/third", &format!("{}/busybox:1.36", bed.target()));
    bed.rolled_out("deploy/third");
    bed.until("the API server asks the other pod", || {
        is_repointed_on_creation(bed, "busybox:1.36")
    });
    assert_eq!(asked(), format!("pod/{}\n", turn.leader()));
    for (name, generation) in [("first", 2), ("second", 1), ("third", 2)] {
        let object = bed.get(&format!("deploy/{name}"));
        assert_eq!(object["metadata"]["generation"], generation, "{name}");
    }
}

#[test]
fn many_at_once_converge_although_the_agent_is_killed_and_some_are_deleted() {
    const COUNT: usize = 500;
    let Some(turn) = Turn::take("many-at-once") else {
        return;
    };
    let bed = &turn.bed;
    turn.install(&["--secrets", "all", "--set", "MAX_ROLLOUTS=0"])
        .exits(0);
    let all = (0..COUNT).map(|at| idle(&format!("idle-{at}"), "busybox:1.36"));
    bed.apply(&all.collect::<Vec<_>>().join("---\n"));
    // in the middle of it the agent is killed, and work taken away
    let copy = format!("{}/busybox:1.36", bed.target());
    let cloned = || {
        let all = bed.get("deploy");
        let items = all["items"].as_array().unwrap();
        let image = "/spec/template/spec/containers/0/image";
        let cloned = items
            .iter()
            .filter(|item| item.pointer(image).unwrap() == copy.as_str());
        (cloned.count(), items.len())
    };
    bed.until("the first", || cloned().0 > 0);
    bed.kubectl(&[
        "-n",
        SYSTEM,
        "delete",
        "pod",
        "-l",
        "app=image-cloner",
        "--grace-period=0",
        "--force",
    ]);
    bed.kubectl(&["delete", "deploy/idle-499", "deploy/idle-0", "--wait=false"]);
    // as long as it gets on: how fast is for the benchmark to say
    let mut left = COUNT;
    while left > 0 {
        bed.until(&format!("less to do than {left}"), || {
            let (cloned, all) = cloned();
            let is_less = all - cloned < left;
            left = left.min(all - cloned);
            is_less
        });
    }
    bed.until("two of them gone", || cloned() == (COUNT - 2, COUNT - 2));
}

#[test]
fn a_namespace_in_which_the_agent_may_nothing_stops_no_other() {
    let Some(turn) = Turn::take("no-rights") else {
        return;
    };
    let bed = &turn.bed;
    let other = format!("{}-shut", bed.namespace);
    bed.kubectl(&["create", "namespace", &other]);
    let namespaces = format!("{},{other}", bed.namespace);
    turn.install(&["--secrets", "all", "--namespaces", &namespaces])
        .exits(0);
    let (binding, all) = ("rolebinding/image-cloner-role-binding", "app=image-cloner");
    bed.kubectl(&["-n", &other, "delete", binding]);
    // what it watches already it is not asked for again
    bed.kubectl(&["-n", SYSTEM, "delete", "pod", "-l", all]);
    turn.is_unready(&["workloads: watching deployments.apps in", &other]);
    bed.apply(&idle("idle", "busybox:1.36"));
    turn.becomes("deploy/idle", &turn.copy("busybox:1.36"));
    bed.kubectl(&["delete", "namespace", &other, "--wait=false"]);
}
