//! Checks as a list, and as a document.

use super::text::wrap;
use crate::outcome::{Check, Verdict};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Where what was found begins.
const INDENT: usize = 20;

/// Where ways to mend begin: they are long.
const MEND: usize = 6;

/// A line for each check, `ok    push          what was found`, and the ways to mend it below, which are
/// not broken in two: they are there to be pasted. `paint` may colour a verdict.
pub fn checks(checks: &[Check], width: usize, paint: impl Fn(Verdict, &str) -> String) -> String {
    let mut screen = String::new();
    for check in checks {
        let word = check.verdict.word();
        let line = format!("{word:<4}  {:<12}  {}", check.name, check.found);
        let line = wrap_after(&line, width);
        screen += &paint(check.verdict, word);
        screen += &line[word.len()..];
        screen.push('\n');
        for mend in &check.mend {
            let _ = writeln!(screen, "{:MEND$}{mend}", "");
        }
    }
    screen
}

/// Wraps what was found; what is in front of it keeps its blanks.
fn wrap_after(line: &str, width: usize) -> String {
    let (head, found) = line.split_at(INDENT);
    let blank = "_".repeat(INDENT);
    let wrapped = wrap(&format!("{blank}{found}"), width, INDENT);
    format!("{head}{}", &wrapped[INDENT..])
}

/// The checks as a document.
pub fn checks_file(checks: &[Check]) -> Value {
    let one = |check: &Check| {
        json!({
            "name": check.name,
            "verdict": check.verdict.word(),
            "found": check.found,
            "mend": check.mend,
        })
    };
    json!({
        "apiVersion": "image-cloner.io/v1alpha1",
        "kind": "Checks",
        "checks": checks.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_a_list_with_ways_to_mend_below() {
        let list = [
            Check::ok("cluster", "v1.33.1 at https://10.0.0.1:6443, context prod-eu"),
            Check::fail(
                "push",
                "POST https://reg.corp/v2/mirror/image-cloner-doctor/blobs/uploads/: 403 DENIED (as robot)",
            )
            .mend("the project mirror must exist"),
            Check::skip("nodes", "not asked").mend("kubectl image-cloner doctor --nodes"),
        ];
        insta::assert_snapshot!(checks(&list, 80, |_, word| word.to_owned()), @r"
        ok    cluster       v1.33.1 at https://10.0.0.1:6443, context prod-eu
        fail  push          POST
                            https://reg.corp/v2/mirror/image-cloner-doctor/blobs/uploads/:
                            403 DENIED (as robot)
              the project mirror must exist
        skip  nodes         not asked
              kubectl image-cloner doctor --nodes
        ");
    }
}
