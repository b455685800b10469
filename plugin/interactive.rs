//! What a person is asked: what to clone, where to, and whether.
//!
//! Every question is on standard error. Esc and Ctrl-C end the verb before anything is changed.

use crate::args::{Copying, Selecting};
use crate::settings::{Settings, Target};
use crate::stop::Stopped;
use crate::terminal::Terminal;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, FuzzySelect, Input, MultiSelect, Password};
use image_cloner::cluster::{Cluster, Selection};
use image_cloner::credentials::Credentials;
use image_cloner::outcome::Failure;
use image_cloner::target::TargetRegistry;
use image_cloner::workload::WorkloadId;

/// Lets a person choose a namespace, unless one was given, and workloads in it.
pub(crate) async fn choose(
    cluster: &Cluster,
    namespace: Option<&str>,
    selecting: &Selecting,
    terminal: &Terminal,
) -> Result<Selection, Stopped> {
    let candidates = if selecting.is_empty() {
        let namespace = match namespace {
            Some(namespace) => namespace.to_owned(),
            None => choose_namespace(cluster).await?,
        };
        Selection::parse(&[format!("ns/{namespace}")], false, None)?
    } else {
        selecting.parse()?
    };
    let (workloads, missing) = cluster.workloads(&candidates).await?;
    if let Some(error) = missing.into_iter().next() {
        return Err(error.into());
    }
    if workloads.is_empty() {
        return Err(Stopped::failed(Failure::new(
            "there are no workloads to choose from",
        )));
    }
    let ids: Vec<&WorkloadId> = workloads.iter().map(|workload| &workload.id).collect();
    let one_namespace = ids.iter().all(|id| id.namespace == ids[0].namespace);
    // a line that wraps would be drawn again and again
    let room = terminal.width.saturating_sub(8);
    let items: Vec<String> = workloads
        .iter()
        .map(|workload| {
            let images: Vec<_> = workload
                .slots
                .iter()
                .map(|slot| slot.image.as_str())
                .collect();
            let place = if one_namespace {
                ""
            } else {
                &format!("{}  ", workload.id.namespace)
            };
            let item = format!("{place}{}  {}", workload.id, images.join(", "));
            console::truncate_str(&item, room, "..").into_owned()
        })
        .collect();
    let chosen = MultiSelect::with_theme(theme().as_ref())
        .with_prompt("Workloads (space selects, enter goes on)")
        .items(&items)
        .report(false)
        .interact_opt();
    let chosen: Vec<WorkloadId> = answer(chosen)?
        .into_iter()
        .map(|at| ids[at].clone())
        .collect();
    if chosen.is_empty() {
        terminal.say("no workload was selected: space selects, enter goes on");
        return Err(Stopped::cancelled());
    }
    Ok(Selection::of(chosen))
}

async fn choose_namespace(cluster: &Cluster) -> Result<String, Stopped> {
    let mut namespaces = cluster.namespaces().await?;
    let usual = namespaces
        .iter()
        .position(|name| name == cluster.namespace());
    let chosen = FuzzySelect::with_theme(theme().as_ref())
        .with_prompt("Namespace")
        .items(&namespaces)
        .default(usual.unwrap_or(0))
        .interact_opt();
    Ok(namespaces.swap_remove(answer(chosen)?))
}

/// Asks for the target registry where nothing names one.
pub(crate) async fn target(
    settings: &Settings,
    copying: &Copying,
    cluster: &Cluster,
) -> Result<Target, Stopped> {
    let typed: String = Input::with_theme(theme().as_ref())
        .with_prompt("Target registry, HOST[:PORT][/PREFIX]")
        .interact_text()
        .map_err(|_| Stopped::cancelled())?;
    let named = Copying {
        to: Some(typed),
        ..copying.clone()
    };
    settings
        .target(&named, Some(cluster))
        .await?
        .ok_or_else(Settings::no_target)
}

/// Asks for a user, unless one is named, and a password, which is not shown.
pub(crate) async fn credentials(
    user: Option<String>,
    terminal: &Terminal,
) -> Result<Credentials, Stopped> {
    let username = match user {
        Some(user) => user,
        None => Input::<String>::with_theme(theme().as_ref())
            .with_prompt("User")
            .interact_text()
            .map_err(|_| Stopped::cancelled())?,
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
    // `[y/N]`, as everybody knows it
    let said = Confirm::with_theme(&SimpleTheme)
        .with_prompt(question)
        .default(false)
        .wait_for_newline(true)
        .interact_opt();
    answer(said)
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
fn answer<T>(said: dialoguer::Result<Option<T>>) -> Result<T, Stopped> {
    match said {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) | Err(_) => {
            // a prompt that was cut short may have hidden the cursor
            let _ = console::Term::stderr().show_cursor();
            Err(Stopped::cancelled())
        }
    }
}

fn theme() -> Box<dyn Theme> {
    if console::colors_enabled_stderr() {
        Box::new(ColorfulTheme::default())
    } else {
        Box::new(SimpleTheme)
    }
}
