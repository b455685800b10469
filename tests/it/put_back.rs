//! A clone taken back, against an API server that answers what a test tells it.

use crate::cluster_wire::{Server, failure};
use image_cloner::execute::{PutBack, put_back};
use image_cloner::plan::{PullSecretChange, Repoint, SlotChange};
use image_cloner::workload::{Kind, ORIGINALS, Workload, WorkloadId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const RECORD: &str =
    r#"{"run":"1","slots":{"containers/a":{"original":"nginx:1","target":"reg.corp/nginx:1"}}}"#;
const SOON: Duration = Duration::from_secs(20);

fn id() -> WorkloadId {
    WorkloadId {
        kind: Kind::from_word("sts").unwrap(),
        namespace: "shop".to_owned(),
        name: "db".to_owned(),
    }
}

/// A StatefulSet, before it was cloned or after; its controller has seen the second generation.
fn stateful_set(is_cloned: bool, generation: u64) -> Value {
    let (image, annotations) = if is_cloned {
        ("reg.corp/nginx:1", json!({ORIGINALS: RECORD}))
    } else {
        ("nginx:1", json!({}))
    };
    let pod = json!({"containers": [{"name": "a", "image": image}]});
    json!({
        "metadata": {"name": "db", "namespace": "shop", "uid": "u", "generation": generation,
                     "annotations": annotations, "managedFields": [{"manager": "image-cloner"}]},
        "spec": {"selector": {"matchLabels": {"app": "db"}}, "template": {"spec": pod}},
        "status": {"observedGeneration": 2, "updateRevision": "db-1"},
    })
}

fn done() -> (Workload, Repoint) {
    let before = Workload::from_object(&id().kind, &stateful_set(false, 1)).unwrap();
    let slots = before.slots.iter().map(|slot| SlotChange {
        slot: slot.key.clone(),
        from: "nginx:1".to_owned(),
        to: "reg.corp/nginx:1".to_owned(),
    });
    let repoint = Repoint {
        slots: slots.collect(),
        pull_secrets: PullSecretChange::Keep,
        needs_pull_secret: None,
        annotations: BTreeMap::from([(ORIGINALS, Some(RECORD.to_owned()))]),
    };
    (before, repoint)
}

/// An API server with a cloned StatefulSet that becomes this generation with the first patch, and with a pod of
/// the cloned revision that is not ready.
async fn server(generation: u64, first_answer_is_lost: bool) -> Server {
    let is_back = AtomicBool::new(false);
    Server::start(move |line, _| {
        let (method, path) = line.split_once(' ').unwrap();
        match (method, path.split('?').next().unwrap()) {
            ("PATCH", _) => {
                let is_first = !is_back.swap(true, Ordering::SeqCst);
                if is_first && first_answer_is_lost {
                    failure(500, "InternalError")
                } else {
                    (200, stateful_set(false, generation))
                }
            }
            ("GET", path) if path.ends_with("/pods") => {
                let pod = json!({"metadata": {
                    "name": "db-0", "uid": "p", "labels": {"controller-revision-hash": "db-2"},
                    "ownerReferences": [{"uid": "u"}],
                }});
                (200, json!({"metadata": {}, "items": [pod]}))
            }
            ("GET", _) => {
                let is_cloned = !is_back.load(Ordering::SeqCst);
                (200, stateful_set(is_cloned, generation))
            }
            _ => (200, json!({})),
        }
    })
    .await
}

/// What was written, in order, by method and the last part of the path.
fn writes(server: &Server) -> Vec<String> {
    let asked = server.asked();
    let writes = asked.iter().filter(|line| !line.starts_with("GET"));
    let short = writes.map(|line| {
        let (method, path) = line.split_once(' ').unwrap();
        let path = path.split('?').next().unwrap();
        format!("{method} {}", path.rsplit('/').next().unwrap())
    });
    short.collect()
}

#[tokio::test]
async fn a_workload_is_put_back_with_its_claim_and_its_stuck_pods() {
    let (before, repoint) = done();
    // by whoever cloned it, and by whoever knows no more than its record
    for done in [Some((&before, &repoint)), None] {
        let server = server(2, false).await;
        let (cluster, stop) = (server.cluster().await, CancellationToken::new());
        let came_to = put_back(&cluster, &id(), done, SOON, &stop).await;
        assert_eq!(came_to.unwrap(), PutBack::Done(Vec::new()));
        assert_eq!(writes(&server), ["PATCH db", "PATCH db", "DELETE db-0"]);
    }
}

#[tokio::test]
async fn what_is_left_when_it_is_interrupted_is_said() {
    let (before, repoint) = done();
    // not seen by its controller
    let server = server(3, false).await;
    let (cluster, stop) = (server.cluster().await, CancellationToken::new());
    stop.cancel();
    let done = Some((&before, &repoint));
    let came_to = put_back(&cluster, &id(), done, SOON, &stop).await;
    let Ok(PutBack::Done(left)) = came_to else {
        panic!("{came_to:?}")
    };
    assert_eq!(
        left,
        [
            "pods that could not pull may be left, and hold it up until they are deleted: interrupted"
        ]
    );
    assert_eq!(writes(&server), ["PATCH db", "PATCH db"]);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_not_taken_for_somebody_elses() {
    let (before, repoint) = done();
    let server = server(2, true).await;
    let (cluster, stop) = (server.cluster().await, CancellationToken::new());
    let done = Some((&before, &repoint));
    let first = put_back(&cluster, &id(), done, SOON, &stop).await;
    assert!(first.is_err(), "{first:?}");
    let again = put_back(&cluster, &id(), done, SOON, &stop).await;
    assert_eq!(again.unwrap(), PutBack::Done(Vec::new()));
    assert_eq!(
        writes(&server),
        ["PATCH db", "PATCH db", "DELETE db-0"],
        "written once"
    );
}
