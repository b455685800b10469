//! The kinds that have a pod template: how they are called and where the template is.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A kind as the API server knows it. Clones share its names: every mention of a workload has one.
///
/// Two kinds are equal when their group and name are: a server may offer CronJobs as `batch/v1` or only
/// as `batch/v1beta1`, and they are CronJobs either way.
#[derive(Debug, Clone)]
pub struct Kind(Arc<Names>);

/// How a kind is called.
#[derive(Debug)]
pub struct Names {
    /// API group, empty for the core group.
    pub group: String,
    /// API version, such as `v1`.
    pub version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`, as in URLs.
    pub plural: String,
}

/// Group, kind, plural and short name of the built-in kinds, in the order in which they are shown.
const BUILTIN: [(&str, &str, &str, &str); 7] = [
    ("apps", "Deployment", "deployments", "deploy"),
    ("apps", "StatefulSet", "statefulsets", "sts"),
    ("apps", "DaemonSet", "daemonsets", "ds"),
    ("apps", "ReplicaSet", "replicasets", "rs"),
    ("batch", "CronJob", "cronjobs", "cj"),
    ("batch", "Job", "jobs", "job"),
    ("", "Pod", "pods", "po"),
];

impl Kind {
    /// The kinds that every cluster has, in the order in which they are listed and shown.
    pub fn builtin() -> Vec<Kind> {
        BUILTIN
            .iter()
            .map(|it| Kind::from(builtin(it, "v1")))
            .collect()
    }

    /// The built-in kind that kubectl means by this word: short name, singular, plural, with or
    /// without the group (`deployments.apps`) and version (`deployments.v1.apps`), in any case.
    pub fn from_word(word: &str) -> Option<Kind> {
        let word = word.to_lowercase();
        let (name, rest) = word
            .split_once('.')
            .map_or((word.as_str(), None), |(name, rest)| (name, Some(rest)));
        let position = BUILTIN.iter().position(|(_, kind, plural, short)| {
            name == *plural || name == *short || name == kind.to_lowercase()
        })?;
        let kind = Self::from(builtin(&BUILTIN[position], "v1"));
        match rest {
            None => Some(kind),
            Some(group) if group == kind.group && !group.is_empty() => Some(kind),
            // kubectl's long form is NAME.VERSION.GROUP, with nothing after the dot for the core group
            Some(rest) => {
                let (version, group) = rest.split_once('.')?;
                let offered = version == "v1" || (version == "v1beta1" && kind.kind == "CronJob");
                let is_meant = offered && group == kind.group;
                is_meant.then(|| Self::from(builtin(&BUILTIN[position], version)))
            }
        }
    }

    /// The words for the built-in kinds, as people write them: `deployment`, `deployments`, `deploy`, ….
    pub fn words() -> impl Iterator<Item = String> {
        let words = BUILTIN.iter().flat_map(|(_, kind, plural, short)| {
            [
                kind.to_lowercase(),
                (*plural).to_owned(),
                (*short).to_owned(),
            ]
        });
        words.collect::<BTreeSet<_>>().into_iter()
    }

    /// The JSON pointer of the pod spec inside an object of this kind: `/spec/template/spec`.
    ///
    /// Kinds that are not built in are taken to keep it where Deployments do.
    pub fn pod_spec(&self) -> &'static str {
        match self.canonical() {
            ("", "Pod") => "/spec",
            ("batch", "CronJob") => "/spec/jobTemplate/spec/template/spec",
            _ => "/spec/template/spec",
        }
    }

    /// Whether it is the Pod itself, not a kind with a template of pods.
    pub fn is_pod(&self) -> bool {
        self.canonical() == ("", "Pod")
    }

    /// The parts that make two kinds equal.
    pub(super) fn canonical(&self) -> (&str, &str) {
        (&self.group, &self.kind)
    }
}

fn builtin((group, kind, plural, _): &(&str, &str, &str, &str), version: &str) -> Names {
    Names {
        group: (*group).to_owned(),
        version: version.to_owned(),
        kind: (*kind).to_owned(),
        plural: (*plural).to_owned(),
    }
}

impl From<Names> for Kind {
    fn from(names: Names) -> Self {
        Self(Arc::new(names))
    }
}

impl Deref for Kind {
    type Target = Names;

    fn deref(&self) -> &Names {
        &self.0
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for Kind {}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.canonical().cmp(&other.canonical())
    }
}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

/// As kubectl prints it: `deployment.apps`, `pod`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.to_lowercase())?;
        if self.group.is_empty() {
            return Ok(());
        }
        write!(f, ".{}", self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_they_mean_to_kubectl() {
        fn check(words: &[&str], expected: Option<&str>) {
            for word in words {
                let kind = Kind::from_word(word).map(|kind| {
                    format!(
                        "{}/{} {} {}",
                        kind.group, kind.version, kind.kind, kind.plural
                    )
                });
                assert_eq!(kind.as_deref(), expected, "{word}");
            }
        }
        check(
            &[
                "deploy",
                "deployment",
                "deployments",
                "Deployment",
                "deploy.apps",
                "deployment.apps",
                "deployments.apps",
                "deployment.v1.apps",
                "deployments.v1.apps",
            ],
            Some("apps/v1 Deployment deployments"),
        );
        check(
            &["sts", "statefulset", "statefulsets.apps"],
            Some("apps/v1 StatefulSet statefulsets"),
        );
        check(&["ds", "daemonsets"], Some("apps/v1 DaemonSet daemonsets"));
        check(
            &["rs", "replicaset"],
            Some("apps/v1 ReplicaSet replicasets"),
        );
        check(
            &["cj", "cronjob", "cronjobs.batch", "cronjobs.v1.batch"],
            Some("batch/v1 CronJob cronjobs"),
        );
        check(
            &["cronjobs.v1beta1.batch"],
            Some("batch/v1beta1 CronJob cronjobs"),
        );
        check(&["job", "jobs", "jobs.batch"], Some("batch/v1 Job jobs"));
        check(
            &["po", "pod", "pods", "PODS", "pods.v1."],
            Some("/v1 Pod pods"),
        );
        check(
            &[
                "",
                "deploymentss",
                "deployments.batch",
                "deployments.v1beta1.apps",
                "deployments.",
                "pods.",
                "rollouts.argoproj.io",
                "all",
                "ns",
            ],
            None,
        );
    }

    #[test]
    fn a_cron_job_is_one_whatever_version_serves_it() {
        let new = Kind::from_word("cj").unwrap();
        let old = Kind::from_word("cronjobs.v1beta1.batch").unwrap();
        assert_eq!(new, old);
        assert_eq!(new.to_string(), "cronjob.batch");
        assert_eq!(old.to_string(), "cronjob.batch");
    }

    #[test]
    fn each_kind_keeps_its_pod_spec_in_its_own_place() {
        let places: Vec<String> = Kind::builtin()
            .iter()
            .map(|kind| format!("{kind} {}", kind.pod_spec()))
            .collect();
        assert_eq!(
            places,
            [
                "deployment.apps /spec/template/spec",
                "statefulset.apps /spec/template/spec",
                "daemonset.apps /spec/template/spec",
                "replicaset.apps /spec/template/spec",
                "cronjob.batch /spec/jobTemplate/spec/template/spec",
                "job.batch /spec/template/spec",
                "pod /spec",
            ]
        );
    }
}
