//! The naming rule over all references: nothing collides, everything parses, cloned stays cloned.

use image_cloner::reference::Reference;
use image_cloner::target::{Layout, TargetRegistry};
use proptest::prelude::*;
use std::collections::HashMap;

/// Hosts, few and alike, so that near collisions come up often.
fn host() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("localhost".to_owned()),
        Just("docker.io".to_owned()),
        Just("index.docker.io".to_owned()),
        "[ab]\\.[ab]",
        "[ab]-[ab]\\.io",
    ];
    let port = prop_oneof![Just(String::new()), ":[12]"];
    (name, port).prop_map(|(name, port)| name + &port)
}

/// Path components that look like hosts, joints or Docker Hub's defaults.
fn component() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]",
        "[ab](\\.|_|__|-|--)[ab12]",
        "[ab]\\.[ab]__[12]",
        Just("localhost".to_owned()),
        Just("localhost__1".to_owned()),
        Just("library".to_owned()),
        Just("docker.io".to_owned()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(component(), 1..4).prop_map(|path| path.join("/"))
}

fn suffix() -> impl Strategy<Value = String> {
    let tag = prop_oneof![Just(String::new()), ":[a_][b.-]?"];
    let digest = prop_oneof![
        Just(String::new()),
        "[ab]{64}".prop_map(|hex| format!("@sha256:{hex}"))
    ];
    (tag, digest).prop_map(|(tag, digest)| tag + &digest)
}

fn reference() -> impl Strategy<Value = Reference> {
    let host = prop_oneof![Just(String::new()), host().prop_map(|host| host + "/")];
    (host, path(), suffix()).prop_filter_map("not a reference", |(host, path, suffix)| {
        Reference::parse(&format!("{host}{path}{suffix}")).ok()
    })
}

fn target() -> impl Strategy<Value = TargetRegistry> {
    let prefix = prop_oneof![
        Just(String::new()),
        path().prop_map(|path| format!("/{path}"))
    ];
    let layout = prop_oneof![Just(Layout::Mirror), Just(Layout::Flat)];
    (host(), prefix, layout).prop_filter_map("not a target", |(host, prefix, layout)| {
        TargetRegistry::parse(&format!("{host}{prefix}"), layout).ok()
    })
}

/// Other references that a reader of a target's path might take it for.
fn other_readings(path: &str) -> Vec<Reference> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let texts = [
        path.to_owned(),
        path.replacen("docker.io/", "", 1),
        format!("docker.io/{path}"),
        format!("docker.io/library/{path}"),
        format!("docker.io/{}", path.replacen("library/", "", 1)),
        format!("{}/{rest}", first.replacen("__", ":", 1)),
        format!("{}/{rest}", first.replacen('-', ":", 1)),
        format!("{}/{rest}", first.replacen(['-', '_'], ".", 1)),
        path.replacen('-', "/", 1),
        path.replacen('/', "-", 1),
    ];
    texts
        .iter()
        .filter_map(|text| Reference::parse(text).ok())
        .collect()
}

proptest! {
    #[test]
    fn print_and_parse_are_inverse(reference in reference()) {
        for text in [reference.to_string(), reference.familiar()] {
            let again = Reference::parse(&text).unwrap();
            prop_assert_eq!(&again, &reference);
            prop_assert_eq!(again.to_string(), reference.to_string());
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}|[a-z0-9A-Z.:/@_\\[\\]-]{0,40}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
        }
    }

    #[test]
    fn no_two_sources_share_a_target(
        target in target(),
        sources in prop::collection::vec(reference(), 2..60),
    ) {
        let mut names = HashMap::new();
        for source in sources.into_iter().filter(|source| !target.holds(source)) {
            let name = target.name(&source).unwrap();
            if let Some(other) = names.insert(name.clone(), source.clone()) {
                prop_assert_eq!(other, source, "both are {}", name);
            }
        }
    }

    #[test]
    fn no_reading_of_a_target_leads_to_another_source(target in target(), source in reference()) {
        prop_assume!(!target.holds(&source));
        let name = target.name(&source).unwrap();
        let base = target.prefix().map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let path = name.repository().strip_prefix(&base).unwrap();
        for other in other_readings(path) {
            let other = other.with(source.tag(), source.digest());
            if other != source && !target.holds(&other) {
                prop_assert_ne!(&target.name(&other).unwrap(), &name, "{} too", other);
            }
        }
    }

    #[test]
    fn every_target_parses_under_the_oci_grammar(target in target(), source in reference()) {
        let name = target.name(&source).unwrap();
        prop_assert_eq!(&Reference::parse(&name.to_string()).unwrap(), &name);
        prop_assert_eq!(name.registry(), target.host());
        prop_assert_eq!(name.tag(), source.tag());
        prop_assert_eq!(name.digest(), source.digest());
        // a second opinion
        let other = oci_client::Reference::try_from(name.to_string()).unwrap();
        prop_assert_eq!(other.registry(), name.registry());
        prop_assert_eq!(other.repository(), name.repository());
    }

    #[test]
    fn the_cloned_is_held_and_stays_as_it_is(target in target(), source in reference()) {
        let name = target.name(&source).unwrap();
        prop_assert!(target.holds(&name));
        prop_assert_eq!(&target.name(&name).unwrap(), &name);
    }

    #[test]
    fn a_flat_name_is_one_component(host in host(), prefix in path(), source in reference()) {
        let target = TargetRegistry::parse(&format!("{host}/{prefix}"), Layout::Flat).unwrap();
        prop_assume!(!target.holds(&source));
        let name = target.name(&source).unwrap();
        let path = name.repository().strip_prefix(&format!("{prefix}/")).unwrap();
        prop_assert!(!path.contains('/'));
    }
}
