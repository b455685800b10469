//! What only runs elsewhere: the workflows parse, call scripts that exist, and pin what they use.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The YAML files of a folder, parsed.
fn yaml(folder: &str) -> Vec<(PathBuf, Value)> {
    let mut found: Vec<_> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yml"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let value = serde_saphyr::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, value)
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

/// Every text under one of these keys, at any depth.
fn under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == key => found.push(text),
                    _ => under(value, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| under(item, key, found)),
        _ => {}
    }
}

#[test]
fn workflows_call_scripts_that_exist() {
    let mut called = 0;
    for (path, workflow) in yaml(".github/workflows") {
        assert!(workflow["on"].is_object(), "{}", path.display());
        let mut runs = Vec::new();
        under(&workflow, "run", &mut runs);
        let words = runs.iter().flat_map(|run| run.split_whitespace());
        for word in words {
            let ours = ["krew/", "tests/", "examples/", ".ci/"];
            let is_shell = Path::new(word).extension().is_some_and(|end| end == "sh");
            let is_script = is_shell || word.starts_with(".ci/");
            if !is_script || !ours.iter().any(|folder| word.starts_with(folder)) {
                continue;
            }
            called += 1;
            let exists = Command::new("bash")
                .args(["-c", "compgen -G \"$1\" >/dev/null", "-", word])
                .current_dir(root())
                .status()
                .unwrap()
                .success();
            assert!(exists, "{}: there is no {word}", path.display());
        }
    }
    assert!(called > 3, "the scripts were not found in the workflows");
}

#[test]
fn workflows_pin_what_they_use_and_ask_for_no_more_than_reading() {
    for (path, workflow) in yaml(".github/workflows") {
        let path = path.display();
        let mut uses = Vec::new();
        under(&workflow, "uses", &mut uses);
        assert!(!uses.is_empty());
        for action in uses {
            if let Some(own) = action.strip_prefix("./") {
                assert!(root().join(own).is_file(), "{path}: there is no {own}");
                continue;
            }
            let (_, version) = action.split_once('@').expect("a version");
            let major = version.strip_prefix('v').is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            });
            let commit =
                version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(major || commit, "{path}: {action} is not pinned");
        }
        assert_eq!(
            workflow["permissions"],
            serde_json::json!({"contents": "read"}),
            "{path}: what needs more says so in its job"
        );
        assert!(workflow["on"].get("pull_request_target").is_none());
    }
}

#[test]
fn a_release_is_built_for_every_platform_after_all_tests() {
    let workflows = yaml(".github/workflows");
    let release = &workflows
        .iter()
        .find(|(path, _)| path.ends_with("release.yml"))
        .unwrap()
        .1;
    let targets: Vec<_> = release["jobs"]["build"]["strategy"]["matrix"]["include"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["target"].as_str().unwrap())
        .collect();
    let deny = fs::read_to_string(root().join("deny.toml")).unwrap();
    for target in &targets {
        assert!(deny.contains(target), "deny.toml does not look at {target}");
    }
    for (os, count) in [("-linux-musl", 2), ("-apple-darwin", 2), ("-windows-", 2)] {
        let of_os = targets.iter().filter(|target| target.contains(os));
        assert_eq!(of_os.count(), count, "{os}");
    }
    assert_eq!(
        release["jobs"]["release"]["needs"],
        serde_json::json!(["ci", "build"])
    );
}

#[test]
fn a_release_has_archives_checksums_a_bill_of_materials_and_signed_provenance() {
    let workflows = yaml(".github/workflows");
    let release = workflows
        .iter()
        .find(|(path, _)| path.ends_with("release.yml"));
    let job = &release.unwrap().1["jobs"]["release"];
    let steps = job["steps"].as_array().unwrap();
    let place = |what: &str| {
        let found = steps.iter().position(|step| {
            ["run", "uses"]
                .iter()
                .any(|key| step[*key].as_str().is_some_and(|text| text.contains(what)))
        });
        found.unwrap_or_else(|| panic!("no step with {what}"))
    };
    // package.sh writes the archives, SHA256SUMS and krew's manifest into dist/
    let order = [
        place("krew/package.sh \"${args[@]}\""),
        place("-sbom.json\" dist/"),
        place("actions/attest-build-provenance@"),
        place("gh release create"),
        place("cp dist/image-cloner.yaml krew/image-cloner.yaml"),
    ];
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(steps[order[2]]["with"]["subject-path"], "dist/*");
    for right in ["id-token", "attestations", "contents"] {
        assert_eq!(job["permissions"][right], "write", "{right}");
    }
    let published = steps[order[3]]["run"].as_str().unwrap();
    assert!(published.trim_end().ends_with(" dist/*"), "{published}");
}

#[test]
fn the_licences_and_advisories_are_looked_at_on_every_push() {
    let workflows = yaml(".github/workflows");
    let ci = &workflows
        .iter()
        .find(|(path, _)| path.ends_with("ci.yml"))
        .unwrap()
        .1;
    assert!(ci["on"]["push"].is_object() && ci["on"].get("pull_request").is_some());
    for (job, what) in [
        ("tests", "bash .ci/run"),
        ("scripts", "bash tests/shellcheck.sh"),
        ("dependencies", "EmbarkStudios/cargo-deny-action@"),
    ] {
        let steps = ci["jobs"][job]["steps"].to_string();
        assert!(steps.contains(what), "{job} lacks {what}");
    }
}

#[test]
fn issue_forms_have_what_a_form_needs() {
    for (path, form) in yaml(".github/ISSUE_TEMPLATE") {
        if path.ends_with("config.yml") {
            continue;
        }
        for key in ["name", "description", "body"] {
            assert!(!form[key].is_null(), "{}: {key}", path.display());
        }
    }
}

#[test]
fn the_text_of_a_release_is_its_part_of_the_changelog() {
    let notes = |tag: &str| {
        Command::new("bash")
            .arg(root().join("krew/notes.sh"))
            .arg(tag)
            .output()
            .unwrap()
    };
    let output = notes("Unreleased");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("### Added"),
        "{text}"
    );
    assert!(!text.contains("\n## "), "{text}");
    let output = notes("v99.0.0");
    assert!(!output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("\"## 99.0.0\"")
    );
}
