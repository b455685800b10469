//! The plan as a screen, before the confirmation.

use super::quota;
use super::text::{bytes, count, like, rows, shorten, tally, wrap};
use crate::outcome::Survey;
use crate::plan::{Copy, Decision, Plan, Planned};
use crate::platform::Platforms;
use crate::reference::Reference;
use crate::target::TargetRegistry;
use comfy_table::{ContentArrangement, Table, presets};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Rows of the image table before it is cut short; `-o wide` shows all.
const ROWS: usize = 20;

/// Where a plan would happen and as whom.
#[derive(Debug, Clone)]
pub struct Scene<'a> {
    /// The kube context.
    pub context: &'a str,
    /// The target registry.
    pub target: &'a TargetRegistry,
    /// The target registry as it was typed, where it was.
    pub to: Option<&'a str>,
    /// The user that pushes, none when anonymous.
    pub push_as: Option<&'a str>,
    /// The pull secret's name and user, where one is added.
    pub pull_secret: Option<(&'a str, &'a str)>,
    /// What is copied of images for several platforms.
    pub platforms: &'a Platforms,
    /// Columns.
    pub width: usize,
    /// `-o wide`: every image, full names and digests.
    pub wide: bool,
}

/// The plan as a screen.
pub fn plan(plan: &Plan, survey: &Survey, scene: &Scene<'_>) -> String {
    let mut screen = head(scene);
    if !plan.copies.is_empty() {
        screen += &images(&plan.copies, survey, scene);
        screen.push('\n');
    }
    for (head, count, rest) in totals(plan, survey, scene) {
        let count = count.map_or(String::new(), |count| count.to_string());
        let row = format!("{head:<11} {count:>3}  {rest}");
        let width = if scene.wide { usize::MAX } else { scene.width };
        screen += &wrap(row.trim_end(), width, 17);
        screen.push('\n');
    }
    screen
}

/// Where it would happen and as whom; a line each where they do not fit one.
fn head(scene: &Scene<'_>) -> String {
    let parts = [
        format!("context {}", scene.context),
        format!("target {}", scene.target),
        format!("push as {}", scene.push_as.unwrap_or("anonymous")),
    ];
    let line = parts.join("   ");
    if line.chars().count() <= scene.width || scene.wide {
        line + "\n\n"
    } else {
        parts.join("\n") + "\n\n"
    }
}

/// The question before a plan is carried out: `Copy 59 images (2.9 GB), repoint 47 workloads in prod?`;
/// none where nothing would be done.
pub fn question(plan: &Plan, survey: &Survey) -> Option<String> {
    let new: Vec<_> = plan
        .copies
        .iter()
        .filter_map(|copy| survey.get(&copy.target)?.as_ref().ok())
        .filter(|found| !found.present)
        .collect();
    let sizes = new.iter().filter_map(|found| found.size);
    let size = sizes.fold(0, u64::saturating_add);
    let repointed = repointed(plan, survey);
    let mut parts = Vec::new();
    if !new.is_empty() {
        parts.push(format!(
            "copy {} ({})",
            count(new.len(), "image"),
            bytes(size)
        ));
    }
    if !repointed.is_empty() {
        parts.push(format!(
            "repoint {} in {}",
            count(repointed.len(), "workload"),
            places(&repointed)
        ));
    }
    let mut question = parts.join(", ");
    if let Some(first) = question.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    (!question.is_empty()).then(|| question + "?")
}

/// The workloads that will be repointed, as far as can be told: their images can be had.
fn repointed<'a>(plan: &'a Plan, survey: &Survey) -> Vec<&'a Planned> {
    let is_there = |planned: &Planned, target: &Reference| match survey.get(target) {
        Some(Ok(found)) => !found.denied.contains_key(&planned.workload.id),
        Some(Err(_)) => false,
        None => true,
    };
    plan.workloads
        .iter()
        .filter(|planned| matches!(planned.decision, Decision::Repoint(_)))
        .filter(|planned| {
            planned
                .targets
                .iter()
                .all(|target| is_there(planned, target))
        })
        .collect()
}

/// The namespaces of these workloads: named while they are few.
fn places(workloads: &[&Planned]) -> String {
    let mut namespaces: Vec<&str> = workloads
        .iter()
        .map(|planned| planned.workload.id.namespace.as_str())
        .collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    match namespaces.as_slice() {
        few if few.len() <= 3 => few.join(", "),
        many => count(many.len(), "namespace"),
    }
}

fn images(copies: &[Copy], survey: &Survey, scene: &Scene<'_>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    let mut header = vec!["SOURCE", "TARGET", "SIZE", "COPY", "USED BY"];
    if scene.wide {
        header.push("DIGEST");
    }
    table.set_header(header);
    // what the other columns take at the least, and the gaps
    let room = if scene.wide {
        usize::MAX
    } else {
        scene.width.saturating_sub(28) / 2
    };
    let shown = if scene.wide {
        copies.len()
    } else {
        copies.len().min(ROWS)
    };
    for copy in &copies[..shown] {
        let (size, state, digest) = match survey.get(&copy.target) {
            Some(Ok(found)) => (
                match found.size {
                    Some(size) => bytes(size),
                    None if found.present => "-".to_owned(),
                    None => "?".to_owned(),
                },
                if found.present { "present" } else { "new" },
                found.digest.to_string(),
            ),
            Some(Err(_)) => ("?".to_owned(), "fails", String::new()),
            None => (String::new(), "", String::new()),
        };
        let mut row = vec![
            shorten(&copy.source.familiar(), room),
            shorten(&relative(&copy.target, scene.target), room),
            size,
            state.to_owned(),
            copy.users.len().to_string(),
        ];
        if scene.wide {
            row.push(digest);
        }
        table.add_row(row);
    }
    let mut text = rows(&mut table, &[2, 4]);
    if shown < copies.len() {
        let _ = writeln!(text, "... {} more (-o wide)", copies.len() - shown);
    }
    text
}

/// A target's name below the target registry.
fn relative(target: &Reference, registry: &TargetRegistry) -> String {
    let full = target.to_string();
    full.strip_prefix(&format!("{registry}/"))
        .map_or(full.clone(), str::to_owned)
}

/// One row under the image table: what, how many, and the rest.
type Row = (&'static str, Option<usize>, String);

fn totals(plan: &Plan, survey: &Survey, scene: &Scene<'_>) -> Vec<Row> {
    let mut rows = decisions(plan, survey);
    rows.extend(next(plan, scene));
    if !plan.left_out.is_empty() {
        let text = "images that --source or --from does not ask for".to_owned();
        rows.push(("left out", Some(plan.left_out.len()), text));
    }
    if *scene.platforms != Platforms::All && !plan.copies.is_empty() {
        rows.push(("platforms", None, scene.platforms.to_string()));
    }
    let mut remarks: Vec<Row> = Vec::new();
    for copy in &plan.copies {
        match survey.get(&copy.target) {
            Some(Ok(found)) => {
                remarks.extend(found.notes.iter().map(|note| ("note", None, note.clone())));
                let denied = found.denied.iter().map(|(id, why)| {
                    let name = copy.source.familiar();
                    let text = format!("{id} in {} may not read {name}: {why}", id.namespace);
                    ("fails", None, text)
                });
                remarks.extend(denied);
            }
            Some(Err(failure)) => {
                let text = format!("{}: {failure}", copy.source.familiar());
                remarks.push(("fails", None, text));
            }
            None => {}
        }
    }
    // what fails is said before what is only worth knowing
    remarks.sort_by_key(|(head, ..)| *head);
    if !scene.wide && remarks.len() > ROWS {
        let more = remarks.len() - ROWS;
        remarks.truncate(ROWS);
        remarks.push(("", None, format!("... {more} more (-o wide)")));
    }
    rows.append(&mut remarks);
    let limits = quota::lines(survey).into_iter();
    rows.extend(limits.map(|line| ("rate limit", None, line)));
    let needing: Vec<_> = plan
        .workloads
        .iter()
        .filter(|planned| needs_secret(planned))
        .collect();
    if let (Some((name, user)), false) = (scene.pull_secret, needing.is_empty()) {
        let text = format!("{name} in {}, as {user}", places(&needing));
        rows.push(("pull secret", None, text));
    }
    rows
}

/// How many workloads each decision takes in; a row a reason where there are reasons.
fn decisions(plan: &Plan, survey: &Survey) -> Vec<Row> {
    let repointed = repointed(plan, survey);
    let mut rows = Vec::new();
    if !repointed.is_empty() {
        rows.push(("repoint", Some(repointed.len()), by_kind(&repointed)));
    }
    let rest = plan
        .workloads
        .iter()
        .filter_map(|planned| match &planned.decision {
            Decision::Repoint(_) => None,
            Decision::CopyOnly(reason) => Some(("copy only", like(reason))),
            Decision::Unchanged => Some(("unchanged", "already cloned")),
            Decision::Skip(reason) => Some(("skipped", like(reason))),
        });
    let mut last = "";
    for ((head, reason), count) in tally(rest) {
        rows.push((
            if head == last { "" } else { head },
            Some(count),
            reason.to_owned(),
        ));
        last = head;
    }
    rows
}

/// The command for the workloads that are left to their owners.
fn next(plan: &Plan, scene: &Scene<'_>) -> Option<Row> {
    let owned: Vec<&Planned> = plan
        .workloads
        .iter()
        .filter(|one| one.is_left_to_its_owner())
        .collect();
    let what = match owned.as_slice() {
        [] => return None,
        [one] => {
            let id = &one.workload.id;
            format!("{id} -n {}", id.namespace)
        }
        several => {
            let places = several.iter().map(|one| &one.workload.id.namespace);
            let places: BTreeSet<&String> = places.collect();
            match places.len() {
                1..=3 => {
                    let places: Vec<String> = places
                        .into_iter()
                        .map(|name| format!("ns/{name}"))
                        .collect();
                    places.join(" ")
                }
                _ => "-A".to_owned(),
            }
        }
    };
    let to = scene.to.map_or(String::new(), |to| format!(" --to {to}"));
    let text = format!(
        "clone {what}{to} -o kustomize prints what the manifests of the owned need; --owned live \
         repoints them"
    );
    Some(("next", None, text))
}

fn needs_secret(planned: &Planned) -> bool {
    matches!(&planned.decision, Decision::Repoint(repoint) if repoint.needs_pull_secret.is_some())
}

/// `Deployment 42, StatefulSet 5`.
fn by_kind(members: &[&Planned]) -> String {
    let kinds = tally(
        members
            .iter()
            .map(|planned| planned.workload.id.kind.kind.as_str()),
    );
    let kinds: Vec<_> = kinds
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let kinds = kinds.join(", ");
    match members
        .iter()
        .filter(|planned| planned.workload.recreates)
        .count()
    {
        0 => kinds,
        1 => format!("{kinds}; 1 uses Recreate: downtime"),
        many => format!("{kinds}; {many} use Recreate: downtime"),
    }
}
