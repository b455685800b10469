//! The agent's own image, made of its binary and certificate authorities, with no tool but this one.
//!
//! Decides what is in it, and that the same input gives the same digest: nothing in it tells when, where or
//! by whom it was made. Never runs the binary.

mod binary;
mod sbom;

pub use binary::{Binary, own_architecture};

use crate::credentials::Credentials;
use crate::outcome::Failure;
use crate::reference::Reference;
use crate::registry::{Copied, Copier, Extras, Made, Progress, Registries, digest_of};
use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use oci_client::manifest::{
    IMAGE_LAYER_GZIP_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use pem::{EncodeConfig, LineEnding, Pem};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::Duration;

const CONFIG_MEDIA_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const PROGRAM: &str = "image-cloner-agent";
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
/// The certificate authorities that Mozilla trusts, as one file has them. Those of the system that the image
/// is made on are its owner's business: a pod of somebody else's would trust them from then on, and the same
/// version would be another image on each system. Others are named for a registry, by its `caFile`.
pub fn authorities() -> Vec<u8> {
    let certificates = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let certificates = certificates.map(|one| Pem::new("CERTIFICATE", one.as_ref()));
    let options = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_many_config(&certificates.collect::<Vec<_>>(), options).into()
}

/// The image for these binaries: an index where there are several, in the order of their architectures.
///
/// # Errors
/// When there is no binary.
pub fn make(binaries: &[Binary], authorities: &[u8], version: &str) -> Result<Made, Failure> {
    let mut made = Made {
        name: "image-cloner.internal".to_owned(),
        root: Bytes::new(),
        children: Vec::new(),
        blobs: Vec::new(),
        referrers: BTreeMap::new(),
    };
    let mut entries = Vec::new();
    for binary in binaries {
        let sbom = sbom::of(binary);
        let (manifest, blobs) = one(binary, authorities, sbom.as_ref(), version)
            .map_err(|error| Failure::new(format!("making the agent's image: {error}")))?;
        entries.push(json!({
            "mediaType": OCI_IMAGE_MEDIA_TYPE,
            "digest": digest_of(&manifest).to_string(),
            "size": manifest.len(),
            "platform": {"os": "linux", "architecture": binary.architecture()},
        }));
        if let Some(sbom) = sbom {
            let (referrer, blobs) = sbom::referrer(sbom, &manifest);
            made.referrers.insert(digest_of(&manifest), referrer);
            made.blobs.extend(blobs);
        }
        made.children.push(manifest);
        made.blobs.extend(blobs);
    }
    made.root = match made.children.as_slice() {
        [] => return Err(Failure::new("making the agent's image: no binary for it")),
        [_] => made.children.remove(0),
        _ => document(&json!({
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE,
            "manifests": entries,
            "annotations": about(version),
        })),
    };
    Ok(made)
}

/// Pushes an image to where it is to be, and what refers to it behind it: that never fails the image.
///
/// # Errors
/// When the target does not take it.
pub async fn push(
    image: &Made,
    to: &Reference,
    registries: &Registries,
    credentials: &Credentials,
) -> Result<Copied, Failure> {
    let failed = |error| Failure::from(error).context(format!("pushing the agent's image to {to}"));
    let source = image.source().map_err(failed)?;
    let target = registries.target(to, credentials).await.map_err(failed)?;
    let engine = Copier::new(1).with(Extras {
        referrers: true,
        ..Extras::default()
    });
    let copied = engine.copy(&source, &target, true, &Quiet).await;
    copied.map_err(failed)
}

/// An image of one platform: its manifest, its config and its layer.
fn one(
    binary: &Binary,
    authorities: &[u8],
    sbom: Option<&Bytes>,
    version: &str,
) -> io::Result<(Bytes, [Bytes; 2])> {
    let tar = archive(binary.bytes(), authorities)?;
    let layer = compressed(&tar)?;
    let config = document(&json!({
        "os": "linux",
        "architecture": binary.architecture(),
        "config": {
            "Entrypoint": [format!("/{PROGRAM}")],
            "User": "65532:65532",
            "Env": [format!("SSL_CERT_FILE=/{AUTHORITIES}")],
            "Labels": about(version),
        },
        "rootfs": {"type": "layers", "diff_ids": [digest_of(&tar).to_string()]},
    }));
    let mut annotations = about(version);
    if let Some(sbom) = sbom {
        // its own manifest names this one: only its content can be named here
        annotations[sbom::ANNOTATION] = digest_of(sbom).to_string().into();
    }
    let manifest = document(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_MEDIA_TYPE,
        "config": descriptor(CONFIG_MEDIA_TYPE, &config),
        "layers": [descriptor(IMAGE_LAYER_GZIP_MEDIA_TYPE, &layer)],
        "annotations": annotations,
    }));
    Ok((manifest, [config, layer]))
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest_of(content).to_string(), "size": content.len()})
}

fn about(version: &str) -> Value {
    let mut about = json!({
        "org.opencontainers.image.title": PROGRAM,
        "org.opencontainers.image.description": "keeps a cluster's images in its own registry",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
    });
    // Cargo.toml is the one place that says where this comes from; where it does not, nothing is said
    let source = env!("CARGO_PKG_REPOSITORY");
    if !source.is_empty() {
        about["org.opencontainers.image.source"] = source.into();
    }
    about
}

/// What is in the image, owned by root, from the first of January 1970.
fn archive(binary: &[u8], authorities: &[u8]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        tar.append_data(&mut header, name, content)
    };
    for folder in ["etc/", "etc/ssl/", "etc/ssl/certs/"] {
        add(folder, tar::EntryType::Directory, 0o755, &[])?;
    }
    add(AUTHORITIES, tar::EntryType::Regular, 0o644, authorities)?;
    add(PROGRAM, tar::EntryType::Regular, 0o755, binary)?;
    tar.into_inner()
}

/// gzip with a header that says nothing of this system.
fn compressed(bytes: &[u8]) -> io::Result<Bytes> {
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::new(), Compression::default());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?.into())
}

fn document(value: &Value) -> Bytes {
    value.to_string().into()
}

/// Nobody watches: it is a few megabytes.
struct Quiet;

impl Progress for Quiet {
    fn expected(&self, _bytes: u64) {}
    fn carried(&self, _bytes: u64) {}
    fn waiting(&self, _why: &str, _pause: Duration) {}
}

#[cfg(test)]
mod tests {
    use super::binary::tests::elf;
    use super::*;
    use std::io::Read as _;

    fn binary(machine: u16) -> Binary {
        Binary::parse("agent", elf(machine, false)).unwrap()
    }

    #[test]
    fn the_same_input_gives_the_same_digest_and_another_one_another() {
        let made = |machine, authorities: &[u8], version| {
            make(&[binary(machine)], authorities, version)
                .unwrap()
                .digest()
        };
        let first = made(62, b"ca", "1");
        assert_eq!(made(62, b"ca", "1"), first);
        assert_ne!(made(183, b"ca", "1"), first);
        assert_ne!(made(62, b"other", "1"), first);
        assert_ne!(made(62, b"ca", "2"), first);
        // as it was yesterday, on another machine
        insta::assert_snapshot!(first.to_string(), @"sha256:14ce347028176ad716e919265ae9c96d1b85afaff26cdc1f7a3acd36b8ef3bb8");
    }

    #[test]
    fn the_authorities_are_the_same_on_every_system() {
        let authorities = String::from_utf8(authorities()).unwrap();
        let parsed = pem::parse_many(&authorities).unwrap();
        let known = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        assert_eq!(parsed.len(), known.len());
        assert_eq!(parsed[0].contents(), known[0].as_ref());
        assert!(!authorities.contains('\r'));
        assert!(authorities.len() > 100_000);
    }

    #[test]
    fn the_image_says_of_itself_what_cargo_toml_says() {
        let about = about("1");
        let source = about["org.opencontainers.image.source"].as_str();
        assert_eq!(source.unwrap_or_default(), env!("CARGO_PKG_REPOSITORY"));
        assert_eq!(about["org.opencontainers.image.licenses"], "Apache-2.0");
    }

    #[test]
    fn it_holds_the_binary_and_the_authorities_of_nobody_in_particular() {
        let made = make(&[binary(62)], b"ca", "1").unwrap();
        let config: Value = serde_json::from_slice(&made.blobs[0]).unwrap();
        assert_eq!(
            config["config"]["Entrypoint"],
            json!(["/image-cloner-agent"])
        );
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(made.blobs[1].as_ref())
            .read_to_end(&mut tar)
            .unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest_of(&tar).to_string());
        let mut archive = tar::Archive::new(tar.as_slice());
        let entries: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                format!(
                    "{:o} {}:{} {} {} {}",
                    header.mode().unwrap(),
                    header.uid().unwrap(),
                    header.gid().unwrap(),
                    header.mtime().unwrap(),
                    header.size().unwrap(),
                    entry.path().unwrap().display()
                )
            })
            .collect();
        let size = binary(62).bytes().len();
        assert_eq!(
            entries,
            [
                "755 0:0 0 0 etc/".to_owned(),
                "755 0:0 0 0 etc/ssl/".to_owned(),
                "755 0:0 0 0 etc/ssl/certs/".to_owned(),
                "644 0:0 0 2 etc/ssl/certs/ca-certificates.crt".to_owned(),
                format!("755 0:0 0 {size} image-cloner-agent"),
            ]
        );
    }

    #[test]
    fn several_architectures_make_an_index_of_what_each_makes_alone() {
        let both = make(&[binary(62), binary(183)], b"ca", "1").unwrap();
        let index: Value = serde_json::from_slice(&both.root).unwrap();
        let alone = make(&[binary(183)], b"ca", "1").unwrap();
        assert_eq!(index["manifests"][1]["digest"], alone.digest().to_string());
        assert_eq!(
            index["manifests"][1]["platform"],
            json!({"os": "linux", "architecture": "arm64"})
        );
        assert_eq!(both.blobs.len(), 4);
    }
}
