//! Copies the images that a cluster's workloads run into the user's own registry, and repoints the
//! workloads to the copies.
//!
//! # One direction: observe → plan → execute → report
//!
//! Each stage hands the next a value. One workload, a namespace and a dry run differ only in what is
//! observed and in whether [`execute`] runs. A module uses those above it alone:
//!
//! | module | decides | pure |
//! |---|---|---|
//! | `spelling` | what was probably meant by a word that means nothing | yes |
//! | [`mod@reference`] | what an image text means, in canonical form | yes |
//! | [`platform`] | which platforms are meant; an index narrowed to them | yes |
//! | [`target`] | the name of a copy: the one naming rule | yes |
//! | [`workload`] | where each kind keeps its pod template, and who owns it | yes |
//! | [`manifest`] | where images stand in the text of files; rewriting them there | yes |
//! | [`plan`] | workloads and policy → copies, repoints, skips; restore likewise | yes |
//! | [`patch`] | a repoint → the patch body | yes |
//! | [`outcome`] | what became of each image and each workload, as values | yes |
//! | [`status`] | which images are in use, and what has become of their copies | yes |
//! | [`config`] | the local file and the environment | no |
//! | [`credentials`] | which credentials belong to which host | no |
//! | [`registry`] | talking to registries; the copy engine | no |
//! | [`cluster`] | talking to the API server: list, get, patch, apply, rollout state | no |
//! | [`execute`] | the order in which a plan is carried out | no |
//! | [`doctor`] | whether what all this needs is there, and how it is mended | no |
//! | [`report`] | plans and outcomes as tables, JSON, YAML | yes |
//! | [`install`] | the agent's objects as values | yes |
//! | [`lease`] | which of several agents works | no |
//! | [`watch`] | the agent's loop: when a workload is looked at, copied, repointed, left | no |
//! | [`webhook`] | admission of workloads whose copies are known complete | no |
//!
//! A pure module does no I/O, reads no clock and knows no Kubernetes client. `tests/it/architecture.rs`
//! reads the sources and fails when a pure module imports one that is not, an earlier stage a later one, or
//! this map is not so.
//!
//! Around the library: `plugin/` is `kubectl image-cloner` (arguments, prompts, progress and printing, one
//! file a verb), `agent/` the program in the cluster (settings, probes, metrics, the webhook's server). Both
//! decide nothing about images and workloads. `tests/it/` runs both against a misbehaving registry in the
//! process (`wire/`) and against a real cluster (`bed/`), which `tests/testbed/` brings up.
//!
//! # Invariants
//!
//! 1. Planning over an applied plan's result gives an empty plan.
//! 2. The naming rule is injective over all accepted references; its results parse.
//! 3. A copied manifest is byte-identical to its source; an index narrowed to some platforms is its bytes
//!    without those of the other entries, and a digest-pinned reference is never narrowed.
//! 4. A workload is repointed only after all of its copies are known complete in the target, by digest.
//! 5. One patch per workload, compare-and-set on what it changes, never on the resource version.
//! 6. The record stands as long as the slot still equals the recorded target; restore touches only such
//!    slots.
//! 7. A workload with a controller is skipped.
//! 8. Credentials go to their own host alone, and into nothing that is printed.
//! 9. Nothing in the target is lost: a tag about to move is first kept under a second tag.

pub mod cluster;
pub mod config;
pub mod credentials;
pub mod doctor;
pub mod execute;
pub mod install;
pub mod lease;
pub mod manifest;
pub mod outcome;
pub mod patch;
pub mod plan;
pub mod platform;
pub mod reference;
pub mod registry;
pub mod report;
mod spelling;
pub mod status;
pub mod target;
pub mod watch;
pub mod webhook;
pub mod workload;
