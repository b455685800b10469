//! The credentials that the agent is given.
//!
//! Decides which go into its Secret, and what its own image is pulled with. Never shows one.

use super::compose::Composing;
use super::image::Image;
use crate::interactive;
use crate::settings::Target;
use crate::stop::Stopped;
use image_cloner::credentials::{Credentials, docker_config_json};
use image_cloner::outcome::Failure;
use image_cloner::reference::Reference;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;

impl Composing<'_> {
    /// What goes into the Secret and into the agent's own pull secret.
    pub(super) async fn credentials(
        &mut self,
        target: &Target,
        image: &Image,
    ) -> Result<(BTreeMap<String, SecretString>, Option<SecretString>), Stopped> {
        let host = target.registry.host();
        let mut login = self
            .live
            .as_mut()
            .map(|live| std::mem::take(&mut live.login));
        let mut login = login.take().unwrap_or_default();
        match &target.credentials {
            Credentials::Anonymous => {}
            Credentials::Basic { username, password } => {
                insert(&mut login, "USER", "PASS", username, password);
            }
            Credentials::IdentityToken(_) => {
                return Err(Stopped::wrong(
                    Failure::new(format!(
                        "the login for {host} is an identity token, which ends soon"
                    ))
                    .hint("give a user and a password that last: IMAGE_CLONER_USER and _PASS"),
                ));
            }
        }
        let mut pull = self.settings.chain.for_pull(host).await?;
        if let Some(Credentials::Basic { username, password }) = &pull {
            insert(&mut login, "PULL_USER", "PULL_PASS", username, password);
        }
        pull = pull.or_else(|| basic(&login, "PULL_USER", "PULL_PASS"));
        let name = Reference::parse(image.name())?;
        if !target.registry.holds(&name) || !target.registries.needs_credentials(&name).await? {
            return Ok((login, None));
        }
        let pushes = target.credentials != Credentials::Anonymous;
        if pull.is_none()
            && pushes
            && self.shares()?.is_none()
            && self.terminal.can_ask
            && !self.args.yes
            && interactive::share(self.terminal, &target.registry, &target.credentials)?
        {
            self.set("SHARE_CREDENTIALS", "true");
        }
        if pull.is_none() && self.shares()? == Some(true) && pushes {
            pull = Some(target.credentials.clone());
        }
        let Some(pull) = pull else {
            return Err(Stopped::wrong(
                Failure::new(format!(
                    "nodes need credentials to pull the agent's image from {host}"
                ))
                .hint("IMAGE_CLONER_PULL_USER and _PASS are for pulling")
                .hint("or --share-credentials, to give pods those for pushing"),
            ));
        };
        let config = docker_config_json(None, &target.registry.to_string(), &pull)?;
        let config = String::from_utf8(config).expect("JSON is UTF-8");
        Ok((login, Some(config.into())))
    }
}

fn insert(
    login: &mut BTreeMap<String, SecretString>,
    user: &str,
    pass: &str,
    username: &str,
    password: &SecretString,
) {
    login.insert(format!("IMAGE_CLONER_{user}"), username.to_owned().into());
    login.insert(format!("IMAGE_CLONER_{pass}"), password.clone());
}

/// A user and a password, where both are there.
pub(super) fn basic(
    login: &BTreeMap<String, SecretString>,
    user: &str,
    pass: &str,
) -> Option<Credentials> {
    let entry = |name: &str| login.get(&format!("IMAGE_CLONER_{name}"));
    Some(Credentials::Basic {
        username: entry(user)?.expose_secret().to_owned(),
        password: entry(pass)?.clone(),
    })
}
