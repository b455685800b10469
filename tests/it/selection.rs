//! What is chosen: kubectl's words, kinds, namespaces, sources, and how much is asked for many.

mod everywhere;
mod many;

use crate::bed::{Bed, deployment, idle, var};
use serde_json::{Value, json};

fn image(bed: &Bed, name: &str) -> Value {
    bed.get(name)["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

/// What a clone with these words would change, sorted.
fn chosen(bed: &Bed, words: &[&str]) -> Vec<String> {
    let args = [&["clone"], words, &["--dry-run", "-o", "name"]].concat();
    let ran = bed.plugin(&args).exits(0);
    let mut lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A StatefulSet that runs nothing.
fn stateful_set(name: &str) -> String {
    deployment(name, &[("web", "busybox:1.36")], &[])
        .replace("kind: Deployment", "kind: StatefulSet")
        .replace("replicas: 1", "replicas: 0\n  serviceName: none")
}
#[test]
fn kubectls_words_choose_what_kubectl_would() {
    let Some(bed) = Bed::share("choosing", false) else {
        return;
    };
    for name in ["a", "b", "c"] {
        bed.apply(&idle(name, "busybox:1.36"));
    }
    bed.apply(&stateful_set("s"));
    bed.kubectl(&["label", "deploy/a", "sts/s", "team=x"]);
    let namespace = format!("ns/{}", bed.namespace);
    let d = |names: &str| -> Vec<String> {
        let names = names.split(' ').map(|name| match name {
            "s" => "statefulset.apps/s".to_owned(),
            name => format!("deployment.apps/{name}"),
        });
        names.collect()
    };
    let check = |words: &[&str], expected: &str| {
        assert_eq!(chosen(&bed, words), d(expected), "{words:?}");
    };
    check(&["deploy/a", "deploy/b"], "a b");
    check(&["deploy", "a", "b"], "a b");
    check(&["deployments.apps/a"], "a");
    check(&["deployment.v1.apps/a", "sts/s"], "a s");
    check(&["deploy,sts"], "a b c s");
    check(&["all"], "a b c s");
    check(&[&namespace], "a b c s");
    check(&["-l", "team=x"], "a s");
    check(&["deploy", "-l", "team!=x"], "b c");
    check(&["deploy", "--all"], "a b c");
    check(&["--all"], "a b c s");
    check(&["all", "--kinds", "sts,deploy"], "a b c s");
    check(&[&namespace, "--kinds", "sts"], "s");
    // a type that is named is not concerned
    check(&["deploy", "--kinds", "sts"], "a b c");

    for (variable, file) in [("sts", ""), ("", "kinds: [sts]\n")] {
        let path = bed.folder().join("kinds.yaml");
        let text = std::fs::read_to_string(var("CONFIG")).expect("the bed's file");
        std::fs::write(&path, text + file).expect("a file");
        let args = ["clone", &namespace, "--dry-run", "-o", "name"];
        let mut command = bed.plugin_command(&args);
        command
            .env("IMAGE_CLONER_KINDS", variable)
            .env("IMAGE_CLONER_CONFIG", &path);
        let ran = bed.ran(command.output().expect("the plugin starts"));
        assert_eq!(ran.exits(0).stdout, "statefulset.apps/s\n", "{file}");
    }
}

#[test]
fn what_contradicts_itself_or_is_no_pattern_is_refused_with_the_word() {
    let Some(bed) = Bed::share("contradict", false) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    let namespace = format!("ns/{}", bed.namespace);
    let target = bed.target();
    for (words, said) in [
        (
            &["deploy/web", "--all"][..],
            "name \"web\" cannot be provided when --all is specified",
        ),
        (
            &["deploy/web", "--kinds", "ns"],
            "\"ns\" is no kind of workload",
        ),
        (
            &[&namespace, "--kinds", "deploi", "--dry-run"],
            "the server doesn't have a resource type \"deploi\"",
        ),
        (
            &["deploy/web", "--source", "quay.io/[a"],
            "--source \"quay.io/[a\" is not a pattern",
        ),
        (
            &["deploy/web", "--skip-namespace", "a{b"],
            "namespaces to skip: \"a{b\" is not a pattern",
        ),
        (&["deploy/web", "--from", &target], "is where --to leads"),
        (
            &["nodes/web"],
            "node is not in namespaces and has no pod template",
        ),
    ] {
        bed.plugin(&[&["clone"], words].concat())
            .exits(2)
            .says(said)
            .says("nothing was changed");
    }
    assert_eq!(image(&bed, "deploy/web"), "busybox:1.36");
}

#[test]
fn namespaces_are_skipped_by_globs_and_several_can_be_named() {
    let (Some(one), Some(two)) = (Bed::share("skips-a", false), Bed::share("skips-b", false))
    else {
        return;
    };
    for bed in [&one, &two] {
        bed.apply(&idle("web", "busybox:1.36"));
    }
    let names = [
        format!("ns/{}", one.namespace),
        format!("ns/{}", two.namespace),
    ];
    let clone = ["clone", &names[0], &names[1]];
    let both = one.plugin(&[&clone[..], &["--dry-run"]].concat()).exits(0);
    assert_eq!(
        both.stdout.matches("repointed").count(),
        2,
        "{}",
        both.stdout
    );
    let ran = one
        .plugin(&[&clone[..], &["--yes", "--skip-namespace", "*ps-b-*"]].concat())
        .exits(0)
        .says(&format!(
            "skipped     1: namespace {} is skipped",
            two.namespace
        ));
    assert!(
        ran.stdout.contains(&format!(
            "deployment.apps/web repointed in {}",
            one.namespace
        )),
        "{}",
        ran.stdout
    );
    assert_eq!(image(&two, "deploy/web"), "busybox:1.36");
}

#[test]
fn only_images_of_the_named_sources_are_cloned_and_the_others_are_counted() {
    let Some(bed) = Bed::share("origins", false) else {
        return;
    };
    let node_exporter = "quay.io/prometheus/node-exporter:v1";
    let both = [("web", "busybox:1.36"), ("side", node_exporter)];
    bed.apply(&deployment("both", &both, &[]).replace("replicas: 1", "replicas: 0"));
    bed.apply(&idle("hub", "nginx:1.21.4-alpine"));
    let namespace = format!("ns/{}", bed.namespace);
    let clone = ["clone", &namespace, "--source", "quay.io/**"];
    bed.plugin(&[&clone[..], &["--dry-run"]].concat())
        .exits(0)
        .says("left out      2  images that --source or --from does not ask for")
        .says("skipped       1  none of its images matches --source");
    let ran = bed
        .plugin(&[&clone[..], &["--yes"]].concat())
        .exits(0)
        .says("images left as they are, not asked for by --source or --from: 2");
    for line in [
        "deployment.apps/both repointed",
        "deployment.apps/hub skipped: none of its images matches --source\n",
    ] {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
    let containers = bed.get("deploy/both")["spec"]["template"]["spec"]["containers"].clone();
    assert_eq!(containers[0]["image"], "busybox:1.36");
    assert_eq!(
        containers[1]["image"],
        json!(format!("{}/{node_exporter}", bed.target()))
    );
}

#[test]
fn labels_choose_in_every_namespace() {
    let (Some(one), Some(two)) = (Bed::share("wide-a", false), Bed::share("wide-b", false)) else {
        return;
    };
    for bed in [&one, &two] {
        bed.apply(&idle("web", "busybox:1.36"));
        bed.apply(&idle("other", "busybox:1.36"));
        bed.kubectl(&["label", "deploy/web", &format!("of={}", one.namespace)]);
    }
    let labels = format!("of={}", one.namespace);
    let ran = one
        .plugin(&["clone", "-A", "-l", &labels, "--dry-run"])
        .exits(0);
    let mut lines: Vec<&str> = ran.stdout.lines().collect();
    lines.sort_unstable();
    let line = |bed: &Bed| {
        let place = &bed.namespace;
        format!("deployment.apps/web repointed in {place} (client dry run)")
    };
    assert_eq!(lines, [line(&one), line(&two)]);
}

#[test]
fn who_opted_out_is_left_and_said_so_in_the_plan_and_in_the_summary() {
    let Some(bed) = Bed::share("opted", false) else {
        return;
    };
    for name in ["in", "out"] {
        bed.apply(&idle(name, "busybox:1.36"));
    }
    bed.kubectl(&["annotate", "deploy/out", "image-cloner.io/skip=true"]);
    let namespace = format!("ns/{}", bed.namespace);
    bed.plugin(&["clone", &namespace, "--yes"])
        .exits(0)
        .says("skipped       1  opted out by image-cloner.io/skip")
        .says("skipped     1: opted out by image-cloner.io/skip");
    assert_eq!(image(&bed, "deploy/out"), "busybox:1.36");
    // named, too
    bed.plugin(&["clone", "deploy/out"]).exits(3);
    assert_eq!(image(&bed, "deploy/out"), "busybox:1.36");
}

#[test]
fn a_pinned_clone_runs_by_tag_and_digest_and_is_restored() {
    let Some(bed) = Bed::share("pins", true) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    bed.rolled_out("deploy/web");
    let ran = bed
        .plugin(&["clone", "deploy/web", "--pin", "--wait"])
        .exits(0);
    assert_eq!(ran.stdout, "deployment.apps/web repointed, 1/1 ready\n");
    let digest = bed.digest("DOCKER_IO", "library/nginx", "1.21.4-alpine");
    let digest = digest.expect("in the source");
    let pinned = format!("{}/nginx:1.21.4-alpine@{digest}", bed.target());
    assert_eq!(image(&bed, "deploy/web"), pinned);
    let repository = format!("{}/nginx", bed.namespace);
    assert_eq!(
        bed.digest("TARGET", &repository, "1.21.4-alpine"),
        Some(digest)
    );
    let again = bed.plugin(&["clone", "deploy/web", "--pin"]).exits(0);
    assert_eq!(again.stdout, "deployment.apps/web unchanged\n");
    bed.plugin(&["restore", "deploy/web"]).exits(0);
    assert_eq!(image(&bed, "deploy/web"), "nginx:1.21.4-alpine");
}

#[test]
fn kubectls_verbosity_shows_each_request_and_no_secret() {
    let Some(bed) = Bed::share("verbose", false) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    let ran = bed
        .plugin(&["clone", "deploy/web", "-v", "6"])
        .exits(0)
        .says("asked the API server")
        .says("asked a registry")
        .says("/deployments/web");
    for secret in [var("TARGET_PASS"), var("PULL_PASS")] {
        assert!(!ran.stderr.contains(&secret), "{}", ran.stderr);
    }
    let quiet = bed.plugin(&["clone", "deploy/web", "-v=0"]).exits(0);
    assert!(!quiet.stderr.contains("asked"), "{}", quiet.stderr);
}
