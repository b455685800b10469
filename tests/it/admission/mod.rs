//! The admission webhook: at the wire, with an API server that keeps two objects, and on the real bed.

mod cluster;
mod wire;

use image_cloner::install::WEBHOOK;
use image_cloner::plan::{Policy, PullAccess};
use image_cloner::reference::{Digest, Reference};
use image_cloner::target::{Layout, TargetRegistry};
use image_cloner::watch::{Gate, Grounds};
use image_cloner::webhook::Place;
use image_cloner::workload::Kind;

/// A gate that is open for Deployments and copies in this target.
fn gate(target: &str, pull: PullAccess) -> Gate {
    let gate = Gate::default();
    gate.open(Grounds {
        policy: Policy {
            run: "a7f3".to_owned(),
            time: None,
            target: TargetRegistry::parse(target, Layout::Mirror).unwrap(),
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
    });
    gate
}

fn complete(gate: &Gate, copy: &str, digest: &str, namespace: &str) {
    let copy = Reference::parse(copy).unwrap();
    gate.complete(&copy, &digest.parse::<Digest>().unwrap(), namespace);
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
