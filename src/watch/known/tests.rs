use super::*;
use crate::target::Layout;
use serde_json::json;
use std::collections::BTreeMap;

fn target() -> TargetRegistry {
    TargetRegistry::parse("reg.corp", Layout::Mirror).unwrap()
}

/// A workload in `shop` was observed.
fn observes(known: &Known, namespace_opted_out: bool) {
    let object = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}},
    });
    let kind = Kind::from_word("deploy").unwrap();
    let observed = Observed {
        workload: Workload::from_object(&kind, &object).unwrap(),
        running: BTreeMap::new(),
        account_pull_secrets: Some(Vec::new()),
        pull_credentials: PullCredentials::None,
        named: false,
        namespace_opted_out,
    };
    known.observed(&target(), &observed);
}

fn known(are_watched: bool) -> Known {
    let known = Known::asked();
    known.about(&target());
    known.watch_namespaces(are_watched);
    known
}

#[test]
fn a_namespace_that_was_seen_is_not_one_that_was_observed() {
    let known = known(true);
    known.namespace("shop", false);
    assert_eq!(known.opted_out("shop"), Some(false));
    assert!(!known.is_observed("shop"));
    observes(&known, false);
    assert!(known.is_observed("shop"));
    assert!(known.account_pull_secrets("shop", "default").is_some());
    known.forget_namespace("shop");
    assert!(!known.is_observed("shop"));
    assert_eq!(known.account_pull_secrets("shop", "default"), None);
}

#[test]
fn an_opt_out_stays_known_while_its_namespace_is_watched_and_there() {
    let watched = known(true);
    watched.namespace("shop", true);
    watched.forget_namespace("shop");
    assert_eq!(watched.opted_out("shop"), Some(true));
    watched.namespace_gone("shop");
    assert_eq!(watched.opted_out("shop"), None);
    // where nobody would tell that it is gone
    let unwatched = known(false);
    observes(&unwatched, true);
    unwatched.forget_namespace("shop");
    assert_eq!(unwatched.opted_out("shop"), None);
}

#[test]
fn the_watch_of_namespaces_has_the_last_word_on_who_opted_out() {
    let known = known(true);
    observes(&known, false);
    assert_eq!(known.opted_out("shop"), Some(false), "before it tells");
    assert!(known.namespace("shop", true), "it is news");
    observes(&known, false);
    assert_eq!(known.opted_out("shop"), Some(true));
    // it may not be watched any more
    known.watch_namespaces(false);
    observes(&known, false);
    assert_eq!(known.opted_out("shop"), Some(false));
}

#[test]
fn whoever_may_have_one_digest_may_not_therefore_have_the_next() {
    let known = known(true);
    let copy = Reference::parse("reg.corp/nginx:1").unwrap();
    let digest = |hex: &str| format!("sha256:{}", hex.repeat(64)).parse::<Digest>();
    let (old, new) = (digest("1").unwrap(), digest("2").unwrap());
    let lab = || Reader::Namespace("lab".to_owned());
    known.complete(&copy, &old, [Reader::Anyone, lab()]);
    assert_eq!(known.copy_for("shop", &copy), Some(old.clone()));
    // the same once more
    known.complete(&copy, &old, [lab()]);
    assert_eq!(known.copy_for("shop", &copy), Some(old.clone()));
    known.complete(&copy, &new, [lab()]);
    assert_eq!(known.copy_for("shop", &copy), None);
    assert_eq!(known.copy_for("lab", &copy), Some(new.clone()));
    // those for whom it was brought are gone
    known.complete(&copy, &old, []);
    assert_eq!(known.copy_for("lab", &copy), None);
}
