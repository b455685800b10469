//! The agent's target registry: which one it is, where pods reach it, and how far it is trusted.

use super::compose::Composing;
use super::login::basic;
use crate::args::Copying;
use crate::interactive;
use crate::line;
use crate::settings::{Settings, Target, log_in};
use crate::stop::Stopped;
use image_cloner::config::AgentFile;
use image_cloner::credentials::Credentials;
use image_cloner::outcome::Failure;
use image_cloner::registry::{Security, means_this_machine};
use image_cloner::target::Layout;

impl Composing<'_> {
    /// The target registry: the flag's, the one that is installed, else as for a clone.
    pub(super) async fn target(&mut self) -> Result<Target, Stopped> {
        let layout = self.get("LAYOUT").map(str::parse).transpose();
        let layout = layout.map_err(|error| {
            Stopped::wrong(Failure::new(format!("IMAGE_CLONER_LAYOUT: {error}")))
        })?;
        let copying = Copying::to(self.args.to.clone(), layout);
        let kept = self.get("REGISTRY").map(str::to_owned);
        let published = self.cluster.local_registry().await?;
        let published = published.as_ref().and_then(|it| it.pull_and_push());
        let mut target = match (&self.args.to, &kept) {
            (None, Some(kept)) => {
                let push = interactive::push_address(kept, published, self.terminal)?;
                self.settings.way_to(kept, &copying, push).await?
            }
            _ => match self
                .settings
                .find_target(&copying, Some(self.cluster))
                .await?
            {
                Some(target) => target,
                None if self.terminal.can_ask => {
                    let offered = published.map_or("", |(pull, _)| pull);
                    let prompt = "Target registry, HOST[:PORT][/PREFIX]:";
                    let typed = interactive::answer(line::read(prompt, offered))?;
                    let push = interactive::push_address(&typed, published, self.terminal)?;
                    self.settings.way_to(&typed, &copying, push).await?
                }
                None => return Err(Settings::no_target()),
            },
        };
        let host = target.registry.host();
        if target.credentials == Credentials::Anonymous
            && let Some(live) = &self.live
            && live.registry().is_some_and(|kept| kept.host() == host)
            && let Some(credentials) = basic(&live.login, "USER", "PASS")
        {
            target.credentials = credentials;
        }
        log_in(
            &target.registries,
            &target.registry,
            &target.credentials,
            "push",
        )
        .await?;
        if target.registry.layout() == Layout::Flat && self.get("LAYOUT").is_none() {
            self.set("LAYOUT", "flat");
        }
        self.set("REGISTRY", target.registry.to_string());
        Ok(target)
    }

    /// Where pods reach the target, if they do not reach it by its name.
    pub(super) async fn endpoint(&mut self, target: &Target) -> Result<(), Stopped> {
        let host = target.registry.host();
        let published = self.cluster.local_registry().await?;
        let published =
            published.filter(|it| it.pull_and_push().is_some_and(|(pull, _)| pull == host));
        let published = published.and_then(|it| it.host_from_cluster_network);
        let given = self.args.registry_endpoint.clone();
        let kept = self.get("REGISTRY_ENDPOINT").map(str::to_owned);
        let Some(mut endpoint) = given.or(kept).or(published) else {
            if means_this_machine(host) {
                return Err(Stopped::wrong(
                    Failure::new(format!("to the agent's pod, {host} is the pod itself"))
                        .hint("--registry-endpoint says where pods reach this registry")
                        .hint("or the cluster does: hostFromClusterNetwork of KEP-1755"),
                ));
            }
            return Ok(());
        };
        if !endpoint.contains("://") && !means_this_machine(&endpoint) {
            // what speaks plain HTTP to this machine does so to pods
            let reached = target.registries.reach(host).await;
            if reached.is_ok_and(|reached| reached.security == Security::Plain) {
                endpoint = format!("http://{endpoint}");
            }
        }
        self.set("REGISTRY_ENDPOINT", endpoint);
        Ok(())
    }

    /// How far the target is trusted, as it is from here; what the agent's own configuration says of it goes
    /// before that.
    pub(super) fn trust(&mut self, target: &Target) -> Result<(), Stopped> {
        let host = target.registry.host();
        if let Some(own) = self.settings.config.registries.get(host) {
            let has = self.entry(AgentFile::NAME);
            if let Some(file) = AgentFile::with_host(has.unwrap_or_default(), host, own)? {
                self.take(file);
            }
        }
        Ok(())
    }
}
