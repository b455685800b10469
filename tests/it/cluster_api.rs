//! `cluster` against a real API server: the one of the test bed, whose environment these tests read.

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
async fn whoever_may_not_read_secrets_still_observes_with_a_note() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let mut pod = pod_spec("nginx:1");
    pod["imagePullSecrets"] = json!([{"name": "regcred"}]);
    create(&bed, &deployment("web", 0, &pod));
    let create = ["create", "role", "reader", "--verb=get,list"];
    let what = "--resource=deployments.apps,pods,serviceaccounts";
    bed.kubectl(&[&create[..], &[what]].concat());
    bed.kubectl(&[
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        "--user=jane",
    ]);
    let flags = ConnectFlags {
        impersonate: Some("jane".to_owned()),
        ..flags(&bed)
    };
    let cluster = Cluster::connect(&flags, WriteMode::Apply).await.unwrap();

    let observation = cluster
        .observe(&selection("deploy/web sts/db"), &target())
        .await
        .unwrap();
    assert_eq!(names(&observation), ["deployment.apps/web"]);
    let note = format!("cannot read secrets in {}: ", bed.namespace);
    assert!(
        observation.notes.iter().any(|said| said.starts_with(&note)),
        "{:?}",
        observation.notes
    );
    assert!(
        matches!(&observation.missing[..], [Error::Forbidden(text)] if text.contains("statefulsets")),
        "{:?}",
        observation.missing
    );
    let error = cluster
        .patch(&id(&bed, "deploy", "web"), &repoint("a", "b"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Forbidden(_)), "{error:?}");
}

#[tokio::test]
async fn pull_secrets_of_workload_and_account_make_the_keyring_and_say_who_can_pull() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let secret = |name: &str, host: &str| {
        let server = format!("--docker-server={host}");
        let args = ["create", "secret", "docker-registry", name, &server];
        bed.kubectl(&[&args[..], &["--docker-username=u", "--docker-password=p"]].concat());
    };
    secret("source", "registry.corp:5443");
    secret("target", "reg.corp:5000");
    create(
        &bed,
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"},
        "imagePullSecrets": [{"name": "target"}, {"name": "gone"}]}),
    );
    let mut pod = pod_spec("registry.corp:5443/team/app:1");
    pod["serviceAccountName"] = json!("puller");
    create(&bed, &deployment("by-account", 0, &pod));
    pod["imagePullSecrets"] = json!([{"name": "source"}]);
    create(&bed, &deployment("by-itself", 0, &pod));

    let cluster = cluster(&bed, WriteMode::Apply).await;
    let observation = cluster
        .observe(&selection("deploy"), &target())
        .await
        .unwrap();
    assert_eq!(
        names(&observation),
        ["deployment.apps/by-account", "deployment.apps/by-itself"]
    );
    assert_eq!(observation.notes, [""; 0]);
    let [account, itself] = &observation.observed[..] else {
        panic!()
    };
    let names = account.account_pull_secrets.as_deref().unwrap();
    assert_eq!(names, ["target", "gone"]);
    assert_eq!(account.pull_credentials, PullCredentials::Own);
    // admission gives the account's secrets to nobody who has some
    assert_eq!(itself.pull_credentials, PullCredentials::None);
    let keyring = &observation.keyrings[&itself.workload.id];
    assert_eq!(keyring.find("registry.corp:5443", "team/app").len(), 1);
    assert_eq!(keyring.find("reg.corp:5000", "cache").len(), 1);
}

#[tokio::test]
async fn an_account_that_may_not_be_read_is_unknown_and_one_that_is_not_there_is_empty() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    create(&bed, &deployment("web", 0, &pod_spec("nginx:1")));
    let mut pod = pod_spec("nginx:1");
    pod["serviceAccountName"] = json!("gone");
    create(&bed, &deployment("without", 0, &pod));
    let account_of = async |cluster: &Cluster, name: &str| {
        let selection = selection(&format!("deploy/{name}"));
        let observation = cluster.observe(&selection, &target()).await.unwrap();
        observation.observed[0].account_pull_secrets.clone()
    };
    let admin = cluster(&bed, WriteMode::Apply).await;
    assert_eq!(account_of(&admin, "web").await, Some(vec![]));
    assert_eq!(account_of(&admin, "without").await, Some(vec![]));

    let role = ["create", "role", "reader", "--verb=get,list"];
    bed.kubectl(&[&role[..], &["--resource=deployments.apps,pods"]].concat());
    let to = ["--role=reader", "--user=jack"];
    bed.kubectl(&[&["create", "rolebinding", "reader"][..], &to].concat());
    let flags = ConnectFlags {
        impersonate: Some("jack".to_owned()),
        ..flags(&bed)
    };
    let jack = Cluster::connect(&flags, WriteMode::Apply).await.unwrap();
    assert_eq!(account_of(&jack, "web").await, None);
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
async fn our_pull_secret_is_made_kept_up_and_left_alone_when_it_is_right() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let ensure = async |name: &str, key: &str, password: &str| {
        let credentials = Credentials::Basic {
            username: "puller".to_owned(),
            password: password.to_owned().into(),
        };
        let key = key.to_owned();
        let wanted = PullSecret { key, credentials };
        cluster
            .ensure_pull_secret(&bed.namespace, name, &wanted)
            .await
    };
    let version = || {
        let get = [
            "get",
            "secret",
            "image-cloner-pull",
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ];
        bed.kubectl(&get)
    };
    let twice = tokio::join!(
        ensure("image-cloner-pull", "reg.corp:5000/cache", "a"),
        ensure("image-cloner-pull", "other.corp", "b")
    );
    twice.0.unwrap();
    twice.1.unwrap();
    let before = version();
    ensure("image-cloner-pull", "other.corp", "b")
        .await
        .unwrap();
    assert_eq!(version(), before);
    ensure("image-cloner-pull", "other.corp", "c")
        .await
        .unwrap();
    assert_ne!(version(), before);

    let mut pod = pod_spec("nginx:1");
    pod["imagePullSecrets"] = json!([{"name": "image-cloner-pull"}]);
    create(&bed, &deployment("web", 0, &pod));
    let observation = cluster
        .observe(&selection("deploy/web"), &target())
        .await
        .unwrap();
    // ours, which never counts as the user's own: it is to be kept up
    let pulls = observation.observed[0].pull_credentials;
    assert_eq!(pulls, PullCredentials::Ours);

    bed.kubectl(&[
        "create",
        "secret",
        "generic",
        "regcred",
        "--from-literal=a=b",
    ]);
    let error = ensure("regcred", "other.corp", "b").await.unwrap_err();
    assert!(error.to_string().contains("is not ours"), "{error}");
}

#[tokio::test]
async fn a_pull_secret_that_the_user_names_must_be_there_and_serve_the_target() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let create = |args: &[&str]| bed.kubectl(&[&["create", "secret"][..], args].concat());
    create(&["generic", "opaque", "--from-literal=a=b"]);
    for (name, host) in [("good", "reg.corp:5000"), ("other", "other.corp")] {
        let server = format!("--docker-server={host}");
        let login = ["--docker-username=u", "--docker-password=p"];
        create(&[&["docker-registry", name, &server][..], &login].concat());
    }
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let check = async |name: &str, expected: &str| {
        let target = target();
        let answer = cluster.check_pull_secret(&bed.namespace, name, &target);
        let answer = answer
            .await
            .map_or_else(|error| error.to_string(), |()| "good".to_owned());
        assert_eq!(answer.replace(&bed.namespace, "NS"), expected);
    };
    check("good", "good").await;
    check(
        "other",
        "secret/other in NS has no credentials for reg.corp:5000/cache",
    )
    .await;
    check("opaque", "secret/opaque in NS is no pull secret").await;
    check("gone", "getting secret/gone in NS: not found").await;
}

#[tokio::test]
async fn a_rollout_is_followed_and_the_digests_that_run_are_seen() {
    let Some(bed) = Bed::share("cluster", true) else {
        return;
    };
    let good = "nginx:1.21.4-alpine";
    create(&bed, &deployment("web", 2, &pod_spec(good)));
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let id = id(&bed, "deploy", "web");
    let rollout = cluster
        .wait(&id, None, Duration::from_secs(90))
        .await
        .unwrap();
    assert_eq!(rollout, Rollout::Ready("2/2 ready".to_owned()));

    let observation = cluster
        .observe(&selection("deploy/web"), &target())
        .await
        .unwrap();
    let running: Vec<_> = observation.observed[0].running.iter().collect();
    assert_eq!(running.len(), 1, "{running:?}");
    assert_eq!(
        (running[0].0.to_string().as_str(), running[0].1.len()),
        ("containers/web", 1)
    );

    let bad = "nginx:no-such-tag";
    cluster.patch(&id, &repoint(good, bad)).await.unwrap();
    let rollout = cluster
        .wait(&id, None, Duration::from_secs(8))
        .await
        .unwrap();
    let Rollout::NotReady(not_ready) = &rollout else {
        panic!("{rollout:?}")
    };
    assert!(not_ready.cannot_pull);
    let reason = &not_ready.why;
    assert!(
        reason.starts_with("web-") && reason.contains("no-such-tag"),
        "{reason}"
    );
    // the pods that still run are of the old image text
    let observation = cluster
        .observe(&selection("deploy/web"), &target())
        .await
        .unwrap();
    assert!(observation.observed[0].running.is_empty());
}

#[tokio::test]
async fn a_bare_pod_is_followed_until_its_new_container_runs_or_says_why_not() {
    let Some(bed) = Bed::share("cluster", true) else {
        return;
    };
    let good = "nginx:1.21.4-alpine";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"},
                     "spec": pod_spec(good)});
    create(&bed, &pod);
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let id = id(&bed, "po", "bare");
    let ready = Rollout::Ready("1/1 ready".to_owned());
    let rollout = cluster.wait(&id, None, Duration::from_secs(60)).await;
    assert_eq!(rollout.unwrap(), ready);

    let follow = async |from: &str, to: &str, seconds: u64| {
        let path = "/spec/containers/0/image";
        let body = json!([{"op": "test", "path": path, "value": from},
                          {"op": "replace", "path": path, "value": to}]);
        let object = &cluster.patch(&id, &body).await.unwrap();
        let list = SlotList::Containers;
        let name = "web".to_owned();
        let slots = &[SlotChange {
            slot: SlotKey { list, name },
            from: from.to_owned(),
            to: to.to_owned(),
        }];
        let write = Some(Write { slots, object });
        let rollout = cluster.wait(&id, write, Duration::from_secs(seconds));
        rollout.await.unwrap()
    };
    // the same content by another name, which containerd may report under the first
    let same = "docker.io/library/nginx:1.21.4-alpine";
    assert_eq!(follow(good, same, 60).await, ready);
    let restarts = "jsonpath={.status.containerStatuses[0].restartCount}";
    let restarts = bed.kubectl(&["get", "pod", "bare", "-o", restarts]);
    assert_eq!(restarts, "1");

    let Rollout::NotReady(not_ready) = follow(same, "nginx:no-such-tag", 8).await else {
        panic!("nothing to pull")
    };
    let reason = not_ready.why;
    assert!(
        reason.starts_with("bare on ") && reason.contains("no-such-tag"),
        "{reason}"
    );
}

#[tokio::test]
async fn every_kind_with_pods_rolls_out_and_says_which_digest_runs() {
    let Some(bed) = Bed::share("cluster", true) else {
        return;
    };
    let pod = pod_spec("quay.io/prometheus/node-exporter:v1");
    for (kind, name) in [("StatefulSet", "db"), ("DaemonSet", "agent")] {
        let mut object = deployment(name, 1, &pod);
        object["kind"] = json!(kind);
        match kind {
            "StatefulSet" => object["spec"]["serviceName"] = json!(name),
            _ => drop(object["spec"].as_object_mut().unwrap().remove("replicas")),
        }
        create(&bed, &object);
    }
    create(
        &bed,
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"},
        "spec": pod.clone()}),
    );
    let mut once = pod;
    once["restartPolicy"] = json!("Never");
    once["containers"][0]["command"] = json!(["/bin/busybox", "true"]);
    create(
        &bed,
        &json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"},
        "spec": {"template": {"spec": once}}}),
    );

    let cluster = cluster(&bed, WriteMode::Apply).await;
    for (word, name) in [("sts", "db"), ("ds", "agent")] {
        let rollout = cluster
            .wait(&id(&bed, word, name), None, Duration::from_secs(60))
            .await;
        assert_eq!(
            rollout.unwrap(),
            Rollout::Ready("1/1 ready".to_owned()),
            "{word}"
        );
    }
    bed.kubectl(&["wait", "--for=condition=Ready", "pod/bare", "--timeout=60s"]);
    bed.kubectl(&[
        "wait",
        "--for=condition=Complete",
        "job/once",
        "--timeout=60s",
    ]);
    let all = selection(&format!("ns/{}", bed.namespace));
    let observation = cluster.observe(&all, &target()).await.unwrap();
    let expected = [
        "statefulset.apps/db",
        "daemonset.apps/agent",
        "job.batch/once",
        "pod/bare",
    ];
    assert_eq!(names(&observation), expected);
    for one in &observation.observed {
        assert_eq!(one.running.len(), 1, "{}", one.workload.id);
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
