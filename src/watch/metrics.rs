//! What the agent counts.
//!
//! Decides the names and labels; labels are bounded: no workload, image or digest is ever one.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::fmt::{self, Write as _};

/// How a copy, a repoint or a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Result {
    /// As it should.
    Ok,
    /// Not.
    Failed,
}

impl EncodeLabelValue for Result {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        encoder.write_str(match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
        })
    }
}

/// The one label of most counters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    /// How.
    pub result: Result,
}

/// The agent's figures; a clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Images copied, or tried to.
    pub copies: Family<Ended, Counter>,
    /// Bytes carried to the target.
    pub copied_bytes: Counter,
    /// Workloads repointed, or tried to.
    pub repoints: Family<Ended, Counter>,
    /// Workloads that were given back what they had.
    pub put_back: Counter,
    /// Workloads seen.
    pub workloads: Gauge,
    /// Workloads that wait: for a copy, for being settled, for a rollout's turn.
    pub waiting: Gauge,
    /// Copies under way.
    pub copying: Gauge,
    /// Rollouts of ours that are not finished.
    pub rollouts: Gauge,
    /// Images whose copy failed last time and is tried again later.
    pub failing: Gauge,
    /// For how long the oldest waiting workload has been, in seconds.
    pub lag: Gauge,
    /// Whether this replica can do its work: 0 or 1.
    pub ready: Gauge,
    /// Whether this replica leads: 0 or 1.
    pub leading: Gauge,
    /// Times that this replica began to lead.
    pub terms: Counter,
    /// Whether the last look at the Lease came to nothing: 0 or 1.
    pub lease_failing: Gauge,
    /// Whether work is held: 0 or 1.
    pub paused: Gauge,
    /// Admission requests that were changed.
    pub admitted: Counter,
}

impl Metrics {
    /// Another replica works: what is under way is its to tell.
    pub fn rest(&self) {
        let under_way = [
            &self.workloads,
            &self.waiting,
            &self.copying,
            &self.rollouts,
            &self.failing,
            &self.lag,
        ];
        for gauge in under_way {
            gauge.set(0);
        }
    }

    /// Makes them known to whoever serves them, under `image_cloner_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("image_cloner");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What runs", build);
        // a first failure must be seen to have come after none
        for result in [Result::Ok, Result::Failed] {
            drop(self.copies.get_or_create(&Ended { result }));
            drop(self.repoints.get_or_create(&Ended { result }));
        }
        for (name, help, family) in [
            ("copies", "Images copied, by result", &self.copies),
            ("repoints", "Workloads repointed, by result", &self.repoints),
        ] {
            registry.register(name, help, family.clone());
        }
        for (name, help, counter) in self.counters() {
            registry.register(name, help, counter.clone());
        }
        for (name, help, gauge) in self.gauges() {
            registry.register(name, help, gauge.clone());
        }
    }

    fn counters(&self) -> [(&str, &str, &Counter); 4] {
        [
            (
                "copied_bytes",
                "Bytes carried to the target",
                &self.copied_bytes,
            ),
            (
                "put_back",
                "Workloads given back what they had",
                &self.put_back,
            ),
            (
                "terms",
                "Times that this replica began to lead",
                &self.terms,
            ),
            ("admitted", "Admission requests changed", &self.admitted),
        ]
    }

    fn gauges(&self) -> [(&str, &str, &Gauge); 10] {
        [
            ("workloads", "Workloads seen", &self.workloads),
            ("workloads_waiting", "Workloads that wait", &self.waiting),
            ("copies_running", "Copies under way", &self.copying),
            (
                "rollouts_unfinished",
                "Rollouts not finished",
                &self.rollouts,
            ),
            ("images_failing", "Images to be tried again", &self.failing),
            (
                "lag_seconds",
                "Age of the oldest waiting workload",
                &self.lag,
            ),
            ("leading", "Whether this replica leads", &self.leading),
            ("ready", "Whether this replica can do its work", &self.ready),
            (
                "lease_failing",
                "Whether the last look at the Lease came to nothing",
                &self.lease_failing,
            ),
            ("paused", "Whether work is held", &self.paused),
        ]
    }
}
