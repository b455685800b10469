//! What registries are told to be like: what they refuse, offer and count, and how they are reached.

use super::{check, doctor};
use crate::bed::{Bed, Ran, deployment, idle};
use crate::wire::server::{Registry, Reply};
use crate::wire::tls::Secure;
use crate::wire::{MANIFEST, simple};

/// The checks of this target registry, asked as nobody.
fn examined(bed: &Bed, target: &str, env: &[(&str, &str)]) -> Ran {
    let nobody = [
        ("IMAGE_CLONER_REGISTRY", target),
        ("IMAGE_CLONER_USER", ""),
        ("IMAGE_CLONER_PASS", ""),
        ("IMAGE_CLONER_PULL_USER", ""),
        ("IMAGE_CLONER_PULL_PASS", ""),
    ];
    doctor(bed, &["-o=json"], &[&nobody, env].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_will_not_take_is_told_with_what_must_be_done_first() {
    let Some(bed) = Bed::share("refuses", false) else {
        return;
    };
    // as Harbor has it
    let harbor = Registry::start().await;
    harbor.hook(|asked| {
        let words = "project mirror not found";
        let refused = || Reply::error(404, "NOT_FOUND", words);
        asked.is("POST", "/blobs/uploads/").then(refused)
    });
    let ran = examined(&bed, &format!("{}/mirror", harbor.host), &[]).exits(1);
    let told = |ran: &Ran, name: &str, host: &str| check(&bed, ran, name).replace(host, "TARGET");
    insta::assert_snapshot!(told(&ran, "push", &harbor.host), @r"
    fail  POST http://TARGET/v2/mirror/image-cloner-doctor/blobs/uploads/: 404 NOT_FOUND project mirror not found (anonymous)
      the project mirror must exist: create it at https://TARGET/harbor/projects, and let these credentials push to it
    ");
    insta::assert_snapshot!(told(&ran, "nested paths", &harbor.host), @"skip  nothing can be pushed at all");

    // as Docker Hub has it
    let flat = Registry::start().await;
    flat.hook(|asked| {
        let nested = asked.is("POST", "/of/nested/");
        nested.then(|| Reply::error(400, "NAME_INVALID", "no nested paths here"))
    });
    let ran = examined(&bed, &flat.host, &[]).exits(1);
    insta::assert_snapshot!(told(&ran, "push", &flat.host), @"ok  an upload was opened and given up");
    insta::assert_snapshot!(told(&ran, "nested paths", &flat.host), @r"
    fail  POST http://TARGET/v2/image-cloner-doctor/of/nested/paths/blobs/uploads/: 400 NAME_INVALID no nested paths here (anonymous)
      kubectl image-cloner clone … --to TARGET --layout flat
    ");

    // nobody may pull, and there is nothing to give to pods
    let private = Registry::start().await;
    private.hook(|asked| {
        let refused = Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
        let is_stranger = asked.header("authorization").is_none();
        is_stranger.then_some(refused)
    });
    let pushing = [("IMAGE_CLONER_USER", "robot"), ("IMAGE_CLONER_PASS", "p")];
    let ran = examined(&bed, &private.host, &pushing).exits(0);
    insta::assert_snapshot!(told(&ran, "pull", &private.host), @r"
    warn  pods need credentials, and none may be given to them
      export IMAGE_CLONER_PULL_USER=… IMAGE_CLONER_PULL_PASS=…
      or --share-credentials, or --pull-secret NAME for one of yours
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_offers_is_found_out_with_a_copy_that_is_there() {
    let Some(bed) = Bed::share("offers", false) else {
        return;
    };
    let registry = Registry::start().await;
    simple(&registry);
    bed.apply(&idle("web", &format!("{}/a/b:1", registry.host)));
    let offered = || {
        let ran = examined(&bed, &registry.host, &[]).exits(0);
        ["mount", "referrers", "pull"].map(|name| check(&bed, &ran, name))
    };
    registry.hook(|asked| {
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        let listed = || Reply::new(200).header("Content-Type", crate::wire::INDEX);
        let is_list = asked.is("GET", "/referrers/");
        is_list.then(|| listed().body(index))
    });
    insta::assert_snapshot!(offered().join("\n"), @r"
    ok  layers are taken over between repositories
    ok  listed
    ok  the registry gives images to anybody
    ");

    registry.hook(|asked| {
        let path = asked.path.strip_suffix("/blobs/uploads/")?;
        let place = Registry::hooked_upload(path.strip_prefix("/v2/")?);
        let mounts = asked.method == "POST" && asked.parameter("mount").is_some();
        mounts.then(|| Reply::new(202).header("Location", place))
    });
    let [mount, ..] = offered();
    insta::assert_snapshot!(mount, @"ok  not offered: layers are sent for each repository");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_others_could_listen_to_is_told() {
    let Some(bed) = Bed::share("listens", false) else {
        return;
    };
    let registry = Registry::start().await;
    let secure = Secure::start(&registry, "localhost").await;
    let (_, port) = registry.host.rsplit_once(':').expect("a port");
    let told = |host: &str, entry: &str| {
        let config = bed.folder().join("config.yaml");
        std::fs::write(&config, format!("registries:\n  '{host}': {entry}\n")).expect("a file");
        let config = config.to_str().expect("UTF-8");
        let ran = examined(&bed, host, &[("IMAGE_CLONER_CONFIG", config)]).exits(0);
        check(&bed, &ran, "TLS").replace(host, "TARGET")
    };
    let trusted = format!("{{caFile: '{}'}}", secure.authority().display());
    insta::assert_snapshot!(told(&secure.host, &trusted), @"ok  the certificate is trusted here");
    insta::assert_snapshot!(told(&secure.host, "{insecure: skip-verify}"), @r"
    warn  the certificate is not checked (insecure)
      name its authority: caFile of TARGET in config.yaml
    ");
    // neither loopback by its name nor by its address
    let plain = format!("{{insecure: http, endpoint: 'http://0.0.0.0:{port}'}}");
    insta::assert_snapshot!(told("registry.example", &plain), @r"
    warn  plain HTTP: passwords go over the network as they are
      nodes must be told to use it, too (containerd: hosts.toml)
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_whose_clock_is_wrong_is_told() {
    let Some(bed) = Bed::share("clock", false) else {
        return;
    };
    let registry = Registry::start().await;
    registry.amend(|_, reply| {
        let ahead = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
        let date = ahead.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        reply.header("Date", date)
    });
    let to = format!("--to={}", registry.host);
    let ran = doctor(&bed, &["-o=json", &to], &[]).exits(0);
    let told = check(&bed, &ran, "clock");
    let digits: String = told.chars().filter(char::is_ascii_digit).collect();
    // some seconds may pass between the two looks
    let apart: u32 = digits.parse().expect("a number");
    assert!((7_100..=7_200).contains(&apart), "{told}");
    let told = told.replace(&digits, "MANY");
    insta::assert_snapshot!(told, @r"
    warn  registry is MANY s ahead of this machine
      set the clocks: tokens and certificates are good for a time alone
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_lower_than_what_is_wanted_is_told() {
    let Some(bed) = Bed::share("quota", false) else {
        return;
    };
    bed.apply(&deployment(
        "web",
        &[("a", "a/b:1"), ("c", "a/c:1")],
        &[("d", "a/d:1")],
    ));
    let hub = Registry::start().await;
    for repository in ["a/b", "a/c", "a/d"] {
        hub.put_manifest(repository, "1", MANIFEST, b"{}");
    }
    hub.amend(|_, reply| {
        reply
            .header("ratelimit-limit", "100;w=21600")
            .header("ratelimit-remaining", "2;w=21600")
    });
    let config = bed.config(&[("docker.io", &hub.host)]);
    let config = config.to_str().expect("UTF-8");
    let ran = doctor(&bed, &["-o=json"], &[("IMAGE_CLONER_CONFIG", config)]).exits(0);
    insta::assert_snapshot!(check(&bed, &ran, "docker.io"), @r"
    warn  2 of 100 manifest reads in 6 h are left (anonymous), for 3 images
      kubectl image-cloner login docker.io  # gives more
      or --platform cluster, which reads less; finished work is not repeated
    ");
    let log = hub.log();
    assert!(
        log.iter()
            .all(|asked| asked.method == "HEAD" || !asked.path.contains("manifests"))
    );
}
