//! Pull secrets: the agent keeps them up where it may, and says where it may not.

use super::{busybox, copy};
use crate::bed::{Bed, deployment, idle, image, var};
use serde_json::json;

/// Whether the namespace has the pull secret for the target.
fn has_one(bed: &Bed) -> bool {
    let secrets = bed.get("secrets");
    let mut secrets = secrets["items"].as_array().expect("a list").iter();
    secrets.any(|secret| secret["metadata"]["name"] == "image-cloner-pull")
}

/// Waits until the namespace has the pull secret for the target.
fn has_a_pull_secret(bed: &Bed) {
    bed.until("the pull secret", || has_one(bed));
}

#[test]
fn new_pull_credentials_reach_the_namespaces_in_use() {
    let Some(bed) = Bed::share("rotate", true) else {
        return;
    };
    let Some(other) = Bed::share("rotate-too", true) else {
        return;
    };
    let both = [&bed, &other];
    let namespaces = both.map(|bed| bed.namespace.as_str()).join(",");
    bed.apply(&busybox("web"));
    other.apply(&idle("web", "busybox:1.36"));
    let agent = bed.agent(&[("NAMESPACES", &namespaces)]);
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    bed.rolled_out("deploy/web");
    other.until("the copy", || image(&other.get("deploy/web")) == copy(&bed));
    let secrets = || both.map(|bed| bed.get("secret/image-cloner-pull")["data"].clone());
    let before = secrets();
    let (user, password) = (var("TARGET_USER"), var("TARGET_PASS"));
    agent.set("PULL_USER", &user);
    agent.set("PULL_PASS", &password);
    bed.until("the new credentials", || {
        let mut now = secrets().into_iter().zip(&before);
        now.all(|(now, before)| now != *before)
    });
    assert!(!agent.log().contains(&password), "{}", agent.log());
}

#[test]
fn a_pull_secret_that_is_gone_is_made_again_before_a_workload_needs_it() {
    let Some(bed) = Bed::share("again", true) else {
        return;
    };
    bed.apply(&busybox("web"));
    let agent = bed.agent(&[]);
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    // at rest it sees to its pull secret for the last time
    agent.says(&["image already cloned", &copy(&bed)]);
    bed.kubectl(&["delete", "secret", "image-cloner-pull"]);
    bed.apply(&deployment("other", &[("web", "nginx:1.21.4-alpine")], &[]));
    let nginx = format!("{}/nginx:1.21.4-alpine", bed.target());
    agent.until("deploy/other", |other| image(other) == nginx);
    assert!(bed.get("secret/image-cloner-pull")["data"].is_object());
    agent.says(&["image already cloned", &nginx]);
    // one that stands from copies has it again as soon as anything changes of it that a plan looks at
    bed.kubectl(&["delete", "secret", "image-cloner-pull"]);
    let recreates = r#"{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}"#;
    bed.kubectl(&["patch", "deploy/web", "-p", recreates]);
    has_a_pull_secret(&bed);
}

#[test]
fn without_a_right_to_secrets_it_works_with_its_own_credentials_and_says_so_once() {
    let Some(bed) = Bed::share("rights", true) else {
        return;
    };
    let kubeconfig = bed.account(
        "agent",
        &[
            ("apps", "deployments", "get,list,watch,patch"),
            ("", "pods", "get,list"),
            ("", "serviceaccounts", "get"),
            ("", "events", "list,create,patch"),
        ],
    );
    bed.kubectl(&[
        "patch",
        "serviceaccount",
        "default",
        "-p",
        r#"{"imagePullSecrets": [{"name": "theirs"}]}"#,
    ]);
    for name in ["a", "b"] {
        bed.apply(&idle(name, "busybox:1.36"));
    }
    let copy = format!("{}/busybox:1.36", bed.open_target());
    let agent = bed.agent_as(&kubeconfig, &[("REGISTRY", &bed.open_target())]);
    for name in ["a", "b"] {
        agent.until(&format!("deploy/{name}"), |it| image(it) == copy);
    }
    assert_eq!(
        agent.count(&["cannot read secrets in"]),
        1,
        "{}",
        agent.log()
    );
    // where pods need a pull secret, there is none to be had
    bed.apply(&idle("c", "busybox:1.36"));
    agent.until("deploy/c", |it| image(it) == copy);
    agent.set("REGISTRY", &bed.target());
    agent.says(&["settings changed"]);
    bed.kubectl(&["set", "image", "deploy/c", "web=nginx:1.21.4-alpine"]);
    agent.says(&["writing its pull secret", "secrets"]);
    assert_eq!(image(&bed.get("deploy/c")), "nginx:1.21.4-alpine");
}

#[test]
fn a_pull_secret_that_could_not_be_renewed_is_renewed_as_soon_as_it_can() {
    let Some(bed) = Bed::share("renew", true) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    let agent = bed.agent(&[]);
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    drop(agent);
    bed.kubectl(&["delete", "secret", "image-cloner-pull"]);
    let kubeconfig = bed.account(
        "agent",
        &[
            ("apps", "deployments", "get,list,watch,patch"),
            ("", "pods", "get,list"),
            ("", "serviceaccounts", "get"),
            ("", "events", "list,create,patch"),
        ],
    );
    let agent = bed.agent_as(&kubeconfig, &[]);
    agent.says(&["keeping up the pull secret", "secrets"]);
    let verbs = "--verb=get,list,create,update,patch";
    bed.kubectl(&["create", "role", "secrets", verbs, "--resource=secrets"]);
    let account = format!("--serviceaccount={}:agent", bed.namespace);
    bed.kubectl(&[
        "create",
        "rolebinding",
        "secrets",
        "--role=secrets",
        &account,
    ]);
    has_a_pull_secret(&bed);
}

#[test]
fn credentials_that_pull_nothing_go_into_no_namespace_and_change_no_workload() {
    let Some(bed) = Bed::share("wrong-pull", true) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    let agent = bed.agent(&[("PULL_PASS", "wrong")]);
    agent.says(&["CloneFailed", "logging in to", "to pull"]);
    assert_eq!(image(&bed.get("deploy/web")), "busybox:1.36");
    let secrets = bed.kubectl(&["get", "secrets", "-o", "name"]);
    assert!(!secrets.contains("image-cloner-pull"), "{secrets}");
    agent.set("PULL_PASS", &var("PULL_PASS"));
    agent.until("deploy/web", |web| image(web) == copy(&bed));
}

#[test]
fn what_else_its_login_may_read_is_copied_for_nobody_who_may_not() {
    let Some(bed) = Bed::share("elsewhere", true) else {
        return;
    };
    let private = format!("{}/{}-private", var("TARGET"), bed.namespace);
    bed.plugin(&["copy", "busybox:1.36", "--to", &private])
        .exits(0);
    let source = format!("{private}/busybox:1.36");
    bed.apply(&idle("web", &source));
    // without an endpoint it is the node's own
    let config = bed.config(&[(&var("TARGET"), &var("TARGET"))]);
    let agent = bed.agent(&[("CONFIG", config.to_str().expect("UTF-8"))]);
    agent.says(&["CloneFailed", "401"]);
    assert_eq!(image(&bed.get("deploy/web")), source);

    bed.target_secret("theirs", &var("PULL_PASS"));
    let with_secret = r#"{"spec":{"template":{"spec":{"imagePullSecrets":[{"name":"theirs"}]}}}}"#;
    bed.kubectl(&["patch", "deploy/web", "-p", with_secret]);
    agent.until("deploy/web", |web| image(web).starts_with(&bed.target()));
}

#[test]
fn no_record_makes_it_hand_out_credentials_where_it_leaves_everything_alone() {
    let (Some(bed), Some(skipped), Some(out)) = (
        Bed::share("works", true),
        Bed::share("skipped", true),
        Bed::share("opted-out", true),
    ) else {
        return;
    };
    let copy = copy(&bed);
    out.kubectl(&[
        "label",
        "namespace",
        &out.namespace,
        "image-cloner.io/skip=true",
    ]);
    for left in [&skipped, &out] {
        left.apply(&with_record("standing", "busybox:1.36", &copy, &copy));
        left.apply(&with_record(
            "fallen",
            "busybox:1.36",
            &copy,
            "nginx:1.21.4-alpine",
        ));
    }
    let namespaces = [&bed, &skipped, &out].map(|it| it.namespace.as_str());
    let agent = bed.agent(&[
        ("NAMESPACES", &namespaces.join(",")),
        ("SKIP_NAMESPACES", &skipped.namespace),
    ]);
    agent.says(&["image already cloned", &copy]);
    bed.apply(&idle("web", "busybox:1.36"));
    agent.until("deploy/web", |web| image(web) == copy);
    drop(agent);
    assert!(has_one(&bed));
    assert!(!has_one(&skipped));
    assert!(!has_one(&out));
}

/// One without pods that names our pull secret, with a record that anybody may have written.
fn with_record(name: &str, original: &str, target: &str, image: &str) -> String {
    let slots = json!({"containers/web": {"original": original, "target": target}});
    let record = json!({"run": "1", "slots": slots});
    let annotation = format!("annotations: {{image-cloner.io/originals: '{record}'}}");
    let secrets = "      imagePullSecrets: [{name: image-cloner-pull}]\n      initContainers";
    idle(name, image)
        .replace(
            &format!("{{name: {name}}}\nspec"),
            &format!("{{name: {name}, {annotation}}}\nspec"),
        )
        .replace("      initContainers", secrets)
}
