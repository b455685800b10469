//! What the agent leaves alone, and how long.

use super::{annotation, copy, told};
use crate::bed::{Bed, idle, image};

#[test]
fn images_that_somebody_puts_back_are_cloned_again_three_times_then_left() {
    let Some(bed) = Bed::share("reclaim", true) else {
        return;
    };
    let manifest = idle("web", "busybox:1.36");
    bed.apply(&manifest);
    let agent = bed.agent(&[]);
    for _ in 0..4 {
        agent.until("deploy/web", |web| image(web) == copy(&bed));
        bed.apply(&manifest);
    }
    bed.until("an event that says so", || {
        told(&bed, "web").iter().any(|reason| reason == "LeftAlone")
    });
    let left = bed.get("deploy/web");
    assert_eq!(image(&left), "busybox:1.36");
    assert!(
        annotation(&left, "reclaimed")
            .as_str()
            .is_some_and(|text| text.contains("\"count\":3")),
        "{left:#}"
    );
    // another image is another matter
    bed.kubectl(&["set", "image", "deploy/web", "web=nginx:1.21.4-alpine"]);
    let nginx = format!("{}/nginx:1.21.4-alpine", bed.target());
    agent.until("deploy/web", |web| {
        image(web) == nginx && annotation(web, "reclaimed").is_null()
    });
}

#[test]
fn restored_owned_and_delicate_workloads_are_left() {
    let Some(bed) = Bed::share("leave", true) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    bed.apply(&idle("argo", "busybox:1.36").replace(
        "{name: argo}\nspec:",
        "{name: argo, annotations: {argocd.argoproj.io/tracking-id: 'shop:apps/Deployment:x/argo'}}\nspec:",
    ));
    bed.apply(&idle("recreate", "busybox:1.36").replace(
        "  replicas: 0\n",
        "  replicas: 0\n  strategy: {type: Recreate}\n",
    ));
    let stateful = idle("db", "busybox:1.36").replace("kind: Deployment", "kind: StatefulSet");
    bed.apply(&stateful.replace("  replicas: 0\n", "  replicas: 0\n  serviceName: db\n"));
    let agent = bed.agent(&[("KINDS", "deployments,statefulsets")]);
    agent.until("deploy/web", |web| image(web) == copy(&bed));
    for name in ["argo", "recreate", "db"] {
        bed.until("an event that says why", || {
            told(&bed, name).iter().any(|reason| reason == "LeftAlone")
        });
    }
    assert_eq!(image(&bed.get("deploy/argo")), "busybox:1.36");
    assert_eq!(image(&bed.get("deploy/recreate")), "busybox:1.36");
    assert_eq!(image(&bed.get("sts/db")), "busybox:1.36");
    bed.plugin(&["restore", "deploy/web"]).exits(0);
    agent.set("STATEFUL", "on");
    agent.until("deploy/recreate", |it| image(it) == copy(&bed));
    agent.until("sts/db", |it| image(it) == copy(&bed));
    assert_eq!(image(&bed.get("deploy/web")), "busybox:1.36");
    assert!(!annotation(&bed.get("deploy/web"), "restored").is_null());
}

#[test]
fn whoever_writes_all_annotations_anew_is_left_to_his_images_in_the_end() {
    let Some(bed) = Bed::share("anew", true) else {
        return;
    };
    let manifest = idle("web", "busybox:1.36");
    bed.apply(&manifest);
    let agent = bed.agent(&[]);
    for _ in 0..4 {
        agent.until("deploy/web", |web| image(web) == copy(&bed));
        let anew = r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "busybox:1.36"},
                       {"op": "replace", "path": "/metadata/annotations", "value": {}}]"#;
        bed.kubectl(&["patch", "deploy/web", "--type=json", "-p", anew]);
    }
    bed.until("an event that says so", || {
        told(&bed, "web").iter().any(|reason| reason == "LeftAlone")
    });
    assert_eq!(image(&bed.get("deploy/web")), "busybox:1.36");
}

#[test]
fn a_namespace_that_no_longer_opts_out_is_worked_in_at_once() {
    let Some(bed) = Bed::share("zz-lifted", true) else {
        return;
    };
    let skip = |value: &str| {
        let label = format!("image-cloner.io/skip{value}");
        bed.kubectl(&["label", "namespace", &bed.namespace, &label]);
    };
    skip("=true");
    bed.apply(&idle("web", "busybox:1.36"));
    // all namespaces, but for those of other tests
    let agent = bed.agent(&[("NAMESPACES", ","), ("SKIP_NAMESPACES", "[!z]*")]);
    agent.says(&["inspecting deployment", &bed.namespace]);
    assert_eq!(image(&bed.get("deploy/web")), "busybox:1.36");
    skip("-");
    agent.until("deploy/web", |web| image(web) == copy(&bed));
}
