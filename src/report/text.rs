//! Figures and names as short text.

use comfy_table::{CellAlignment, Table};
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes in decimal units with two or three significant digits: `512 B`, `71 MB`, `2.9 GB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut figure = count as f64;
    let mut unit = 0;
    while figure >= 999.5 && unit + 1 < UNITS.len() {
        figure /= 1000.0;
        unit += 1;
    }
    if unit > 0 && figure < 9.95 {
        format!("{figure:.1} {}", UNITS[unit])
    } else {
        format!("{figure:.0} {}", UNITS[unit])
    }
}

/// A duration as kubectl prints ages: `0.4s`, `12s`, `3m12s`, `1h5m`.
pub fn duration(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1}s", time.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `1 image`, `2 images`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A name that fits a column: its end, which tells images apart, is kept.
pub(super) fn shorten(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let head = width.saturating_sub(2) / 3;
    let tail = width.saturating_sub(head + 2);
    let start: String = name.chars().take(head).collect();
    let end: String = name.chars().skip(length - tail).collect();
    format!("{start}..{end}")
}

/// A reason without the name in it, so that like ones are counted together: `controlled by ReplicaSet/web`,
/// `would be reverted by Argo CD (shop)`.
pub(super) fn like(reason: &str) -> &str {
    let end = if reason.starts_with("controlled by ") {
        reason.find('/')
    } else if reason.starts_with("would be reverted by ") {
        reason.find(" (")
    } else {
        None
    };
    &reason[..end.unwrap_or(reason.len())]
}

/// How often each occurs, in their order.
pub(super) fn tally<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// Text in lines of at most `width` columns where its words allow it; later lines start with `indent`
/// blanks.
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut column = 0;
    for (at, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if at > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
    }
    wrapped
}

/// A table without borders, two blanks between columns; the columns at `right` are figures.
pub(super) fn rows(table: &mut Table, right: &[usize]) -> String {
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_digits_that_matter() {
        let check = |count, text| assert_eq!(bytes(count), text);
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1.0 kB");
        check(71_300_000, "71 MB");
        check(999_600_000, "1.0 GB");
        check(2_940_000_000, "2.9 GB");
    }

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        let check = |millis, text| assert_eq!(duration(Duration::from_millis(millis)), text);
        check(420, "0.4s");
        check(12_000, "12s");
        check(192_000, "3m12s");
        check(3_900_000, "1h5m");
    }

    #[test]
    fn long_text_is_wrapped_under_its_start() {
        let check = |text, expected| assert_eq!(wrap(text, 12, 2), expected);
        check("short", "short");
        check("one two three four", "one two\n  three four");
        check(
            "a-word-longer-than-it-all x",
            "a-word-longer-than-it-all\n  x",
        );
        check("a    b", "a    b");
        check("   b", "   b");
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(
            shorten("quay.io/argoproj/argocd:v3", 40),
            "quay.io/argoproj/argocd:v3"
        );
        assert_eq!(
            shorten("quay.io/argoproj/argocd:v3", 16),
            "quay../argocd:v3".to_owned()
        );
    }
}
