//! Others who write the same object at the same time.

use crate::bed::{Bed, deployment};
use image_cloner::cluster::{Cluster, ConnectFlags, Error, WriteMode};
use image_cloner::target::{Layout, TargetRegistry};
use image_cloner::workload::{Kind, Workload, WorkloadId};
use image_cloner::{patch, plan};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

#[test]
fn a_change_while_images_are_copied_is_kept_and_planned_with() {
    let Some(bed) = Bed::share("between", false) else {
        return;
    };
    bed.apply(&deployment(
        "web",
        &[("a", "nginx:1.21.4-alpine"), ("b", "busybox:1.36")],
        &[],
    ));
    bed.plugin_held(&["clone", "deploy/web"], &[], |_| {
        // the workload was observed; now somebody deploys
        bed.kubectl(&["set", "image", "deploy/web", "a=nginx:1.21.5-alpine"]);
        bed.kubectl(&["set", "env", "deploy/web", "COLOUR=green"]);
    })
    .exits(0);

    let spec = &bed.get("deploy/web")["spec"]["template"]["spec"];
    let target = bed.target();
    assert_eq!(
        spec["containers"][0]["image"],
        json!(format!("{target}/nginx:1.21.5-alpine"))
    );
    assert_eq!(
        spec["containers"][1]["image"],
        json!(format!("{target}/busybox:1.36"))
    );
    assert_eq!(
        spec["containers"][0]["env"],
        json!([{"name": "COLOUR", "value": "green"}])
    );
    bed.plugin(&["restore", "deploy/web"]).exits(0);
    let spec = &bed.get("deploy/web")["spec"]["template"]["spec"];
    assert_eq!(spec["containers"][0]["image"], json!("nginx:1.21.5-alpine"));
}

fn runtime() -> tokio::runtime::Runtime {
    // another test of this process may have installed it
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Runtime::new().expect("threads")
}

fn policy(bed: &Bed) -> plan::Policy {
    plan::Policy {
        time: None,
        run: "test".into(),
        target: TargetRegistry::parse(&bed.target(), Layout::Mirror).expect("a target"),
        images: Default::default(),
        skip_namespaces: Default::default(),
        protect: Default::default(),
        copy_only: false,
        owned_live: false,
        pull: plan::PullAccess::Open,
    }
}

fn repoint(workload: &Workload, policy: &plan::Policy) -> serde_json::Value {
    let observed = plan::Observed {
        workload: workload.clone(),
        running: Default::default(),
        account_pull_secrets: Some(Vec::new()),
        pull_credentials: plan::PullCredentials::None,
        named: true,
        namespace_opted_out: false,
    };
    let plan = plan::clone(&[observed], policy).expect("a plan");
    let plan::Decision::Repoint(repoint) = &plan.workloads[0].decision else {
        panic!("{:?}", plan.workloads[0].decision)
    };
    patch::body(workload, repoint)
}

/// Observes, lets `meanwhile` write, and sends the patch that was made before.
fn patch_after(bed: &Bed, meanwhile: &[&str]) -> Result<(), Error> {
    runtime().block_on(async {
        let flags = ConnectFlags {
            namespace: Some(bed.namespace.clone()),
            ..Default::default()
        };
        let cluster = Cluster::connect(&flags, WriteMode::Apply)
            .await
            .expect("the bed");
        let kind = Kind::from_word("deploy").expect("a kind");
        let id = WorkloadId {
            kind,
            namespace: bed.namespace.clone(),
            name: "web".into(),
        };
        let object = cluster.get(&id).await.expect("the workload");
        let workload = Workload::from_object(&id.kind, &object).expect("a workload");
        let body = repoint(&workload, &policy(bed));
        bed.kubectl(meanwhile);
        cluster.patch(&id, &body).await.map(|_| ())
    })
}

#[test]
fn a_patch_lands_only_on_what_it_was_made_for() {
    let Some(bed) = Bed::share("swap", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    let secrets = r#"{"spec":{"template":{"spec":{"imagePullSecrets":[{"name":"theirs"}]}}}}"#;
    let conflicts: [&[&str]; 4] = [
        &["set", "image", "deploy/web", "web=nginx:1.21.5-alpine"],
        &["annotate", "deploy/web", "image-cloner.io/originals={}"],
        &["patch", "deploy/web", "-p", secrets],
        &["delete", "deploy/web"],
    ];
    for meanwhile in conflicts {
        let before = bed.get("deploy/web")["spec"]["template"]["spec"]["containers"].clone();
        let error = patch_after(&bed, meanwhile).expect_err("somebody else was faster");
        if meanwhile[0] == "delete" {
            assert!(matches!(error, Error::NotFound(_)), "{error:?}");
            break;
        }
        assert!(
            matches!(error, Error::Conflict(_)),
            "{meanwhile:?}: {error:?}"
        );
        bed.kubectl(&["annotate", "deploy/web", "image-cloner.io/originals-"]);
        let after = bed.get("deploy/web")["spec"]["template"]["spec"]["containers"].clone();
        assert!(after == before || meanwhile[0] == "set", "{after}");
        bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    }
}

#[test]
fn what_does_not_touch_the_images_is_no_conflict() {
    let Some(bed) = Bed::share("aside", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    for meanwhile in [
        ["scale", "deploy/web", "--replicas=2"],
        ["label", "deploy/web", "colour=green"],
    ] {
        patch_after(&bed, &meanwhile).expect("no conflict");
        bed.plugin(&["restore", "deploy/web"]).exits(0);
    }
    let object = bed.get("deploy/web");
    assert_eq!(object["spec"]["replicas"], json!(2));
    assert_eq!(object["metadata"]["labels"]["colour"], json!("green"));
}

#[test]
fn a_status_writer_that_never_stops_starves_nobody() {
    let Some(bed) = Bed::share("status", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    bed.kubectl(&["scale", "deploy/web", "--replicas=0"]);
    let stop = Arc::new(AtomicBool::new(false));
    let writes = Arc::new(AtomicU32::new(0));
    let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&writes));
    let namespace = bed.namespace.clone();
    let background = std::thread::spawn(move || {
        runtime().block_on(async {
            let client = kube::Client::try_default().await.expect("the bed");
            let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> =
                kube::Api::namespaced(client, &namespace);
            while !stopped.load(Ordering::Relaxed) {
                let message = counted.load(Ordering::Relaxed).to_string();
                let status = json!({"status": {"conditions": [
                    {"type": "Busy", "status": "True", "message": message}]}});
                let patch = kube::api::Patch::Merge(&status);
                if api
                    .patch_status("web", &kube::api::PatchParams::default(), &patch)
                    .await
                    .is_ok()
                {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    });
    let mut rounds = 0;
    // enough of both that they met
    while rounds < 3 || (writes.load(Ordering::Relaxed) < 100 && rounds < 50) {
        bed.plugin(&["clone", "deploy/web"]).exits(0);
        bed.plugin(&["restore", "deploy/web"]).exits(0);
        rounds += 1;
    }
    stop.store(true, Ordering::Relaxed);
    background.join().expect("the writer");
    assert!(
        writes.load(Ordering::Relaxed) >= 100,
        "there was no such writer"
    );
}
