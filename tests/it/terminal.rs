//! What a person is asked, in a real pseudo-terminal.

use crate::bed::{Bed, deployment};

use rexpect::session::PtySession;
use std::process::{Command, Stdio};
use std::time::Duration;

const TIMEOUT: Option<u64> = Some(60_000);
const ESCAPE: &str = "\u{1b}";
const INTERRUPT: &str = "\u{3}";

/// Starts the plugin on a terminal of its own, without colours.
fn on_terminal(bed: &Bed, args: &[&str]) -> PtySession {
    on_terminal_with(bed.plugin_command(args))
}

/// The same with a command that was prepared.
pub(crate) fn on_terminal_with(mut command: Command) -> PtySession {
    command
        .env("NO_COLOR", "1")
        .env("TERM", "xterm")
        .stdin(Stdio::inherit());
    rexpect::session::spawn_command(command, TIMEOUT).expect("a terminal")
}

/// Presses keys, once the question is drawn and the terminal listens.
pub(crate) fn press(session: &mut PtySession, keys: &str) {
    std::thread::sleep(Duration::from_millis(300));
    session.send(keys).expect("the terminal takes keys");
    session.flush().expect("the terminal takes keys");
}

/// Waits for the end; gives the exit code.
pub(crate) fn exit_code(session: &PtySession) -> i32 {
    let ended = format!("{:?}", session.process().wait().expect("the plugin ends"));
    let code = ended
        .rsplit_once(", ")
        .and_then(|(_, code)| code.strip_suffix(')'));
    code.and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("{ended}"))
}

#[test]
fn workloads_are_chosen_reviewed_and_cloned() {
    let Some(bed) = Bed::share("choose", false) else {
        return;
    };
    for name in ["left", "taken"] {
        bed.apply(&deployment(name, &[("web", "busybox:1.36")], &[]));
    }
    let mut session = on_terminal(&bed, &["clone"]);
    session.exp_string("Workloads").expect("the choice");
    session
        .exp_string("deployment.apps/taken")
        .expect("the workload with its image");
    press(&mut session, "\u{1b}[B \r");
    session.exp_string("SOURCE").expect("the plan");
    session.exp_string("Copy 1 image (").expect("the question");
    session
        .exp_string("repoint 1 workload in")
        .expect("the question");
    press(&mut session, "y\r");
    session
        .exp_string("deployment.apps/taken repointed")
        .expect("the result");
    session.exp_string("restore --run").expect("the way back");
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 0);
    let image = |name: &str| {
        let object = bed.get(&format!("deploy/{name}"));
        object["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image("left"), "busybox:1.36");
    assert_eq!(image("taken"), format!("{}/busybox:1.36", bed.target()));
}

#[test]
fn escape_no_and_interrupt_leave_everything_as_it_was() {
    let Some(bed) = Bed::share("leave", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
    let before = bed.get("deploy/web")["spec"].clone();
    let namespace = format!("ns/{}", bed.namespace);
    let lists: &[&str] = &["clone"];
    let plan: &[&str] = &["clone", &namespace];
    for (args, question, answer) in [
        (lists, "Workloads", ESCAPE),
        (lists, "Workloads", INTERRUPT),
        (lists, "Workloads", "\r"),
        (plan, "[y/N]", INTERRUPT),
        (plan, "[y/N]", "n\r"),
        // Esc takes back what was typed; enter alone is no
        (plan, "[y/N]", "y \u{1b} \r"),
        (plan, "[y/N]", "\r"),
    ] {
        let mut session = on_terminal(&bed, args);
        session.exp_string(question).expect("the question");
        for key in answer.split(' ') {
            press(&mut session, key);
        }
        session
            .exp_string("nothing was changed")
            .expect("what it came to");
        session.exp_eof().expect("the end");
        assert_eq!(exit_code(&session), 130, "{answer:?} at {question}");
    }
    assert_eq!(bed.get("deploy/web")["spec"], before);
    assert_eq!(bed.writes("TARGET"), Vec::<String>::new());
}
