//! What is repointed now and rolls out some other time.

use crate::bed::{Bed, deployment, idle};

#[test]
fn what_does_not_roll_out_now_says_when_it_will() {
    let Some(bed) = Bed::share("later", false) else {
        return;
    };
    bed.apply(&deployment("paused", &[("web", "busybox:1.36")], &[]));
    bed.kubectl(&["rollout", "pause", "deploy/paused"]);
    bed.apply(&deployment("asleep", &[("web", "busybox:1.36")], &[]));
    bed.kubectl(&["scale", "deploy/asleep", "--replicas=0"]);
    for (kind, extra) in [("StatefulSet", "serviceName: none"), ("DaemonSet", "")] {
        let name = kind.to_lowercase();
        bed.apply(&format!(
            "apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  {extra}
  updateStrategy: {{type: OnDelete}}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: web, image: 'busybox:1.36'}}]}}
"
        ));
    }
    bed.apply(
        "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: held}
spec:
  serviceName: none
  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}
  selector: {matchLabels: {app: held}}
  template:
    metadata: {labels: {app: held}}
    spec: {containers: [{name: web, image: 'busybox:1.36'}]}
",
    );
    let jobs = if bed
        .kubectl(&["get", "--raw", "/apis/batch/v1"])
        .contains("cronjobs")
    {
        "v1"
    } else {
        "v1beta1"
    };
    bed.apply(&format!(
        "apiVersion: batch/{jobs}
kind: CronJob
metadata: {{name: nightly}}
spec:
  schedule: '0 0 1 1 *'
  jobTemplate: {{spec: {{template: {{spec: {{
    restartPolicy: Never,
    containers: [{{name: web, image: 'busybox:1.36'}}]}}}}}}}}
"
    ));
    bed.apply(&idle("set", "busybox:1.36").replace("kind: Deployment", "kind: ReplicaSet"));
    let names = [
        "deploy/paused",
        "deploy/asleep",
        "sts/statefulset",
        "ds/daemonset",
        "sts/held",
        "cj/nightly",
        "rs/set",
    ];
    let target = bed.open_target();
    let words = [&["clone"], &names[..], &["--wait", "--to", &target]].concat();
    let ran = bed.plugin(&words).exits(0);
    let mut lines: Vec<_> = ran.stdout.lines().collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"), @r"
    cronjob.batch/nightly repointed, takes effect later: at the next scheduled Job
    daemonset.apps/daemonset repointed, takes effect later: OnDelete, as its pods are deleted
    deployment.apps/asleep repointed, takes effect later: scaled to zero, when it is scaled up
    deployment.apps/paused repointed, takes effect later: paused, when it is resumed
    replicaset.apps/set repointed, takes effect later: for the pods that it makes from now on
    statefulset.apps/held repointed, takes effect later: its partition holds every pod back
    statefulset.apps/statefulset repointed, takes effect later: OnDelete, as its pods are deleted
    ");
}
