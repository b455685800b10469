//! `status` after everything that can happen to an image.

use crate::bed::{Bed, Ran, deployment, idle, var};
use serde_json::Value;

const NGINX: &str = "nginx:1.21.4-alpine";

/// The images of a run with `-o json`, each in short: image, state, note.
fn rows(ran: &Ran) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let document: Value = serde_json::from_str(&ran.stdout).expect("a document");
    assert_eq!(document["kind"], "Status");
    let images = document["images"].as_array().expect("images");
    let row = |image: &Value| {
        (
            text(&image["image"]),
            text(&image["state"]),
            text(&image["note"]),
        )
    };
    images.iter().map(row).collect()
}

/// How many questions about this test's manifests a registry has answered.
fn reads(bed: &Bed, registry: &str) -> usize {
    let log = std::fs::read_to_string(var(&format!("{registry}_LOG"))).expect("an access log");
    let manifests = format!("/{}/", bed.namespace);
    log.lines()
        .filter(|line| line.contains(&manifests) && line.contains("/manifests/"))
        .filter(|line| line.contains("\" 200 "))
        .count()
}

#[track_caller]
fn is(ran: &Ran, expected: &[(&str, &str, &str)]) {
    let rows = rows(ran);
    let rows: Vec<(&str, &str, &str)> = rows
        .iter()
        .map(|(image, state, note)| (image.as_str(), state.as_str(), note.as_str()))
        .collect();
    assert_eq!(rows, expected, "{}", ran.stdout);
}

#[track_caller]
fn status(bed: &Bed, code: i32) -> Ran {
    bed.plugin(&["status", "-o", "json", "--exit-code"])
        .exits(code)
}

/// Deletes a manifest in the target by the registry's own API.
fn delete(bed: &Bed, repository: &str, tag: &str) {
    let repository = format!("{}/{repository}", bed.namespace);
    let digest = bed.digest("TARGET", &repository, tag).expect("it is there");
    bed.delete("TARGET", &format!("{repository}/manifests/{digest}"));
}

#[test]
fn the_truth_is_told_after_a_clone_an_edit_and_a_restore() {
    let Some(bed) = Bed::share("truth", false) else {
        return;
    };
    bed.apply(&idle("web", NGINX));
    is(&status(&bed, 3), &[(NGINX, "external", "-")]);

    bed.plugin(&["clone", "deploy/web"]).exits(0);
    is(&status(&bed, 0), &[(NGINX, "cloned", "-")]);

    bed.kubectl(&["set", "image", "deploy/web", "web=nginx:1.21.5-alpine"]);
    is(
        &status(&bed, 3),
        &[("nginx:1.21.5-alpine", "changed", "was nginx:1.21.4-alpine")],
    );

    bed.plugin(&["clone", "deploy/web"]).exits(0);
    is(&status(&bed, 0), &[("nginx:1.21.5-alpine", "cloned", "-")]);

    bed.plugin(&["restore", "deploy/web"]).exits(0);
    let restored = "restored, and no image has changed since: name it to clone it again";
    is(
        &status(&bed, 0),
        &[("nginx:1.21.5-alpine", "external", restored)],
    );
    // named, nothing is left out by a rule
    let named = bed.plugin(&["status", "deploy/web", "-o", "json", "--exit-code"]);
    is(
        &named.exits(3),
        &[("nginx:1.21.5-alpine", "external", "copied")],
    );
}

#[test]
fn a_rollback_is_told_from_what_was_never_cloned() {
    let Some(bed) = Bed::share("rollback", true) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", NGINX)], &[]));
    bed.rolled_out("deploy/web");
    bed.plugin(&["clone", "deploy/web", "--wait"]).exits(0);
    is(&status(&bed, 0), &[(NGINX, "cloned", "-")]);

    // takes the record with it
    bed.kubectl(&["rollout", "undo", "deploy/web"]);
    bed.rolled_out("deploy/web");
    let back = "clone undone";
    is(&status(&bed, 3), &[(NGINX, "changed", back)]);

    bed.kubectl(&["rollout", "undo", "deploy/web"]);
    bed.rolled_out("deploy/web");
    is(&status(&bed, 0), &[(NGINX, "cloned", "-")]);

    // an old manifest applied again leaves the record
    bed.apply(&deployment("web", &[("web", NGINX)], &[]));
    bed.rolled_out("deploy/web");
    is(&status(&bed, 3), &[(NGINX, "changed", back)]);
}

#[test]
fn copies_sources_and_registries_go_missing_each_in_their_own_way() {
    let Some(bed) = Bed::share("lost", false) else {
        return;
    };
    // of its own, so that it can be moved and deleted
    let source = |tag: &str| format!("{}/{}/src:{tag}", var("OPEN_TARGET"), bed.namespace);
    for (tag, image) in [("1", NGINX), ("2", NGINX)] {
        bed.plugin(&["copy", image, "--as", &source(tag)]).exits(0);
    }
    bed.apply(&idle("one", &source("1")));
    bed.apply(&idle("two", &source("2")));
    bed.apply(&idle("three", "busybox:1.36"));
    bed.plugin(&["clone", "deploy", "--yes"]).exits(0);
    let sound: &[_] = &[
        ("busybox:1.36", "cloned", "-"),
        (&source("1"), "cloned", "-"),
        (&source("2"), "cloned", "-"),
    ];
    is(&status(&bed, 0), sound);
    let asked = || ["OPEN_TARGET", "TARGET"].map(|registry| reads(&bed, registry));
    let before = asked();
    bed.plugin(&["status"]).exits(0).says("3 images: 3 cloned");
    let after = asked();
    assert_eq!([after[0] - before[0], after[1] - before[1]], [2, 3]);

    // :1 moves to another image, :2 goes with the manifest that both had
    let repository = format!("{}/src", bed.namespace);
    let old = bed
        .digest("OPEN_TARGET", &repository, "2")
        .expect("it is there");
    bed.plugin(&["copy", "nginx:1.21.5-alpine", "--as", &source("1")])
        .exits(0);
    bed.delete("OPEN_TARGET", &format!("{repository}/manifests/{old}"));
    delete(&bed, "busybox", "1.36");
    let now = bed
        .digest("OPEN_TARGET", &repository, "1")
        .expect("it moved");
    let lost: &[_] = &[
        ("busybox:1.36", "missing-in-target", "-"),
        (&source("1"), "moved", &format!("now {}", &now[7..15])),
        (&source("2"), "source-gone", "-"),
    ];
    is(&status(&bed, 3), lost);
    let external = bed
        .plugin(&["status", "--external", "--exit-code"])
        .exits(3);
    assert_eq!(external.stdout, "");
    let lines = bed.plugin(&["status", "-o", "refs"]).exits(0).stdout;
    let target = bed.target();
    assert!(
        lines.contains(&format!(
            "docker.io/library/busybox:1.36 {target}/busybox:1.36 -\n"
        )),
        "{lines}"
    );

    // nobody listens there
    let config = bed.config(&[
        ("docker.io", "127.0.0.1:9"),
        (&var("TARGET"), "127.0.0.1:9"),
    ]);
    let ran = bed
        .plugin_with(&config, &["status", "-o", "json", "--exit-code"])
        .exits(1);
    let states: Vec<String> = rows(&ran).into_iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, ["unknown"; 3]);
    for (_, _, note) in rows(&ran) {
        assert!(note.starts_with(&format!("{}: ", var("TARGET"))), "{note}");
    }
}

#[test]
fn what_a_registry_does_not_tell_is_said_in_a_word_and_once_in_full() {
    let Some(bed) = Bed::share("untold", false) else {
        return;
    };
    bed.apply(&idle("web", NGINX));
    bed.apply(&idle("api", "busybox:1.36"));
    bed.plugin(&["clone", "deploy", "--yes"]).exits(0);
    // as an operator would have it who lost his password, and a source that is away
    bed.kubectl(&["delete", "secret", "image-cloner-pull"]);
    let config = bed.config(&[("docker.io", "127.0.0.1:9")]);
    for (password, expected) in [
        (var("TARGET_PASS"), "cloned, source not checked"),
        ("wrong".to_owned(), "unknown, refused"),
    ] {
        let run = |args: &[&str]| {
            let mut command = bed.plugin_command(args);
            command
                .env("IMAGE_CLONER_CONFIG", &config)
                .env("IMAGE_CLONER_PASS", &password);
            bed.ran(command.output().expect("the plugin starts"))
        };
        let ran = run(&["status"]).exits(0);
        for line in ran.stdout.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (state, note) = (words[1], words[4..].join(" "));
            assert!(
                format!("{state}, {note}").starts_with(expected),
                "{}",
                ran.stdout
            );
            assert!(line.chars().count() <= 80, "{line}");
        }
        let said = format!("note: {}: refused for 2 images: HEAD ", var("TARGET"));
        let hint = format!("hint: kubectl image-cloner login {}", var("TARGET"));
        for text in [&said, &hint] {
            let times = ran.stderr.matches(text).count();
            assert_eq!(times, usize::from(password == "wrong"), "{}", ran.stderr);
        }
        let ran = run(&["verify"]);
        let times = ran.stderr.matches(&hint).count();
        assert_eq!(times, usize::from(password == "wrong"), "{}", ran.stderr);
    }
}

#[test]
fn a_sidecar_that_no_template_names_is_seen_in_its_pods() {
    let Some(bed) = Bed::share("sidecar", false) else {
        return;
    };
    bed.apply(&idle("web", NGINX));
    bed.plugin(&["clone", "deploy/web"]).exits(0);
    let uid = bed.kubectl(&["get", "deploy/web", "-o", "jsonpath={.metadata.uid}"]);
    let copy = format!("{}/{NGINX}", bed.target());
    // as an injector's webhook makes it; no ReplicaSet takes it for its own and no scheduler runs it
    bed.apply(&format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: web-injected
  labels: {{app: web}}
  ownerReferences:
  - {{apiVersion: apps/v1, kind: Deployment, name: web, uid: {uid}, controller: true}}
spec:
  schedulerName: nobody
  containers:
  - {{name: web, image: '{copy}'}}
  - {{name: proxy, image: 'quay.io/prometheus/node-exporter:v1'}}
"
    ));
    is(
        &status(&bed, 3),
        &[
            (
                "quay.io/prometheus/node-exporter:v1",
                "external",
                "injected",
            ),
            (NGINX, "cloned", "-"),
        ],
    );
    let table = bed
        .plugin(&["status"])
        .exits(0)
        .says("2 images: 1 cloned, 1 external");
    each_form_says_the_same(&bed, &table, &copy);
    insta::assert_snapshot!(table.stdout, @r#"
    IMAGE                                STATE     DIGEST    USED  NOTE
    quay.io/prometheus/node-exporter:v1  external  06dd5346     1  injected
    nginx:1.21.4-alpine                  cloned    bcd1eb35     1
    "#);
}

/// What the other forms of an output say of a sidecar and a copy, which the table has.
fn each_form_says_the_same(bed: &Bed, table: &Ran, copy: &str) {
    let show = |args: &[&str]| bed.plugin(&[&["status"], args].concat()).exits(0).stdout;
    let (_, rows) = table.stdout.split_once('\n').expect("titles");
    let words = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        lines.map(words).collect()
    };
    // without titles there may be less room to leave
    assert_eq!(words(&show(&["--no-headers"])), words(rows));
    let external = show(&["--external", "--no-headers"]);
    assert_eq!(words(&external), words(rows)[..1]);

    let document: Value = serde_json::from_str(&show(&["-o", "json"])).expect("a document");
    let yaml: Value = serde_saphyr::from_str(&show(&["-o", "yaml"])).expect("a document");
    assert_eq!(yaml, document);
    let [sidecar, cloned] = [&document["images"][0], &document["images"][1]];
    assert_eq!(cloned["target"], copy);
    assert_eq!(cloned["workloads"][0]["name"], "web");
    assert_eq!((&sidecar["pods"], &cloned["pods"]), (&1.into(), &1.into()));

    let wide = words(&show(&["-o", "wide"]));
    let titles = [
        "IMAGE", "COPY", "STATE", "DIGEST", "USED", "PODS", "SIZE", "NOTE",
    ];
    assert_eq!(wide[0], titles);
    let digest = cloned["digest"].as_str().expect("a digest");
    assert_eq!(wide[2][..6], [NGINX, copy, "cloned", digest, "1", "1"]);
    assert!(cloned["bytes"].as_u64() > Some(1_000_000), "{cloned}");
    assert_eq!(wide[2][7], "MB", "{wide:?}");
}
