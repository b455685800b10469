//! Which endpoint and which credentials give an image.
//!
//! Decides the order: endpoint by endpoint, at each the credentials as they were given. Never writes.

use super::refusal::{Kind, Refusal, Result};
use super::repository::{Access, Repository};
use super::{Descriptor, Registries};
use crate::credentials::Credentials;
use crate::reference::Reference;

impl Registries {
    /// The first endpoint and credentials that give `point`; else the first that say it is not there.
    pub(super) async fn find(
        &self,
        reference: &Reference,
        point: &str,
        credentials: &[Credentials],
        access: Access,
    ) -> Result<(Repository, Option<Descriptor>)> {
        let host = self.host(reference.registry())?;
        let mut missing = None;
        let mut gone = None;
        let mut failed: Option<Box<Refusal>> = None;
        for endpoint in &host.endpoints {
            let name = reference.repository();
            let askers = credentials
                .iter()
                .map(|credentials| Repository::new(endpoint, name, credentials, access));
            for repository in distinct(askers) {
                match repository.head_manifest(point).await {
                    Ok(Some(found)) => return Ok((repository, Some(found))),
                    // a push goes to the first place that answers, not to the one that has something
                    Ok(None) if access == Access::Push => return Ok((repository, None)),
                    Ok(None) if repository.is_anonymous() => {
                        missing.get_or_insert(repository);
                    }
                    Ok(None) => {
                        gone.get_or_insert(repository);
                    }
                    // the first refusal says most: strangers are tried last
                    Err(refusal) if refusal.is_denied() => {
                        if !failed.as_ref().is_some_and(|failed| failed.is_denied()) {
                            failed = Some(refusal);
                        }
                    }
                    Err(refusal) if refusal.is_unreachable() => {
                        failed.get_or_insert(refusal);
                        break;
                    }
                    Err(refusal) => return Err(refusal),
                }
            }
        }
        // those that the registry knows are told the truth
        if let Some(repository) = gone {
            return Ok((repository, None));
        }
        match (failed, missing) {
            // strangers may be told that there is nothing where there is something
            (Some(refusal), _) if refusal.is_denied() => Err(refusal),
            (_, Some(repository)) => Ok((repository, None)),
            (Some(refusal), None) => Err(refusal),
            (None, None) => Err(no_endpoint(reference.registry())),
        }
    }
}

/// Each asker once: all credentials that a mirror does not get are one stranger to it.
fn distinct(askers: impl Iterator<Item = Repository>) -> Vec<Repository> {
    askers.fold(Vec::new(), |mut kept, asker| {
        if !kept
            .iter()
            .any(|before: &Repository| before.is_asked_as(&asker))
        {
            kept.push(asker);
        }
        kept
    })
}

/// There is nowhere to ask.
pub(super) fn no_endpoint(registry: &str) -> Box<Refusal> {
    let what = format!("contacting {registry}");
    Refusal::new(what, Kind::Other, "no endpoint")
}

/// What a reference asks for: its digest, else its tag.
pub(super) fn point(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    }
}
