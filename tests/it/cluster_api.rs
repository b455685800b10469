//! `cluster` against a real API server: the one of the test bed, whose environment these tests read.

mod pull_secrets;
mod rollouts;

use crate::bed::Bed;
use image_cloner::cluster::{
    Cluster, ConnectFlags, Error, Observation, PullSecret, Rollout, Selection, Write, WriteMode,
};
use image_cloner::credentials::Credentials;
use image_cloner::plan::{PullCredentials, SlotChange};
use image_cloner::target::{Layout, TargetRegistry};
use image_cloner::workload::{Kind, SlotKey, SlotList, Workload, WorkloadId};
use serde_json::{Value, json};
use std::time::Duration;

async fn cluster(bed: &Bed, mode: WriteMode) -> Cluster {
    // as the programs do first thing
    let _ = rustls::crypto::ring::default_provider().install_default();
    Cluster::connect(&flags(bed), mode).await.unwrap()
}

fn flags(bed: &Bed) -> ConnectFlags {
    ConnectFlags {
        namespace: Some(bed.namespace.clone()),
        ..ConnectFlags::default()
    }
}

fn id(bed: &Bed, word: &str, name: &str) -> WorkloadId {
    WorkloadId {
        kind: Kind::from_word(word).unwrap(),
        namespace: bed.namespace.clone(),
        name: name.to_owned(),
    }
}

fn create(bed: &Bed, object: &Value) {
    bed.apply(&object.to_string());
}

fn selection(words: &str) -> Selection {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    Selection::parse(&words, false, None).unwrap()
}

fn target() -> TargetRegistry {
    TargetRegistry::parse("reg.corp:5000/cache", Layout::Mirror).unwrap()
}

fn pod_spec(image: &str) -> Value {
    json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": "web", "image": image}]})
}

fn deployment(name: &str, replicas: u32, pod: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": pod}}})
}

fn repoint(from: &str, to: &str) -> Value {
    let path = "/spec/template/spec/containers/0/image";
    json!([{"op": "test", "path": path, "value": from}, {"op": "replace", "path": path, "value": to}])
}

fn names(observation: &Observation) -> Vec<String> {
    let observed = observation.observed.iter();
    observed.map(|one| one.workload.id.to_string()).collect()
}

#[tokio::test]
async fn a_patch_whose_test_fails_is_a_conflict_and_changes_nothing() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    create(&bed, &deployment("web", 0, &pod_spec("nginx:1")));
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let id = id(&bed, "deploy", "web");

    let patched = cluster
        .patch(&id, &repoint("nginx:1", "nginx:2"))
        .await
        .unwrap();
    assert_eq!(
        patched["spec"]["template"]["spec"]["containers"][0]["image"],
        "nginx:2"
    );
    let error = cluster
        .patch(&id, &repoint("nginx:1", "nginx:3"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error:?}");
    assert_eq!(cluster.get(&id).await.unwrap()["spec"], patched["spec"]);
}

#[tokio::test]
async fn a_server_dry_run_checks_and_stores_nothing() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    create(&bed, &deployment("web", 0, &pod_spec("nginx:1")));
    let cluster = cluster(&bed, WriteMode::ServerDryRun).await;
    let id = id(&bed, "deploy", "web");

    let shown = cluster
        .patch(&id, &repoint("nginx:1", "nginx:2"))
        .await
        .unwrap();
    assert_eq!(
        shown["spec"]["template"]["spec"]["containers"][0]["image"],
        "nginx:2"
    );
    assert_eq!(
        cluster.get(&id).await.unwrap()["spec"]["template"]["spec"]["containers"][0]["image"],
        "nginx:1"
    );
    let remove = json!([{"op": "remove", "path": "/spec/template/spec/containers/0/image"}]);
    let error = cluster.patch(&id, &remove).await.unwrap_err();
    assert!(
        matches!(&error, Error::Failed(text) if text.contains("image")),
        "{error:?}"
    );
}

#[tokio::test]
async fn disowning_leaves_no_trace_of_us_and_no_conflict_for_server_side_apply() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let manifest = deployment("web", 0, &pod_spec("nginx:1"));
    let file = bed.folder().join("web.json");
    let apply = |manifest: &str| {
        std::fs::write(&file, manifest).unwrap();
        let file = file.to_str().unwrap();
        bed.kubectl(&[
            "apply",
            "--server-side",
            "--field-manager=other",
            "-f",
            file,
        ])
    };
    apply(&manifest.to_string());
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let id = id(&bed, "deploy", "web");
    let managers = || {
        bed.kubectl(&[
            "get",
            "deploy",
            "web",
            "-o",
            "jsonpath={.metadata.managedFields[*].manager}",
        ])
    };

    cluster
        .patch(&id, &repoint("nginx:1", "nginx:2"))
        .await
        .unwrap();
    assert!(managers().contains("image-cloner"), "{}", managers());
    cluster
        .patch(&id, &repoint("nginx:2", "nginx:1"))
        .await
        .unwrap();
    cluster.disown(&id).await.unwrap();
    assert!(!managers().contains("image-cloner"), "{}", managers());
    cluster.disown(&id).await.unwrap();
    apply(&manifest.to_string().replace("nginx:1", "nginx:9"));
}

#[tokio::test]
async fn cron_jobs_are_read_and_patched_in_the_version_that_the_server_has() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let served = bed.kubectl(&["get", "--raw", "/apis/batch/v1"]);
    let version = if served.contains("cronjobs") {
        "v1"
    } else {
        "v1beta1"
    };
    let mut pod = pod_spec("nginx:1");
    pod["restartPolicy"] = json!("Never");
    create(
        &bed,
        &json!({"apiVersion": format!("batch/{version}"), "kind": "CronJob",
        "metadata": {"name": "backup"}, "spec": {"schedule": "0 0 1 1 *",
        "jobTemplate": {"spec": {"template": {"spec": pod}}}}}),
    );
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let id = id(&bed, "cj", "backup");
    let path = "/spec/jobTemplate/spec/template/spec/containers/0/image";
    let image = |object: Value| object.pointer(path).cloned();
    let read = cluster.get(&id).await.unwrap();
    assert_eq!(image(read), Some(json!("nginx:1")));
    let (found, missing) = cluster.workloads(&selection("cronjobs")).await.unwrap();
    assert_eq!((found.len(), missing.len()), (1, 0));
    let body = json!([{"op": "replace", "path": path, "value": "nginx:2"}]);
    let patched = cluster.patch(&id, &body).await.unwrap();
    assert_eq!(image(patched), Some(json!("nginx:2")));
    let later = cluster
        .wait(&id, None, Duration::from_secs(1))
        .await
        .unwrap();
    assert!(matches!(later, Rollout::Later(_)), "{later:?}");
}

#[tokio::test]
async fn what_is_missing_is_said_and_the_rest_is_observed() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    create(&bed, &deployment("web", 0, &pod_spec("nginx:1")));
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let words = format!(
        "deploy/gone deploy/web ns/{} ns/no-such-namespace",
        bed.namespace
    );
    let observation = cluster
        .observe(&selection(&words), &target())
        .await
        .unwrap();
    assert_eq!(names(&observation), ["deployment.apps/web"]);
    assert!(observation.observed[0].named);
    let missing: Vec<String> = observation.missing.iter().map(Error::to_string).collect();
    let web = format!(
        "getting deployment.apps/gone in {}: not found",
        bed.namespace
    );
    assert_eq!(
        missing,
        [
            "getting namespace/no-such-namespace: not found",
            web.as_str()
        ]
    );
}

#[tokio::test]
async fn the_surroundings_of_a_changed_workload_are_observed_again() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    create(&bed, &deployment("web", 0, &pod_spec("nginx:1")));
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let observation = cluster
        .observe(&selection("deploy/web"), &target())
        .await
        .unwrap();
    let before = &observation.observed[0];
    assert_eq!(before.pull_credentials, PullCredentials::None);

    let secret = ["create", "secret", "docker-registry", "regcred"];
    let content = [
        "--docker-server=reg.corp:5000",
        "--docker-username=u",
        "--docker-password=p",
    ];
    bed.kubectl(&[&secret[..], &content].concat());
    let secrets = r#"{"spec":{"template":{"spec":{"imagePullSecrets":[{"name":"regcred"}]}}}}"#;
    bed.kubectl(&["patch", "deploy", "web", "-p", secrets]);
    bed.kubectl(&[
        "annotate",
        "namespace",
        &bed.namespace,
        "image-cloner.io/skip=true",
    ]);
    let id = id(&bed, "deploy", "web");
    let object = cluster.get(&id).await.unwrap();
    let later = Workload::from_object(&id.kind, &object).unwrap();
    assert!(before.at(later.clone()).is_none());
    let (observed, keyring) = cluster.surround(later, true, &target()).await.unwrap();
    assert_eq!(observed.pull_credentials, PullCredentials::Own);
    assert!(observed.named && observed.namespace_opted_out);
    assert_eq!(keyring.find("reg.corp:5000", "cache").len(), 1);
}

#[tokio::test]
async fn an_opted_out_namespace_is_known() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    create(&bed, &deployment("web", 0, &pod_spec("nginx:1")));
    bed.kubectl(&[
        "annotate",
        "namespace",
        &bed.namespace,
        "image-cloner.io/skip=true",
    ]);
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let everywhere = Selection::parse(&["deploy".to_owned()], true, Some("!absent")).unwrap();
    for selection in [selection("deploy"), everywhere] {
        let observation = cluster.observe(&selection, &target()).await.unwrap();
        let mut ours = observation.observed.iter();
        let ours = ours
            .find(|one| one.workload.id.namespace == bed.namespace)
            .unwrap();
        assert!(ours.namespace_opted_out && !ours.named);
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_or_does_not_know_us_is_said_with_a_hint() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let ask = async |flags: ConnectFlags| {
        let cluster = Cluster::connect(&flags, WriteMode::Apply).await.unwrap();
        let error = cluster.namespaces().await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        (
            error.to_string(),
            error.hint().unwrap_or_default().to_owned(),
        )
    };
    let server = Some("https://127.0.0.1:1".to_owned());
    let (error, hint) = ask(ConnectFlags {
        server,
        ..flags(&bed)
    })
    .await;
    assert_eq!(
        error,
        "listing namespaces: cannot reach https://127.0.0.1:1: connection refused"
    );
    assert!(hint.contains("running"), "{hint}");

    let kubeconfig = std::env::var("KUBECONFIG").unwrap();
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let changed = |from: &str, to: &str| {
        let path = dir.path().join(from);
        let lines = text
            .lines()
            .map(|line| match line.trim_start().strip_prefix(from) {
                Some(_) => format!("{}{to}\n", &line[..line.len() - line.trim_start().len()]),
                None => format!("{line}\n"),
            });
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        ConnectFlags {
            kubeconfig: Some(path),
            ..flags(&bed)
        }
    };
    let (error, hint) = ask(changed(
        "certificate-authority",
        "tls-server-name: 127.0.0.1",
    ))
    .await;
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert!(hint.contains("certificate authority"), "{hint}");

    let mut nobody = changed("client-", "");
    nobody.token = Some("wrong".to_owned().into());
    let (error, hint) = ask(nobody).await;
    assert!(
        error.contains("does not accept the credentials of context"),
        "{error}"
    );
    assert!(hint.contains("log in"), "{hint}");
}

#[tokio::test]
async fn a_malformed_label_selector_is_the_users_mistake() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let selection = Selection::parse(&["deploy".to_owned()], false, Some("a==b==c")).unwrap();
    let error = cluster.workloads(&selection).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
}

#[tokio::test]
async fn the_clusters_own_registry_is_read_where_it_publishes_one() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let cluster = cluster(&bed, WriteMode::Apply).await;
    assert!(cluster.namespaces().await.unwrap().contains(&bed.namespace));
    assert_eq!(cluster.namespace(), bed.namespace);
    assert_eq!(cluster.context(), "testbed");
}
