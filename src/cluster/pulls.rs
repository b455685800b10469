//! When a pull that fails is no hiccup.
//!
//! Decides it by what a kubelet shows of its tries, not by a time: one that failed pauses for ten seconds and
//! tries again, and what came of that stands in the pod's status only with the look after, so that a pull
//! which succeeds the second time can look failed for half a minute. A registry that answers late once, or a
//! pull secret that a kubelet has not read yet, must not fail a canary or put a workload back.
//!
//! Nor does every pull count: a container beside the copy, in the template or put into the pod by others, has an
//! image from elsewhere, which says nothing of the registry that the copy is in.

use super::NotReady;
use super::trouble::Trouble;
use std::collections::{BTreeMap, BTreeSet};

/// How far a kubelet is with a pull that failed; what is most certain first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Try {
    /// No other will be made.
    Last,
    /// It has just failed.
    Failed,
    /// It pauses before the next.
    Paused,
}

/// How the pulls of a workload's pods stand, by a look at them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulling {
    /// None fails, as far as can be told.
    Well,
    /// None fails, and a container was seen that has its image.
    Done,
    /// One has failed, and is tried again.
    Retried,
    /// One has failed again, or no other try will be made: its image cannot be pulled.
    Failed(NotReady),
}

/// The pulls that count of some pods. Those that failed are followed from look to look: by the pod's UID and
/// the image.
#[derive(Debug, Clone, Default)]
pub struct Pulls {
    images: BTreeSet<String>,
    paused: BTreeMap<(String, String), bool>,
}

impl Pulls {
    /// The pulls of these images.
    pub fn of(images: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            images: images.into_iter().map(Into::into).collect(),
            paused: BTreeMap::new(),
        }
    }

    /// Whether they are the pulls of the same images.
    pub fn are_of_the_same(&self, others: &Self) -> bool {
        self.images == others.images
    }

    /// Whether the pull of this image counts.
    pub(super) fn count(&self, image: &str) -> bool {
        self.images.contains(image)
    }

    /// Takes a look at what keeps the pods now. Whether one of their pulls has failed again after a pause.
    pub(super) fn failed_again<'a>(
        &mut self,
        troubles: impl IntoIterator<Item = &'a Trouble>,
    ) -> bool {
        let mut failed = false;
        let mut now = BTreeMap::new();
        for trouble in troubles {
            let Trouble::Pull { uid, image, at, .. } = trouble else {
                continue;
            };
            let key = (uid.clone(), image.clone());
            let paused = self.paused.get(&key).copied().unwrap_or(false);
            failed |= match at {
                Try::Last => true,
                Try::Failed => paused,
                Try::Paused => false,
            };
            now.insert(key, paused || *at == Try::Paused);
        }
        // a pull that is not among them any more got on
        self.paused = now;
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(uid: &str, at: Try) -> Trouble {
        Trouble::Pull {
            pod: "web".to_owned(),
            uid: uid.to_owned(),
            node: "n1".to_owned(),
            image: "reg.corp/web:1".to_owned(),
            at,
            message: String::new(),
        }
    }

    /// What is said after each of these looks.
    fn looks(looks: &[&[Trouble]]) -> Vec<bool> {
        let mut pulls = Pulls::default();
        looks.iter().map(|it| pulls.failed_again(*it)).collect()
    }

    #[test]
    fn a_pull_is_given_up_when_it_fails_again_after_a_pause() {
        let (failed, paused) = (pull("a", Try::Failed), pull("a", Try::Paused));
        let (failed, paused) = (&[failed][..], &[paused][..]);
        assert_eq!(
            looks(&[failed, failed, paused, paused, failed]),
            [false, false, false, false, true]
        );
        // the first failure was not seen
        assert_eq!(looks(&[paused, failed]), [false, true]);
    }

    #[test]
    fn one_failure_is_a_hiccup_however_long_it_stands_there() {
        let (failed, paused) = (pull("a", Try::Failed), pull("a", Try::Paused));
        let (failed, paused) = (&[failed][..], &[paused][..]);
        assert_eq!(looks(&[failed; 100]), [false; 100]);
        assert_eq!(looks(&[paused; 100]), [false; 100]);
        // another one after it got on
        assert_eq!(looks(&[failed, paused, &[], failed]), [false; 4]);
        // another pod's
        let other = pull("b", Try::Failed);
        assert_eq!(looks(&[failed, paused, &[other]]), [false; 3]);
    }

    #[test]
    fn what_no_other_try_mends_is_given_up_at_once() {
        assert_eq!(looks(&[&[pull("a", Try::Last)]]), [true]);
    }
}
