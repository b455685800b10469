//! What `install-agent` and `uninstall-agent` ask a person, in a real pseudo-terminal.

use crate::agent_wire::{Cluster, installed};
use crate::terminal::{ESCAPE, INTERRUPT, exit_code, leaves, on_terminal_with, press, send};
use crate::wire::server::Registry;
use serde_json::json;

const IMAGE: &str = "--agent-image=elsewhere.corp/agent:1";
const ENDPOINT: &str = "--registry-endpoint=http://10.0.0.2:5000";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_install_asks_for_what_is_missing_and_once_more_before_anything_is_made() {
    let registry = Registry::start().await;
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::of(Vec::new(), |_, _| None).await;
    let args = ["install-agent", IMAGE, ENDPOINT, "--wait=false"];
    let mut session = on_terminal_with(cluster.plugin(home.path(), &args));
    session.exp_string("Namespaces to work in").unwrap();
    press(&mut session, "\u{7f}shop, db\r");
    session.exp_string("Target registry").unwrap();
    press(&mut session, &format!("{}\r", registry.host));
    session.exp_string("works in  db, shop").unwrap();
    session.exp_string("Install the agent? [y/N]").unwrap();
    assert_eq!(cluster.writes(), [""; 0]);
    press(&mut session, "y\r");
    session
        .exp_string("deployment.apps/image-cloner created")
        .unwrap();
    session.exp_eof().unwrap();
    assert_eq!(exit_code(&session), 0);
    let writes = cluster.writes();
    assert!(
        writes.contains(&"PATCH deployments/image-cloner".to_owned()),
        "{writes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_install_that_is_left_at_any_question_makes_nothing() {
    let registry = Registry::start().await;
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::of(Vec::new(), |_, _| None).await;
    let host = format!("{}\r", registry.host);
    let (namespaces, target, sure) = ("Namespaces to work in", "Target registry", "[y/N]");
    let ways: &[&[(&str, &str)]] = &[
        &[(namespaces, ESCAPE)],
        &[(namespaces, INTERRUPT)],
        &[(namespaces, "\r"), (target, ESCAPE)],
        &[(namespaces, "\r"), (target, INTERRUPT)],
        &[(namespaces, "\r"), (target, &host), (sure, ESCAPE)],
        &[(namespaces, "\r"), (target, &host), (sure, INTERRUPT)],
        &[(namespaces, "\r"), (target, &host), (sure, "\r")],
    ];
    for prompts in ways {
        let command = cluster.plugin(home.path(), &["install-agent", IMAGE, ENDPOINT]);
        leaves(on_terminal_with(command), prompts);
    }
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_install_shows_the_difference_and_asks() {
    let registry = Registry::start().await;
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::of(installed(&registry.host, &[]), |_, _| None).await;
    let args = [
        "install-agent",
        IMAGE,
        "--set=MAX_ROLLOUTS=3",
        "--wait=false",
    ];
    let difference = "configmap/image-cloner-config: IMAGE_CLONER_MAX_ROLLOUTS none -> 3";
    for keys in [ESCAPE, INTERRUPT, "n\r"] {
        let session = on_terminal_with(cluster.plugin(home.path(), &args));
        leaves(
            session,
            &[(difference, ""), ("Update the agent? [y/N]", keys)],
        );
    }
    assert_eq!(cluster.writes(), [""; 0]);
    let mut session = on_terminal_with(cluster.plugin(home.path(), &args));
    session.exp_string(difference).unwrap();
    session.exp_string("Update the agent? [y/N]").unwrap();
    press(&mut session, "y\r");
    session
        .exp_string("configmap/image-cloner-config configured")
        .unwrap();
    session.exp_eof().unwrap();
    assert_eq!(exit_code(&session), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_uninstall_shows_what_goes_and_asks() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::of(installed("reg.corp", &[]), |_, _| None).await;
    let (bare, restore) = (
        "Remove the agent? Workloads keep their copies. [y/N]",
        "Remove the agent, and restore the workloads in shop? [y/N]",
    );
    for keys in [ESCAPE, INTERRUPT, "\r"] {
        for (more, question) in [(&[][..], bare), (&["--restore"], restore)] {
            let args = [&["uninstall-agent"], more].concat();
            let session = on_terminal_with(cluster.plugin(home.path(), &args));
            leaves(
                session,
                &[("deployment.apps/image-cloner", ""), (question, keys)],
            );
        }
    }
    assert_eq!(cluster.writes(), [""; 0]);
    let mut session = on_terminal_with(cluster.plugin(home.path(), &["uninstall-agent"]));
    session.exp_string(bare).unwrap();
    press(&mut session, "y\r");
    session
        .exp_string("namespace/image-cloner-system removed")
        .unwrap();
    session.exp_eof().unwrap();
    assert_eq!(exit_code(&session), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_install_that_is_left_while_the_agent_is_stopped_says_how_it_goes_on() {
    let (old, new) = (Registry::start().await, Registry::start().await);
    let home = tempfile::tempdir().unwrap();
    let to = new.host.replace("127.0.0.1", "localhost");
    // a pod that does not end
    let cluster = Cluster::of(installed(&old.host, &[]), |_, path| {
        let pods = json!({"kind": "List", "metadata": {}, "items": [{"metadata": {"name": "a"}}]});
        path.ends_with("/image-cloner-system/pods")
            .then_some((200, pods))
    })
    .await;
    let args = ["install-agent", "--to", &to, IMAGE, ENDPOINT, "--yes"];
    let mut session = on_terminal_with(cluster.plugin(home.path(), &args));
    session
        .exp_string("deployment.apps/image-cloner removed")
        .unwrap();
    send(&mut session, INTERRUPT);
    session.exp_string("cancelled").unwrap();
    session
        .exp_string("hint: the agent is stopped; the same install-agent goes on")
        .unwrap();
    session.exp_eof().unwrap();
    assert_eq!(exit_code(&session), 130);
}
