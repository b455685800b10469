//! An agent's binary, as its file says.
//!
//! Decides whether it can run in an image that has nothing else. Never runs it.

use crate::outcome::Failure;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const NAME: &str = "image-cloner-agent";

/// A program for Linux that needs no other file.
#[derive(Debug, Clone)]
pub struct Binary {
    architecture: &'static str,
    bytes: Bytes,
}

/// What ELF calls a machine, and what images and Rust do.
const MACHINES: [(u16, &str, &str); 7] = [
    (62, "amd64", "x86_64-unknown-linux-gnu"),
    (183, "arm64", "aarch64-unknown-linux-gnu"),
    (40, "arm", "armv7-unknown-linux-gnueabihf"),
    (21, "ppc64le", "powerpc64le-unknown-linux-gnu"),
    (22, "s390x", "s390x-unknown-linux-gnu"),
    (243, "riscv64", "riscv64gc-unknown-linux-gnu"),
    (3, "386", "i686-unknown-linux-gnu"),
];

impl Binary {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is no static program for Linux; the hint says how one is built.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::new(format!("reading {}: {error}", path.display())))?;
        Self::parse(&path.display().to_string(), bytes)
    }

    /// Those for these architectures in a folder: `image-cloner-agent-linux-ARCH`, else
    /// `image-cloner-agent` where it is one of them.
    ///
    /// # Errors
    /// When there is none at all, or one of them cannot be used.
    pub fn beside(folder: &Path, architectures: &BTreeSet<String>) -> Result<Vec<Self>, Failure> {
        let mut found = Vec::new();
        for architecture in architectures {
            let own = folder.join(format!("{NAME}-linux-{architecture}"));
            if own.is_file() {
                let binary = Self::read(&own)?;
                if binary.architecture != architecture {
                    return Err(Failure::new(format!(
                        "{} is for {}, not for {architecture}",
                        own.display(),
                        binary.architecture
                    ))
                    .hint(built_by(architecture)));
                }
                found.push(binary);
            }
        }
        let bare = folder.join(NAME);
        if found.len() < architectures.len() && bare.is_file() {
            let binary = Self::read(&bare)?;
            let known = found
                .iter()
                .any(|one: &Self| one.architecture == binary.architecture);
            if !known && architectures.contains(binary.architecture) {
                found.push(binary);
            }
        }
        found.sort_by_key(|binary| binary.architecture);
        match architectures.first() {
            Some(first) if found.is_empty() => Err(Failure::new(format!(
                "no agent for linux/{first} in {}: {NAME}-linux-{first} or {NAME}",
                folder.display()
            ))
            .hint(built_by(first))
            .hint("--agent-binary names a file, --agent-image an image that is there already")),
            _ => Ok(found),
        }
    }

    /// These files, of which each is for some of these architectures.
    ///
    /// # Errors
    /// When one is for none of them or for the same as another, or cannot be used.
    pub fn named(
        paths: &[PathBuf],
        architectures: &BTreeSet<String>,
    ) -> Result<Vec<Self>, Failure> {
        let mut found: BTreeMap<&str, Self> = BTreeMap::new();
        for path in paths {
            let binary = Self::read(path)?;
            let architecture = binary.architecture;
            let path = path.display();
            if !architectures.contains(architecture) {
                let nodes: Vec<&str> = architectures.iter().map(String::as_str).collect();
                let failure = Failure::new(format!(
                    "{path} is for linux/{architecture}: the nodes are linux/{}",
                    nodes.join(", linux/")
                ));
                return Err(match nodes.first() {
                    Some(node) => failure.hint(built_by(node)),
                    None => failure,
                });
            }
            if found.insert(architecture, binary).is_some() {
                let message = format!("{path} is another one for linux/{architecture}");
                return Err(Failure::new(message));
            }
        }
        Ok(found.into_values().collect())
    }

    /// The architecture, as images name it.
    pub fn architecture(&self) -> &'static str {
        self.architecture
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn parse(path: &str, bytes: Vec<u8>) -> Result<Self, Failure> {
        let refused = |why: &str, architecture: &str| {
            Failure::new(format!("{path} {why}")).hint(built_by(architecture))
        };
        let Some(elf) = Elf::read(&bytes) else {
            return Err(refused("is no program for Linux", own_architecture()));
        };
        let machine = MACHINES
            .iter()
            .find(|(machine, ..)| *machine == elf.machine);
        let Some((_, architecture, _)) = machine else {
            let why = format!(
                "is for a machine that is not known here (ELF {})",
                elf.machine
            );
            return Err(refused(&why, own_architecture()));
        };
        if elf.needs_loader {
            let why = "is not statically linked: there is nothing else in the agent's image";
            return Err(refused(why, architecture));
        }
        Ok(Self {
            architecture,
            bytes: bytes.into(),
        })
    }
}

/// The command that builds one.
fn built_by(architecture: &str) -> String {
    let target = MACHINES
        .iter()
        .find(|(_, known, _)| *known == architecture)
        .map_or("x86_64-unknown-linux-gnu", |(_, _, target)| target);
    format!(
        "RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --target {target} --bin {NAME}"
    )
}

/// This machine's architecture, as images name it.
pub fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

/// What is read of an ELF file.
struct Elf {
    machine: u16,
    /// Whether it names a dynamic linker (`PT_INTERP`): a static-pie does not.
    needs_loader: bool,
}

impl Elf {
    fn read(bytes: &[u8]) -> Option<Self> {
        const PT_INTERP: u64 = 3;
        if bytes.get(..4)? != b"\x7fELF" {
            return None;
        }
        let wide = *bytes.get(4)? == 2;
        let little = *bytes.get(5)? == 1;
        let number = |at: usize, length: usize| -> Option<u64> {
            let field = bytes.get(at..at.checked_add(length)?)?;
            let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
            Some(if little {
                field.iter().rev().fold(0, fold)
            } else {
                field.iter().fold(0, fold)
            })
        };
        let machine = u16::try_from(number(18, 2)?).ok()?;
        let (offset, size, count) = if wide {
            (number(32, 8)?, number(54, 2)?, number(56, 2)?)
        } else {
            (number(28, 4)?, number(42, 2)?, number(44, 2)?)
        };
        let mut needs_loader = false;
        for index in 0..count {
            let at = offset.checked_add(index.checked_mul(size)?)?;
            needs_loader |= number(usize::try_from(at).ok()?, 4)? == PT_INTERP;
        }
        Some(Self {
            machine,
            needs_loader,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use std::io::Write as _;

    /// The least that is a program: a header and one entry of its table.
    pub(crate) fn elf(machine: u16, needs_loader: bool) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64] = if needs_loader { 3 } else { 1 };
        bytes
    }

    /// The same with what `cargo auditable` adds: a section `.dep-v0`, compressed.
    pub(crate) fn listing(mut bytes: Vec<u8>, list: &str) -> Vec<u8> {
        const NAMES: &[u8] = b"\0.dep-v0\0.shstrtab\0";
        let mut section = ZlibEncoder::new(Vec::new(), Compression::default());
        section.write_all(list.as_bytes()).unwrap();
        let section = section.finish().unwrap();
        // name, type, offset and size of each; the first is nothing by definition
        let at = bytes.len();
        let table = [
            (0, 0, 0, 0),
            (1, 1, at, section.len()),
            (9, 3, at + section.len(), NAMES.len()),
        ];
        bytes.extend(section.iter().chain(NAMES));
        let start = bytes.len() as u64;
        for (name, kind, offset, size) in table {
            let mut header = [0; 64];
            header[0] = name;
            header[4] = kind;
            header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
            bytes.extend(header);
        }
        bytes[40..48].copy_from_slice(&start.to_le_bytes());
        (bytes[58], bytes[60], bytes[62]) = (64, 3, 2);
        bytes
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_program_that_needs_a_loader_is_refused_with_the_command_that_builds_one_without() {
        let refused = Binary::parse("bin/agent", elf(183, true)).unwrap_err();
        assert_eq!(
            refused.message,
            "bin/agent is not statically linked: there is nothing else in the agent's image"
        );
        assert_eq!(
            refused.hints,
            [
                "RUSTFLAGS='-C target-feature=+crt-static' cargo build --release \
              --target aarch64-unknown-linux-gnu --bin image-cloner-agent"
            ]
        );
        let script = Binary::parse("bin/agent", b"#!/bin/sh".to_vec()).unwrap_err();
        assert_eq!(script.message, "bin/agent is no program for Linux");
        let cut = Binary::parse("bin/agent", elf(62, false)[..60].to_vec());
        assert_eq!(
            cut.unwrap_err().message,
            "bin/agent is no program for Linux"
        );
    }

    #[test]
    fn a_named_binary_is_for_the_nodes_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        std::fs::write(&path, elf(183, false)).unwrap();
        let named = |paths: &[PathBuf], nodes: &[&str]| Binary::named(paths, &set(nodes));
        let paths = [path.clone()];
        assert_eq!(named(&paths, &["arm64"]).unwrap().len(), 1);
        let refused = named(&paths, &["amd64", "s390x"]).unwrap_err();
        let end = "/agent is for linux/arm64: the nodes are linux/amd64, linux/s390x";
        assert!(refused.message.ends_with(end), "{refused}");
        assert!(refused.hints[0].contains("--target x86_64-unknown-linux-gnu "));
        assert!(named(&[path.clone(), path], &["arm64"]).is_err());
    }

    #[test]
    fn the_binaries_of_the_nodes_architectures_are_found_beside_the_plugin() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, machine| {
            std::fs::write(folder.path().join(name), elf(machine, false)).unwrap();
        };
        let found = |architectures: &[&str]| {
            Binary::beside(folder.path(), &set(architectures)).map(|found| {
                let found = found.iter().map(Binary::architecture);
                found.collect::<Vec<_>>().join(",")
            })
        };
        let nothing = found(&["amd64"]).unwrap_err();
        assert!(
            nothing.message.starts_with("no agent for linux/amd64 in "),
            "{nothing}"
        );
        write("image-cloner-agent", 62);
        write("image-cloner-agent-linux-arm64", 183);
        assert_eq!(found(&["amd64", "arm64"]).unwrap(), "amd64,arm64");
        assert_eq!(found(&["arm64"]).unwrap(), "arm64");
        // what is there for some is used for those
        assert_eq!(found(&["amd64", "s390x"]).unwrap(), "amd64");
        write("image-cloner-agent-linux-s390x", 62);
        let wrong = found(&["s390x"]).unwrap_err();
        assert!(
            wrong.message.ends_with("is for amd64, not for s390x"),
            "{wrong}"
        );
    }
}
