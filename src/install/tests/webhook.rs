//! What the API server asks the agent about.

use super::*;

#[test]
fn the_webhook_is_asked_about_what_the_agent_works_on_and_is_in_nobodys_way() {
    let asked = |config: &[(&str, &str)]| {
        let settings = Settings {
            config: owned(config),
            extras: [Extra::Webhook].into(),
            ..settings()
        };
        let mut objects = objects(&settings).into_iter();
        let kind = "MutatingWebhookConfiguration";
        let mut configuration = objects.find(|object| object["kind"] == kind).unwrap();
        configuration["webhooks"][0].take()
    };
    let rules = |webhook: &Value| {
        let rules = webhook["rules"].as_array().unwrap().iter();
        let rules = rules.map(|rule| {
            let of = |field: &str| serde_json::to_string(&rule[field]).unwrap();
            [of("apiGroups"), of("apiVersions"), of("resources")].join(" ")
        });
        rules.collect::<Vec<_>>()
    };
    let webhook = asked(&[]);
    assert_eq!(
        rules(&webhook),
        [
            r#"[""] ["v1"] ["pods"]"#,
            r#"["apps"] ["v1"] ["deployments"]"#,
            r#"["batch"] ["v1","v1beta1"] ["jobs"]"#,
        ]
    );
    assert_eq!(
        (
            &webhook["failurePolicy"],
            &webhook["sideEffects"],
            &webhook["timeoutSeconds"]
        ),
        (&json!("Ignore"), &json!("None"), &json!(1))
    );
    assert_eq!(
        webhook["clientConfig"]["caBundle"],
        Value::Null,
        "the agent writes it"
    );
    let label = "kubernetes.io/metadata.name";
    let but =
        |key: &str, values: &[&str]| json!({"key": key, "operator": "NotIn", "values": values});
    let opted_out = but("image-cloner.io/skip", &["true"]);
    let system = but(label, &crate::plan::SYSTEM_NAMESPACES);
    let selector = |webhook: &Value, name: &str| webhook[name]["matchExpressions"].clone();
    assert_eq!(selector(&webhook, "objectSelector"), json!([opted_out]));
    assert_eq!(
        selector(&webhook, "namespaceSelector"),
        json!([system, opted_out])
    );

    let webhook = asked(&[
        ("IMAGE_CLONER_KINDS", "sts,cj"),
        ("IMAGE_CLONER_NAMESPACES", "shop"),
    ]);
    assert_eq!(
        rules(&webhook)[1..],
        [
            r#"["apps"] ["v1"] ["statefulsets"]"#,
            r#"["batch"] ["v1","v1beta1"] ["cronjobs","jobs"]"#,
        ]
    );
    let only = json!({"key": label, "operator": "In", "values": ["shop"]});
    let expressions = selector(&webhook, "namespaceSelector");
    assert_eq!(expressions, json!([system, opted_out, only]));
}
