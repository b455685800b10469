//! `login` and `logout`: credentials are tried at the registry, then kept where docker keeps them.

use crate::interactive;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::{Args, ValueEnum};
use image_cloner::config::{Config, ConfigFile, Environment, Place};
use image_cloner::credentials::{Chain, Credentials, Keeper, Logins};
use image_cloner::outcome::Failure;
use image_cloner::registry::{self, Registries};
use image_cloner::target::{Layout, TargetRegistry};
use std::path::PathBuf;
use tokio::io::AsyncReadExt;

const LOGIN_EXAMPLES: &str = "\
Examples:
  # asks for user and password
  kubectl image-cloner login registry.corp
  # in a script
  pass show harbor | kubectl image-cloner login harbor.eu -u robot --password-stdin
  # a certificate authority of your own, remembered for this registry
  kubectl image-cloner login registry.corp --ca-file corp-root.pem

Kept by docker's credential helper where ~/.docker/config.json (or DOCKER_CONFIG)
names one, else in that file. Nothing is kept that the registry refuses.";

#[derive(Debug, Args)]
#[command(after_help = LOGIN_EXAMPLES)]
pub(crate) struct LoginArgs {
    /// The registry; with a path, the login is for what is below it
    #[arg(value_name = "HOST[/PATH]")]
    registry: String,
    /// User name
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// PEM file with a certificate authority to trust for this host, from now on
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Do without a part of transport security for this host, from now on [alone: skip-verify]
    #[arg(
        long,
        value_name = "http|skip-verify",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "skip-verify",
        hide_possible_values = true
    )]
    insecure: Option<Insecure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Insecure {
    Http,
    SkipVerify,
}

const LOGOUT_EXAMPLES: &str = "\
Examples:
  kubectl image-cloner logout registry.corp";

#[derive(Debug, Args)]
#[command(after_help = LOGOUT_EXAMPLES)]
pub(crate) struct LogoutArgs {
    /// The registry, as it was logged in to
    #[arg(value_name = "HOST[/PATH]")]
    registry: String,
}

pub(crate) async fn log_in(args: LoginArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let registry = TargetRegistry::parse(&args.registry, Layout::default())?;
    let (host, path) = (registry.host(), registry.prefix().unwrap_or_default());
    let environment = Environment::from_process();
    let mut file = ConfigFile::open(&environment)?;
    let remembered = remember(&args, host, &mut file)?;
    let config = file.config()?;
    let registries = Registries::new(&config.registries)?;
    let mut logins = Logins::local()?;
    let credentials = ask(args, host, terminal).await?;
    terminal
        .unless_interrupted(async {
            let checked = registries.check(host, &credentials).await;
            checked.map_err(|error| refused(host, &credentials, error))
        })
        .await?;
    if remembered {
        file.save()?;
    }
    let keeper = logins.store(host, path, &credentials).await;
    let keeper = keeper.map_err(|error| {
        let stopped = Stopped::from(error);
        if remembered {
            stopped.after_changes()
        } else {
            stopped
        }
    })?;
    let user = credentials.user().unwrap_or_default();
    terminal.say(&format!(
        "logged in to {registry} as {user}, kept {}",
        place(&keeper)
    ));
    if keeper.file().is_some() {
        terminal.note(
            "the password is not encrypted there; docker's credsStore names a keeper that does",
        );
    }
    if remembered {
        terminal.say(&format!(
            "how to reach {host} is kept in {}",
            file.path().display()
        ));
    }
    tell_of_others(&environment, &config, &registry, &credentials, terminal).await;
    Ok(0)
}

/// Puts what the flags say of the host into the configuration, not yet into its file.
fn remember(args: &LoginArgs, host: &str, file: &mut ConfigFile) -> Result<bool, Stopped> {
    let place = Place::Host(host.to_owned());
    if let Some(ca) = &args.ca_file {
        let ca = std::path::absolute(ca).unwrap_or_else(|_| ca.clone());
        file.set(&place, "caFile", &ca.display().to_string())?;
    }
    if let Some(insecure) = args.insecure {
        let value = match insecure {
            Insecure::Http => "http",
            Insecure::SkipVerify => "skip-verify",
        };
        file.set(&place, "insecure", value)?;
    }
    Ok(args.ca_file.is_some() || args.insecure.is_some())
}

/// User and password, from flags, standard input, or a person.
async fn ask(args: LoginArgs, host: &str, terminal: &Terminal) -> Result<Credentials, Stopped> {
    if args.password_stdin {
        let mut password = String::new();
        let read = tokio::io::stdin().read_to_string(&mut password).await;
        read.map_err(|error| {
            let what = format!("reading the password from standard input: {error}");
            Stopped::wrong(Failure::new(what))
        })?;
        let password = password.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            let what = "there is no password on standard input";
            return Err(Stopped::wrong(Failure::new(what)));
        }
        return Ok(Credentials::Basic {
            username: args.username.unwrap_or_default(),
            password: password.into(),
        });
    }
    if !terminal.can_ask {
        let hint = format!("… | kubectl image-cloner login {host} -u USER --password-stdin");
        return Err(Stopped::wrong(
            Failure::new("there is no terminal to ask for the password on").hint(hint),
        ));
    }
    interactive::credentials(args.username, terminal).await
}

fn refused(host: &str, credentials: &Credentials, error: registry::Error) -> Stopped {
    let denied = matches!(error, registry::Error::Denied { .. });
    let user = credentials.user().unwrap_or_default();
    let failure = Failure::from(error).context(format!("logging in to {host} as {user}"));
    Stopped::failed(match (denied, host) {
        (true, "docker.io" | "ghcr.io" | "quay.io") => failure
            .hint("these registries take an access token for the password, some nothing else"),
        _ => failure,
    })
}

/// Says where something goes before this login.
async fn tell_of_others(
    environment: &Environment,
    config: &Config,
    registry: &TargetRegistry,
    credentials: &Credentials,
    terminal: &Terminal,
) {
    let Ok(chain) = Chain::local(environment, config) else {
        return;
    };
    let repository = registry.prefix().unwrap_or_default();
    if let Ok(found) = chain.find(registry.host(), repository).await
        && found != *credentials
    {
        terminal.note(&format!(
            "other credentials for {} go before these: IMAGE_CLONER_USER, or username in config.yaml",
            registry.host()
        ));
    }
}

fn place(keeper: &Keeper) -> String {
    match keeper {
        Keeper::Helper(name) => format!("by docker-credential-{name}"),
        Keeper::File(path) => format!("in {}", path.display()),
    }
}

pub(crate) async fn log_out(args: LogoutArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let registry = TargetRegistry::parse(&args.registry, Layout::default())?;
    let path = registry.prefix().unwrap_or_default();
    let mut logins = Logins::local()?;
    let kept = logins.erase(registry.host(), path).await?;
    if kept.is_empty() {
        terminal.say(&format!("there was no login for {registry}"));
    } else {
        let places: Vec<String> = kept.iter().map(place).collect();
        terminal.say(&format!(
            "logged out of {registry}, was kept {}",
            places.join(" and ")
        ));
    }
    for file in logins.kept_by_podman(registry.host(), path) {
        terminal.note(&format!(
            "{} has a login for it that stays in use: podman logout {registry}",
            file.display()
        ));
    }
    Ok(0)
}
