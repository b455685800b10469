//! What the kubelet asks: `/healthz` and `/readyz`.
//!
//! Decides nothing: gives the answers of [`Health`], with the reasons for people.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use image_cloner::watch::Health;

pub(crate) fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(health)
}

async fn alive(State(health): State<Health>) -> (StatusCode, String) {
    answer(health.alive())
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    answer(health.ready())
}

fn answer(state: Result<(), String>) -> (StatusCode, String) {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
