//! What a person is asked, in a real pseudo-terminal.

use crate::bed::{ApiProxy, Bed, deployment, idle, var};
use crate::cluster_wire::Server;
use crate::wire::server::{Registry, Reply};
use rexpect::session::PtySession;
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::Duration;

const TIMEOUT: Option<u64> = Some(60_000);
pub(crate) const ESCAPE: &str = "\u{1b}";
pub(crate) const INTERRUPT: &str = "\u{3}";
const HIDE_CURSOR: &str = "\u{1b}[?25l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";

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
fn credentials_for_pushing_go_into_pull_secrets_after_a_yes_alone() {
    let Some(bed) = Bed::share("sharing", false) else {
        return;
    };
    bed.apply(&idle("web", "busybox:1.36"));
    let namespace = format!("ns/{}", bed.namespace);
    for (said, code) in [("n\r", 3), ("y\r", 0)] {
        let mut command = bed.plugin_command(&["clone", &namespace]);
        command
            .env_remove("IMAGE_CLONER_PULL_USER")
            .env_remove("IMAGE_CLONER_PULL_PASS");
        let mut session = on_terminal_with(command);
        session
            .exp_string("Put those for pushing (testuser) into pull secrets? [y/N]")
            .expect("the question");
        press(&mut session, said);
        session.exp_string("SOURCE").expect("the plan");
        session.exp_string("[y/N]").expect("the question");
        press(&mut session, "y\r");
        session.exp_eof().expect("the end");
        assert_eq!(exit_code(&session), code, "{said:?}");
        let made = bed.try_kubectl(&["get", "secret/image-cloner-pull"]);
        assert_eq!(made.status.success(), code == 0, "{said:?}");
    }
    assert_eq!(
        bed.pull_logins()[bed.target().as_str()]["username"],
        json!(var("TARGET_USER"))
    );
    let web = bed.get("deploy/web");
    assert_eq!(
        web["spec"]["template"]["spec"]["containers"][0]["image"],
        format!("{}/busybox:1.36", bed.target())
    );
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"));
        command.arg("clone");
        let bare = bed.plugin_command(&[]);
        for (name, value) in bare.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
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
