//! `clone` against a real cluster and real registries.

use crate::bed::{ApiProxy, Bed, Tally, deployment, idle, var};
use serde_json::{Value, json};

fn images(object: &Value) -> Vec<&str> {
    object["spec"]["template"]["spec"]["containers"]
        .as_array()
        .expect("containers")
        .iter()
        .map(|container| container["image"].as_str().expect("an image"))
        .collect()
}

#[test]
fn a_deployment_runs_from_its_copy_and_a_second_clone_does_nothing() {
    let Some(bed) = Bed::share("first", true) else {
        return;
    };
    let target = bed.target();
    bed.apply(&deployment(
        "nginx",
        &[("nginx", "nginx:1.21.4-alpine")],
        &[],
    ));
    bed.rolled_out("deploy/nginx");

    let ran = bed.plugin(&["clone", "deploy/nginx", "--wait"]).exits(0);
    assert_eq!(ran.stdout, "deployment.apps/nginx repointed, 1/1 ready\n");

    let copy = format!("{target}/nginx:1.21.4-alpine");
    let pods = bed.get("pods");
    let running: Vec<_> = pods["items"]
        .as_array()
        .expect("pods")
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .collect();
    assert_eq!(running.len(), 1);
    let status = &running[0]["status"]["containerStatuses"][0];
    assert_eq!(running[0]["spec"]["containers"][0]["image"], json!(copy));
    assert_eq!(status["ready"], json!(true));

    let repository = format!("{}/nginx", bed.namespace);
    let source = bed
        .digest("DOCKER_IO", "library/nginx", "1.21.4-alpine")
        .expect("in the source");
    assert_eq!(
        bed.digest("TARGET", &repository, "1.21.4-alpine").as_ref(),
        Some(&source)
    );
    let id = status["imageID"].as_str().expect("an image id");
    assert!(id.ends_with(&source), "{id} is not {source}");

    let deployment = bed.get("deploy/nginx");
    let record = &deployment["metadata"]["annotations"]["image-cloner.io/originals"];
    let record: Value = serde_json::from_str(record.as_str().expect("a record")).expect("JSON");
    assert_eq!(
        record["slots"]["containers/nginx"],
        json!({"original": "nginx:1.21.4-alpine", "target": copy})
    );

    let writes = bed.writes("TARGET");
    assert!(!writes.is_empty(), "the first clone wrote to the registry");
    let proxy = ApiProxy::start();
    let api = Tally::before(proxy.address());
    let server = format!("http://{}", api.address());
    let nobody = bed.folder().join("kubeconfig");
    std::fs::write(&nobody, "{}").expect("a file");
    let mut again = bed.plugin_command(&["clone", "deploy/nginx", "--server", &server]);
    again.env("KUBECONFIG", nobody);
    let again = bed.ran(again.output().expect("the plugin starts")).exits(0);
    assert_eq!(again.stdout, "deployment.apps/nginx unchanged\n");
    assert_eq!(bed.writes("TARGET"), writes);
    let asked = api.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|request| request.starts_with("GET ")),
        "{asked:#?}"
    );
    // which controllers' writes of its status leave as it is
    let now = bed.get("deploy/nginx");
    for part in ["generation", "annotations", "labels"] {
        assert_eq!(now["metadata"][part], deployment["metadata"][part]);
    }
}

#[test]
fn kubectl_finds_the_plugin() {
    let Some(bed) = Bed::share("kubectl", false) else {
        return;
    };
    let command = bed.plugin_command(&[]);
    let folder = std::path::Path::new(command.get_program())
        .parent()
        .expect("a folder");
    let path = std::env::join_paths(std::iter::once(folder.to_owned()).chain(
        std::env::split_paths(&std::env::var_os("PATH").expect("a PATH")),
    ))
    .expect("a PATH");
    let output = std::process::Command::new("kubectl")
        .args(["image-cloner", "version", "--client"])
        .env("PATH", path)
        .output()
        .expect("kubectl is installed by the bed");
    let ran = bed.ran(output).exits(0);
    assert_eq!(
        ran.stdout,
        format!("client  v{}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn images_of_three_registries_make_one_rollout() {
    let Some(bed) = Bed::share("many", true) else {
        return;
    };
    let target = bed.target();
    bed.apply(&deployment(
        "many",
        &[
            ("web", "nginx:1.21.4-alpine"),
            ("side", "quay.io/prometheus/node-exporter:v1"),
        ],
        &[("wait", "busybox:1.36"), ("tool", "ghcr.io/acme/tool:2")],
    ));
    // the init containers sleep for ever as packed; here they are to end
    for index in [0, 1] {
        let command = format!(
            r#"[{{"op":"add","path":"/spec/template/spec/initContainers/{index}/command","value":["true"]}}]"#
        );
        bed.kubectl(&["patch", "deploy/many", "--type=json", "-p", &command]);
    }
    bed.rolled_out("deploy/many");
    let sets = |bed: &Bed| bed.get("rs")["items"].as_array().expect("a list").len();
    let before = sets(&bed);

    bed.plugin(&["clone", "deploy/many", "--wait", "-o", "name"])
        .exits(0);

    assert_eq!(sets(&bed), before + 1);
    let object = bed.get("deploy/many");
    assert_eq!(
        images(&object),
        [
            format!("{target}/nginx:1.21.4-alpine"),
            format!("{target}/quay.io/prometheus/node-exporter:v1")
        ]
    );
    let init = &object["spec"]["template"]["spec"]["initContainers"];
    assert_eq!(init[0]["image"], json!(format!("{target}/busybox:1.36")));
    assert_eq!(
        init[1]["image"],
        json!(format!("{target}/ghcr.io/acme/tool:2"))
    );
}

#[test]
fn a_namespace_is_done_as_far_as_it_can_be() {
    let Some(bed) = Bed::share("space", true) else {
        return;
    };
    let target = bed.target();
    let pod = "metadata: {labels: {app: KIND}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: 'busybox:1.36'}]";
    for (kind, extra) in [("StatefulSet", "\n  serviceName: none"), ("DaemonSet", "")] {
        let name = kind.to_lowercase();
        bed.apply(&format!(
            "apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:{extra}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    {}
",
            pod.replace("KIND", &name)
        ));
    }
    bed.apply(
        "apiVersion: batch/v1
kind: Job
metadata: {name: job}
spec:
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: 'ghcr.io/acme/tool:2'}]
",
    );
    bed.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: bare}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: 'quay.io/prometheus/node-exporter:v1'}]
",
    );
    bed.apply(&deployment(
        "asleep",
        &[("main", "nginx:1.21.4-alpine")],
        &[],
    ));
    bed.kubectl(&["scale", "deploy/asleep", "--replicas=0"]);
    bed.apply(&deployment(
        "broken",
        &[("main", "docker.io/acme/no-such-image:1")],
        &[],
    ));

    let ran = bed
        .plugin(&["clone", &format!("ns/{}", bed.namespace), "--yes"])
        .exits(1);
    let mut lines: Vec<_> = ran.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "daemonset.apps/daemonset repointed, 1/1 ready",
            "deployment.apps/asleep repointed, takes effect later: scaled to zero, when it is scaled up",
            "job.batch/job copied only: a Job's template cannot be changed",
            "pod/bare copied only: changing its image would kill its container, which its restart policy \
             may not start again",
            "statefulset.apps/statefulset repointed, 1/1 ready",
        ],
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("deployment.apps/broken in "),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("acme/no-such-image:1"),
        "{}",
        ran.stderr
    );

    assert_eq!(
        images(&bed.get("deploy/broken")),
        ["docker.io/acme/no-such-image:1"]
    );
    assert_eq!(
        images(&bed.get("deploy/asleep")),
        [format!("{target}/nginx:1.21.4-alpine")]
    );
    for name in ["sts/statefulset", "ds/daemonset"] {
        assert_eq!(images(&bed.get(name)), [format!("{target}/busybox:1.36")]);
    }
    for (repository, tag) in [
        ("ghcr.io/acme/tool", "2"),
        ("quay.io/prometheus/node-exporter", "v1"),
    ] {
        let repository = format!("{}/{repository}", bed.namespace);
        assert!(
            bed.digest("TARGET", &repository, tag).is_some(),
            "{repository} was copied"
        );
    }
}

#[test]
fn pull_secrets_of_the_service_account_still_work() {
    let Some(bed) = Bed::share("account", true) else {
        return;
    };
    let target = bed.target();
    bed.corp_secret("corp", &var("CORP_PASS"));
    bed.kubectl(&[
        "patch",
        "sa/default",
        "-p",
        r#"{"imagePullSecrets":[{"name":"corp"}]}"#,
    ]);
    bed.apply(&deployment(
        "app",
        &[("app", "registry.corp:5443/team/app:1")],
        &[],
    ));
    bed.rolled_out("deploy/app");

    // no credentials of this machine read the source: the namespace's own do
    bed.plugin(&["clone", "deploy/app", "--wait"]).exits(0);
    let spec = &bed.get("deploy/app")["spec"]["template"]["spec"];
    assert_eq!(
        spec["containers"][0]["image"],
        json!(format!("{target}/registry.corp__5443/team/app:1"))
    );
    assert_eq!(
        spec["imagePullSecrets"],
        json!([{"name": "corp"}, {"name": "image-cloner-pull"}])
    );

    // an image that only the account's secret opens can still be pulled next to the copy
    let back = r#"[{"op":"add","path":"/spec/template/spec/containers/-",
        "value":{"name":"again","image":"registry.corp:5443/team/app:1","imagePullPolicy":"Always"}}]"#;
    bed.kubectl(&["patch", "deploy/app", "--type=json", "-p", back]);
    bed.rolled_out("deploy/app");
}

#[test]
fn the_pull_secret_holds_the_pull_credentials_alone() {
    let Some(bed) = Bed::share("secret", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    bed.plugin(&["clone", "deploy/web"]).exits(0);
    let secret = bed.get("secret/image-cloner-pull");
    assert_eq!(
        secret["metadata"]["labels"]["app.kubernetes.io/managed-by"],
        json!("image-cloner")
    );
    let entries = bed.pull_logins();
    let entry = &entries[bed.target().as_str()];
    assert_eq!(entry["username"], json!(var("PULL_USER")));
    assert!(
        !entries.to_string().contains(&var("TARGET_PASS")),
        "push credentials stay here"
    );
}

#[test]
fn the_pull_secret_holds_the_push_credentials_where_that_is_asked_for() {
    let Some(bed) = Bed::share("shares", false) else {
        return;
    };
    bed.apply(&idle("web", "nginx:1.21.4-alpine"));
    let mut clone = bed.plugin_command(&["clone", "deploy/web", "--share-credentials"]);
    clone
        .env_remove("IMAGE_CLONER_PULL_USER")
        .env_remove("IMAGE_CLONER_PULL_PASS");
    bed.ran(clone.output().expect("the plugin starts")).exits(0);
    let entry = &bed.pull_logins()[bed.target().as_str()];
    assert_eq!(entry["username"], json!(var("TARGET_USER")));
    assert_eq!(entry["password"], json!(var("TARGET_PASS")));
}

#[test]
fn a_target_open_to_all_needs_no_pull_secret() {
    let Some(bed) = Bed::share("open", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
    bed.plugin(&["clone", "deploy/web", "--to", &bed.open_target()])
        .exits(0);
    let object = bed.get("deploy/web");
    assert_eq!(
        images(&object),
        [format!("{}/nginx:1.21.4-alpine", bed.open_target())]
    );
    assert!(object["spec"]["template"]["spec"]["imagePullSecrets"].is_null());
}

#[test]
fn copy_prints_source_target_and_digest() {
    let Some(bed) = Bed::share("copy", false) else {
        return;
    };
    let target = bed.target();
    let ran = bed
        .plugin(&["copy", "busybox:1.36", "ghcr.io/acme/tool:2"])
        .exits(0);
    let busybox = bed
        .digest("DOCKER_IO", "library/busybox", "1.36")
        .expect("in the source");
    let tool = bed
        .digest("GHCR_IO", "acme/tool", "2")
        .expect("in the source");
    let mut lines: Vec<_> = ran.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            format!("busybox:1.36 {target}/busybox:1.36 {busybox}"),
            format!("ghcr.io/acme/tool:2 {target}/ghcr.io/acme/tool:2 {tool}"),
        ]
    );
    let writes = bed.writes("TARGET");
    bed.plugin(&["copy", "busybox:1.36"]).exits(0);
    assert_eq!(
        bed.writes("TARGET"),
        writes,
        "an image that is there costs no write"
    );
}

#[test]
fn cron_jobs_and_pods_that_restart_are_repointed() {
    let Some(bed) = Bed::share("others", true) else {
        return;
    };
    let target = bed.target();
    let version = if bed
        .kubectl(&["get", "--raw", "/apis/batch/v1"])
        .contains("cronjobs")
    {
        "v1"
    } else {
        "v1beta1"
    };
    bed.apply(&format!(
        "apiVersion: batch/{version}
kind: CronJob
metadata: {{name: nightly}}
spec:
  schedule: '0 0 1 1 *'
  jobTemplate: {{spec: {{template: {{spec: {{
    restartPolicy: Never,
    containers: [{{name: main, image: 'busybox:1.36'}}]}}}}}}}}
"
    ));
    bed.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: keeper}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: 'busybox:1.36'}]
",
    );
    // a pod's pull secrets cannot be changed, and the open target needs none
    let open = bed.open_target();
    bed.plugin(&["clone", "cj/nightly"]).exits(0);
    bed.plugin(&["clone", "pod/keeper", "--to", &open]).exits(0);
    let template = &bed.get("cj/nightly")["spec"]["jobTemplate"]["spec"]["template"];
    assert_eq!(
        template["spec"]["containers"][0]["image"],
        json!(format!("{target}/busybox:1.36"))
    );
    let pod = bed.get("pod/keeper");
    assert_eq!(
        pod["spec"]["containers"][0]["image"],
        json!(format!("{open}/busybox:1.36"))
    );
    bed.plugin(&["restore", "cj/nightly", "pod/keeper"])
        .exits(0);
    let pod = bed.get("pod/keeper");
    assert_eq!(pod["spec"]["containers"][0]["image"], json!("busybox:1.36"));
}
