//! What is written down of the agent's objects: the examples, and the README's table of its rights.
//!
//! `UPDATE_EXAMPLES=1` writes them anew.

use image_cloner::install::{self, Extra, Place, Rule, Scope, Secrets, Settings};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// What the examples are: the agent for everything, with the registry of the demo.
fn example() -> Settings {
    let config = [
        ("IMAGE_CLONER_REGISTRY", "localhost:5000"),
        (
            "IMAGE_CLONER_REGISTRY_ENDPOINT",
            "http://image-cloner-registry:5000",
        ),
    ];
    Settings {
        image: format!(
            "localhost:5000/{}:v{}",
            install::REPOSITORY,
            env!("CARGO_PKG_VERSION")
        ),
        architectures: BTreeSet::new(),
        replicas: 1,
        config: config
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        // a password is no example: `make cr.login` gives the agent one
        login: BTreeMap::new(),
        pull_secret: None,
        secrets: Secrets::None,
        extras: BTreeSet::new(),
    }
}

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Compares a file with what it should be, or writes it.
#[track_caller]
fn is(name: &str, expected: &str) {
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        std::fs::write(file(name), expected).unwrap();
    }
    let actual = std::fs::read_to_string(file(name)).unwrap_or_default();
    assert_eq!(actual, expected, "{name}: UPDATE_EXAMPLES=1 writes it anew");
}

#[test]
fn the_examples_are_what_install_agent_makes() {
    let settings = example();
    assert_eq!(settings.scope(), Scope::Everything);
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for object in install::objects(&settings) {
        let file = match object["kind"].as_str().unwrap() {
            "Namespace" => "examples/namespace.yml",
            "ServiceAccount" | "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding" => {
                "examples/rbac.yml"
            }
            _ => "examples/image-cloner.yml",
        };
        let text = serde_saphyr::to_string(&object).unwrap();
        files.entry(file).or_default().push(text);
    }
    assert_eq!(files.len(), 3);
    for (name, documents) in files {
        let text = format!(
            "# As `kubectl image-cloner install-agent --dry-run=client -o yaml` prints it.\n{}",
            documents.join("---\n")
        );
        is(name, &text);
    }
}

#[test]
fn the_readme_says_what_each_right_is_for() {
    let mut settings = example();
    let kinds = ("IMAGE_CLONER_KINDS", "deploy,sts,ds,cj");
    let platform = ("IMAGE_CLONER_PLATFORM", "cluster");
    for (key, value) in [kinds, platform] {
        settings.config.insert(key.to_owned(), value.to_owned());
    }
    settings.secrets = Secrets::All;
    settings.extras = [Extra::Webhook].into();
    let mut table = "| where | what | may | for |\n|---|---|---|---|\n".to_owned();
    for rule in install::rules(&settings) {
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} |",
            place(rule.place),
            what(&rule),
            rule.verbs.join(", "),
            rule.why
        );
    }
    let readme = std::fs::read_to_string(file("README.md")).unwrap();
    let start = "<!-- rights: tests/it/agent_objects.rs writes this table -->\n";
    let (before, rest) = readme.split_once(start).expect("the table's place");
    let (_, after) = rest.split_once("<!-- /rights -->").expect("its end");
    is(
        "README.md",
        &format!("{before}{start}{table}<!-- /rights -->{after}"),
    );
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Work => "where it works",
        Place::Cluster => "cluster",
        Place::Own => "its own namespace",
        Place::Secrets => "`--secrets`",
    }
}

fn what(rule: &Rule) -> String {
    let mut text = rule.resources.join(", ");
    if !rule.names.is_empty() {
        let _ = write!(text, " `{}`", rule.names.join("`, `"));
    }
    text
}

/// The objects of an example that was written.
fn objects_of(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(file(name)).unwrap();
    let documents = text.split("---\n");
    documents
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

#[test]
fn the_examples_hold_no_right_to_secrets() {
    let objects = objects_of("examples/rbac.yml");
    let rules = objects
        .iter()
        .filter_map(|role| role["rules"].as_array())
        .flatten();
    assert!(
        rules
            .into_iter()
            .all(|rule| !rule["resources"].to_string().contains("secrets"))
    );
}
