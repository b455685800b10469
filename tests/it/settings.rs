//! `config`, and flags and words as they are typed: the file is its owner's, and answers help.

mod help;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A home of its own with the plugin in it, and no cluster.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn file(&self) -> PathBuf {
        self.path().join("conf/config.yaml")
    }

    fn has(&self, text: &str) {
        fs::create_dir_all(self.path().join("conf")).unwrap();
        fs::write(self.file(), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-image_cloner"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.0.path())
            .env("COLUMNS", "80")
            .env("IMAGE_CLONER_CONFIG", self.file())
            .stdin(Stdio::null());
        command
    }

    /// Exit code, and both streams without this home's name.
    fn run(&self, args: &[&str]) -> (i32, String) {
        self.ran(self.command(args))
    }

    fn ran(&self, mut command: Command) -> (i32, String) {
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let home = self.path().display().to_string();
        (output.status.code().unwrap(), said.replace(&home, "HOME"))
    }

    #[track_caller]
    fn refuses(&self, args: &[&str], words: &[&str]) {
        let before = fs::read_to_string(self.file()).ok();
        let (code, said) = self.run(args);
        assert_eq!(code, 2, "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: {word:?} is not in:\n{said}");
        }
        assert_eq!(fs::read_to_string(self.file()).ok(), before);
    }
}

#[test]
fn a_file_is_changed_where_it_must_and_nowhere_else() {
    let home = Home::new();
    home.has("# ours\nregistry: old.corp  # until May\n\nregistries:\n  # the lab\n  Registry.Lab: {insecure: http}\nlayout: flat\n");
    let (code, said) = home.run(&["config", "set", "registry", "new.corp/mirror"]);
    assert_eq!(
        (code, said.as_str()),
        (0, "registry set in HOME/conf/config.yaml\n")
    );
    home.run(&[
        "config",
        "set",
        "--host",
        "registry.lab",
        "concurrency",
        "2",
    ]);
    home.run(&[
        "config",
        "set",
        "--context",
        "prod",
        "registry",
        "harbor.eu/x",
    ]);
    let (code, _) = home.run(&["config", "unset", "layout"]);
    assert_eq!(code, 0);
    assert_eq!(
        fs::read_to_string(home.file()).unwrap(),
        "# ours\nregistry: new.corp/mirror  # until May\n\nregistries:\n  # the lab\n  Registry.Lab: {insecure: http, concurrency: 2}\ncontexts:\n  prod:\n    registry: harbor.eu/x\n"
    );
    let (code, said) = home.run(&["config", "unset", "layout"]);
    assert_eq!((code, said.as_str()), (0, "layout was not set\n"));
    let (_, said) = home.run(&["config", "path"]);
    assert_eq!(said, "HOME/conf/config.yaml\n");
}

#[cfg(unix)]
#[test]
fn a_new_file_is_its_owners_alone_and_a_link_stays_one() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let home = Home::new();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    home.run(&["config", "set", "registry", "a.corp"]);
    assert_eq!(
        (mode(home.file()), mode(home.path().join("conf"))),
        (0o600, 0o700)
    );

    let elsewhere = home.path().join("dotfiles.yaml");
    fs::rename(home.file(), &elsewhere).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&elsewhere, home.file()).unwrap();
    home.run(&["config", "set", "registry", "b.corp"]);
    assert!(fs::symlink_metadata(home.file()).unwrap().is_symlink());
    assert_eq!(
        fs::read_to_string(&elsewhere).unwrap(),
        "registry: b.corp\n"
    );
    assert_eq!(mode(elsewhere), 0o644);
}

#[cfg(unix)]
#[test]
fn a_file_that_is_there_and_cannot_be_read_is_not_taken_for_none() {
    let home = Home::new();
    fs::create_dir_all(home.path().join(".config/image-cloner")).unwrap();
    fs::create_dir_all(home.path().join(".kube")).unwrap();
    let run = |environment: &[(&str, &str)]| {
        let mut command = home.command(&["status"]);
        command.env_remove("IMAGE_CLONER_CONFIG");
        command.envs(environment.iter().copied());
        home.ran(command)
    };
    // whoever may read everything cannot read these either
    for file in [".config/image-cloner/config.yaml", ".kube/config"] {
        let path = home.path().join(file);
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let (code, said) = run(&[]);
        assert_ne!(code, 0);
        assert!(said.contains(&format!("HOME/{file}: ")), "{said}");
        fs::remove_file(&path).unwrap();
    }
    // a home that is no folder has none
    let (_, said) = run(&[("HOME", "/dev/null")]);
    assert!(!said.contains("/dev/null"), "{said}");
}

#[test]
fn what_would_not_load_is_not_written() {
    let home = Home::new();
    home.has("layout: flat\n");
    let host = ["config", "set", "--host", "h.io"];
    let with = |more: &[&'static str]| [&host[..], more].concat();
    home.refuses(
        &["config", "set", "layout", "round"],
        &["\"round\" is not a layout"],
    );
    home.refuses(
        &["config", "set", "registry", "http://x"],
        &["registry:", "http://"],
    );
    home.refuses(&with(&["insecure", "htp"]), &["htp", "skip-verify"]);
    home.refuses(&with(&["caFile", "nowhere.pem"]), &["nowhere.pem"]);
    home.refuses(
        &with(&["username", "me"]),
        &["needs passwordCommand", "KEY VALUE KEY VALUE"],
    );
    home.refuses(&with(&["concurrency", "0"]), &["nonzero"]);
    home.refuses(
        &["config", "set", "--host", "a b", "insecure", "http"],
        &["\"a b\""],
    );
    home.refuses(
        &["config", "set", "regsitry", "x"],
        &["\"regsitry\"", "did you mean registry?"],
    );
    home.refuses(&["config", "unset", "lay"], &["did you mean layout?"]);
    home.refuses(&["config", "set", "insecure", "http"], &["--host HOST"]);
    home.refuses(&["config", "set", "registry", "a", "layout"], &["3 words"]);
    let (_, said) = home.run(&["config", "set", "password", "hunter2"]);
    assert!(
        said.contains("login HOST") && !said.contains("hunter2"),
        "{said}"
    );
    home.has("layout: [\n");
    home.refuses(&["config", "set", "registry", "a.io"], &["config.yaml"]);
}

#[test]
fn the_view_says_what_is_in_force_and_who_says_so() {
    let home = Home::new();
    home.has("registry: old.corp\nlayout: flat\nskipNamespaces: [a, b]\ncontexts:\n  prod: {registry: prod.corp}\nregistries:\n  h.io: {username: me, passwordCommand: pass show h}\n");
    let kubeconfig = home.path().join("kubeconfig");
    fs::write(
        &kubeconfig,
        "current-context: prod\ncontexts:\n- {name: prod, context: {cluster: c}}\n",
    )
    .unwrap();
    let view = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = home.command(&[&["config", "view"], args].concat());
        command
            .env("KUBECONFIG", &kubeconfig)
            .envs(variables.iter().copied());
        let (code, said) = home.ran(command);
        assert_eq!(code, 0, "{said}");
        said
    };
    insta::assert_snapshot!(view(&[], &[]), @r"
    file     HOME/conf/config.yaml
    context  prod
    target   prod.corp

    KEY                              VALUE        FROM
    registry                         old.corp     config.yaml
    layout                           flat         config.yaml
    platform                         all          default
    skipNamespaces                   a,b          config.yaml
    concurrency                      5            default
    contexts.prod.registry           prod.corp    config.yaml
    registries.h.io.passwordCommand  pass show h  config.yaml
    registries.h.io.username         me           config.yaml
    ");
    let variables = [
        ("IMAGE_CLONER_REGISTRY", "env.corp/x"),
        ("IMAGE_CLONER_USER", "robot"),
        ("IMAGE_CLONER_PASS", "hunter2"),
    ];
    insta::assert_snapshot!(view(&["--layout", "mirror"], &variables), @r"
    file     HOME/conf/config.yaml
    context  prod
    target   env.corp/x

    KEY                              VALUE        FROM
    registry                         env.corp/x   IMAGE_CLONER_REGISTRY, before old.corp in config.yaml
    layout                           mirror       --layout, before flat in config.yaml
    platform                         all          default
    skipNamespaces                   a,b          config.yaml
    concurrency                      5            default
    contexts.prod.registry           prod.corp    config.yaml
    registries.env.corp.username     robot        IMAGE_CLONER_USER
    registries.h.io.passwordCommand  pass show h  config.yaml
    registries.h.io.username         me           config.yaml
    ");
    let json: serde_json::Value = serde_json::from_str(&view(&["-o", "json"], &variables)).unwrap();
    assert_eq!(json["target"], "env.corp/x");
    assert_eq!(json["values"][0]["overrides"], "old.corp");
    assert!(!json.to_string().contains("hunter2"));
    assert!(view(&["-o", "yaml"], &[]).contains("target: prod.corp\n"));
}

#[test]
fn slips_are_answered_with_what_was_meant() {
    let home = Home::new();
    home.has("");
    home.refuses(&["clon", "deploy/x"], &["'clone'"]);
    home.refuses(
        &["clone", "deploy/x", "--platfrom", "all"],
        &["'--platform'"],
    );
    home.refuses(
        &["clone", "deploy/x", "--layout", "mirrorr", "--to", "a.io"],
        &["'mirror'"],
    );
    let (code, help) = home.run(&["help", "config", "set"]);
    assert!(
        code == 0 && help.contains("Usage: kubectl image-cloner config set"),
        "{help}"
    );
}

#[test]
fn every_switch_takes_the_same_words() {
    let home = Home::new();
    home.has("");
    let clone = [
        "clone",
        "deploy/x",
        "--to",
        "localhost:1",
        "--server",
        "http://127.0.0.1:1",
    ];
    for switch in ["--restore-on-failure", "--wait", "--share-credentials"] {
        for word in ["yes", "ON", "1", "no", "off"] {
            let flag = format!("{switch}={word}");
            let (code, said) = home.run(&[&clone[..], &[&flag]].concat());
            // nobody is there, and that is all that is wrong
            assert!(code == 1 && said.contains("localhost:1"), "{flag}: {said}");
        }
        let flag = format!("{switch}=maybe");
        let words = [switch, "not one of true, yes, on, 1, false, no, off, 0"];
        home.refuses(&[&clone[..], &[&flag]].concat(), &words);
    }
}

#[test]
fn a_word_that_says_nothing_of_owned_workloads_is_refused_before_a_cluster_is_asked() {
    let home = Home::new();
    home.has("");
    let clone = ["clone", "deploy/x", "--server", "http://127.0.0.1:1"];
    let with = |more: &[&str]| {
        let mut command = home.command(&[&clone[..], more].concat());
        command
            .env("IMAGE_CLONER_REGISTRY", "localhost:1")
            .env("IMAGE_CLONER_OWNED", "lively");
        home.ran(command)
    };
    let (code, said) = with(&[]);
    let words = "IMAGE_CLONER_OWNED is \"lively\": not one of copy, live";
    assert!(code == 2 && said.contains(words), "{said}");
    // a flag goes before it
    let (code, said) = with(&["--owned", "copy"]);
    assert!(code == 1 && said.contains("localhost:1"), "{said}");
}

#[test]
fn a_target_that_is_none_is_a_wrong_request_whoever_names_it() {
    let home = Home::new();
    home.has("");
    let mut command = home.command(&["copy", "nginx"]);
    command.env("IMAGE_CLONER_REGISTRY", "https://reg.corp");
    let (code, said) = home.ran(command);
    let expected = "error: IMAGE_CLONER_REGISTRY: \"https://reg.corp\" is not a target registry: ";
    assert_eq!((code, said.starts_with(expected)), (2, true), "{said}");
    home.refuses(
        &["copy", "nginx", "--to", "https://reg.corp"],
        &["error: \"https://reg.corp\" is not a target registry: "],
    );
}

#[test]
fn flags_that_mean_nothing_beside_each_other_are_refused() {
    let home = Home::new();
    home.has("");
    let nowhere = ["--to", "localhost:1", "--server", "http://127.0.0.1:1"];
    let clone = [&["clone", "deploy/x"], &nowhere[..]].concat();
    for (only, said) in [
        (
            &["-o", "kustomize"][..],
            "-o kustomize repoints nothing live",
        ),
        (&["-o", "patch"], "-o patch repoints nothing live"),
        (&["--copy-only"], "--copy-only repoints nothing"),
    ] {
        for flags in [
            &["--wait"][..],
            &["--batch", "2"],
            &["--restore-on-failure"],
            &["--canary"],
            &["--owned", "live"],
            &["--pull-secret", "mine"],
            &["--share-credentials"],
        ] {
            let why = format!("{said}: it has no {}", flags.join(" "));
            let why = why.trim_end_matches(" 2").trim_end_matches(" mine");
            home.refuses(&[&clone[..], only, flags].concat(), &[why]);
        }
        // what says no is no contradiction, and neither is what holds for every clone
        let no = ["--wait=false", "--share-credentials=false"];
        let mut command = home.command(&[&clone[..], only, &no].concat());
        command.env("IMAGE_CLONER_SHARE_CREDENTIALS", "true");
        let (code, said) = home.ran(command);
        assert!(code == 1 && said.contains("localhost:1"), "{said}");
    }
    let pinned = [&clone[..], &["--copy-only", "--pin"]].concat();
    home.refuses(&pinned, &["--copy-only repoints nothing: it has no --pin"]);
    for secret in ["none", "mine"] {
        let flags = ["--pull-secret", secret, "--share-credentials"];
        let words = ["'--pull-secret <NAME|none>' cannot be used with '--share-credentials"];
        home.refuses(&[&clone[..], &flags].concat(), &words);
    }
}

#[test]
fn connection_flags_count_before_the_verb_and_behind_it() {
    let home = Home::new();
    home.has("");
    let nowhere = "http://127.0.0.1:1";
    let clone = ["clone", "deploy/x", "--to", "localhost:1"];
    let (code, said) = home.run(&[&["--server", nowhere, "-n", "Bad"], &clone[..]].concat());
    assert!(
        code == 2 && said.contains("invalid namespace \"Bad\""),
        "{said}"
    );
    // the one behind the verb is nearer
    let (_, said) = home.run(
        &[
            &["-n", "Bad"],
            &clone[..],
            &["-n", "good", "--server", nowhere],
        ]
        .concat(),
    );
    assert!(!said.contains("invalid namespace"), "{said}");
    home.refuses(
        &["-n", "x", "copy", "nginx", "--to", "a.io"],
        &["asks no cluster"],
    );
    // `copy` has a meaning of its own for it
    let (_, said) = home.run(&["copy", "nginx", "--as", "localhost:1/x"]);
    assert!(said.contains("localhost:1"), "{said}");
}
