//! What programs read: `--report`, and the objects that `-o` prints.

use crate::bed::{Bed, idle, var};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A namespace in which a clone ends in every way, and its report without what is another one each time.
fn told(bed: &Bed, target: &str, ending: &str) -> (Value, String) {
    let path = bed.folder().join(format!("report.{ending}"));
    let all = format!("ns/{}", bed.namespace);
    let file = path.to_str().expect("UTF-8");
    bed.plugin(&["clone", &all, "--yes", "--to", target, "--report", file])
        .exits(1);
    let text = fs::read_to_string(&path).expect("a report");
    let report: Value = match ending {
        "json" => serde_json::from_str(&text).expect("JSON"),
        _ => serde_saphyr::from_str(&text).expect("YAML"),
    };
    let run = report["metadata"]["name"].as_str().expect("a run");
    let seconds = report["seconds"].to_string();
    let bytes = report["images"][1]["bytes"].to_string();
    let digest = bed.digest("DOCKER_IO", "library/busybox", "1.36");
    let shown = format!("{report:#}")
        .replace(run, "RUN")
        .replace(&seconds, "SECONDS")
        .replace(&digest.expect("in the source"), "DIGEST")
        .replace(target, "TARGET")
        .replace(&var("DOCKER_IO"), "DOCKER_IO")
        .replace(&bytes, "BYTES")
        .replace(&bed.namespace, "NS");
    (report, shown)
}

#[test]
fn a_report_has_the_fields_that_the_readme_names_and_no_others() {
    let Some(bed) = Bed::share("report", false) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    bed.apply(&idle("gone", "acme/no-such-image:1"));
    bed.apply(&idle("flux", "busybox:1.36").replace(
        "metadata: {name: flux}",
        "metadata: {name: flux, labels: {kustomize.toolkit.fluxcd.io/name: apps}}",
    ));
    bed.apply(&idle("out", "busybox:1.36").replace(
        "metadata: {name: out}",
        "metadata: {name: out, labels: {image-cloner.io/skip: 'true'}}",
    ));
    let target = bed.open_target();
    let (first, shown) = told(&bed, &target, "json");
    insta::assert_snapshot!(shown, @r#"
    {
      "apiVersion": "image-cloner.io/v1alpha1",
      "dryRun": "none",
      "exitCode": 1,
      "images": [
        {
          "error": "copying acme/no-such-image:1 to TARGET/acme/no-such-image:1: not in its registry: GET http://DOCKER_IO/v2/acme/no-such-image/manifests/1: 404 MANIFEST_UNKNOWN manifest unknown",
          "hints": [],
          "notes": [],
          "source": "docker.io/acme/no-such-image:1",
          "state": "failed",
          "target": "TARGET/acme/no-such-image:1"
        },
        {
          "bytes": BYTES,
          "digest": "DIGEST",
          "notes": [],
          "source": "docker.io/library/busybox:1.36",
          "state": "copied",
          "target": "TARGET/busybox:1.36"
        }
      ],
      "interrupted": false,
      "kind": "Run",
      "metadata": {
        "name": "RUN"
      },
      "seconds": SECONDS,
      "workloads": [
        {
          "apiVersion": "apps/v1",
          "kind": "Deployment",
          "name": "flux",
          "namespace": "NS",
          "notes": [],
          "reason": "would be reverted by Flux (apps)",
          "state": "copiedOnly"
        },
        {
          "apiVersion": "apps/v1",
          "error": "copying acme/no-such-image:1 to TARGET/acme/no-such-image:1: not in its registry: GET http://DOCKER_IO/v2/acme/no-such-image/manifests/1: 404 MANIFEST_UNKNOWN manifest unknown",
          "hints": [],
          "kind": "Deployment",
          "name": "gone",
          "namespace": "NS",
          "notes": [],
          "state": "failed"
        },
        {
          "apiVersion": "apps/v1",
          "kind": "Deployment",
          "name": "out",
          "namespace": "NS",
          "notes": [],
          "reason": "opted out by image-cloner.io/skip",
          "state": "skipped"
        },
        {
          "apiVersion": "apps/v1",
          "kind": "Deployment",
          "name": "web",
          "namespace": "NS",
          "notes": [],
          "rollout": "takes effect later: scaled to zero, when it is scaled up",
          "state": "repointed"
        }
      ]
    }
    "#);
    // again: what was done is there
    let (again, _) = told(&bed, &target, "yaml");
    let states = |report: &Value, of: &str| -> Vec<String> {
        let all = report[of].as_array().expect("a list").iter();
        all.map(|one| one["state"].as_str().expect("a state").to_owned())
            .collect()
    };
    assert_eq!(states(&again, "images"), ["failed", "present"]);
    let mut workloads = states(&again, "workloads");
    workloads.sort_unstable();
    assert_eq!(workloads, ["copiedOnly", "failed", "skipped", "unchanged"]);

    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).expect("the README");
    let (_, documented) = readme.split_once("### Reports\n").expect("the section");
    let documented = documented.split("\n#").next().expect("the section");
    let documented: BTreeSet<&str> = documented.split('`').skip(1).step_by(2).collect();
    let mut names = BTreeSet::new();
    for report in [&first, &again] {
        named(report, &mut names);
    }
    for name in names {
        assert!(
            documented.contains(name.as_str()),
            "{name} is not documented"
        );
    }
}

/// The names of all fields.
fn named(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| named(item, names)),
        Value::Object(fields) => {
            for (name, value) in fields {
                names.insert(name.clone());
                named(value, names);
            }
        }
        _ => {}
    }
}

#[test]
fn changed_objects_are_printed_as_kubectl_prints_them() {
    let Some(bed) = Bed::share("objects", false) else {
        return;
    };
    for name in ["one", "two"] {
        bed.apply(&idle(name, "busybox:1.36"));
    }
    let target = bed.open_target();
    let clone = |words: &[&str]| {
        let args = [&["clone"], words, &["--to", &target]].concat();
        bed.plugin(&args).exits(0).stdout
    };
    // one that is named is itself
    let one: Value = serde_json::from_str(&clone(&["deploy/one", "-o", "json"])).expect("JSON");
    assert_eq!(
        (&one["kind"], &one["apiVersion"]),
        (&"Deployment".into(), &"apps/v1".into())
    );
    assert_eq!(one["metadata"]["managedFields"], Value::Null);
    assert_eq!(one["spec"], bed.get("deploy/one")["spec"]);

    let restored = ["restore", "deploy/one", "deploy/two", "-o", "name"];
    bed.plugin(&restored).exits(0);
    let all = clone(&["deploy/one", "deploy/two", "-o", "yaml"]);
    let all: Value = serde_saphyr::from_str(&all).expect("YAML");
    assert_eq!(all["kind"], "List");
    let mut names: Vec<&Value> = all["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["metadata"]["name"])
        .collect();
    names.sort_by_key(|name| name.as_str());
    assert_eq!(names, ["one", "two"]);
}
