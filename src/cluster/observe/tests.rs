use super::*;
use serde_json::json;

fn workload(kind: &str, namespace: &str, name: &str, controller: Option<&str>) -> Workload {
    let kind = Kind::from_word(kind).unwrap();
    let mut object = json!({"metadata": {"namespace": namespace, "name": name}});
    if let Some(controller) = controller {
        object["metadata"]["ownerReferences"] =
            json!([{"kind": controller, "name": "x", "controller": true}]);
    }
    match kind.pod_spec() {
        "/spec" => object["spec"] = json!({"containers": []}),
        _ => object["spec"] = json!({"template": {"spec": {"containers": []}}}),
    }
    Workload::from_object(&kind, &object).unwrap()
}

fn shown(found: &Found) -> Vec<String> {
    let line = |found: &FoundWorkload| {
        let id = &found.workload.id;
        let mark = if found.named { " named" } else { "" };
        format!("{} {id}{mark}", id.namespace)
    };
    found.workloads.iter().map(line).collect()
}

#[test]
fn broad_items_are_sorted_named_ones_stay_and_nothing_comes_twice() {
    let list = |workloads| {
        let listed = Listed {
            workloads,
            ..Listed::default()
        };
        Answer::List(2, Ok(listed))
    };
    let named = |name| {
        let workload = workload("deploy", "a", name, None);
        Answer::One("a".to_owned(), Ok(Box::new(workload)))
    };
    let answers = vec![
        named("z"),
        named("b"),
        list(vec![
            workload("deploy", "b", "web", None),
            workload("deploy", "a", "z", None),
            workload("deploy", "a", "c", None),
        ]),
        list(vec![workload("sts", "a", "db", None)]),
        named("c"),
    ];
    assert_eq!(
        shown(&assemble(answers, false)),
        [
            "a deployment.apps/z named",
            "a deployment.apps/b named",
            "a deployment.apps/c named",
            "a statefulset.apps/db",
            "b deployment.apps/web",
        ]
    );
}

#[test]
fn a_missing_namespace_is_said_once() {
    let absent = |name: &str| Err(Error::NotFound(name.to_owned()));
    let answers = vec![
        Answer::Namespace("gone".to_owned(), absent("gone").map(|()| false)),
        Answer::One("gone".to_owned(), absent("web").map(|()| unreachable!())),
        Answer::One("there".to_owned(), absent("api").map(|()| unreachable!())),
    ];
    let found = assemble(answers, false);
    let missing: Vec<String> = found.missing.iter().map(Error::to_string).collect();
    assert_eq!(missing, ["gone", "api"]);
}

#[test]
fn what_a_builtin_controller_makes_is_noise_and_what_an_operator_makes_is_not() {
    let check = |controller: Option<&str>, expected: bool| {
        let pod = workload("pod", "a", "web", controller);
        assert_eq!(is_controlled(&pod), expected, "{controller:?}");
    };
    check(None, false);
    check(Some("ReplicaSet"), true);
    check(Some("Job"), true);
    check(Some("Prometheus"), false);
    check(Some("Node"), false);
}

#[test]
fn a_broad_selection_lists_each_kind_once_in_its_namespace() {
    let words = ["ns/prod".to_owned(), "deploy/web".to_owned()];
    let selection = Selection::parse(&words, false, None).unwrap();
    let described: Vec<String> = tasks(&selection, "default")
        .iter()
        .map(|task| match task {
            Task::Namespace(name) => format!("get {name}"),
            Task::Namespaces => "list namespaces".to_owned(),
            Task::One(id) => format!("get {id} in {}", id.namespace),
            Task::List {
                kind, namespace, ..
            } => format!("list {kind} in {namespace:?}"),
        })
        .collect();
    assert_eq!(
        described[..3],
        [
            "get default",
            "get prod",
            "list deployment.apps in Some(\"prod\")"
        ]
    );
    assert_eq!(described.len(), 2 + Kind::builtin().len() + 1);
    assert_eq!(
        described.last().unwrap(),
        "get deployment.apps/web in default"
    );
}
