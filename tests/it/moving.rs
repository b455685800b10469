//! Moving on from one target registry to another.

use crate::bed::{Bed, deployment, free_port};
use base64::Engine as _;
use serde_json::{Value, json};

fn image(bed: &Bed, name: &str) -> Value {
    bed.get(name)["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

#[test]
fn copies_move_on_from_the_old_registry_under_their_first_names() {
    let Some(bed) = Bed::share("moves", false) else {
        return;
    };
    let (old, new) = (format!("{}/old", bed.target()), bed.open_target());
    let exporter = "quay.io/prometheus/node-exporter:v1";
    bed.apply(&deployment("recorded", &[("web", "busybox:1.36")], &[]));
    bed.apply(&deployment(
        "elsewhere",
        &[("web", "nginx:1.21.4-alpine")],
        &[],
    ));
    bed.plugin(&["clone", "deploy/recorded", "--to", &old])
        .exits(0);
    // as a rewritten manifest brings it: in the old target, and nothing recorded
    let own = format!("{old}/{exporter}");
    bed.plugin(&["copy", exporter, "--as", &own]).exits(0);
    bed.apply(&deployment("unrecorded", &[("web", &own)], &[]));
    // the pull secret of the old one, which others may use
    let secret = |bed: &Bed| -> Value {
        let data = bed.get("secret/image-cloner-pull")["data"][".dockerconfigjson"].clone();
        let text = base64::engine::general_purpose::STANDARD.decode(data.as_str().expect("text"));
        serde_json::from_slice(&text.expect("base64")).expect("JSON")
    };
    let before = secret(&bed);

    // the first sources are not asked
    let nowhere = format!("127.0.0.1:{}", free_port());
    let config = bed.config(&[("docker.io", &nowhere), ("quay.io", &nowhere)]);
    let namespace = format!("ns/{}", bed.namespace);
    let args = ["clone", &namespace, "--from", &old, "--to", &new, "--yes"];
    let ran = bed.plugin_with(&config, &args).exits(0);

    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>().len(),
        3,
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains(&format!(
            "deployment.apps/elsewhere skipped: none of its images is in {old}"
        )),
        "{}",
        ran.stdout
    );
    assert_eq!(
        image(&bed, "deploy/recorded"),
        format!("{new}/busybox:1.36")
    );
    assert_eq!(
        image(&bed, "deploy/unrecorded"),
        format!("{new}/{exporter}")
    );
    assert_eq!(image(&bed, "deploy/elsewhere"), "nginx:1.21.4-alpine");
    assert_eq!(secret(&bed), before);
    let repository = |registry: &str, path: &str| {
        bed.digest(registry, &format!("{}/{path}", bed.namespace), "1.36")
    };
    assert_eq!(
        repository("OPEN_TARGET", "busybox"),
        repository("TARGET", "old/busybox")
    );
    // what was there first comes back, not what was in between
    bed.plugin(&["restore", "deploy/recorded", "deploy/unrecorded"])
        .exits(0);
    assert_eq!(image(&bed, "deploy/recorded"), "busybox:1.36");
    assert_eq!(image(&bed, "deploy/unrecorded"), json!(own));
}
