//! What a clone skips, leaves or only copies, and for which reason.

use super::*;
use crate::workload::RESTORED;

#[test]
fn broad_selections_leave_what_only_a_name_opens() {
    fn check(mut one: Observed, expected: &str, when_named: &str) {
        assert_eq!(sketch_clone(one.clone(), &policy()), expected);
        one.named = true;
        let named = sketch_clone(one, &policy());
        assert_eq!(named.lines().next(), Some(when_named), "{expected}");
    }
    let in_namespace = |namespace: &str| deployment(&json!({"namespace": namespace}), "nginx");
    for namespace in SYSTEM_NAMESPACES.into_iter().chain(["lab"]) {
        check(
            in_namespace(namespace),
            &format!("skip: namespace {namespace} is skipped"),
            "repoint",
        );
    }
    let listening = |port: u16| {
        let web = json!({"name": "web", "image": "nginx", "ports": [{"hostPort": port}]});
        observed("ds", &json!({}), &json!({"containers": [web]}))
    };
    check(
        listening(5000),
        "skip: serves the target registry",
        "repoint",
    );
    let other = sketch_clone(listening(5001), &policy());
    assert!(other.starts_with("repoint"), "{other}");
    check(
        deployment(&json!({"namespace": "infra", "name": "registry"}), "nginx"),
        "skip: serves the target registry",
        "repoint",
    );
    let mut critical = containers(&[("web", "nginx")]);
    critical["priorityClassName"] = json!("system-node-critical");
    check(
        observed("ds", &json!({}), &critical),
        "skip: priority class system-node-critical",
        "repoint",
    );
    let hash = deployment(&json!({}), "nginx").workload.images_hash();
    check(
        deployment(&json!({"annotations": {RESTORED: hash}}), "nginx"),
        "skip: restored, and no image has changed since: name it to clone it again",
        "repoint",
    );
    // what even a name does not open
    let opted_out = "skip: opted out by image-cloner.io/skip";
    check(
        deployment(
            &json!({"labels": {"image-cloner.io/skip": "true"}}),
            "nginx",
        ),
        opted_out,
        opted_out,
    );
    let namespace_out = "skip: namespace shop opted out by image-cloner.io/skip";
    let mut one = deployment(&json!({}), "nginx");
    one.namespace_opted_out = true;
    check(one, namespace_out, namespace_out);
    let owner = json!([{"kind": "ReplicaSet", "name": "web-5d4f", "controller": true}]);
    let controlled = "skip: controlled by ReplicaSet/web-5d4f";
    check(
        observed(
            "po",
            &json!({"ownerReferences": owner}),
            &containers(&[("a", "nginx")]),
        ),
        controlled,
        controlled,
    );
}

#[test]
fn a_restored_workload_is_cloned_again_once_an_image_changes() {
    let one = deployment(
        &json!({"annotations": {RESTORED: "0123456789abcdef"}}),
        "nginx",
    );
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    repoint
      containers/web: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
      image-cloner.io/restored: removed
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
}

#[test]
fn slots_that_cannot_be_cloned_are_left_with_the_reason() {
    let pod = json!({
        "containers": [
            {"name": "web", "image": "nginx"},
            {"name": "mesh", "image": "auto"},
            {"name": "local", "image": "dev:1", "imagePullPolicy": "Never"},
            {"name": "bad", "image": "Nginx"},
            {"name": "line", "image": "nginx\nhint: run this"},
            {"name": "none"},
            {"name": "long", "image": format!("quay.io/{}", "a".repeat(245))},
        ],
        "ephemeralContainers": [
            {"name": "debug", "image": "busybox"},
            {"name": "done", "image": "localhost:5000/busybox:1"},
        ],
        "volumes": [{"name": "m", "image": {"reference": "models/m"}}],
    });
    let one = observed("po", &json!({}), &pod);
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    repoint
      containers/web: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
      note: containers/mesh: left at auto: the image is injected when the pod is made
      note: containers/local: left at dev:1: never pulled: the node is expected to have it
      note: containers/bad: left at Nginx: not an image reference: the repository "Nginx" must be lower case
      note: containers/line: left at nginx\nhint: run this: not an image reference: it contains white space
      note: containers/none: left: the template names no image
      note: containers/long: left at quay.io/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: it cannot be named in the target: localhost:5000/quay.io/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: the name has 268 characters, more than 255
      note: ephemeralContainers/debug: left at busybox: ephemeral containers cannot be changed
      note: volumes/m: left at models/m: volumes of a pod cannot be changed
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
}

#[test]
fn what_means_the_node_itself_is_left_by_who_is_elsewhere() {
    let mut policy = policy();
    policy.images.out_of_reach = ["localhost:9".to_owned()].into();
    let of = |image: &str| sketch_clone(deployment(&json!({}), image), &policy);
    let own = of("localhost:9/app:1");
    assert!(own.starts_with("skip: "), "{own}");
    assert!(own.contains("localhost:9 is the node's own"), "{own}");
    assert!(of("localhost:8/app:1").starts_with("repoint"));
}

#[test]
fn a_workload_with_no_slot_to_clone_is_skipped_for_their_reasons() {
    let one = observed(
        "deploy",
        &json!({}),
        &containers(&[("a", "auto"), ("b", "Nginx")]),
    );
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    skip: containers/a: left at auto: the image is injected when the pod is made; containers/b: left at Nginx: not an image reference: the repository "Nginx" must be lower case
    "#);
    // beside one that is cloned already, it is as it should be
    let images = [("a", "auto"), ("b", "localhost:5000/nginx:1")];
    let one = observed("deploy", &json!({}), &containers(&images));
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    unchanged
      note: containers/a: left at auto: the image is injected when the pod is made
    "#);
}

#[test]
fn what_another_tool_would_revert_is_copied_only() {
    let argo = json!({"labels": {"argocd.argoproj.io/instance": "shop"}});
    let mut one = deployment(&argo, "nginx");
    insta::assert_snapshot!(sketch_clone(one.clone(), &policy()), @r#"
    copy only: would be reverted by Argo CD (shop)
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    one.named = true;
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r#"
    copy only: would be reverted by Argo CD (shop)
      note: change its manifests (-o kustomize, -o patch, -f), or repoint it live (--owned live)
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    let live = Policy {
        owned_live: true,
        ..policy()
    };
    insta::assert_snapshot!(sketch_clone(deployment(&argo, "nginx"), &live), @r#"
    repoint
      containers/web: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
      note: Argo CD (shop) may bring the old images back at any time
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    let helm = json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "db"}});
    insta::assert_snapshot!(sketch_clone(deployment(&helm, "nginx"), &policy()), @r#"
    repoint
      containers/web: nginx -> localhost:5000/nginx:latest
      image-cloner.io/originals: {"run":"a7f3","slots":{"containers/web":{"original":"nginx","target":"localhost:5000/nginx:latest"}}}
      note: Helm (db): the next upgrade brings the old images back
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
}

#[test]
fn who_names_what_an_operator_makes_is_told_where_its_images_count() {
    let owner = json!({"kind": "Shop", "name": "berlin", "controller": true});
    let mut one = deployment(&json!({"ownerReferences": [owner]}), "nginx");
    insta::assert_snapshot!(sketch_clone(one.clone(), &policy()), @"skip: controlled by Shop/berlin");
    one.named = true;
    insta::assert_snapshot!(sketch_clone(one, &policy()), @r"
    skip: controlled by Shop/berlin
      note: change its images in Shop/berlin, which makes it
    ");
}

#[test]
fn what_cannot_be_changed_is_copied_only() {
    let job = observed("job", &json!({}), &containers(&[("a", "nginx")]));
    insta::assert_snapshot!(sketch_clone(job, &policy()), @r#"
    copy only: a Job's template cannot be changed
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    let copy_only = Policy {
        copy_only: true,
        ..policy()
    };
    insta::assert_snapshot!(sketch_clone(deployment(&json!({}), "nginx"), &copy_only), @r#"
    copy only: --copy-only
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
    // the record would be lost
    let unreadable = deployment(&recorded("{"), "nginx");
    insta::assert_snapshot!(sketch_clone(unreadable, &policy()), @r#"
    copy only: its annotation image-cloner.io/originals cannot be read: mend it, or remove it if nothing is to be restored from it
    copy docker.io/library/nginx:latest -> localhost:5000/nginx:latest
    "#);
}
