//! The agent as it is: a few lines, its figures and what it told last.
//!
//! Decides the words. What the agent counts is read from the text that it gives Prometheus.

use super::text::bytes;
use jiff::Timestamp;
use serde_json::Value;
use std::fmt::Write as _;

/// How many of its events are shown.
const EVENTS: usize = 10;

/// What the cluster shows of the agent.
#[derive(Debug)]
pub struct AgentView<'a> {
    /// Its version.
    pub version: &'a str,
    /// Its Deployment.
    pub deployment: &'a Value,
    /// Its ConfigMap.
    pub config: &'a Value,
    /// Its Lease, where there is one.
    pub lease: Option<&'a Value>,
    /// Whether its work is held.
    pub paused: bool,
    /// What the leader counts, or why that cannot be had.
    pub figures: Result<&'a str, &'a str>,
    /// Why it is not ready, where it says.
    pub trouble: Option<&'a str>,
    /// What it told, the oldest first.
    pub events: &'a [Value],
    /// When this is.
    pub now: Timestamp,
    /// Columns of the screen.
    pub width: usize,
}

/// The agent in a few lines.
pub fn agent(view: &AgentView<'_>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<9}  {value}");
    };
    let count = |path: &str| {
        view.deployment
            .pointer(path)
            .and_then(Value::as_u64)
            .unwrap_or(0)
    };
    line("version", view.version);
    let (ready, wanted) = (count("/status/readyReplicas"), count("/spec/replicas"));
    line("ready", &format!("{ready}/{wanted}"));
    for reason in view.trouble.iter().flat_map(|trouble| trouble.lines()) {
        line("", reason);
    }
    line("leader", &leader(view));
    line(
        "paused",
        if view.paused {
            "yes: `agent resume` lets it go on"
        } else {
            "no"
        },
    );
    line("target", &settings(view.config));
    match view.figures {
        Ok(figures) => {
            for (name, value) in counts(figures) {
                line(name, &value);
            }
        }
        Err(why) => line("figures", why),
    }
    text += &events(view.events, view.now, view.width);
    text
}

/// The pod that a Lease names; none where nobody leads. Its holder's identity is the pod's name, `_` and a
/// number of the process.
pub fn leading_pod(lease: &Value) -> Option<&str> {
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    let pod = holder.rsplit_once('_').map_or(holder, |(pod, _)| pod);
    Some(pod).filter(|pod| !pod.is_empty())
}

fn leader(view: &AgentView<'_>) -> String {
    let Some(holder) = view.lease.and_then(leading_pod) else {
        return "none".to_owned();
    };
    let spec = view.lease.map(|lease| &lease["spec"]);
    let renewed = spec.and_then(|spec| spec["renewTime"].as_str()?.parse().ok());
    match renewed {
        Some(renewed) => format!("{holder}, seen {} ago", age(renewed, view.now)),
        None => holder.to_owned(),
    }
}

fn settings(config: &Value) -> String {
    let of = |name: &str| config["data"][format!("IMAGE_CLONER_{name}")].as_str();
    let scope = match of("NAMESPACES").filter(|names| !names.is_empty()) {
        Some(names) => format!("in {names}"),
        None => "in all namespaces".to_owned(),
    };
    format!(
        "{}, mode {}, {scope}",
        of("REGISTRY").unwrap_or("none"),
        of("MODE").unwrap_or("clone")
    )
}

/// What it counts, in words.
fn counts(figures: &str) -> [(&'static str, String); 3] {
    let of = |name: &str, result: &str| figure(figures, name, result);
    let lag = of("lag_seconds", "");
    let oldest = if lag > 0 {
        format!(
            ", the oldest for {}",
            span(i64::try_from(lag).unwrap_or(i64::MAX))
        )
    } else {
        String::new()
    };
    [
        (
            "workloads",
            format!(
                "{} seen, {} waiting{oldest}",
                of("workloads", ""),
                of("workloads_waiting", "")
            ),
        ),
        (
            "copies",
            format!(
                "{} done ({}), {} failed, {} under way, {} to be tried again",
                of("copies_total", "ok"),
                bytes(of("copied_bytes_total", "")),
                of("copies_total", "failed"),
                of("copies_running", ""),
                of("images_failing", ""),
            ),
        ),
        (
            "repoints",
            format!(
                "{} done, {} failed, {} put back, {} rolling out",
                of("repoints_total", "ok"),
                of("repoints_total", "failed"),
                of("put_back_total", ""),
                of("rollouts_unfinished", ""),
            ),
        ),
    ]
}

/// A figure by its name without the prefix, and by its result where it has one; 0 where there is none.
fn figure(figures: &str, name: &str, result: &str) -> u64 {
    let label = format!("result=\"{result}\"");
    let found = figures.lines().find_map(|line| {
        let (key, value) = line.rsplit_once(' ')?;
        let (key, labels) = key.split_once('{').unwrap_or((key, ""));
        let is_meant = key.strip_prefix("image_cloner_")? == name
            && (result.is_empty() || labels.to_lowercase().contains(&label));
        is_meant.then(|| value.parse().ok())?
    });
    found.unwrap_or(0)
}

/// The last of them, the last one first.
fn events(events: &[Value], now: Timestamp, width: usize) -> String {
    if events.is_empty() {
        return String::new();
    }
    let mut text = "\nlast events\n".to_owned();
    for event in events.iter().rev().take(EVENTS) {
        let of = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        let time = of("/lastTimestamp").or(of("/eventTime"));
        let time = time.and_then(|time| time.parse().ok());
        let line = format!(
            "{:<4} {}/{}  {}  {}",
            time.map(|time| age(time, now)).unwrap_or_default(),
            of("/involvedObject/namespace").unwrap_or_default(),
            of("/involvedObject/name").unwrap_or_default(),
            of("/reason").unwrap_or_default(),
            of("/message").unwrap_or_default(),
        );
        let shown: String = line.chars().take(width).collect();
        let _ = writeln!(text, "{}", shown.trim_end());
    }
    text
}

fn age(then: Timestamp, now: Timestamp) -> String {
    span(now.duration_since(then).as_secs().max(0))
}

/// Seconds as kubectl shows ages.
fn span(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FIGURES: &str = "\
# HELP image_cloner_copies Images copied, by result.
image_cloner_copies_total{result=\"Ok\"} 5
image_cloner_copies_total{result=\"Failed\"} 1
image_cloner_copied_bytes_total 81000000
image_cloner_workloads 12
image_cloner_workloads_waiting 3
image_cloner_lag_seconds 190
# EOF
";

    #[test]
    fn the_agent_is_shown_with_its_leader_its_figures_and_what_it_told() {
        let events = [json!({
            "lastTimestamp": "2026-01-01T11:58:00Z", "reason": "Repointed",
            "message": "nginx:1.25 is localhost:5000/nginx:1.25 now",
            "involvedObject": {"namespace": "shop", "name": "web"},
        })];
        let view = AgentView {
            version: "v0.1.0",
            deployment: &json!({"spec": {"replicas": 2}, "status": {"readyReplicas": 1}}),
            config: &json!({"data": {"IMAGE_CLONER_REGISTRY": "localhost:5000"}}),
            lease: Some(&json!({"spec": {
                "holderIdentity": "image-cloner-7d-x2_0a1b2c3d", "renewTime": "2026-01-01T11:59:58.000000Z",
            }})),
            paused: false,
            figures: Ok(FIGURES),
            trouble: Some("target: localhost:5000 refuses the connection"),
            events: &events,
            now: "2026-01-01T12:00:00Z".parse().unwrap(),
            width: 60,
        };
        insta::assert_snapshot!(agent(&view), @r"
        version    v0.1.0
        ready      1/2
                   target: localhost:5000 refuses the connection
        leader     image-cloner-7d-x2, seen 2s ago
        paused     no
        target     localhost:5000, mode clone, in all namespaces
        workloads  12 seen, 3 waiting, the oldest for 3m
        copies     5 done (81 MB), 1 failed, 0 under way, 0 to be tried again
        repoints   0 done, 0 failed, 0 put back, 0 rolling out

        last events
        2m   shop/web  Repointed  nginx:1.25 is localhost:5000/nginx
        ");
        let view = AgentView {
            lease: None,
            paused: true,
            figures: Err("cannot be had: pods/proxy is forbidden"),
            trouble: None,
            events: &[],
            ..view
        };
        insta::assert_snapshot!(agent(&view), @r"
        version    v0.1.0
        ready      1/2
        leader     none
        paused     yes: `agent resume` lets it go on
        target     localhost:5000, mode clone, in all namespaces
        figures    cannot be had: pods/proxy is forbidden
        ");
    }
}
