//! `clone -o kustomize` and `-o patch`: for clusters that are changed by their manifests.

use crate::bed::{Bed, Ran, deployment, idle};
use serde_json::Value;
use std::fs;

fn image(bed: &Bed, name: &str) -> Value {
    bed.get(name)["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}
/// As Argo CD leaves it.
fn owned(name: &str, image: &str) -> String {
    idle(name, image).replace(
        &format!("metadata: {{name: {name}}}"),
        &format!(
            "metadata: {{name: {name}, annotations: {{argocd.argoproj.io/tracking-id: \
             'shop:apps/Deployment:shop/{name}'}}}}"
        ),
    )
}

/// What it printed, with the names that are other ones each time told apart.
fn printed(bed: &Bed, ran: &Ran) -> String {
    ran.stdout
        .replace(&bed.target(), "TARGET")
        .replace(&bed.namespace, "shop")
}

fn said(bed: &Bed, ran: &Ran) -> String {
    let said = ran.stderr.replace(&bed.target(), "TARGET");
    said.replace(&bed.namespace, "shop")
}

#[test]
fn kustomize_makes_of_the_manifests_what_clone_would_make_of_the_cluster() {
    let Some(bed) = Bed::share("gitops", false) else {
        return;
    };
    let manifests = [
        owned("web", "nginx:1.21.4-alpine"),
        idle("api", "busybox:1.36"),
        idle("own", &format!("{}/own:1", bed.target())),
    ];
    for manifest in &manifests {
        bed.apply(manifest);
    }
    // repointed live by somebody, while its manifest has the image as it was
    bed.plugin(&["clone", "deploy/api"]).exits(0);

    let namespace = format!("ns/{}", bed.namespace);
    let args = ["clone", &namespace, "-o", "kustomize"];
    bed.plugin(&args).exits(2).says("--yes");
    let ran = bed.plugin(&[&args[..], &["--yes"]].concat()).exits(0);
    insta::assert_snapshot!(printed(&bed, &ran), @r"
    images:
    - name: busybox
      newName: TARGET/busybox
    - name: nginx
      newName: TARGET/nginx
    ");
    let ran = ran.says("in the target already, by their manifests or by earlier edits: 1");
    assert_eq!(image(&bed, "deploy/web"), "nginx:1.21.4-alpine");
    let copied = bed.digest(
        "TARGET",
        &format!("{}/nginx", bed.namespace),
        "1.21.4-alpine",
    );
    assert_eq!(
        copied,
        bed.digest("DOCKER_IO", "library/nginx", "1.21.4-alpine")
    );
    assert!(copied.is_some());

    let folder = bed.folder();
    fs::write(folder.join("all.yaml"), manifests.join("---\n")).expect("a file");
    fs::write(
        folder.join("kustomization.yaml"),
        format!("resources: [all.yaml]\n{}", ran.stdout),
    )
    .expect("a file");
    bed.apply(&bed.kubectl(&["kustomize", folder.to_str().expect("UTF-8")]));
    let target = bed.target();
    for (name, copy) in [
        ("web", "nginx:1.21.4-alpine"),
        ("api", "busybox:1.36"),
        ("own", "own:1"),
    ] {
        let now = image(&bed, &format!("deploy/{name}"));
        assert_eq!(now, format!("{target}/{copy}"), "{name}");
    }
}

#[test]
fn a_patch_repoints_what_it_is_applied_to() {
    let Some(bed) = Bed::share("gitops", false) else {
        return;
    };
    let two = [("web", "nginx:1.21.4-alpine"), ("side", "busybox:1.36")];
    let first = [("first", "busybox:1.36")];
    bed.apply(&deployment("web", &two, &first).replace("replicas: 1", "replicas: 0"));
    let ran = bed
        .plugin(&["clone", "deploy/web", "-o", "patch", "--pin"])
        .exits(0);
    let printed = printed(&bed, &ran);
    let digest = bed.digest("DOCKER_IO", "library/busybox", "1.36");
    let busybox = digest.expect("the image");
    let digest = bed.digest("DOCKER_IO", "library/nginx", "1.21.4-alpine");
    let nginx = digest.expect("the image");
    let text = printed
        .replace(&busybox, "DIGEST")
        .replace(&nginx, "DIGEST");
    insta::assert_snapshot!(text, @r"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: web
      namespace: shop
    spec:
      template:
        spec:
          containers:
          - image: TARGET/nginx:1.21.4-alpine@DIGEST
            name: web
          - image: TARGET/busybox:1.36@DIGEST
            name: side
          initContainers:
          - image: TARGET/busybox:1.36@DIGEST
            name: first
    ");
    assert_eq!(image(&bed, "deploy/web"), "nginx:1.21.4-alpine");
    bed.kubectl(&["patch", "deploy/web", "-p", &ran.stdout]);
    assert_eq!(
        image(&bed, "deploy/web"),
        format!("{}/nginx:1.21.4-alpine@{nginx}", bed.target())
    );
}

#[test]
fn what_cannot_be_copied_leaves_nothing_to_apply() {
    let Some(bed) = Bed::share("gitops", false) else {
        return;
    };
    bed.apply(&idle("web", "acme/no-such-image:1"));
    bed.apply(&idle("api", "busybox:1.36"));
    let args = ["clone", "deploy/web", "deploy/api", "-o", "patch"];
    let ran = bed.plugin(&args).exits(1);
    assert_eq!(ran.stdout, "");
    ran.says("acme/no-such-image:1").says("nothing was printed");

    // looked at, and nothing copied
    bed.apply(&idle("other", "nginx:1.21.4-alpine"));
    let writes = bed.writes("TARGET");
    let args = ["clone", "deploy/other", "-o", "kustomize", "--dry-run"];
    let ran = bed.plugin(&args).exits(0);
    insta::assert_snapshot!(printed(&bed, &ran), @r"
    images:
    - name: nginx
      newName: TARGET/nginx
    ");
    assert_eq!(bed.writes("TARGET"), writes);
}

#[test]
fn what_is_left_is_said_and_the_plan_names_the_way_for_what_is_owned() {
    let Some(bed) = Bed::share("gitops", false) else {
        return;
    };
    bed.apply(&owned("web", "nginx:1.21.4-alpine"));
    let skipped = idle("left", "nginx:1.21.4-alpine").replace(
        "metadata: {name: left}",
        "metadata: {name: left, labels: {image-cloner.io/skip: 'true'}}",
    );
    bed.apply(&skipped);
    let args = ["clone", "deploy/web", "deploy/left", "-o", "kustomize"];
    let ran = bed.plugin(&args).exits(3);
    insta::assert_snapshot!(printed(&bed, &ran), @r"
    images:
    - name: nginx
      newName: TARGET/nginx
    ");
    let said_of_it = said(&bed, &ran);
    let of_images = |line: &&str| !line.starts_with("nginx:");
    let words: Vec<&str> = said_of_it.lines().filter(of_images).collect();
    insta::assert_snapshot!(words.join("\n"), @r"
    hint: pods have no pull secret for TARGET: their manifests or ServiceAccounts need one
    deployment.apps/left skipped: opted out by image-cloner.io/skip
    note: deployment.apps/left in shop: kustomize will change nginx:1.21.4-alpine too, as every image of that name
    ");

    let target = bed.target();
    let namespace = format!("ns/{}", bed.namespace);
    let ran = bed.plugin(&["clone", &namespace, "--to", &target, "--dry-run"]);
    let plan = said(&bed, &ran);
    let words: Vec<&str> = plan.split_whitespace().collect();
    let way = "next clone deployment.apps/web -n shop --to TARGET -o kustomize prints what the \
               manifests of the owned need; --owned live repoints them";
    assert!(words.join(" ").contains(way), "{plan}");
    // what it names is what there is
    let args = ["clone", "deploy/web", "--to", &target, "-o", "kustomize"];
    bed.plugin(&args).exits(0);
}

#[test]
fn what_only_repoints_is_refused_where_nothing_is() {
    let Some(bed) = Bed::share("gitops", false) else {
        return;
    };
    let refused = |words: &[&str]| {
        let args = [&["clone", "deploy/web"], words].concat();
        let ran = bed.plugin(&args).exits(2);
        assert_eq!(ran.stdout, "");
        ran.stderr.lines().next().unwrap_or_default().to_owned()
    };
    let all = [
        refused(&["-o", "kustomize", "--owned", "live"]),
        refused(&["-o", "patch", "--wait"]),
        refused(&["-o", "patch", "--canary"]),
        refused(&["-o", "patch", "--pull-secret", "none"]),
        refused(&["-o", "kustomize", "--share-credentials"]),
        refused(&["-o", "kustomize", "--pin"]),
        refused(&["-o", "refs"]),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    error: -o kustomize repoints nothing live: it has no --owned live
    error: -o patch repoints nothing live: it has no --wait
    error: -o patch repoints nothing live: it has no --canary
    error: -o patch repoints nothing live: it has no --pull-secret
    error: -o kustomize repoints nothing live: it has no --share-credentials
    error: an entry of kustomize is for all tags of an image: it has no --pin
    error: -o refs is of manifests, and -f names none
    ");
}
