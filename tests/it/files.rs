//! `clone -f`: manifests come out repointed, and nothing else about them changes.

mod kustomize;
mod refused;

use crate::bed::{Bed, Ran, var};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const DEPLOYMENT: &str = "\
# the shop's front
apiVersion: apps/v1
kind: Deployment
metadata:
    name: web   # odd indentation
    labels: {app: web}
spec:
    replicas: 1
    selector: {matchLabels: {app: web}}
    template:
        metadata: {labels: {app: web}}
        spec:
            initContainers:
            - {name: wait, image: \"busybox:1.36\"}
            containers:
            - image: nginx:1.21.4-alpine   # keep in step with the proxy
              name: web
";

/// The plugin where there is neither a cluster nor a configuration.
fn plugin(folder: &Path, args: &[&str], input: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"));
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("IMAGE_CLONER_REGISTRY", "reg.corp/mirror");
    fed(command, input)
}

/// Runs a command with this standard input.
fn fed(mut command: Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    let mut stdin = child.stdin.take().expect("piped");
    // a plugin that refuses its arguments reads nothing
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the plugin ends");
    Ran {
        code: output.status.code().expect("the plugin is not killed"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn repointed(text: &str) -> String {
    text.replace("busybox:1.36", "reg.corp/mirror/busybox:1.36")
        .replace("nginx:1.21", "reg.corp/mirror/nginx:1.21")
}

#[test]
fn a_manifest_comes_out_as_it_was_but_for_its_images() {
    let folder = folder(&[("web.yaml", DEPLOYMENT)]);
    let expected = repointed(DEPLOYMENT);
    for (args, input) in [
        (["clone", "--no-copy", "-f", "web.yaml"], ""),
        (["clone", "--no-copy", "-f", "-"], DEPLOYMENT),
    ] {
        let ran = plugin(folder.path(), &args, input).exits(0);
        assert_eq!(ran.stdout, expected);
        assert_eq!(ran.stderr, "");
    }
    // what is cloned stays cloned
    let again = plugin(folder.path(), &["clone", "--no-copy", "-f", "-"], &expected);
    assert_eq!(again.exits(0).stdout, expected);
    assert_eq!(
        fs::read_to_string(folder.path().join("web.yaml")).expect("the file"),
        DEPLOYMENT
    );
}

#[test]
fn what_helm_prints_keeps_its_comments_and_documents() {
    let text = "---\n# Source: shop/templates/sa.yaml\napiVersion: v1\nkind: ServiceAccount\n\
                metadata:\n  name: shop\n---\n# Source: shop/templates/web.yaml\n"
        .to_owned()
        + DEPLOYMENT
        + "---\n# Source: shop/templates/test.yaml\napiVersion: v1\nkind: Pod\nmetadata:\n  \
           name: \"shop-test\"\n  annotations:\n    \"helm.sh/hook\": test\nspec:\n  containers:\n    \
           - name: wget\n      image: 'busybox:1.36'\n  restartPolicy: Never\n";
    let folder = folder(&[]);
    let ran = plugin(folder.path(), &["clone", "--no-copy", "-f", "-"], &text).exits(0);
    assert_eq!(ran.stdout, repointed(&text));
}

#[test]
fn a_folder_is_one_stream_and_what_is_no_manifest_is_passed_over() {
    let folder = folder(&[
        ("all/b.yaml", DEPLOYMENT),
        (
            "all/a.json",
            "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": []}",
        ),
        ("all/notes.txt", "image: nginx"),
        ("all/kustomization.yaml", "resources: [b.yaml]\n"),
        ("all/ci.yml", "jobs: {}\n"),
        ("all/deep/c.yml", "apiVersion: v1\nkind: Namespace\n"),
    ]);
    let list = "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": []}";
    let web = repointed(DEPLOYMENT);
    let ran = plugin(folder.path(), &["clone", "--no-copy", "-f", "all"], "").exits(0);
    assert_eq!(ran.stdout, format!("{list}\n---\n{web}"));
    insta::assert_snapshot!(ran.stderr, @"note: all/ci.yml:1: passed over: no Kubernetes object: it has no apiVersion or no kind");
    let ran = plugin(
        folder.path(),
        &["clone", "--no-copy", "-R", "-f", "all"],
        "",
    )
    .exits(0);
    assert_eq!(
        ran.stdout,
        format!("{list}\n---\n{web}---\napiVersion: v1\nkind: Namespace\n")
    );
}

#[test]
fn files_are_written_over_with_their_modes_and_links() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let folder = folder(&[
        ("real/web.yaml", DEPLOYMENT),
        (
            "all/job.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n",
        ),
    ]);
    let path = |name: &str| folder.path().join(name);
    fs::set_permissions(path("real/web.yaml"), fs::Permissions::from_mode(0o640)).expect("a mode");
    symlink("../real/web.yaml", path("all/web.yaml")).expect("a link");
    fs::write(path("all/hard.yaml"), DEPLOYMENT).expect("a file");
    fs::hard_link(path("all/hard.yaml"), path("hard.yaml")).expect("a link");

    let args = ["clone", "--no-copy", "-w", "-f", "all"];
    let dry = plugin(folder.path(), &[&args[..], &["--dry-run"]].concat(), "").exits(0);
    insta::assert_snapshot!(dry.stdout, @r"
    all/hard.yaml repointed, 2 images (client dry run)
    all/web.yaml repointed, 2 images (client dry run)
    ");
    assert_eq!(
        fs::read_to_string(path("all/web.yaml")).expect("a file"),
        DEPLOYMENT
    );

    let ran = plugin(folder.path(), &args, "").exits(0);
    insta::assert_snapshot!(ran.stdout, @r"
    all/hard.yaml repointed, 2 images
    all/web.yaml repointed, 2 images
    ");
    for name in ["real/web.yaml", "hard.yaml"] {
        assert_eq!(
            fs::read_to_string(path(name)).expect("a file"),
            repointed(DEPLOYMENT),
            "{name}"
        );
    }
    assert!(
        fs::symlink_metadata(path("all/web.yaml"))
            .expect("a link")
            .is_symlink()
    );
    let mode = fs::metadata(path("real/web.yaml")).expect("a file").mode();
    assert_eq!(mode & 0o777, 0o640);
    let names = fs::read_dir(path("all")).expect("a folder").count();
    assert_eq!(names, 3, "nothing is left beside the files");

    let again = plugin(folder.path(), &args, "").exits(0);
    insta::assert_snapshot!(again.stdout, @r"
    all/hard.yaml unchanged
    all/web.yaml unchanged
    ");
}

#[test]
fn images_are_listed_for_other_tools() {
    let rollout = "---\napiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\nspec: \
                   {template: {spec: {containers: [{name: c, image: reg.corp/mirror/a:1}]}}}\n";
    let folder = folder(&[]);
    let text = DEPLOYMENT.to_owned() + rollout;
    let show = |output: &str| {
        let args = ["clone", "--no-copy", "-f", "-", "-o", output];
        plugin(folder.path(), &args, &text).exits(0).stdout
    };
    insta::assert_snapshot!(show("refs"), @r"
    busybox:1.36 reg.corp/mirror/busybox:1.36
    nginx:1.21.4-alpine reg.corp/mirror/nginx:1.21.4-alpine
    reg.corp/mirror/a:1 reg.corp/mirror/a:1
    ");
    insta::assert_snapshot!(show("kustomize"), @r"
    images:
    - name: busybox
      newName: reg.corp/mirror/busybox
    - name: nginx
      newName: reg.corp/mirror/nginx
    ");
    insta::assert_snapshot!(show("patch"), @r"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: web
    spec:
      template:
        spec:
          containers:
          - image: reg.corp/mirror/nginx:1.21.4-alpine
            name: web
          initContainers:
          - image: reg.corp/mirror/busybox:1.36
            name: wait
    ");
}

#[test]
fn what_kubectl_makes_goes_through_a_pipe_and_back() {
    let Some(bed) = Bed::share("pipe", false) else {
        return;
    };
    let folder = folder(&[
        ("base/web.yaml", DEPLOYMENT),
        (
            "base/kustomization.yaml",
            "resources: [web.yaml]\nnamePrefix: my-\n",
        ),
    ]);
    let base = folder.path().join("base");
    let made = [
        bed.kubectl(&[
            "create",
            "deploy",
            "a",
            "--image=nginx:1.21.4-alpine",
            "--dry-run=client",
            "-o",
            "yaml",
        ]),
        bed.kubectl(&[
            "create",
            "deploy",
            "b",
            "--image=nginx:1.21.4-alpine",
            "--dry-run=client",
            "-o",
            "json",
        ]),
        bed.kubectl(&["kustomize", base.to_str().expect("UTF-8")]),
    ];
    for text in made {
        let mut command = bed.plugin_command(&["clone", "-f", "-"]);
        command.stdin(Stdio::piped());
        let ran = fed(command, &text).exits(0);
        let expected = repointed(&text).replace("reg.corp/mirror", &bed.target());
        assert_ne!(text, expected);
        assert_eq!(ran.stdout, expected);
        bed.apply(&ran.stdout);
    }
    let live = bed.kubectl(&["get", "deploy", "-o", "yaml"]);
    assert_eq!(
        live.matches(&format!("image: {}/", bed.target())).count(),
        4,
        "{live}"
    );
    let mut command = bed.plugin_command(&["clone", "-f", "-", "--no-copy"]);
    command.env("IMAGE_CLONER_REGISTRY", var("OPEN_TARGET"));
    let moved = fed(command, &live).exits(0).stdout;
    assert_eq!(
        moved.replace(
            &format!(
                "{}/{}",
                var("OPEN_TARGET"),
                var("TARGET").replace(':', "__")
            ),
            &var("TARGET")
        ),
        live
    );
}

#[test]
#[cfg(unix)]
fn a_file_that_is_named_twice_is_taken_once() {
    let folder = folder(&[("k8s/a.yaml", DEPLOYMENT)]);
    std::os::unix::fs::symlink("a.yaml", folder.path().join("k8s/b.yaml")).expect("a link");
    let args = ["clone", "--no-copy", "-w", "-f", "k8s", "-f", "k8s/a.yaml"];

    let ran = plugin(folder.path(), &args, "").exits(0);

    assert_eq!(ran.stdout, "k8s/a.yaml repointed, 2 images\n");
    let text = fs::read_to_string(folder.path().join("k8s/a.yaml")).expect("a file");
    assert_eq!(text, repointed(DEPLOYMENT));
}
