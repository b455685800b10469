//! Whether copies are complete: as lines and as a document.

use super::text::{bytes, count};
use crate::outcome::Failure;
use crate::reference::Reference;
use crate::status::{Fault, Inventory};
use crate::target::TargetRegistry;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What was found out about each copy; a failure where that cannot be told.
type Verified = BTreeMap<Reference, Result<Inventory, Failure>>;

/// What stdout says of a copy: `nginx:1.25  complete, 12 blobs, 71 MB`.
pub fn verify_line(
    copy: &Reference,
    proven: &Result<Inventory, Failure>,
    target: &TargetRegistry,
) -> String {
    let name = below(copy, target);
    match proven {
        Ok(found) if found.is_complete() => {
            let blobs = count(found.blobs, "blob");
            let elsewhere = match found.foreign {
                0 => String::new(),
                layers => format!(", {} with their owner", count(layers, "foreign layer")),
            };
            let size = bytes(found.bytes);
            format!("{name}  complete, {blobs}, {size}{elsewhere}")
        }
        Ok(found) if found.digest.is_none() => format!("{name}  missing: not in the target"),
        Ok(found) => format!("{name}  incomplete: {}", faults(found)),
        Err(failure) => format!("{name}  unknown: {failure}"),
    }
}

/// `2 blobs missing, 1 blob corrupt`.
fn faults(found: &Inventory) -> String {
    let kinds = [
        (Fault::ManifestMissing, "manifest", "missing"),
        (Fault::BlobMissing, "blob", "missing"),
        (Fault::BlobCorrupt, "blob", "corrupt"),
    ];
    let kinds = kinds
        .into_iter()
        .map(|(fault, noun, what)| (found.count(fault), noun, what));
    let parts: Vec<String> = kinds
        .filter(|(number, ..)| *number > 0)
        .map(|(number, noun, what)| format!("{} {what}", count(number, noun)))
        .collect();
    parts.join(", ")
}

/// The figures at the end: `3 copies: 2 complete, 1 incomplete`.
pub fn verify_sum(verified: &Verified) -> String {
    let figures = figures(verified);
    let figures: Vec<String> = figures
        .into_iter()
        .filter(|(_, number)| *number > 0)
        .map(|(word, number)| format!("{number} {word}"))
        .collect();
    let all = match verified.len() {
        1 => "1 copy".to_owned(),
        many => format!("{many} copies"),
    };
    format!("{all}: {}", figures.join(", "))
}

fn figures(verified: &Verified) -> [(&'static str, usize); 4] {
    let number = |wanted: &str| verified.values().filter(|one| word(one) == wanted).count();
    ["complete", "incomplete", "missing", "unknown"].map(|word| (word, number(word)))
}

fn word(proven: &Result<Inventory, Failure>) -> &'static str {
    match proven {
        Ok(found) if found.is_complete() => "complete",
        Ok(found) if found.digest.is_none() => "missing",
        Ok(_) => "incomplete",
        Err(_) => "unknown",
    }
}

/// What was found out as a document. Every field is always there; null is what is not known.
pub fn verify_document(verified: &Verified, target: &TargetRegistry, deep: bool) -> Value {
    let copies: Vec<Value> = verified
        .iter()
        .map(|(copy, one)| entry(copy, one))
        .collect();
    let mut document = json!({
        "apiVersion": "image-cloner.io/v1alpha1",
        "kind": "Verification",
        "target": target.to_string(),
        "deep": deep,
        "summary": {"copies": verified.len()},
        "copies": copies,
    });
    for (word, number) in figures(verified) {
        document["summary"][word] = json!(number);
    }
    document
}

fn entry(copy: &Reference, proven: &Result<Inventory, Failure>) -> Value {
    let found = proven.as_ref().ok();
    let with = |fault: Fault| -> Vec<&str> {
        let faults = found.into_iter().flat_map(|found| &found.faults);
        let these = faults.filter(|(_, found)| **found == fault);
        these.map(|(digest, _)| digest.as_str()).collect()
    };
    json!({
        "target": copy.to_string(),
        "state": word(proven),
        "digest": found.and_then(|found| found.digest.as_ref()).map(ToString::to_string),
        "manifests": found.map(|found| found.manifests),
        "blobs": found.map(|found| found.blobs),
        "bytes": found.map(|found| found.bytes),
        "foreignLayers": found.map(|found| found.foreign),
        "missingManifests": with(Fault::ManifestMissing),
        "missingBlobs": with(Fault::BlobMissing),
        "corruptBlobs": with(Fault::BlobCorrupt),
        "error": proven.as_ref().err().map(|failure| &failure.message),
    })
}

/// A copy's name below the target registry, as the plan shows it.
fn below(copy: &Reference, target: &TargetRegistry) -> String {
    let full = copy.to_string();
    full.strip_prefix(&format!("{target}/"))
        .map_or(full.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Digest;

    fn digest(letter: char) -> Digest {
        let hex = letter.to_string().repeat(64);
        format!("sha256:{hex}").parse().unwrap()
    }

    #[test]
    fn each_copy_has_its_line_and_all_of_them_their_figures() {
        let target =
            TargetRegistry::parse("harbor.corp/mirror", crate::target::Layout::default()).unwrap();
        let sound = Inventory {
            digest: Some(digest('a')),
            manifests: 3,
            blobs: 12,
            bytes: 71_000_000,
            ..Inventory::default()
        };
        let faults = [
            (digest('b'), Fault::BlobMissing),
            (digest('c'), Fault::BlobMissing),
            (digest('d'), Fault::ManifestMissing),
            (digest('e'), Fault::BlobCorrupt),
        ];
        let broken = Inventory {
            faults: faults.into(),
            ..sound.clone()
        };
        let windows = Inventory {
            foreign: 2,
            ..sound.clone()
        };
        let verified: Verified = [
            ("harbor.corp/mirror/nginx:1.25", Ok(sound)),
            ("harbor.corp/mirror/corp/api:9", Ok(broken)),
            ("harbor.corp/mirror/iis:1", Ok(windows)),
            ("harbor.corp/mirror/lost:1", Ok(Inventory::default())),
            ("harbor.corp/mirror/zoo:1", Err(Failure::new("no route"))),
        ]
        .map(|(copy, proven)| (Reference::parse(copy).unwrap(), proven))
        .into();
        let mut lines: Vec<String> = verified
            .iter()
            .map(|(copy, proven)| verify_line(copy, proven, &target))
            .collect();
        lines.push(verify_sum(&verified));
        insta::assert_snapshot!(lines.join("\n"), @r#"
        corp/api:9  incomplete: 1 manifest missing, 2 blobs missing, 1 blob corrupt
        iis:1  complete, 12 blobs, 71 MB, 2 foreign layers with their owner
        lost:1  missing: not in the target
        nginx:1.25  complete, 12 blobs, 71 MB
        zoo:1  unknown: no route
        5 copies: 2 complete, 1 incomplete, 1 missing, 1 unknown
        "#);
        let first = verified.into_iter().take(1).collect();
        let document = verify_document(&first, &target, true);
        insta::assert_snapshot!(format!("{document:#}"), @r#"
        {
          "apiVersion": "image-cloner.io/v1alpha1",
          "copies": [
            {
              "blobs": 12,
              "bytes": 71000000,
              "corruptBlobs": [
                "sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
              ],
              "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "error": null,
              "foreignLayers": 0,
              "manifests": 3,
              "missingBlobs": [
                "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
              ],
              "missingManifests": [
                "sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
              ],
              "state": "incomplete",
              "target": "harbor.corp/mirror/corp/api:9"
            }
          ],
          "deep": true,
          "kind": "Verification",
          "summary": {
            "complete": 0,
            "copies": 1,
            "incomplete": 1,
            "missing": 0,
            "unknown": 0
          },
          "target": "harbor.corp/mirror"
        }
        "#);
    }
}
