//! Checks of the target registry: is it there, whom does it let in, what may they do.

use super::{Contact, Doctor, Findings, Target, failed, limited, too_late, within};
use crate::credentials::Credentials;
use crate::outcome::{Check, Failure, Verdict};
use crate::reference::Reference;
use crate::registry::{Error, Reached, Security};
use crate::target::{Layout, TargetRegistry};

/// A repository that nobody uses.
const UNUSED: &str = "image-cloner-doctor";

/// One below others.
const NESTED: &str = "image-cloner-doctor/of/nested/paths";

impl Doctor {
    /// Which target registry is meant, whether it answers, and whether its certificate is trusted.
    pub(super) async fn contact_registry(&self) -> (Vec<Check>, Option<Reached>) {
        let target = match &self.target {
            Ok(target) => target,
            Err(_) if self.config.is_err() => {
                let why = "the configuration cannot be used";
                return (vec![Check::skip("target", why)], None);
            }
            Err(failure) => return (vec![failed("target", failure.clone())], None),
        };
        let Target {
            registry, named_by, ..
        } = target;
        let known = Check::ok("target", format!("{registry}, from {named_by}"));
        let contact = limited(target.registries.reach(registry.host())).await;
        let Ok(contact) = contact else {
            return (vec![known, too_late("registry", Verdict::Fail)], None);
        };
        let mut checks = vec![known];
        checks.extend(contacted(&contact, registry));
        (checks, contact.ok())
    }

    /// Which credentials there are, and whether the registry takes them.
    pub(super) async fn log_in(&self, findings: &Findings) -> (Check, Option<Credentials>) {
        let name = "credentials";
        let target = match self.reached_target(findings) {
            Ok(target) => target,
            Err(why) => return (Check::skip(name, why), None),
        };
        match limited(try_log_in(name, target)).await {
            Ok(done) => done,
            Err(()) => (too_late(name, Verdict::Fail), None),
        }
    }

    /// Whether images can be pushed, and below other repositories, too.
    pub(super) async fn pushes(&self, findings: &Findings) -> [Check; 2] {
        let [push, nested] = ["push", "nested paths"];
        let (target, credentials) = match self.logged_in(findings) {
            Ok(found) => found,
            Err(why) => return [push, nested].map(|name| Check::skip(name, why.clone())),
        };
        let push = within(push, Verdict::Warn, async {
            match try_push(target, UNUSED, credentials).await {
                Ok(()) => Check::ok(push, "an upload was opened and given up"),
                Err(failure) => failed(push, failure),
            }
        });
        let push = push.await;
        if push.verdict != Verdict::Ok {
            return [push, Check::skip(nested, "nothing can be pushed at all")];
        }
        if target.registry.layout() == Layout::Flat {
            return [push, Check::skip(nested, "layout flat needs none")];
        }
        let nested = within(nested, Verdict::Warn, async {
            match try_push(target, NESTED, credentials).await {
                Ok(()) => Check::ok(nested, "accepted"),
                Err(failure) => Check::fail(nested, failure.message).mend(format!(
                    "kubectl image-cloner clone … --to {} --layout flat",
                    target.registry
                )),
            }
        });
        [push, nested.await]
    }

    /// Whether the registry takes over what it has in another repository.
    pub(super) async fn mount(&self, findings: &Findings) -> Check {
        let name = "mount";
        let (target, credentials, copy) = match self.with_copy(findings) {
            Ok(found) => found,
            Err(why) => return Check::skip(name, why),
        };
        within(name, Verdict::Warn, async {
            match target.registries.try_mount(copy, credentials).await {
                Ok(true) => Check::ok(name, "layers are taken over between repositories"),
                Ok(false) => Check::ok(name, "not offered: layers are sent for each repository"),
                Err(error) => Check::warn(name, error.to_string()),
            }
        })
        .await
    }

    /// Whether the registry lists signatures and the like by what they refer to.
    pub(super) async fn referrers(&self, findings: &Findings) -> Check {
        let name = "referrers";
        let (target, credentials, copy) = match self.with_copy(findings) {
            Ok(found) => found,
            Err(why) => return Check::skip(name, why),
        };
        within(name, Verdict::Warn, async {
            match target.registries.lists_referrers(copy, credentials).await {
                Ok(true) => Check::ok(name, "listed"),
                Ok(false) => Check::ok(name, "not offered: signatures are found by their tags"),
                Err(error) => Check::warn(name, error.to_string()),
            }
        })
        .await
    }

    /// Whether pods will get at the copies.
    pub(super) async fn pull(&self, findings: &Findings) -> Check {
        let name = "pull";
        let target = match self.reached_target(findings) {
            Ok(found) => found,
            Err(why) => return Check::skip(name, why),
        };
        within(
            name,
            Verdict::Warn,
            self.try_to_pull(name, target, findings),
        )
        .await
    }

    async fn try_to_pull(&self, name: &'static str, target: &Target, findings: &Findings) -> Check {
        let host = target.registry.host();
        let sample = findings.sample.as_ref().map(|sample| &sample.copy);
        let unused = match place(&target.registry, UNUSED) {
            Ok(place) => place,
            Err(why) => return Check::skip(name, why),
        };
        let registries = &target.registries;
        match registries
            .needs_credentials(sample.unwrap_or(&unused))
            .await
        {
            Ok(true) => {}
            Ok(false) => return Check::ok(name, "the registry gives images to anybody"),
            Err(error) => return failed(name, error),
        }
        let pushing = findings.credentials.as_ref();
        let shared = pushing.filter(|_| self.share_credentials);
        let credentials = match target.chain.for_pull(host).await {
            Ok(given) => given.or_else(|| shared.cloned()),
            Err(error) => return failed(name, Failure::new(error.to_string())),
        };
        let Some(credentials) = credentials else {
            return Check::warn(name, "pods need credentials, and none may be given to them")
                .mend("export IMAGE_CLONER_PULL_USER=… IMAGE_CLONER_PULL_PASS=…")
                .mend("or --share-credentials, or --pull-secret NAME for one of yours");
        };
        let who = credentials.user().unwrap_or("an identity token");
        let tried = match sample {
            Some(copy) => {
                let asked = std::slice::from_ref(&credentials);
                registries.source(copy, asked).await.map(drop)
            }
            None => registries.ping(host, &credentials).await,
        };
        match (tried, sample) {
            (Ok(()), Some(copy)) => {
                let copy = target.registry.relative(copy);
                Check::ok(name, format!("{who} reads {copy}"))
            }
            (Ok(()), None) => Check::ok(name, format!("{who} is let in; no copy to read yet")),
            (Err(error @ Error::NotFound { .. }), _) => Check::warn(name, error.to_string()),
            (Err(error), _) => Check::fail(name, format!("{who}: {error}"))
                .mend_all(error.hint().map(str::to_owned))
                .mend("IMAGE_CLONER_PULL_USER and _PASS are for pulling"),
        }
    }

    /// The above with a copy to look at.
    fn with_copy<'a>(
        &'a self,
        findings: &'a Findings,
    ) -> Result<(&'a Target, &'a Credentials, &'a Reference), String> {
        let (target, credentials) = self.logged_in(findings)?;
        let sample = findings.sample.as_ref();
        let sample = sample.ok_or("no workload here runs a copy to try it with")?;
        Ok((target, credentials, &sample.copy))
    }
}

/// Tries the credentials that there are; gives them where they are taken.
async fn try_log_in(name: &'static str, target: &Target) -> (Check, Option<Credentials>) {
    let host = target.registry.host();
    let repository = target.registry.prefix().unwrap_or_default();
    let found = match target.chain.locate(host, repository).await {
        Ok(found) => found,
        Err(error) => return (failed(name, Failure::new(error.to_string())), None),
    };
    let (credentials, found) = match found {
        None => (Credentials::Anonymous, "none".to_owned()),
        Some((credentials, origin)) => {
            let who = credentials.user().unwrap_or("an identity token").to_owned();
            (credentials, format!("{who}, from {origin}"))
        }
    };
    match target.registries.ping(host, &credentials).await {
        Ok(()) if credentials == Credentials::Anonymous => {
            let found = "none, and the registry asks for none to be let in";
            (Check::ok(name, found), Some(credentials))
        }
        Ok(()) => (Check::ok(name, found), Some(credentials)),
        Err(error) => {
            let check = Check::fail(name, format!("{found}: {error}"))
                .mend_all(error.hint().map(str::to_owned))
                .mend(login_advice(host, &found));
            (check, None)
        }
    }
}

/// What a contact says of the way to the registry, and of who is at its end.
fn contacted(contact: &Contact, registry: &TargetRegistry) -> Vec<Check> {
    match contact {
        Ok(reached) => {
            let answers = Check::ok("registry", format!("answers at {}", reached.address));
            vec![answers, trust(reached, registry)]
        }
        Err(unreached) => match &unreached.untrusted {
            Some(address) => {
                let answers = Check::ok("registry", format!("something answers at {address}"));
                let trust = Check::fail("TLS", unreached.error.to_string())
                    .mend_all(unreached.error.hint().map(str::to_owned));
                vec![answers, trust]
            }
            None => {
                let hint = unreached.error.hint().map_or_else(
                    || format!("is a registry running at {registry}, and reachable from here?"),
                    str::to_owned,
                );
                let check = Check::fail("registry", unreached.error.to_string()).mend(hint);
                vec![check, Check::skip("TLS", "the registry is not reached")]
            }
        },
    }
}

fn trust(reached: &Reached, registry: &TargetRegistry) -> Check {
    let host = registry.host();
    match reached.security {
        Security::Verified => Check::ok("TLS", "the certificate is trusted here"),
        Security::Unverified => Check::warn("TLS", "the certificate is not checked (insecure)")
            .mend(format!(
                "name its authority: caFile of {host} in config.yaml"
            )),
        Security::Plain if crate::registry::means_this_machine(&reached.address) => {
            Check::ok("TLS", "plain HTTP, which stays on this machine")
        }
        Security::Plain => Check::warn(
            "TLS",
            "plain HTTP: passwords go over the network as they are",
        )
        .mend("nodes must be told to use it, too (containerd: hosts.toml)"),
    }
}

/// How to give other credentials than these: where they were found, since nothing after that is asked.
fn login_advice(host: &str, found: &str) -> String {
    if found.ends_with("IMAGE_CLONER_USER") {
        format!("set IMAGE_CLONER_USER and IMAGE_CLONER_PASS to what {host} takes")
    } else if found.ends_with("in config.yaml") {
        format!("see registries: {host}: in config.yaml")
    } else {
        format!("kubectl image-cloner login {host}")
    }
}

async fn try_push(target: &Target, name: &str, credentials: &Credentials) -> Result<(), Failure> {
    let place = place(&target.registry, name).map_err(Failure::new)?;
    let tried = target.registries.try_push(&place, credentials).await;
    tried.map_err(Failure::from)
}

/// A repository of this name in the target.
fn place(target: &TargetRegistry, name: &str) -> Result<Reference, String> {
    Reference::parse(&format!("{target}/{name}")).map_err(|error| error.to_string())
}
