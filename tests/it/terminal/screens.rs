//! What is drawn: bars while something is under way, colours for those who want them, and tables that fit.

use super::{ESCAPE, exit_code, on_terminal_with, press};
use crate::bed::{Bed, Hold, deployment, idle, var};
use crate::wire::server::Registry;
use crate::wire::{MANIFEST, bytes, image};
use rexpect::session::PtySession;
use std::process::{Command, Stdio};

/// A command on a terminal of so many columns.
fn on_columns(columns: u16, command: &Command) -> PtySession {
    let mut sized = Command::new("sh");
    sized
        .args([
            "-c",
            "stty rows 40 cols $0 && exec \"$@\"",
            &columns.to_string(),
        ])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            sized.env(name, value);
        }
    }
    on_terminal_with(sized)
}

#[test]
fn bars_are_drawn_while_images_are_on_their_way_and_workloads_roll_out() {
    let Some(bed) = Bed::share("bars", true) else {
        return;
    };
    for name in ["one", "two"] {
        bed.apply(&deployment(name, &[("web", "busybox:1.36")], &[]));
    }
    for name in ["one", "two"] {
        bed.rolled_out(&format!("deploy/{name}"));
    }
    // some of a layer comes, and no more until it was looked at
    let hold = Hold::before(&var("DOCKER_IO"), "/blobs/", 4_000);
    let config = bed.config(&[("docker.io", hold.address())]);
    let (all, target) = (format!("ns/{}", bed.namespace), bed.open_target());
    let mut command = bed.plugin_command(&["clone", &all, "--yes", "--to", &target]);
    command.env("IMAGE_CLONER_CONFIG", &config);
    let mut session = on_columns(80, &command);
    session.exp_string("SOURCE").expect("the plan");
    session.exp_string("copy     [").expect("the bar over all");
    session
        .exp_string("0/1 images  0 B/3.9")
        .expect("how many are there, and what is to come");
    session
        .exp_string("  busybox:1.36")
        .expect("the image's own");
    hold.holds();
    hold.open();
    session.exp_string("repoint  [").expect("the second bar");
    session.exp_string("/2 workloads").expect("of how many");
    session.exp_string("2 repointed").expect("the summary");
    let rest = session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 0);
    assert!(!rest.contains("[="), "a bar is left behind: {rest}");
}

#[test]
fn colours_are_for_terminals_whose_owner_wants_them() {
    let wrong = ["clone", "deploi/web", "--to", "localhost:1"];
    for words in [&["clon"][..], &wrong] {
        let command = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"));
            command
                .args(words)
                .env_clear()
                .env("TERM", "xterm")
                .stdin(Stdio::inherit());
            command
        };
        let on_terminal = |command: Command| {
            let mut session = rexpect::session::spawn_command(command, super::TIMEOUT).unwrap();
            let said = session.exp_eof().unwrap();
            assert_eq!(exit_code(&session), 2, "{said}");
            said
        };
        let said = on_terminal(command());
        assert!(said.contains("\u{1b}["), "{said}");
        let mut plain = command();
        plain.env("NO_COLOR", "1");
        let said = on_terminal(plain);
        assert!(!said.contains('\u{1b}'), "{said}");
        let piped = command().stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(piped.stderr).unwrap();
        assert!(
            said.contains("error:") && !said.contains('\u{1b}'),
            "{said}"
        );
    }
}

/// Docker Hub with images of known sizes, and workloads that run them.
async fn shop(bed: &Bed) -> (Registry, Registry) {
    let (source, target) = (Registry::start().await, Registry::start().await);
    let long = "a-company/a-group-in-it/a-project-of-theirs-with-a-long-name";
    for (repository, tag, size) in [
        ("library/nginx", "1.25", 71_000),
        ("bitnami/redis", "7.2", 44_000),
        (long, "v2.14.0-rc.1", 1_610_000),
    ] {
        let manifest = image(&source, repository, &[&bytes(1, 300), &bytes(2, size)]);
        source.put_manifest(repository, tag, MANIFEST, &manifest);
    }
    for (name, image) in [
        ("web", "nginx:1.25"),
        ("web-2", "nginx:1.25"),
        ("cache", "bitnami/redis:7.2"),
        ("exporter", &format!("{long}:v2.14.0-rc.1")),
        ("api", "corp/api:9"),
    ] {
        bed.apply(&idle(name, image));
    }
    let once = idle("done", &format!("{}/mirror/nginx:1.25", target.host));
    bed.apply(&once);
    (source, target)
}

/// The plugin between these registries.
fn between(bed: &Bed, source: &Registry, target: &Registry, args: &[&str]) -> Command {
    let config = bed.config(&[("docker.io", &source.host)]);
    let mut command = bed.plugin_command(args);
    command
        .env("IMAGE_CLONER_CONFIG", config)
        .env("IMAGE_CLONER_REGISTRY", format!("{}/mirror", target.host))
        .env_remove("IMAGE_CLONER_USER")
        .env_remove("IMAGE_CLONER_PASS");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_says_what_is_there_what_it_weighs_and_what_fails() {
    let Some(bed) = Bed::share("weighs", false) else {
        return;
    };
    let (source, target) = shop(&bed).await;
    let run = |args: &[&str]| {
        let mut command = between(&bed, &source, &target, args);
        bed.ran(command.output().expect("the plugin starts"))
    };
    run(&["clone", "deploy/cache", "--copy-only"]).exits(0);

    let ran = run(&["clone", "deploy", "--dry-run"]).exits(1);

    let context = bed.kubectl(&["config", "current-context"]);
    let plan = ran
        .stderr
        .replace(&target.host, "TARGET")
        .replace(&source.host, "SOURCE")
        .replace(context.trim(), "CONTEXT");
    let (plan, summary) = plan
        .split_once("\n\n\n")
        .expect("a plan and what it came to");
    assert!(
        summary.contains("images      2 to copy, 1 present, 1 failed"),
        "{summary}"
    );
    insta::assert_snapshot!(plan, @r"
    context CONTEXT   target TARGET/mirror   push as anonymous

    SOURCE                      TARGET                        SIZE  COPY     USED BY
    a-compan..ame:v2.14.0-rc.1  a-compan..ame:v2.14.0-rc.1  1.6 MB  new            1
    bitnami/redis:7.2           bitnami/redis:7.2            45 kB  present        1
    corp/api:9                  corp/api:9                       ?  fails          1
    nginx:1.25                  nginx:1.25                   72 kB  new            2

    repoint       4  Deployment 4
    unchanged     1  already cloned
    fails            corp/api:9: not in its registry: GET
                     http://SOURCE/v2/corp/api/manifests/9: 404
                     MANIFEST_UNKNOWN manifest unknown
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_fit_the_terminal() {
    let Some(bed) = Bed::share("fits", false) else {
        return;
    };
    let (source, target) = shop(&bed).await;
    for columns in [80, 64] {
        for (words, head) in [
            (
                &["clone", "deploy/web", "deploy/exporter", "--dry-run"][..],
                "SOURCE",
            ),
            (&["status"], "IMAGE"),
        ] {
            let mut session = on_columns(columns, &between(&bed, &source, &target, words));
            let said = session.exp_eof().expect("the end");
            assert_eq!(exit_code(&session), 0, "{said}");
            assert!(said.contains(head) && said.contains("a-co"), "{said}");
            for line in said.lines() {
                // what was drawn before it on this line was cleared
                let shown = line.rsplit("\u{1b}[2K").next().expect("a part");
                let length = shown.trim_end().chars().count();
                assert!(length <= usize::from(columns), "{length} columns: {line}");
            }
        }
    }
}

#[test]
fn a_choice_and_an_error_fit_the_terminal() {
    let Some(bed) = Bed::share("narrow", false) else {
        return;
    };
    bed.apply(&idle("a-deployment-with-a-name-of-its-own", "busybox:1.36"));
    let to = format!("{}/and/below/it/one/more", bed.open_target());
    let mut session = on_columns(64, &bed.plugin_command(&["clone", "--to", &to]));
    let drawn = session
        .exp_string("deployment.apps/a-")
        .expect("the choice");
    for line in drawn.lines() {
        assert!(line.chars().count() <= 64, "{line}");
    }
    press(&mut session, ESCAPE);
    session.exp_eof().expect("the end");

    let wrong = [
        "clone",
        "deploy/a-deployment-that-is-not-there",
        "--to",
        &to,
    ];
    let mut session = on_columns(64, &bed.plugin_command(&wrong));
    let said = session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 1);
    assert!(said.contains("error: getting deployment.apps/"), "{said}");
    for line in said.lines() {
        assert!(line.trim_end().chars().count() <= 64, "{line}");
    }
}
