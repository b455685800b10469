//! `sync-credentials`: bring the pull secrets in the cluster up to date.

use crate::args::{Connection, Copying, Sharing};
use crate::dry_run::DryRunArg;
use crate::policy::skip_namespaces;
use crate::settings::{Settings, log_in};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::Args;
use image_cloner::cluster::{Cluster, PullSecret};
use image_cloner::credentials::Credentials;
use image_cloner::execute::SecretSync;
use image_cloner::outcome::{Failure, SecretOutcome, SecretState};
use image_cloner::plan::{Site, SiteSecret};
use image_cloner::report;
use image_cloner::workload::PULL_SECRET;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SyncArgs {
    /// Namespaces, as ns/NAME; without any, that of -n or of the context
    #[arg(value_name = "ns/NAME", conflicts_with = "all_namespaces")]
    namespaces: Vec<String>,
    /// In all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Target registry, HOST[:PORT][/PREFIX]
    #[arg(long, value_name = "REGISTRY")]
    to: Option<String>,
    /// Remove pull secrets of ours that nothing names any more
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    sharing: Sharing,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

const EXAMPLES: &str = "\
The credentials are those that clone puts into pull secrets:
IMAGE_CLONER_PULL_USER and _PASS, or pullUsername and pullPasswordCommand in
config.yaml. They are tried at the registry before anything is written.

Examples:
  # a new password for every namespace that pulls from the registry
  kubectl image-cloner sync-credentials -A
  # look first
  kubectl image-cloner sync-credentials ns/shop ns/db --dry-run
  # and remove pull secrets that nothing names any more
  kubectl image-cloner sync-credentials -A --prune";

pub(crate) async fn run(args: SyncArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let prepared = prepare(&args, terminal);
    let (sync, sites, missed) = terminal.unless_interrupted(prepared).await?;
    if args.prune {
        for site in &sites {
            tell_of_unseen(site, terminal);
        }
    }
    let outcomes = sync.run(&sites).await;
    let named = args.all_namespaces || args.namespaces.len() > 1;
    for outcome in &outcomes {
        tell(outcome, named, &args, terminal);
    }
    if outcomes.is_empty() && missed == 0 {
        terminal.say("no pull secret of ours is in use here");
    }
    let failed = |outcome: &SecretOutcome| matches!(outcome.state, SecretState::Failed(_));
    Ok(u8::from(missed > 0 || outcomes.iter().any(failed)))
}

/// Everything up to the first write: what goes into the secrets, where they are, and how many namespaces
/// could not be read.
async fn prepare(
    args: &SyncArgs,
    terminal: &Terminal,
) -> Result<(SecretSync, Vec<Site>, usize), Stopped> {
    let places = places(args)?;
    let settings = Settings::load()?;
    let skip = skip_namespaces(&[], &settings)?;
    let cluster =
        Cluster::connect(&args.connection.flags(), args.dry_run.mode.write_mode()).await?;
    let copying = Copying {
        to: args.to.clone(),
        ..Copying::default()
    };
    let resolved = settings.resolve(&copying, Some(&cluster)).await?;
    let resolved = resolved.ok_or_else(Settings::no_target)?;
    let registry = &resolved.registry;
    let credentials = credentials(args, &settings, registry.host(), registry.prefix()).await?;
    log_in(&resolved.registries, registry, &credentials, "pull").await?;
    let places = match places {
        Places::Every => vec![None],
        Places::Current => vec![Some(cluster.namespace().to_owned())],
        Places::Named(names) => names.into_iter().map(Some).collect(),
    };
    let mut sites = Vec::new();
    let mut missed = 0;
    for place in &places {
        let (found, missing) = cluster
            .pull_secret_sites(place.as_deref(), registry)
            .await?;
        missed += terminal.missing(missing);
        sites.extend(found);
    }
    let sync = SecretSync {
        cluster,
        secret: PullSecret {
            key: registry.to_string(),
            credentials,
        },
        dry_run: args.dry_run.mode.into(),
        prune: args.prune,
        skip: args.all_namespaces.then_some(skip),
    };
    Ok((sync, sites, missed))
}

/// Where secrets are looked for.
enum Places {
    Every,
    Current,
    Named(Vec<String>),
}

fn places(args: &SyncArgs) -> Result<Places, Stopped> {
    if args.all_namespaces {
        return Ok(Places::Every);
    }
    if args.namespaces.is_empty() {
        return Ok(Places::Current);
    }
    let name = |word: &String| {
        let name = ["ns/", "namespace/", "namespaces/"]
            .iter()
            .find_map(|prefix| word.strip_prefix(prefix));
        name.filter(|name| !name.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| {
                Stopped::wrong(
                    Failure::new(format!("{word:?} is no namespace")).hint(format!(
                        "write ns/{}",
                        word.rsplit('/').next().unwrap_or(word)
                    )),
                )
            })
    };
    let names = args.namespaces.iter().map(name);
    Ok(Places::Named(names.collect::<Result<_, _>>()?))
}

/// What goes into pull secrets: the credentials for pulling, else those for pushing where that was asked
/// for.
async fn credentials(
    args: &SyncArgs,
    settings: &Settings,
    host: &str,
    prefix: Option<&str>,
) -> Result<Credentials, Stopped> {
    if let Some(credentials) = settings.chain.for_pull(host).await? {
        return Ok(credentials);
    }
    if settings.shares(args.sharing)?.unwrap_or(false) {
        let push = settings
            .chain
            .find(host, prefix.unwrap_or_default())
            .await?;
        if push != Credentials::Anonymous {
            return Ok(push);
        }
    }
    Err(Stopped::wrong(
        Failure::new(format!("no credentials to pull from {host}"))
            .hint("IMAGE_CLONER_PULL_USER and _PASS are for pulling")
            .hint("or --share-credentials, to give pods those for pushing"),
    ))
}

/// Says so where a secret is not removed since something may name it that was not seen.
pub(crate) fn tell_of_unseen(site: &Site, terminal: &Terminal) {
    let is_ours = matches!(site.secret, SiteSecret::Ours { .. });
    if let Some(reason) = site.unseen.as_ref().filter(|_| is_ours && !site.named) {
        terminal.note(&format!(
            "secret/{PULL_SECRET} in {} is not removed: what names it cannot be told: {reason}",
            site.namespace
        ));
    }
}

fn tell(outcome: &SecretOutcome, named: bool, args: &SyncArgs, terminal: &Terminal) {
    let namespace = &outcome.namespace;
    match &outcome.state {
        SecretState::Failed(failure) => {
            terminal.failure(failure);
            terminal.hints(failure);
        }
        SecretState::Left(reason) => {
            terminal.note(&format!(
                "secret/{PULL_SECRET} in {namespace} is not written: {reason}"
            ));
            terminal.hint(&format!(
                "kubectl image-cloner sync-credentials ns/{namespace}"
            ));
        }
        SecretState::Unused => {
            terminal.note(&format!(
                "secret/{PULL_SECRET} in {namespace} is named by nothing there any more"
            ));
            terminal.hint(&format!(
                "kubectl image-cloner sync-credentials ns/{namespace} --prune"
            ));
        }
        _ => {}
    }
    let line = report::secret_line(PULL_SECRET, outcome, named, args.dry_run.mode.into());
    if let Some(line) = line {
        terminal.data(&line);
    }
}
