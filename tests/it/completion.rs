//! Completion, as kubectl and bash ask for it.

use crate::bed::{Bed, deployment};
use crate::terminal::{on_terminal_with, press};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

/// A folder with kubectl's script in it, as the plugin installs it.
fn installed(folder: &Path) -> Output {
    let mut command = plugin(folder);
    command.args(["completion", "install", "--dir"]).arg(folder);
    command.output().unwrap()
}

/// The plugin, found in a folder as people find it, with no cluster.
fn plugin(folder: &Path) -> Command {
    let link = folder.join("kubectl-image_cloner");
    #[cfg(unix)]
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-image_cloner"), &link).unwrap();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(link);
    command
        .env("HOME", folder)
        .env("KUBECONFIG", folder.join("none"))
        .env("PATH", format!("{}:{path}", folder.display()))
        .stdin(Stdio::null());
    command
}

/// What kubectl's script answers to these words, the last one under way.
fn asked(folder: &Path, words: &[&str], change: impl FnOnce(&mut Command)) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(folder.join("kubectl_complete-image_cloner"));
    command
        .args(words)
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("HOME", folder)
        .env("KUBECONFIG", folder.join("none"))
        .stdin(Stdio::null());
    change(&mut command);
    let output = command.output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn kubectls_script_answers_in_cobras_words() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let output = installed(folder);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("kubectl_complete-image_cloner written"),
        "{said}"
    );
    assert!(!said.contains("not in PATH"), "{said}");
    let ask = |words: &[&str]| asked(folder, words, |_| {});
    assert!(ask(&["res"]).starts_with("restore\tGive workloads back"));
    assert!(ask(&[""]).ends_with("\n:4\n"));
    assert!(!ask(&[""]).contains("--"), "flags come with a dash");
    assert!(ask(&["clone", "--dry"]).starts_with("--dry-run\t"));
    assert_eq!(ask(&["clone", "--dry-run=s"]), "server\n:4\n");
    assert_eq!(ask(&["clone", "--layout", "f"]), "flat\n:4\n");
    assert_eq!(ask(&["clone", "statef"]), "statefulset/\n:6\n");
    assert!(ask(&["clone", "sts"]).starts_with("sts/\n"));
    assert_eq!(ask(&["clone", "deploy/"]), ":4\n");
    assert_eq!(ask(&["nonsense", "x"]), ":4\n");
    fs::write(folder.join("kc"), "contexts:\n- {name: prod-eu, context: {cluster: c}}\n- {name: lab, context: {cluster: c}}\n").unwrap();
    let with = |command: &mut Command| {
        command.env("KUBECONFIG", folder.join("kc"));
    };
    assert_eq!(
        asked(folder, &["clone", "--context", "p"], with),
        "prod-eu\n:4\n"
    );
    assert_eq!(asked(folder, &["--context=p"], with), "prod-eu\n:4\n");
}

#[test]
fn a_server_that_is_silent_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    installed(folder);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("--server=http://{}", silent.local_addr().unwrap());
    let started = Instant::now();
    assert_eq!(
        asked(folder, &[&server, "clone", "deploy/"], |_| {}),
        ":4\n"
    );
    // far below what a request may take otherwise; the bound itself is two seconds
    assert!(started.elapsed().as_secs() < 30);
}

#[test]
fn names_come_from_the_cluster_that_the_flags_mean() {
    let Some(bed) = Bed::share("complete", false) else {
        return;
    };
    for name in ["web", "worker", "api"] {
        bed.apply(&deployment(name, &[("c", "busybox:1.36")], &[]));
    }
    let folder = bed.folder();
    installed(&folder);
    // a person is answered with nothing after two seconds
    let ask = |words: &[&str]| {
        let mut answer = String::new();
        bed.until(&format!("names for {words:?}"), || {
            answer = asked(&folder, words, |command| {
                command.env("KUBECONFIG", std::env::var_os("KUBECONFIG").unwrap());
            });
            !answer.starts_with(':')
        });
        answer
    };
    let ns = bed.namespace.as_str();
    assert_eq!(
        ask(&["clone", "-n", ns, "deploy/w"]),
        "deploy/web\ndeploy/worker\n:4\n"
    );
    assert_eq!(ask(&["-n", ns, "clone", "deploy/a"]), "deploy/api\n:4\n");
    assert_eq!(
        ask(&["restore", "-n", ns, "deployments", "web", "w"]),
        "worker\n:4\n"
    );
    assert_eq!(
        ask(&["clone", "-n", &ns[..ns.len() - 1]]),
        format!("{ns}\n:4\n")
    );
    assert!(ask(&["clone", "-n", ""]).contains(&format!("{ns}\n")));
    assert_eq!(
        ask(&["clone", &format!("ns/{ns}")]),
        format!("ns/{ns}\n:4\n")
    );

    // kubectl itself, where it is new enough to ask plugins
    let mut kubectl = Command::new("kubectl");
    let path = std::env::var("PATH").unwrap();
    kubectl
        .args(["__complete", "image-cloner", "clone", "-n", ns, "deploy/a"])
        .env("PATH", format!("{}:{path}", folder.display()));
    let output = kubectl.output().unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    if String::from_utf8_lossy(&output.stderr).contains("kubectl_complete-image_cloner") {
        assert_eq!(answer, "deploy/api\n:4\n");
    } else {
        eprintln!("skipped: this kubectl asks no plugin for completions");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = plugin(folder.path());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = command
        .args(["completion", "install", "--dir"])
        .arg(file.join("x"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("file/x/kubectl_complete-image_cloner")
            && said.contains("nothing was changed"),
        "{said}"
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = plugin(folder.path());
    let output = command
        .args(["completion", "install", "--dir"])
        .arg(elsewhere.path())
        .output()
        .unwrap();
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("is not in PATH")
    );
}

#[test]
fn shells_take_their_scripts() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = plugin(folder.path())
            .args(["completion", shell])
            .output()
            .unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            script.contains("IMAGE_CLONER_COMPLETE") && script.contains("kubectl-image_cloner"),
            "{script}"
        );
    }
    // bash is everywhere; it loads the script and completes by it
    let bash = plugin(folder.path());
    let path = bash
        .get_envs()
        .find(|(name, _)| *name == "PATH")
        .unwrap()
        .1
        .unwrap()
        .to_owned();
    let script = "source <(kubectl-image_cloner completion bash)
COMP_WORDS=(kubectl-image_cloner res) COMP_CWORD=1 COMP_TYPE=9
_clap_complete_kubectl_image_cloner kubectl-image_cloner res kubectl-image_cloner
echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["-c", script])
        .env("PATH", path)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "restore\n",
        "{output:?}"
    );
}

/// Whether a shell is here; `tests/run.sh` installs them.
fn has(shell: &str) -> bool {
    let found = Command::new(shell).args(["-c", "true"]).output();
    let is_there = found.is_ok_and(|output| output.status.success());
    if !is_there {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "skipped in CI: no {shell}"
        );
        eprintln!("skipped: no {shell}");
    }
    is_there
}

/// A shell as people find it who have the plugin in their PATH.
fn shell(name: &str, folder: &Path) -> Command {
    let plugin = plugin(folder);
    let mut command = Command::new(name);
    for (key, value) in plugin.get_envs() {
        command.env(key, value.unwrap());
    }
    command
}

#[test]
fn fish_completes_by_its_script() {
    let folder = tempfile::tempdir().unwrap();
    if !has("fish") {
        return;
    }
    let script = "kubectl-image_cloner completion fish | source
complete -C 'kubectl-image_cloner res'
complete -C 'kubectl-image_cloner clone --layout f'";
    let output = shell("fish", folder.path())
        .args(["--no-config", "-c", script])
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        answer, "restore\tGive workloads back the images they had before\nflat\n",
        "{output:?}"
    );
}

#[test]
fn zsh_completes_by_its_script() {
    let folder = tempfile::tempdir().unwrap();
    if !has("zsh") {
        return;
    }
    let mut command = shell("zsh", folder.path());
    command.args(["-f", "-i"]).env("PS1", "ready> ");
    let mut session = on_terminal_with(command);
    session.exp_string("ready> ").unwrap();
    let load = "autoload -Uz compinit && compinit -u && source <(kubectl-image_cloner completion \
                zsh) && echo loa''ded\r";
    press(&mut session, load);
    session.exp_string("loaded").unwrap();
    session.exp_string("ready> ").unwrap();
    // the key completes the verb, and what comes of it is run
    press(&mut session, "kubectl-image_cloner res\t");
    press(&mut session, "--help\r");
    session
        .exp_string("Undo only what the last run did")
        .unwrap();
    press(&mut session, "exit\r");
    session.exp_eof().unwrap();
}
