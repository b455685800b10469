//! The `IMAGE_CLONER_*` variables as values.

use super::agent::SettingsError;
use super::endpoint;
use crate::target::{Layout, TargetRegistry};
use std::collections::BTreeMap;
use std::fmt;

const PREFIX: &str = "IMAGE_CLONER_";

/// The `IMAGE_CLONER_*` variables, read once.
///
/// `Debug` never shows a password.
#[derive(Clone, Default)]
pub struct Environment {
    vars: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the process's environment.
    pub fn from_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of `IMAGE_CLONER_<name>`, trimmed; none when unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// These variables over those: where both are set, these count.
    #[must_use]
    pub fn over(mut self, lower: Self) -> Self {
        for (name, value) in lower.vars {
            self.vars.entry(name).or_insert(value);
        }
        self
    }

    /// A comma-separated list, spaces trimmed, empty items dropped.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.get(name)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The target registry as `IMAGE_CLONER_REGISTRY` has it.
    ///
    /// # Errors
    /// When it is none.
    pub fn registry(&self) -> Result<Option<TargetRegistry>, SettingsError> {
        let parse = |name| TargetRegistry::parse(name, Layout::default());
        let named = self.get("REGISTRY").map(parse).transpose();
        named.map_err(|error| SettingsError(format!("{PREFIX}REGISTRY: {error}")))
    }

    /// Where the target registry really is, as `IMAGE_CLONER_REGISTRY_ENDPOINT` has it.
    ///
    /// # Errors
    /// When it is no address.
    pub fn endpoint(&self) -> Result<Option<&str>, SettingsError> {
        const NAME: &str = "REGISTRY_ENDPOINT";
        let endpoint = self.get(NAME);
        endpoint
            .map_or(Ok(()), endpoint::check)
            .map_err(|reason| SettingsError(format!("{PREFIX}{NAME}: {reason}")))?;
        Ok(endpoint)
    }

    /// Whether it is switched on or off; none when nothing is said.
    ///
    /// # Errors
    /// When it is neither.
    pub fn switch(&self, name: &str) -> Result<Option<bool>, SettingsError> {
        let Some(word) = self.get(name) else {
            return Ok(None);
        };
        let said = switch(word);
        said.map(Some)
            .map_err(|reason| SettingsError(format!("{PREFIX}{name} is {word:?}: {reason}")))
    }
}

/// What a word says that switches something on or off, wherever one stands.
///
/// # Errors
/// When it is no such word; with those that are.
pub fn switch(word: &str) -> Result<bool, String> {
    const ON: [&str; 4] = ["true", "yes", "on", "1"];
    const OFF: [&str; 4] = ["false", "no", "off", "0"];
    let is_in = |words: [&str; 4]| words.iter().any(|one| word.eq_ignore_ascii_case(one));
    if is_in(ON) {
        return Ok(true);
    }
    if is_in(OFF) {
        return Ok(false);
    }
    Err(format!("not one of {}, {}", ON.join(", "), OFF.join(", ")))
}

/// From variables under their full names; those of others are left out.
impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let vars = variables
            .into_iter()
            .filter_map(|(name, value)| {
                let name = name.as_ref().strip_prefix(PREFIX)?.to_owned();
                let value = if is_password(&name) {
                    // a password may well end in a space, but not in the line end of the file it was in
                    value.as_ref().trim_end_matches(['\r', '\n'])
                } else {
                    value.as_ref().trim()
                };
                Some((name, value.to_owned())).filter(|(_, value)| !value.is_empty())
            })
            .collect();
        Self { vars }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.vars.iter().map(|(name, value)| {
            let value = if is_password(name) { "***" } else { value };
            (format!("{PREFIX}{name}"), value)
        });
        f.debug_map().entries(shown).finish()
    }
}

fn is_password(name: &str) -> bool {
    name == "PASS" || name.ends_with("_PASS")
}
