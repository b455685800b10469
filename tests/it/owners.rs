//! Workloads that somebody else writes: what the plan says of them, what becomes of them, and how it is said.

use crate::bed::{Bed, Ran, idle};
use serde_json::json;

fn image(bed: &Bed, name: &str) -> String {
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    bed.kubectl(&["get", "deploy", name, "-o", path])
}

/// One Deployment of each kind of owner, and a free one.
fn owned(bed: &Bed) {
    for name in ["argo", "flux", "helm", "operated", "free"] {
        bed.apply(&idle(name, "busybox:1.36"));
    }
    let tracked = format!(
        "argocd.argoproj.io/tracking-id=shop:apps/Deployment:{}/argo",
        bed.namespace
    );
    bed.kubectl(&["annotate", "deploy/argo", &tracked]);
    bed.kubectl(&[
        "label",
        "deploy/flux",
        "kustomize.toolkit.fluxcd.io/name=apps",
    ]);
    bed.kubectl(&["label", "deploy/helm", "app.kubernetes.io/managed-by=Helm"]);
    bed.kubectl(&["annotate", "deploy/helm", "meta.helm.sh/release-name=db"]);
    // an operator's object must be there, or the Deployment is collected with it
    bed.kubectl(&["create", "configmap", "shop"]);
    let uid = bed.get("configmap/shop")["metadata"]["uid"].clone();
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "shop", "uid": uid,
                       "controller": true});
    let patch = json!({"metadata": {"ownerReferences": [owner]}}).to_string();
    bed.kubectl(&["patch", "deploy/operated", "-p", &patch]);
    let manifest = bed.folder().join("applied.yaml");
    std::fs::write(&manifest, idle("applied", "busybox:1.36")).expect("a file");
    bed.kubectl(&[
        "apply",
        "--server-side",
        "--field-manager=gitops",
        "-f",
        manifest.to_str().expect("UTF-8"),
    ]);
}

/// The lines of a text that tell of workloads, without what is another one each time.
fn told(bed: &Bed, ran: &Ran) -> String {
    let text = ran.stderr.replace(&bed.open_target(), "TARGET");
    let text = text.replace(&bed.namespace, "NS");
    let run = text.split("--run ").nth(1);
    let run = run.and_then(|rest| rest.split(' ').next());
    let text = run.map_or(text.clone(), |run| text.replace(run, "RUN"));
    let is_told = |line: &&str| {
        let heads = [
            "repoint",
            "copy only",
            "copied only",
            "unchanged",
            "skipped",
            "workloads",
            "next",
            "undo",
            "hint",
            "note",
            "   ",
        ];
        heads.iter().any(|head| line.starts_with(head))
    };
    let lines: Vec<&str> = text.lines().filter(is_told).collect();
    // where a line is broken depends on the length of the namespace's name
    lines.join("\n").replace(&format!("\n{:17}", ""), " ")
}

/// Standard output, whose lines come as workloads end.
fn sorted(ran: &Ran) -> String {
    let mut lines: Vec<&str> = ran.stdout.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn what_others_would_change_back_is_copied_and_the_plan_names_the_way_by_files() {
    let Some(bed) = Bed::share("owners", false) else {
        return;
    };
    owned(&bed);
    let (all, target) = (format!("ns/{}", bed.namespace), bed.open_target());
    let ran = bed
        .plugin(&["clone", &all, "--yes", "--to", &target])
        .exits(3);
    insta::assert_snapshot!(sorted(&ran), @r"
    deployment.apps/applied copied only: would be reverted by server-side apply (gitops)
    deployment.apps/argo copied only: would be reverted by Argo CD (shop)
    deployment.apps/flux copied only: would be reverted by Flux (apps)
    deployment.apps/free repointed, takes effect later: scaled to zero, when it is scaled up
    deployment.apps/helm repointed, takes effect later: scaled to zero, when it is scaled up
    deployment.apps/operated skipped: controlled by ConfigMap/shop
    ");
    insta::assert_snapshot!(told(&bed, &ran), @r"
    repoint       2  Deployment 2
    copy only     1  would be reverted by Argo CD
                  1  would be reverted by Flux
                  1  would be reverted by server-side apply
    skipped       1  controlled by ConfigMap
    next             clone ns/NS --to TARGET -o kustomize prints what the manifests of the owned need; --owned live repoints them
    note: deployment.apps/helm in NS: Helm (db): the next upgrade brings the old images back
    workloads   2 repointed, 3 copied only, 1 skipped
    copied only 1: would be reverted by Argo CD
                1: would be reverted by Flux
                1: would be reverted by server-side apply
    skipped     1: controlled by ConfigMap
    next    same command with -o kustomize   # for the manifests of the 3 owned
    undo    kubectl image-cloner restore --run RUN -n NS
    ");
    for name in ["argo", "flux", "applied", "operated"] {
        assert_eq!(image(&bed, name), "busybox:1.36", "{name}");
    }
    for name in ["helm", "free"] {
        assert_eq!(
            image(&bed, name),
            format!("{target}/busybox:1.36"),
            "{name}"
        );
    }

    // the way that was named: their manifests
    let manifest = bed.folder().join("applied.yaml");
    let manifest = manifest.to_str().expect("UTF-8");
    bed.plugin(&["clone", "-f", manifest, "-w", "--to", &target])
        .exits(0);
    let apply = ["apply", "--server-side", "--field-manager=gitops", "-f"];
    bed.kubectl(&[&apply[..], &[manifest]].concat());
    assert_eq!(image(&bed, "applied"), format!("{target}/busybox:1.36"));

    // those who say so have it their way
    let live = |name: &str| {
        let words = ["clone", name, "--owned=live", "--to", &target];
        let ran = bed.plugin(&words).exits(0);
        format!("{}{}", ran.stdout, told(&bed, &ran))
    };
    insta::assert_snapshot!(live("deploy/argo"), @r"
    deployment.apps/argo repointed
    note: deployment.apps/argo in NS: Argo CD (shop) may bring the old images back at any time
    ");
    insta::assert_snapshot!(live("deploy/flux"), @r"
    deployment.apps/flux repointed
    note: deployment.apps/flux in NS: Flux (apps) may bring the old images back at any time
    ");
    for name in ["argo", "flux"] {
        assert_eq!(
            image(&bed, name),
            format!("{target}/busybox:1.36"),
            "{name}"
        );
    }
}

#[test]
fn a_named_workload_that_is_left_to_its_owner_is_no_success() {
    let Some(bed) = Bed::share("owner", false) else {
        return;
    };
    owned(&bed);
    let target = bed.open_target();
    let clone = |name: &str, code: i32| {
        let ran = bed.plugin(&["clone", name, "--to", &target]).exits(code);
        format!("{}{}", ran.stdout, told(&bed, &ran))
    };
    insta::assert_snapshot!(clone("deploy/applied", 3), @r"
    deployment.apps/applied copied only: would be reverted by server-side apply (gitops)
    note: deployment.apps/applied in NS: change its manifests (-o kustomize, -o patch, -f), or repoint it live (--owned live)
    ");
    insta::assert_snapshot!(clone("deploy/operated", 3), @r"
    deployment.apps/operated skipped: controlled by ConfigMap/shop
    note: deployment.apps/operated in NS: change its images in ConfigMap/shop, which makes it
    ");
    insta::assert_snapshot!(clone("deploy/helm", 0), @r"
    deployment.apps/helm repointed
    note: deployment.apps/helm in NS: Helm (db): the next upgrade brings the old images back
    ");
    // the image was brought, and nothing was written to the workload
    let copied = bed.digest("OPEN_TARGET", &format!("{}/busybox", bed.namespace), "1.36");
    assert!(copied.is_some());
    let managers = bed.kubectl(&[
        "get",
        "deploy/applied",
        "-o",
        "jsonpath={.metadata.managedFields[*].manager}",
    ]);
    assert!(!managers.contains("image-cloner"), "{managers}");
}
