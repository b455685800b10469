//! What is in force, and who says so.
//!
//! Decides nothing that loading does not: it shows the file's keys with what goes before them.

use super::Environment;
use super::keys::Place;
use serde::Serialize;
use serde_json::Value;

/// A value in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The key, as the file would have it: `registries.HOST.insecure`.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Who says so: `config.yaml`, a variable, a flag, or `default`.
    pub from: String,
    /// What the file says in vain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Value>,
}

/// What goes before the file: a key, its value, and who says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The key's parts: `registries`, the host, `endpoint`.
    pub key: Vec<String>,
    /// Its value.
    pub value: Value,
    /// A variable or flag.
    pub from: String,
}

/// The name of the file's values.
const FILE: &str = "config.yaml";

impl Override {
    /// One of a general key.
    pub fn general(key: &str, value: impl Into<Value>, from: impl Into<String>) -> Self {
        Self {
            key: vec![key.to_owned()],
            value: value.into(),
            from: from.into(),
        }
    }

    /// Those of the environment; no password is among them.
    pub fn of_environment(environment: &Environment) -> Vec<Self> {
        let general = [
            ("registry", "REGISTRY"),
            ("layout", "LAYOUT"),
            ("platform", "PLATFORM"),
            ("concurrency", "CONCURRENCY"),
        ];
        let variable = |name: &str| format!("IMAGE_CLONER_{name}");
        let mut found: Vec<_> = general
            .iter()
            .filter_map(|(key, name)| {
                Some(Self::general(key, environment.get(name)?, variable(name)))
            })
            .collect();
        // bound to the host of the registry that the environment names
        if let Ok(Some(target)) = environment.registry() {
            let of_host = [
                ("endpoint", "REGISTRY_ENDPOINT"),
                ("username", "USER"),
                ("pullUsername", "PULL_USER"),
            ];
            found.extend(of_host.iter().filter_map(|(key, name)| {
                let parts = ["registries", target.host(), key];
                Some(Self {
                    key: parts.iter().map(|part| (*part).to_owned()).collect(),
                    value: environment.get(name)?.into(),
                    from: variable(name),
                })
            }));
        }
        found
    }
}

/// The values in force: what the file has, what goes before it (the last of several), and the defaults.
pub fn in_force(file: &Value, before: &[Override], defaults: &[(&str, Value)]) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let setting = |key: String, value: &Value, from: &str| Setting {
        key,
        value: value.clone(),
        from: from.to_owned(),
        overrides: None,
    };
    for (key, value) in file.as_object().into_iter().flatten() {
        match key.as_str() {
            "contexts" | "registries" => {
                for (name, values) in value.as_object().into_iter().flatten() {
                    for (inner, value) in values.as_object().into_iter().flatten() {
                        settings.push(setting(format!("{key}.{name}.{inner}"), value, FILE));
                    }
                }
            }
            _ => settings.push(setting(key.clone(), value, FILE)),
        }
    }
    for said in before {
        let key = said.key.join(".");
        let new = setting(key.clone(), &said.value, &said.from);
        let old = settings.iter().position(|setting| setting.key == key);
        match old {
            Some(at) => {
                let old = std::mem::replace(&mut settings[at], new);
                let in_file = (old.from == FILE).then_some(old.value);
                settings[at].overrides = in_file.or(old.overrides);
            }
            None => settings.push(new),
        }
    }
    for (key, value) in defaults {
        if !settings.iter().any(|setting| setting.key == *key) {
            settings.push(setting((*key).to_owned(), value, "default"));
        }
    }
    settings.retain(|setting| !setting.value.is_null());
    settings.sort_by_cached_key(|setting| place(&setting.key));
    settings
}

/// General keys first, in the order of the documentation.
fn place(key: &str) -> (usize, String) {
    let general = Place::General.keys().position(|known| known == key);
    match general {
        Some(at) => (at, String::new()),
        None if !key.contains('.') => (90, key.to_owned()),
        None => (91, key.to_owned()),
    }
}
