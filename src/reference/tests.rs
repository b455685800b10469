use super::*;

const HEX: &str = "4c0f1a2b4c0f1a2b4c0f1a2b4c0f1a2b4c0f1a2b4c0f1a2b4c0f1a2b4c0f1a2b";

#[track_caller]
fn check(text: &str, canonical: &str, familiar: &str) {
    let (text, canonical, familiar) = (
        text.replace("HEX", HEX),
        canonical.replace("HEX", HEX),
        familiar.replace("HEX", HEX),
    );
    let reference = Reference::parse(&text).unwrap();
    assert_eq!(reference.to_string(), canonical);
    assert_eq!(reference.familiar(), familiar);
    assert_eq!(reference.typed(), text);
    assert_eq!(Reference::parse(&familiar).unwrap(), reference);
}

#[track_caller]
fn check_refused(text: &str, reason: &str) {
    let error = Reference::parse(text).unwrap_err();
    assert_eq!(error.text, text);
    assert!(
        error.reason.contains(reason),
        "{:?} does not say {reason:?}",
        error.reason
    );
}

#[test]
fn docker_hub_goes_unsaid_and_has_many_names() {
    for text in [
        "nginx",
        "nginx:latest",
        "library/nginx",
        "docker.io/nginx",
        "docker.io/library/nginx",
        "index.docker.io/nginx",
        "index.docker.io/library/nginx:latest",
        "registry-1.docker.io/library/nginx",
        "Docker.IO/nginx",
    ] {
        check(text, "docker.io/library/nginx:latest", "nginx:latest");
    }
    check(
        "grafana/grafana:11",
        "docker.io/grafana/grafana:11",
        "grafana/grafana:11",
    );
}

#[test]
fn a_first_component_like_a_host_is_one() {
    check("quay.io/a/b:1", "quay.io/a/b:1", "quay.io/a/b:1");
    check("QUAY.io/b", "quay.io/b:latest", "quay.io/b:latest");
    check("localhost/a", "localhost/a:latest", "localhost/a:latest");
    check(
        "registry:5000/a:1",
        "registry:5000/a:1",
        "registry:5000/a:1",
    );
    check("registry/a:1", "docker.io/registry/a:1", "registry/a:1");
    // no slash: a repository and a tag
    check(
        "localhost:5000",
        "docker.io/library/localhost:5000",
        "localhost:5000",
    );
    check(
        "docker.io",
        "docker.io/library/docker.io:latest",
        "docker.io:latest",
    );
}

#[test]
fn short_forms_never_mean_something_else() {
    check(
        "docker.io/a.b/c",
        "docker.io/a.b/c:latest",
        "docker.io/a.b/c:latest",
    );
    check(
        "library/a/b",
        "docker.io/library/a/b:latest",
        "library/a/b:latest",
    );
    check(
        "docker.io/library/a.b",
        "docker.io/library/a.b:latest",
        "a.b:latest",
    );
}

#[test]
fn tag_and_digest_are_both_kept() {
    check(
        "nginx@sha256:HEX",
        "docker.io/library/nginx@sha256:HEX",
        "nginx@sha256:HEX",
    );
    check(
        "nginx:1.25@sha256:HEX",
        "docker.io/library/nginx:1.25@sha256:HEX",
        "nginx:1.25@sha256:HEX",
    );
    check(
        "a/b@sha512:HEXHEX",
        "docker.io/a/b@sha512:HEXHEX",
        "a/b@sha512:HEXHEX",
    );
    assert_eq!(
        Reference::parse(&format!("a@sha256:{HEX}")).unwrap().tag(),
        None
    );
}

#[test]
fn all_separators_of_the_grammar_are_accepted() {
    check(
        "docker.io/a.b_c__d-e--f---g/0",
        "docker.io/a.b_c__d-e--f---g/0:latest",
        "docker.io/a.b_c__d-e--f---g/0:latest",
    );
}

#[test]
fn refusals_name_what_is_wrong() {
    check_refused("", "empty");
    check_refused(" nginx", "white space");
    check_refused("nginx\n", "white space");
    check_refused("http://quay.io/a", "leave out \"http://\"");
    check_refused("docker://nginx", "leave out \"docker://\"");
    check_refused("Nginx", "lower case");
    check_refused("quay.io/A/b", "lower case");
    // runtimes take "Foo" for a host, and "foo" for a path
    check_refused("Foo/bar", "lower case");
    check_refused("nginx:", "the tag is empty");
    check_refused("nginx:-a", "\"-a\" is not a tag");
    check_refused("nginx:a:b", "\"a:b\" is not a tag");
    check_refused(&format!("nginx:{}", "a".repeat(129)), "129 characters");
    check_refused("nginx@", "no algorithm");
    check_refused("nginx@sha256:abc", "3 hexadecimal digits instead of 64");
    check_refused(&format!("nginx@sha256:{}", HEX.to_uppercase()), "'C'");
    check_refused(&format!("nginx@md5:{HEX}"), "md5");
    check_refused("[::1]:5000/a", "IPv6");
    check_refused("[fe80::1]/a", "IPv6");
    check_refused("host:0/a", "port");
    check_refused("host:65536/a", "port");
    check_refused("host:/a", "port");
    check_refused("host:+80/a", "port");
    check_refused("-a.b/c", "not a host name");
    check_refused("a..b/c", "not a host name");
    check_refused("a_b.c/d", "not a host name");
    check_refused("quay.io/", "missing");
    check_refused("/nginx", "empty");
    check_refused("a//b", "empty");
    check_refused("a/b/", "empty");
    check_refused("a._b", "separator");
    check_refused("a___b", "separator");
    check_refused("_a", "start and end");
    check_refused("a.", "start and end");
    check_refused("a/$b", "'$'");
    check_refused("ngïnx", "'ï'");
    check_refused(HEX, "image id");
}

#[test]
fn repositories_have_255_characters_at_most() {
    let fits = format!("quay.io/{}", "a".repeat(255));
    assert!(Reference::parse(&fits).is_ok());
    check_refused(&format!("{fits}a"), "256 characters");
    // with library/ in front
    assert!(Reference::parse(&"a".repeat(247)).is_ok());
    check_refused(&"a".repeat(248), "256 characters");
    assert!(Reference::parse(&format!("a:{}", "b".repeat(128))).is_ok());
}

#[test]
fn with_replaces_tag_and_digest() {
    let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
    let nginx = Reference::parse("nginx:1.25").unwrap();
    let check = |tag, digest, expected: &str| {
        let reference = nginx.with(tag, digest);
        assert_eq!(reference.to_string(), expected.replace("HEX", HEX));
        assert_eq!(reference.typed(), reference.to_string());
    };
    check(Some("2"), None, "docker.io/library/nginx:2");
    check(None, Some(&digest), "docker.io/library/nginx@sha256:HEX");
    check(
        Some("2"),
        Some(&digest),
        "docker.io/library/nginx:2@sha256:HEX",
    );
    check(None, None, "docker.io/library/nginx:latest");
}

#[test]
fn digests_are_taken_apart() {
    let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
    assert_eq!(digest.algorithm(), "sha256");
    assert_eq!(digest.hex(), HEX);
    assert_eq!(digest.short(), "4c0f1a2b");
    assert_eq!(digest.to_string(), digest.as_str());
    let error = "sha256:0".parse::<Digest>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"sha256:0\" is not a digest: the sha256 digest has 1 hexadecimal digits instead of 64"
    );
}

#[test]
fn equality_is_of_the_canonical_form() {
    use std::collections::HashSet;
    let parse = |text| Reference::parse(text).unwrap();
    let set: HashSet<_> = ["nginx", "docker.io/nginx:latest", "nginx:1"]
        .map(parse)
        .into();
    assert_eq!(set.len(), 2);
    assert_eq!(parse("nginx").cmp(&parse("library/nginx")), Ordering::Equal);
    assert_eq!(parse("host:0443/a"), parse("host:443/a"));
}
