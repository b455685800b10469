//! The bill of materials of an agent's binary: what `cargo auditable` wrote into it, as CycloneDX has it.
//!
//! Decides how that is put, and that the same binary gives the same document: it has no date and no serial
//! number. Never says what the binary does not.

use super::{Binary, descriptor, document};
use auditable_info::audit_info_from_slice;
use auditable_serde::{DependencyKind, Package, Source, VersionInfo};
use bytes::Bytes;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use serde_json::{Value, json};

/// By this an image's manifest names the document.
pub(super) const ANNOTATION: &str = "io.image-cloner.sbom";

const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

/// The config of what is no image (image-spec 1.1, "Guidance for an Empty Descriptor").
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");

/// Several hundred packages take 50 KiB.
const ROOM: usize = 8 * 1024 * 1024;

/// The document; none where the binary lists nothing that can be read.
pub(super) fn of(binary: &Binary) -> Option<Bytes> {
    match audit_info_from_slice(binary.bytes(), ROOM) {
        Ok(info) => Some(document(&cyclonedx(&info))),
        Err(error) => {
            let architecture = binary.architecture();
            tracing::info!("no SBOM for the agent's image for linux/{architecture}: {error}");
            None
        }
    }
}

/// The manifest by which it refers to an image, and what that consists of.
pub(super) fn referrer(sbom: Bytes, image: &[u8]) -> (Bytes, [Bytes; 2]) {
    let (media_type, empty) = EMPTY;
    let manifest = document(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_MEDIA_TYPE,
        "artifactType": MEDIA_TYPE,
        "config": descriptor(media_type, empty),
        "layers": [descriptor(MEDIA_TYPE, &sbom)],
        "subject": descriptor(OCI_IMAGE_MEDIA_TYPE, image),
    }));
    (manifest, [Bytes::from_static(empty), sbom])
}

fn cyclonedx(info: &VersionInfo) -> Value {
    let packages = || info.packages.iter().enumerate();
    let components = packages().filter(|(_, package)| !package.root);
    let components = components.map(|(index, package)| component(index, package));
    let root = packages().find(|(_, package)| package.root);
    let dependencies = packages().map(|(index, package)| {
        let on = package.dependencies.iter().map(ToString::to_string);
        json!({"ref": index.to_string(), "dependsOn": on.collect::<Vec<_>>()})
    });
    let root = root.map(|(index, package)| json!({"component": component(index, package)}));
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": root.unwrap_or_else(|| json!({})),
        "components": components.collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    })
}

fn component(index: usize, package: &Package) -> Value {
    let (name, version) = (&package.name, package.version.to_string());
    let mut component = json!({
        "type": if package.root { "application" } else { "library" },
        "bom-ref": index.to_string(),
        "name": name,
        "version": version,
    });
    // the scheme means what crates.io has under that name
    if package.source == Source::CratesIo {
        let version = version.replace('+', "%2B");
        component["purl"] = format!("pkg:cargo/{name}@{version}").into();
    }
    // what only builds is not in the program
    if package.kind == DependencyKind::Build {
        component["scope"] = "excluded".into();
    }
    component
}

#[cfg(test)]
mod tests {
    use super::super::binary::tests::{elf, listing};
    use super::super::{digest_of, make};
    use super::*;

    const LIST: &str = r#"{"packages":[
        {"name":"cc","version":"1.2.0","source":"crates.io","kind":"build"},
        {"name":"ours","version":"0.1.0","source":"local","dependencies":[0,2],"root":true},
        {"name":"yaml","version":"0.9.34+deprecated","source":"crates.io"}]}"#;

    fn binary(machine: u16) -> Binary {
        Binary::parse("agent", listing(elf(machine, false), LIST)).unwrap()
    }

    #[test]
    fn it_says_what_the_binary_says_and_nothing_of_when_or_where() {
        insta::assert_snapshot!(std::str::from_utf8(&of(&binary(62)).unwrap()).unwrap(), @r#"{"bomFormat":"CycloneDX","components":[{"bom-ref":"0","name":"cc","purl":"pkg:cargo/cc@1.2.0","scope":"excluded","type":"library","version":"1.2.0"},{"bom-ref":"2","name":"yaml","purl":"pkg:cargo/yaml@0.9.34%2Bdeprecated","type":"library","version":"0.9.34+deprecated"}],"dependencies":[{"dependsOn":[],"ref":"0"},{"dependsOn":["0","2"],"ref":"1"},{"dependsOn":[],"ref":"2"}],"metadata":{"component":{"bom-ref":"1","name":"ours","type":"application","version":"0.1.0"}},"specVersion":"1.5","version":1}"#);
    }

    #[test]
    fn a_binary_without_a_list_that_can_be_read_has_none() {
        for bytes in [
            elf(62, false),
            listing(elf(62, false), "{}"),
            listing(elf(62, false), "not JSON"),
        ] {
            let binary = Binary::parse("agent", bytes).unwrap();
            assert_eq!(of(&binary), None);
            let made = make(&[binary], b"ca", "1").unwrap();
            assert!(made.referrers.is_empty());
            assert!(!String::from_utf8_lossy(&made.root).contains(ANNOTATION));
        }
    }

    #[test]
    fn each_platforms_manifest_names_its_document_which_refers_to_it() {
        let made = make(&[binary(62), binary(183)], b"ca", "1").unwrap();
        assert_eq!(made.referrers.len(), 2);
        for child in &made.children {
            let image: Value = serde_json::from_slice(child).unwrap();
            let referrer: Value =
                serde_json::from_slice(&made.referrers[&digest_of(child)]).unwrap();
            assert_eq!(referrer["subject"]["digest"], digest_of(child).to_string());
            assert_eq!(referrer["artifactType"], MEDIA_TYPE);
            let named = &image["annotations"][ANNOTATION];
            assert_eq!(*named, referrer["layers"][0]["digest"]);
            assert_eq!(*named, digest_of(&of(&binary(62)).unwrap()).to_string());
            for part in [&referrer["config"], &referrer["layers"][0]] {
                let has = |blob: &Bytes| part["digest"] == digest_of(blob).to_string();
                assert!(made.blobs.iter().any(has), "{part}");
            }
        }
        let again = make(&[binary(62), binary(183)], b"ca", "1").unwrap();
        assert_eq!(again.digest(), made.digest());
        assert_eq!(again.referrers, made.referrers);
    }
}
