//! Where the agent works, and where it may read and write secrets.
//!
//! Decides which words stand for namespaces and which for all or none of them. Never asks whether there are
//! such namespaces: they may come later.

use super::compose::Composing;
use crate::interactive;
use crate::line;
use crate::stop::Stopped;
use image_cloner::install::{self, Secrets};
use image_cloner::outcome::Failure;
use std::collections::BTreeSet;

/// All namespaces, where names are asked for.
const ALL: &str = "*";

impl Composing<'_> {
    /// Where it works, which has to be said once.
    pub(super) fn scope(&mut self) -> Result<(), Stopped> {
        let mut namespaces = self.args.namespaces.clone();
        if namespaces.is_empty() && !self.args.all_namespaces {
            if self.live.is_some() {
                return Ok(());
            }
            namespaces = self.ask_namespaces()?;
        }
        if namespaces == [ALL] {
            namespaces.clear();
        }
        check_names("--namespaces", &namespaces).map_err(|failure| {
            let failure = failure.hint("-A is all namespaces but those of the system");
            Stopped::wrong(failure.hint("--set SKIP_NAMESPACES=GLOB,... takes some out of these"))
        })?;
        if namespaces.iter().any(|name| name == install::NAMESPACE) {
            return Err(Stopped::wrong(Failure::new(format!(
                "--namespaces {}: that is the agent's own",
                install::NAMESPACE
            ))));
        }
        if namespaces.is_empty() {
            self.say("NAMESPACES", None);
        } else {
            self.set("NAMESPACES", namespaces.join(","));
        }
        Ok(())
    }

    fn ask_namespaces(&self) -> Result<Vec<String>, Stopped> {
        if !self.terminal.can_ask {
            return Err(Stopped::wrong(
                Failure::new("where the agent is to work is not said")
                    .hint("-A for all namespaces, or --namespaces NS,..."),
            ));
        }
        let prompt = "Namespaces to work in, with commas between; * is all of them:";
        let typed = interactive::answer(line::read(prompt, ALL))?;
        let names = typed.split(',').map(str::trim);
        let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
        let names: Vec<String> = names.collect();
        if names.is_empty() {
            return Err(Stopped::cancelled());
        }
        Ok(names)
    }

    /// Where it may read and write secrets: nowhere, unless said.
    pub(super) fn secrets(&self) -> Result<Secrets, Stopped> {
        let named = &self.args.secrets;
        match (named.as_slice(), &self.live) {
            ([], Some(live)) => return Ok(live.secrets.clone()),
            ([], None) => return Ok(Secrets::None),
            ([one], _) if one == "none" => return Ok(Secrets::None),
            ([one], _) if one == "all" => return Ok(Secrets::All),
            _ => {}
        }
        let alone = named.iter().find(|name| *name == "none" || *name == "all");
        if let Some(word) = alone {
            let failure = Failure::new(format!(
                "--secrets {}: {word:?} says all there is to say",
                named.join(",")
            ));
            return Err(Stopped::wrong(failure.hint("leave it out, or the others")));
        }
        check_names("--secrets", named).map_err(|failure| {
            Stopped::wrong(failure.hint("--secrets all is wherever the agent works"))
        })?;
        let named: BTreeSet<String> = named.iter().cloned().collect();
        Ok(Secrets::Namespaces(named))
    }
}

/// Refuses what cannot be the name of a namespace, such as a pattern.
fn check_names(flag: &str, names: &[String]) -> Result<(), Failure> {
    let is_label = |name: &str| {
        let inner = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        inner && name.len() <= 63 && !name.starts_with('-') && !name.ends_with('-')
    };
    match names.iter().find(|name| !is_label(name)) {
        None => Ok(()),
        Some(name) => {
            let all = names.join(",");
            let what = format!("{flag} {all}: {name:?} is no name of a namespace");
            Err(Failure::new(what))
        }
    }
}
