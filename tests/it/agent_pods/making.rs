//! Installing: what is said before anything is made, what is made, and what is kept of one that was broken off.

use super::{SYSTEM, Turn};
use crate::bed::{ApiProxy, Bed, Hold, var};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::Value;
use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};

#[test]
fn what_is_missing_is_said_before_anything_is_made() {
    let Some(bed) = Bed::share("installing", false) else {
        return;
    };
    // an agent that another test has installed would say what is missing here
    let _alone = bed.alone();
    let endpoint = format!("--registry-endpoint={}", var("TARGET"));
    let plugin = env!("CARGO_BIN_EXE_kubectl-image_cloner");
    bed.plugin(&["install-agent"]).exits(2).says(
        "error: where the agent is to work is not said\nnothing was changed\nhint: -A for all",
    );
    bed.plugin(&["install-agent", "-A"])
        .exits(2)
        .says("hint: --registry-endpoint says where pods reach this registry");
    bed.plugin(&["install-agent", "-A", &endpoint, "--agent-binary", plugin])
        .exits(2)
        .says("is not statically linked")
        .says("hint: RUSTFLAGS='-C target-feature=+crt-static' cargo build --release");
    bed.plugin(&["install-agent", "-A", "--set", "MODE=clone"])
        .exits(2)
        .says("error: --set \"MODE=clone\" is no setting");
    bed.plugin(&[
        "install-agent",
        "-A",
        &endpoint,
        "--kinds",
        "deploy,widgets",
    ])
    .exits(2)
    .says("error: IMAGE_CLONER_KINDS: \"widgets\" is not one of Deployment");
    bed.plugin(&["install-agent", "-A", "-n", "shop"])
        .exits(2)
        .says("hint: --namespaces shop is where it works");
    bed.plugin(&["install-agent", "--namespaces", SYSTEM])
        .exits(2)
        .says("that is the agent's own");
    bed.plugin(&[
        "install-agent",
        "-A",
        "--agent-image",
        "Not An Image",
        &endpoint,
    ])
    .exits(2);
    let image = "--agent-image=localhost:1/agent:1";
    bed.plugin(&["install-agent", "-A", &endpoint, image, "--service-monitor"])
        .exits(2)
        .says("the cluster knows no ServiceMonitor");
}

#[test]
fn the_objects_are_printed_for_whoever_applies_them() {
    let Some(bed) = Bed::share("printing", false) else {
        return;
    };
    let image = format!("{}/agent@sha256:{}", bed.target(), "0a".repeat(32));
    let endpoint = format!("--registry-endpoint={}", var("TARGET"));
    let args = ["install-agent", "-A", &endpoint, "--agent-image", &image];
    let ran = bed
        .plugin(&[&args[..], &["--dry-run", "-o", "yaml"]].concat())
        .exits(0)
        .says("note: the Secrets among these hold credentials");
    // kubectl itself takes them
    let path = bed.folder().join("agent.yaml");
    std::fs::write(&path, &ran.stdout).unwrap();
    let path = path.display().to_string();
    let made = bed.kubectl(&[
        "create",
        "--dry-run=client",
        "-f",
        &path,
        "-o",
        "name",
        "-n",
        SYSTEM,
    ]);
    assert!(made.contains("deployment.apps/image-cloner"), "{made}");
    let ran = bed
        .plugin(&[&args[..], &["--dry-run", "-o", "json"]].concat())
        .exits(0);
    let list: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list["kind"], "List");
}

/// As krew does it: the programs in a folder, and a link to the plugin in another.
#[test]
fn the_agent_beside_a_plugin_that_is_linked_is_the_one_that_is_installed() {
    let Some(turn) = Turn::take("linked") else {
        return;
    };
    let folder = turn.bed.folder();
    for name in ["store", "bin"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let plugin = folder.join("store/kubectl-image_cloner");
    std::fs::copy(env!("CARGO_BIN_EXE_kubectl-image_cloner"), &plugin).unwrap();
    let agent = format!("store/image-cloner-agent-linux-{architecture}");
    std::fs::copy(&turn.binary, folder.join(agent)).unwrap();
    let link = folder.join("bin/kubectl-image_cloner");
    std::os::unix::fs::symlink(plugin, &link).unwrap();

    let endpoint = format!("--registry-endpoint={}", var("TARGET_FROM_PODS"));
    let print = ["install-agent", "-A", &endpoint, "--dry-run", "-o", "yaml"];
    let asked = turn.bed.plugin_command(&print);
    let mut linked = Command::new(link);
    linked.args(asked.get_args()).env_clear();
    linked.envs(
        asked
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let beside = turn.bed.ran(linked.output().unwrap()).exits(0);
    let binary = turn.binary.display().to_string();
    let named = turn
        .bed
        .plugin(&[&print[..], &["--agent-binary", &binary]].concat())
        .exits(0);
    assert!(beside.stdout.contains("@sha256:"), "{}", beside.stdout);
    assert_eq!(beside.stdout, named.stdout);
}

#[test]
fn what_the_agent_is_made_of_is_found_by_its_image() {
    let Some(mut turn) = Turn::take("sbom") else {
        return;
    };
    // as `cargo auditable` does it
    let list = r#"{"packages":[{"name":"a","version":"1.0.0","source":"crates.io","root":true}]}"#;
    let section = turn.bed.folder().join("list");
    let mut zlib = ZlibEncoder::new(File::create(&section).unwrap(), Compression::default());
    zlib.write_all(list.as_bytes()).unwrap();
    zlib.finish().unwrap();
    let binary = turn.bed.folder().join("agent");
    let objcopy = Command::new("objcopy")
        .arg("--add-section")
        .arg(format!(".dep-v0={}", section.display()))
        .args([&turn.binary, &binary])
        .status();
    assert!(objcopy.unwrap().success());
    turn.binary = binary;
    let bed = &turn.bed;

    let repository = format!("{}/image-cloner.internal/agent", bed.namespace);
    let tag = concat!("v", env!("CARGO_PKG_VERSION"));
    turn.install(&["--wait=false"]).exits(0);
    let digest = bed.digest("TARGET", &repository, tag).unwrap();
    let image = bed.manifest("TARGET", &repository, tag);
    // this registry leaves the list of referrers to its clients
    let list = bed.manifest("TARGET", &repository, &digest.replace(':', "-"));
    let entry = &list["manifests"][0];
    assert_eq!(entry["artifactType"], "application/vnd.cyclonedx+json");
    let sbom = bed.manifest("TARGET", &repository, entry["digest"].as_str().unwrap());
    assert_eq!(sbom["subject"]["digest"], digest);
    assert_eq!(
        sbom["layers"][0]["digest"],
        image["annotations"]["io.image-cloner.sbom"]
    );

    // made again it is the same, and nothing is sent
    let writes = bed.writes("TARGET").len();
    turn.install(&["--wait=false"])
        .exits(0)
        .says("nothing changes");
    assert_eq!(bed.writes("TARGET").len(), writes);
}

#[test]
fn a_change_of_registry_that_is_broken_off_is_gone_on_with_by_as_many() {
    let Some(mut turn) = Turn::take("broken-off") else {
        return;
    };
    turn.install(&["--replicas", "2", "--wait=false"]).exits(0);
    turn.target = turn.bed.open_target();
    turn.endpoint = var("OPEN_TARGET_FROM_PODS");
    let bed = &turn.bed;
    let to = ["--to", &turn.target, "--wait=false", "--yes"];

    // killed after the agent was stopped, before there is another
    let proxy = ApiProxy::start();
    let applying = format!("PATCH /api/v1/namespaces/{SYSTEM}/serviceaccounts/");
    let hold = Hold::before(&proxy.address(), &applying, 0);
    let kubeconfig = bed.kubeconfig_at(&format!("http://{}", hold.address()));
    let mut install = turn.installing(&to);
    install.env("KUBECONFIG", kubeconfig);
    install.stdout(Stdio::null()).stderr(Stdio::null());
    let mut install = install.spawn().unwrap();
    hold.holds();
    install.kill().unwrap();
    install.wait().unwrap();
    let left = bed.kubectl(&["-n", SYSTEM, "get", "deploy", "-o", "name"]);
    assert_eq!(left, "");
    let noted = &turn.own("configmap/image-cloner-config")["metadata"]["annotations"];
    assert_eq!(noted["image-cloner.io/replicas"], "2");

    turn.install(&to).exits(0);
    assert_eq!(turn.own("deploy/image-cloner")["spec"]["replicas"], 2);
    let config = turn.own("configmap/image-cloner-config");
    assert!(config["metadata"]["annotations"]["image-cloner.io/replicas"].is_null());
    assert_eq!(
        config["data"]["IMAGE_CLONER_REGISTRY"],
        turn.target.as_str()
    );
}
