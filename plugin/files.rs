//! Manifest files: which ones are meant, reading them, and writing one over without harm.

use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::config::overwrite;
use image_cloner::manifest::{Manifest, ReadError};
use image_cloner::outcome::Failure;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The endings of manifest files in a folder, as kubectl has them.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// Where a manifest came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Stdin,
    /// Named by itself.
    File(PathBuf),
    /// Found in a folder that was named.
    InFolder(PathBuf),
}

/// A manifest and where it came from.
pub(crate) struct Input {
    pub(crate) origin: Origin,
    pub(crate) manifest: Manifest,
}

/// As people read it: `deploy.yaml`, `standard input`.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) | Self::InFolder(path) => path.display().fmt(f),
        }
    }
}

impl Origin {
    /// The file, where it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdin => None,
            Self::File(path) | Self::InFolder(path) => Some(path),
        }
    }

    /// Where the file is, however it was named.
    pub(crate) fn place(&self) -> Option<PathBuf> {
        let path = self.path()?;
        Some(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }

    /// The folder that this is the `kustomization.yaml` of.
    pub(crate) fn kustomized(&self) -> Option<String> {
        let path = self.path()?;
        let name = path.file_name()?.to_str()?;
        // the names that kustomize looks for
        if !["kustomization.yaml", "kustomization.yml", "Kustomization"].contains(&name) {
            return None;
        }
        let folder = path.parent()?.display().to_string();
        Some(if folder.is_empty() {
            ".".to_owned()
        } else {
            folder
        })
    }

    /// Whether it is what a Helm chart has beside its templates.
    fn is_of_chart(&self) -> bool {
        let name = self.path().and_then(|path| path.file_name()?.to_str());
        name.is_some_and(|name| name.starts_with("values") || name == "Chart.yaml")
    }

    /// The text that is there.
    fn read(&self) -> Result<String, Stopped> {
        let mut bytes = Vec::new();
        let read = match self.path() {
            None => io::stdin().lock().read_to_end(&mut bytes),
            Some(path) => File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
        };
        read.map_err(|error| Stopped::wrong(Failure::new(format!("reading {self}: {error}"))))?;
        String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.split(|byte| *byte == b'\n').count();
            Stopped::wrong(Failure::new(format!(
                "reading {self}:{line}: not UTF-8 text"
            )))
        })
    }
}

/// The manifests that are meant. What cannot be read is named, all of it.
pub(crate) fn read(
    names: &[String],
    recursive: bool,
    terminal: &Terminal,
) -> Result<Vec<Input>, Stopped> {
    let mut inputs = Vec::new();
    let mut refused = Vec::new();
    for origin in find(names, recursive)? {
        let text = origin.read()?;
        let manifest = match Manifest::read(&text) {
            Ok(manifest) => manifest,
            Err(error) => {
                refused.push(not_yaml(&origin, &text, &error));
                continue;
            }
        };
        match (&origin, manifest.others.first()) {
            (Origin::InFolder(_), Some(line)) if manifest.objects.is_empty() => {
                if origin.kustomized().is_none() {
                    terminal.note(&format!("{origin}:{line}: passed over: {NO_OBJECT}"));
                }
                inputs.push(Input { origin, manifest });
            }
            (_, Some(line)) if manifest.objects.is_empty() => {
                refused.push(no_object(&origin, *line));
            }
            _ => inputs.push(Input { origin, manifest }),
        }
    }
    let Some(last) = refused.pop() else {
        return Ok(inputs);
    };
    for failure in refused {
        terminal.failure(&failure);
        terminal.hints(&failure);
    }
    Err(Stopped::wrong(last))
}

const RENDER: &str = "helm template ... | kubectl image-cloner clone -f -";
const NO_OBJECT: &str = "no Kubernetes object: it has no apiVersion or no kind";

/// What to do about a text that is not YAML, or not yet.
fn not_yaml(origin: &Origin, text: &str, error: &ReadError) -> Failure {
    let ReadError { line, reason } = error;
    let written = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    if !written.contains("{{") {
        return Failure::new(format!("{origin}:{line}: not YAML: {reason}"));
    }
    let written = written.trim();
    Failure::new(format!("{origin}:{line}: a template, not YAML: {written}")).hint(RENDER)
}

/// What to do instead with a file that people take for a manifest.
fn no_object(origin: &Origin, line: usize) -> Failure {
    if let Some(folder) = origin.kustomized() {
        return Failure::new(format!(
            "{origin}: a kustomization, which has no images of its own"
        ))
        .hint(format!(
            "kubectl kustomize {folder} | kubectl image-cloner clone -f -"
        ))
        .hint("with -o kustomize behind it: the images: that it needs");
    }
    let failure = Failure::new(format!("{origin}:{line}: {NO_OBJECT}"));
    if origin.is_of_chart() {
        failure.hint(RENDER)
    } else {
        failure
    }
}

/// What is meant by these names, in their order; the files of a folder by name, as kubectl takes them.
fn find(names: &[String], recursive: bool) -> Result<Vec<Origin>, Stopped> {
    let mut origins = Vec::new();
    for name in names {
        if name == "-" {
            if origins.contains(&Origin::Stdin) {
                let twice = "standard input can be read only once";
                return Err(Stopped::wrong(Failure::new(twice)));
            }
            origins.push(Origin::Stdin);
            continue;
        }
        if name.starts_with("https://") || name.starts_with("http://") {
            let failure = Failure::new(format!("{name:?} is not a file"));
            let hint = format!("curl -fsSL {name} | kubectl image-cloner clone -f -");
            return Err(Stopped::wrong(failure.hint(hint)));
        }
        let path = PathBuf::from(name);
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        if !metadata.is_dir() {
            origins.push(Origin::File(path));
            continue;
        }
        let before = origins.len();
        walk(&path, recursive, &mut origins)?;
        if origins.len() == before {
            let failure = Failure::new(format!("no *.yaml, *.yml or *.json file in {name}"));
            return Err(Stopped::wrong(if recursive {
                failure
            } else {
                failure.hint("-R looks in the folders below it as well")
            }));
        }
    }
    Ok(each_once(origins))
}

/// The same without files that come by a second name or link: they are one manifest, and writing one over
/// makes what was read of the other old.
fn each_once(mut origins: Vec<Origin>) -> Vec<Origin> {
    let mut seen = BTreeSet::new();
    origins.retain(|origin| {
        let place = origin.path().and_then(|path| fs::canonicalize(path).ok());
        place.is_none_or(|place| seen.insert(place))
    });
    origins
}

fn walk(folder: &Path, recursive: bool, origins: &mut Vec<Origin>) -> Result<(), Stopped> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|error| unreadable(folder, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // of the entry, not of what it links to: a linked folder may contain this one
        let kind = entry
            .file_type()
            .map_err(|error| unreadable(&path, &error))?;
        let ending = path.extension().and_then(|ending| ending.to_str());
        if kind.is_dir() {
            if recursive {
                walk(&path, recursive, origins)?;
            }
        } else if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && !path.is_dir() {
            origins.push(Origin::InFolder(path));
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Stopped {
    Stopped::wrong(Failure::new(format!("reading {}: {error}", path.display())))
}

/// Makes sure that a file can be written over, and changes nothing.
pub(crate) fn check_writable(path: &Path) -> Result<(), Stopped> {
    let opened = OpenOptions::new().write(true).open(path);
    opened.map(drop).map_err(|error| {
        Stopped::wrong(Failure::new(format!("writing {}: {error}", path.display())))
    })
}

/// Writes a file over at once, whole or not at all, as long as it still has the text `before`. Links stay
/// links, and the mode stays.
pub(crate) fn replace(path: &Path, before: &str, after: &str) -> Result<(), Failure> {
    let written = fs::read(path).and_then(|now| {
        if now != before.as_bytes() {
            return Err(io::Error::other(
                "it was changed by somebody else meanwhile",
            ));
        }
        overwrite(path, after.as_bytes())
    });
    written.map_err(|error| Failure::new(format!("writing {}: {error}", path.display())))
}
