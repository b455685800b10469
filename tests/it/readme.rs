//! Every command that the README shows is run here, in the order in which it stands there, against the
//! bed; what cannot be run is in a list with the reason, and is parsed at least.
//!
//! The README's names are given a meaning: `registry.corp` is the bed's open target, the namespaces are the
//! test's own, `-A` stands for that namespace alone (others use the same cluster).

use crate::bed::{Bed, deployment, idle, var};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What is not simply run; all that is run is expected to end with 0.
enum Instead {
    /// It asks; this is put behind it for the lack of a terminal.
    With(&'static str),
    /// Only its flags and words are held, for this reason.
    Parsed(&'static str),
    /// Not run here, for this reason.
    Left(&'static str),
}

use Instead::{Left, Parsed, With};

/// By how the command begins.
const INSTEAD: &[(&str, Instead)] = &[
    (
        "kubectl krew ",
        Left("tests/it/krew.rs takes krew's steps, and runs krew where it is"),
    ),
    (
        "kubectl image-cloner install-agent",
        Parsed("there is one agent in a cluster: tests/it/agent_pods.rs installs it in its turn"),
    ),
    (
        "kubectl image-cloner agent status",
        Parsed("tests/it/agent_pods.rs asks an agent that it has installed"),
    ),
    (
        "kubectl image-cloner uninstall-agent",
        Parsed("tests/it/agent_pods.rs removes what it has installed, with --restore too"),
    ),
    (
        "cargo install",
        Left(
            "optimises for minutes what tests/run.sh builds; tests/it/clone.rs has kubectl find it",
        ),
    ),
    (
        "examples/demo.sh",
        Left("brings up a bed of its own; tests/it/examples.rs runs it on the one that is up"),
    ),
    ("tests/run.sh", Left("tests/run.sh is what runs this")),
    (
        "RUSTFLAGS=",
        Left("builds for minutes; tests/run.sh builds the agent so, without optimisation"),
    ),
    (
        "kubectl image-cloner login registry.corp",
        Parsed("asks for a password; tests/it/login.rs runs it on a terminal"),
    ),
    (
        "aws ",
        Parsed("asks a cloud; tests/it/login.rs runs login with a password on standard input"),
    ),
    (
        "gcloud ",
        Parsed("asks a cloud; tests/it/login.rs runs login with a password on standard input"),
    ),
    (
        "az ",
        Parsed("asks a cloud; tests/it/login.rs runs login with a password on standard input"),
    ),
];

/// The whole command, which begins as others do.
const INSTEAD_OF_ALL: &[(&str, Instead)] = &[
    (
        "kubectl image-cloner clone",
        Left("chooses from lists; tests/it/terminal.rs does it on a terminal"),
    ),
    (
        "kubectl image-cloner clone ns/shop --to registry.corp/mirror",
        With("--yes"),
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The commands in the README's blocks: each line of a `sh` block, and what follows `$ ` in others.
fn commands() -> Vec<String> {
    let text = readme();
    let mut found = Vec::new();
    let mut block: Option<&str> = None;
    let mut open = String::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            block = block.is_none().then_some(kind);
            continue;
        }
        let line = match block {
            Some("sh") => line,
            Some("" | "console") => match line.strip_prefix("$ ") {
                Some(command) => command,
                None => continue,
            },
            _ => continue,
        };
        let line = line.split(" #").next().expect("a part").trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        open += line.trim_end_matches('\\');
        open.push(' ');
        if !line.ends_with(['\\', '|']) {
            found.push(std::mem::take(&mut open).trim().to_owned());
        }
    }
    assert!(found.len() > 20, "the blocks were not found: {found:?}");
    found
}

/// What stands in the text itself as code.
fn inline() -> Vec<String> {
    let text = readme();
    let mut outside = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            outside += line;
            outside.push(' ');
        }
    }
    let quoted = outside.split('`').skip(1).step_by(2);
    quoted
        .map(|code| code.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

fn instead(command: &str) -> Option<&'static Instead> {
    let whole = INSTEAD_OF_ALL.iter().find(|(all, _)| *all == command);
    let begins = INSTEAD.iter().find(|(begin, _)| command.starts_with(begin));
    whole.or(begins).map(|(_, instead)| instead)
}

/// The plugin's part of a command line must be what the plugin takes.
fn parses(command: &str) {
    let (_, words) = command
        .split_once("kubectl image-cloner")
        .or(command.split_once("kubectl-image_cloner"))
        .expect("the plugin's command");
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"))
        .args(words.split_whitespace())
        .arg("--help")
        .env("KUBECONFIG", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The folder in which the README's commands run, with all that they name.
fn lay_out(folder: &Path, namespace: &str) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).unwrap();
        fs::write(path, text).unwrap();
    };
    let manifest = |name: &str| {
        let deployment = deployment(name, &[("web", "nginx:1.21.4-alpine")], &[]);
        deployment.replace("replicas: 1", "replicas: 0").replace(
            "metadata: {name:",
            &format!("metadata: {{namespace: {namespace}, name:"),
        )
    };
    write("manifests/web.yaml", &manifest("web"));
    write("manifests/below/api.yaml", &manifest("api"));
    write("chart.yaml", &manifest("chart"));
    write("prod/web.yaml", &idle("web", "busybox:1.36"));
    write(
        "prod/kustomization.yaml",
        &format!("namespace: {namespace}\nresources:\n- web.yaml\n"),
    );
    write("bin/helm", "#!/bin/sh\ncat chart.yaml\n");
    let mut config = fs::read_to_string(var("CONFIG")).unwrap();
    let at = var("OPEN_TARGET");
    let _ = writeln!(config, "  registry.corp: {{endpoint: 'http://{at}'}}");
    write("home/.config/image-cloner/config.yaml", &config);
    fs::create_dir_all(folder.join("home/.local/bin")).unwrap();
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    run(Command::new("chmod").arg("+x").arg(folder.join("bin/helm")));
    run(Command::new("cp")
        .arg("-R")
        .arg(root().join("examples"))
        .arg(folder));
    // a release's archive, of a plugin without what only debuggers want
    let plugin = folder.join("kubectl-image_cloner");
    run(Command::new("strip")
        .arg("-o")
        .arg(&plugin)
        .arg(env!("CARGO_BIN_EXE_kubectl-image_cloner")));
    run(Command::new("bash")
        .arg(root().join("krew/package.sh"))
        .args(["--out", ".", "--plugin", "kubectl-image_cloner"])
        .current_dir(folder)
        .stdout(Stdio::null()));
    fs::remove_file(plugin).unwrap();
}

/// What the README's names stand for here.
fn meant(command: &str, bed: &Bed) -> String {
    let here = &bed.namespace;
    let arch = match std::env::consts::ARCH {
        "aarch64" => "linux-arm64",
        _ => "linux-amd64",
    };
    let mut words = Vec::new();
    for word in command.split(' ') {
        let word = match word {
            "-A" | "ns/shop" | "ns/prod" => format!("ns/{here}"),
            "shop" | "tools" if words.last().is_some_and(|last| last == "-n") => here.clone(),
            "localhost:5001" => format!("{}/carried", bed.open_target()),
            word => word
                .replace(
                    "registry.corp/mirror",
                    &format!("registry.corp/{here}/mirror"),
                )
                .replace("linux-amd64", arch),
        };
        words.push(word);
    }
    words.join(" ")
}

fn run(bed: &Bed, folder: &Path, command: &str) -> Output {
    let home = folder.join("home");
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", command])
        .current_dir(folder)
        .env(
            "PATH",
            format!(
                "{}:{}:{path}",
                folder.join("bin").display(),
                home.join(".local/bin").display()
            ),
        )
        .env("HOME", &home)
        .env_remove("XDG_CONFIG_HOME")
        .env(
            "IMAGE_CLONER_REGISTRY",
            format!("registry.corp/{}/mirror", bed.namespace),
        )
        .env("IMAGE_CLONER_PULL_USER", "puller")
        .env("IMAGE_CLONER_PULL_PASS", "pulled")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn every_command_of_the_readme_does_what_it_is_shown_for() {
    let Some(bed) = Bed::share("readme", false) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    lay_out(folder, &bed.namespace);
    for name in ["web", "api"] {
        let deployment = deployment(name, &[("web", "nginx:1.21.4-alpine")], &[]);
        // no node knows a registry.corp: nothing is to be pulled from it
        bed.apply(&deployment.replace("replicas: 1", "replicas: 0"));
    }
    let mut failed = String::new();
    for command in commands() {
        let behind = match instead(&command) {
            None => "",
            Some(With(behind)) => behind,
            Some(Parsed(_)) => {
                parses(&command);
                continue;
            }
            Some(Left(why)) => {
                eprintln!("not run: {command}: {why}");
                continue;
            }
        };
        let command = format!("{} {behind}", meant(&command, &bed));
        let output = run(&bed, folder, &command);
        if !output.status.success() {
            let _ = writeln!(
                failed,
                "\n$ {command}\nended with {}:\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(failed.is_empty(), "{failed}");
    // they did what they say
    let config = fs::read_to_string(folder.join("home/.config/image-cloner/config.yaml")).unwrap();
    assert!(config.contains("prod-eu"), "{config}");
    let rewritten = fs::read_to_string(folder.join("manifests/below/api.yaml")).unwrap();
    assert!(rewritten.contains("registry.corp/"), "{rewritten}");
    let web = bed.get("deploy/web");
    assert!(
        web["metadata"]["annotations"]
            .get("image-cloner.io/originals")
            .is_none(),
        "restored at the end: {web}"
    );
}

#[test]
fn every_command_in_the_readmes_text_is_one_that_the_plugin_takes() {
    let begins = ["kubectl image-cloner ", "kubectl-image_cloner "];
    let found = inline();
    let commands = found
        .iter()
        .filter(|code| begins.iter().any(|begin| code.starts_with(begin)));
    let mut count = 0;
    for command in commands {
        count += 1;
        parses(command);
    }
    assert!(count > 5, "{found:?}");
}

#[test]
fn every_script_and_target_in_the_readmes_text_is_there() {
    let makefile = fs::read_to_string(root().join("examples/Makefile")).unwrap();
    let mut count = 0;
    for code in inline() {
        let first = code.split(' ').next().expect("a word");
        let ours = ["examples/", "tests/", "krew/", "agent/"];
        if let Some(target) = code.strip_prefix("make -C examples ") {
            assert!(makefile.contains(&format!("\n{target}: ")), "{code}");
        } else if ours.iter().any(|folder| first.starts_with(folder)) {
            assert!(root().join(first).is_file(), "{code}");
        } else {
            continue;
        }
        count += 1;
    }
    assert!(count > 4, "the text was not read");
}

#[test]
fn the_lists_of_what_is_not_run_name_commands_and_tests_that_are_there() {
    let commands = commands();
    for (begin, _) in INSTEAD {
        assert!(
            commands.iter().any(|command| command.starts_with(begin)),
            "{begin} is not in the README any more"
        );
    }
    for (all, _) in INSTEAD_OF_ALL {
        assert!(commands.iter().any(|command| command == all), "{all}");
    }
    for (command, instead) in INSTEAD.iter().chain(INSTEAD_OF_ALL) {
        if let Parsed(why) | Left(why) = instead {
            let mut words = why.split([' ', ':', ';', ',']);
            let named = words.find(|word| word.starts_with("tests/"));
            let Some(named) = named else {
                panic!("{command}: no test of it is named");
            };
            assert!(
                root().join(named).is_file(),
                "{command}: there is no {named}"
            );
        }
    }
}

#[test]
fn the_messages_that_are_explained_are_messages_of_the_program() {
    let text = readme();
    let (_, table) = text.split_once("| it says | do |").expect("the table");
    let table = table.split("\n\n").next().expect("the table");
    let mut sources = String::new();
    collect(&root().join("src"), &mut sources);
    collect(&root().join("plugin"), &mut sources);
    // texts go over lines in the sources, with a backslash
    let sources: String = sources.split_whitespace().collect::<Vec<_>>().join(" ");
    let sources = sources.replace("\\ ", "");
    let mut count = 0;
    for row in table.lines().skip(2) {
        let says = row.split('|').nth(1).expect("a cell");
        for message in says.split('`').skip(1).step_by(2) {
            count += 1;
            assert!(sources.contains(message), "nothing says {message:?}");
        }
    }
    assert!(count > 10, "the table was not read");
}

fn collect(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, text);
        } else {
            *text += &fs::read_to_string(path).unwrap();
        }
    }
}

#[test]
fn links_of_the_readme_lead_somewhere() {
    let text = readme();
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split(')').next());
    for target in targets.filter(|target| !target.starts_with("http")) {
        match target.strip_prefix('#') {
            None => assert!(root().join(target).exists(), "there is no {target}"),
            Some(heading) => {
                let is_heading = |line: &str| {
                    let name = line.strip_prefix("## ").unwrap_or_default().to_lowercase();
                    name.replace(' ', "-").replace([',', '`'], "") == heading
                };
                assert!(text.lines().any(is_heading), "no heading for #{heading}");
            }
        }
    }
}
