//! The admission webhook's place in the agent.
//!
//! Decides by which names it is called. Never decides what it answers: that is [`image_cloner::webhook`].

use crate::serve::Address;
use image_cloner::cluster::Cluster;
use image_cloner::install::WEBHOOK;
use image_cloner::outcome::Failure;
use image_cloner::watch::Agent;
use image_cloner::webhook::{Place, Webhook};
use std::net::IpAddr;
use tokio_util::sync::CancellationToken;

/// Where the webhook is, and what it keeps where.
pub(crate) struct Admission {
    address: Address,
    place: Place,
    /// None outside of one.
    pod: Option<String>,
}

impl Admission {
    /// The webhook of the agent in this namespace.
    pub(crate) fn new(address: Address, namespace: String, pod: Option<String>) -> Self {
        let mut names = vec![format!("{WEBHOOK}.{namespace}.svc")];
        // who is told to listen at one address is called by it
        names.extend(own_name(&address));
        Self {
            address,
            place: Place {
                namespace,
                secret: WEBHOOK.to_owned(),
                configuration: WEBHOOK.to_owned(),
                names,
            },
            pod,
        }
    }

    /// Answers by what this agent knows, as long as that leads.
    pub(crate) async fn serve(
        &self,
        agent: &Agent,
        cluster: Cluster,
        over: &CancellationToken,
    ) -> Result<(), Failure> {
        // anew in each term: who does not lead is not to be asked
        let Some(listener) = self.address.listen().await? else {
            return Ok(());
        };
        let namespace = &self.place.namespace;
        let pod = self.pod.clone().map(|name| (namespace.clone(), name));
        let webhook = Webhook {
            listener,
            known: agent.known.clone(),
            metrics: agent.metrics.clone(),
            pod,
        };
        webhook.run(cluster, self.place.clone(), over).await;
        Ok(())
    }
}

/// The host of an address, where it is one.
fn own_name(address: &Address) -> Option<String> {
    let Address::At(text) = address else {
        return None;
    };
    let (host, _) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_any = |address: IpAddr| address.is_unspecified();
    (!host.parse().is_ok_and(is_any)).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_called_by_its_service_and_by_an_address_of_its_own() {
        let names = |address: &str| {
            let address = address.parse().unwrap();
            Admission::new(address, "agent".to_owned(), None)
                .place
                .names
        };
        let service = "image-cloner-webhook.agent.svc";
        assert_eq!(names(":9443"), [service]);
        assert_eq!(names("0.0.0.0:9443"), [service]);
        assert_eq!(names("[::]:9443"), [service]);
        assert_eq!(names("127.0.0.1:9443"), [service, "127.0.0.1"]);
        assert_eq!(names("[::1]:9443"), [service, "::1"]);
        assert_eq!(names("agent.corp:9443"), [service, "agent.corp"]);
    }
}
