//! That what a copy is read from is what the copy is named after.
//!
//! Decides whose word is taken for it. A record is an annotation: whoever may write a workload may write there that
//! its image is an earlier copy of any other, and whoever pulls that other one from the target would get it. So the
//! registry of the other one has to know it, or the user names the target registry that is being left. A tag that
//! the target has already is what others pull: it becomes what upstream has under it now, and nothing else.

use super::Sources;
use crate::execute::source_credentials::Offer;
use crate::outcome::Failure;
use crate::plan::Copy;
use crate::reference::{Digest, Reference};
use crate::registry::{Error, Source, Target};

impl Sources {
    /// Makes sure that what is meant is a version of the origin, where only the workload says so.
    ///
    /// # Errors
    /// When nobody else does.
    pub(super) async fn check_claim(
        &self,
        copy: &Copy,
        meant: &Source,
        target: &Target,
    ) -> Result<(), Failure> {
        let (source, origin) = (&copy.source, &copy.origin);
        let is_left = self.leaving.as_ref().is_some_and(|left| left.holds(source));
        // a name that is nothing but this digest moves nothing
        let is_a_digest =
            copy.target.tag().is_none() && copy.target.digest() == Some(meant.digest());
        let is_there = target.digest() == Some(meant.digest());
        if source == origin || is_left || is_a_digest || is_there {
            return Ok(());
        }
        let offer = self.credentials.of(copy.users.keys(), origin).await?;
        let moves_a_tag = target.digest().is_some() && copy.target.digest().is_none();
        let objection = if moves_a_tag {
            self.outdated(copy, meant, target, &offer).await
        } else {
            self.foreign(origin, meant, &offer).await
        };
        let why = match objection {
            Ok(None) => return Ok(()),
            Ok(Some(why)) => why,
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

    /// Why this is not what the origin would be copied as now. That all of it is somewhere below the origin's tag is
    /// not enough: those who have the target's tag may need what is left out of it.
    async fn outdated(
        &self,
        copy: &Copy,
        meant: &Source,
        target: &Target,
        offer: &Offer,
    ) -> Result<Option<String>, Error> {
        let origin = &copy.origin;
        let Some(now) = self.registries.seek(origin, &offer.credentials).await? else {
            return Ok(Some(lacks(origin)));
        };
        let upstream = now.digest().clone();
        let now = if self.chooses(copy) {
            self.registries.narrow(now, &self.platforms, target).await?
        } else {
            now
        };
        Ok((now.digest() != meant.digest()).then(|| {
            format!(
                "{} has {} under that name now, not {}, which {} would become",
                origin.registry(),
                upstream.short(),
                meant.digest().short(),
                copy.target
            )
        }))
    }

    /// Why this is none of the origin's repository: that has neither the image nor all that is left of it where it
    /// was narrowed to some platforms.
    async fn foreign(
        &self,
        origin: &Reference,
        meant: &Source,
        offer: &Offer,
    ) -> Result<Option<String>, Error> {
        if self.has(origin, meant.digest(), offer).await? {
            return Ok(None);
        }
        let parts = self.registries.children(meant).await?;
        for part in &parts {
            if !self.has(origin, part, offer).await? {
                return Ok(Some(lacks(origin)));
            }
        }
        Ok(parts.is_empty().then(|| lacks(origin)))
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

fn lacks(origin: &Reference) -> String {
    format!("{} does not have it there", origin.registry())
}
