//! Which digest of a source is meant, and who may read it.
//!
//! Decides between the digest that runs and the tag's, which of its platforms are meant, and which
//! credentials are tried. Never writes.

use crate::credentials::{Chain, Credentials, Keyring};
use crate::outcome::Failure;
use crate::plan::Copy;
use crate::platform::Platforms;
use crate::reference::Digest;
use crate::registry::{Error, Registries, Source, Target};
use crate::workload::WorkloadId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where images can be read, and with whose credentials.
pub(super) struct Sources {
    pub(super) registries: Arc<Registries>,
    pub(super) chain: Chain,
    pub(super) keyrings: BTreeMap<WorkloadId, Keyring>,
    pub(super) target_credentials: Credentials,
    pub(super) platforms: Platforms,
}

/// What will be copied, and where to.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    /// The image that is meant; the target's own where the source cannot be read.
    pub(super) source: Source,
    pub(super) target: Target,
    /// What the tag has upstream, where that is another digest than the one that runs.
    pub(super) moved: Option<Digest>,
    /// Things worth saying, each a sentence about the image.
    pub(super) notes: Vec<String>,
    /// Workloads whose own credentials do not read the source, and why.
    pub(super) denied: BTreeMap<WorkloadId, Failure>,
}

impl Settled {
    /// Whether the target has the digest that is meant already.
    pub(super) fn is_present(&self) -> bool {
        self.target.digest() == Some(self.source.digest())
    }
}

/// Some who ask for an image with the same credentials.
struct Reader {
    users: Vec<WorkloadId>,
    credentials: Vec<Credentials>,
}

/// What reading a source came to.
struct Read {
    source: Source,
    moved: Option<Digest>,
    /// What runs, where the source does not have it.
    gone: Option<Digest>,
    notes: Vec<String>,
}

/// Readers that were refused, and why.
type Refused = Vec<(Vec<WorkloadId>, Error)>;

/// Those of them who may not have the image from elsewhere either.
type Denied = Vec<(Vec<WorkloadId>, Failure)>;

impl Sources {
    /// Decides which digest is meant: the one that runs, where the pods agree and it can be had, else the
    /// tag's. One HEAD on each side where nothing is out of the ordinary.
    pub(super) async fn settle(&self, copy: &Copy) -> Result<Settled, Failure> {
        if copy.source == copy.target {
            return self.settle_own(copy).await;
        }
        let readers = self.readers(copy).await?;
        let ((mut read, mut refused), target) = tokio::join!(
            self.read(copy, readers),
            self.registries
                .target(&copy.target, &self.target_credentials),
        );
        let target = target?;
        if let Some(found) = &read
            && self.chooses(copy)
            && target.digest() != Some(found.source.digest())
            && let Err(error) = self.registries.read(&found.source).await
        {
            refused.push((Vec::new(), error));
            read = None;
        }
        if let Some(read) = read {
            let read = self.look_for_what_runs(copy, read, &target).await?;
            let read = self.narrow(copy, read, &target).await?;
            return Ok(Settled {
                source: read.source,
                target,
                moved: read.moved,
                notes: read.notes,
                denied: denied_users(
                    refused
                        .into_iter()
                        .map(|(users, error)| (users, described(error)))
                        .collect(),
                ),
            });
        }
        self.stand_in(copy, refused, target).await
    }

    /// The target's copy in place of a source that cannot be read: one that is gone, limited or unreachable
    /// stops nobody. It must not be a way around the source's permissions.
    async fn stand_in(
        &self,
        copy: &Copy,
        refused: Refused,
        target: Target,
    ) -> Result<Settled, Failure> {
        let own = target.as_source();
        let content = match &own {
            Some(own) => self.content(own).await,
            None => Vec::new(),
        };
        let mut denied = Denied::new();
        let mut unreadable = None;
        for (users, error) in refused {
            let may_be_hidden = matches!(error, Error::NotFound { to_stranger, .. } if to_stranger);
            let is_denied = matches!(error, Error::Denied { .. });
            let mut failure = described(error);
            if may_be_hidden && own.is_some() {
                let registry = copy.source.registry();
                failure = failure.hint(format!(
                    "{registry} may hide it from strangers: its copy is for those who can read it there"
                ));
            }
            // whoever runs it was let in once
            let (strangers, others): (Vec<_>, Vec<_>) = users.iter().cloned().partition(|user| {
                let runs = copy.users.get(user).into_iter().flatten();
                is_denied || may_be_hidden && !runs.into_iter().any(|one| content.contains(one))
            });
            if is_denied || !strangers.is_empty() {
                denied.push((strangers, failure.clone()));
            }
            if !is_denied && (users.is_empty() || !others.is_empty()) {
                unreadable.get_or_insert(failure);
            }
        }
        let Some(error) = unreadable else {
            return Err(first(denied));
        };
        match own {
            Some(source) if stands_for(copy, source.digest(), &content) => Ok(Settled {
                source,
                target,
                moved: None,
                notes: vec![format!(
                    "{} cannot be read now, its copy in the target is used: {error}",
                    copy.source.familiar()
                )],
                denied: denied_users(denied),
            }),
            _ => Err(error),
        }
    }

    /// A digest and what is below it: some runtimes report the platform's manifest.
    async fn content(&self, image: &Source) -> Vec<Digest> {
        let children = self.registries.children(image).await;
        let mut content = children.unwrap_or_default();
        content.push(image.digest().clone());
        content
    }

    /// A copy that is to be named by its digest: the one that runs, else its tag's. The tag stays where it is.
    async fn settle_own(&self, copy: &Copy) -> Result<Settled, Failure> {
        let credentials = std::slice::from_ref(&self.target_credentials);
        let tagged = copy.target.with(copy.target.tag(), None);
        let tag = self.registries.source(&tagged, credentials).await;
        let mut notes = Vec::new();
        let own = match (copy.target.digest(), tag) {
            (Some(running), Ok(tag)) if tag.digest() != running => {
                // some runtimes report the platform's manifest, not the index that the tag names
                if self.registries.children(&tag).await?.contains(running) {
                    tag
                } else {
                    match self.registries.source(&copy.target, credentials).await {
                        Err(Error::NotFound { .. }) => {
                            notes.push(format!(
                                "{tagged}: what runs ({}) is not in the target; pinned to the tag's {}",
                                running.short(),
                                tag.digest().short()
                            ));
                            tag
                        }
                        found => found?,
                    }
                }
            }
            (Some(_), Err(Error::NotFound { .. })) => {
                self.registries.source(&copy.target, credentials).await?
            }
            (_, tag) => tag?,
        };
        let pinned = tagged.with(tagged.tag(), Some(own.digest()));
        let target = self.registries.target(&pinned, &self.target_credentials);
        Ok(Settled {
            target: target.await?,
            source: own,
            moved: None,
            notes,
            denied: BTreeMap::new(),
        })
    }

    /// What becomes of a digest that runs and that the source does not have. A runtime that knows one image
    /// by several names may give the digest of the target's copy, which is narrower or older than the tag.
    async fn look_for_what_runs(
        &self,
        copy: &Copy,
        mut read: Read,
        target: &Target,
    ) -> Result<Read, Error> {
        let Some(running) = read.gone.take() else {
            return Ok(read);
        };
        let name = copy.source.familiar();
        let upstream = read.source.digest().clone();
        let Some(own) = target.as_source().filter(|own| *own.digest() == running) else {
            read.notes.push(format!(
                "{name}: what runs ({}) is gone from its registry; the tag's {} is copied",
                running.short(),
                upstream.short()
            ));
            return Ok(read);
        };
        if copy.target.digest() == Some(&running) {
            // this very digest is meant, which nobody has but the target: narrowed once
            read.source = self.registries.seen_as(&read.source, &own).await?;
            return Ok(read);
        }
        let of_tag = self.registries.children(&read.source).await?;
        let of_copy = self.registries.children(&own).await?;
        if of_copy.is_empty() || !of_copy.iter().all(|child| of_tag.contains(child)) {
            read.notes.push(format!(
                "{name} is {} upstream; what runs is in the target: {}",
                upstream.short(),
                running.short()
            ));
            read.moved = Some(upstream);
            read.source = own;
        }
        Ok(read)
    }

    /// Whether some platforms of this image are meant and others not. A digest stands for all of them: a
    /// pinned image is what it is.
    fn chooses(&self, copy: &Copy) -> bool {
        let is_pinned = copy.source.digest().is_some() || copy.target.digest().is_some();
        self.platforms != Platforms::All && !is_pinned
    }

    /// The image for the platforms that are meant.
    async fn narrow(&self, copy: &Copy, mut read: Read, target: &Target) -> Result<Read, Error> {
        if self.chooses(copy) {
            let narrowing = self.registries.narrow(read.source, &self.platforms, target);
            read.source = narrowing.await?;
        } else if self.platforms != Platforms::All && read.source.is_index() {
            let name = copy.source.familiar();
            let note = format!("{name} is pinned to its digest: all of its platforms are copied");
            read.notes.push(note);
        }
        Ok(read)
    }

    /// Who asks for this image, grouped by the credentials they bring: a namespace's own pull secrets first,
    /// then this machine's.
    async fn readers(&self, copy: &Copy) -> Result<Vec<Reader>, Failure> {
        let (registry, repository) = (copy.source.registry(), copy.source.repository());
        let local = self
            .chain
            .find(registry, repository)
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        let mut readers: Vec<Reader> = Vec::new();
        for user in copy.users.keys() {
            let mut credentials = match self.keyrings.get(user) {
                Some(keyring) => keyring.find(registry, repository),
                None => Vec::new(),
            };
            credentials.push(local.clone());
            match readers
                .iter_mut()
                .find(|reader| reader.credentials == credentials)
            {
                Some(reader) => reader.users.push(user.clone()),
                None => readers.push(Reader {
                    users: vec![user.clone()],
                    credentials,
                }),
            }
        }
        if readers.is_empty() {
            readers.push(Reader {
                users: Vec::new(),
                credentials: vec![local],
            });
        }
        Ok(readers)
    }

    /// Settles the digest with the first reader that can, and checks that the others can read it too.
    async fn read(&self, copy: &Copy, readers: Vec<Reader>) -> (Option<Read>, Refused) {
        let mut found: Option<Read> = None;
        let mut refused = Vec::new();
        for reader in readers {
            let attempt = match &found {
                None => self.identify(copy, &reader.credentials).await.map(Some),
                Some(read) => {
                    let pinned = copy.source.with(None, Some(read.source.digest()));
                    let source = self.registries.source(&pinned, &reader.credentials).await;
                    source.map(|_| None)
                }
            };
            match attempt {
                Ok(Some(read)) => found = Some(read),
                Ok(None) => {}
                Err(error) => refused.push((reader.users, error)),
            }
        }
        (found, refused)
    }

    /// The image that one reader means: the running one, where the pods agree and it can be had.
    async fn identify(&self, copy: &Copy, credentials: &[Credentials]) -> Result<Read, Error> {
        let tag = self.registries.source(&copy.source, credentials).await;
        if copy.source.digest().is_some() {
            return tag.map(Read::of);
        }
        let mut all = copy.running.iter();
        let running = match (all.next(), all.next()) {
            (None, _) => return tag.map(Read::of),
            (Some(running), None) => running,
            (Some(_), Some(_)) => return self.choose(copy, tag?).await,
        };
        let pinned = copy.source.with(None, Some(running));
        let tag = match tag {
            Ok(tag) if tag.digest() == running => return Ok(Read::of(tag)),
            Ok(tag) => tag,
            Err(error @ Error::NotFound { .. }) => {
                let source = self.registries.source(&pinned, credentials).await;
                return source.map(Read::of).map_err(|_| error);
            }
            Err(error) => return Err(error),
        };
        // some runtimes report the platform's manifest, not the index that the tag names
        if self.registries.children(&tag).await?.contains(running) {
            return Ok(Read::of(tag));
        }
        let name = copy.source.familiar();
        let upstream = tag.digest().clone();
        match self.registries.source(&pinned, credentials).await {
            Ok(source) => Ok(Read {
                notes: vec![format!(
                    "{name} is {} upstream; what runs is copied: {}",
                    upstream.short(),
                    running.short()
                )],
                moved: Some(upstream),
                gone: None,
                source,
            }),
            Err(Error::NotFound { .. }) => Ok(Read {
                gone: Some(running.clone()),
                ..Read::of(tag)
            }),
            Err(error) => Err(error),
        }
    }

    /// The tag's image where pods run several digests: said, unless all of them are of it.
    async fn choose(&self, copy: &Copy, tag: Source) -> Result<Read, Error> {
        let upstream = tag.digest().clone();
        let children = self.registries.children(&tag).await?;
        let is_of_tag = |one: &Digest| *one == upstream || children.contains(one);
        if copy.running.iter().all(is_of_tag) {
            return Ok(Read::of(tag));
        }
        let running: Vec<&str> = copy.running.iter().map(Digest::short).collect();
        Ok(Read {
            notes: vec![format!(
                "{}: pods run several digests ({}); the tag's {} is copied",
                copy.source.familiar(),
                running.join(", "),
                upstream.short()
            )],
            moved: Some(upstream),
            ..Read::of(tag)
        })
    }
}

impl Read {
    fn of(source: Source) -> Self {
        Self {
            source,
            moved: None,
            gone: None,
            notes: Vec::new(),
        }
    }
}

/// Whether the target's copy may be used in place of a source that cannot be read: not when something else
/// is known to run. `content` is the copy's digest and what is below it.
fn stands_for(copy: &Copy, digest: &Digest, content: &[Digest]) -> bool {
    if copy.source.digest().is_some_and(|pinned| pinned != digest) {
        return false;
    }
    copy.running.contains(digest) || copy.running.iter().all(|one| content.contains(one))
}

fn described(error: Error) -> Failure {
    let is_gone = matches!(error, Error::NotFound { .. });
    let failure = Failure::from(error);
    if is_gone {
        failure.context("not in its registry")
    } else {
        failure
    }
}

/// Why each of these may not have the image.
fn denied_users(denied: Denied) -> BTreeMap<WorkloadId, Failure> {
    let mut all = BTreeMap::new();
    for (users, why) in denied {
        all.extend(users.into_iter().map(|user| (user, why.clone())));
    }
    all
}

/// The first refusal; there is one where nobody could read.
fn first(denied: Denied) -> Failure {
    let first = denied.into_iter().next();
    first.map_or_else(|| Failure::new("nobody asked for it"), |(_, why)| why)
}
