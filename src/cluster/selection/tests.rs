use super::*;

fn shown(kind: &Type) -> String {
    match kind {
        Type::Known(kind) => kind.plural.clone(),
        Type::Word(word) => format!("{word}?"),
    }
}

/// A selection in short: `deployments/web`, `ns/prod`, `deployments,pods`.
fn parse(words: &str, all: bool, labels: Option<&str>) -> Result<(Vec<String>, bool), String> {
    let words: Vec<String> = words
        .split(' ')
        .filter(|w| !w.is_empty())
        .map(str::to_owned)
        .collect();
    let selection = Selection::parse(&words, all, labels).map_err(|error| error.message)?;
    let items = selection.items().iter().map(|item| match item {
        Item::Named { kind, name } => format!("{}/{name}", shown(kind)),
        Item::Seen(id) => format!("{}/{id}", id.namespace),
        Item::Namespace(name) => format!("ns/{name}"),
        Item::Everything => "everything".to_owned(),
        Item::Kinds(kinds) => {
            let plurals: Vec<String> = kinds.iter().map(shown).collect();
            plurals.join(",")
        }
    });
    Ok((items.collect(), selection.is_broad()))
}

#[test]
fn kubectls_forms_are_understood() {
    let check = |words: &str, all: bool, labels: Option<&str>, expected: &str, broad: bool| {
        let expected = expected.split(' ').map(str::to_owned).collect();
        assert_eq!(parse(words, all, labels), Ok((expected, broad)), "{words}");
    };
    check("deploy/web", false, None, "deployments/web", false);
    check(
        "deploy/web sts/db",
        false,
        None,
        "deployments/web statefulsets/db",
        false,
    );
    check(
        "deployment web api",
        false,
        None,
        "deployments/web deployments/api",
        false,
    );
    check(
        "deploy,sts web",
        false,
        None,
        "deployments/web statefulsets/web",
        false,
    );
    check(
        "Deployments.apps/web",
        false,
        None,
        "deployments/web",
        false,
    );
    check(
        "rollouts.argoproj.io/web",
        false,
        None,
        "rollouts.argoproj.io?/web",
        false,
    );
    check("Rollout web", false, None, "rollout?/web", false);
    check("deploy,rollout", false, None, "deployments,rollout?", true);
    check("all,rollout", false, None, "everything rollout?", true);
    check("ns/a ns/b", false, None, "ns/a ns/b", true);
    check("po", false, None, "pods", true);
    check("deploy,po,deploy", false, None, "deployments,pods", true);
    check("deploy", true, Some("app=web"), "deployments", true);
    check("ns/prod", false, None, "ns/prod", true);
    check("ns/prod", false, Some("app=web"), "ns/prod", true);
    check(
        "namespaces prod stage",
        false,
        None,
        "ns/prod ns/stage",
        true,
    );
    check(
        "namespace/prod deploy/web",
        false,
        None,
        "ns/prod deployments/web",
        true,
    );
    check("all", false, None, "everything", true);
    check("", true, None, "everything", true);
    check("", false, Some("app=web"), "everything", true);
}

#[test]
fn a_slip_in_a_type_is_answered_with_the_right_one() {
    assert_eq!(hint("deployent"), "did you mean deployment?");
    assert_eq!(hint("deploymnets"), "did you mean deployments?");
    assert_eq!(hint("StatfulSet"), "did you mean statefulset?");
    assert_eq!(hint("namspace"), "did you mean namespace?");
    assert_eq!(hint("deploi"), "did you mean deploy?");
    assert!(hint("service").starts_with("known: deploy, "));
}

#[test]
fn contradictions_are_refused_in_kubectls_words() {
    let check = |words: &str, all: bool, labels: Option<&str>, expected: &str| {
        let error = parse(words, all, labels).unwrap_err();
        assert!(error.contains(expected), "{words}: {error}");
    };
    check("", false, None, "nothing is selected");
    check("", false, Some(""), "nothing is selected");
    check(
        "a?b/web",
        false,
        None,
        "the server doesn't have a resource type \"a?b\"",
    );
    check(
        "deploy web sts/db",
        false,
        None,
        "no need to specify a resource type",
    );
    check("deploy/web/x", false, None, "more than one slash");
    check("deploy,sts/web", false, None, "a single resource and name");
    check("deploy/", false, None, "a single resource and name");
    check("deploy/web", true, None, "by name across all namespaces");
    check("deploy web", true, None, "by name across all namespaces");
    check("ns/prod", true, None, "by name across all namespaces");
    check(
        "deploy/web",
        false,
        Some("a=b"),
        "when a selector is specified",
    );
    check("deploy a?b", false, None, "invalid resource name \"a?b\"");
    check("deploy/..", false, None, "invalid resource name");
    check("ns", false, None, "\"ns\" alone selects no workloads");
    check("all web", false, None, "cannot be combined with the name");
}

#[test]
fn kinds_say_what_everything_means_and_leave_what_is_named() {
    let everything = |kinds: &str| -> Result<Vec<String>, SelectionError> {
        let kinds: Vec<String> = kinds.split_terminator(',').map(str::to_owned).collect();
        let all = Selection::parse(&[], true, None)?.among(&kinds)?;
        Ok(all.everything().iter().map(shown).collect())
    };
    assert_eq!(
        everything("deploy,sts,deploy,rollout").unwrap(),
        ["deployments", "statefulsets", "rollout?"]
    );
    assert_eq!(everything("").unwrap(), everything("all").unwrap());
    assert_eq!(
        everything("ns").unwrap_err().message,
        "\"ns\" is no kind of workload"
    );
    let named = Selection::parse(&["sts".to_owned()], false, None).unwrap();
    assert_eq!(
        named.clone().among(&["deploy".to_owned()]).unwrap().items(),
        named.items()
    );
}

#[test]
fn all_says_what_a_bare_type_says_and_contradicts_names_and_labels() {
    let all = |words: &str, labels: Option<&str>| {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let selection = Selection::parse(&words, false, labels)?;
        selection.clone().all().map(|all| all == selection)
    };
    assert_eq!(all("deploy", None), Ok(true));
    assert_eq!(all("ns/prod", None), Ok(true));
    let error = |words, labels| all(words, labels).unwrap_err().message;
    assert_eq!(
        error("deploy/web", None),
        "name \"web\" cannot be provided when --all is specified"
    );
    assert_eq!(
        error("deploy", Some("a=b")),
        "the selector \"a=b\" cannot be provided when --all is specified"
    );
}
