use super::*;

const HEX: &str = "4c0f1a2b4c0f1a2b4c0f1a2b4c0f1a2b4c0f1a2b4c0f1a2b4c0f1a2b4c0f1a2b";

fn reference(text: &str) -> Reference {
    Reference::parse(&text.replace("HEX", HEX)).unwrap()
}

fn target(text: &str, layout: Layout) -> TargetRegistry {
    TargetRegistry::parse(text, layout).unwrap()
}

#[track_caller]
fn check(to: &str, source: &str, expected: &str) {
    let name = target(to, Layout::Mirror).name(&reference(source)).unwrap();
    assert_eq!(name.to_string(), expected.replace("HEX", HEX));
}

#[test]
fn docker_hub_is_left_out() {
    for source in [
        "nginx:1.21.4-alpine",
        "docker.io/library/nginx:1.21.4-alpine",
        "index.docker.io/nginx:1.21.4-alpine",
    ] {
        check(
            "localhost:5000",
            source,
            "localhost:5000/nginx:1.21.4-alpine",
        );
        check(
            "reg.corp/cache",
            source,
            "reg.corp/cache/nginx:1.21.4-alpine",
        );
    }
    check(
        "localhost:5000",
        "grafana/grafana:11",
        "localhost:5000/grafana/grafana:11",
    );
}

#[test]
fn other_hosts_become_the_first_component() {
    check(
        "localhost:5000",
        "quay.io/prometheus/node-exporter",
        "localhost:5000/quay.io/prometheus/node-exporter:latest",
    );
    check(
        "localhost:5000",
        "Registry.Corp:5443/a/b:1",
        "localhost:5000/registry.corp__5443/a/b:1",
    );
    check("reg.corp", "localhost/a:1", "reg.corp/localhost/a:1");
}

#[test]
fn docker_hub_is_named_where_its_path_would_pass_for_a_host() {
    check(
        "r.io",
        "docker.io/quay.io/a:1",
        "r.io/docker.io/quay.io/a:1",
    );
    check(
        "r.io",
        "docker.io/host__5000/a:1",
        "r.io/docker.io/host__5000/a:1",
    );
    check("r.io", "host__5000/a:1", "r.io/docker.io/host__5000/a:1");
    check(
        "r.io",
        "docker.io/localhost/a:1",
        "r.io/docker.io/localhost/a:1",
    );
    check("r.io", "a.b:1", "r.io/docker.io/library/a.b:1");
    check("r.io", "localhost:1", "r.io/docker.io/library/localhost:1");
    // without library/ it would pass for a/b
    check("r.io", "library/a/b:1", "r.io/library/a/b:1");
}

#[test]
fn tag_and_digest_are_kept() {
    check(
        "localhost:5000",
        "nginx@sha256:HEX",
        "localhost:5000/nginx@sha256:HEX",
    );
    check(
        "localhost:5000",
        "nginx:1.25@sha256:HEX",
        "localhost:5000/nginx:1.25@sha256:HEX",
    );
    let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
    assert_eq!(keeping_tag(&digest), "digest-4c0f1a2b4c0f1a2b");
}

#[test]
fn flat_names_are_one_component_and_tell_joints_from_dashes() {
    #[track_caller]
    fn check(to: &str, source: &str, expected: &str) {
        let name = target(to, Layout::Flat).name(&reference(source)).unwrap();
        assert_eq!(name.to_string(), expected);
    }
    // printf docker.io/library/nginx | sha256sum
    check(
        "r.io",
        "nginx:1",
        "r.io/nginx-7e59ad64326bc321517fb6fc6586de5e:1",
    );
    check(
        "r.io/p/q",
        "a/b:1",
        "r.io/p/q/a-b-a0b780497d2c85613a7e91494b1c1e37:1",
    );
    check(
        "r.io",
        "a-b:1",
        "r.io/a-b-6a3d50eedce4c18909edeb46ed8b1a4c:1",
    );
    check(
        "r.io",
        "h.io:5/a/b:1",
        "r.io/h.io__5-a-b-387132f3fc85fa25c15413634f819585:1",
    );
    check(
        "docker.io/me",
        "nginx:1",
        "docker.io/me/nginx-7e59ad64326bc321517fb6fc6586de5e:1",
    );
}

#[test]
fn what_the_target_holds_keeps_its_name() {
    #[track_caller]
    fn check(to: &str, source: &str, held: bool) {
        let source = reference(source);
        let target = target(to, Layout::Mirror);
        assert_eq!(target.holds(&source), held);
        let name = target.name(&source).unwrap();
        assert_eq!(name == source, held);
        assert!(target.holds(&name));
    }
    check("localhost:5000", "localhost:5000/nginx", true);
    check("LOCALHOST:5000", "localhost:5000/a/b/c", true);
    check("localhost:5000", "localhost:50001/nginx", false);
    check("localhost:5000", "localhost/nginx", false);
    check("localhost", "localhost:5000/nginx", false);
    check("r.io/cache", "r.io/cache/nginx", true);
    check("r.io/cache", "R.IO/cache/quay.io/a", true);
    check("r.io/cache", "r.io/cache2/nginx", false);
    check("r.io/cache", "r.io/cache", false);
    check("r.io/cache", "r.io/other/cache/nginx", false);
    check("docker.io/me", "me/nginx", true);
    check("index.docker.io/me", "docker.io/me/nginx", true);
    check("docker.io/me", "nginx", false);
    check("docker.io/library", "nginx", true);
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let fits = format!("quay.io/{}", "a".repeat(255 - "r.io/quay.io/".len()));
    let target = target("r.io", Layout::Mirror);
    assert!(target.name(&reference(&fits)).is_ok());
    let error = target.name(&reference(&format!("{fits}a:1"))).unwrap_err();
    assert_eq!(error.reference, format!("{fits}a:1"));
    assert!(
        error
            .reason
            .ends_with("the name has 256 characters, more than 255")
    );
}

#[test]
fn target_registries_parse_to_their_canonical_form() {
    #[track_caller]
    fn check(text: &str, host: &str, prefix: Option<&str>) {
        let target = target(text, Layout::Mirror);
        assert_eq!((target.host(), target.prefix()), (host, prefix));
        assert_eq!(
            TargetRegistry::parse(&target.to_string(), Layout::Mirror),
            Ok(target)
        );
    }
    check("localhost:5000", "localhost:5000", None);
    check("localhost", "localhost", None);
    check("Reg.Corp/", "reg.corp", None);
    check("reg.corp:5443/a/b/", "reg.corp:5443", Some("a/b"));
    check("registry-1.docker.io/me", "docker.io", Some("me"));
}

#[test]
fn refused_target_registries_name_what_is_wrong() {
    #[track_caller]
    fn check(text: &str, reason: &str) {
        let error = TargetRegistry::parse(text, Layout::Mirror).unwrap_err();
        assert_eq!(error.text, text);
        assert!(error.reason.contains(reason), "{:?}", error.reason);
    }
    check("", "empty");
    check("r.io ", "white space");
    check("https://r.io", "leave out \"https://\" and write \"r.io\"");
    check("registry", "docker.io/registry or registry:PORT");
    check("me/cache", "docker.io/me");
    check("docker.io", "docker.io/ACCOUNT");
    check("[::1]:5000", "IPv6");
    check("r.io:port", "port");
    check("r.io/Cache", "lower case");
    check("r.io/a//b", "empty");
    check("r.io/cache:1", "tag");
    check(&format!("r.io/{}", "a".repeat(251)), "256 characters");
}

#[test]
fn a_copys_name_tells_its_source_where_the_layout_lets_it() {
    let check = |layout, copy: &str, expected: Option<&str>| {
        let origin = target("old.corp/mirror", layout).origin(&reference(copy));
        let origin = origin.map(|origin| origin.familiar());
        assert_eq!(origin.as_deref(), expected, "{copy}");
    };
    let mirror = Layout::Mirror;
    check(mirror, "old.corp/mirror/nginx:1.25", Some("nginx:1.25"));
    check(mirror, "old.corp/mirror/a/b:1", Some("a/b:1"));
    check(
        mirror,
        "old.corp/mirror/quay.io/a/b:1",
        Some("quay.io/a/b:1"),
    );
    check(
        mirror,
        "old.corp/mirror/reg.corp__5443/a/b:1",
        Some("reg.corp:5443/a/b:1"),
    );
    // no source has this name: Docker Hub's host goes unsaid
    check(mirror, "old.corp/mirror/docker.io/a/b:1", None);
    check(mirror, "old.corp/other/nginx:1.25", None);
    check(Layout::Flat, "old.corp/mirror/nginx-0:1.25", None);
}

#[test]
fn layouts_have_names() {
    assert_eq!("mirror".parse(), Ok(Layout::Mirror));
    assert_eq!("flat".parse(), Ok(Layout::Flat));
    assert!(
        "Flat"
            .parse::<Layout>()
            .unwrap_err()
            .contains("mirror or flat")
    );
}
