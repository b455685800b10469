//! Leaving at a question: nothing is changed, and the terminal is as it was.

use super::{ESCAPE, INTERRUPT, exit_code, on_terminal_with, own_config, press};
use super::{without_namespace, without_target};
use crate::bed::{Bed, deployment, idle};
use rexpect::session::PtySession;
use std::process::Command;

const HIDE_CURSOR: &str = "\u{1b}[?25l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";

#[test]
fn escape_no_and_interrupt_leave_everything_as_it_was_at_every_prompt() {
    let Some(bed) = Bed::share("leave", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
    let before = bed.get("deploy/web")["spec"].clone();
    let namespace = format!("ns/{}", bed.namespace);
    let target = bed.open_target();
    let lists: &[&str] = &["clone"];
    let plan: &[&str] = &["clone", &namespace];
    let typed = format!("{target}\r");
    let ways: &[Way] = &[
        (lists, true, &[("Workloads", ESCAPE)]),
        (lists, true, &[("Workloads", INTERRUPT)]),
        (lists, true, &[("Workloads", " \r")]),
        (lists, true, &[("Workloads", "\r"), ("[y/N]", ESCAPE)]),
        (plan, true, &[("[y/N]", INTERRUPT)]),
        (plan, true, &[("[y/N]", "n\r")]),
        (plan, true, &[("[y/N]", "y"), ("y", ESCAPE)]),
        (plan, true, &[("[y/N]", "\r")]),
        (plan, true, &[("[y/N]", "what\r"), ("[y/N]", ESCAPE)]),
        (lists, false, &[("Target registry", ESCAPE)]),
        (
            lists,
            false,
            &[("Target registry", "local"), ("local", INTERRUPT)],
        ),
        (
            lists,
            false,
            &[("Target registry", &typed), ("Keep it", ESCAPE)],
        ),
        (
            lists,
            false,
            &[("Target registry", &typed), ("Keep it", INTERRUPT)],
        ),
        (
            lists,
            false,
            &[
                ("Target registry", &typed),
                ("Keep it", "y\r"),
                ("Workloads", ESCAPE),
            ],
        ),
    ];
    let config = std::fs::read_to_string(own_config(&bed)).expect("a file");
    for (args, knows_target, prompts) in ways {
        let command = if *knows_target {
            bed.plugin_command(args)
        } else {
            without_target(&bed, args)
        };
        leaves(on_terminal_with(command), prompts);
    }
    // the choice of a namespace is there only without one
    for key in [ESCAPE, INTERRUPT] {
        let command = without_namespace(&bed, &["clone"]);
        leaves(on_terminal_with(command), &[("Namespace", key)]);
    }
    assert_eq!(bed.get("deploy/web")["spec"], before);
    assert_eq!(bed.writes("TARGET"), Vec::<String>::new());
    assert_eq!(bed.writes("OPEN_TARGET"), Vec::<String>::new());
    assert_eq!(
        std::fs::read_to_string(own_config(&bed)).expect("a file"),
        config
    );
}

/// What the plugin is asked, whether it knows a target registry, and each prompt with the keys pressed at it.
type Way<'a> = (&'a [&'a str], bool, &'a [(&'a str, &'a str)]);

/// Goes through prompts and expects to leave at the last, with the cursor as it was.
pub(crate) fn leaves(mut session: PtySession, prompts: &[(&str, &str)]) {
    let mut seen = String::new();
    for (prompt, keys) in prompts {
        seen += &session.exp_string(prompt).expect("the question");
        press(&mut session, keys);
    }
    seen += &session
        .exp_string("nothing was changed")
        .expect("what it came to");
    seen += &session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 130, "{prompts:?}");
    let hidden = seen.rfind(HIDE_CURSOR);
    let shown = seen.rfind(SHOW_CURSOR);
    assert!(shown >= hidden, "the cursor stays hidden after {prompts:?}");
}

#[test]
fn a_restore_that_is_left_restores_nothing() {
    let Some(bed) = Bed::share("stays", false) else {
        return;
    };
    for name in ["one", "two"] {
        bed.apply(&idle(name, "busybox:1.36"));
        bed.plugin(&["clone", &format!("deploy/{name}")]).exits(0);
    }
    let specs = || ["one", "two"].map(|name| bed.get(&format!("deploy/{name}"))["spec"].clone());
    let before = specs();
    let namespace = format!("ns/{}", bed.namespace);
    let left = |words: &[&str], prompts: &[(&str, &str)]| {
        leaves(on_terminal_with(bed.plugin_command(words)), prompts);
    };
    let which = "Undo which run";
    for keys in [ESCAPE, INTERRUPT] {
        left(&["restore"], &[(which, keys)]);
    }
    for keys in [ESCAPE, INTERRUPT, "n\r", "\r"] {
        left(
            &["restore"],
            &[(which, "\r"), ("Restore 1 workload? [y/N]", keys)],
        );
        left(
            &["restore", &namespace],
            &[("Restore 2 workloads? [y/N]", keys)],
        );
    }
    assert_eq!(specs(), before);
}

/// A clone of the namespace by somebody with credentials for pushing alone.
fn without_pull_credentials(bed: &Bed) -> Command {
    let mut command = bed.plugin_command(&["clone", &format!("ns/{}", bed.namespace)]);
    command
        .env_remove("IMAGE_CLONER_PULL_USER")
        .env_remove("IMAGE_CLONER_PULL_PASS");
    command
}

#[test]
fn credentials_for_pushing_go_into_the_cluster_only_where_somebody_says_so() {
    let Some(bed) = Bed::share("shares", false) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    let before = bed.get("deploy/web")["spec"].clone();
    let share = "into pull secrets? [y/N]";
    let ways: [&[(&str, &str)]; 5] = [
        &[(share, ESCAPE)],
        &[(share, INTERRUPT)],
        &[(share, "n\r"), ("Copy 1 image", ESCAPE)],
        &[(share, "y\r"), ("repoint 1 workload", ESCAPE)],
        &[(share, "y\r"), ("repoint 1 workload", INTERRUPT)],
    ];
    for prompts in ways {
        leaves(on_terminal_with(without_pull_credentials(&bed)), prompts);
    }
    assert_eq!(bed.get("deploy/web")["spec"], before);
    assert_eq!(bed.writes("TARGET"), Vec::<String>::new());
    let secrets = || bed.kubectl(&["get", "secrets", "-o", "name"]);
    assert!(!secrets().contains("image-cloner-pull"), "{}", secrets());

    let mut session = on_terminal_with(without_pull_credentials(&bed));
    session.exp_string(share).expect("the question");
    press(&mut session, "y\r");
    session
        .exp_string(&format!(
            "image-cloner-pull in {}, as testuser",
            bed.namespace
        ))
        .expect("the plan");
    session.exp_string("[y/N]").expect("the question");
    press(&mut session, "y\r");
    session.exp_string(" repointed").expect("the result");
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 0);
    assert!(secrets().contains("image-cloner-pull"), "{}", secrets());
}
