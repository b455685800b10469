use super::*;

fn parse(text: &str) -> Config {
    Config::parse(text, Path::new("/etc/cloner")).unwrap()
}

#[track_caller]
fn check_refused(text: &str, reasons: &[&str]) {
    let error = Config::parse(text, Path::new("")).unwrap_err();
    for reason in reasons {
        assert!(error.contains(reason), "{error:?} does not say {reason:?}");
    }
}

#[test]
fn a_full_file_is_read() {
    let config = parse(
        "
registry: reg.corp/cache
contexts:
  kind-dev:
    registry: localhost:5000
  arn:aws:eks:eu-west-1:1:cluster/prod: {}
layout: flat
platform: cluster
skipNamespaces: [monitoring, db]
protect:
- registry/zot
registries:
  Index.Docker.io:
    endpoint: https://mirror.corp/hub
  registry.corp:5443:
    endpoint: [10.0.0.1:5000, 'http://[::1]:5000']
    insecure: skip-verify
    caFile: certs/corp.pem
    concurrency: 2
    layout: flat
    username: robot
    passwordCommand: pass show registry
    pullUsername: robot-pull
    pullPasswordCommand: pass show pull
  localhost:5000:
    insecure: http
    caFile: /abs.pem
",
    );
    assert_eq!(config.registry_for(None), Some("reg.corp/cache"));
    assert_eq!(
        config.registry_for(Some("kind-dev")),
        Some("localhost:5000")
    );
    let without = "arn:aws:eks:eu-west-1:1:cluster/prod";
    assert!(config.contexts.contains_key(without));
    assert_eq!(config.registry_for(Some(without)), Some("reg.corp/cache"));
    assert_eq!(config.registry_for(Some("other")), Some("reg.corp/cache"));
    assert_eq!(config.layout.as_deref(), Some("flat"));
    assert_eq!(config.platform.as_deref(), Some("cluster"));
    assert_eq!(config.skip_namespaces, ["monitoring", "db"]);
    assert_eq!(config.protect, ["registry/zot"]);

    let hosts: Vec<_> = config.registries.keys().collect();
    assert_eq!(hosts, ["docker.io", "localhost:5000", "registry.corp:5443"]);
    let hub = &config.registries["docker.io"];
    assert_eq!(hub.endpoint, ["https://mirror.corp/hub"]);
    let corp = &config.registries["registry.corp:5443"];
    assert_eq!(corp.endpoint, ["10.0.0.1:5000", "http://[::1]:5000"]);
    assert_eq!(corp.insecure, Some(Insecure::SkipVerify));
    assert_eq!(
        corp.ca_file.as_deref(),
        Some(Path::new("/etc/cloner/certs/corp.pem"))
    );
    assert_eq!(corp.concurrency.map(NonZero::get), Some(2));
    assert_eq!(corp.layout.as_deref(), Some("flat"));
    assert_eq!(corp.username.as_deref(), Some("robot"));
    assert_eq!(corp.password_command.as_deref(), Some("pass show registry"));
    assert_eq!(corp.pull_username.as_deref(), Some("robot-pull"));
    assert_eq!(
        corp.pull_password_command.as_deref(),
        Some("pass show pull")
    );
    let local = &config.registries["localhost:5000"];
    assert_eq!(local.insecure, Some(Insecure::Http));
    assert_eq!(local.ca_file.as_deref(), Some(Path::new("/abs.pem")));
}

#[test]
fn an_empty_file_is_the_default() {
    for text in ["", "\n", "# nothing yet\n", "---\n", "{}"] {
        assert!(parse(text).registries.is_empty());
    }
}

#[test]
fn a_key_without_entries_is_as_good_as_none() {
    let text = "contexts:\nregistries:\n  # a.io: {}\nkinds:\nskipNamespaces: ~\nprotect:\n";
    let config = parse(text);
    assert!(config.registries.is_empty() && config.contexts.is_empty());
    assert!(config.kinds.is_empty() && config.skip_namespaces.is_empty());
    assert!(config.protect.is_empty());
}

#[test]
fn unknown_keys_are_named_with_their_line() {
    check_refused(
        "layout: flat\nregistrys: r.io",
        &["registrys", "line 2", "registries"],
    );
    check_refused(
        "registries:\n  r.io:\n    password: hunter2",
        &["password", "line 3"],
    );
    check_refused("contexts:\n  a:\n    to: r.io", &["to", "line 3"]);
    check_refused("layout: flat\nlayout: flat", &["layout", "line 2"]);
    check_refused(
        "registries:\n  r.io:\n    insecure: yes",
        &["skip-verify", "line 3"],
    );
}

#[test]
fn an_error_does_not_quote_the_line() {
    let text = "registries:\n  r.io:\n    password: hunter2";
    let error = Config::parse(text, Path::new("")).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    let text = "registries:\n  r.io:\n    endpoint: https://me:hunter2@r.io";
    let error = Config::parse(text, Path::new("")).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn values_that_cannot_work_are_refused() {
    check_refused("registry: http://r.io", &["registry: ", "http://"]);
    check_refused(
        "contexts: {a: {registry: R.io/A}}",
        &["contexts: \"a\": registry: "],
    );
    check_refused("layout: nested", &["layout: ", "mirror or flat"]);
    check_refused("platform: linux", &["platform: ", "os/arch[/variant]"]);
    check_refused(
        "registries: {r.io: {layout: nested}}",
        &["\"r.io\": layout: ", "mirror or flat"],
    );
    check_refused("registries: {r.io: {concurrency: 0}}", &["line 1"]);
    check_refused("protect: [zot]", &["protect: ", "\"zot\""]);
    check_refused("protect: [a/b/c]", &["protect: ", "\"a/b/c\""]);
    check_refused(
        "registries: {'https://r.io': {}}",
        &["registries: \"https://r.io\": "],
    );
    check_refused("registries: {r.io/a: {}}", &["registries: \"r.io/a\": "]);
    check_refused(
        "registries: {docker.io: {}, index.docker.io: {}}",
        &["\"index.docker.io\"", "another spelling"],
    );
    check_refused(
        "registries: {r.io: {username: a}}",
        &["username needs passwordCommand"],
    );
    check_refused(
        "registries: {r.io: {pullPasswordCommand: a}}",
        &["pullPasswordCommand needs pullUsername"],
    );
}

#[test]
fn endpoints_are_urls_or_hosts() {
    let accepted = |endpoint: &str| {
        let text = format!("registries: {{r.io: {{endpoint: {endpoint:?}}}}}");
        Config::parse(&text, Path::new("")).map(drop)
    };
    for endpoint in [
        "https://mirror.corp",
        "http://mirror.corp:5000/hub",
        "mirror.corp",
        "mirror:5000",
        "[::1]:5000",
        "10.0.0.1:5000",
    ] {
        assert_eq!(accepted(endpoint), Ok(()));
    }
    for endpoint in [
        "",
        "ftp://mirror.corp",
        "https://",
        "mirror.corp:99999",
        "mirror.corp/hub",
        "https://mirror.corp?a=b",
        "https://me@mirror.corp",
        "https://me:se/cret@mirror.corp",
        "me:secret@mirror.corp",
        "a mirror",
    ] {
        let error = accepted(endpoint).unwrap_err();
        assert!(
            error.contains("endpoint") && error.contains("line 1"),
            "{error}"
        );
        assert!(!error.contains("cret"), "{error}");
    }
    check_refused(
        "registries: {r.io: {endpoint: {a: b}}}",
        &["list", "line 1"],
    );
    check_refused(
        "registries: {r.io: {endpoint: [a.io, 'b c']}}",
        &["\"b c\""],
    );
}

#[test]
fn the_endpoint_of_the_environment_is_an_address_without_a_password() {
    let read = |endpoint: &str| {
        let environment: Environment = [("IMAGE_CLONER_REGISTRY_ENDPOINT", endpoint)]
            .into_iter()
            .collect();
        environment.endpoint().map(|found| found.map(str::to_owned))
    };
    assert_eq!(read("").unwrap(), None);
    let address = "http://10.0.0.1:5000/hub";
    assert_eq!(read(address).unwrap().as_deref(), Some(address));
    for wrong in ["ftp://a.io", "https://me:se/cret@a.io", "me:secret@a.io"] {
        let error = read(wrong).unwrap_err().to_string();
        assert!(error.contains("IMAGE_CLONER_REGISTRY_ENDPOINT"), "{error}");
        assert!(!error.contains("cret"), "{error}");
    }
}

#[test]
fn the_environment_names_a_file_that_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.yaml");
    let environment: Environment = [("IMAGE_CLONER_CONFIG", path.display().to_string())]
        .into_iter()
        .collect();

    let error = Config::load(&environment).unwrap_err();
    assert_eq!(error.path, path.display().to_string());
    assert!(error.to_string().starts_with("reading configuration "));

    std::fs::write(&path, "registries: {r.io: {caFile: ca.pem}}").unwrap();
    let config = Config::load(&environment).unwrap();
    let expected = folder.path().join("ca.pem");
    assert_eq!(config.registries["r.io"].ca_file.as_ref(), Some(&expected));
}

#[test]
fn the_folder_is_xdg_then_dot_config_then_the_platforms() {
    let home = tempfile::tempdir().unwrap();
    let platform = || Some(PathBuf::from("/platform"));
    let folder =
        |xdg: Option<&str>| locate::folder(xdg.map(Path::new), Some(home.path()), platform);

    assert_eq!(folder(Some("/xdg")), Some("/xdg/image-cloner".into()));
    assert_eq!(folder(None), Some("/platform".into()));
    assert_eq!(folder(Some("relative")), Some("/platform".into()));
    let dot_config = home.path().join(".config/image-cloner");
    std::fs::create_dir_all(&dot_config).unwrap();
    assert_eq!(folder(None), Some(dot_config));
    assert_eq!(folder(Some("/xdg")), Some("/xdg/image-cloner".into()));
}

#[test]
fn variables_are_trimmed_and_lists_split() {
    let environment: Environment = [
        ("IMAGE_CLONER_USER", " robot\n"),
        ("IMAGE_CLONER_PASS", " pass word \r\n"),
        ("IMAGE_CLONER_LAYOUT", "  "),
        ("IMAGE_CLONER_SKIP_NAMESPACES", " a, b ,,c,"),
        ("OTHER_USER", "x"),
    ]
    .into_iter()
    .collect();
    assert_eq!(environment.get("USER"), Some("robot"));
    assert_eq!(environment.get("PASS"), Some(" pass word "));
    assert_eq!(environment.get("LAYOUT"), None);
    assert_eq!(environment.list("SKIP_NAMESPACES"), ["a", "b", "c"]);
    assert!(environment.list("NAMESPACES").is_empty());
}

#[test]
fn debug_shows_no_password() {
    let environment: Environment = [
        ("IMAGE_CLONER_USER", "robot"),
        ("IMAGE_CLONER_PASS", "hunter2"),
        ("IMAGE_CLONER_PULL_PASS", "hunter3"),
    ]
    .into_iter()
    .collect();
    let shown = format!("{environment:?}");
    assert!(shown.contains("robot"));
    assert!(!shown.contains("hunter"), "{shown}");

    let config = parse(
        "registries: {r.io: {username: robot, passwordCommand: echo hunter2,
         pullUsername: pull, pullPasswordCommand: echo hunter3}}",
    );
    let shown = format!("{config:?}");
    assert!(shown.contains("robot"));
    assert!(!shown.contains("hunter"), "{shown}");
}
