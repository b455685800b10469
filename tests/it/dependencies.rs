//! What the crate depends on: the part of `deny.toml` that can be held without cargo-deny, whose run in CI
//! also knows the advisories.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

fn file(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What stands in the brackets of `key = [...]` in deny.toml.
fn list(key: &str) -> String {
    let text = file("deny.toml");
    let (_, rest) = text
        .split_once(&format!("\n{key} = [\n"))
        .unwrap_or_else(|| panic!("no list {key} in deny.toml"));
    let (inside, _) = rest.split_once("\n]").expect("the end of the list");
    let lines = inside.lines().filter(|line| !line.trim().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// The texts after `crate = ` in a list.
fn crates(key: &str) -> BTreeSet<String> {
    list(key)
        .split("crate = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// What cargo tells of this crate on the platforms of deny.toml, asking nobody else. Nothing where it lacks
/// crates that only other platforms build.
fn cargo(args: &[&str], platform: &str) -> Option<String> {
    let targets = list("targets");
    let targets = targets
        .lines()
        .map(|line| line.trim().trim_matches([',', '"']));
    let output = Command::new(env!("CARGO"))
        .args(args)
        .args(targets.map(|target| format!("{platform}={target}")))
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && stderr.contains("--offline was specified") {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{stderr}");
        eprintln!("skipped: crates of other platforms are not here: cargo fetch --locked");
        return None;
    }
    assert!(output.status.success(), "{stderr}");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

/// The packages that a released program may have, as `cargo metadata` tells of them.
fn packages() -> Option<Vec<Value>> {
    let text = cargo(&["metadata", "--format-version=1"], "--filter-platform")?;
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    Some(metadata["packages"].as_array().expect("a list").clone())
}

/// Whether an SPDX expression (or the older `A/B`) can be met with what is allowed.
fn met(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let text = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(" WITH ", "+WITH+");
    let mut words = text.split_whitespace().peekable();
    any(&mut words, allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = true;
    loop {
        met &= match words.next().expect("a licence") {
            "(" => {
                let inside = any(words, allowed);
                assert_eq!(words.next(), Some(")"));
                inside
            }
            licence => allowed(&licence.replace("+WITH+", " WITH ")),
        };
        if words.next_if_eq(&"AND").is_none() {
            return met;
        }
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_has_them() {
    let allowed = |licence: &str| matches!(licence, "MIT" | "ISC" | "A WITH B");
    for yes in [
        "MIT",
        "GPL-3.0 OR MIT",
        "Unlicense/MIT",
        "(GPL-3.0 OR MIT) AND ISC",
        "A WITH B",
        "GPL-3.0 AND X OR ISC",
    ] {
        assert!(met(yes, &allowed), "{yes}");
    }
    for no in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND X",
        "A",
        "X OR MIT AND X",
    ] {
        assert!(!met(no, &allowed), "{no}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed = list("allow");
    let allowed: BTreeSet<_> = allowed
        .lines()
        .map(|line| line.trim().trim_matches([',', '"']))
        .collect();
    let exceptions = list("exceptions");
    let Some(packages) = packages() else {
        return;
    };
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none");
        let excepted = |licence: &str| {
            exceptions.lines().any(|line| {
                line.contains(&format!("crate = \"{name}\""))
                    && line.contains(&format!("\"{licence}\""))
            })
        };
        assert!(
            met(licence, &|one| allowed.contains(one) || excepted(one)),
            "{name}: {licence} is not in deny.toml"
        );
    }
}

#[test]
fn no_banned_crate_and_no_foreign_source_is_in_the_lock_file() {
    let banned = crates("deny");
    assert!(banned.contains("aws-lc-rs") && banned.contains("openssl"));
    for package in file("Cargo.lock").split("[[package]]").skip(1) {
        let field = |key: &str| {
            let line = package
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{key} = ")));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        let name = field("name").expect("a name");
        assert!(!banned.contains(&name), "{name} is banned by deny.toml");
        let source = field("source");
        if name != env!("CARGO_PKG_NAME") {
            assert_eq!(
                source.as_deref(),
                Some("registry+https://github.com/rust-lang/crates.io-index"),
                "{name} comes from elsewhere"
            );
        }
    }
}

#[test]
fn a_second_version_of_a_crate_has_a_reason() {
    let skipped = crates("skip");
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let tree = ["tree", "--duplicates", "--depth=0", "--prefix=none"];
    let Some(tree) = cargo(&tree, "--target") else {
        return;
    };
    for line in tree.lines() {
        if let Some((name, version)) = line.split_once(" v") {
            let version = version.split(' ').next().expect("a word");
            versions
                .entry(name.to_owned())
                .or_default()
                .insert(version.to_owned());
        }
    }
    for (name, versions) in versions {
        let unexplained: Vec<_> = versions
            .iter()
            .filter(|version| {
                !skipped.iter().any(|skip| {
                    let (crate_name, begin) = skip.split_once('@').expect("name@version");
                    crate_name == name
                        && (version.as_str() == begin || version.starts_with(&format!("{begin}.")))
                })
            })
            .collect();
        assert!(
            unexplained.len() <= 1,
            "{name} is there as {versions:?}: say why in deny.toml, or have one"
        );
    }
    for line in list("skip").lines() {
        assert!(line.contains("reason = \""), "no reason: {line}");
    }
}
