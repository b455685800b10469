//! What deeds come to.

use super::*;
use crate::plan::{PullSecretChange, SlotChange};
use crate::reference::Reference;
use crate::workload::{Kind, ORIGINALS};
use serde_json::{Value, json};

#[test]
fn an_earlier_copy_a_stand_in_and_credentials_of_ones_own_tell_nothing_of_who_may_read_the_origin()
{
    let user = |name: &str| WorkloadId {
        kind: Kind::from_word("deploy").unwrap(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    };
    let copy_from = |source: &str| Copy {
        origin: Reference::parse("nginx").unwrap(),
        source: Reference::parse(source).unwrap(),
        target: Reference::parse("reg.corp/nginx").unwrap(),
        running: BTreeSet::new(),
        users: ["any", "with-own", "denied"]
            .map(|name| (user(name), BTreeSet::new()))
            .into(),
    };
    let denied = BTreeMap::from([(user("denied"), Failure::new("401"))]);
    let with_own = BTreeSet::from([user("with-own")]);
    let openly = |source, was_read| openly(&copy_from(source), was_read, &denied, &with_own);
    assert_eq!(openly("nginx", true), BTreeSet::from([user("any")]));
    assert_eq!(openly("nginx", false), BTreeSet::new());
    assert_eq!(openly("old.corp/nginx", true), BTreeSet::new());
}

fn object(image: &str, annotations: &Value) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "shop", "annotations": annotations},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": image}]}}},
    })
}

/// What a write comes to that the server answers with this code, where the workload is like that after it.
async fn written(code: u16, after: Value) -> Written {
    let kind = Kind::from_word("deploy").unwrap();
    let before = Workload::from_object(&kind, &object("nginx", &Value::Null)).unwrap();
    let repoint = Repoint {
        slots: vec![SlotChange {
            slot: before.slots[0].key.clone(),
            from: "nginx".to_owned(),
            to: "reg.corp/nginx".to_owned(),
        }],
        pull_secrets: PullSecretChange::Keep,
        needs_pull_secret: None,
        annotations: BTreeMap::from([(ORIGINALS, Some("{}".to_owned()))]),
    };
    let lost = json!({"kind": "Status", "status": "Failure", "code": code, "message": "lost", "reason": ""});
    let cluster = Cluster::answering(move |method, _| match method {
        "PATCH" => (code, lost.clone()),
        _ => (200, after.clone()),
    });
    write(&cluster, &before, &repoint).await
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_done_where_it_took_effect() {
    let taken = object("reg.corp/nginx", &json!({ORIGINALS: "{}"}));
    assert!(matches!(
        written(504, taken.clone()).await,
        Written::Done(_)
    ));
    assert!(matches!(
        written(500, taken.clone()).await,
        Written::Done(_)
    ));
    let not_taken = object("nginx", &Value::Null);
    assert!(matches!(written(504, not_taken).await, Written::Failed(_)));
    let others = object("reg.corp/nginx", &json!({ORIGINALS: "{\"run\":1}"}));
    assert!(matches!(written(504, others).await, Written::Failed(_)));
    assert!(matches!(written(403, taken).await, Written::Failed(_)));
}
