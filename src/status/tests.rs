//! What workloads, their pods and registries come to, row by row.

use super::*;
use crate::outcome::Failure;
use crate::plan::{ImagePolicy, Observed, Patterns, Policy, PullAccess, PullCredentials};
use crate::target::{Layout, TargetRegistry};
use crate::workload::{Kind, ORIGINALS, Record, SlotList, Workload};
use serde_json::{Value, json};
use std::fmt::Write as _;

const RECORD: &str = r#"{"run":"0001","slots":{"containers/main":{"original":"nginx:1.25","target":"reg.corp/nginx:1.25"}}}"#;

fn policy() -> Policy {
    Policy {
        time: None,
        run: String::new(),
        target: TargetRegistry::parse("reg.corp", Layout::Mirror).unwrap(),
        images: ImagePolicy::default(),
        skip_namespaces: Patterns::default(),
        protect: BTreeSet::new(),
        copy_only: false,
        owned_live: false,
        pull: PullAccess::Open,
    }
}

fn observed(word: &str, name: &str, metadata: &Value, container: &Value) -> Observed {
    let mut object = json!({
        "metadata": {"name": name, "namespace": "prod"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    });
    for (key, value) in metadata.as_object().unwrap() {
        object["metadata"][key] = value.clone();
    }
    Observed {
        workload: Workload::from_object(&Kind::from_word(word).unwrap(), &object).unwrap(),
        running: BTreeMap::new(),
        account_pull_secrets: Some(Vec::new()),
        pull_credentials: PullCredentials::None,
        named: false,
        namespace_opted_out: false,
    }
}

fn deployment(name: &str, metadata: &Value, image: &str) -> Observed {
    observed(
        "deploy",
        name,
        metadata,
        &json!({"name": "main", "image": image}),
    )
}

fn cloned(name: &str, image: &str) -> Observed {
    deployment(name, &json!({"annotations": {ORIGINALS: RECORD}}), image)
}

fn digest(letter: char) -> Digest {
    format!("sha256:{}", letter.to_string().repeat(64))
        .parse()
        .unwrap()
}

fn in_pods(list: SlotList, name: &str, image: &str) -> InPods {
    InPods {
        slot: SlotKey {
            list,
            name: name.to_owned(),
        },
        image: image.to_owned(),
        running: BTreeSet::from([digest('f')]),
        pods: 2,
    }
}

/// What registries have: a letter for a digest, `-` for nothing, `!` for no answer.
fn sightings(has: &[(&str, char)]) -> Sightings {
    let mut sightings = Sightings::default();
    for (text, letter) in has {
        let reference = Reference::parse(text).unwrap();
        let answer = match letter {
            '-' => Ok(None),
            '!' => Err(Untold {
                silence: Silence::Away,
                failure: Failure::new("no route"),
            }),
            letter => Ok(Some(digest(*letter))),
        };
        let place = if policy().target.holds(&reference) {
            &mut sightings.copies
        } else {
            &mut sightings.sources
        };
        place.insert(reference, answer);
    }
    sightings
}

/// One line a row: state, image, digest, workloads and pods, note.
fn sketch(status: &Status) -> String {
    let mut text = String::new();
    for row in &status.rows {
        let digest = row.digest.as_ref().map_or("-", Digest::short);
        let skipped = if row.skipped { " (skipped)" } else { "" };
        let (state, users) = (row.state.word(), row.workloads.len());
        let note = row.note.as_ref().map_or("-", Note::text);
        let _ = writeln!(
            text,
            "{state}{skipped} {} {digest} {users}/{} {note}",
            row.image, row.pods
        );
    }
    text
}

fn of(observed: &[Observed], pods: &[InPods], has: &[(&str, char)]) -> String {
    let pods = BTreeMap::from([(observed[0].workload.id.clone(), pods.to_vec())]);
    let usages = usage(observed, &pods, &BTreeMap::new(), &policy());
    sketch(&Status::of(usages, &sightings(has)))
}

#[test]
fn a_copy_is_held_against_its_source() {
    let check = |source: char, copy: char, expected: &str| {
        let has = [("nginx:1.25", source), ("reg.corp/nginx:1.25", copy)];
        let found = of(&[cloned("web", "reg.corp/nginx:1.25")], &[], &has);
        assert_eq!(found.trim_end(), expected);
    };
    check('a', 'a', "cloned nginx:1.25 aaaaaaaa 1/0 -");
    check('b', 'a', "moved nginx:1.25 aaaaaaaa 1/0 now bbbbbbbb");
    check('-', 'a', "source-gone nginx:1.25 aaaaaaaa 1/0 -");
    check('a', '-', "missing-in-target nginx:1.25 - 1/0 -");
    check(
        '-',
        '-',
        "missing-in-target nginx:1.25 - 1/0 its source is gone, too",
    );
    check('a', '!', "unknown nginx:1.25 - 1/0 reg.corp: no route");
    // what is away does not make worse what is there
    check(
        '!',
        'a',
        "cloned nginx:1.25 aaaaaaaa 1/0 source not checked: docker.io: no route",
    );
}

#[test]
fn a_narrower_copy_has_not_moved() {
    let mut sightings = sightings(&[("nginx:1.25", 'b'), ("reg.corp/nginx:1.25", 'a')]);
    let copy = Reference::parse("reg.corp/nginx:1.25").unwrap();
    sightings.narrowed.insert(copy);
    let one = [cloned("web", "reg.corp/nginx:1.25")];
    let usages = usage(&one, &BTreeMap::new(), &BTreeMap::new(), &policy());
    let status = Status::of(usages, &sightings);
    assert_eq!(status.rows[0].state, State::Cloned);
}

#[test]
fn what_was_changed_since_is_not_called_external() {
    let has = [
        ("nginx:1.25", 'a'),
        ("nginx:1.26", 'b'),
        ("reg.corp/nginx:1.25", 'a'),
    ];
    insta::assert_snapshot!(of(
        &[
            cloned("edited", "nginx:1.26"),
            cloned("undone", "nginx:1.25"),
            deployment("new", &json!({}), "nginx:1.26"),
        ],
        &[],
        &has,
    ), @r#"
    changed nginx:1.25 aaaaaaaa 1/0 clone undone
    changed nginx:1.26 bbbbbbbb 1/0 was nginx:1.25
    external nginx:1.26 bbbbbbbb 1/0 -
    "#);
    // a rollback took the record; what is neither the one nor the other was changed by its owner
    let former: Record = serde_json::from_str(RECORD).unwrap();
    let check = |image: &str, expected: State| {
        let one = deployment("web", &json!({}), image);
        let former = BTreeMap::from([(one.workload.id.clone(), former.clone())]);
        let usages = usage(&[one], &BTreeMap::new(), &former, &policy());
        let status = Status::of(usages, &sightings(&has));
        assert_eq!(status.rows[0].state, expected, "{image}");
    };
    check("nginx:1.25", State::Changed);
    check("nginx:1.26", State::External);
    // cloned to another registry before, and still as that left it
    let elsewhere = RECORD.replace("reg.corp", "old.corp");
    let moved = deployment(
        "web",
        &json!({"annotations": {ORIGINALS: elsewhere}}),
        "old.corp/nginx:1.25",
    );
    insta::assert_snapshot!(of(&[moved], &[], &has), @"external nginx:1.25 aaaaaaaa 1/0 copy in old.corp");
}

#[test]
fn external_images_say_why_and_are_counted_by_it() {
    let owned =
        json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:prod/web"}});
    let out = json!({"annotations": {"image-cloner.io/skip": "true"}});
    let local = json!({"name": "main", "image": "dev/tool:1", "imagePullPolicy": "Never"});
    let all = [
        deployment("owned", &owned, "nginx:1.25"),
        deployment("out", &out, "nginx:1.25"),
        observed(
            "job",
            "once",
            &json!({}),
            &json!({"name": "main", "image": "nginx:1.25"}),
        ),
        observed("deploy", "local", &json!({}), &local),
        deployment("gone", &json!({}), "corp/api:9"),
        deployment("copied", &json!({}), "nginx:1.25"),
        deployment("broken", &json!({}), "NGINX"),
    ];
    let has = [
        ("nginx:1.25", 'a'),
        ("reg.corp/nginx:1.25", 'a'),
        ("corp/api:9", '-'),
        ("reg.corp/corp/api:9", '-'),
    ];
    insta::assert_snapshot!(of(&all, &[], &has), @r#"
    external NGINX - 1/0 not an image reference: the repository "NGINX" must be lower case
    external corp/api:9 - 1/0 gone from its registry
    external dev/tool:1 - 1/0 never pulled: the node is expected to have it
    external nginx:1.25 aaaaaaaa 1/0 copied
    external nginx:1.25 aaaaaaaa 1/0 Argo CD (shop)
    external nginx:1.25 aaaaaaaa 1/0 a Job's template cannot be changed
    external (skipped) nginx:1.25 aaaaaaaa 1/0 opted out by image-cloner.io/skip
    "#);
}

#[test]
fn pods_have_images_that_their_template_does_not_name() {
    let auto = json!({"name": "main", "image": "auto"});
    let pods = [
        in_pods(SlotList::Containers, "main", "nginx:1.25"),
        in_pods(SlotList::Containers, "proxy", "istio/proxyv2:1.24"),
        in_pods(SlotList::InitContainers, "init", "reg.corp/istio/init:1"),
        in_pods(SlotList::EphemeralContainers, "debugger", "busybox"),
    ];
    let has = [
        ("nginx:1.25", 'a'),
        ("istio/proxyv2:1.24", 'b'),
        ("busybox", 'c'),
        ("reg.corp/istio/init:1", 'd'),
        ("reg.corp/nginx:1.25", 'a'),
    ];
    let gateway = observed("deploy", "web", &json!({}), &auto);
    insta::assert_snapshot!(of(&[gateway], &pods, &has), @r#"
    external busybox:latest ffffffff 1/2 ephemeral container
    external istio/proxyv2:1.24 ffffffff 1/2 injected
    external nginx:1.25 ffffffff 1/2 injected
    cloned reg.corp/istio/init:1 dddddddd 1/2 -
    "#);
    // a rollout that is not over, or that came to nothing
    insta::assert_snapshot!(of(&[cloned("web", "reg.corp/nginx:1.25")], &pods[..1], &has), @r#"
    external nginx:1.25 ffffffff 1/2 old pods
    cloned nginx:1.25 aaaaaaaa 1/0 -
    "#);
    // the same, written out by a webhook
    let written_out = deployment("web", &json!({}), "nginx:1.25");
    let whole = in_pods(SlotList::Containers, "main", "docker.io/library/nginx:1.25");
    insta::assert_snapshot!(of(&[written_out], &[whole], &has), @"external nginx:1.25 ffffffff 1/2 copied");
    let unfilled = observed("deploy", "web", &json!({}), &auto);
    insta::assert_snapshot!(of(&[unfilled], &[], &has), @"external auto - 1/0 the image is injected when the pod is made");
}

#[test]
fn the_exit_code_is_that_of_what_can_be_helped() {
    let check = |observed: Observed, has: &[(&str, char)], expected: u8| {
        let id = observed.workload.id.to_string();
        let usages = usage(&[observed], &BTreeMap::new(), &BTreeMap::new(), &policy());
        let status = Status::of(usages, &sightings(has));
        assert_eq!(status.exit_code(), expected, "{id}");
    };
    let copy = || cloned("web", "reg.corp/nginx:1.25");
    let there = ("reg.corp/nginx:1.25", 'a');
    check(copy(), &[there, ("nginx:1.25", 'a')], 0);
    check(copy(), &[there, ("nginx:1.25", 'b')], 0);
    check(copy(), &[("reg.corp/nginx:1.25", '-')], 3);
    check(copy(), &[("reg.corp/nginx:1.25", '!')], 1);
    check(cloned("web", "nginx:1.26"), &[], 3);
    check(deployment("web", &json!({}), "nginx:1.25"), &[], 3);
    let out = json!({"labels": {"image-cloner.io/skip": "true"}});
    check(deployment("web", &out, "nginx:1.25"), &[], 0);
}
