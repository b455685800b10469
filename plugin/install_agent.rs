//! `install-agent`: put the agent into the cluster, or bring it up to date.

mod arguments;
mod compose;
mod image;
mod leave;
mod login;
mod registry;
mod scope;

pub(crate) use arguments::InstallArgs;
use arguments::Mode;

use crate::document::Form;
use crate::dry_run::DryRun;
use crate::ending::{json_text, yaml_text};
use crate::interactive;
use crate::settings::Settings;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use compose::Composed;
use image_cloner::cluster::{Applied, Cluster, Rollout};
use image_cloner::execute::agent_image;
use image_cloner::install::{self, Live};
use image_cloner::outcome::Failure;
use image_cloner::workload::{Kind, MANAGED_BY, WorkloadId};
use serde_json::{Value, json};

pub(crate) async fn run(args: InstallArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let prepared = terminal.unless_interrupted(prepare(&args, terminal));
    let installing = prepared.await?;
    if args.dry_run.mode == DryRun::Client {
        return installing.print(&args, terminal).map(|()| 0);
    }
    installing.push(&args, terminal).await?;
    installing.leave(&args, terminal).await?;
    installing.apply(&args, terminal).await?;
    if args.dry_run.mode == DryRun::Server {
        return Ok(0);
    }
    if args.wait.unwrap_or(true) {
        return installing.wait(&args, terminal).await;
    }
    Ok(0)
}

/// An install that was composed, shown and agreed to.
struct Installing {
    cluster: Cluster,
    composed: Composed,
    live: Vec<Value>,
    wanted: Vec<Value>,
}

/// Everything up to the first write.
async fn prepare(args: &InstallArgs, terminal: &Terminal) -> Result<Installing, Stopped> {
    args.connection
        .check_agents_namespace(|name| format!("--namespaces {name} is where it works"))?;
    let settings = Settings::load()?;
    let cluster =
        Cluster::connect(&args.connection.flags(), args.dry_run.mode.write_mode()).await?;
    let live = observe(&cluster).await?;
    let composed = compose::compose(args, &settings, &cluster, Live::read(&live), terminal).await?;
    let mut wanted = install::objects(&composed.settings);
    if is_someones_namespace(&cluster, &wanted[0]).await? {
        // it was there before, and stays as it is
        wanted.remove(0);
    }
    let installing = Installing {
        cluster,
        composed,
        live,
        wanted,
    };
    if args.document.output.is_none() || args.dry_run.mode == DryRun::None {
        installing.show(terminal);
    }
    if args.dry_run.mode == DryRun::None && terminal.can_ask && !args.yes {
        let question = if installing.composed.is_update {
            "Update the agent?"
        } else {
            "Install the agent?"
        };
        if !interactive::confirm(question)? {
            return Err(Stopped::cancelled());
        }
    }
    Ok(installing)
}

/// All that an install makes, as far as it is in the cluster.
pub(crate) async fn observe(cluster: &Cluster) -> Result<Vec<Value>, Stopped> {
    let mut live = Vec::new();
    for (version, kind, own, names) in install::KINDS {
        let namespace = own.then_some(install::NAMESPACE);
        let mut ours = cluster.ours(version, kind, namespace).await?;
        ours.retain(|object| names.iter().any(|name| object["metadata"]["name"] == *name));
        live.extend(ours);
    }
    Ok(live)
}

async fn is_someones_namespace(cluster: &Cluster, namespace: &Value) -> Result<bool, Stopped> {
    let (label, ours) = MANAGED_BY;
    let live = cluster.live(namespace).await?;
    Ok(live.is_some_and(|live| live["metadata"]["labels"][label] != ours))
}

impl Installing {
    /// What is about to be done.
    fn show(&self, terminal: &Terminal) {
        let composed = &self.composed;
        terminal.say(&format!(
            "context {}   target {}   push as {}\n",
            self.cluster.context(),
            composed.target.registry,
            composed.target.user().unwrap_or("nobody"),
        ));
        for (name, value) in composed.summary() {
            terminal.say(&format!("{name:<9} {value}"));
        }
        if composed.is_update {
            let differences = install::differences(&self.live, &self.wanted);
            terminal.say("");
            if differences.is_empty() {
                terminal.say("nothing changes");
            }
            for line in differences {
                terminal.say(&line);
            }
        }
        terminal.say("");
        terminal.notes(&composed.notes);
    }

    /// The objects, for whoever applies them.
    fn print(&self, args: &InstallArgs, terminal: &Terminal) -> Result<(), Stopped> {
        let secrets = self.wanted.iter().any(|object| object["kind"] == "Secret");
        match args.document.output {
            None => {
                for object in &self.wanted {
                    terminal.data(&format!("{} (client dry run)", install::name_of(object)));
                }
                return Ok(());
            }
            Some(Form::Json) => {
                let list = json!({"apiVersion": "v1", "kind": "List", "items": self.wanted});
                terminal.stream(&(json_text(&list) + "\n"))?;
            }
            Some(Form::Yaml) => {
                let texts = self.wanted.iter().map(yaml_text);
                let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
                terminal.stream(&texts.join("---\n"))?;
            }
        }
        if secrets {
            terminal.note("the Secrets among these hold credentials that anybody can read");
        }
        if args.dry_run.mode != DryRun::None && self.composed.image.is_made() {
            terminal.note(&format!(
                "the image is not pushed yet: install-agent without --dry-run does, or push {} another way",
                self.composed.settings.image
            ));
        }
        Ok(())
    }

    /// Puts the image where the nodes will look for it.
    async fn push(&self, args: &InstallArgs, terminal: &Terminal) -> Result<(), Stopped> {
        let image::Image::Made { made, to, .. } = &self.composed.image else {
            return Ok(());
        };
        if args.dry_run.mode != DryRun::None {
            return Ok(());
        }
        let target = &self.composed.target;
        let pushed = agent_image::push(made, to, &target.registries, &target.credentials);
        let pushed = terminal.unless_interrupted(async { pushed.await.map_err(Stopped::failed) });
        let referrers = pushed.await?.referrers.unwrap_or_default();
        for failure in referrers.failures {
            terminal.note(&format!("the image goes without its SBOM: {failure}"));
        }
        Ok(())
    }

    /// Applies every object, and removes what is no longer wanted.
    async fn apply(&self, args: &InstallArgs, terminal: &Terminal) -> Result<(), Stopped> {
        for object in &self.wanted {
            let applied = self.cluster.apply(object).await;
            let applied = applied.map_err(|error| self.while_stopped(args, error.into()))?;
            let done = match applied {
                Applied::Created => "created",
                Applied::Changed => "configured",
                Applied::Unchanged => "unchanged",
            };
            tell(object, done, args, terminal);
        }
        for object in install::stale(&self.live, &self.wanted) {
            self.remove(&object, args, terminal).await?;
        }
        if args.document.output.is_some() {
            self.print(args, terminal)?;
        }
        Ok(())
    }

    async fn remove(
        &self,
        object: &Value,
        args: &InstallArgs,
        terminal: &Terminal,
    ) -> Result<(), Stopped> {
        let removed = self.cluster.remove(object).await;
        if removed.map_err(|error| Stopped::from(error).after_changes())? {
            tell(object, "removed", args, terminal);
        }
        Ok(())
    }

    /// Follows the rollout, and says how to see the agent work.
    async fn wait(&self, args: &InstallArgs, terminal: &Terminal) -> Result<u8, Stopped> {
        let id = deployment();
        let rollout = self.cluster.wait(&id, None, args.timeout);
        let rollout = terminal.unless_interrupted(async { Ok(rollout.await?) });
        let rollout = rollout.await.map_err(Stopped::after_changes)?;
        match rollout {
            Rollout::Ready(ready) => {
                terminal.say(&format!("\nthe agent runs, {ready}"));
                terminal.say("see it work  kubectl image-cloner agent status");
                terminal.say("             kubectl image-cloner agent logs -f");
                terminal.say("hold it      kubectl image-cloner agent pause");
                Ok(0)
            }
            Rollout::Later(why) => {
                terminal.note(&format!("the agent does not start now: {why}"));
                Ok(0)
            }
            Rollout::NotReady(not_ready) => {
                let mut failure = Failure::new(format!(
                    "the agent does not become ready: {}",
                    not_ready.why
                ));
                failure.hints.extend(not_ready.hint);
                self.say_last(terminal).await;
                let failure = failure.hint("kubectl image-cloner agent logs tells more");
                Err(Stopped::failed(failure).after_changes())
            }
        }
    }
}

impl Installing {
    /// The last words of the agent's pods, as far as there are some.
    async fn say_last(&self, terminal: &Terminal) {
        let labels = format!("app={}", install::NAME);
        let pods = self.cluster.pods(install::NAMESPACE, &labels).await;
        let pods = pods.unwrap_or_default();
        let names = pods
            .iter()
            .filter_map(|pod| pod["metadata"]["name"].as_str());
        for name in names {
            let log = self.cluster.log(install::NAMESPACE, name, false, 5).await;
            let Ok(mut log) = log else { continue };
            while let Ok(Some(line)) = log.next().await {
                terminal.say(&format!("{name}: {line}"));
            }
        }
    }
}

/// What was done to an object, a line as kubectl has it, where no document is asked for.
fn tell(object: &Value, done: &str, args: &InstallArgs, terminal: &Terminal) {
    let label = match args.dry_run.mode {
        DryRun::Server => " (server dry run)",
        DryRun::None | DryRun::Client => "",
    };
    if args.document.output.is_none() {
        terminal.data(&format!("{} {done}{label}", install::name_of(object)));
    }
}

/// The agent's Deployment.
pub(crate) fn deployment() -> WorkloadId {
    let kind = Kind::from_word("deployments").expect("a kind that every cluster has");
    WorkloadId {
        kind,
        namespace: install::NAMESPACE.to_owned(),
        name: install::NAME.to_owned(),
    }
}
