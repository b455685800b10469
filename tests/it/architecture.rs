//! The direction of the modules: a pure module imports nothing that does I/O, an earlier stage nothing of
//! a later one. Held by reading the sources, so that it holds for code that nobody runs.

use std::fs;
use std::path::Path;

/// The stages in their order: each may import those before it.
const ORDER: &[&str] = &[
    "spelling",
    "reference",
    "platform",
    "target",
    "workload",
    "manifest",
    "plan",
    "patch",
    "outcome",
    "status",
    "config",
    "credentials",
    "registry",
    "cluster",
    "execute",
    "doctor",
    "report",
    "install",
    "lease",
    "watch",
    "webhook",
];

/// The modules that do no I/O, read no clock and know no client.
const PURE: &[&str] = &[
    "spelling",
    "reference",
    "platform",
    "target",
    "workload",
    "plan",
    "patch",
    "outcome",
    "status",
    "manifest",
    "report",
    "install",
];

/// What does I/O, reads a clock or knows a client, as it stands in source text.
const IMPURE: [&str; 16] = [
    "kube::",
    "reqwest::",
    "tokio::",
    "oci_client::",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::io",
    "SystemTime",
    "Instant",
    "crate::config",
    "crate::credentials",
    "crate::registry",
    "crate::cluster",
    "crate::execute",
];

/// What is wrong with a module's source, one line each.
fn violations(module: &str, source: &str) -> Vec<String> {
    let Some(place) = ORDER.iter().position(|stage| *stage == module) else {
        return vec![format!(
            "{module} is not among the stages: give it its place in ORDER"
        )];
    };
    let later = ORDER[place + 1..]
        .iter()
        .map(|stage| (format!("crate::{stage}"), "a later stage"));
    let impure = IMPURE
        .iter()
        .filter(|_| PURE.contains(&module))
        .map(|name| ((*name).to_owned(), "not pure"));
    let code = code(source);
    let text = format!("{code}\n{}", imports(&code).join("\n"));
    later
        .chain(impure)
        .filter(|(name, _)| mentions(&text, name))
        .map(|(name, why)| format!("{module} uses {name}, {why}"))
        .collect()
}

/// What of a source is compiled into the library: no comments, no tests.
fn code(source: &str) -> String {
    let end = source
        .find("\n#[cfg(test)]\nmod tests {")
        .unwrap_or(source.len());
    let lines = source[..end].lines();
    let bare: Vec<&str> = lines
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    bare.join("\n")
}

/// The paths of all `use` declarations, each written out: `crate::{a, b}` is `crate::a` and `crate::b`.
fn imports(code: &str) -> Vec<String> {
    code.split(';')
        .filter_map(|statement| statement.rsplit_once("use "))
        .flat_map(|(_, tree)| written_out("", tree))
        .collect()
}

fn written_out(prefix: &str, tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((head, group)) = tree.strip_suffix('}').and_then(|tree| tree.split_once('{')) else {
        return vec![format!("{prefix}{tree}")];
    };
    let mut depth = 0;
    group
        .split(|character| {
            depth += i32::from(character == '{') - i32::from(character == '}');
            character == ',' && depth == 0
        })
        .flat_map(|item| written_out(&format!("{prefix}{head}"), item))
        .collect()
}

/// Whether a text has this path, not as the end or the beginning of a longer name.
fn mentions(text: &str, name: &str) -> bool {
    let in_name = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    text.match_indices(name).any(|(start, _)| {
        let before = start
            .checked_sub(1)
            .and_then(|before| text.as_bytes().get(before));
        let after = text.as_bytes().get(start + name.len());
        !in_name(before) && (name.ends_with("::") || !in_name(after))
    })
}

/// The sources of a module: `NAME.rs` and all that is below `NAME/`, except its tests.
fn sources(path: &Path) -> Vec<(String, String)> {
    if path.file_stem().is_some_and(|stem| stem == "tests") {
        return vec![];
    }
    if path.is_file() {
        if path.extension().is_none_or(|end| end != "rs") {
            return vec![];
        }
        return vec![(
            path.display().to_string(),
            fs::read_to_string(path).unwrap(),
        )];
    }
    let entries = fs::read_dir(path).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.iter().flat_map(|entry| sources(entry)).collect()
}

#[test]
fn no_stage_imports_what_comes_after_it_or_does_io() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![];
    for entry in fs::read_dir(src).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if module == "lib" {
            continue;
        }
        for (file, source) in sources(&path) {
            let wrong = violations(&module, &source);
            found.extend(wrong.iter().map(|violation| format!("{file}: {violation}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_map_of_modules_has_every_stage_in_its_order_and_tells_which_are_pure() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let lib = fs::read_to_string(path).unwrap();
    let cells = |row: &str| -> Option<(String, bool)> {
        let cells: Vec<_> = row.strip_prefix("//! | ")?.split(" | ").collect();
        let [name, _, pure] = cells.as_slice() else {
            return None;
        };
        let name = name.trim_matches(['[', ']', '`']);
        let name = name.strip_prefix("mod@").unwrap_or(name);
        Some((name.to_owned(), pure.trim_end_matches(" |") == "yes"))
    };
    // the first is the heading
    let map: Vec<_> = lib.lines().filter_map(cells).skip(1).collect();
    let expected: Vec<_> = ORDER
        .iter()
        .map(|stage| ((*stage).to_owned(), PURE.contains(stage)))
        .collect();
    assert_eq!(map, expected);
    let modules = lib
        .lines()
        .filter(|line| line.starts_with("pub mod ") || line.starts_with("mod "));
    assert_eq!(modules.count(), ORDER.len());
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let mut count = 0;
    for folder in ["src", "plugin", "agent"] {
        let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        for (file, source) in files {
            count += 1;
            assert!(source.starts_with("//! "), "{file}");
        }
    }
    assert!(count > 200, "{count} files were found");
}

#[test]
fn violations_are_found_in_code_and_nowhere_else() {
    let pure = "\
//! Never asks [`crate::cluster`].
use crate::workload::Workload; // not crate::cluster
use crate::planet::Mars;

fn instantly() -> std::time::Duration {}

#[cfg(test)]
mod tests {
    use std::fs;
}
";
    assert_eq!(violations("plan", pure), [""; 0]);
    let wrong = "\
use crate::patch;
use crate::{
    reference::{Digest, Reference},
    cluster::Cluster, report,
};
use std::{collections::{BTreeMap, BTreeSet}, fs};
fn now() -> std::time::Instant {}
fn client(kube::Client) {}
";
    assert_eq!(
        violations("plan", wrong),
        [
            "plan uses crate::patch, a later stage",
            "plan uses crate::cluster, a later stage",
            "plan uses crate::report, a later stage",
            "plan uses kube::, not pure",
            "plan uses std::fs, not pure",
            "plan uses Instant, not pure",
            "plan uses crate::cluster, not pure",
        ]
    );
    assert_eq!(
        violations("utils", ""),
        ["utils is not among the stages: give it its place in ORDER"]
    );
}
