//! How the plugin itself reaches registries: proxies and certificates that only a process of its own can
//! have, and layouts. Needs no test bed.

use crate::wire::server::{Registry, Reply};
use crate::wire::tls::Secure;
use crate::wire::{MANIFEST, simple};
use std::collections::HashMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// Runs `copy` with nothing but this environment.
async fn copy(home: &Path, config: &str, environment: &[(&str, &str)], args: &[&str]) -> Output {
    let file = home.join("config.yaml");
    std::fs::write(&file, config).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"))
        .arg("copy")
        .args(args)
        .env_clear()
        .env("HOME", home)
        .env("IMAGE_CLONER_CONFIG", &file)
        // a name that nobody knows must be found out soon
        .env("RES_OPTIONS", "timeout:1 attempts:1")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(Duration::from_secs(120), run).await;
    ran.expect("the plugin ends").unwrap()
}

fn stderr(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stderr).into_owned()
}

/// Variables with their values.
type Environment<'a> = &'a [(&'a str, &'a str)];

/// Method and place, and the credentials for the proxy.
type Asked = (String, Option<String>);

/// A proxy that knows where names lead, and remembers what it was asked and with which credentials.
#[derive(Clone)]
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Proxy {
    async fn start(names: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let names: HashMap<String, String> = names
            .iter()
            .map(|&(name, address)| (name.to_owned(), address.to_owned()))
            .collect();
        let proxy = Self {
            address: format!("127.0.0.1:{}", listener.local_addr().unwrap().port()),
            asked: Arc::default(),
        };
        let (names, serving) = (Arc::new(names), proxy.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream, Arc::clone(&names)));
            }
        });
        proxy
    }

    /// Leads one connection to where its first request wants to go.
    async fn serve(self, mut client: TcpStream, names: Arc<HashMap<String, String>>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match client.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let line = text.lines().next().unwrap().to_owned();
        let login = text.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("proxy-authorization")
                .then(|| value.to_owned())
        });
        let method_and_place = line.rsplit_once(' ').unwrap().0.to_owned();
        self.asked.lock().unwrap().push((method_and_place, login));
        let target = line.split(' ').nth(1).unwrap();
        let authority = target.strip_prefix("http://").unwrap_or(target);
        let authority = authority.split('/').next().unwrap();
        let Some(address) = names.get(authority) else {
            let _ = client
                .write_all(b"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n")
                .await;
            return;
        };
        let mut server = TcpStream::connect(address).await.unwrap();
        if line.starts_with("CONNECT ") {
            client.write_all(b"HTTP/1.1 200 X\r\n\r\n").await.unwrap();
        } else {
            // the registry of these tests takes whole URLs
            server.write_all(&head).await.unwrap();
        }
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_come_from_the_environment_and_this_machine_needs_none() {
    let (plain, tls, to) = (
        Registry::start().await,
        Registry::start().await,
        Registry::start().await,
    );
    simple(&plain);
    simple(&tls);
    let secure = Secure::start(&tls, "reg.invalid").await;
    let proxy = Proxy::start(&[
        ("lab.invalid", &plain.host),
        (&secure.host, &secure.address),
    ])
    .await;
    let home = tempfile::tempdir().unwrap();
    let config = format!(
        "registries:\n  lab.invalid: {{insecure: http}}\n  '{}': {{caFile: '{}'}}\n",
        secure.host,
        secure.authority().display()
    );
    let at = format!("http://{}", proxy.address);
    let with_login = format!("http://me:pass@{}", proxy.address);
    let (lab, reg) = ("lab.invalid".to_owned(), secure.host.clone());
    let port = secure.host.rsplit_once(':').unwrap().1;
    let other_port = format!("lab.invalid,reg.invalid:1{port}");
    let cases: [(&str, Environment, bool); 9] = [
        (&lab, &[("HTTP_PROXY", &at)], true),
        (&lab, &[("http_proxy", &proxy.address)], true),
        (&reg, &[("HTTPS_PROXY", &at)], true),
        (
            &reg,
            &[("https_proxy", &with_login), ("no_proxy", &other_port)],
            true,
        ),
        (&lab, &[("ALL_PROXY", &with_login)], true),
        (&reg, &[("all_proxy", &at), ("HTTPS_PROXY", "")], true),
        (
            &reg,
            &[("HTTPS_PROXY", &at), ("NO_PROXY", &secure.host)],
            false,
        ),
        (
            &lab,
            &[("HTTP_PROXY", &at), ("no_proxy", "10.0.0.0/8, .invalid")],
            false,
        ),
        (&reg, &[("ALL_PROXY", &at), ("NO_PROXY", "*")], false),
    ];
    for (case, (host, environment, through)) in cases.into_iter().enumerate() {
        let source = format!("{host}/a/b:1");
        // a copy that is there would stand in for its source
        let target = format!("{}/{case}", to.host);
        let ran = copy(
            home.path(),
            &config,
            environment,
            &[&source, "--to", &target],
        )
        .await;

        let asked = proxy.asked();
        let said = format!("{environment:?} {asked:?} {}", stderr(&ran));
        assert_eq!(ran.status.success(), through, "{said}");
        assert_eq!(asked.is_empty(), !through, "{said}");
        assert!(!stderr(&ran).contains("pass"), "{said}");
        for (line, login) in asked {
            let expected = if host == lab {
                "http://lab.invalid/v2/"
            } else {
                &reg
            };
            assert!(line.contains(expected), "{line}");
            assert_eq!(line.starts_with("CONNECT "), host == reg, "{line}");
            let logs_in = environment.iter().any(|(_, value)| *value == with_login);
            let expected = logs_in.then(|| "Basic bWU6cGFzcw==".to_owned());
            assert_eq!(login, expected, "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorities_that_docker_and_podman_have_for_a_host_are_trusted() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    let secure = Secure::start(&from, "localhost").await;
    let source = format!("{}/a/b:1", secure.host);
    for (tool, own) in [
        ("docker", ".config/docker"),
        ("containers", ".config/containers"),
        ("desktop", ".docker"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let target = format!("{}/{tool}", to.host);
        let folder = home.path().join(own).join("certs.d");
        // another host's are not
        for (host, expected) in [("localhost:1", 1), (secure.host.as_str(), 0)] {
            let own = folder.join(host);
            std::fs::create_dir_all(&own).unwrap();
            std::fs::copy(secure.authority(), own.join("ca.crt")).unwrap();
            let ran = copy(home.path(), "", &[], &[&source, "--to", &target]).await;
            assert_eq!(
                ran.status.code(),
                Some(expected),
                "{tool}: {}",
                stderr(&ran)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_ones_own_name_is_pushed_with_the_login_of_where_it_goes() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    to.hook(|r| match r.header("authorization") {
        // me:pass
        Some("Basic bWU6cGFzcw==") => None,
        _ => Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")),
    });
    let source = format!("{}/a/b:1", from.host);
    let hub = format!(
        "registries: {{docker.io: {{endpoint: 'http://{}'}}}}",
        to.host
    );
    let own = format!("{}/team/x:2", to.host);
    for (config, key, name) in [
        ("", format!("{}/team", to.host), own.as_str()),
        (
            &hub,
            "https://index.docker.io/v1/".to_owned(),
            "docker.io/me/x:2",
        ),
        (&hub, "https://index.docker.io/v1/".to_owned(), "me/x:3"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let login = format!(r#"{{"auths": {{"{key}": {{"auth": "bWU6cGFzcw=="}}}}}}"#);
        std::fs::create_dir(home.path().join(".docker")).unwrap();
        std::fs::write(home.path().join(".docker/config.json"), login).unwrap();
        let ran = copy(home.path(), config, &[], &[&source, "--as", name]).await;
        assert_eq!(ran.status.code(), Some(0), "{name}: {}", stderr(&ran));
    }
    for (repository, tag) in [("team/x", "2"), ("me/x", "2"), ("me/x", "3")] {
        assert_eq!(to.manifest(repository, tag).unwrap().1, manifest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_nested_paths_gets_flat_names_once_its_layout_is_known() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = simple(&from);
    to.hook(|r| {
        let path = r.path.strip_prefix("/v2/")?;
        let name = path.split("/manifests/").next()?.split("/blobs/").next()?;
        let name = name.trim_end_matches("/tags/list");
        name.trim_matches('/')
            .contains('/')
            .then(|| Reply::error(400, "NAME_INVALID", "no nested paths here"))
    });
    let source = format!("{}/a/b:1", from.host);
    let home = tempfile::tempdir().unwrap();
    let kept = format!("registries:\n  '{}': {{layout: flat}}\n", to.host);
    let cases: [(&str, Environment, &[&str], bool); 5] = [
        ("", &[], &[], false),
        ("", &[], &["--layout", "flat"], true),
        ("", &[("IMAGE_CLONER_LAYOUT", "flat")], &[], true),
        (&kept, &[], &[], true),
        (&kept, &[], &["--layout", "mirror"], false),
    ];
    let mut names = std::collections::BTreeSet::new();
    for (config, environment, flags, works) in cases {
        let args = [&[source.as_str(), "--to", &to.host], flags].concat();
        let ran = copy(home.path(), config, environment, &args).await;
        assert_eq!(ran.status.success(), works, "{flags:?}: {}", stderr(&ran));
        if works {
            let line = String::from_utf8(ran.stdout).unwrap();
            let target = line.split_whitespace().nth(1).unwrap();
            names.insert(target.to_owned());
        }
    }
    let name = names.pop_first().unwrap();
    assert!(names.is_empty(), "one name, however the layout is known");
    let repository = name.strip_prefix(&format!("{}/", to.host)).unwrap();
    let (repository, tag) = repository.split_once(':').unwrap();
    assert_eq!(
        to.manifest(repository, tag),
        Some((MANIFEST.to_owned(), manifest))
    );
}
