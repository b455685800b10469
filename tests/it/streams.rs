//! What is printed: nothing is lost in silence, and words of others stay words.

use std::process::{Command, Output, Stdio};

fn plugin(home: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"));
    command
        .args(args)
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .env("IMAGE_CLONER_REGISTRY", "reg.corp/mirror")
        .stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn data_that_found_no_room_is_a_failure_and_a_reader_that_left_is_none() {
    use std::fs::OpenOptions;
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["config", "view"][..],
        &["completion", "bash"],
        &["version", "--client"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = plugin(&home, args).stdout(full).output().unwrap();
        assert_eq!(ran.status.code(), Some(1), "{args:?}");
        assert_eq!(
            said(&ran),
            "error: writing to standard output: No space left on device (os error 28)\n"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = plugin(&home, args).stdout(writer).output().unwrap();
        assert_eq!((ran.status.code(), said(&ran).as_str()), (Some(0), ""));
    }
}

#[test]
fn what_a_terminal_would_obey_is_shown_and_not_sent() {
    let home = tempfile::tempdir().unwrap();
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [\
               {name: a, image: \"nginx\\e[2K\\rsafe:1\\nhint: run\"}]}}";
    std::fs::write(home.path().join("p.yaml"), pod).unwrap();
    let ran = plugin(&home, &["clone", "--no-copy", "-f", "p.yaml"])
        .output()
        .unwrap();
    let said = said(&ran);
    assert!(said.contains(r"nginx\u{1b}[2K\u{d}safe:1"), "{said}");
    assert!(!said.contains(['\u{1b}', '\r']), "{said:?}");
    assert!(said.contains("\n    hint: run"), "{said}");
}

#[test]
fn diagnostics_that_nobody_understands_are_said_and_stop_nothing() {
    let home = tempfile::tempdir().unwrap();
    let run = |words: &str| {
        let mut command = plugin(&home, &["version", "--client"]);
        let ran = command.env("RUST_LOG", words).output().unwrap();
        assert_eq!(ran.status.code(), Some(0));
        said(&ran)
    };
    assert_eq!(run("warn,image_cloner=debug"), "");
    assert_eq!(run(""), "");
    let note = run("image_cloner=verbose");
    let expected = "note: RUST_LOG=image_cloner=verbose is ignored: ";
    assert!(note.starts_with(expected), "{note}");
}
