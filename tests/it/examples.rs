//! The examples do what they say, against the bed.

use crate::bed::{Bed, free_port, idle, var};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// A copy of an example, which may write beside itself, and the plugin in `bin/` beside it.
fn copied(bed: &Bed, name: &str) -> PathBuf {
    let folder = bed.folder().join(name);
    let copy = Command::new("cp")
        .arg("-R")
        .arg(examples().join(name))
        .arg(&folder)
        .status();
    assert!(copy.unwrap().success());
    let bin = bed.folder().join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(
            env!("CARGO_BIN_EXE_kubectl-image_cloner"),
            bin.join("kubectl-image_cloner"),
        )
        .unwrap();
    }
    folder
}

/// A command as a reader of the example runs it.
fn reader(bed: &Bed, folder: &Path, words: &[&str]) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .current_dir(folder)
        .env(
            "PATH",
            format!("{}:{path}", bed.folder().join("bin").display()),
        )
        .env("HOME", bed.folder())
        .env("IMAGE_CLONER_CONFIG", var("CONFIG"))
        .stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output of what must succeed.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}:\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// The bed's configuration, in which `registry.corp` is the open target.
fn config(bed: &Bed) -> PathBuf {
    let path = bed.folder().join("registries.yaml");
    let mut config = fs::read_to_string(var("CONFIG")).unwrap();
    let at = var("OPEN_TARGET");
    let _ = writeln!(config, "  registry.corp: {{endpoint: 'http://{at}'}}");
    fs::write(&path, config).unwrap();
    path
}

#[test]
fn the_demo_shows_a_pod_running_from_the_copy_with_the_sources_digest() {
    let Some(bed) = Bed::share("demo", true) else {
        return;
    };
    let _turn = bed.turn("demo");
    let clear = ["delete", "namespace", "demo-system", "--ignore-not-found"];
    bed.kubectl(&clear);
    let demo = examples().join("demo.sh");
    let mark = Path::new(&var("DIR")).join(".image-cloner-testbed");
    let shown = succeeds(
        reader(&bed, &bed.folder(), &["bash"])
            .arg(demo)
            .args(["--dir", &var("DIR"), "--offset"])
            .arg(fs::read_to_string(mark).unwrap().trim())
            .env("PLUGIN", env!("CARGO_BIN_EXE_kubectl-image_cloner")),
    );
    bed.kubectl(&clear);
    let copy = format!("{}/nginx:1.21.4-alpine", var("TARGET"));
    let digest = bed.digest("DOCKER_IO", "library/nginx", "1.21.4-alpine");
    let digest = digest.expect("in the source");
    let (before, after) = shown
        .split_once("\ndeployment.apps/nginx repointed, 1/1 ready\n")
        .unwrap_or_else(|| panic!("{shown}"));
    let running = |text: &str, image: &str| {
        let is_pod = |line: &&str| line.starts_with("nginx-") && line.contains(" Running ");
        let pods: Vec<_> = text.lines().filter(is_pod).collect();
        matches!(*pods, [pod] if pod.trim_end().ends_with(&format!(" {image}")))
            && text.contains(&digest)
    };
    assert!(running(before, "nginx:1.21.4-alpine"), "{shown}");
    assert!(running(after, &copy), "{shown}");
}

#[test]
fn the_namespace_is_cloned_and_given_back() {
    let Some(bed) = Bed::share("example", true) else {
        return;
    };
    let yaml = fs::read_to_string(examples().join("whole-namespace.yml")).unwrap();
    let yaml = yaml
        .replace("name: shop", &format!("name: {}", bed.namespace))
        .replace("namespace: shop", &format!("namespace: {}", bed.namespace))
        // the tag that the bed's registry has
        .replace("node-exporter:v1.8.2", "node-exporter:v1");
    bed.apply(&yaml);
    let ns = format!("ns/{}", bed.namespace);
    // followed to the end, batch by batch; the Job is left as it is: its template cannot be changed
    let ran = bed.plugin(&["clone", &ns, "--yes"]).exits(3);
    let repointed = |line: &&str| line.contains(" repointed");
    assert_eq!(
        ran.stdout.lines().filter(repointed).count(),
        3,
        "{}",
        ran.stdout
    );
    bed.plugin(&["status", &ns]).exits(0);
    bed.plugin(&["restore", &ns, "--yes"]).exits(0);
    let images = bed.kubectl(&["get", "deploy,sts,ds", "-o", "jsonpath={..image}"]);
    assert!(!images.contains("localhost"), "{images}");
}

#[test]
fn the_gitops_script_writes_what_the_cluster_follows() {
    let Some(bed) = Bed::share("gitops", false) else {
        return;
    };
    let folder = copied(&bed, "gitops");
    let probe = succeeds_or_old(&mut reader(
        &bed,
        &folder,
        &["kubectl", "kustomize", "mirrored"],
    ));
    if !probe {
        eprintln!("skipped: this kubectl's kustomize knows no folders under resources");
        return;
    }
    fs::write(folder.join("mirrored/kustomization.yaml"), "").unwrap();
    let sync = ["bash", "sync.sh", "registry.corp/mirror"];
    succeeds(reader(&bed, &folder, &sync).env("IMAGE_CLONER_CONFIG", config(&bed)));
    let written = fs::read_to_string(folder.join("mirrored/kustomization.yaml")).unwrap();
    let shown = fs::read_to_string(examples().join("gitops/mirrored/kustomization.yaml")).unwrap();
    assert_eq!(written, shown, "the example shows what the script writes");
    let made = succeeds(&mut reader(
        &bed,
        &folder,
        &["kubectl", "kustomize", "mirrored"],
    ));
    assert!(
        made.contains("image: registry.corp/mirror/nginx:1.21.4-alpine"),
        "{made}"
    );

    // an image that cannot be had changes nothing
    let web = folder.join("base/web.yaml");
    let text = fs::read_to_string(&web).unwrap();
    fs::write(&web, text.replace("nginx:1.21.4", "nginx:0.0.0")).unwrap();
    let failed = reader(&bed, &folder, &sync)
        .env("IMAGE_CLONER_CONFIG", config(&bed))
        .output()
        .unwrap();
    assert!(!failed.status.success());
    let after = fs::read_to_string(folder.join("mirrored/kustomization.yaml")).unwrap();
    assert_eq!(after, written);
}

fn succeeds_or_old(command: &mut Command) -> bool {
    let output = command.output().unwrap();
    output.status.success() || !text(&output.stderr).contains("is a directory")
}

#[test]
fn images_get_over_an_air_gap_with_their_digests() {
    let Some(bed) = Bed::share("airgap", false) else {
        return;
    };
    let folder = copied(&bed, "air-gap");
    let copy = Command::new("cp")
        .arg(examples().join("deploy-nginx.yml"))
        .arg(&folder)
        .status();
    assert!(copy.unwrap().success());
    let carrier = format!("{}/carried", bed.open_target());
    let inside = format!("registry.corp/{}/inside", bed.namespace);
    let outside = [
        "bash",
        "outside.sh",
        &carrier,
        &inside,
        "parcel",
        "deploy-nginx.yml",
    ];
    let run = |words: &[&str]| {
        succeeds(reader(&bed, &folder, words).env("IMAGE_CLONER_CONFIG", config(&bed)))
    };
    run(&outside);
    let digest = |repository: &str| {
        let repository = format!("{}/{repository}", bed.namespace);
        bed.digest("OPEN_TARGET", &repository, "1.21.4-alpine")
    };
    let source = bed.digest("DOCKER_IO", "library/nginx", "1.21.4-alpine");
    assert!(source.is_some());
    assert_eq!(digest("carried/nginx"), source);
    assert_eq!(
        digest("inside/nginx"),
        None,
        "nothing is behind the gap yet"
    );
    let manifest = fs::read_to_string(folder.join("parcel/manifests/deploy-nginx.yml")).unwrap();
    assert!(
        manifest.contains(&format!("image: {inside}/nginx:1.21.4-alpine")),
        "{manifest}"
    );

    // behind the gap the sources are out of reach
    let mut command = reader(
        &bed,
        &folder,
        &["bash", "inside.sh", &carrier, &inside, "parcel"],
    );
    let unreachable = bed.config(&[
        ("docker.io", "127.0.0.1:1"),
        ("registry.corp", &var("OPEN_TARGET")),
    ]);
    succeeds(command.env("IMAGE_CLONER_CONFIG", unreachable));
    assert_eq!(digest("inside/nginx"), source);
}

/// A Distribution registry over TLS with two users, ended with the test.
struct Private {
    process: Child,
    port: u16,
}

impl Private {
    fn start(folder: &Path) -> Self {
        let port = free_port();
        let mut users = String::new();
        for user in ["pusher", "puller"] {
            fs::write(
                folder.join(format!("{user}.password")),
                format!("{user}-pass"),
            )
            .unwrap();
            let line = Command::new("htpasswd")
                .args(["-bBn", "-C", "4", user, &format!("{user}-pass")])
                .output()
                .unwrap();
            users += text(&line.stdout).trim();
            users.push('\n');
        }
        fs::write(folder.join("htpasswd"), users).unwrap();
        let place = folder.display();
        let config = format!(
            "version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {place}/data}}}}
http:
  addr: 127.0.0.1:{port}
  secret: example
  tls: {{certificate: {place}/registry.crt, key: {place}/registry.key}}
auth: {{htpasswd: {{realm: example, path: {place}/htpasswd}}}}
"
        );
        fs::write(folder.join("registry.yml"), config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.join("registry.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the bed installs it");
        let private = Self { process, port };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "it never listened"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        private
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_registry_with_a_ca_of_its_own_is_pushed_to_with_the_examples_configuration() {
    let Some(bed) = Bed::share("private", false) else {
        return;
    };
    let folder = copied(&bed, "private-registry");
    let certificates = ["bash", "certificates.sh", ".", "registry.corp", "localhost"];
    succeeds(&mut reader(&bed, &folder, &certificates));
    let private = Private::start(&folder);
    let mut config = fs::read_to_string(folder.join("config.yaml")).unwrap();
    let at = var("DOCKER_IO");
    let _ = writeln!(config, "  docker.io: {{endpoint: 'http://{at}'}}");
    fs::write(folder.join("config.yaml"), config).unwrap();
    let plugin = |words: &[&str]| -> Output {
        let words = [&["kubectl", "image-cloner"], words].concat();
        reader(&bed, &folder, &words)
            .env("IMAGE_CLONER_CONFIG", "config.yaml")
            .output()
            .unwrap()
    };
    let at = format!("https://localhost:{}", private.port);
    let set = plugin(&["config", "set", "--host", "registry.corp", "endpoint", &at]);
    assert!(set.status.success(), "{}", text(&set.stderr));
    let ran = plugin(&["copy", "nginx:1.21.4-alpine"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert!(
        text(&ran.stdout).contains(" registry.corp/mirror/nginx:1.21.4-alpine sha256:"),
        "{}",
        text(&ran.stdout)
    );

    // pods get the credentials that may only pull; no node is asked
    bed.apply(&idle("nginx", "nginx:1.21.4-alpine"));
    let ran = plugin(&["clone", "deploy/nginx", "-n", &bed.namespace]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let logins = bed.pull_logins();
    let login = &logins["registry.corp/mirror"];
    assert_eq!(login["username"], "puller");
    assert_eq!(login["password"], "puller-pass");

    // the example's CA is what it takes
    let unset = plugin(&["config", "unset", "--host", "registry.corp", "caFile"]);
    assert!(unset.status.success(), "{}", text(&unset.stderr));
    let ran = plugin(&["copy", "nginx:1.21.4-alpine"]);
    let said = text(&ran.stderr);
    assert!(
        said.contains("certificate signed by unknown authority"),
        "{said}"
    );
}
