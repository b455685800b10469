//! The admission webhook: at the wire, with an API server that keeps two objects, and on the real bed.

mod cluster;
mod restart;
mod wire;

use image_cloner::install::WEBHOOK;
use image_cloner::plan::{Observed, Policy, PullAccess, PullCredentials};
use image_cloner::reference::{Digest, Reference};
use image_cloner::target::{Layout, TargetRegistry};
use image_cloner::watch::{Known, Reader, Terms};
use image_cloner::webhook::Place;
use image_cloner::workload::{Kind, Workload};
use serde_json::json;

/// What is known where Deployments are repointed to this target, and nothing was seen yet.
fn known(target: &str, pull: PullAccess) -> Known {
    let known = Known::default();
    let target = TargetRegistry::parse(target, Layout::Mirror).unwrap();
    known.about(&target);
    known.set_terms(Some(Terms {
        policy: Policy {
            run: "a7f3".to_owned(),
            time: None,
            target,
            images: Default::default(),
            skip_namespaces: Default::default(),
            protect: Default::default(),
            copy_only: false,
            owned_live: false,
            pull,
        },
        kinds: Kind::from_word("deploy").into_iter().collect(),
        namespaces: None,
        stateful: false,
    }));
    known
}

/// A namespace that did not opt out was seen, with a default ServiceAccount that gives no pull secrets.
fn seen(known: &Known, target: &str, namespace: &str) {
    let object = json!({
        "metadata": {"name": "x", "namespace": namespace},
        "spec": {"template": {"spec": {"containers": []}}},
    });
    let observed = Observed {
        workload: Workload::from_object(&Kind::from_word("deploy").unwrap(), &object).unwrap(),
        running: Default::default(),
        account_pull_secrets: Some(Vec::new()),
        pull_credentials: PullCredentials::None,
        named: false,
        namespace_opted_out: false,
    };
    let target = TargetRegistry::parse(target, Layout::Mirror).unwrap();
    known.observed(&target, &observed);
}

fn complete(known: &Known, copy: &str, digest: &str, namespace: &str) {
    let copy = Reference::parse(copy).unwrap();
    let reader = Reader::Namespace(namespace.to_owned());
    known.complete(&copy, &digest.parse::<Digest>().unwrap(), [reader]);
}

/// Where the certificate of a test is kept.
fn place(namespace: &str, configuration: &str, names: &[&str]) -> Place {
    Place {
        namespace: namespace.to_owned(),
        secret: WEBHOOK.to_owned(),
        configuration: configuration.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}
