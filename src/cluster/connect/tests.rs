use super::*;

const ONE: &str = "apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c1, user: u1, namespace: prod}}
- {name: nobody, context: {cluster: c1, user: missing}}
clusters:
- {name: c1, cluster: {server: 'https://10.0.0.1:6443'}}
users:
- {name: u1, user: {username: jane, password: hunter2}}
";

async fn settle(flags: ConnectFlags) -> Result<(String, Config), String> {
    let settled = from_files(Kubeconfig::from_yaml(ONE).unwrap(), &flags).await;
    settled.map_err(|error| format!("{error}; {}", error.hint().unwrap_or("no hint")))
}

#[tokio::test]
async fn the_current_context_is_used_with_its_namespace() {
    let (context, config) = settle(ConnectFlags::default()).await.unwrap();
    assert_eq!(context, "one");
    assert_eq!(config.default_namespace, "prod");
    assert_eq!(config.cluster_url, "https://10.0.0.1:6443/");
}

#[tokio::test]
async fn an_unknown_context_is_named_with_those_there_are() {
    let flags = ConnectFlags {
        context: Some("tow".to_owned()),
        ..ConnectFlags::default()
    };
    assert_eq!(
        settle(flags).await.unwrap_err(),
        "context \"tow\" does not exist; contexts: nobody, one"
    );
}

#[tokio::test]
async fn flags_override_server_and_identity() {
    let flags = ConnectFlags {
        server: Some("https://10.9.9.9".to_owned()),
        token: Some("t0ken".to_owned().into()),
        impersonate: Some("bob".to_owned()),
        impersonate_groups: vec!["devs".to_owned()],
        ..ConnectFlags::default()
    };
    let (_, config) = settle(flags).await.unwrap();
    assert_eq!(config.cluster_url, "https://10.9.9.9/");
    assert!(config.auth_info.username.is_none() && config.auth_info.token.is_some());
    assert_eq!(config.auth_info.impersonate.as_deref(), Some("bob"));
    assert_eq!(
        config.auth_info.impersonate_groups,
        Some(vec!["devs".to_owned()])
    );
}

#[tokio::test]
async fn a_user_that_only_the_context_names_is_nobody_and_one_of_the_flag_must_exist() {
    let context = Some("nobody".to_owned());
    let flags = ConnectFlags {
        context,
        ..ConnectFlags::default()
    };
    let (_, config) = settle(flags).await.unwrap();
    assert!(config.auth_info.username.is_none());

    let user = Some("missing".to_owned());
    let flags = ConnectFlags {
        user,
        ..ConnectFlags::default()
    };
    assert_eq!(
        settle(flags).await.unwrap_err(),
        "user \"missing\" does not exist; users: u1"
    );
}

#[tokio::test]
async fn no_configuration_at_all_is_said_with_what_helps() {
    let settled = from_files(Kubeconfig::default(), &ConnectFlags::default()).await;
    let error = settled.map(|_| ()).unwrap_err();
    assert!(
        error.to_string().starts_with("no cluster is configured"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("KUBECONFIG"));
}

#[test]
fn a_namespace_is_a_dns_label() {
    for (name, expected) in [
        ("prod", true),
        ("a", true),
        ("a/b", false),
        ("", false),
        ("-a", false),
        ("A", false),
    ] {
        assert_eq!(is_dns_label(name), expected, "{name:?}");
    }
}

#[test]
fn loopback_servers_are_never_proxied() {
    for (uri, expected) in [
        ("https://localhost:6443", true),
        ("https://127.0.0.1:6443", true),
        ("https://[::1]:6443", true),
        ("https://10.0.0.1:6443", false),
    ] {
        assert_eq!(is_loopback(&uri.parse().unwrap()), expected, "{uri}");
    }
}

#[tokio::test]
#[cfg(unix)]
async fn a_credential_plugin_that_gives_a_token_runs_once() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    let script = format!(
        "echo run >> {}; echo '{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \
         \"kind\": \"ExecCredential\", \"status\": {{\"token\": \"t0ken\"}}}}'",
        runs.display()
    );
    let mut config = Config::new("https://10.0.0.1:6443".parse().unwrap());
    config.auth_info.exec = Some(kube::config::ExecConfig {
        api_version: Some("client.authentication.k8s.io/v1".to_owned()),
        command: Some("sh".to_owned()),
        args: Some(vec!["-c".to_owned(), script]),
        ..kube::config::ExecConfig::default()
    });
    client(config, "one").await.unwrap();
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "run\n");
}

#[test]
fn a_token_is_taken_without_the_line_end_of_its_file_and_only_as_it_can_be_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let settled = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut identity = AuthInfo {
            token_file: Some(file.display().to_string()),
            ..AuthInfo::default()
        };
        let settled = settle_token(&mut identity);
        settled.map(|()| identity.token.map(|token| token.expose_secret().to_owned()))
    };
    assert_eq!(settled("t0ken\n"), Ok(Some("t0ken".to_owned())));
    // kube reads it again as it is renewed
    assert_eq!(settled("t0ken"), Ok(None));
    let refused = settled("t0\nken\n").unwrap_err();
    assert!(!refused.contains("ken\n"), "{refused}");
    let mut inline = AuthInfo {
        token: Some("t0\nken".to_owned().into()),
        ..AuthInfo::default()
    };
    assert!(settle_token(&mut inline).is_err());
}
