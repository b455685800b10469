//! The keys of `config.yaml`: which there are, where they stand, and how a value is written on a command line.
//!
//! Never decides whether a value is right: the new file is loaded as any other.

use crate::spelling;
use serde_json::Value;

/// Where a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On its own.
    General,
    /// Below `contexts.NAME`.
    Context(String),
    /// Below `registries.HOST`.
    Host(String),
}

/// Why a key or a value cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeyError {
    /// What is wrong, with the offending key; never a value, which may be a password.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

/// What a value is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Number,
    List,
    /// One text, or a list of several.
    OneOrMany,
}

pub(super) const GENERAL: [(&str, Form); 6] = [
    ("registry", Form::Text),
    ("layout", Form::Text),
    ("platform", Form::Text),
    ("kinds", Form::List),
    ("skipNamespaces", Form::List),
    ("protect", Form::List),
];

pub(super) const CONTEXT: [(&str, Form); 1] = [("registry", Form::Text)];

pub(super) const HOST: [(&str, Form); 9] = [
    ("endpoint", Form::OneOrMany),
    ("insecure", Form::Text),
    ("caFile", Form::Text),
    ("concurrency", Form::Number),
    ("layout", Form::Text),
    ("username", Form::Text),
    ("passwordCommand", Form::Text),
    ("pullUsername", Form::Text),
    ("pullPasswordCommand", Form::Text),
];

impl Place {
    /// The names of the keys that can stand here.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.forms().iter().map(|(key, _)| *key)
    }

    fn forms(&self) -> &'static [(&'static str, Form)] {
        match self {
            Self::General => &GENERAL,
            Self::Context(_) => &CONTEXT,
            Self::Host(_) => &HOST,
        }
    }

    /// The form of a key's value; an error that helps where there is no such key.
    pub(super) fn form(&self, key: &str) -> Result<Form, KeyError> {
        let found = self.forms().iter().find(|(known, _)| *known == key);
        found
            .map(|(_, form)| *form)
            .ok_or_else(|| self.unknown(key))
    }

    fn unknown(&self, key: &str) -> KeyError {
        let has = |forms: &[(&str, Form)]| forms.iter().any(|(known, _)| *known == key);
        let of = match self {
            Self::General => "",
            Self::Context(_) => " of a context",
            Self::Host(_) => " of a registry host",
        };
        let hint = match key.split_once('.') {
            _ if key.to_lowercase().contains("password") && !has(&HOST) => {
                "passwords are not kept here: kubectl image-cloner login HOST, or passwordCommand"
                    .to_owned()
            }
            Some(("registries", _)) => "name the host with --host HOST".to_owned(),
            Some(("contexts", _)) => "name the context with --context NAME".to_owned(),
            _ if has(&GENERAL) => "it is for all: leave out --host and --context".to_owned(),
            _ if has(&HOST) => "it belongs to a registry host: give --host HOST".to_owned(),
            _ => match spelling::nearest(key, self.keys()) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("known: {}", self.keys().collect::<Vec<_>>().join(", ")),
            },
        };
        KeyError {
            message: format!("there is no key {key:?}{of}"),
            hint: Some(hint),
        }
    }
}

impl Form {
    /// A value as it was typed; lists are separated by commas.
    pub(super) fn read(self, key: &str, text: &str) -> Result<Value, KeyError> {
        let list = || {
            let items = text.split(',').map(str::trim);
            let items = items.filter(|item| !item.is_empty()).map(Value::from);
            items.collect::<Vec<_>>()
        };
        match self {
            _ if text.trim().is_empty() => Err(KeyError {
                message: format!("{key} is given an empty value"),
                hint: Some(format!("config unset {key} takes it out")),
            }),
            Self::Text => Ok(Value::from(text)),
            Self::Number => text
                .trim()
                .parse()
                .map(|number: u64| number.into())
                .map_err(|_| KeyError {
                    message: format!("{key}: {text:?} is not a number"),
                    hint: None,
                }),
            Self::OneOrMany if !text.contains(',') => Ok(Value::from(text.trim())),
            Self::List | Self::OneOrMany => Ok(Value::from(list())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::document::{self, Notation};
    use std::path::Path;

    /// The keys that loading knows, as it says itself.
    fn loaded(text: &str) -> Vec<String> {
        let error = Config::parse(text, Path::new("")).unwrap_err();
        let (_, known) = error.split_once("expected ").unwrap();
        let (known, _) = known.split_once(" at line").unwrap();
        let known = known.trim_start_matches("one of ").split(", ");
        known.map(str::to_owned).collect()
    }

    #[test]
    fn every_key_that_is_loaded_can_be_set() {
        for (place, text) in [
            (Place::General, "x: 1"),
            (
                Place::Context("c".to_owned()),
                "contexts: {c: {x: 1, y: 2}}",
            ),
            (Place::Host("h.io".to_owned()), "registries: {h.io: {x: 1}}"),
        ] {
            let mut known = loaded(text);
            known.retain(|key| !["contexts", "registries"].contains(&key.as_str()));
            known.sort();
            let mut settable: Vec<_> = place.keys().collect();
            settable.sort_unstable();
            assert_eq!(settable, known, "{place:?}");
        }
    }

    #[test]
    fn values_are_of_their_keys_form() {
        let set = |place: &Place, key: &str, text: &str| {
            let value = place.form(key).unwrap().read(key, text)?;
            Ok(document::set("", Notation::Yaml, &[key], &value).unwrap())
        };
        let general = |key, text| set(&Place::General, key, text);
        let host = |key, text| set(&Place::Host("h".to_owned()), key, text);
        let is = |text: &str| Ok::<_, KeyError>(text.to_owned());
        assert_eq!(
            general("platform", "linux/amd64,linux/arm64"),
            is("platform: \"linux/amd64,linux/arm64\"\n")
        );
        assert_eq!(
            general("skipNamespaces", "a, b,"),
            is("skipNamespaces: [a, b]\n")
        );
        assert_eq!(host("endpoint", "a:1"), is("endpoint: a:1\n"));
        assert_eq!(host("endpoint", "a:1,b:2"), is("endpoint: [a:1, b:2]\n"));
        assert_eq!(host("concurrency", "2"), is("concurrency: 2\n"));
        assert!(host("concurrency", "two").is_err());
        assert!(general("registry", " ").is_err());
    }

    #[test]
    fn a_wrong_key_is_answered_with_the_right_one() {
        #[track_caller]
        fn check(place: &Place, key: &str, expected: &str) {
            let error = place.form(key).unwrap_err();
            let hint = error.hint.unwrap();
            assert!(hint.contains(expected), "{hint}");
            assert!(error.message.contains(key));
        }
        let (general, host) = (Place::General, Place::Host("h".to_owned()));
        check(&general, "regsitry", "did you mean registry?");
        check(&general, "skip-namespaces", "did you mean skipNamespaces?");
        check(&general, "insecure", "--host HOST");
        check(&general, "registries.h.insecure", "--host HOST");
        check(&general, "contexts.c.registry", "--context NAME");
        check(&general, "colour", "known: registry, layout,");
        check(&general, "password", "login HOST");
        check(&host, "Password", "login HOST");
        check(&host, "cafile", "did you mean caFile?");
        check(&host, "protect", "leave out --host");
        check(&Place::Context("c".to_owned()), "layout", "leave out");
    }
}
