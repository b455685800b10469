//! Which cluster, as whom: kubectl's flags over kubeconfig files over the pod's own account.
//!
//! Decides what kubectl would decide from the same flags and files. Never writes a kubeconfig.

use super::error::{auth_reason, innermost};
use super::kubeconfig::{self, invalid, one_of};
use super::{ConnectFlags, Error};
use http::Uri;
use kube::Config;
use kube::client::{ClientBuilder, ConfigExt as _};
use kube::config::{
    AuthInfo, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use secrecy::ExposeSecret;
use std::time::Duration;

/// How long a connection may be silent while an answer is awaited.
const STALLED: Duration = Duration::from_secs(90);

/// Requests that may wait for the connection, as many as in kube's own client.
const REQUESTS_QUEUED: usize = 1024;

/// A settled connection: where to and as whom.
pub(super) struct Connection {
    pub(super) client: kube::Client,
    pub(super) context: String,
    pub(super) namespace: String,
    pub(super) server: String,
}

/// Connects as kubectl would with these flags.
pub(super) async fn connect(flags: &ConnectFlags) -> Result<Connection, Error> {
    if flags.impersonate.is_none() && !flags.impersonate_groups.is_empty() {
        return Err(invalid("--as-group needs --as", None));
    }
    let variable = std::env::var_os("KUBECONFIG");
    let files = kubeconfig::read(flags.kubeconfig.as_deref(), variable.as_deref())?;
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let (context, mut config) = if in_pod && says_nothing(&files, flags) {
        ("in-cluster".to_owned(), in_cluster(flags)?)
    } else {
        from_files(files, flags).await?
    };
    if let Some(namespace) = &flags.namespace {
        config.default_namespace.clone_from(namespace);
    }
    if !is_dns_label(&config.default_namespace) {
        let message = format!("invalid namespace {:?}", config.default_namespace);
        return Err(invalid(message, None));
    }
    settle_token(&mut config.auth_info).map_err(|reason| {
        invalid(
            format!("connecting with context {context:?}: {reason}"),
            None,
        )
    })?;
    config.default_retry = false;
    // no answer takes longer than the server's own limit of a minute: the connection is dead
    config.read_timeout = Some(STALLED);
    config.reset_reader_on_write = true;
    if let Some(limit) = flags.request_timeout {
        config.connect_timeout = config.connect_timeout.map(|default| default.min(limit));
    }
    Ok(Connection {
        namespace: config.default_namespace.clone(),
        server: config
            .cluster_url
            .to_string()
            .trim_end_matches('/')
            .to_owned(),
        client: client(config, &context).await?,
        context,
    })
}

/// A token as it can be sent: kubectl takes off the line end that its file may have, and kube does not.
fn settle_token(identity: &mut AuthInfo) -> Result<(), &'static str> {
    if identity.token.is_none()
        && let Some(file) = &identity.token_file
        && let Ok(text) = std::fs::read_to_string(file)
        && text != text.trim()
    {
        // read once: those that are renewed under way are a pod's, and have none
        identity.token = Some(text.trim().to_owned().into());
    }
    let token = identity.token.as_ref().map(ExposeSecret::expose_secret);
    if token.is_some_and(|token| http::HeaderValue::from_str(token).is_err()) {
        return Err("its token has characters in it that cannot be sent");
    }
    Ok(())
}

/// Builds the client. Credential plugins run here, and block while they do.
async fn client(config: Config, context: &str) -> Result<kube::Client, Error> {
    let runtime = tokio::runtime::Handle::current();
    let built = tokio::task::spawn_blocking(move || {
        let _entered = runtime.enter();
        build(config)
    });
    let built = built
        .await
        .map_err(|error| Error::Failed(error.to_string()))?;
    built.map_err(|error| Error::Unreachable {
        message: format!(
            "connecting with context {context:?}: {}",
            client_reason(&error)
        ),
        hint: None,
    })
}

/// kube runs a credential plugin three times in building a client, since it may give a token or a
/// certificate. One that gave a token is not asked for a certificate here: plugins take their time, and
/// some of them ask the user.
fn build(mut config: Config) -> Result<kube::Client, kube::Error> {
    if config.auth_info.exec.is_some()
        && let Some(token) = config.auth_layer()?
    {
        config.auth_info = AuthInfo {
            token: None,
            token_file: None,
            username: None,
            password: None,
            auth_provider: None,
            exec: None,
            ..config.auth_info
        };
        let client = ClientBuilder::try_from(config)?
            // the token's layer needs a service that can be cloned
            .with_layer(&tower::buffer::BufferLayer::new(REQUESTS_QUEUED))
            .with_layer(&token)
            .build();
        return Ok(client);
    }
    kube::Client::try_from(config)
}

fn client_reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(error) => auth_reason(error),
        kube::Error::InferKubeconfig(error) => kubeconfig::reason(error),
        other => innermost(other),
    }
}

/// Whether neither files nor flags say where the API server is.
fn says_nothing(files: &Kubeconfig, flags: &ConnectFlags) -> bool {
    files.clusters.is_empty()
        && files.contexts.is_empty()
        && flags.context.is_none()
        && flags.cluster.is_none()
        && flags.server.is_none()
}

fn in_cluster(flags: &ConnectFlags) -> Result<Config, Error> {
    let mut config = Config::incluster().map_err(|error| Error::Unreachable {
        message: format!(
            "connecting as this pod's service account: {}",
            innermost(&error)
        ),
        hint: Some("a kubeconfig file or --server names another way".to_owned()),
    })?;
    override_identity(&mut config.auth_info, flags);
    config.proxy_url = None;
    Ok(config)
}

async fn from_files(files: Kubeconfig, flags: &ConnectFlags) -> Result<(String, Config), Error> {
    let name = flags
        .context
        .clone()
        .or_else(|| files.current_context.clone());
    let name = name.filter(|name| !name.is_empty());
    let context = match &name {
        Some(name) => kubeconfig::find_context(&files, name)?,
        None => Context::default(),
    };
    let (cluster_name, mut cluster) = kubeconfig::find_cluster(&files, &context, flags)?;
    if let Some(server) = &flags.server {
        cluster.server = Some(with_scheme(server));
    }
    if cluster.server.as_ref().is_none_or(String::is_empty) {
        return Err(no_server(&files, name.as_deref()));
    }
    let user = flags.user.clone().or_else(|| context.user.clone());
    let mut auth_info = kubeconfig::find_user(&files, user.as_deref(), flags.user.is_some())?;
    override_identity(&mut auth_info, flags);

    let proxy = cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty());
    let shown = name.unwrap_or_else(|| cluster_name.clone());
    let settled = Kubeconfig {
        current_context: Some(shown.clone()),
        contexts: vec![NamedContext {
            name: shown.clone(),
            context: Some(Context {
                cluster: cluster_name.clone(),
                user: Some("user".to_owned()),
                namespace: context.namespace.filter(|namespace| !namespace.is_empty()),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        clusters: vec![NamedCluster {
            name: cluster_name,
            cluster: Some(cluster),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: "user".to_owned(),
            auth_info: Some(auth_info),
            ..NamedAuthInfo::default()
        }],
        ..Kubeconfig::default()
    };
    let config = Config::from_custom_kubeconfig(settled, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| {
        invalid(
            format!("connecting with context {shown:?}: {}", innermost(&error)),
            None,
        )
    })?;
    config.proxy_url = proxy_url(proxy.as_deref(), &config.cluster_url)?;
    Ok((shown, config))
}

/// `--token`, `--as` and `--as-group` over what the files say. A token takes the place of every other
/// header; a client certificate stays, as with kubectl.
fn override_identity(identity: &mut AuthInfo, flags: &ConnectFlags) {
    if let Some(token) = &flags.token {
        identity.token = Some(token.clone());
        identity.token_file = None;
        identity.username = None;
        identity.password = None;
        identity.auth_provider = None;
        identity.exec = None;
    }
    if let Some(user) = &flags.impersonate {
        identity.impersonate = Some(user.clone());
        identity.impersonate_groups = None;
    }
    if !flags.impersonate_groups.is_empty() {
        identity.impersonate_groups = Some(flags.impersonate_groups.clone());
    }
}

/// The proxy to the API server. kube's own reading matches `NO_PROXY` with the proxy instead of the
/// server. As in Go, a kubeconfig's own proxy is used unasked, and loopback is never proxied.
fn proxy_url(configured: Option<&str>, server: &Uri) -> Result<Option<Uri>, Error> {
    let parse = |proxy: &str| {
        proxy.parse::<Uri>().map(Some).map_err(|error| {
            // the text may hold credentials
            invalid(
                format!("the proxy URL for {server} is wrong: {error}"),
                None,
            )
        })
    };
    if let Some(proxy) = configured {
        return parse(proxy);
    }
    let proxy = ["HTTPS_PROXY", "https_proxy"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    match proxy {
        Some(proxy) if server.scheme_str() == Some("https") && !is_loopback(server) => {
            let matcher = hyper_util::client::proxy::matcher::Matcher::from_env();
            match matcher.intercept(server) {
                Some(_) => parse(&proxy),
                None => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn is_loopback(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// kubectl takes `--server host:port` as plain HTTP.
fn with_scheme(server: &str) -> String {
    if server.contains("://") {
        server.to_owned()
    } else {
        format!("http://{server}")
    }
}

fn no_server(files: &Kubeconfig, context: Option<&str>) -> Error {
    match context {
        Some(context) => invalid(
            format!("context {context:?} names no cluster with a server"),
            None,
        ),
        None if files.contexts.is_empty() => invalid(
            "no cluster is configured: there is no kubeconfig file, and this is not a pod",
            Some("set KUBECONFIG, or give --kubeconfig FILE or --server URL".to_owned()),
        ),
        None => {
            let names = files.contexts.iter().map(|context| context.name.as_str());
            invalid(
                "no context is chosen: give --context",
                one_of("contexts", names.collect()),
            )
        }
    }
}

/// Whether a text can be a namespace's name, and so a part of a URL.
pub(super) fn is_dns_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests;
