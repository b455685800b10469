//! The same with the program itself: killed and started again, interrupted, and registries that restart.

use super::proxy::Fault;
use super::trial::{Side, Trial, moves_the_big_blob, refusal};
use crate::wire::server::Request;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a run may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts `copy -f -` with the references of all five images.
async fn start(trial: &Trial) -> Child {
    let home = std::env::temp_dir();
    let mut copier = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"))
        .args(["copy", "-f", "-", "--to", &trial.target.host])
        .env_clear()
        .env("HOME", &home)
        .env("DOCKER_CONFIG", home.join("none"))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut list = String::new();
    for image in &trial.images {
        let name = format!("{}:{}", image.repository, image.tag);
        let _ = writeln!(list, "{}/{name}", trial.source.host);
    }
    let mut stdin = copier.stdin.take().unwrap();
    stdin.write_all(list.as_bytes()).await.unwrap();
    copier
}

/// Waits for the end; gives the exit code and what was said.
async fn end(copier: Child) -> (Option<i32>, String) {
    let output = timeout(PATIENCE, copier.wait_with_output()).await;
    let output = output.expect("the copier ends").unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// Runs it to its end; all five must come out complete.
async fn finish(trial: &Trial, copier: Child) {
    let (code, said) = end(copier).await;
    assert_eq!(code, Some(0), "{said}");
    trial.is_complete(&prefix(trial)).await;
}

/// Where the source's repositories go in the target.
fn prefix(trial: &Trial) -> String {
    format!("{}/", trial.source.host.replace(':', "__"))
}

/// Holds the big blob, once.
fn hold(trial: &Trial, side: Side) {
    let mut first = true;
    trial.side(side).obey(move |r| {
        let hold = moves_the_big_blob(r) && std::mem::take(&mut first);
        hold.then_some(Fault::Hold)
    });
}

#[tokio::test]
async fn the_copier_is_killed_and_started_again() {
    for side in Side::BOTH {
        let Some(trial) = Trial::prepare().await else {
            return;
        };
        hold(&trial, side);
        let mut copier = start(&trial).await;
        trial.side(side).holds().await;
        others_are_tagged(&trial).await;
        copier.kill().await.unwrap();
        trial.side(side).behave();

        finish(&trial, start(&trial).await).await;
        pushes_no_tag_twice(&trial);
    }
}

#[tokio::test]
async fn the_copier_is_interrupted_and_started_again() {
    for side in Side::BOTH {
        let Some(trial) = Trial::prepare().await else {
            return;
        };
        hold(&trial, side);
        let copier = start(&trial).await;
        trial.side(side).holds().await;
        others_are_tagged(&trial).await;
        let pid = copier.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().await;
        assert!(sent.unwrap().success());
        let (code, said) = end(copier).await;
        assert_eq!(code, Some(130), "{said}");
        trial.side(side).behave();

        finish(&trial, start(&trial).await).await;
        pushes_no_tag_twice(&trial);
    }
}

/// Waits until all images but the one that is held are there.
async fn others_are_tagged(trial: &Trial) {
    let started = Instant::now();
    while trial.tags_pushed() < trial.images.len() - 1 {
        assert!(started.elapsed() < PATIENCE, "the others never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What was finished is not done again.
fn pushes_no_tag_twice(trial: &Trial) {
    assert_eq!(trial.tags_pushed(), trial.images.len());
}

#[tokio::test]
async fn a_wait_is_said_where_there_is_no_terminal() {
    let mut first = true;
    let rule = move |r: &Request| {
        let late = r.is("PUT", "/manifests/1") && std::mem::take(&mut first);
        late.then(|| refusal(429, Some(1)))
    };
    let Some(trial) = Trial::with(Side::Target, rule).await else {
        return;
    };
    let (code, said) = end(start(&trial).await).await;
    assert_eq!(code, Some(0), "{said}");
    let wait = format!("  waiting 1 s: {} asks for it", trial.target.host);
    let lines: Vec<_> = said.lines().filter(|l| l.contains("waiting")).collect();
    assert!(lines.len() == 1 && lines[0].ends_with(&wait), "{said}");
}

#[tokio::test]
async fn a_wait_while_images_are_looked_up_is_said_once() {
    let rule = {
        let mut asked = std::collections::BTreeSet::new();
        move |r: &Request| {
            let first = r.is("HEAD", "/manifests/1") && asked.insert(r.path.clone());
            first.then(|| refusal(429, Some(1)))
        }
    };
    let Some(trial) = Trial::with(Side::Source, rule).await else {
        return;
    };
    let (code, said) = end(start(&trial).await).await;
    assert_eq!(code, Some(0), "{said}");
    let wait = format!("waiting 1 s: {} asks for it", trial.source.host);
    let lines: Vec<_> = said.lines().filter(|l| l.contains("waiting")).collect();
    assert_eq!(lines, [wait], "{said}");
}

#[tokio::test]
async fn a_registry_is_restarted_in_the_middle() {
    for side in Side::BOTH {
        let Some(mut trial) = Trial::prepare().await else {
            return;
        };
        // both are in the middle of a blob whose source holds it
        hold(&trial, Side::Source);
        let copier = start(&trial).await;
        trial.source.holds().await;
        trial.side(side).go_away();
        let registry = match side {
            Side::Source => &mut trial.source_registry,
            Side::Target => &mut trial.target_registry,
        };
        registry.restart().await;
        trial.source.behave();
        trial.side(side).come_back().await;

        finish(&trial, copier).await;
        if side == Side::Source {
            trial.reads_the_big_blob_once();
        }
    }
}
