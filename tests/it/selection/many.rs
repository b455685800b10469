//! Three hundred workloads with sixty images: what is asked for them, and what is shown of them.

use crate::bed::{ApiProxy, Bed, Tally, idle};
use crate::wire::server::{Registry, digest};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How often each was asked, where that is more than once.
fn repeated(asked: &[String]) -> Vec<(&String, usize)> {
    let mut counts = BTreeMap::new();
    for request in asked {
        *counts.entry(request).or_insert(0) += 1;
    }
    counts.into_iter().filter(|(_, count)| *count > 1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_workloads_take_few_requests_and_none_twice() {
    let Some(bed) = Bed::share("many", false) else {
        return;
    };
    let source = Registry::start().await;
    let target = Registry::start().await;
    for number in 0..60 {
        let repository = format!("library/img-{number:02}");
        let config = format!("{{\"n\":{number}}}");
        let layer = vec![u8::try_from(number).unwrap(); 1000];
        let (config_digest, layer_digest) = (
            source.put_blob(&repository, config.as_bytes()),
            source.put_blob(&repository, &layer),
        );
        let kind = crate::wire::MANIFEST;
        let manifest = json!({"schemaVersion": 2, "mediaType": kind,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config_digest, "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer_digest, "size": layer.len()}]})
        .to_string();
        source.put_manifest(&repository, "1", kind, manifest.as_bytes());
        source.put_manifest(
            &repository,
            &digest(manifest.as_bytes()),
            kind,
            manifest.as_bytes(),
        );
    }
    let mut yaml = String::new();
    for number in 0..300 {
        let image = format!("img-{:02}:1", number % 60);
        let _ = writeln!(yaml, "---\n{}", idle(&format!("w{number:03}"), &image));
    }
    bed.apply(&yaml);

    let proxy = ApiProxy::start();
    let api = Tally::before(proxy.address());
    let config = bed.config(&[("docker.io", &source.host)]);
    let nobody = bed.folder().join("kubeconfig");
    std::fs::write(&nobody, "{}").expect("a file");
    let namespace = format!("ns/{}", bed.namespace);
    let server = format!("http://{}", api.address());
    let to = format!("{}/all", target.host);
    let run = |args: &[&str]| {
        let args = [
            &["clone", &namespace, "--to", &to, "--server", &server],
            args,
        ]
        .concat();
        let mut command = bed.plugin_command(&args);
        command
            .env("KUBECONFIG", &nobody)
            .env("IMAGE_CLONER_CONFIG", &config);
        bed.ran(command.output().expect("the plugin starts"))
    };

    let looked = run(&["--dry-run"]).exits(0);

    assert_eq!(looked.stdout.lines().count(), 300);
    let rows = looked
        .stderr
        .lines()
        .filter(|line| line.starts_with("img-"));
    assert_eq!(rows.count(), 20, "{}", looked.stderr);
    looked
        .says("... 40 more (-o wide)")
        .says("repoint     300  Deployment 300");
    let asked = api.asked();
    assert_eq!(repeated(&asked), []);
    let (one_each, surroundings): (Vec<_>, Vec<_>) = asked
        .iter()
        .partition(|request| request.contains("/deployments/w"));
    // a dry run tries each change on what is there then
    assert_eq!(one_each.len(), 300);
    // the namespace, seven kinds and the version of one, pods, an account
    assert!(surroundings.len() <= 11, "{surroundings:#?}");
    // a HEAD on either side, and the size of what is to be copied; once, who asks
    for (registry, most) in [(&source, 121), (&target, 181)] {
        let lines = registry.lines();
        let lines: Vec<String> = lines
            .into_iter()
            .filter(|line| line != "GET /v2/")
            .collect();
        // whether nodes need credentials is asked once more of each repository of the target, without any
        let is_anonymous = |request: &str| most > 121 && request.starts_with("HEAD /v2/all/img-");
        let mut repeated = repeated(&lines);
        repeated.retain(|(request, count)| *count > 2 || !is_anonymous(request));
        assert_eq!(repeated, []);
        assert!(lines.len() <= most, "{}", lines.len());
    }

    let wide = run(&["--dry-run", "-o", "wide"]).exits(0);
    let rows = wide.stderr.lines().filter(|line| line.starts_with("img-"));
    assert_eq!(rows.count(), 60, "{}", wide.stderr);

    // all of it in one run, as sparingly
    for counted in [&source, &target] {
        counted.log();
    }
    let before = api.asked().len();
    let done = run(&["--yes", "--wait=false"]).exits(0);
    assert_eq!(done.stdout.matches(" repointed").count(), 300);
    let asked = &api.asked()[before..];
    // whether the namespace opts out is asked again before its workloads are changed
    let opt_out = format!("/api/v1/namespaces/{}", bed.namespace);
    let mut again = repeated(asked);
    let is_opt_out = |request: &&String| request.ends_with(&opt_out);
    again.retain(|(request, _)| !is_opt_out(request));
    assert_eq!(again, []);
    let opt_outs = asked.iter().filter(is_opt_out).count();
    assert!((2..30).contains(&opt_outs), "{asked:#?}");
    let of = |method: &str| {
        let one_each = asked.iter().filter(|line| line.contains("/deployments/w"));
        one_each.filter(|line| line.starts_with(method)).count()
    };
    // each is read again before its patch
    assert_eq!((of("GET"), of("PATCH")), (300, 300));
    let lines = source.lines();
    assert_eq!(repeated(&lines), []);
    let blobs = lines.iter().filter(|line| line.contains("/blobs/"));
    assert_eq!(blobs.count(), 120);
    let mut lines = target.lines();
    lines.retain(|line| line != "GET /v2/");
    let pushed = lines
        .iter()
        .filter(|line| line.starts_with("PUT ") && line.contains("/manifests/"));
    assert_eq!(pushed.count(), 60);
}
