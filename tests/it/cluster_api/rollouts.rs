//! Rollouts, followed to their end.

use super::*;

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
        .wait(&id, None, Duration::from_secs(90))
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
    let rollout = cluster.wait(&id, None, Duration::from_secs(180)).await;
    assert_eq!(rollout.unwrap(), ready);

    let patch = async |from: &str, to: &str| {
        let path = "/spec/containers/0/image";
        let body = json!([{"op": "test", "path": path, "value": from},
                          {"op": "replace", "path": path, "value": to}]);
        let list = SlotList::Containers;
        let name = "web".to_owned();
        let change = SlotChange {
            slot: SlotKey { list, name },
            from: from.to_owned(),
            to: to.to_owned(),
        };
        (cluster.patch(&id, &body).await.unwrap(), [change])
    };
    let follow = async |(object, slots): &(Value, [SlotChange; 1]), seconds: u64| {
        let write = Some(Write { slots, object });
        let rollout = cluster.wait(&id, write, Duration::from_secs(seconds));
        rollout.await.unwrap()
    };
    // the same content by another name, which containerd may report under the first
    let same = "docker.io/library/nginx:1.21.4-alpine";
    let written = patch(good, same).await;
    assert_eq!(follow(&written, 180).await, ready);
    let restarts = "jsonpath={.status.containerStatuses[0].restartCount}";
    let restarts = bed.kubectl(&["get", "pod", "bare", "-o", restarts]);
    assert_eq!(restarts, "1");

    // between two pulls the kubelet speaks of the container that it ended
    let written = patch(same, "nginx:no-such-tag").await;
    let mut reasons = Vec::new();
    while !reasons
        .iter()
        .any(|why: &String| why.starts_with("bare on ") && why.contains("no-such-tag"))
    {
        assert!(reasons.len() < 30, "{reasons:#?}");
        let Rollout::NotReady(not_ready) = follow(&written, 8).await else {
            panic!("nothing to pull")
        };
        reasons.push(not_ready.why);
    }
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
            .wait(&id(&bed, word, name), None, Duration::from_secs(180))
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
