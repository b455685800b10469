//! What is never contacted, whatever workloads name.

use super::*;
use crate::config::{Config, Environment};
use crate::workload::Kind;
use serde_json::{Value, json};

async fn footing(config: &str) -> Footing {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, config).unwrap();
    let variables = [
        ("IMAGE_CLONER_REGISTRY", "reg.corp".to_owned()),
        ("IMAGE_CLONER_CONFIG", file.display().to_string()),
    ];
    let environment: Environment = variables.into_iter().collect();
    let config = Config::load(&environment).unwrap();
    let settings = AgentSettings::new(environment, config).unwrap();
    let cluster = Cluster::answering(|_, _| (404, Value::Null));
    let run = RunId {
        id: "a7f3".to_owned(),
        time: "2024-01-01T00:00:00Z".to_owned(),
    };
    let (known, stop) = (Known::default(), CancellationToken::new());
    let footing = Footing::new(Arc::new(settings), &cluster, &run, known, stop);
    footing.await.unwrap()
}

#[tokio::test]
async fn link_local_and_metadata_addresses_are_not_contacted() {
    let footing = footing("registries: {meta.corp: {endpoint: 'http://169.254.169.254'}}").await;
    for host in [
        "169.254.169.254",
        "169.254.1.1:5000",
        "100.100.100.200",
        "meta.corp",
    ] {
        let answer = footing.registries.ping(host, &Credentials::Anonymous);
        let error = answer.await.unwrap_err().to_string();
        assert!(
            error.contains("addresses are not contacted"),
            "{host}: {error}"
        );
    }
}

#[tokio::test]
async fn what_means_the_node_is_out_of_reach_unless_it_has_an_endpoint() {
    let footing = footing("registries: {'localhost:5001': {endpoint: 'http://10.0.0.1'}}").await;
    let of = |image: &str| {
        let spec = json!({"template": {"spec": {"containers": [{"name": "a", "image": image}]}}});
        let object = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
        let kind = Kind::from_word("deploy").unwrap();
        let workload = Workload::from_object(&kind, &object).unwrap();
        let policy = footing.policy(std::iter::once(&workload));
        policy.images.out_of_reach.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(of("localhost:5000/app"), ["localhost:5000"]);
    assert_eq!(of("127.0.0.1:80/app"), ["127.0.0.1:80"]);
    assert_eq!(of("localhost:5001/app"), [""; 0]);
    assert_eq!(of("nginx"), [""; 0]);
}
