//! Bad input: a clear message, the right exit code, and an unchanged cluster.

use crate::bed::{Bed, deployment, free_port, var};
use serde_json::Value;

/// A namespace with a Deployment in it, where everything is to stay as it is.
struct Untouched {
    bed: Bed,
}

impl Untouched {
    fn share(name: &str) -> Option<Self> {
        let bed = Bed::share(name, false)?;
        bed.apply(&deployment("web", &[("web", "nginx:1.21.4-alpine")], &[]));
        Some(Self { bed })
    }

    /// What must not change: every Deployment's spec and record, and which secrets there are.
    fn state(&self) -> (Vec<[Value; 3]>, String) {
        let deployments = self.bed.get("deploy");
        let deployments = deployments["items"].as_array().expect("a list").iter();
        let deployments = deployments.map(|object| {
            let metadata = &object["metadata"];
            let record = &metadata["annotations"]["image-cloner.io/originals"];
            [
                metadata["name"].clone(),
                object["spec"].clone(),
                record.clone(),
            ]
        });
        (
            deployments.collect(),
            self.bed.kubectl(&["get", "secrets", "-o", "name"]),
        )
    }

    /// Runs the plugin with these changes to its environment and checks what it says, that it exits so,
    /// and that nothing changed.
    #[track_caller]
    fn refuses(&self, args: &[&str], environment: &[(&str, &str)], code: i32, words: &[&str]) {
        let before = self.state();
        let mut command = self.bed.plugin_command(args);
        for (name, value) in environment {
            match *value {
                "" => command.env_remove(name),
                value => command.env(name, value),
            };
        }
        let ran = self.bed.ran(command.output().expect("the plugin starts"));
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, code, "{args:?}\n{said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: {word:?} is not in:\n{said}");
        }
        assert!(!said.contains(&var("TARGET_PASS")), "{said}");
        assert_eq!(self.state(), before, "{args:?}");
    }
}

#[test]
fn wrong_words_are_named() {
    let Some(it) = Untouched::share("words") else {
        return;
    };
    it.refuses(
        &["clone", "deploy/web", "--to", "http://x/"],
        &[],
        2,
        &["\"http://x/\"", "target registry"],
    );
    it.refuses(
        &["clone", "deploi/web"],
        &[],
        2,
        &["\"deploi\"", "did you mean deploy?", "nothing was changed"],
    );
    it.refuses(
        &["clone", "deploy/wab"],
        &[],
        1,
        &["deployment.apps/wab", "not found"],
    );
    it.refuses(
        &["clone", "ns/no-such-namespace", "--yes"],
        &[],
        1,
        &["no-such-namespace", "not found"],
    );
    it.refuses(
        &["clone", "deploy/web", "--context", "elsewhere"],
        &[],
        2,
        &["\"elsewhere\""],
    );
    it.refuses(&["clone"], &[], 2, &["nothing is selected", "deploy/nginx"]);
    it.refuses(&["clone", "-A"], &[], 2, &["--yes", "--dry-run"]);
    it.refuses(&["copy", "Nginx:1"], &[], 2, &["\"Nginx:1\"", "lower"]);
    it.refuses(
        &["clone", "deploy/web", "--tomorrow"],
        &[],
        2,
        &["--tomorrow"],
    );
}

#[test]
fn a_malformed_image_is_left_with_the_reason() {
    let Some(it) = Untouched::share("malformed") else {
        return;
    };
    it.bed
        .apply(&deployment("odd", &[("odd", "Nginx:1.21")], &[]));
    it.refuses(&["clone", "deploy/odd"], &[], 3, &["Nginx:1.21"]);
    assert_eq!(it.bed.get("deploy/odd")["metadata"]["generation"], 1);
}

#[test]
fn wrong_credentials_are_told_apart() {
    let Some(it) = Untouched::share("wrong") else {
        return;
    };
    it.refuses(
        &["clone", "deploy/web"],
        &[("IMAGE_CLONER_PASS", "not-it")],
        1,
        &[&var("TARGET"), "testuser", "401", "nothing was changed"],
    );
    it.bed.apply(&deployment(
        "corp",
        &[("app", "registry.corp:5443/team/app:1")],
        &[],
    ));
    it.refuses(
        &["clone", "deploy/corp"],
        &[],
        1,
        &["registry.corp:5443/team/app:1", "401", "anonymous"],
    );
    it.bed.corp_secret("wrong", "not-it");
    let secrets = r#"{"spec":{"template":{"spec":{"imagePullSecrets":[{"name":"wrong"}]}}}}"#;
    it.bed.kubectl(&["patch", "deploy/corp", "-p", secrets]);
    it.refuses(
        &["clone", "deploy/corp"],
        &[],
        1,
        &["registry.corp:5443/team/app:1", "401", "as corp"],
    );
    it.refuses(
        &["clone", "deploy/web"],
        &[("IMAGE_CLONER_PULL_PASS", "not-it")],
        1,
        &["to pull", "as puller", "nothing was changed"],
    );
    it.refuses(
        &["clone", "deploy/web"],
        &[
            ("IMAGE_CLONER_PULL_USER", ""),
            ("IMAGE_CLONER_PULL_PASS", ""),
        ],
        3,
        &[],
    );
}

#[test]
fn a_pull_secret_that_would_not_do_is_refused() {
    let Some(it) = Untouched::share("secret") else {
        return;
    };
    it.bed.corp_secret("other", "for another registry");
    for name in ["nosuch", "other"] {
        it.refuses(
            &["clone", "deploy/web", "--pull-secret", name],
            &[],
            if name == "nosuch" { 1 } else { 2 },
            &[name, "nothing was changed"],
        );
    }
}

#[test]
fn without_pull_credentials_the_image_is_copied_and_the_way_is_said() {
    let Some(it) = Untouched::share("nopull") else {
        return;
    };
    let before = it.state();
    let ran = it.bed.ran(
        it.bed
            .plugin_command(&["clone", "deploy/web"])
            .env_remove("IMAGE_CLONER_PULL_USER")
            .env_remove("IMAGE_CLONER_PULL_PASS")
            .output()
            .expect("the plugin starts"),
    );
    let ran = ran.exits(3).says("--share-credentials");
    assert!(
        ran.stdout.contains("copied only: no credentials to pull"),
        "{}",
        ran.stdout
    );
    assert_eq!(it.state(), before);
}

#[test]
fn images_and_registries_that_are_not_there_are_named() {
    let Some(it) = Untouched::share("absent") else {
        return;
    };
    it.bed
        .apply(&deployment("gone", &[("gone", "nginx:no-such-tag")], &[]));
    it.refuses(
        &["clone", "deploy/gone"],
        &[],
        1,
        &["copying nginx:no-such-tag to", "not in its registry"],
    );

    let nobody = format!("localhost:{}", free_port());
    it.refuses(
        &["clone", "deploy/web", "--to", &nobody],
        &[],
        1,
        &[&nobody, "nothing was changed"],
    );

    // the API server is an HTTP server, and no registry
    let server = var("ADMIN_SERVER").replace("https://127.0.0.1", "localhost");
    it.refuses(
        &["clone", "deploy/web", "--to", &server],
        &[],
        1,
        &[&server, "nothing was changed"],
    );
}

#[test]
fn without_permission_to_patch_the_server_says_no() {
    let Some(it) = Untouched::share("rbac") else {
        return;
    };
    let namespace = &it.bed.namespace;
    it.bed.kubectl(&[
        "create",
        "role",
        "reader",
        "--verb=get,list",
        "--resource=*.*",
    ]);
    it.bed.kubectl(&[
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        "--user=somebody",
    ]);
    it.refuses(
        &[
            "clone",
            "deploy/web",
            "--as",
            "somebody",
            "--pull-secret",
            "none",
        ],
        &[],
        1,
        &["deployment.apps/web", "cannot patch", namespace],
    );
    it.refuses(
        &["clone", "deploy/web", "--as", "nobody"],
        &[],
        1,
        &["cannot get", "deployments"],
    );
}

#[test]
fn without_a_target_the_clusters_own_registry_is_used_or_the_way_is_said() {
    let Some(it) = Untouched::share("own") else {
        return;
    };
    let nothing_named = [("IMAGE_CLONER_REGISTRY", "")];
    it.refuses(
        &["clone", "deploy/web"],
        &nothing_named,
        2,
        &["no target registry", "--to", "nothing was changed"],
    );
    // KEP-1755: one for the whole cluster, so that no other test may ask for no target
    let hosting = format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: local-registry-hosting, namespace: kube-public}}
data:
  localRegistryHosting.v1: |
    host: '{}'
",
        var("OPEN_TARGET")
    );
    let kubectl = |verb: &str| {
        let path = it.bed.folder().join("hosting.yaml");
        std::fs::write(&path, &hosting).expect("a file");
        let path = path.to_str().expect("UTF-8");
        let done = std::process::Command::new("kubectl")
            .args([verb, "-f", path])
            .output();
        assert!(done.expect("kubectl").status.success());
    };
    kubectl("apply");
    let mut command = it.bed.plugin_command(&["clone", "deploy/web"]);
    let ran = command
        .env_remove("IMAGE_CLONER_REGISTRY")
        .output()
        .expect("the plugin starts");
    kubectl("delete");
    it.bed.ran(ran).exits(0);
    let spec = &it.bed.get("deploy/web")["spec"]["template"]["spec"];
    let expected = format!("{}/nginx:1.21.4-alpine", var("OPEN_TARGET"));
    assert_eq!(spec["containers"][0]["image"], expected);
}
