//! What Prometheus asks: `/metrics`, as OpenMetrics text.
//!
//! Decides nothing: figures are counted by whoever works.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use image_cloner::watch::{Health, Metrics};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct Figures {
    registry: Registry,
    metrics: Metrics,
    health: Health,
    memory: Gauge,
}

pub(crate) fn router(metrics: &Metrics, health: &Health) -> Router {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let memory = Gauge::default();
    registry.register_with_unit(
        "process_resident_memory",
        "Memory in use",
        Unit::Bytes,
        memory.clone(),
    );
    let figures = Figures {
        registry,
        metrics: metrics.clone(),
        health: health.clone(),
        memory,
    };
    Router::new()
        .route("/metrics", get(figures_now))
        .with_state(Arc::new(figures))
}

async fn figures_now(State(figures): State<Arc<Figures>>) -> Response {
    let is_ready = figures.health.ready().is_ok();
    figures.metrics.ready.set(i64::from(is_ready));
    if let Some(bytes) = resident_memory() {
        figures.memory.set(bytes);
    }
    let mut text = String::new();
    match encode(&mut text, &figures.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The memory of this process in bytes, where the system tells.
fn resident_memory() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    async fn scraped() -> (String, String) {
        let health = Health::starting();
        let router = router(&Metrics::default(), &health);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(crate::serve::serve(listener, router));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let answer = reqwest::get(format!("http://{address}/metrics"));
        let answer = answer.await.unwrap().error_for_status().unwrap();
        let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
        (kind.to_owned(), answer.text().await.unwrap())
    }

    /// The names of ours and of the process in a text.
    fn names(text: &str) -> BTreeSet<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let prefixes = ["image_cloner_", "process_"];
        words
            .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
            .collect()
    }

    fn series(text: &str) -> BTreeSet<&str> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect()
    }

    /// Every value of this key, at any depth.
    fn values<'a>(key: &str, value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
        match value {
            serde_json::Value::Object(object) => {
                for (name, value) in object {
                    match value.as_str() {
                        Some(text) if name == key => found.push(text),
                        _ => values(key, value, found),
                    }
                }
            }
            serde_json::Value::Array(items) => {
                for item in items {
                    values(key, item, found);
                }
            }
            _ => {}
        }
    }

    #[tokio::test]
    async fn figures_are_openmetrics() {
        let (kind, text) = scraped().await;
        assert_eq!(kind, OPENMETRICS);
        assert!(text.ends_with("# EOF\n"), "{text}");
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            &format!("image_cloner_build_info{{version=\"{version}\"}} 1"),
            "image_cloner_copies_total{result=\"failed\"} 0",
            "image_cloner_repoints_total{result=\"ok\"} 0",
            "image_cloner_ready 0",
            "image_cloner_lease_failing 0",
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "{line} is not in\n{text}"
            );
        }
        let memory = text
            .lines()
            .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        assert!(memory.unwrap().parse::<u64>().unwrap() > 1_000_000);
    }

    #[tokio::test]
    async fn the_dashboard_and_the_alerts_ask_for_figures_that_there_are() {
        let (_, text) = scraped().await;
        let there = series(&text);
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("dashboard.json")).unwrap();
        let alerts: serde_json::Value =
            serde_saphyr::from_str(include_str!("alerts.yaml")).unwrap();
        let mut asked = Vec::new();
        values("expr", &dashboard, &mut asked);
        values("query", &dashboard, &mut asked);
        values("expr", &alerts, &mut asked);
        assert!(asked.len() > 20, "{asked:?}");
        for expression in asked {
            for name in names(expression) {
                assert!(
                    there.contains(name),
                    "{name} of {expression:?} is not in {there:?}"
                );
            }
        }
        // and there is none that nobody looks at
        let all = concat!(include_str!("dashboard.json"), include_str!("alerts.yaml"));
        let unseen: Vec<_> = there.difference(&names(all)).copied().collect();
        assert_eq!(unseen, [""; 0]);
    }
}
