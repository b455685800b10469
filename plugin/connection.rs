//! Which cluster, and as whom: kubectl's flags.

use crate::candidates;
use crate::stop::Stopped;
use crate::values::time;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use image_cloner::cluster::ConnectFlags;
use image_cloner::install;
use image_cloner::outcome::Failure;
use std::path::PathBuf;
use std::time::Duration;

/// kubectl's own flags, with kubectl's meaning. `copy` has none of them: it asks no cluster, and `--as` is
/// another thing there.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Connection (as in kubectl)")]
pub(crate) struct Connection {
    /// Path to the kubeconfig file
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig context to use
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(candidates::contexts))]
    context: Option<String>,
    /// The kubeconfig cluster to use
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(candidates::clusters))]
    cluster: Option<String>,
    /// The kubeconfig user to use
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(candidates::users))]
    user: Option<String>,
    /// The namespace of what is named
    #[arg(short, long, value_name = "NAME", add = ArgValueCompleter::new(candidates::namespaces))]
    pub(crate) namespace: Option<String>,
    /// User to impersonate
    #[arg(long = "as", value_name = "USER")]
    impersonate: Option<String>,
    /// Group to impersonate; may be repeated
    #[arg(long = "as-group", value_name = "GROUP")]
    impersonate_groups: Vec<String>,
    /// Address of the API server
    #[arg(short, long, value_name = "URL")]
    server: Option<String>,
    /// Bearer token for the API server
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// How long one request to the API server may take, such as 30s; 0 is no limit
    #[arg(long, value_name = "TIME", value_parser = time)]
    request_timeout: Option<Duration>,
}

impl Connection {
    /// Takes what was said before the verb where nothing is said behind it.
    pub(crate) fn fill(&mut self, before: Self) {
        let own = std::mem::take(self);
        *self = Self {
            kubeconfig: own.kubeconfig.or(before.kubeconfig),
            context: own.context.or(before.context),
            cluster: own.cluster.or(before.cluster),
            user: own.user.or(before.user),
            namespace: own.namespace.or(before.namespace),
            impersonate: own.impersonate.or(before.impersonate),
            impersonate_groups: [before.impersonate_groups, own.impersonate_groups].concat(),
            server: own.server.or(before.server),
            token: own.token.or(before.token),
            request_timeout: own.request_timeout.or(before.request_timeout),
        };
    }

    /// Refuses a namespace where the agent is meant: there is one in a cluster, in a namespace of its own.
    /// `hint` says what is to be typed in place of it.
    pub(crate) fn check_agents_namespace(
        &self,
        hint: impl FnOnce(&str) -> String,
    ) -> Result<(), Stopped> {
        match self.namespace.as_deref() {
            None | Some(install::NAMESPACE) => Ok(()),
            Some(other) => {
                let lives = install::NAMESPACE;
                let failure = Failure::new(format!("-n {other}: the agent lives in {lives}"));
                Err(Stopped::wrong(failure.hint(hint(other))))
            }
        }
    }

    pub(crate) fn flags(&self) -> ConnectFlags {
        let Self {
            kubeconfig,
            context,
            cluster,
            user,
            namespace,
            impersonate,
            impersonate_groups,
            server,
            token,
            request_timeout,
        } = self.clone();
        ConnectFlags {
            kubeconfig,
            context,
            cluster,
            user,
            namespace,
            impersonate,
            impersonate_groups,
            server,
            token: token.map(Into::into),
            request_timeout: request_timeout.filter(|time| !time.is_zero()),
        }
    }
}
