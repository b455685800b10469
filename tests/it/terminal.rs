//! What a person is asked, in a real pseudo-terminal.

mod leaving;
mod screens;

use crate::bed::{ApiProxy, Bed, deployment, idle, var};
use crate::cluster_wire::Server;
use crate::wire::server::{Registry, Reply};
pub(crate) use leaving::leaves;
use rexpect::session::PtySession;
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const TIMEOUT: Option<u64> = Some(60_000);
pub(crate) const ESCAPE: &str = "\u{1b}";
pub(crate) const INTERRUPT: &str = "\u{3}";

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

/// Presses keys, once somebody reads them.
pub(crate) fn press(session: &mut PtySession, keys: &str) {
    let started = Instant::now();
    while !is_read(session) {
        assert!(started.elapsed() < PATIENCE, "nobody reads {keys:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    send(session, keys);
}

/// Presses keys, whatever goes on.
pub(crate) fn send(session: &mut PtySession, keys: &str) {
    session.send(keys).expect("the terminal takes keys");
    session.flush().expect("the terminal takes keys");
}

/// Whether keys are read as they are pressed, or unseen: before, the terminal edits lines, and what is typed may
/// be thrown away.
fn is_read(session: &PtySession) -> bool {
    let terminal = session.process().get_file_handle().expect("the terminal");
    let shown = Command::new("stty").arg("-a").stdin(terminal).output();
    let shown = String::from_utf8(shown.expect("stty is there").stdout).expect("UTF-8");
    let mut words = shown.split([' ', ';', '\n']);
    words.any(|word| word == "-icanon" || word == "-echo")
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
    session
        .exp_string("Workloads to clone to")
        .expect("the choice");
    session
        .exp_string("deployment.apps/taken  busybox:1.36 -> localhost")
        .expect("the workload with its image and where it goes");
    // the first is chosen as all are: it is taken out
    press(&mut session, " \r");
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

    // what is cloned is shown and not chosen beforehand
    let mut session = on_terminal(&bed, &["clone"]);
    session
        .exp_string("[x] deployment.apps/left")
        .expect("what would change");
    session
        .exp_string("[ ] deployment.apps/taken  already cloned: ")
        .expect("what would not, and why");
    press(&mut session, ESCAPE);
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 130);
}

#[test]
fn a_namespace_is_found_by_a_part_of_its_name_and_a_selection_is_chosen_from() {
    let Some(bed) = Bed::share("fuzzy", false) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    bed.apply(&idle("db", "busybox:1.36").replace("kind: Deployment", "kind: ReplicaSet"));
    let mut session = on_terminal_with(without_namespace(&bed, &["clone"]));
    session.exp_string("Namespace").expect("the choice");
    // its beginning, and nothing of what is between
    let (start, end) = bed.namespace.split_once('-').expect("a number");
    press(&mut session, &format!("{}{end}", &start[..2]));
    session
        .exp_string(&format!("> {}  2 workloads", bed.namespace))
        .expect("the only one that is left");
    press(&mut session, "\r");
    session.exp_string("Workloads").expect("the choice");
    session
        .exp_string("deployment.apps/web  busybox:1.36 -> ")
        .expect("of that namespace");
    press(&mut session, ESCAPE);
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 130);

    let mut session = on_terminal(&bed, &["clone", "rs", "-i"]);
    session.exp_string("Workloads").expect("the choice");
    let offered = session.exp_string("replicaset.apps/db");
    let offered = offered.expect("what was selected");
    press(&mut session, ESCAPE);
    let rest = session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 130);
    assert!(!format!("{offered}{rest}").contains("deployment.apps/web"));
}

/// The plugin without `-n`.
fn without_namespace(bed: &Bed, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"));
    command.args(args).env_clear();
    for (name, value) in bed.plugin_command(&[]).get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
}

/// The plugin with no target registry named anywhere, and a home of its own for the configuration.
fn without_target(bed: &Bed, args: &[&str]) -> Command {
    let mut command = bed.plugin_command(args);
    command
        .env_remove("IMAGE_CLONER_REGISTRY")
        .env_remove("IMAGE_CLONER_USER")
        .env_remove("IMAGE_CLONER_PASS")
        .env("IMAGE_CLONER_CONFIG", own_config(bed));
    command
}

fn own_config(bed: &Bed) -> std::path::PathBuf {
    let path = bed.folder().join("own.yaml");
    if !path.exists() {
        let text = std::fs::read_to_string(var("CONFIG")).expect("the bed's file");
        std::fs::write(&path, text).expect("a file");
    }
    path
}

#[test]
fn a_namespace_and_a_registry_are_chosen_checked_and_kept() {
    let Some(bed) = Bed::share("everything", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
    let (kubeconfig, before) = (bed.folder().join("kubeconfig"), own_config(&bed));
    let before = std::fs::read_to_string(before).expect("a file");
    std::fs::copy(std::env::var_os("KUBECONFIG").expect("set"), &kubeconfig).expect("a copy");
    let kubectl = Command::new("kubectl")
        .args(["config", "set-context", "--current", "--namespace"])
        .arg(&bed.namespace)
        .env("KUBECONFIG", &kubeconfig)
        .output()
        .expect("kubectl is installed by the bed");
    assert!(kubectl.status.success());
    let mut command = without_target(&bed, &["--v=0", "clone"]);
    command.env("KUBECONFIG", &kubeconfig);
    let mut session = on_terminal_with(command);
    session.exp_string("Namespace").expect("the choice");
    // the current one comes first
    session
        .exp_string(&format!("> {}  1 workload", bed.namespace))
        .expect("how much is in it");
    press(&mut session, "\r");
    session.exp_string("Target registry").expect("the question");
    press(&mut session, "http://x\r");
    session.exp_string("error:").expect("what is wrong");
    session.exp_string("Target registry").expect("asked again");
    press(&mut session, &"\u{7f}".repeat("http://x".len()));
    press(&mut session, &format!("{}\r", bed.open_target()));
    session.exp_string("Keep it").expect("the offer");
    press(&mut session, "y\r");
    session.exp_string("Workloads").expect("the choice");
    press(&mut session, "\r");
    session.exp_string("[y/N]").expect("the question");
    assert_eq!(
        std::fs::read_to_string(own_config(&bed)).expect("a file"),
        before,
        "kept before it was agreed to"
    );
    press(&mut session, "y\r");
    session.exp_string("is kept in").expect("where it is kept");
    session
        .exp_string("deployment.apps/web repointed")
        .expect("the result");
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 0);
    let after = std::fs::read_to_string(own_config(&bed)).expect("a file");
    assert_eq!(after, format!("{before}registry: {}\n", bed.open_target()));
}

#[test]
fn what_the_cluster_publishes_is_offered_and_taken_unasked_only_on_loopback() {
    let Some(bed) = Bed::share("published", false) else {
        return;
    };
    bed.apply(&deployment("web", &[("web", "busybox:1.36")], &[]));
    let open = var("OPEN_TARGET");
    let config = own_config(&bed);
    let mut text = std::fs::read_to_string(&config).expect("a file");
    text.push_str(&["  'registry.lan:5000': {endpoint: 'http://", &open, "'}\n"].concat());
    std::fs::write(&config, text).expect("a file");
    let nobody = bed.folder().join("kubeconfig");
    std::fs::write(&nobody, "{}").expect("a file");
    let proxy = ApiProxy::start();
    // of the whole cluster, where it would be everybody's
    let path = "/api/v1/namespaces/kube-public/configmaps/local-registry-hosting";
    let start = |host: &str, runtime: &str| {
        let hosting = format!("host: \"{host}\"\nhostFromContainerRuntime: \"{runtime}\"\n");
        let map = serde_json::json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "local-registry-hosting", "namespace": "kube-public"},
            "data": {"localRegistryHosting.v1": hosting},
        });
        let server = format!("http://{}", proxy.with(path, &map));
        let mut command = without_target(&bed, &["clone", "--server", &server]);
        command.env("KUBECONFIG", &nobody);
        on_terminal_with(command)
    };
    let mut session = start("registry.lan:5000", "registry.lan:5000");
    session.exp_string("Target registry").expect("the question");
    session
        .exp_string("registry.lan:5000")
        .expect("what is published");
    press(&mut session, "\r");
    session.exp_string("Keep it").expect("the offer");
    press(&mut session, "n\r");
    session
        .exp_string("Workloads to clone to registry.lan:5000")
        .expect("the choice");
    session
        .exp_string("busybox:1.36 -> registry.lan:5000/busybox:1.36")
        .expect("where it would go");
    press(&mut session, ESCAPE);
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 130);

    // pushed to on loopback, pulled by another name
    let mut session = start(&open, "kind-registry:5000");
    session
        .exp_string("Workloads to clone to kind-registry:5000")
        .expect("no question before the choice");
    press(&mut session, ESCAPE);
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 130);
}

#[test]
fn a_restore_of_nothing_named_offers_the_last_run_first() {
    let Some(bed) = Bed::share("undone", false) else {
        return;
    };
    for name in ["one", "two"] {
        bed.apply(&deployment(name, &[("web", "busybox:1.36")], &[]));
        bed.plugin(&["clone", &format!("deploy/{name}")]).exits(0);
    }
    let mut session = on_terminal(&bed, &["restore"]);
    session.exp_string("Undo which run").expect("the choice");
    session.exp_string("UTC, 1 workload").expect("the last run");
    session.exp_string("all of them").expect("the rest");
    press(&mut session, "\r");
    session
        .exp_string("deployment.apps/two in")
        .expect("the plan");
    session
        .exp_string("Restore 1 workload?")
        .expect("the question");
    press(&mut session, "y\r");
    session
        .exp_string("deployment.apps/two restored")
        .expect("the result");
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 0);
}

/// A cluster with one Deployment, which says that a registry is pushed to at this address.
async fn publishing(pull: &str, push: &str) -> Server {
    let hosting = format!("host: {push}\nhostFromContainerRuntime: {pull}\n");
    Server::start(move |line, _| {
        let path = line.split(' ').nth(1).expect("a path");
        let (path, _) = path.split_once('?').unwrap_or((path, ""));
        let items = match path.rsplit('/').next() {
            Some("local-registry-hosting") => {
                let data = json!({"localRegistryHosting.v1": hosting});
                return (200, json!({"kind": "ConfigMap", "metadata": {}, "data": data}));
            }
            Some("deployments") => json!([{
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "busybox"}]}}},
            }]),
            _ => json!([]),
        };
        (200, json!({"kind": "List", "metadata": {}, "items": items}))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_address_that_a_cluster_publishes_gets_no_credentials_unasked() {
    let registry = Registry::start().await;
    registry.hook(|asked| {
        let refused = Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
        asked.header("authorization").is_none().then_some(refused)
    });
    let (_, port) = registry.host.split_once(':').expect("a port");
    // neither loopback by its name nor the registry itself
    let cluster = publishing("registry.example", &format!("http://0.0.0.0:{port}")).await;
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join(".docker")).expect("a folder");
    let logins = json!({"auths": {"registry.example": {"auth": "dTpw"}}});
    let path = home.path().join(".docker/config.json");
    std::fs::write(path, logins.to_string()).expect("a file");
    for (answer, expected) in [("n\r", false), ("y\r", true)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"));
        command
            .args(["clone", "-n", "shop", "--server", &cluster.address])
            .env_clear()
            .env("HOME", home.path())
            // a name that nobody knows must be found out soon
            .env("RES_OPTIONS", "timeout:1 attempts:1");
        let mut session = on_terminal_with(command);
        session.exp_string("Target registry").expect("the question");
        session.exp_string("registry.example").expect("the offer");
        press(&mut session, "\r");
        session
            .exp_string("is pushed to at http://0.0.0.0:")
            .expect("where it leads");
        session.exp_string("[y/N]").expect("the question");
        press(&mut session, answer);
        // the one is accepted, the other is nowhere to be found
        if !expected {
            session.exp_string("error:").expect("why it is not taken");
        }
        let next = if expected {
            "Keep it"
        } else {
            "Target registry"
        };
        session.exp_string(next).expect("the next question");
        press(&mut session, INTERRUPT);
        session.exp_eof().expect("the end");
        let log = registry.log();
        let given = log
            .iter()
            .any(|asked| asked.header("authorization").is_some());
        assert_eq!(given, expected, "{log:?}");
    }
}
