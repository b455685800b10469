//! Leaving the target registry that was for another one.
//!
//! Decides in which order the agent is stopped and the registry's things go, and what is said where that
//! gets no further. Never decides what is kept (that is `Live::leave_registry`).

use super::{InstallArgs, Installing};
use crate::dry_run::DryRun;
use crate::stop::Stopped;
use crate::terminal::Terminal;
use crate::uninstall_agent::wait_for_end;
use image_cloner::install;

impl Installing {
    /// Stops the agent before it gets another target registry, and removes what logs in to the one that was:
    /// the kubelet brings a changed ConfigMap and a changed Secret to a pod one after the other, and between
    /// them the agent would send the credentials of one registry to the other.
    pub(super) async fn leave(
        &self,
        args: &InstallArgs,
        terminal: &Terminal,
    ) -> Result<(), Stopped> {
        if !self.leaves(args) {
            return Ok(());
        }
        if let Some(noted) = install::noting_replicas(&self.live) {
            let applied = self.cluster.apply(&noted).await;
            applied.map_err(|error| Stopped::from(error).after_changes())?;
        }
        let agent = self.live.iter();
        for deployment in agent.filter(|object| object["kind"] == "Deployment") {
            self.remove(deployment, args, terminal).await?;
        }
        let forgotten = self.forget(args, terminal).await;
        forgotten.map_err(|stopped| self.while_stopped(args, stopped))
    }

    /// Takes away what belongs to the registry that was, once no pod can use it any more.
    async fn forget(&self, args: &InstallArgs, terminal: &Terminal) -> Result<(), Stopped> {
        terminal
            .unless_interrupted(wait_for_end(&self.cluster))
            .await?;
        let logins = self.live.iter();
        for login in logins.filter(|object| install::holds_credentials(object)) {
            self.remove(login, args, terminal).await?;
        }
        // an apply would leave what others wrote, such as the way to the registry that was
        if let Some((config, keys)) = install::unwanted_settings(&self.live, &self.wanted)
            && let Some(config) = self.cluster.live(config).await?
        {
            self.cluster.take_out(&config, &keys).await?;
        }
        Ok(())
    }

    /// What failed or was interrupted before the new Deployment is there: says so where the old one is not.
    pub(super) fn while_stopped(&self, args: &InstallArgs, stopped: Stopped) -> Stopped {
        let mut stopped = stopped.after_changes();
        if self.leaves(args) {
            let hint = "the agent is stopped; the same install-agent goes on";
            stopped.failure = stopped.failure.hint(hint);
        }
        stopped
    }

    fn leaves(&self, args: &InstallArgs) -> bool {
        self.composed.left.is_some() && args.dry_run.mode == DryRun::None
    }
}
