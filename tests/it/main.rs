//! The one integration-test crate: one crate links once.

// clippy.toml allows it in tests, which does not reach their helpers
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]
#![allow(clippy::too_many_lines, reason = "a test tells a whole story")]
#![allow(
    clippy::default_trait_access,
    reason = "values that a test does not care about"
)]

mod admission;
mod agent;
mod agent_objects;
mod agent_pods;
mod agent_terminal;
mod agent_wire;
mod architecture;
mod bed;
mod canary;
mod clone;
mod clone_wire;
mod cluster_api;
mod cluster_wire;
mod completion;
mod conflict;
mod custom_kinds;
mod dependencies;
mod doctor;
mod dry_run;
mod examples;
mod files;
mod gitops;
mod handover;
mod krew;
mod lease;
mod login;
mod makefile;
mod moving;
mod names;
mod outages;
mod owners;
mod platforms;
mod pull_access;
mod push_address;
mod put_back;
mod reach;
mod readme;
mod refusals;
mod report;
mod resolving;
mod restore;
mod rollouts;
mod round_trip;
mod selection;
mod settings;
mod sources;
mod status;
mod streams;
mod sync_credentials;
mod terminal;
mod verify;
mod wire;
mod workflows;
