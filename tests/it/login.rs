//! `login` and `logout`: credentials that a registry takes are kept, and no others.

use crate::bed::{Bed, Ran, var};
use crate::terminal::{exit_code, on_terminal_with, press};
use crate::wire::server::Registry;
use crate::wire::simple;
use crate::wire::tls::Secure;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A home without configuration, and docker's folder in it.
struct Home {
    bed: Bed,
}

impl Home {
    fn share(name: &str) -> Option<Self> {
        let bed = Bed::share(name, false)?;
        fs::create_dir(bed.folder().join("docker")).unwrap();
        Some(Self { bed })
    }

    fn docker(&self) -> PathBuf {
        self.bed.folder().join("docker/config.json")
    }

    fn read(&self) -> String {
        fs::read_to_string(self.docker()).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bed.plugin_command(args);
        let path = std::env::var("PATH").unwrap();
        for name in ["REGISTRY", "USER", "PASS", "PULL_USER", "PULL_PASS"] {
            command.env_remove(format!("IMAGE_CLONER_{name}"));
        }
        command
            .env("PATH", format!("{}:{path}", self.bed.folder().display()))
            .env("DOCKER_CONFIG", self.bed.folder().join("docker"))
            .env("IMAGE_CLONER_CONFIG", self.bed.folder().join("config.yaml"));
        command
    }

    fn run(&self, args: &[&str], input: &str) -> Ran {
        let mut plugin = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        plugin
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        self.bed.ran(plugin.wait_with_output().unwrap())
    }

    fn log_in(&self, password: &str) -> Ran {
        self.log_in_to(&var("TARGET"), password, &[])
    }

    fn log_in_to(&self, registry: &str, password: &str, more: &[&str]) -> Ran {
        let user = var("TARGET_USER");
        let args = [&["login", registry, "-u", &user, "--password-stdin"], more].concat();
        let ran = self.run(&args, &format!("{password}\n"));
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains(password), "{said}");
        ran
    }

    /// A credential helper `docker-credential-shelf` that keeps one login.
    #[cfg(unix)]
    fn make_helper(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.bed.folder().join("docker-credential-shelf");
        let script = "#!/bin/sh
cd \"$(dirname \"$0\")\" || exit 9
case $1 in
store) cat > shelf ;;
get) cat > asked; test -f shelf || { echo credentials not found in native keychain; exit 1; }; cat shelf ;;
erase) cat > erased; rm shelf ;;
esac
";
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_login_goes_into_dockers_file_and_leaves_the_rest_of_it() {
    let Some(home) = Home::share("login-file") else {
        return;
    };
    let before = "{\n\t\"auths\": {\n\t\t\"other.io\": {\n\t\t\t\"auth\": \"bWU6cGE6c3M=\",  \"email\": \"me\"\n\t\t}\n\t},\n\t\"HttpHeaders\": {\"User-Agent\": \"Docker\"},\n\t\"unknown\": [1,2]\n}";
    fs::write(home.docker(), before).unwrap();
    home.log_in(&var("TARGET_PASS"))
        .exits(0)
        .says(&format!(
            "logged in to {} as {}",
            var("TARGET"),
            var("TARGET_USER")
        ))
        .says("is not encrypted");
    let after = home.read();
    let (head, tail) = before.split_once("\n\t\t}\n\t},").unwrap();
    assert!(after.starts_with(head) && after.ends_with(tail), "{after}");
    assert!(
        after.contains(&format!(
            "\n\t\t\"{}\": {{\n\t\t\t\"auth\": ",
            var("TARGET")
        )),
        "{after}"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            fs::metadata(home.docker()).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    // it is what a copy uses
    let target = home.bed.target();
    let mut copy = home.command(&["copy", "busybox:1.36", "--to", &target]);
    copy.env("IMAGE_CLONER_CONFIG", var("CONFIG"));
    home.bed.ran(copy.output().unwrap()).exits(0);
    home.run(&["logout", &var("TARGET")], "")
        .exits(0)
        .says("logged out of");
    assert_eq!(home.read(), before);
    home.run(&["logout", &var("TARGET")], "")
        .exits(0)
        .says("there was no login for");
}

#[test]
fn what_the_registry_refuses_is_not_kept() {
    let Some(home) = Home::share("login-wrong") else {
        return;
    };
    home.log_in_to(&var("TARGET"), "hunter2", &["--insecure=http"])
        .exits(1)
        .says("401")
        .says("nothing was changed");
    home.log_in_to("127.0.0.1:1", "hunter2", &[])
        .exits(1)
        .says("nothing was changed");
    assert!(!home.docker().exists());
    assert!(!home.bed.folder().join("config.yaml").exists());
    home.run(&["login", &var("TARGET")], "")
        .exits(2)
        .says("--password-stdin");
    home.run(
        &["login", &var("TARGET"), "-u", "me", "--password-stdin"],
        "\n",
    )
    .exits(2)
    .says("no password");
    home.run(&["login", "https://reg.corp", "-u", "me"], "")
        .exits(2)
        .says("https://");
}

#[test]
fn how_a_host_is_reached_is_remembered() {
    let Some(home) = Home::share("login-ca") else {
        return;
    };
    let config = home.bed.folder().join("config.yaml");
    fs::write(&config, "# mine\nlayout: flat\n").unwrap();
    home.log_in_to(&var("TARGET"), &var("TARGET_PASS"), &["--insecure=http"])
        .exits(0);
    let expected = format!(
        "# mine\nlayout: flat\nregistries:\n  \"{}\":\n    insecure: http\n",
        var("TARGET")
    );
    assert_eq!(fs::read_to_string(&config).unwrap(), expected);
    home.log_in_to(
        &var("TARGET"),
        &var("TARGET_PASS"),
        &["--ca-file", "nowhere.pem"],
    )
    .exits(1)
    .says("nowhere.pem")
    .says("nothing was changed");
    assert_eq!(fs::read_to_string(&config).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_trusted_or_not_looked_at_from_the_login_on() {
    let Some(home) = Home::share("login-tls") else {
        return;
    };
    let (registry, target) = (Registry::start().await, Registry::start().await);
    simple(&registry);
    let secure = Secure::start(&registry, "localhost").await;
    let config = home.bed.folder().join("config.yaml");
    home.log_in_to(&secure.host, "hunter2", &[])
        .exits(1)
        .says("unknown authority")
        .says("--ca-file")
        .says("nothing was changed");
    assert!(!home.docker().exists() && !config.exists());

    let authority = secure.authority();
    let authority = authority.to_str().unwrap();
    for (flags, key) in [
        (
            &["--ca-file", authority][..],
            format!("caFile: {authority}"),
        ),
        (&["--insecure"], "insecure: skip-verify".to_owned()),
    ] {
        home.log_in_to(&secure.host, "hunter2", flags)
            .exits(0)
            .says(&format!("how to reach {} is kept in ", secure.host));
        let kept = fs::read_to_string(&config).unwrap();
        assert!(kept.contains(&key), "{kept}");
        // whatever comes after it goes there the same way
        let image = format!("{}/a/b:1", secure.host);
        let to = format!("{}/{}", target.host, flags.len());
        home.run(&["copy", &image, "--to", &to], "").exits(0);
        fs::write(&config, "").unwrap();
        home.run(&["copy", &image, "--to", &format!("{to}/again")], "")
            .exits(1);
    }
}

#[cfg(unix)]
#[test]
fn a_credential_helper_keeps_what_docker_would_give_it() {
    let Some(home) = Home::share("login-helper") else {
        return;
    };
    home.make_helper();
    let target = var("TARGET");
    let before = format!(
        "{{\"credHelpers\": {{\"{target}\": \"shelf\"}}, \"auths\": {{\"{target}\": {{\"auth\": \"b2xkOm9sZA==\"}}, \"o.io\": {{}}}}}}"
    );
    fs::write(home.docker(), before).unwrap();
    let ran = home
        .log_in(&var("TARGET_PASS"))
        .exits(0)
        .says("by docker-credential-shelf");
    assert!(!ran.stderr.contains("not encrypted"), "{}", ran.stderr);
    let kept = fs::read_to_string(home.bed.folder().join("shelf")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    let expected = serde_json::json!({"ServerURL": target, "Username": var("TARGET_USER"), "Secret": var("TARGET_PASS")});
    assert_eq!(kept, expected);
    // the old one in the file would only lie about
    assert!(!home.read().contains("b2xkOm9sZA=="));
    home.log_in_to(&format!("{target}/team"), &var("TARGET_PASS"), &[])
        .exits(1)
        .says("one login a host");
    home.run(&["logout", &target], "")
        .exits(0)
        .says("docker-credential-shelf");
    let erased = fs::read_to_string(home.bed.folder().join("erased")).unwrap();
    assert_eq!(erased, target);
    home.run(&["logout", &target], "")
        .exits(0)
        .says("there was no login");

    let missing = format!("{{\"credHelpers\": {{\"{target}\": \"gone\"}}}}");
    fs::write(home.docker(), &missing).unwrap();
    home.log_in(&var("TARGET_PASS"))
        .exits(1)
        .says("docker-credential-gone");
    assert_eq!(home.read(), missing);
}

#[test]
fn a_login_that_others_go_before_says_so() {
    let Some(home) = Home::share("login-before") else {
        return;
    };
    let mut command = home.command(&[
        "login",
        &var("TARGET"),
        "-u",
        &var("TARGET_USER"),
        "--password-stdin",
    ]);
    command
        .env("IMAGE_CLONER_REGISTRY", var("TARGET"))
        .env("IMAGE_CLONER_USER", "other")
        .env("IMAGE_CLONER_PASS", "other")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut plugin = command.spawn().unwrap();
    plugin
        .stdin
        .take()
        .unwrap()
        .write_all(var("TARGET_PASS").as_bytes())
        .unwrap();
    let ran = home.bed.ran(plugin.wait_with_output().unwrap());
    ran.exits(0)
        .says("other credentials")
        .says("IMAGE_CLONER_USER");
}

#[test]
fn a_login_of_podmans_is_used_and_a_logout_leaves_it_and_says_so() {
    let Some(home) = Home::share("podman") else {
        return;
    };
    let registry = var("TARGET");
    home.log_in(&var("TARGET_PASS")).exits(0);
    // podman's file has the same form
    let podman = home.bed.folder().join("auth.json");
    fs::copy(home.docker(), &podman).unwrap();
    let before = fs::read_to_string(&podman).unwrap();
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("REGISTRY_AUTH_FILE", &podman);
        home.bed.ran(command.output().unwrap())
    };
    run(&["logout", &registry])
        .exits(0)
        .says(&format!("logged out of {registry}, was kept in "))
        .says(&format!(
            "note: {} has a login for it that stays in use: podman logout {registry}",
            podman.display()
        ));
    assert!(!home.read().contains(&registry));
    assert_eq!(fs::read_to_string(&podman).unwrap(), before);
    let copy = format!("{}/busybox:1", home.bed.target());
    fs::copy(var("CONFIG"), home.bed.folder().join("config.yaml")).unwrap();
    run(&["copy", "busybox:1.36", "--as", &copy]).exits(0);

    fs::write(&podman, "{}").unwrap();
    let ran = run(&["logout", &registry]).exits(0);
    assert_eq!(ran.stderr, format!("there was no login for {registry}\n"));
    run(&["copy", "busybox:1.36", "--as", &copy]).exits(1);
}

#[test]
fn a_password_is_asked_for_and_never_shown() {
    let Some(home) = Home::share("login-ask") else {
        return;
    };
    let mut session = on_terminal_with(home.command(&["login", &var("TARGET")]));
    session.exp_string("User").expect("the question");
    press(&mut session, &format!("{}\r", var("TARGET_USER")));
    session.exp_string("Password").expect("the question");
    press(&mut session, &format!("{}\r", var("TARGET_PASS")));
    let shown = session.exp_string("logged in to").expect("the result");
    let rest = session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 0);
    assert!(
        !format!("{shown}{rest}").contains(&var("TARGET_PASS")),
        "{shown}{rest}"
    );
    assert!(home.read().contains(&var("TARGET")));

    let mut session = on_terminal_with(home.command(&["login", &var("TARGET"), "-u", "me"]));
    session.exp_string("Password").expect("the question");
    press(&mut session, "\u{3}");
    session
        .exp_string("nothing was changed")
        .expect("what it came to");
    session.exp_eof().expect("the end");
    assert_eq!(exit_code(&session), 130);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_keep_while_a_login_is_checked_stays() {
    let Some(home) = Home::share("meanwhile") else {
        return;
    };
    let registry = Registry::start().await;
    let (docker, config) = (home.docker(), home.bed.folder().join("config.yaml"));
    let path = config.clone();
    registry.hook(move |_| {
        fs::write(&docker, r#"{"auths":{"other.corp":{"auth":"dTpw"}}}"#).unwrap();
        fs::write(&path, "registry: new.corp\n").unwrap();
        None
    });
    let args = [
        "login",
        &registry.host,
        "-u",
        "me",
        "--password-stdin",
        "--insecure=http",
    ];

    home.run(&args, "pass").exits(0);

    let kept = home.read();
    assert!(kept.contains("other.corp"), "{kept}");
    assert!(kept.contains(&registry.host), "{kept}");
    let kept = fs::read_to_string(config).unwrap();
    assert!(kept.contains("registry: new.corp"), "{kept}");
    assert!(kept.contains("insecure: http"), "{kept}");
}
