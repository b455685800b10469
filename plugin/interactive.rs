//! What a person is asked: what to clone, where to, and whether.
//!
//! Every question is on standard error. Esc and Ctrl-C end the verb before anything is changed.

use crate::clone::CloneArgs;
use crate::harmless::harmless;
use crate::line;
use crate::policy::image_policy;
use crate::settings::{self, Settings, Target};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{FuzzySelect, MultiSelect, Password};
use image_cloner::cluster::{Cluster, Selection};
use image_cloner::credentials::Credentials;
use image_cloner::outcome::Failure;
use image_cloner::plan::{self, Decision, Patterns, Planned, Policy, PullAccess};
use image_cloner::registry::means_this_machine;
use image_cloner::target::TargetRegistry;
use image_cloner::workload::Workload;
use std::collections::{BTreeMap, BTreeSet};

/// What a person chose to clone, and where to.
pub(crate) struct Choice {
    pub(crate) selection: Selection,
    pub(crate) target: Target,
    /// A typed target registry that is to be kept in the configuration.
    pub(crate) remember: Option<String>,
}

/// Lets a person choose a namespace, unless something was selected, the target registry, where none is
/// known, and workloads.
pub(crate) async fn choose(
    cluster: &Cluster,
    args: &CloneArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<Choice, Stopped> {
    let candidates = candidates(cluster, args, settings).await?;
    let (target, remember) = match settings.target(&args.copying, Some(cluster)).await? {
        Some(target) => (target, None),
        None => ask_target(settings, args, cluster, terminal).await?,
    };
    let policy = Policy {
        run: String::new(),
        time: None,
        target: target.registry.clone(),
        images: image_policy(args, settings, &target)?,
        skip_namespaces: Patterns::default(),
        protect: BTreeSet::new(),
        copy_only: false,
        owned_live: true,
        pull: PullAccess::Open,
    };
    let outlooks: Vec<Planned> = candidates
        .iter()
        .map(|workload| plan::outlook(workload, &policy))
        .collect();
    let chosen = choose_workloads(&outlooks, &target.registry, terminal)?;
    let chosen = chosen.into_iter().map(|at| candidates[at].id.clone());
    Ok(Choice {
        selection: Selection::of(chosen),
        target,
        remember,
    })
}

/// The workloads to choose from, without those that others make.
async fn candidates(
    cluster: &Cluster,
    args: &CloneArgs,
    settings: &Settings,
) -> Result<Vec<Workload>, Stopped> {
    let ask_namespace = args.selecting.is_empty() && args.connection.namespace.is_none();
    let mut workloads = if ask_namespace {
        of_namespace(cluster, args, settings).await?
    } else if args.selecting.is_empty() {
        seen(cluster, &everything(args, settings, cluster.namespace())?).await?
    } else {
        seen(cluster, &settings.selection(&args.selecting)?).await?
    };
    workloads.retain(|workload| workload.controller.is_none());
    if workloads.is_empty() {
        return Err(Stopped::failed(Failure::new(
            "there are no workloads to choose from",
        )));
    }
    Ok(workloads)
}

/// Everything in one namespace, as a clone of it would take it.
fn everything(
    args: &CloneArgs,
    settings: &Settings,
    namespace: &str,
) -> Result<Selection, Stopped> {
    let all = Selection::parse(&[format!("ns/{namespace}")], false, None)?;
    settings.among(all.among(&args.selecting.kinds)?, &args.selecting)
}

async fn seen(cluster: &Cluster, selection: &Selection) -> Result<Vec<Workload>, Stopped> {
    let (workloads, missing) = cluster.workloads(selection).await?;
    match missing.into_iter().next() {
        Some(error) => Err(error.into()),
        None => Ok(workloads),
    }
}

/// Lets a person choose a namespace by its number of workloads; gives those of it.
async fn of_namespace(
    cluster: &Cluster,
    args: &CloneArgs,
    settings: &Settings,
) -> Result<Vec<Workload>, Stopped> {
    let current = cluster.namespace().to_owned();
    let Ok(mut names) = cluster.namespaces().await else {
        // whoever may not list namespaces has one of their own
        return seen(cluster, &everything(args, settings, &current)?).await;
    };
    names.sort_by_key(|name| *name != current);
    let all = Selection::parse(&[], true, None)?.among(&args.selecting.kinds)?;
    let all = settings.among(all, &args.selecting)?;
    let (mut workloads, unseen) = cluster.workloads(&all).await?;
    workloads.retain(|workload| workload.controller.is_none());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for workload in &workloads {
        *counts.entry(&workload.id.namespace).or_default() += 1;
    }
    let items: Vec<String> = names
        .iter()
        .map(|name| match counts.get(name.as_str()) {
            // a part that may not be listed everywhere makes any number wrong
            _ if !unseen.is_empty() => name.clone(),
            Some(1) => format!("{name}  1 workload"),
            Some(count) => format!("{name}  {count} workloads"),
            None => format!("{name}  no workloads"),
        })
        .collect();
    let chosen = FuzzySelect::with_theme(theme().as_ref())
        .with_prompt("Namespace")
        .items(&items)
        .default(0)
        .interact_opt();
    let namespace = names.swap_remove(answer(chosen)?);
    if !unseen.is_empty() {
        return seen(cluster, &everything(args, settings, &namespace)?).await;
    }
    workloads.retain(|workload| workload.id.namespace == namespace);
    Ok(workloads)
}

/// Lets a person choose among these; those that would change are chosen beforehand.
fn choose_workloads(
    outlooks: &[Planned],
    target: &TargetRegistry,
    terminal: &Terminal,
) -> Result<Vec<usize>, Stopped> {
    let first = &outlooks[0].workload.id.namespace;
    let one_namespace = outlooks
        .iter()
        .all(|planned| planned.workload.id.namespace == *first);
    // a line that wraps would be drawn again and again
    let room = terminal.width.saturating_sub(8);
    let items: Vec<(String, bool)> = outlooks
        .iter()
        .map(|planned| {
            let id = &planned.workload.id;
            let place = if one_namespace {
                String::new()
            } else {
                format!("{}  ", id.namespace)
            };
            let item = format!("{place}{id}  {}", becomes(planned));
            let item = console::truncate_str(&harmless(&item), room, "..").into_owned();
            (item, matches!(planned.decision, Decision::Repoint(_)))
        })
        .collect();
    let chosen = MultiSelect::with_theme(theme().as_ref())
        .with_prompt(format!(
            "Workloads to clone to {target} (space toggles, a toggles all, enter goes on)"
        ))
        .items_checked(items)
        .report(false)
        .interact_opt();
    let chosen = answer(chosen)?;
    if chosen.is_empty() {
        terminal.say("no workload was selected: space selects, enter goes on");
        return Err(Stopped::cancelled());
    }
    Ok(chosen)
}

/// What a clone makes of a workload's images, in a few words.
fn becomes(planned: &Planned) -> String {
    let images = |images: Vec<&str>| match images.as_slice() {
        [] => "no images".to_owned(),
        [one] => (*one).to_owned(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    };
    let now = images(
        planned
            .workload
            .slots
            .iter()
            .map(|slot| slot.image.as_str())
            .collect(),
    );
    match &planned.decision {
        Decision::Repoint(repoint) => {
            let from = repoint.slots.iter().map(|change| change.from.as_str());
            let to = repoint.slots.iter().map(|change| change.to.as_str());
            format!("{} -> {}", images(from.collect()), images(to.collect()))
        }
        Decision::Unchanged => format!("already cloned: {now}"),
        Decision::CopyOnly(reason) => format!("copied only, {reason}: {now}"),
        Decision::Skip(reason) => format!("{reason}: {now}"),
    }
}

/// Asks for the target registry where nothing names one, until it is one that can be pushed to.
async fn ask_target(
    settings: &Settings,
    args: &CloneArgs,
    cluster: &Cluster,
    terminal: &Terminal,
) -> Result<(Target, Option<String>), Stopped> {
    let published = cluster.local_registry().await?;
    let published = published
        .as_ref()
        .and_then(|published| published.pull_and_push());
    let mut offered = published
        .map(|(pull, _)| pull.to_owned())
        .unwrap_or_default();
    let (target, typed) = loop {
        let typed = answer(line::read(
            "Target registry, HOST[:PORT][/PREFIX]:",
            &offered,
        ))?;
        let push = push_address(&typed, published, terminal)?;
        match settings.reach(&typed, &args.copying, push).await {
            Ok(target) => break (target, typed),
            Err(stopped) => {
                terminal.failure(&stopped.failure);
                terminal.hints(&stopped.failure);
                offered = typed;
            }
        }
    };
    let remember = confirm("Keep it as the target registry in the configuration?")?;
    Ok((target, remember.then_some(typed)))
}

/// The address that the cluster says a typed registry is pushed to, where that is another. Whoever may write
/// what a cluster publishes would otherwise be sent the credentials of any registry that they name.
pub(crate) fn push_address<'a>(
    typed: &str,
    published: Option<(&str, &'a str)>,
    terminal: &Terminal,
) -> Result<Option<&'a str>, Stopped> {
    let is_typed = |pull: &str| settings::host_in(typed) == pull;
    let Some((pull, push)) = published.filter(|(pull, push)| is_typed(pull) && pull != push) else {
        return Ok(None);
    };
    if means_this_machine(push) {
        return Ok(Some(push));
    }
    if !terminal.can_ask {
        return Ok(None);
    }
    terminal.say(&format!(
        "The cluster says that {pull} is pushed to at {push}."
    ));
    let agreed = confirm(&format!(
        "Send the images there, and your credentials for {pull}?"
    ))?;
    Ok(agreed.then_some(push))
}

/// Asks for a user, unless one is named, and a password, which is not shown.
pub(crate) async fn credentials(
    user: Option<String>,
    terminal: &Terminal,
) -> Result<Credentials, Stopped> {
    let username = match user {
        Some(user) => user,
        None => answer(line::read("User:", ""))?,
    };
    let echo = Echo::now();
    // it reads a whole line at once, so that nothing of it is shown, and hears no interrupt
    let asked = tokio::task::spawn_blocking(|| {
        Password::with_theme(self::theme().as_ref())
            .with_prompt("Password")
            .report(false)
            .interact()
    });
    let Some(Ok(Ok(password))) = terminal.stop.run_until_cancelled(asked).await else {
        echo.restore();
        return Err(Stopped::cancelled());
    };
    Ok(Credentials::Basic {
        username,
        password: password.into(),
    })
}

/// How the terminal was before a password was asked for.
#[cfg(unix)]
struct Echo(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Echo {
    fn now() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }

    fn restore(self) {
        if let Some(before) = self.0 {
            let now = rustix::termios::OptionalActions::Now;
            // a terminal that went away needs no echo
            let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &before);
        }
    }
}

/// Other systems' consoles are left as they were by the prompt itself.
#[cfg(not(unix))]
struct Echo;

#[cfg(not(unix))]
impl Echo {
    fn now() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "there is nothing to give back here")]
    fn restore(self) {}
}

/// Asks whether the push credentials may go into pull secrets.
pub(crate) fn share(
    terminal: &Terminal,
    target: &TargetRegistry,
    credentials: &Credentials,
) -> Result<bool, Stopped> {
    let user = credentials.user().unwrap_or("a token");
    terminal.say(&format!(
        "{} needs credentials to pull, and none are given for that.",
        target.host()
    ));
    confirm(&format!(
        "Put those for pushing ({user}) into pull secrets?"
    ))
}

/// A yes-or-no question; no by default.
pub(crate) fn confirm(question: &str) -> Result<bool, Stopped> {
    let prompt = format!("{question} [y/N]");
    loop {
        let said = answer(line::read(&prompt, ""))?;
        match said.to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "" | "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

/// Refuses a broad selection that nobody can be asked about and nobody agreed to beforehand.
pub(crate) fn check_can_ask(terminal: &Terminal, asks_nobody: bool) -> Result<(), Stopped> {
    if terminal.can_ask || asks_nobody {
        return Ok(());
    }
    Err(Stopped::wrong(
        Failure::new("this selection is broad, and there is no terminal to confirm it on")
            .hint("give --yes, or look at the plan with --dry-run"),
    ))
}

/// Esc, Ctrl-C and a terminal that went away all mean: leave everything as it is.
pub(crate) fn answer<T, E>(said: Result<Option<T>, E>) -> Result<T, Stopped> {
    match said {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) | Err(_) => {
            // a prompt that was cut short may have hidden the cursor
            let _ = console::Term::stderr().show_cursor();
            Err(Stopped::cancelled())
        }
    }
}

pub(crate) fn theme() -> Box<dyn Theme> {
    if console::colors_enabled_stderr() {
        Box::new(ColorfulTheme::default())
    } else {
        Box::new(SimpleTheme)
    }
}
