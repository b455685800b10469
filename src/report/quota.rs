//! What sources still let be read, and whether it is enough for a run.

use crate::outcome::{Reads, Survey};
use std::collections::BTreeMap;

/// Where a run needs more than a source still lets be read, and what to do about it; one line each.
pub fn shortages(survey: &Survey) -> Vec<String> {
    let accounts = accounts(survey).into_iter();
    accounts
        .filter(is_short)
        .map(|reads| line(&reads))
        .collect()
}

/// What each source that counts still lets be read, and what the run needs of it.
pub(super) fn lines(survey: &Survey) -> Vec<String> {
    accounts(survey).iter().map(line).collect()
}

/// The reads of all images, for each registry and user together.
fn accounts(survey: &Survey) -> Vec<Reads> {
    let mut accounts: BTreeMap<_, Reads> = BTreeMap::new();
    let found = survey.values().filter_map(|found| found.as_ref().ok());
    for reads in found.filter_map(|found| found.reads.as_ref()) {
        let account = (&reads.registry, &reads.user);
        match accounts.get_mut(&account) {
            Some(sum) => {
                sum.made += reads.made;
                sum.needed += reads.needed;
                sum.exact &= reads.exact;
            }
            None => {
                accounts.insert(account, reads.clone());
            }
        }
    }
    accounts.into_values().collect()
}

fn is_short(reads: &Reads) -> bool {
    reads.needed > reads.left
}

fn line(reads: &Reads) -> String {
    let Reads {
        registry,
        user,
        limit,
        left,
        window,
        made,
        needed,
        exact,
    } = reads;
    let needs = match (needed, exact) {
        (0, _) => format!("no more ({made} made)"),
        (needed, true) => needed.to_string(),
        (needed, false) => format!("at least {needed}"),
    };
    let figures = format!("{registry}: {left} of {limit} manifest reads left");
    let line = format!("{figures}, this run needs {needs}");
    if !is_short(reads) {
        return line;
    }
    let advice = match user {
        None => "log in there for more, or wait",
        Some(_) => "wait",
    };
    let hours = window.as_secs().div_ceil(3600);
    format!("{line}: it will stall; {advice} (counted over {hours} h)")
}
