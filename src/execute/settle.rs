//! Which digest of a source is meant, and who may read it.
//!
//! Decides between the digest that runs and the tag's, and which credentials are tried. Never writes.

use crate::credentials::{Chain, Credentials, Keyring};
use crate::outcome::Failure;
use crate::plan::Copy;
use crate::reference::{Digest, Reference};
use crate::registry::{Error, Registries};
use crate::workload::WorkloadId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where images can be read, and with whose credentials.
pub(super) struct Sources {
    pub(super) registries: Arc<Registries>,
    pub(super) chain: Chain,
    pub(super) keyrings: BTreeMap<WorkloadId, Keyring>,
    pub(super) target_credentials: Credentials,
}

/// Which digest of a source is meant, and with which credentials it can be had.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    pub(super) digest: Digest,
    pub(super) credentials: Vec<Credentials>,
    /// The target has this digest under the target's name.
    pub(super) present: bool,
    /// What the tag has upstream, where that is another digest than the one that runs.
    pub(super) moved: Option<Digest>,
    /// The source cannot be read now, and why; the target's copy stands in for it.
    pub(super) unreadable: Option<String>,
    pub(super) denied: BTreeMap<WorkloadId, Failure>,
}

impl Sources {
    /// Decides which digest is meant: the one that runs, where the pods agree and it can be had, else the
    /// tag's.
    pub(super) async fn settle(&self, copy: &Copy) -> Result<Settled, Failure> {
        let readers = self.readers(copy).await?;
        let (source, target) = tokio::join!(
            self.read_source(copy, readers),
            self.registries
                .resolve(&copy.target, &self.target_credentials),
        );
        let target = match target {
            Ok(found) => found.map(|descriptor| descriptor.digest),
            // some registries answer so for a repository that is not there yet; the push will tell
            Err(Error::Denied { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        match source {
            Ok(read) => Ok(Settled {
                present: target.as_ref() == Some(&read.digest),
                digest: read.digest,
                credentials: read.credentials,
                moved: read.moved,
                unreadable: None,
                denied: read.denied,
            }),
            // a source that is gone, limited or unreachable while its copy is there stops nobody; one that
            // denies access does: the copy must not be a way around its permissions
            Err(error @ Error::Denied { .. }) => Err(Failure::from(error)),
            Err(error) => match target {
                Some(digest) if stands_in(copy, &digest) => Ok(Settled {
                    digest,
                    credentials: Vec::new(),
                    present: true,
                    moved: None,
                    unreadable: Some(Failure::from(error).message),
                    denied: BTreeMap::new(),
                }),
                _ => Err(Failure::from(error)),
            },
        }
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
        for user in &copy.users {
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
    async fn read_source(&self, copy: &Copy, readers: Vec<Reader>) -> Result<Read, Error> {
        let mut found: Option<Read> = None;
        let mut refused = Vec::new();
        for reader in readers {
            let attempt = match &found {
                None => self.identify(copy, &reader.credentials).await.map(Some),
                Some(read) => {
                    let pinned = copy.source.with(None, Some(&read.digest));
                    self.first_that_reads(&pinned, &reader.credentials)
                        .await
                        .map(|_| None)
                }
            };
            match attempt {
                Ok(Some(read)) => found = Some(read),
                Ok(None) => {}
                Err(error) => refused.push((reader.users, error)),
            }
        }
        match (found, refused) {
            (Some(mut read), refused) => {
                for (users, error) in refused {
                    let why = Failure::from(error);
                    read.denied
                        .extend(users.into_iter().map(|user| (user, why.clone())));
                }
                Ok(read)
            }
            (None, mut refused) => Err(refused.swap_remove(0).1),
        }
    }

    async fn identify(&self, copy: &Copy, candidates: &[Credentials]) -> Result<Read, Error> {
        let tag = self.first_that_reads(&copy.source, candidates).await;
        let mut running = copy.running.iter();
        let (None, Some(running), None) = (copy.source.digest(), running.next(), running.next())
        else {
            return tag.map(|(digest, by)| Read::new(digest, by));
        };
        match tag {
            Ok((digest, by)) if digest == *running => Ok(Read::new(digest, by)),
            Ok((digest, by)) => {
                // some runtimes report the platform's manifest, not the index that the tag names
                let children = self.registries.children(&copy.source, &by[0]).await?;
                if children.contains(running) {
                    return Ok(Read::new(digest, by));
                }
                let pinned = copy.source.with(None, Some(running));
                match self.first_that_reads(&pinned, &by).await {
                    Ok((running, by)) => Ok(Read {
                        moved: Some(digest),
                        ..Read::new(running, by)
                    }),
                    Err(_) => Ok(Read::new(digest, by)),
                }
            }
            Err(error) => {
                let pinned = copy.source.with(None, Some(running));
                let (digest, by) = self
                    .first_that_reads(&pinned, candidates)
                    .await
                    .map_err(|_| error)?;
                Ok(Read::new(digest, by))
            }
        }
    }

    /// Asks with each of the credentials in turn; gives the digest and the credentials, the ones that read
    /// it first.
    async fn first_that_reads(
        &self,
        reference: &Reference,
        candidates: &[Credentials],
    ) -> Result<(Digest, Vec<Credentials>), Error> {
        let mut refused = None;
        for (at, credentials) in candidates.iter().enumerate() {
            match self.registries.resolve(reference, credentials).await {
                Ok(Some(descriptor)) => {
                    let mut ordered = candidates.to_vec();
                    ordered.swap(0, at);
                    return Ok((descriptor.digest, ordered));
                }
                Ok(None) => {
                    refused.get_or_insert_with(|| gone(reference));
                }
                Err(error @ Error::Denied { .. }) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| gone(reference)))
    }
}

/// Some who ask for an image with the same credentials.
struct Reader {
    users: Vec<WorkloadId>,
    credentials: Vec<Credentials>,
}

/// What reading a source came to.
struct Read {
    digest: Digest,
    credentials: Vec<Credentials>,
    moved: Option<Digest>,
    denied: BTreeMap<WorkloadId, Failure>,
}

impl Read {
    fn new(digest: Digest, credentials: Vec<Credentials>) -> Self {
        Self {
            digest,
            credentials,
            moved: None,
            denied: BTreeMap::new(),
        }
    }
}

fn gone(reference: &Reference) -> Error {
    let host = reference.registry();
    let name = reference.to_string();
    let name = name.strip_prefix(&format!("{host}/")).unwrap_or(&name);
    Error::NotFound {
        what: format!("{host} has no {name}"),
        detail: String::new(),
    }
}

/// Whether the target's copy may be used in place of a source that cannot be read: not when something
/// else is known to run.
fn stands_in(copy: &Copy, target: &Digest) -> bool {
    copy.source.digest().is_none_or(|pinned| pinned == target)
        && (copy.running.is_empty() || copy.running.contains(target))
}
