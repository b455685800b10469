//! Which manifests a kustomization reaches with its `images:`.
//!
//! Decides by the paths as they are written: a folder stands for everything in it. Never opens a file, and
//! never follows a link.

use super::Manifest;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// What a kustomization says of images, and of which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kustomization {
    /// Names of images that it puts others in place of: an image that is repointed loses its name, and with it
    /// what is said of it here.
    pub images: BTreeSet<String>,
    /// The files and folders that it lists; none where that cannot be told, and so may be any.
    pub listed: Option<Vec<String>>,
}

/// The names that kustomizations look for in each of these manifests, which are at these places.
pub fn kustomized<'a>(
    manifests: &'a [Manifest],
    places: &[Option<PathBuf>],
) -> Vec<BTreeSet<&'a str>> {
    let all = || {
        let each = manifests.iter().zip(places);
        each.flat_map(|(manifest, place)| {
            let kustomizations = manifest.kustomizations.iter();
            kustomizations.map(move |one| (one, place.as_deref().and_then(Path::parent)))
        })
    };
    let mut names = vec![BTreeSet::new(); manifests.len()];
    for (kustomization, folder) in all() {
        let reached = listed(kustomization, folder).map(|mut reached| {
            // what it lists lists more: a folder is one with a kustomization of its own
            let mut at = 0;
            while at < reached.len() {
                for (other, folder) in all() {
                    if folder.is_some_and(|folder| plain(folder).starts_with(&reached[at])) {
                        let more = listed(other, folder).unwrap_or_default();
                        let new = more.into_iter().filter(|path| !reached.contains(path));
                        let new: Vec<PathBuf> = new.collect();
                        reached.extend(new);
                    }
                }
                at += 1;
            }
            reached
        });
        for (names, place) in names.iter_mut().zip(places) {
            let is_reached = match (&reached, place) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(reached), Some(place)) => {
                    let place = plain(place);
                    reached.iter().any(|path| place.starts_with(path))
                }
            };
            if is_reached {
                names.extend(kustomization.images.iter().map(String::as_str));
            }
        }
    }
    names
}

/// Where the files and folders are that it lists; none where that cannot be told.
fn listed(kustomization: &Kustomization, folder: Option<&Path>) -> Option<Vec<PathBuf>> {
    let (listed, folder) = (kustomization.listed.as_ref()?, folder?);
    Some(
        listed
            .iter()
            .map(|path| plain(&folder.join(path)))
            .collect(),
    )
}

/// A path without `.` and `..`, as far as it can be written so.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(plain.components().next_back(), Some(Component::Normal(_))) =>
            {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that are looked for in each of these files.
    fn names(files: &[(&str, &str)]) -> Vec<String> {
        let manifests = files.iter().map(|(_, text)| Manifest::read(text).unwrap());
        let manifests: Vec<Manifest> = manifests.collect();
        let places = files.iter().map(|(place, _)| match *place {
            "-" => None,
            place => Some(PathBuf::from(place)),
        });
        let places: Vec<Option<PathBuf>> = places.collect();
        let names = kustomized(&manifests, &places);
        names
            .iter()
            .map(|names| names.iter().copied().collect::<Vec<_>>().join(","))
            .collect()
    }

    #[test]
    fn a_kustomization_reaches_what_it_lists_and_what_that_lists() {
        let pod = "apiVersion: v1\nkind: Pod\n";
        let images = "images: [{name: nginx, newTag: '1'}]\n";
        let overlay =
            format!("resources: [../base, ./own.yaml]\npatches: [{{path: p.yaml}}]\n{images}");
        let files = [
            ("/r/prod/kustomization.yaml", overlay.as_str()),
            ("/r/prod/own.yaml", pod),
            ("/r/prod/p.yaml", pod),
            ("/r/prod/other.yaml", pod),
            (
                "/r/base/kustomization.yaml",
                "resources: [web.yaml, ../common/x.yaml]\n",
            ),
            ("/r/base/web.yaml", pod),
            ("/r/common/x.yaml", pod),
            ("/r/based/web.yaml", pod),
            ("-", pod),
        ];
        let reached = ["", "nginx", "nginx", "", "nginx", "nginx", "nginx", "", ""];
        assert_eq!(names(&files), reached);
    }

    #[test]
    fn where_it_cannot_be_told_what_is_listed_it_may_be_anything() {
        let pod = "apiVersion: v1\nkind: Pod\n";
        let flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec:\n  path: ./x\n  \
                    images: [{name: nginx, newTag: '1'}]\n";
        assert_eq!(
            names(&[("/r/flux.yaml", flux), ("/s/pod.yaml", pod)]),
            ["nginx", "nginx"]
        );
        let stdin = "resources: [a.yaml]\nimages: [{name: nginx, newTag: '1'}]\n";
        assert_eq!(
            names(&[("-", stdin), ("/s/pod.yaml", pod)]),
            ["nginx", "nginx"]
        );
    }
}
