//! Where images are in a manifest.
//!
//! Decides what is an object and what a pod spec, by their shape: of kinds that nobody here knows, too.

use super::tree::{Id, Tree};
use super::{Image, Kustomization, Object};
use crate::workload::{Kind, Names, ORIGINALS, SKIP, Slot, SlotKey, SlotList, WorkloadId};
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

/// The API group of `kustomization.yaml`, which is no object of a cluster.
const KUSTOMIZE: &str = "kustomize.config.k8s.io";

/// Flux's, whose `spec` has what a `kustomization.yaml` has.
const FLUX: &str = "kustomize.toolkit.fluxcd.io";

/// Where a kustomization lists what it changes.
const LISTS: [&str; 5] = [
    "resources",
    "bases",
    "components",
    "patches",
    "patchesStrategicMerge",
];

/// What there is in a text, as [`super::Manifest`] has it.
pub(super) struct Found {
    pub(super) objects: Vec<Object>,
    pub(super) others: Vec<usize>,
    pub(super) kustomizations: Vec<Kustomization>,
}

/// Finds the objects of all documents, and what stands beside them.
pub(super) fn objects(tree: &Tree, text: &str) -> Found {
    let mut finder = Finder {
        tree,
        text,
        objects: Vec::new(),
        kustomizations: Vec::new(),
        seen: HashSet::new(),
    };
    let mut others = Vec::new();
    for root in &tree.roots {
        if !finder.object(*root, "") && !tree.is_null(*root) {
            others.push(tree.line(*root));
            let listed = finder.listed(*root);
            finder.kustomization(*root, Some(listed));
        }
    }
    let kustomizations = std::mem::take(&mut finder.kustomizations);
    Found {
        objects: finder.finish(),
        others,
        kustomizations,
    }
}

struct Finder<'a> {
    tree: &'a Tree,
    text: &'a str,
    /// Objects with the nodes of their images.
    objects: Vec<(Object, Vec<Id>)>,
    kustomizations: Vec<Kustomization>,
    /// Objects that were met already: aliases may lead to one in many ways.
    seen: HashSet<Id>,
}

impl Finder<'_> {
    /// Takes a node for an object or a list of such, where it is one. `of` is the kind of what has none, as
    /// the items of a `PodList`.
    fn object(&mut self, node: Id, of: &str) -> bool {
        let tree = self.tree;
        let field = |name| tree.get(node, name).and_then(|value| tree.text(value));
        let kind = field("kind").unwrap_or(of);
        let version = field("apiVersion").unwrap_or_default();
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let has_version = !version.is_empty() || !of.is_empty();
        if kind.is_empty() || !has_version || group == KUSTOMIZE {
            return false;
        }
        if !self.seen.insert(tree.resolve(node)) {
            return true;
        }
        if let (FLUX, Some(spec)) = (group, tree.get(node, "spec")) {
            // its path is one in a repository, which is not told here
            self.kustomization(spec, None);
        }
        let items = tree.get(node, "items").and_then(|items| tree.items(items));
        if let (Some(of), Some(items)) = (kind.strip_suffix("List"), items) {
            for item in items {
                self.object(*item, of);
            }
            return true;
        }
        let metadata = tree.get(node, "metadata");
        let named = |field| {
            let value = tree.get(metadata?, field)?;
            tree.text(value).map(str::to_owned)
        };
        let annotation = |place: &str, name: &str| {
            let value = tree.get(tree.get(metadata?, place)?, name)?;
            tree.text(value)
        };
        let opted_out =
            |place| annotation(place, SKIP).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let object = Object {
            id: WorkloadId {
                kind: Kind::from(Names {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    kind: kind.to_owned(),
                    plural: kind.to_lowercase() + "s",
                }),
                namespace: named("namespace").unwrap_or_default(),
                name: named("name").unwrap_or_default(),
            },
            opted_out: opted_out("annotations") || opted_out("labels"),
            record: annotation("annotations", ORIGINALS)
                .and_then(|record| serde_json::from_str(record).ok()),
            images: Vec::new(),
        };
        let mut templates = Templates {
            tree,
            text: self.text,
            seen: HashSet::new(),
            images: Vec::new(),
        };
        templates.of_object(node);
        let (images, nodes) = templates.images.into_iter().unzip();
        self.objects.push((Object { images, ..object }, nodes));
        true
    }

    /// The files and folders that a kustomization lists.
    fn listed(&self, node: Id) -> Vec<String> {
        let tree = self.tree;
        let mut listed = Vec::new();
        for field in LISTS {
            let items = tree.get(node, field).and_then(|items| tree.items(items));
            for item in items.unwrap_or_default() {
                let path = tree.get(*item, "path").unwrap_or(*item);
                listed.extend(tree.text(path).map(str::to_owned));
            }
        }
        listed
    }

    /// The images that a kustomization has something to say about.
    fn kustomization(&mut self, node: Id, listed: Option<Vec<String>>) {
        let tree = self.tree;
        let images = tree
            .get(node, "images")
            .and_then(|images| tree.items(images));
        let names = images.unwrap_or_default().iter().filter_map(|image| {
            let says = |field| tree.get(*image, field).is_some();
            let changes = ["newName", "newTag", "digest"].into_iter().any(says);
            tree.text(tree.get(*image, "name")?).filter(|_| changes)
        });
        let images: BTreeSet<String> = names.map(str::to_owned).collect();
        if !images.is_empty() || listed.as_ref().is_some_and(|listed| !listed.is_empty()) {
            self.kustomizations.push(Kustomization { images, listed });
        }
    }

    /// The objects, once all images are known: what stands in other places as well cannot be changed.
    fn finish(self) -> Vec<Object> {
        let all = self.objects.iter().flat_map(|(_, nodes)| nodes);
        let images: HashSet<Id> = all.copied().collect();
        let mut shared = self.tree.places();
        shared.retain(|_, places| !places.iter().all(|place| images.contains(place)));
        self.objects
            .into_iter()
            .map(|(mut object, nodes)| {
                for (image, node) in object.images.iter_mut().zip(nodes) {
                    if shared.contains_key(&self.tree.resolve(node)) {
                        image.span = Err("its YAML anchor stands for other values as well");
                    }
                }
                object
            })
            .collect()
    }
}

/// The pod templates of one object.
struct Templates<'a> {
    tree: &'a Tree,
    text: &'a str,
    /// Nodes that were met already: aliases may lead anywhere, as often as they like.
    seen: HashSet<Id>,
    images: Vec<(Image, Id)>,
}

impl Templates<'_> {
    fn of_object(&mut self, object: Id) {
        if let Some(spec) = self.tree.get(object, "spec") {
            // a Pod's own, and that of kinds which add containers to the pods of others
            self.pod_spec(spec, Some(&["spec".to_owned()]));
        }
        for (key, value) in self.tree.entries(object).unwrap_or_default() {
            let key = self.tree.text(*key).unwrap_or_default();
            // what was, and what is said about it
            if !matches!(key, "metadata" | "status") {
                self.field(key, *value, Some(&[]));
            }
        }
    }

    /// A field below an object: a template, or what has some further down.
    fn field(&mut self, key: &str, value: Id, above: Option<&[String]>) {
        let path = match (above, key) {
            (Some(above), "<<") => Some(above.to_vec()),
            (Some(above), _) => Some([above, &[key.to_owned()]].concat()),
            (None, _) => None,
        };
        if (key == "template" || key.ends_with("Template"))
            && let Some(spec) = self.tree.get(value, "spec")
        {
            let of_spec = path
                .as_ref()
                .map(|path| [path.as_slice(), &["spec".to_owned()]].concat());
            self.pod_spec(spec, of_spec.as_deref());
        }
        if !self.seen.insert(self.tree.resolve(value)) {
            return;
        }
        for (key, value) in self.tree.entries(value).unwrap_or_default() {
            let key = self.tree.text(*key).unwrap_or_default();
            self.field(key, *value, path.as_deref());
        }
        for item in self.tree.items(value).unwrap_or_default() {
            self.field("", *item, None);
        }
    }

    /// The images of a pod spec, which is known by its lists.
    fn pod_spec(&mut self, spec: Id, path: Option<&[String]>) {
        for list in [
            SlotList::Containers,
            SlotList::InitContainers,
            SlotList::EphemeralContainers,
            SlotList::ImageVolumes,
        ] {
            let items = self.tree.get(spec, list.field());
            let items = items.and_then(|items| self.tree.items(items));
            for (index, item) in items.unwrap_or_default().iter().enumerate() {
                if let Some((slot, node)) = self.slot(list, index, *item) {
                    let image = Image {
                        slot,
                        pod_spec: path.map(<[String]>::to_vec),
                        line: self.tree.line(node),
                        span: self.span(node),
                    };
                    self.images.push((image, node));
                }
            }
        }
    }

    fn slot(&self, list: SlotList, index: usize, item: Id) -> Option<(Slot, Id)> {
        let get = |mapping, key| self.tree.get(mapping, key);
        let (node, policy) = match list {
            SlotList::ImageVolumes => {
                let source = get(item, "image")?;
                (get(source, "reference")?, get(source, "pullPolicy"))
            }
            _ => (get(item, "image")?, get(item, "imagePullPolicy")),
        };
        let image = match self.tree.text(node) {
            Some(text) => text,
            // nothing, or templated text that happens to be YAML: `{{ .Values.image }}`
            None => self.tree.collection_text(node, self.text)?,
        };
        let text = |node: Option<Id>| node.and_then(|node| self.tree.text(node));
        let slot = Slot {
            key: SlotKey {
                list,
                name: text(get(item, "name")).unwrap_or_default().to_owned(),
            },
            index,
            image: image.to_owned(),
            never_pulled: text(policy) == Some("Never"),
        };
        Some((slot, node))
    }

    fn span(&self, node: Id) -> Result<Range<usize>, &'static str> {
        let node = self.tree.resolve(node);
        let span = self.tree.value_span(node, self.text);
        span.ok_or("it does not stand in the text as one word")
    }
}
