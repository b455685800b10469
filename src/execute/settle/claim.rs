//! That what a copy is read from is what the copy is named after.
//!
//! Decides whose word is taken for it. A record is an annotation: whoever may write a workload may write there that
//! its image is an earlier copy of any other, and whoever pulls that other one from the target would get it. So the
//! registry of the other one has to know it, or the user names the target registry that is being left.

use super::Sources;
use crate::execute::source_credentials::Offer;
use crate::outcome::Failure;
use crate::plan::Copy;
use crate::reference::{Digest, Reference};
use crate::registry::{Error, Source, Target};

impl Sources {
    /// Makes sure that what was found is a version of the origin, where only the workload says so.
    ///
    /// # Errors
    /// When nobody else does.
    pub(super) async fn check_claim(
        &self,
        copy: &Copy,
        found: &Source,
        target: &Target,
    ) -> Result<(), Failure> {
        let (source, origin) = (&copy.source, &copy.origin);
        let is_left = self.leaving.as_ref().is_some_and(|left| left.holds(source));
        // a name that is nothing but this digest moves nothing
        let is_a_digest =
            copy.target.tag().is_none() && copy.target.digest() == Some(found.digest());
        let is_there = target.digest() == Some(found.digest());
        if source == origin || is_left || is_a_digest || is_there {
            return Ok(());
        }
        let offer = self.credentials.of(copy.users.keys(), origin).await?;
        let why = match self.is_of(origin, found, &offer).await {
            Ok(true) => return Ok(()),
            Ok(false) => format!("{} does not have it there", origin.registry()),
            Err(error) => offer.explain(error.into()).message,
        };
        let name = source.registry();
        Err(Failure::new(format!(
            "only its workload says that {} is a copy of {}: {why}",
            source.familiar(),
            origin.familiar(),
        ))
        .hint(format!(
            "--from {name}[/PREFIX] moves what is in a target registry of yours on to another one"
        )))
    }

    /// Whether the origin's repository has this image, or all that is left of it where it was narrowed to some
    /// platforms.
    async fn is_of(
        &self,
        origin: &Reference,
        found: &Source,
        offer: &Offer,
    ) -> Result<bool, Error> {
        if self.has(origin, found.digest(), offer).await? {
            return Ok(true);
        }
        let parts = self.registries.children(found).await?;
        for part in &parts {
            if !self.has(origin, part, offer).await? {
                return Ok(false);
            }
        }
        Ok(!parts.is_empty())
    }

    async fn has(
        &self,
        repository: &Reference,
        digest: &Digest,
        offer: &Offer,
    ) -> Result<bool, Error> {
        let pinned = repository.with(None, Some(digest));
        let found = self.registries.seek(&pinned, &offer.credentials).await?;
        Ok(found.is_some())
    }
}
