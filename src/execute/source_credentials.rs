//! Whom a source is asked as: with the pull secrets of those who use it first, then as this machine.
//!
//! Decides that credentials of this machine which cannot be had (a helper that is missing or fails) take
//! nothing from workloads that bring their own. Never asks a registry.

use crate::credentials::{Chain, Credentials, Keyring};
use crate::outcome::Failure;
use crate::reference::Reference;
use crate::workload::WorkloadId;
use std::collections::BTreeMap;

/// The credentials that sources can be read with.
pub(super) struct SourceCredentials {
    /// What workloads pull with.
    pub(super) keyrings: BTreeMap<WorkloadId, Keyring>,
    /// This machine's own.
    pub(super) chain: Chain,
}

/// What one source is read with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// In the order in which they are tried.
    pub(super) credentials: Vec<Credentials>,
    /// Why this machine's own are not among them.
    lacking: Option<String>,
}

impl SourceCredentials {
    /// What these workloads read a source with.
    ///
    /// # Errors
    /// When this machine's own credentials cannot be had and there are no others.
    pub(super) async fn of(
        &self,
        users: impl IntoIterator<Item = &WorkloadId>,
        source: &Reference,
    ) -> Result<Offer, Failure> {
        let (registry, repository) = (source.registry(), source.repository());
        let mut credentials: Vec<Credentials> = Vec::new();
        let keyrings = users.into_iter().filter_map(|user| self.keyrings.get(user));
        for one in keyrings.flat_map(|keyring| keyring.find(registry, repository)) {
            if !credentials.contains(&one) {
                credentials.push(one);
            }
        }
        let lacking = match self.chain.find(registry, repository).await {
            Ok(own) => {
                credentials.push(own);
                None
            }
            Err(error) if credentials.is_empty() => return Err(Failure::new(error.to_string())),
            Err(error) => {
                tracing::warn!(%error, "this machine's own credentials are left out");
                Some(error.to_string())
            }
        };
        Ok(Offer {
            credentials,
            lacking,
        })
    }
}

impl Offer {
    /// A refusal, and what might have helped.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        match &self.lacking {
            Some(lacking) => failure.hint(lacking),
            None => failure,
        }
    }
}
