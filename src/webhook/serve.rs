//! The webhook's server.
//!
//! Decides how long and how much anybody may send it. Whatever it cannot read it refuses, which the API server
//! takes for a failure of the webhook and ignores; whatever it can read it allows.

use super::decide::{Change, decide};
use super::keep::Shown;
use super::review::{self, Review, VERSION};
use crate::install::WEBHOOK_PATH;
use crate::watch::{Known, Metrics};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The API server takes no bigger object, and sends at most the old and the new one.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Connections at once. An API server that knows HTTP/2 needs one.
const CONNECTIONS: usize = 256;

/// Reviews in memory at once: bounds it for whoever sends many big ones.
const REVIEWS: usize = 16;

/// How long a handshake may take, and a review to arrive: the API server itself waits for one second.
const ARRIVING: Duration = Duration::from_secs(2);

/// How long a connection may be silent; API servers end those that they do not need after 90 s.
const SILENT: Duration = Duration::from_secs(120);

/// How long what is under way may take to end.
const ENDING: Duration = Duration::from_secs(5);

/// What is not accepted now may be a moment later.
const NOT_ACCEPTED: Duration = Duration::from_millis(100);

/// What every request needs.
#[derive(Clone)]
struct Desk {
    known: Known,
    metrics: Metrics,
    places: Arc<Semaphore>,
}

/// Answers reviews until it is told to stop, then ends what is under way.
pub(super) async fn serve(
    listener: TcpListener,
    shown: watch::Receiver<Option<Shown>>,
    known: Known,
    metrics: Metrics,
    stop: &CancellationToken,
) {
    let desk = Desk {
        known,
        metrics,
        places: Arc::new(Semaphore::new(REVIEWS)),
    };
    let router = Router::new()
        .route(WEBHOOK_PATH, post(admit))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(desk);
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection to the webhook was not accepted");
                tokio::time::sleep(NOT_ACCEPTED).await;
                continue;
            }
        };
        let Some(shown) = shown.borrow().clone() else {
            tracing::debug!("no certificate to show yet");
            continue;
        };
        let talked = talk(stream, shown, router.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            talked.await;
        });
    }
    drop(listener);
    // whoever does not end by then is not waited for
    let _ = timeout(ENDING, graceful.shutdown()).await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(connections)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// Answers on one connection until that ends.
async fn talk(stream: TcpStream, shown: Shown, router: Router, watcher: Watcher) {
    let acceptor = TlsAcceptor::from(shown.config);
    let Ok(Ok(stream)) = timeout(ARRIVING, acceptor.accept(stream)).await else {
        return;
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(SILENT);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%error, "a connection to the webhook broke");
    }
}

async fn admit(State(desk): State<Desk>, request: Request) -> Response {
    let reviewed = timeout(ARRIVING, async {
        let _place = desk.places.acquire().await;
        let body = Bytes::from_request(request, &()).await;
        body.map(|body| answer(&body, &desk))
    });
    match reviewed.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(refused)) => {
            tracing::warn!(error = %refused.body_text(), "an admission review was not read");
            refused.into_response()
        }
        Err(_) => {
            tracing::warn!("an admission review did not arrive in time");
            StatusCode::REQUEST_TIMEOUT.into_response()
        }
    }
}

fn answer(body: &[u8], desk: &Desk) -> Response {
    let Review {
        api_version,
        request,
    } = match serde_json::from_slice(body) {
        Ok(review) => review,
        Err(error) => {
            tracing::warn!(%error, "an admission review was not understood");
            let reason = format!("not an admission review: {error}\n");
            return (StatusCode::BAD_REQUEST, reason).into_response();
        }
    };
    let uid = &request.uid;
    if api_version != VERSION {
        tracing::warn!(
            version = api_version,
            "a review of an unknown version is allowed"
        );
        return reply(&review::allowed(&api_version, uid));
    }
    match decide(&request, &desk.known) {
        Ok(change) => {
            let is_dry_run = request.dry_run == Some(true);
            if !is_dry_run {
                desk.metrics.admitted.inc();
            }
            tell(&change, is_dry_run);
            reply(&review::patched(
                VERSION,
                uid,
                &change.patch,
                &change.warnings,
            ))
        }
        Err(reason) => {
            tracing::debug!(uid, reason, "admitted as it is");
            reply(&review::allowed(VERSION, uid))
        }
    }
}

fn reply(review: &serde_json::Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, review.to_string()).into_response()
}

/// Says what was changed, in the words of the loop.
fn tell(change: &Change, is_dry_run: bool) {
    let id = &change.workload.id;
    let kind = id.kind.kind.to_lowercase();
    for slot in &change.repoint.slots {
        if is_dry_run {
            tracing::debug!(
                namespace = id.namespace,
                name = id.name,
                container = slot.slot.name,
                From = slot.from,
                To = slot.to,
                "would update {kind} image on admission"
            );
        } else {
            tracing::info!(
                namespace = id.namespace,
                name = id.name,
                container = slot.slot.name,
                From = slot.from,
                To = slot.to,
                "updating {kind} image on admission"
            );
        }
    }
}
