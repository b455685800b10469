//! `man`: manual pages, for those who make packages.

use crate::args;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use clap::Args;
use clap_mangen::Man;
use image_cloner::outcome::Failure;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kubectl-image_cloner man --dir /usr/share/man/man1")]
pub(crate) struct ManArgs {
    /// The folder for the pages, one a command
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

pub(crate) fn run(args: &ManArgs, terminal: &Terminal) -> Result<u8, Stopped> {
    let mut command = args::command().disable_help_subcommand(true);
    command.build();
    let written = std::fs::create_dir_all(&args.dir)
        .and_then(|()| pages(command, "kubectl-image_cloner", &args.dir));
    let count = written.map_err(|cause| {
        let what = format!("writing manual pages to {}: {cause}", args.dir.display());
        Stopped::failed(Failure::new(what))
    })?;
    terminal.say(&format!("{count} pages written to {}", args.dir.display()));
    Ok(0)
}

/// Writes the page of a command, and those of the commands below it.
fn pages(command: clap::Command, name: &str, folder: &Path) -> std::io::Result<usize> {
    let mut count = 1;
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        let name = format!("{name}-{}", below.get_name());
        count += pages(below.clone(), &name, folder)?;
    }
    let source = concat!("image-cloner ", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.display_name(name.to_owned())).source(source);
    page.generate_to(folder)?;
    Ok(count)
}
