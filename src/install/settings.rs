//! What the agent's objects are made from.
//!
//! Decides which of the settings are kept in the ConfigMap under which name. Never reads one anywhere.

use crate::workload::Kind;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};

/// What the agent works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces but the skipped ones.
    Everything,
    /// These alone.
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// What a ConfigMap says.
    pub fn of(config: &BTreeMap<String, String>) -> Self {
        let namespaces: BTreeSet<String> = list(config, "IMAGE_CLONER_NAMESPACES").collect();
        if namespaces.is_empty() {
            return Self::Everything;
        }
        Self::Namespaces(namespaces)
    }
}

/// Where the agent may read and write secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Secrets {
    /// Nowhere.
    #[default]
    None,
    /// Wherever it works.
    All,
    /// In these namespaces.
    Namespaces(BTreeSet<String>),
}

/// What the agent is to be. `Debug` shows no credentials.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its image, as the nodes pull it.
    pub image: String,
    /// The architectures that the image is for; none where that is not known.
    pub architectures: BTreeSet<String>,
    /// How many of it there are.
    pub replicas: u32,
    /// The ConfigMap: `IMAGE_CLONER_…` without credentials, and files.
    pub config: BTreeMap<String, String>,
    /// The Secret: `IMAGE_CLONER_USER` and the others.
    pub login: BTreeMap<String, SecretString>,
    /// A `config.json` with what its own image is pulled with; none where that needs nothing.
    pub pull_secret: Option<SecretString>,
    /// Where it may read and write secrets.
    pub secrets: Secrets,
    /// What is made besides.
    pub extras: BTreeSet<Extra>,
}

/// What not every cluster has a use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extra {
    /// The agent answers admission requests.
    Webhook,
    /// A PodDisruptionBudget: needs `policy/v1` and more than one replica.
    Budget,
    /// A NetworkPolicy.
    NetworkPolicy,
    /// A ServiceMonitor and its Service, for the Prometheus operator.
    ServiceMonitor,
}

impl Settings {
    /// What the agent works on, as the ConfigMap says.
    pub fn scope(&self) -> Scope {
        Scope::of(&self.config)
    }

    /// Whether this is made besides.
    pub fn has(&self, extra: Extra) -> bool {
        self.extras.contains(&extra)
    }

    /// The resources that it works on, by group; Deployments where nothing is said.
    pub(super) fn resources(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut resources: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let named: Vec<String> = list(&self.config, "IMAGE_CLONER_KINDS").collect();
        let words = if named.is_empty() {
            vec!["deployments".to_owned()]
        } else {
            named
        };
        for kind in words.iter().filter_map(|word| Kind::from_word(word)) {
            let of_group = resources.entry(kind.group.clone()).or_default();
            of_group.insert(kind.plural.clone());
        }
        resources
    }

    /// Whether the platforms that it copies are those of the nodes.
    pub(super) fn asks_nodes(&self) -> bool {
        self.config
            .get("IMAGE_CLONER_PLATFORM")
            .is_some_and(|platform| platform.trim() == "cluster")
    }
}

fn list(config: &BTreeMap<String, String>, name: &str) -> impl Iterator<Item = String> {
    let items = config.get(name).map_or("", String::as_str).split(',');
    items
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
}
