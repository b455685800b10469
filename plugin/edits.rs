//! What manifests need so that they name the copies, printed as kustomize and kubectl take it.

use crate::args::Output;
use crate::ending::yaml_text;
use crate::manifests::append;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use image_cloner::manifest::kustomize::Renames;
use image_cloner::manifest::{Edit, patch};
use image_cloner::workload::WorkloadId;

/// In which form edits are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The `images:` of a `kustomization.yaml`.
    Kustomize,
    /// A strategic merge patch for each object.
    Patch,
}

impl Form {
    /// The one that is asked for, where one is.
    pub(crate) fn of(output: Option<Output>) -> Option<Self> {
        match output {
            Some(Output::Kustomize) => Some(Self::Kustomize),
            Some(Output::Patch) => Some(Self::Patch),
            _ => None,
        }
    }
}

/// As it is typed.
impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kustomize => "-o kustomize",
            Self::Patch => "-o patch",
        })
    }
}

/// What one object needs.
pub(crate) struct Edited {
    /// Where it is: `web.yaml:7`, or its namespace.
    pub(crate) place: String,
    pub(crate) workload: WorkloadId,
    pub(crate) edits: Vec<Edit>,
    /// Its images that stay as they are, each with its place.
    pub(crate) left: Vec<(String, String)>,
}

/// Prints what these objects need; the exit code, 3 where some of it cannot be put in this form.
pub(crate) fn print(form: Form, all: &[Edited], terminal: &Terminal) -> Result<u8, Stopped> {
    match form {
        Form::Kustomize => kustomize(all, terminal),
        Form::Patch => patches(all, terminal),
    }
}

/// An entry is for all images of its name: also for those that are left.
fn kustomize(all: &[Edited], terminal: &Terminal) -> Result<u8, Stopped> {
    let renames = Renames::of(all.iter().flat_map(|one| &one.edits));
    for (place, image) in all.iter().flat_map(|one| &one.left) {
        if renames.find(image) {
            terminal.note(&format!(
                "{place}: kustomize will change {image} too, as every image of that name"
            ));
        }
    }
    let mut code = 0;
    for (name, new) in renames.torn() {
        code = 3;
        let new: Vec<&str> = new.iter().map(String::as_str).collect();
        terminal.note(&format!(
            "no entry for {name}: kustomize has one for all of its images, which need {}",
            new.join(" and ")
        ));
    }
    terminal.stream(&yaml_text(&renames.document())?)?;
    Ok(code)
}

/// A document an object.
fn patches(all: &[Edited], terminal: &Terminal) -> Result<u8, Stopped> {
    let mut code = 0;
    let mut stream = String::new();
    for Edited {
        place,
        workload,
        edits,
        ..
    } in all.iter().filter(|one| !one.edits.is_empty())
    {
        match patch::strategic(workload, edits) {
            Ok(patch) => append(&mut stream, &yaml_text(&patch)?),
            Err(reason) => {
                code = 3;
                terminal.note(&format!("{place}: no patch for {workload}: {reason}"));
            }
        }
    }
    terminal.stream(&stream)?;
    Ok(code)
}
