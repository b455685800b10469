//! The help and the manual: every verb, in eighty columns, with examples.

use super::Home;
use std::fs;

/// Every verb with its help.
fn verbs(home: &Home) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut verbs: Vec<Vec<String>> = vec![vec![]];
    while let Some(verb) = verbs.pop() {
        let words: Vec<&str> = verb.iter().map(String::as_str).collect();
        let (code, help) = home.run(&[&words[..], &["--help"]].concat());
        assert_eq!(code, 0, "{verb:?}");
        let listed = help
            .split_once("Commands:\n")
            .map(|(_, rest)| rest.to_owned());
        let listed = listed.unwrap_or_default();
        let below: Vec<&str> = listed
            .lines()
            .take_while(|line| !line.is_empty())
            // what is set further in goes on with the line before
            .filter_map(|line| {
                line.strip_prefix("  ")
                    .filter(|line| !line.starts_with(' '))
            })
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .collect();
        for name in below {
            verbs.push([&verb[..], &[name.to_owned()]].concat());
        }
        found.push((verb, help));
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

#[test]
fn every_verb_helps_in_eighty_columns_and_shows_examples() {
    for (verb, help) in verbs(&Home::new()) {
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{verb:?}: {line}");
        }
        assert!(verb.is_empty() || help.contains("Examples:"), "{verb:?}");
    }
}

#[test]
fn the_options_of_a_clone_stand_under_what_they_are_about() {
    let home = Home::new();
    let (code, help) = home.run(&["clone", "--help"]);
    assert_eq!(code, 0);
    let (_, options) = help.split_once("Options:").unwrap();
    let (options, _) = options.split_once("Connection").unwrap();
    let mut told = String::from("Options:");
    for line in options.lines() {
        let long = line.split_whitespace().find(|word| word.starts_with("--"));
        match (line.find('-'), long) {
            // what is further in explains an option
            (Some(2 | 6), Some(long)) => {
                told += " ";
                told += long.split_once('[').map_or(long, |(name, _)| name);
            }
            _ if line.ends_with(':') => told.extend(["\n", line]),
            _ => {}
        }
    }
    insta::assert_snapshot!(told, @r"
    Options: --all-namespaces --selector --all --kinds --skip-namespace --source --interactive --to --from --dry-run --yes --output --report --help
    How images are copied: --layout --concurrency --platform --foreign-layers --referrers --resolve
    How workloads are changed: --copy-only --pin --owned --pull-secret --share-credentials
    How rollouts go: --batch --restore-on-failure --canary --wait --timeout
    Manifest files: --filename --recursive --write --no-copy
    ");
}

#[test]
fn manual_pages_are_written_for_every_verb() {
    let home = Home::new();
    let folder = home.path().join("man");
    let (code, said) = home.run(&["man", "--dir", folder.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    let page = fs::read_to_string(folder.join("kubectl-image_cloner-config-set.1")).unwrap();
    assert!(
        page.contains(".TH kubectl-image_cloner-config-set 1"),
        "{page}"
    );
    assert!(page.contains("kubectl image\\-cloner config set"), "{page}");
    let verbs = verbs(&home);
    for (verb, _) in &verbs {
        let name = [&["kubectl-image_cloner".to_owned()], &verb[..]].concat();
        let page = folder.join(format!("{}.1", name.join("-")));
        assert!(page.exists(), "{}", page.display());
    }
    let pages = fs::read_dir(&folder).unwrap().count();
    assert_eq!(pages, verbs.len());
}
