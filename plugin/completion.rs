//! `completion`: scripts that make the tab key work, in shells and below kubectl.
//!
//! Every script asks this program again, under a variable; what it answers is decided by the command line's
//! own description and by [`crate::candidates`].

use crate::args;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::{Args, Subcommand};
use clap_complete::CompleteEnv;
use clap_complete::engine;
use clap_complete::env::{Bash, EnvCompleter, Fish, Powershell, Shells, Zsh};
use image_cloner::outcome::Failure;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::exit;

/// Names the shell that asks.
const VARIABLE: &str = "IMAGE_CLONER_COMPLETE";
const PLUGIN: &str = "kubectl-image_cloner";

/// What kubectl looks for in `PATH` to complete this plugin.
#[cfg(not(windows))]
const COMPLETER: &str = "kubectl_complete-image_cloner";
#[cfg(windows)]
const COMPLETER: &str = "kubectl_complete-image_cloner.cmd";

const EXAMPLES: &str = "\
Examples:
  # for `kubectl image-cloner`, once; needs kubectl 1.26 and its own completion
  kubectl image-cloner completion install
  # for `kubectl-image_cloner` itself, in ~/.bashrc
  source <(kubectl-image_cloner completion bash)";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let kubectl complete `kubectl image-cloner`
    Install(InstallArgs),
    /// Print the script for bash
    #[command(after_help = "\
Examples:
  # in ~/.bashrc
  source <(kubectl-image_cloner completion bash)")]
    Bash,
    /// Print the script for zsh
    #[command(after_help = "\
Examples:
  # in ~/.zshrc, behind compinit
  source <(kubectl-image_cloner completion zsh)")]
    Zsh,
    /// Print the script for fish
    #[command(after_help = "\
Examples:
  # in ~/.config/fish/config.fish
  kubectl-image_cloner completion fish | source")]
    Fish,
    /// Print the script for PowerShell
    #[command(after_help = "\
Examples:
  # in $PROFILE
  kubectl-image_cloner completion powershell | Out-String | Invoke-Expression")]
    Powershell,
}

const INSTALL_EXAMPLES: &str = "\
Examples:
  kubectl image-cloner completion install
  kubectl image-cloner completion install --dir ~/bin";

#[derive(Debug, Args)]
#[command(after_help = INSTALL_EXAMPLES)]
struct InstallArgs {
    /// The folder, in PATH; beside the plugin where none is given, else ~/.krew/bin or ~/.local/bin
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Answers a shell that asks, and ends; anything else goes on.
pub(crate) fn answer() {
    let shells = Shells(&[&Bash, &Fish, &Powershell, &Zsh, &Kubectl]);
    let asked = CompleteEnv::with_factory(args::command)
        .var(VARIABLE)
        .shells(shells)
        .try_complete(std::env::args_os(), None);
    match asked {
        Ok(false) => {}
        // an error in the middle of a command line helps nobody
        Ok(true) | Err(_) => exit(0),
    }
}

pub(crate) fn run(args: &CompletionArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let shell: &dyn EnvCompleter = match &args.what {
        What::Install(args) => return install(args.dir.as_deref(), terminal),
        What::Bash => &Bash,
        What::Zsh => &Zsh,
        What::Fish => &Fish,
        What::Powershell => &Powershell,
    };
    terminal.data(script(shell).trim_end());
    Ok(0)
}

fn script(shell: &dyn EnvCompleter) -> String {
    let mut script = Vec::new();
    // writing to memory does not fail
    let _ = shell.write_registration(
        VARIABLE,
        "kubectl_image_cloner",
        PLUGIN,
        PLUGIN,
        &mut script,
    );
    String::from_utf8_lossy(&script).into_owned()
}

/// kubectl as a shell: it runs a program of a certain name with the words behind the plugin's name, the one
/// under way last, and takes a candidate a line and a directive of cobra's.
struct Kubectl;

/// cobra's `ShellCompDirectiveNoSpace` and `ShellCompDirectiveNoFileComp`.
const NO_SPACE: u8 = 2;
const NO_FILES: u8 = 4;

impl EnvCompleter for Kubectl {
    fn name(&self) -> &'static str {
        "kubectl"
    }

    fn is(&self, name: &str) -> bool {
        name == self.name()
    }

    fn write_registration(
        &self,
        var: &str,
        _name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn Write,
    ) -> std::io::Result<()> {
        if cfg!(windows) {
            return write!(
                buf,
                "@echo off\r\nrem kubectl asks this to complete `kubectl image-cloner`\r\n\
                 set {var}=kubectl\r\n{completer} -- {bin} %*\r\n"
            );
        }
        write!(
            buf,
            "#!/bin/sh\n# kubectl asks this to complete `kubectl image-cloner`\n\
             {var}=kubectl exec {completer} -- {bin} \"$@\"\n"
        )
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        folder: Option<&Path>,
        buf: &mut dyn Write,
    ) -> std::io::Result<()> {
        let last = words.len().saturating_sub(1);
        let word = words.get(last).cloned().unwrap_or_default();
        let word = word.to_string_lossy();
        let found = engine::complete(command, words, last, folder).unwrap_or_default();
        // the shell keeps what is before the `=` itself
        let flag = match word.split_once('=') {
            Some((flag, _)) if flag.starts_with('-') => format!("{flag}="),
            _ => String::new(),
        };
        let mut no_space = !found.is_empty();
        for candidate in &found {
            let value = candidate.get_value().to_string_lossy();
            // as everywhere below kubectl, flags are offered to those who type a dash
            if value.starts_with('-') && !word.starts_with('-') {
                continue;
            }
            let value = value.strip_prefix(&flag).unwrap_or(&value);
            no_space &= value.ends_with(['/', '=']);
            match candidate.get_help().map(ToString::to_string) {
                Some(help) if !help.is_empty() => {
                    writeln!(buf, "{value}\t{}", help.lines().next().unwrap_or_default())?;
                }
                _ => writeln!(buf, "{value}")?,
            }
        }
        writeln!(buf, ":{}", NO_FILES + if no_space { NO_SPACE } else { 0 })
    }
}

/// Puts kubectl's script where kubectl finds it.
fn install(dir: Option<&Path>, terminal: &Terminal) -> Result<u8, Stopped> {
    let folders = match dir {
        Some(dir) => vec![dir.to_owned()],
        None => usual_folders(),
    };
    let mut refused = vec![];
    for folder in &folders {
        let path = folder.join(COMPLETER);
        match write(&path, dir.is_some()) {
            Ok(()) => {
                terminal.say(&format!("{} written", path.display()));
                if !is_in_path(folder) {
                    terminal.note(&format!(
                        "{} is not in PATH: kubectl finds it there only when it is",
                        folder.display()
                    ));
                }
                terminal.say(
                    "kubectl 1.26 and newer now completes `kubectl image-cloner`, where its own\n\
                     completion is on (kubectl completion --help)",
                );
                return Ok(0);
            }
            Err(cause) => refused.push(format!("{}: {cause}", path.display())),
        }
    }
    let what = format!("writing the completion for kubectl: {}", refused.join("; "));
    let hint = "name a folder of PATH: --dir DIR";
    Err(Stopped::failed(Failure::new(what).hint(hint)))
}

/// Beside the plugin, as kubectl finds it; else where people keep programs of their own.
fn usual_folders() -> Vec<PathBuf> {
    let beside = search_path()
        .into_iter()
        .find(|folder| folder.join(PLUGIN).is_file());
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    let own = home.map(|home| [home.join(".krew/bin"), home.join(".local/bin")]);
    let own = own.into_iter().flatten().filter(|folder| folder.is_dir());
    beside.into_iter().chain(own).collect()
}

fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

fn is_in_path(folder: &Path) -> bool {
    let same = |other: PathBuf| {
        other == folder
            || other
                .canonicalize()
                .ok()
                .zip(folder.canonicalize().ok())
                .is_some_and(|(a, b)| a == b)
    };
    search_path().into_iter().any(same)
}

fn write(path: &Path, make_folder: bool) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|_| make_folder) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, script(&Kubectl))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
