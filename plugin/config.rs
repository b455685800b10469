//! `config`: the user's `config.yaml`, shown and changed.

use crate::args::{Connection, Copying};
use crate::settings;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::{Args, Subcommand, ValueEnum};
use image_cloner::cluster::Names;
use image_cloner::config::{ConfigFile, Environment, Override, Place, Setting, in_force};
use image_cloner::outcome::Failure;
use image_cloner::platform::PlatformChoice;
use image_cloner::registry::Registries;
use image_cloner::target::Layout;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  # what is in force, and who says so
  kubectl image-cloner config view
  # the target registry when --to is missing
  kubectl image-cloner config set registry registry.corp/mirror";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one exists in a process")]
enum Action {
    /// Show what is in force, and who says so
    View(ViewArgs),
    /// Print where the configuration file is
    #[command(after_help = PATH_EXAMPLES)]
    Path,
    /// Set keys in the configuration file
    Set(SetArgs),
    /// Take keys out of the configuration file
    Unset(UnsetArgs),
}

const VIEW_EXAMPLES: &str = "\
Examples:
  kubectl image-cloner config view
  # with clone's flags and in another context
  kubectl image-cloner config view --context prod-eu --layout flat
  kubectl image-cloner config view -o json";

#[derive(Debug, Args)]
#[command(after_help = VIEW_EXAMPLES)]
struct ViewArgs {
    /// Print it as an object
    #[arg(
        short,
        long,
        value_name = "yaml|json",
        value_enum,
        hide_possible_values = true
    )]
    output: Option<Output>,
    #[command(flatten)]
    copying: Copying,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Yaml,
    Json,
}

/// Where a key stands.
#[derive(Debug, Args)]
struct Where {
    /// A key of this registry host
    #[arg(long, value_name = "HOST", conflicts_with = "of_context")]
    host: Option<String>,
    /// A key of this kube context
    #[arg(id = "of_context", long = "context", value_name = "NAME")]
    context: Option<String>,
}

impl Where {
    fn place(self) -> Place {
        match (self.host, self.context) {
            (Some(host), _) => Place::Host(host),
            (None, Some(context)) => Place::Context(context),
            (None, None) => Place::General,
        }
    }
}

const PATH_EXAMPLES: &str = "\
Examples:
  \"$EDITOR\" \"$(kubectl image-cloner config path)\"";

const SET_EXAMPLES: &str = "\
Examples:
  kubectl image-cloner config set registry registry.corp/mirror
  # in one kube context
  kubectl image-cloner config set --context prod-eu registry harbor.eu/mirror
  # of one registry host; some keys need each other
  kubectl image-cloner config set --host registry.lab insecure http
  kubectl image-cloner config set --host harbor.eu username robot \\
    passwordCommand 'pass show harbor'

Keys: registry, layout, platform, kinds, skipNamespaces, protect; with --context:
registry; with --host: endpoint, insecure, caFile, concurrency, layout,
username, passwordCommand, pullUsername, pullPasswordCommand.
Lists are separated by commas.";

#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
struct SetArgs {
    /// Keys, each with its value
    #[arg(value_names = ["KEY", "VALUE"], required = true, num_args = 2..)]
    pairs: Vec<String>,
    #[command(flatten)]
    place: Where,
}

const UNSET_EXAMPLES: &str = "\
Examples:
  kubectl image-cloner config unset registry
  kubectl image-cloner config unset --host harbor.eu username passwordCommand";

#[derive(Debug, Args)]
#[command(after_help = UNSET_EXAMPLES)]
struct UnsetArgs {
    /// Keys
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    place: Where,
}

impl ConfigArgs {
    /// The flags that say which context is meant.
    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.action {
            Action::View(args) => Some(&mut args.connection),
            Action::Path | Action::Set(_) | Action::Unset(_) => None,
        }
    }
}

pub(crate) fn run(args: ConfigArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let environment = Environment::from_process();
    let file = ConfigFile::open(&environment)?;
    match args.action {
        Action::View(args) => view(&args, &file, &environment, terminal),
        Action::Path => {
            terminal.data(&file.path().display().to_string());
            Ok(0)
        }
        Action::Set(args) => set(args, file, &environment, terminal),
        Action::Unset(args) => unset(args, file, terminal),
    }
}

fn view(
    args: &ViewArgs,
    file: &ConfigFile,
    environment: &Environment,
    terminal: &Terminal,
) -> Result<u8, Stopped> {
    let config = file.config()?;
    let mut before = Override::of_environment(environment);
    before.extend(of_flags(&args.copying));
    let defaults = [
        ("layout", json!("mirror")),
        ("platform", json!("all")),
        ("concurrency", json!(settings::CONCURRENCY)),
    ];
    let values = in_force(&file.contents()?, &before, &defaults);
    let context = Names::read(&args.connection.flags())?.current;
    let named = before.iter().rfind(|said| said.key == ["registry"]);
    let target = named
        .and_then(|said| said.value.as_str())
        .or_else(|| config.registry_for(context.as_deref()));
    if let Some(output) = args.output {
        let object = json!({
            "file": file.path(),
            "context": context,
            "target": target,
            "values": values,
        });
        terminal.data(
            match output {
                Output::Json => format!("{object:#}"),
                Output::Yaml => serde_saphyr::to_string(&object).map_err(|error| {
                    Stopped::failed(Failure::new(format!("writing YAML: {error}")))
                })?,
            }
            .trim_end(),
        );
        return Ok(0);
    }
    let missing = if file.exists() { "" } else { " (not there)" };
    terminal.data(&format!("file     {}{missing}", file.path().display()));
    if let Some(context) = &context {
        terminal.data(&format!("context  {context}"));
    }
    terminal.data(&format!(
        "target   {}\n",
        target.unwrap_or("(none is named)")
    ));
    for line in table(&values) {
        terminal.data(&line);
    }
    Ok(0)
}

fn of_flags(copying: &Copying) -> Vec<Override> {
    let layout = copying.layout.map(|layout| match layout {
        Layout::Mirror => "mirror",
        Layout::Flat => "flat",
    });
    let platform = copying.platform.as_ref().map(|choice| match choice {
        PlatformChoice::Cluster => "cluster".to_owned(),
        PlatformChoice::Named(platforms) => platforms.to_string(),
    });
    let said = [
        ("registry", "--to", copying.to.clone().map(Value::from)),
        ("layout", "--layout", layout.map(Value::from)),
        ("platform", "--platform", platform.map(Value::from)),
        (
            "concurrency",
            "--concurrency",
            copying.concurrency.map(Value::from),
        ),
    ];
    said.into_iter()
        .filter_map(|(key, flag, value)| Some(Override::general(key, value?, flag)))
        .collect()
}

/// Lines of three columns; a value is data, and never cut.
fn table(values: &[Setting]) -> Vec<String> {
    let mut rows = vec![["KEY", "VALUE", "FROM"].map(str::to_owned)];
    rows.extend(values.iter().map(|setting| {
        let from = match &setting.overrides {
            Some(old) => format!("{}, before {} in config.yaml", setting.from, shown(old)),
            None => setting.from.clone(),
        };
        [setting.key.clone(), shown(&setting.value), from]
    }));
    let width = |at: usize| {
        rows.iter()
            .map(|row| row[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (keys, values) = (width(0), width(1));
    let line = |row: &[String; 3]| format!("{:keys$}  {:values$}  {}", row[0], row[1], row[2]);
    rows.iter().map(line).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn set(
    args: SetArgs,
    mut file: ConfigFile,
    environment: &Environment,
    terminal: &Terminal,
) -> Result<u8, Stopped> {
    let place = args.place.place();
    if !args.pairs.len().is_multiple_of(2) {
        // without its text: it may be a value
        let what = format!("{} words are no pairs of KEY VALUE", args.pairs.len());
        return Err(Stopped::wrong(
            Failure::new(what).hint("a value of several words stands in quotes"),
        ));
    }
    let mut keys = vec![];
    for pair in args.pairs.chunks(2) {
        let [key, value] = pair else { continue };
        let value = match key.as_str() {
            "caFile" => beside_us(value),
            _ => value.clone(),
        };
        file.set(&place, key, &value)?;
        keys.push(key.as_str());
    }
    let config = file.config().map_err(|error| refused(&error.reason))?;
    // a file that cannot be read is told of now, not when images are copied
    Registries::new(&config.registries).map_err(|error| Stopped::wrong(error.into()))?;
    file.save()?;
    terminal.say(&format!(
        "{} set in {}",
        keys.join(", "),
        file.path().display()
    ));
    if place == Place::General {
        for said in Override::of_environment(environment) {
            if keys.iter().any(|key| said.key == [*key]) {
                terminal.note(&format!("{} is set, and goes before it", said.from));
            }
        }
    }
    Ok(0)
}

/// A file as it is named where the command is typed; in the configuration a relative one is beside it.
fn beside_us(file: &str) -> String {
    match std::path::absolute(file) {
        Ok(path) if path.exists() => path.display().to_string(),
        _ => file.to_owned(),
    }
}

fn unset(args: UnsetArgs, mut file: ConfigFile, terminal: &Terminal) -> Result<u8, Stopped> {
    let place = args.place.place();
    let mut gone = vec![];
    for key in &args.keys {
        if file.unset(&place, key)? {
            gone.push(key.as_str());
        } else {
            terminal.say(&format!("{key} was not set"));
        }
    }
    if !gone.is_empty() {
        file.config().map_err(|error| refused(&error.reason))?;
        file.save()?;
        terminal.say(&format!(
            "{} taken out of {}",
            gone.join(", "),
            file.path().display()
        ));
    }
    Ok(0)
}

/// Why the new file would not load.
fn refused(reason: &str) -> Stopped {
    let failure = Failure::new(reason);
    Stopped::wrong(if reason.contains("beside it") {
        failure.hint("name both in one command: KEY VALUE KEY VALUE")
    } else {
        failure
    })
}
