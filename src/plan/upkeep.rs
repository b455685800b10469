//! Upkeep of our pull secrets: in which namespaces one is written, and where it has become useless.
//!
//! A secret gets credentials for a target only where a workload has copies of that target, or it had some
//! before: a namespace is not given what nobody there asked for.

/// A namespace, as far as our pull secret is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The namespace.
    pub namespace: String,
    /// What has the secret's name there.
    pub secret: SiteSecret,
    /// Whether a pod, a workload or a ServiceAccount names it.
    pub named: bool,
    /// What may name it there and could not be looked at, if anything.
    pub unseen: Option<String>,
    /// Whether a workload that names it has copies of the target, by its record.
    pub pulls: bool,
}

/// What has the name of our pull secret in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteSecret {
    /// Nothing.
    Absent,
    /// Ours, with credentials for the target or for others alone.
    Ours {
        /// Whether it has some for the target.
        for_target: bool,
    },
    /// Something that is not ours.
    Namesake,
}

/// What is done about the pull secret of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// It gets the credentials; a namesake is an error.
    Write,
    /// It is for other targets alone, or nobody can tell whom it is for.
    Leave,
    /// Nothing needs it any more.
    Remove,
}

/// What is to be done there; none where nothing is ours.
pub fn upkeep(site: &Site) -> Option<Upkeep> {
    match site.secret {
        SiteSecret::Ours { .. } if !site.named && site.unseen.is_none() => Some(Upkeep::Remove),
        SiteSecret::Ours { for_target } if for_target || site.pulls => Some(Upkeep::Write),
        SiteSecret::Ours { .. } => Some(Upkeep::Leave),
        SiteSecret::Absent | SiteSecret::Namesake => site.pulls.then_some(Upkeep::Write),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_where_copies_are_pulled_with_it() {
        let check_seen = |secret, named, unseen: Option<&str>, pulls, expected| {
            let site = Site {
                namespace: "shop".to_owned(),
                secret,
                named,
                unseen: unseen.map(str::to_owned),
                pulls,
            };
            assert_eq!(upkeep(&site), expected, "{site:?}");
        };
        let check = |secret, named, pulls, expected| {
            check_seen(secret, named, None, pulls, expected);
        };
        let ours = |for_target| SiteSecret::Ours { for_target };
        check(SiteSecret::Absent, false, false, None);
        check(SiteSecret::Absent, true, true, Some(Upkeep::Write));
        check(SiteSecret::Namesake, true, true, Some(Upkeep::Write));
        check(SiteSecret::Namesake, true, false, None);
        check(ours(true), true, false, Some(Upkeep::Write));
        check(ours(false), true, true, Some(Upkeep::Write));
        check(ours(false), true, false, Some(Upkeep::Leave));
        check(ours(true), false, false, Some(Upkeep::Remove));
        let unseen = Some("deployments are forbidden");
        check_seen(ours(true), false, unseen, false, Some(Upkeep::Write));
        check_seen(ours(false), false, unseen, false, Some(Upkeep::Leave));
    }
}
