//! `kubectl image-cloner`: arguments, prompts, progress and printing; one file a verb.
//!
//! Everything that is decided about images and workloads is decided in the library.

mod agent;
mod args;
mod candidates;
mod clone;
mod clone_files;
mod completion;
mod config;
mod connection;
mod copy;
mod doctor;
mod document;
mod dry_run;
mod edits;
mod ending;
mod files;
mod harmless;
mod image_run;
mod install_agent;
mod interactive;
mod line;
mod login;
mod man;
mod manifests;
mod policy;
mod progress;
mod restore;
mod rollouts;
mod settings;
mod status;
mod stop;
mod sync_credentials;
mod terminal;
mod uninstall_agent;
mod values;
mod verify;
mod version;
mod waits;

use args::{Cli, Verb};
use std::process::ExitCode;
use terminal::Terminal;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("no other provider can be installed before the first line of main");
    completion::answer();
    let cli = Cli::read();
    let terminal = Terminal::detect();
    log_to_stderr(cli.verbosity, &terminal);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // names are looked up on threads of their own, and each brings memory of its own along
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .expect("the system gives threads to a new process");
    let ended = runtime.block_on(async {
        terminal.watch_interrupts();
        match cli.verb {
            Verb::Clone(args) if !args.files.filename.is_empty() => {
                clone_files::run(args, &terminal).await
            }
            Verb::Clone(args) => clone::run(args, &terminal).await,
            Verb::Copy(args) => copy::run(args, &terminal).await,
            Verb::Restore(args) => restore::run(args, &terminal).await,
            Verb::Status(args) => status::run(args, &terminal).await,
            Verb::Verify(args) => verify::run(args, &terminal).await,
            Verb::SyncCredentials(args) => sync_credentials::run(args, &terminal).await,
            Verb::Doctor(args) => doctor::run(args, &terminal).await,
            Verb::Login(args) => login::log_in(args, &terminal).await,
            Verb::Logout(args) => login::log_out(args, &terminal).await,
            Verb::Config(args) => config::run(args, &terminal),
            Verb::Completion(args) => completion::run(&args, &terminal),
            Verb::Man(args) => man::run(&args, &terminal),
            Verb::InstallAgent(args) => install_agent::run(*args, &terminal).await,
            Verb::UninstallAgent(args) => uninstall_agent::run(args, &terminal).await,
            Verb::Agent(args) => agent::run(args, &terminal).await,
            Verb::Version(args) => version::run(args, &terminal).await,
        }
    });
    // a name lookup that hangs must not hold up the end
    runtime.shutdown_background();
    let ended = ended.and_then(|code| terminal.check_written().map(|()| code));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(stopped) => {
            terminal.error(&stopped);
            ExitCode::from(stopped.code)
        }
    }
}

/// Diagnostics for those who ask: `RUST_LOG=image_cloner=debug`, or `-v 6` as kubectl has it.
fn log_to_stderr(verbosity: u8, terminal: &Terminal) {
    use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
    use tracing_subscriber::{fmt, prelude::*};
    let asked = std::env::var("RUST_LOG").ok().and_then(|words| {
        let filter = words.parse::<Targets>();
        // what is meant for another program keeps nobody from using this one
        let told =
            |error: &ParseError| terminal.note(&format!("RUST_LOG={words} is ignored: {error}"));
        filter.inspect_err(told).ok()
    });
    let level = |level: LevelFilter| Targets::new().with_target("image_cloner", level);
    let filter = match (asked, verbosity) {
        (Some(filter), _) => filter,
        (None, 0) => return,
        (None, 1..=3) => level(LevelFilter::INFO),
        (None, 4..=7) => level(LevelFilter::DEBUG),
        (None, _) => level(LevelFilter::TRACE),
    };
    let lines = fmt::layer()
        .with_ansi(console::colors_enabled_stderr())
        .with_writer(std::io::stderr);
    let lines = lines.with_filter(filter);
    tracing_subscriber::registry().with(lines).init();
}
