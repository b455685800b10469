//! Which images are in use, and what has become of their copies.
//!
//! Decides the state of every image that workloads name or pods have, from what was observed and what
//! registries said. Never asks either, and never decides what to do about it (that is [`crate::plan`]).

mod inventory;
mod note;
#[cfg(test)]
mod tests;
mod usage;

pub use inventory::{Fault, Inventory};
pub use note::{Note, Silence, Trouble, Untold};
pub use usage::{Standing, Usage, usage};

use crate::reference::{Digest, Reference};
use crate::workload::{SlotKey, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// An image that pods of a workload have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InPods {
    /// Its container.
    pub slot: SlotKey,
    /// The text in the pods, which admission may have changed.
    pub image: String,
    /// What runs of it, where the pods say.
    pub running: BTreeSet<Digest>,
    /// How many pods have it.
    pub pods: usize,
}

/// What registries said, by reference.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    /// What each source has now; none where it is not there.
    pub sources: BTreeMap<Reference, Result<Option<Digest>, Untold>>,
    /// The same of each copy.
    pub copies: BTreeMap<Reference, Result<Option<Digest>, Untold>>,
    /// Copies that are their source without some of its platforms, and so have another digest.
    pub narrowed: BTreeSet<Reference>,
    /// Bytes of copies, where that was asked.
    pub sizes: BTreeMap<Reference, u64>,
}

/// What has become of an image that is in use. In the order of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// The workload points to a copy that is not there.
    MissingInTarget,
    /// The workload was cloned and names something else now.
    Changed,
    /// The target could not be asked.
    Unknown,
    /// The copy is there; its source's tag has moved on since.
    Moved,
    /// The copy is there, its source no longer.
    SourceGone,
    /// It is not in the target registry.
    External,
    /// It is in the target registry.
    Cloned,
}

impl State {
    /// Every state, in the order in which they are counted.
    pub const ALL: [Self; 7] = [
        Self::Cloned,
        Self::External,
        Self::Moved,
        Self::SourceGone,
        Self::Changed,
        Self::MissingInTarget,
        Self::Unknown,
    ];

    /// `source-gone`.
    pub fn word(self) -> &'static str {
        match self {
            Self::MissingInTarget => "missing-in-target",
            Self::Changed => "changed",
            Self::Unknown => "unknown",
            Self::Moved => "moved",
            Self::SourceGone => "source-gone",
            Self::External => "external",
            Self::Cloned => "cloned",
        }
    }

    /// Whether pods pull it from elsewhere than the target registry.
    pub fn is_outside(self) -> bool {
        matches!(self, Self::External | Self::Changed)
    }
}

/// One image of one namespace, with all who use it alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The namespace.
    pub namespace: String,
    /// The image as people know it: its source, else what is in the workload.
    pub image: String,
    /// Where it comes from, as far as that is known.
    pub source: Option<Reference>,
    /// Its copy, there or not; none where it cannot have one.
    pub copy: Option<Reference>,
    /// What has become of it.
    pub state: State,
    /// External by a rule or somebody's wish, which a clone would respect.
    pub skipped: bool,
    /// What is in use, as far as that is known.
    pub digest: Option<Digest>,
    /// What there is to say about its state.
    pub note: Option<Note>,
    /// The workloads that use it.
    pub workloads: BTreeSet<WorkloadId>,
    /// How many of their pods have it.
    pub pods: usize,
    /// Bytes of its copy, where that was asked.
    pub size: Option<u64>,
}

/// Everything that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// One row an image and namespace; trouble first.
    pub rows: Vec<Row>,
    /// What registries did not tell.
    pub troubles: Vec<Trouble>,
}

impl Status {
    /// What these uses come to, by what registries said.
    pub fn of(usages: Vec<Usage>, sightings: &Sightings) -> Self {
        let mut rows: Vec<Row> = usages
            .into_iter()
            .map(|usage| row(usage, sightings))
            .collect();
        rows.sort_by(|one, other| one.place().cmp(&other.place()));
        Self {
            rows,
            troubles: troubles(sightings),
        }
    }

    /// How many images are in this state.
    pub fn count(&self, state: State) -> usize {
        self.rows.iter().filter(|row| row.state == state).count()
    }

    /// How many are external by a rule or somebody's wish.
    pub fn skipped(&self) -> usize {
        self.rows.iter().filter(|row| row.skipped).count()
    }

    /// The exit code of `--exit-code`: 3 where something is not in the target that should be, 1 where that
    /// cannot be told, else 0.
    pub fn exit_code(&self) -> u8 {
        let wanting = |row: &Row| row.state.is_outside() || row.state == State::MissingInTarget;
        if self.rows.iter().any(|row| wanting(row) && !row.skipped) {
            3
        } else {
            u8::from(self.count(State::Unknown) > 0)
        }
    }
}

impl Row {
    fn place(&self) -> (State, bool, &str, &str) {
        (self.state, self.skipped, &self.namespace, &self.image)
    }
}

/// An image that a clone would have nothing to carry of.
const UNUSED: &str = "copied";

fn row(usage: Usage, sightings: &Sightings) -> Row {
    let skipped = matches!(usage.standing, Standing::External { skipped: true, .. });
    let (state, digest, note) = match &usage.standing {
        Standing::Copy => of_copy(&usage, sightings),
        Standing::Changed(why) => {
            let digest = outside(&usage, sightings).0;
            (State::Changed, digest, Some(Note::new(why)))
        }
        Standing::External { why, .. } => {
            let (digest, trouble) = outside(&usage, sightings);
            let unused = || is_copied(&usage, sightings).then(|| Note::new(UNUSED));
            let note = match (why, trouble) {
                (Some(why), trouble) => Some(reason(why, trouble.as_ref(), skipped)),
                (None, trouble) => trouble.or_else(unused),
            };
            (State::External, digest, note)
        }
    };
    let size = usage.copy.as_ref();
    let size = size.and_then(|copy| sightings.sizes.get(copy)).copied();
    Row {
        namespace: usage.namespace,
        image: usage.image,
        source: usage.source,
        copy: usage.copy,
        state,
        skipped,
        digest,
        note,
        workloads: usage.workloads,
        pods: usage.pods,
        size: size.filter(|_| !state.is_outside()),
    }
}

/// The state of an image that is pulled from the target.
fn of_copy(usage: &Usage, sightings: &Sightings) -> (State, Option<Digest>, Option<Note>) {
    let Some(copy) = &usage.copy else {
        return (State::Unknown, None, None);
    };
    let source = usage.source.as_ref();
    let upstream = source.and_then(|source| sightings.sources.get(source));
    let digest = match sightings.copies.get(copy) {
        Some(Ok(Some(digest))) => digest,
        Some(Ok(None)) => {
            let gone = matches!(upstream, Some(Ok(None)));
            let note = gone.then(|| Note::new("its source is gone, too").or("source gone"));
            return (State::MissingInTarget, None, note);
        }
        Some(Err(untold)) => {
            let note = untold.note(copy.registry());
            return (State::Unknown, None, Some(note));
        }
        None => return (State::Unknown, None, None),
    };
    let (state, note) = match (source, upstream) {
        (Some(source), Some(Err(untold))) => {
            let note = untold.note(source.registry());
            let note = Note::new(format!("source not checked: {}", note.text()))
                .or("source not checked")
                .or("not checked");
            (State::Cloned, Some(note))
        }
        (_, Some(Ok(None))) => (State::SourceGone, None),
        (_, Some(Ok(Some(now)))) if now != digest && !sightings.narrowed.contains(copy) => {
            let note = Note::new(format!("now {}", now.short()));
            (State::Moved, Some(note))
        }
        _ => (State::Cloned, None),
    };
    (state, Some(digest.clone()), note)
}

/// The digest of an image that is pulled from elsewhere, and what is wrong with it there.
fn outside(usage: &Usage, sightings: &Sightings) -> (Option<Digest>, Option<Note>) {
    let mut running = usage.running.iter();
    let runs = match (running.next(), running.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => None,
    };
    let Some(source) = &usage.source else {
        return (runs, None);
    };
    match sightings.sources.get(source) {
        Some(Ok(Some(digest))) => (runs.or_else(|| Some(digest.clone())), None),
        Some(Ok(None)) => (runs, Some(Note::new("gone from its registry").or("gone"))),
        Some(Err(untold)) => (runs, Some(untold.note(source.registry()))),
        None => (runs, None),
    }
}

fn is_copied(usage: &Usage, sightings: &Sightings) -> bool {
    let copy = usage.copy.as_ref();
    copy.is_some_and(|copy| matches!(sightings.copies.get(copy), Some(Ok(Some(_)))))
}

/// Why an image is external, by a rule, an owner or its own nature.
fn reason(why: &str, trouble: Option<&Note>, skipped: bool) -> Note {
    let note = match trouble {
        Some(trouble) => Note::new(format!("{why}; {}", trouble.text())).or(why),
        None => Note::new(why),
    };
    if skipped {
        return note.or("skipped");
    }
    // what comes first says which: `Argo CD (shop)`, `never pulled: the node is expected …`
    let first = why.split([':', ';', ',']).next().unwrap_or(why);
    let first = first.split(" (").next().unwrap_or(first);
    note.or(first)
}

/// What registries did not tell, each registry once for each way in which it did not.
fn troubles(sightings: &Sightings) -> Vec<Trouble> {
    let all = sightings.copies.iter().chain(&sightings.sources);
    let mut troubles: BTreeMap<(Silence, &str), Trouble> = BTreeMap::new();
    for (reference, answer) in all {
        let Err(untold) = answer else {
            continue;
        };
        let registry = reference.registry();
        let trouble = troubles.entry((untold.silence, registry));
        trouble
            .and_modify(|one| one.images += 1)
            .or_insert(Trouble {
                registry: registry.to_owned(),
                silence: untold.silence,
                images: 1,
                failure: untold.failure.clone(),
            });
    }
    troubles.into_values().collect()
}
