//! Those who ask for an image, and what they find where it is from.
//!
//! Decides who is asked as whom, and which digest each means: the one that runs, where the pods agree and
//! it can be had, else the tag's.

use super::Sources;
use crate::credentials::Credentials;
use crate::execute::source_credentials::Offer;
use crate::outcome::Failure;
use crate::plan::Copy;
use crate::reference::Digest;
use crate::registry::{Error, Source};
use crate::workload::WorkloadId;

/// Some who ask for an image with the same credentials, or for the same reason with none.
pub(super) struct Reader {
    users: Vec<WorkloadId>,
    offer: Result<Offer, Failure>,
}

/// What reading a source came to.
pub(super) struct Read {
    pub(super) source: Source,
    pub(super) moved: Option<Digest>,
    /// What runs, where the source does not have it.
    pub(super) gone: Option<Digest>,
    pub(super) notes: Vec<String>,
}

/// Some who did not get to read a source.
pub(super) struct Refused {
    pub(super) users: Vec<WorkloadId>,
    pub(super) how: How,
    pub(super) why: Failure,
}

/// What a refusal says of the right to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// They have none, or nothing to show for it.
    Denied,
    /// They are told that it is not there, as strangers may be of what is.
    Hidden,
    /// Nothing: it is gone, or nobody answers.
    Unreadable,
}

impl Refused {
    /// What a registry answered these users.
    pub(super) fn by(error: Error, users: Vec<WorkloadId>) -> Self {
        let (how, is_gone) = match &error {
            Error::Denied { .. } => (How::Denied, false),
            Error::NotFound {
                to_stranger: true, ..
            } => (How::Hidden, true),
            Error::NotFound { .. } => (How::Unreadable, true),
            Error::Unreachable { .. } | Error::Failed { .. } => (How::Unreadable, false),
        };
        let why = Failure::from(error);
        Self {
            users,
            how,
            why: if is_gone {
                why.context("not in its registry")
            } else {
                why
            },
        }
    }
}

impl Sources {
    /// Who asks for this image, grouped by the credentials they bring: a namespace's own pull secrets first,
    /// then this machine's.
    pub(super) async fn readers(&self, copy: &Copy) -> Vec<Reader> {
        let mut readers: Vec<Reader> = Vec::new();
        for user in copy.users.keys() {
            let offer = self.credentials.of([user], &copy.source).await;
            match readers.iter_mut().find(|reader| reader.offer == offer) {
                Some(reader) => reader.users.push(user.clone()),
                None => readers.push(Reader {
                    users: vec![user.clone()],
                    offer,
                }),
            }
        }
        if readers.is_empty() {
            readers.push(Reader {
                users: Vec::new(),
                offer: self.credentials.of([], &copy.source).await,
            });
        }
        readers
    }

    /// Settles the digest with the first reader that can, and checks that the others can read it too.
    pub(super) async fn read(
        &self,
        copy: &Copy,
        readers: Vec<Reader>,
    ) -> (Option<Read>, Vec<Refused>) {
        let mut found: Option<Read> = None;
        let mut refused = Vec::new();
        for Reader { users, offer } in readers {
            let offer = match offer {
                Ok(offer) => offer,
                Err(why) => {
                    let how = How::Denied;
                    refused.push(Refused { users, how, why });
                    continue;
                }
            };
            let attempt = match &found {
                None => self.identify(copy, &offer.credentials).await.map(Some),
                Some(read) => {
                    let pinned = copy.source.with(None, Some(read.source.digest()));
                    let source = self.registries.source(&pinned, &offer.credentials).await;
                    source.map(|_| None)
                }
            };
            match attempt {
                Ok(Some(read)) => found = Some(read),
                Ok(None) => {}
                Err(error) => {
                    let mut one = Refused::by(error, users);
                    one.why = offer.explain(one.why);
                    refused.push(one);
                }
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
