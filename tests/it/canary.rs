//! `--canary`: pulls are proven before anything is changed.

use crate::bed::{Bed, Ran, deployment, var};
use std::process::Stdio;

const NOWHERE: &str = "nowhere.corp";

fn image(bed: &Bed, what: &str) -> String {
    let object = bed.get(what);
    let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
    image.as_str().expect("an image").to_owned()
}

/// Nothing of the trial is left.
fn is_tidy(bed: &Bed) {
    let pods = bed.kubectl(&[
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/component=canary",
        "-o",
        "name",
    ]);
    assert_eq!(pods, "");
}

fn nowhere(bed: &Bed, words: &[&str]) -> Ran {
    let config = bed.config(&[
        ("docker.io", &var("DOCKER_IO")),
        (NOWHERE, &var("OPEN_TARGET")),
    ]);
    bed.plugin_with(&config, &[words, &["--canary", "--to", NOWHERE]].concat())
}

#[test]
fn an_image_that_nodes_pull_is_repointed_to_and_none_of_it_was_run() {
    let Some(bed) = Bed::share("canary", true) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    let target = bed.target();
    bed.plugin(&["clone", "deploy/web", "--canary"]).exits(0);
    assert_eq!(
        image(&bed, "deploy/web"),
        format!("{target}/nginx:1.21.4-alpine")
    );
    is_tidy(&bed);
    let events = bed.get("events");
    let events = events["items"].as_array().expect("a list").iter();
    let reasons: Vec<_> = events
        .filter(|event| {
            let name = event["involvedObject"]["name"].as_str().unwrap_or_default();
            name.starts_with("image-cloner-canary-")
        })
        .map(|event| event["reason"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(reasons.contains(&"Pulled".to_owned()), "{reasons:?}");
    for reason in ["Created", "Started"] {
        assert!(!reasons.contains(&reason.to_owned()), "{reasons:?}");
    }
    assert!(
        bed.kubectl(&["get", "secrets"])
            .contains("image-cloner-pull")
    );
}

#[test]
fn a_pull_that_fails_is_shown_in_the_nodes_words_and_nothing_is_changed() {
    let Some(bed) = Bed::share("canary", true) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
    let before = bed.get("deploy/web")["spec"].clone();
    let ran = nowhere(&bed, &["clone", "deploy/web"])
        .exits(1)
        .says(&format!(
            "nothing was changed in {}: nowhere.corp/",
            bed.namespace
        ))
        .says("busybox:1.36 cannot be pulled: image-cloner-canary-")
        .says(" on testbed-node: ")
        .says("hint: testbed-node does not reach nowhere.corp");
    assert_eq!(ran.stdout, "");
    assert_eq!(bed.get("deploy/web")["spec"], before);
    is_tidy(&bed);
}

#[test]
fn a_namespace_whose_pull_secret_is_wrong_is_left_and_others_go_on() {
    let (Some(good), Some(bad)) = (Bed::share("canary", true), Bed::share("canary", true)) else {
        return;
    };
    for (bed, password) in [(&good, var("PULL_PASS")), (&bad, "wrong".to_owned())] {
        bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
        bed.target_secret("mine", &password);
    }
    let ran = good
        .plugin(&[
            "clone",
            &format!("ns/{}", good.namespace),
            &format!("ns/{}", bad.namespace),
            "--canary",
            "--pull-secret=mine",
            "--yes",
        ])
        .exits(1)
        .says(&format!("nothing was changed in {}: ", bad.namespace));
    let line = format!(
        "deployment.apps/web repointed in {}, 1/1 ready\n",
        good.namespace
    );
    assert_eq!(ran.stdout, line, "{}", ran.stderr);
    assert_eq!(image(&bad, "deploy/web"), "busybox:1.36");
    is_tidy(&good);
    is_tidy(&bad);
}

#[test]
fn a_pull_that_fails_once_fails_no_canary() {
    let Some(bed) = Bed::share("canary", true) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
    bed.target_secret("mine", "wrong");
    let plugin = bed
        .plugin_command(&["clone", "deploy/web", "--canary", "--pull-secret=mine"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    bed.a_pull_failed();
    bed.target_secret("mine", &var("PULL_PASS"));
    bed.ran(plugin.wait_with_output().expect("the plugin ends"))
        .exits(0);
    assert_eq!(
        image(&bed, "deploy/web"),
        format!("{}/busybox:1.36", bed.target())
    );
    is_tidy(&bed);
}

#[test]
fn a_pull_secret_made_for_a_pull_that_failed_goes_away_again() {
    let Some(bed) = Bed::share("canary", true) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
    // the target with its logins, under a name that nodes do not know
    let config = bed.config(&[("docker.io", &var("DOCKER_IO")), (NOWHERE, &var("TARGET"))]);
    let words = ["clone", "deploy/web", "--canary", "--to", NOWHERE];
    let mut command = bed.plugin_command(&words);
    command
        .env("IMAGE_CLONER_CONFIG", config)
        .env("IMAGE_CLONER_REGISTRY", NOWHERE);
    let ran = bed.ran(command.output().expect("the plugin starts"));
    ran.exits(1).says("cannot be pulled");
    assert!(
        !bed.kubectl(&["get", "secrets"])
            .contains("image-cloner-pull")
    );
    is_tidy(&bed);
}

#[test]
fn an_interrupt_takes_the_pods_away() {
    let Some(bed) = Bed::share("canary", true) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
    let config = bed.config(&[
        ("docker.io", &var("DOCKER_IO")),
        (NOWHERE, &var("OPEN_TARGET")),
    ]);
    let plugin = bed
        .plugin_command(&["clone", "deploy/web", "--canary", "--to", NOWHERE])
        .env("IMAGE_CLONER_CONFIG", config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    bed.until("a canary", || {
        bed.kubectl(&["get", "pods"])
            .contains("image-cloner-canary-")
    });
    let sent = std::process::Command::new("kill")
        .args(["-INT", &plugin.id().to_string()])
        .status();
    assert!(sent.expect("kill is there").success());
    bed.ran(plugin.wait_with_output().expect("the plugin ends"))
        .exits(130);
    is_tidy(&bed);
    assert_eq!(image(&bed, "deploy/web"), "busybox:1.36");
}

#[test]
fn who_may_not_create_pods_is_told_what_it_takes() {
    let Some(bed) = Bed::share("canary", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
    bed.kubectl(&["create", "serviceaccount", "weak"]);
    bed.kubectl(&[
        "create",
        "role",
        "weak",
        "--verb=get,list,patch",
        "--resource=deployments.apps,pods,serviceaccounts,secrets",
    ]);
    let account = format!("{}:weak", bed.namespace);
    bed.kubectl(&[
        "create",
        "rolebinding",
        "weak",
        "--role=weak",
        &format!("--serviceaccount={account}"),
    ]);
    let user = format!("--as=system:serviceaccount:{account}");
    let target = bed.open_target();
    bed.plugin(&["clone", "deploy/web", "--canary", "--to", &target, &user])
        .exits(1)
        .says("cannot create resource \"pods\"")
        .says("hint: --canary needs the rights to create, get and delete pods");
    assert_eq!(image(&bed, "deploy/web"), "busybox:1.36");
}
