//! Checks whether what the verbs need is there: rights, a registry that takes pushes, nodes that can pull.
//!
//! Decides what is looked at, in which order it is told, and how it can be mended. Never changes anything
//! that stays: uploads are given up, pods are deleted. Never prints.
//!
//! A check that cannot be made says why and stops no other; each has its own limit.

mod cluster;
mod nodes;
mod registry;
mod rights;
mod sources;

use crate::cluster::{Cluster, LocalRegistry, Server};
use crate::credentials::{Chain, Credentials};
use crate::outcome::{Check, Failure, Verdict};
use crate::reference::Reference;
use crate::registry::{Reached, Registries, Unreached};
use crate::target::TargetRegistry;
use crate::workload::Workload;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long one check may take; an answer that takes longer is none that a verb could work with.
const LIMIT: Duration = Duration::from_secs(10);

/// What is to be looked at.
pub struct Doctor {
    /// A short id, which goes into the names of pods.
    pub run: String,
    /// What the configuration was read from, or why it cannot be used.
    pub config: Result<String, Failure>,
    /// The cluster, or why there is none.
    pub cluster: Result<Cluster, Failure>,
    /// The namespace to look at; none is all.
    pub namespace: Option<String>,
    /// The target registry, or why there is none.
    pub target: Result<Target, Failure>,
    /// Whether the credentials for pushing may be put into pull secrets.
    pub share_credentials: bool,
    /// Whether pods may be made to see what nodes can pull.
    pub nodes: bool,
}

/// A target registry, and who named it.
pub struct Target {
    /// The registry.
    pub registry: TargetRegistry,
    /// `--to`, `IMAGE_CLONER_REGISTRY`, …
    pub named_by: String,
    /// The way there.
    pub registries: Arc<Registries>,
    /// Where credentials come from.
    pub chain: Chain,
}

/// What the first contacts came to.
struct Contacts {
    server: Check,
    workloads: Check,
    registry: Vec<Check>,
    login: Check,
    clock: Check,
}

/// What every later check builds on.
struct Findings {
    server: Option<Server>,
    reached: Option<Reached>,
    /// What the target takes, once it took it.
    credentials: Option<Credentials>,
    sample: Option<Sample>,
    published: Option<LocalRegistry>,
    /// Images from Docker Hub that workloads run or ran.
    from_hub: Vec<Reference>,
}

/// A copy that a workload runs: something to read, to mount and to pull.
struct Sample {
    copy: Reference,
    workload: Workload,
}

impl Doctor {
    /// Makes all checks, several at a time; tells of them in a fixed order. When it is to end early, those
    /// that were made.
    pub async fn examine(&self, stop: &CancellationToken) -> Vec<Check> {
        let mut checks = vec![self.configuration()];
        let Some((contacts, findings)) = stop.run_until_cancelled(self.contact()).await else {
            return checks;
        };
        let (others, nodes) = tokio::join!(
            stop.run_until_cancelled(self.others(&findings)),
            self.nodes(&findings, stop),
        );
        let [permissions, policies, on_registry] = others.unwrap_or_default();
        checks.push(contacts.server);
        checks.extend(permissions);
        checks.push(contacts.workloads);
        checks.extend(policies);
        checks.extend(contacts.registry);
        checks.push(contacts.login);
        checks.extend(on_registry);
        checks.extend(nodes);
        checks.push(contacts.clock);
        checks
    }

    fn configuration(&self) -> Check {
        let name = "config";
        match &self.config {
            Ok(found) => Check::ok(name, found),
            Err(failure) => failed(name, failure.clone()).mend(
                "mend it in an editor; `kubectl image-cloner config set` writes only what is right",
            ),
        }
    }

    /// What every other check builds on.
    async fn contact(&self) -> (Contacts, Findings) {
        let (server, reached) = tokio::join!(self.contact_cluster(), self.contact_registry());
        let (server_check, server) = server;
        let (registry, reached) = reached;
        let clock = clocks(server.as_ref(), reached.as_ref());
        let mut findings = Findings {
            server,
            reached,
            credentials: None,
            sample: None,
            published: None,
            from_hub: Vec::new(),
        };
        let (login, workloads, published) = tokio::join!(
            self.log_in(&findings),
            self.workloads(&findings),
            self.published(&findings)
        );
        let (login, credentials) = login;
        let (workloads, sample, from_hub) = workloads;
        findings.credentials = credentials;
        findings.sample = sample;
        findings.from_hub = from_hub;
        findings.published = published;
        let contacts = Contacts {
            server: server_check,
            workloads,
            registry,
            login,
            clock,
        };
        (contacts, findings)
    }

    /// The other checks that change nothing: permissions, policies, and those of registries.
    async fn others(&self, findings: &Findings) -> [Vec<Check>; 3] {
        let (permissions, policies, [push, nested], mount, referrers, pull, quota) = tokio::join!(
            self.permissions(findings),
            self.policies(findings),
            self.pushes(findings),
            self.mount(findings),
            self.referrers(findings),
            self.pull(findings),
            self.quota(findings),
        );
        [
            vec![permissions],
            vec![policies],
            vec![push, nested, mount, referrers, pull, quota],
        ]
    }

    /// The cluster, where it answered.
    fn reachable<'a>(&'a self, findings: &Findings) -> Result<&'a Cluster, String> {
        match (&self.cluster, &findings.server) {
            (Ok(cluster), Some(_)) => Ok(cluster),
            _ => Err("the cluster is not reached".to_owned()),
        }
    }

    /// The target registry and the credentials that it took.
    fn logged_in<'a>(
        &'a self,
        findings: &'a Findings,
    ) -> Result<(&'a Target, &'a Credentials), String> {
        let target = self.reached_target(findings)?;
        let credentials = findings.credentials.as_ref();
        Ok((target, credentials.ok_or("the registry lets nobody in")?))
    }

    fn reached_target<'a>(&'a self, findings: &Findings) -> Result<&'a Target, String> {
        let target = self.target.as_ref();
        let target = target.map_err(|_| "no target registry is known".to_owned())?;
        match findings.reached {
            Some(_) => Ok(target),
            None => Err("the registry is not reached".to_owned()),
        }
    }
}

/// Work within the limit.
async fn limited<T>(work: impl Future<Output = T>) -> Result<T, ()> {
    tokio::time::timeout(LIMIT, work).await.map_err(|_| ())
}

/// A check within its limit.
async fn within(name: &'static str, late: Verdict, check: impl Future<Output = Check>) -> Check {
    let made = limited(check).await;
    made.unwrap_or_else(|()| too_late(name, late))
}

fn too_late(name: &'static str, verdict: Verdict) -> Check {
    let found = format!("no answer within {} s", LIMIT.as_secs());
    Check {
        verdict,
        ..Check::skip(name, found)
    }
}

/// A check that failed, with the failure's own hints.
fn failed(name: &'static str, failure: impl Into<Failure>) -> Check {
    let failure = failure.into();
    Check::fail(name, failure.message).mend_all(failure.hints)
}

/// Whether the clocks agree, a moment after these answers: tokens and certificates are good for a time.
fn clocks(server: Option<&Server>, reached: Option<&Reached>) -> Check {
    let now = jiff::Timestamp::now();
    let told = [
        ("API server", server.and_then(|server| server.date)),
        ("registry", reached.and_then(|reached| reached.date)),
    ];
    let offsets: Vec<(&str, i64)> = told
        .into_iter()
        .filter_map(|(who, date)| Some((who, now.duration_since(date?).as_secs())))
        .collect();
    skew(&offsets)
}

/// More than this many seconds apart is worth a word: tokens are often good for a minute alone.
const SKEW: i64 = 60;

/// What clocks that are so many seconds behind ours come to.
fn skew(offsets: &[(&str, i64)]) -> Check {
    let name = "clock";
    if offsets.is_empty() {
        return Check::skip(name, "neither API server nor registry told the time");
    }
    let apart: Vec<String> = offsets
        .iter()
        .filter(|(_, behind)| behind.abs() > SKEW)
        .map(|(who, behind)| {
            let way = if *behind > 0 { "behind" } else { "ahead of" };
            format!("{who} is {} s {way} this machine", behind.abs())
        })
        .collect();
    if apart.is_empty() {
        let who: Vec<&str> = offsets.iter().map(|(who, _)| *who).collect();
        return Check::ok(name, format!("agrees with {}", who.join(" and ")));
    }
    Check::warn(name, apart.join(", "))
        .mend("set the clocks: tokens and certificates are good for a time alone")
}

/// What is to be told of a contact with the registry.
type Contact = Result<Reached, Unreached>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_be_a_minute_apart() {
        let check = |offsets: &[(&str, i64)], verdict: Verdict, found: &str| {
            let check = skew(offsets);
            assert_eq!((check.verdict, check.found.as_str()), (verdict, found));
        };
        check(
            &[],
            Verdict::Skip,
            "neither API server nor registry told the time",
        );
        check(
            &[("API server", 60), ("registry", -60)],
            Verdict::Ok,
            "agrees with API server and registry",
        );
        check(
            &[("API server", 61), ("registry", 0)],
            Verdict::Warn,
            "API server is 61 s behind this machine",
        );
        check(
            &[("registry", -3600)],
            Verdict::Warn,
            "registry is 3600 s ahead of this machine",
        );
    }
}
