//! What an uninstall takes away, what it leaves, and what it says of that.

use super::{Cluster, Says, installed, run};
use crate::wire::server::Registry;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_uninstall_restores_where_the_agent_worked_and_nowhere_else() {
    let home = tempfile::tempdir().unwrap();
    let mut left = installed("reg.corp", &[]);
    left.retain(|object| object["kind"] != "Deployment");
    let cluster = Cluster::of(left.clone(), |_, _| None).await;
    let args = ["uninstall-agent", "--restore", "--yes"];
    let (code, _, said) = run(cluster.plugin(home.path(), &args));
    assert_eq!(code, 0, "{said}");
    let asked = cluster.asked();
    let lists = |path: &str| asked.iter().any(|line| line == &format!("GET {path}"));
    assert!(
        lists("/apis/apps/v1/namespaces/shop/deployments"),
        "{asked:?}"
    );
    assert!(!lists("/apis/apps/v1/deployments"), "{asked:?}");

    // a namespace that is gone is in nobody's way, and no other takes its place
    let none = left
        .iter()
        .filter(|object| object["metadata"]["name"] != "shop");
    let cluster = Cluster::of(none.cloned().collect(), |_, _| None).await;
    let (code, _, said) = run(cluster.plugin(home.path(), &args));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("note: namespace/shop is gone"), "{said}");
    assert!(
        !cluster
            .asked()
            .iter()
            .any(|line| line.contains("statefulsets"))
    );

    // where that is not known any more, nothing is restored, and nothing removed
    left.retain(|object| object["kind"] != "ConfigMap");
    let cluster = Cluster::of(left, |_, _| None).await;
    let (code, _, said) = run(cluster.plugin(home.path(), &args));
    assert_eq!(code, 1, "{said}");
    insta::assert_snapshot!(said, @r"
    error: where the agent worked is not known any more: configmap/image-cloner-config is gone
    nothing was changed
    hint: kubectl image-cloner restore ns/NAME gives the images back, or -A everywhere
    hint: kubectl image-cloner uninstall-agent removes what is left of it
    ");
    assert_eq!(cluster.writes(), [""; 0]);
    assert!(
        !cluster
            .asked()
            .iter()
            .any(|line| line.contains("statefulsets"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_secret_that_may_be_in_use_outlives_the_agent() {
    let home = tempfile::tempdir().unwrap();
    let mut objects = installed("reg.corp", &[]);
    objects.retain(|object| object["metadata"]["name"] != "image-cloner-pull");
    objects.push(pull_secret());
    let is_gone = |cluster: &Cluster| {
        let writes = cluster.writes();
        writes.contains(&"DELETE secrets/image-cloner-pull".to_owned())
    };
    let forbidden: Says = |_, path| {
        let body = json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"});
        path.ends_with("shop/statefulsets").then_some((403, body))
    };
    let cluster = Cluster::of(objects.clone(), forbidden).await;
    let (code, printed, said) = run(cluster.plugin(home.path(), &["uninstall-agent", "--yes"]));
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("in shop is not removed: what names it cannot be told: "),
        "{said}"
    );
    assert!(!is_gone(&cluster));
    // the rest of the agent goes all the same
    assert!(
        printed.contains("namespace/image-cloner-system removed"),
        "{printed}"
    );

    let cluster = Cluster::of(objects, |_, _| None).await;
    let (code, _, said) = run(cluster.plugin(home.path(), &["uninstall-agent", "--yes"]));
    assert_eq!(code, 0, "{said}");
    assert!(is_gone(&cluster));
}

/// The pull secret that the agent made in the namespace where it works.
fn pull_secret() -> Value {
    json!({
        "kind": "Secret",
        "metadata": {
            "name": "image-cloner-pull", "namespace": "shop", "uid": "1",
            "labels": {"app.kubernetes.io/managed-by": "image-cloner"},
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_secret_that_workloads_name_stays_and_that_is_said() {
    let home = tempfile::tempdir().unwrap();
    let mut objects = installed("reg.corp", &[]);
    objects.push(pull_secret());
    let cluster = Cluster::of(objects, |_, path| {
        let pod = json!({
            "imagePullSecrets": [{"name": "image-cloner-pull"}],
            "containers": [{"name": "web", "image": "reg.corp/nginx"}],
        });
        let web = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"template": {"spec": pod}},
        });
        let list = json!({"kind": "List", "metadata": {}, "items": [web]});
        path.ends_with("/shop/deployments").then_some((200, list))
    })
    .await;
    let (code, _, said) = run(cluster.plugin(home.path(), &["uninstall-agent", "--yes"]));
    assert_eq!(code, 0, "{said}");
    let stays = "secret/image-cloner-pull in shop stays: workloads there pull with it";
    assert!(said.contains(stays), "{said}");
    let writes = cluster.writes();
    let secrets = writes
        .iter()
        .filter(|line| line.ends_with("secrets/image-cloner-pull"));
    // the agent's own went with it
    assert_eq!(secrets.count(), 1, "{writes:?}");
}

/// What others have labelled as if it were ours, by mistake or so that it is deleted.
fn others() -> Vec<Value> {
    [
        ("v1", "Namespace", None, "shop"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", None, "other"),
        (
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            None,
            "other",
        ),
        (
            "rbac.authorization.k8s.io/v1",
            "Role",
            Some("shop"),
            "other",
        ),
        (
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            Some("shop"),
            "other",
        ),
        (
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            None,
            "other",
        ),
        ("v1", "ConfigMap", Some("image-cloner-system"), "other"),
    ]
    .map(|(version, kind, namespace, name)| {
        json!({
            "apiVersion": version, "kind": kind,
            "metadata": {"name": name, "namespace": namespace,
                         "labels": {"app.kubernetes.io/managed-by": "image-cloner"}},
        })
    })
    .to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_carries_our_label_is_neither_listed_nor_deleted() {
    let home = tempfile::tempdir().unwrap();
    let mut objects = installed("reg.corp", &[]);
    objects.retain(|object| object["metadata"]["name"] != "shop");
    objects.extend(others());
    let cluster = Cluster::of(objects, |_, _| None).await;
    let (code, printed, said) = run(cluster.plugin(home.path(), &["uninstall-agent", "--yes"]));
    assert_eq!(code, 0, "{said}");
    let kept = |line: &String| line.ends_with("/shop") || line.ends_with("/other");
    let writes = cluster.writes();
    assert!(!writes.iter().any(kept), "{writes:?}");
    for gone in ["namespaces/image-cloner-system", "roles/image-cloner-role"] {
        assert!(writes.contains(&format!("DELETE {gone}")), "{writes:?}");
    }
    assert!(!printed.contains("/other"), "{printed}");

    // nor is it an agent by itself
    let (code, _, said) = run(cluster.plugin(home.path(), &["uninstall-agent", "--yes"]));
    assert_eq!((code, &*said), (0, "there is no agent in the cluster\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_takes_nothing_away_that_only_carries_our_label() {
    let registry = Registry::start().await;
    let home = tempfile::tempdir().unwrap();
    let mut objects = installed(&registry.host, &[]);
    objects.extend(others());
    let cluster = Cluster::of(objects, |_, _| None).await;
    let image = "--agent-image=elsewhere.corp/agent:1";
    let args = [
        "install-agent",
        "--to",
        &registry.host,
        image,
        "--yes",
        "--wait=false",
    ];
    let (code, printed, said) = run(cluster.plugin(home.path(), &args));
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("/other"), "{said}");
    assert!(!printed.contains("/other"), "{printed}");
    let writes = cluster.writes();
    assert!(
        !writes.iter().any(|line| line.ends_with("/other")),
        "{writes:?}"
    );
}
