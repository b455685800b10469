//! What docker's credential helpers are asked, and what their answers come to.

use super::*;

#[tokio::test]
async fn helpers_come_before_stored_entries() {
    let machine = Machine::new()
        .docker(&json!({
            "auths": {"reg.corp": user("stored"), "other.corp": {}},
            "credHelpers": {"reg.corp": "own"},
            "credsStore": "general",
        }))
        .helper("own", ANSWER)
        .helper("general", NOT_FOUND);
    assert_eq!(machine.find("reg.corp", "a").await, "helped:h");
    assert_eq!(machine.find("other.corp:5000", "a").await, "anonymous");
    assert_eq!(
        machine.asked(),
        ["own get reg.corp", "general get other.corp:5000"]
    );
}

#[tokio::test]
async fn a_helper_without_credentials_passes_the_question_on() {
    let machine = Machine::new()
        .docker(&json!({
            "auths": {"reg.corp": user("stored")},
            "credHelpers": {"reg.corp": "own"},
            "credsStore": "general",
        }))
        .helper("own", NOT_FOUND)
        .helper("general", NOT_FOUND);
    assert_eq!(machine.find("reg.corp", "a").await, "stored:p");
    assert_eq!(
        machine.asked(),
        ["own get reg.corp", "general get reg.corp"]
    );
}

#[tokio::test]
async fn a_helper_may_answer_with_an_identity_token() {
    let machine = Machine::new()
        .docker(&json!({"credsStore": "acr"}))
        .helper("acr", r#"echo '{"Username":"<token>","Secret":"t"}'"#);
    assert_eq!(machine.find("reg.corp", "a").await, "token t");
}

#[tokio::test]
async fn a_helper_is_asked_once_for_a_host() {
    let machine = Machine::new()
        .docker(&json!({"credsStore": "x"}))
        .helper("x", &format!("sleep 0.1; {ANSWER}"));
    let chain = machine.chain().unwrap();
    let clone = chain.clone();
    let (one, two, _) = tokio::join!(
        chain.find("reg.corp", "a"),
        clone.find("reg.corp", "b"),
        chain.find("other.corp", "a"),
    );
    assert_eq!(show(&one.unwrap()), show(&two.unwrap()));
    let mut asked = machine.asked();
    asked.sort();
    assert_eq!(asked, ["x get other.corp", "x get reg.corp"]);
}

#[tokio::test]
async fn a_failing_helper_is_named_and_not_asked_again() {
    let machine = Machine::new()
        .docker(&json!({"credsStore": "x", "auths": {"reg.corp": user("stored")}}))
        .helper(
            "x",
            "echo '{\"Secret\":\"hunter2\"}'; echo 'store is locked' >&2; exit 3",
        );
    let chain = machine.chain().unwrap();
    for _ in 0..2 {
        let error = chain.find("reg.corp", "a").await.unwrap_err().to_string();
        let expected = format!(
            "reading credentials for reg.corp: {}: docker-credential-x failed (exit status: 3): store is locked",
            machine.path("docker.json").display()
        );
        assert_eq!(error, expected);
    }
    assert_eq!(machine.asked().len(), 1);
}

#[tokio::test]
async fn helpers_that_are_missing_or_talk_nonsense_are_named() {
    let machine = Machine::new()
        .docker(&json!({"credHelpers": {
            "a.io": "absent", "b.io": "nonsense", "c.io": "../nonsense",
        }}))
        .helper("nonsense", "echo hunter2");
    let absent = machine.find("a.io", "a").await;
    assert!(
        absent.contains("docker-credential-absent cannot be run"),
        "{absent}"
    );
    let nonsense = machine.find("b.io", "a").await;
    assert!(
        nonsense.contains("docker-credential-nonsense printed"),
        "{nonsense}"
    );
    assert!(!nonsense.contains("hunter2"));
    let outside = machine.find("c.io", "a").await;
    assert!(
        outside.contains("is not the name of a credential helper"),
        "{outside}"
    );
}

#[tokio::test]
async fn a_helper_that_hangs_is_given_up() {
    let mut machine = Machine::new()
        .docker(&json!({"credsStore": "slow"}))
        .helper("slow", "exec sleep 60");
    machine.limit = Duration::from_millis(100);
    let error = machine.find("reg.corp", "a").await;
    assert!(
        error.ends_with("docker-credential-slow gave no answer within 100ms"),
        "{error}"
    );
}
