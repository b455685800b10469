//! What is found in a text, and what is left as it is.

mod aliases;

use super::*;
use crate::workload::SlotList;
use proptest::prelude::*;
use std::fmt::Write as _;

fn read(text: &str) -> Manifest {
    Manifest::read(text).unwrap()
}

/// Object, slot, line and image, a line each.
fn found(text: &str) -> Vec<String> {
    let manifest = read(text);
    let images = |object: &Object| {
        let id = object.id.to_string();
        let line = |image: &Image| {
            let fixed = image
                .span
                .as_ref()
                .err()
                .map_or(String::new(), |why| format!(" ({why})"));
            let (key, text) = (&image.slot.key, &image.slot.image);
            format!("{id} {key} {}: {text}{fixed}", image.line)
        };
        object.images.iter().map(line).collect::<Vec<_>>()
    };
    manifest.objects.iter().flat_map(images).collect()
}

/// The text with `reg.corp/` in front of every image that can be changed.
fn rewritten(text: &str) -> String {
    let manifest = read(text);
    let images: Vec<(&Image, String)> = manifest
        .objects
        .iter()
        .flat_map(|object| &object.images)
        .map(|image| (image, format!("reg.corp/{}", image.slot.image.trim())))
        .collect();
    manifest.rewrite(images.iter().map(|(image, to)| (*image, to.as_str())))
}

const POD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n";

/// A pod whose image is written so; the rest of the text stays what it is.
#[track_caller]
fn becomes(image: &str, expected: &str) {
    let rest = "\n    args: [nginx:1] # nginx:1\n";
    assert_eq!(
        rewritten(&format!("{POD}    image: {image}{rest}")),
        format!("{POD}    image: {expected}{rest}")
    );
}

#[test]
fn only_the_image_text_changes_however_it_is_written() {
    becomes("nginx:1", "reg.corp/nginx:1");
    becomes(
        "nginx:1  # why: nginx:1",
        "reg.corp/nginx:1  # why: nginx:1",
    );
    becomes("'nginx:1'", "'reg.corp/nginx:1'");
    becomes("\"nginx:1\"", "\"reg.corp/nginx:1\"");
    becomes("\"ng\\u0069nx:1\"", "\"reg.corp/nginx:1\"");
    becomes("!!str nginx:1", "!!str reg.corp/nginx:1");
    becomes("&img nginx:1", "&img reg.corp/nginx:1");
    becomes("\n      nginx:1", "\n      reg.corp/nginx:1");
    becomes(">-\n      nginx:1", ">-\n      reg.corp/nginx:1");
    becomes(
        "|- # note\n      nginx:1",
        "|- # note\n      reg.corp/nginx:1",
    );
    // over several lines it is no image, and nothing is touched
    becomes("nginx\n      :1", "nginx\n      :1");
    becomes("\"nginx\\\n      :1\"", "\"nginx\\\n      :1\"");
    becomes("\n", "\n");
    becomes("~", "~");
    becomes("{{ .Values.image }}", "{{ .Values.image }}");
}

#[test]
fn line_ends_marks_and_other_scripts_stay() {
    let text = "\u{feff}# größe\r\napiVersion: v1\r\nkind: Pod\r\nmetadata:\r\n  name: ü\r\nspec:\r\n  \
                containers:\r\n  - {name: c, image: nginx:1, x: '日本'} # ende\r\n...\r\n---\r\n\r\n";
    let expected = text.replace("nginx:1", "reg.corp/nginx:1");
    assert_eq!(rewritten(text), expected);
}

#[test]
fn every_template_is_found_and_nothing_else() {
    let text = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  annotations: {image: not-me}
spec:
  template:
    spec:
      initContainers: [{name: i, image: 'a:1'}]
      containers:
      - {name: c, image: b:1}
      - {name: no-image}
      ephemeralContainers: [{name: e, image: c:1}]
      volumes:
      - {name: v, image: {reference: d:1}}
      - {name: w, emptyDir: {}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: e:1}]}}}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: roll}
spec: {template: {spec: {containers: [{name: c, image: f:1}]}}}
---
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: lws}
spec:
  leaderWorkerTemplate:
    leaderTemplate: {spec: {containers: [{name: l, image: g:1}]}}
    workerTemplate: {spec: {containers: [{name: w, image: h:1}]}}
---
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: set}
spec:
  replicatedJobs:
  - {name: r, template: {spec: {template: {spec: {containers: [{name: c, image: i:1}]}}}}}
---
apiVersion: apps.kruise.io/v1alpha1
kind: SidecarSet
metadata: {name: side}
spec: {containers: [{name: c, image: j:1}]}
---
apiVersion: v1
kind: PodTemplate
metadata: {name: pt}
template: {spec: {containers: [{name: c, image: k:1}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: not-me}
data: {image: l:1}
";
    assert_eq!(
        found(text),
        [
            "deployment.apps/web containers/c 11: b:1",
            "deployment.apps/web initContainers/i 9: a:1",
            "deployment.apps/web ephemeralContainers/e 13: c:1",
            "deployment.apps/web volumes/v 15: d:1",
            "cronjob.batch/tick containers/c 21: e:1",
            "rollout.argoproj.io/roll containers/c 26: f:1",
            "leaderworkerset.leaderworkerset.x-k8s.io/lws containers/l 33: g:1",
            "leaderworkerset.leaderworkerset.x-k8s.io/lws containers/w 34: h:1",
            "jobset.jobset.x-k8s.io/set containers/c 41: i:1",
            "sidecarset.apps.kruise.io/side containers/c 46: j:1",
            "podtemplate/pt containers/c 51: k:1",
        ]
    );
}

#[test]
fn objects_are_found_in_lists_and_typed_lists() {
    let pod = "metadata: {name: p}, spec: {containers: [{name: c, image: a:1}]}";
    let text = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Pod, {pod}}}\n\
         - {{apiVersion: v1, kind: PodList, items: [{{{pod}}}]}}\n"
    );
    assert_eq!(
        found(&text),
        ["pod/p containers/c 4: a:1", "pod/p containers/c 5: a:1"]
    );
}

#[test]
fn json_is_read_with_tabs_escapes_and_without_separators() {
    let pod = |image: &str| {
        format!(
            "{{\n\t\"apiVersion\":\t\"v1\", \"kind\": \"Pod\", \"x\": \"\\ud83d\\ude00\\/\",\n\
             \t\"spec\": {{\"containers\": [\n\t\t{{\"name\": \"c\", \"image\": \"{image}\"}}\n\t]}}\n}}\n"
        )
    };
    let text = pod("docker.io\\/a:1") + &pod("b:1") + &pod("c:1");
    let expected = pod("reg.corp/docker.io/a:1") + &pod("reg.corp/b:1") + &pod("reg.corp/c:1");
    assert_eq!(rewritten(&text), expected);
    let lines: Vec<String> = found(&text);
    assert_eq!(
        lines,
        [
            "pod/ containers/c 4: docker.io/a:1",
            "pod/ containers/c 10: b:1",
            "pod/ containers/c 16: c:1"
        ]
    );
}

#[test]
fn what_is_no_object_is_counted_apart() {
    let others = |text: &str| read(text).others;
    assert_eq!(others(""), [0; 0]);
    assert_eq!(others("# nothing\n---\n---\n"), [0; 0]);
    assert_eq!(others("image: nginx\n"), [1]);
    assert_eq!(others("---\napiVersion: v1\nkind: Pod\n---\n- a\n"), [5]);
    assert_eq!(
        others("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"),
        [1]
    );
}

#[test]
fn an_anchor_is_changed_once_where_it_stands_for_images_alone() {
    let text = format!("{POD}    image: &i a:1\n  - {{name: d, image: *i}}\n");
    assert_eq!(found(&text).len(), 2);
    assert_eq!(rewritten(&text), text.replace("a:1", "reg.corp/a:1"));

    let elsewhere = format!("{POD}    image: &i a:1\n    args: [*i]\n");
    assert_eq!(rewritten(&elsewhere), elsewhere);
    assert_eq!(
        found(&elsewhere),
        ["pod/p containers/c 7: a:1 (its YAML anchor stands for other values as well)"]
    );
}

#[test]
fn what_is_not_yaml_is_refused_with_its_line() {
    let refused = |text: &str| Manifest::read(text).unwrap_err();
    assert_eq!(refused("a: b\n{{- if x }}\n").line, 2);
    assert_eq!(refused("a: b\n---\nb: c\n- d\n").line, 4);
    assert_eq!(
        refused("kind: Pod\nspec: {}\nkind: Job\n").to_string(),
        "line 3: the key \"kind\" is there twice"
    );
    assert_eq!(refused("{\"a\": 1}\n{\"a\": }\n").line, 2);
}

#[test]
fn kustomize_entries_are_named_as_images_are_written() {
    let digest = format!("nginx@sha256:{}", "a".repeat(64));
    let edits = [
        ("nginx:1.25", "reg.corp/nginx:1.25"),
        (digest.as_str(), "reg.corp/nginx@sha256:aa"),
        ("localhost:5000/a", "reg.corp/localhost__5000/a:latest"),
        ("docker.io/nginx", "reg.corp/nginx:latest"),
        ("old.corp/b:1", "reg.corp/b:1"),
        ("old.corp/b:2", "reg.corp/old.corp/b:2"),
    ]
    .map(|(from, to)| Edit {
        slot: SlotKey {
            list: SlotList::Containers,
            name: "web".to_owned(),
        },
        pod_spec: None,
        from: from.to_owned(),
        to: to.to_owned(),
    });
    let renames = kustomize::Renames::of(&edits);
    assert!(renames.find("nginx:1.27") && !renames.find("nginx-x") && !renames.find("old.corp/b"));
    let torn: Vec<_> = renames.torn().map(|(name, _)| name).collect();
    assert_eq!(torn, ["old.corp/b"]);
    assert_eq!(
        renames.document(),
        serde_json::json!({"images": [
            {"name": "docker.io/nginx", "newName": "reg.corp/nginx"},
            {"name": "localhost:5000/a", "newName": "reg.corp/localhost__5000/a"},
            {"name": "nginx", "newName": "reg.corp/nginx"},
        ]})
    );
}

/// An image as it may be written in block style, and what follows it on its line.
fn written() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("nginx:1.25".to_owned()),
        Just("'quay.io/a/b'  # c".to_owned()),
        Just("\"a/b@sha256:00\"".to_owned()),
        Just("\"a\\u002fb\"".to_owned()),
        Just("!!str a/b:c #".to_owned()),
        Just(">-\n            a/b:2".to_owned()),
        Just("|-\n            a/b:2\n".to_owned()),
        Just("{{ .Values.x }}".to_owned()),
        Just("'{{ x }}'".to_owned()),
        Just("*img".to_owned()),
        Just(String::new()),
    ]
}

fn document() -> impl Strategy<Value = String> {
    let kinds = prop_oneof![
        Just(("v1", "Pod", "spec:")),
        Just(("apps/v1", "Deployment", "spec:\n  template:\n    spec:")),
        Just((
            "x.y/v1",
            "Thing",
            "spec:\n  a:\n  - b: 'ü'\n    template:\n      spec:"
        )),
    ];
    let comment = prop_oneof![Just(""), Just("# ключ: 'x\n"), Just("\n\n")];
    (kinds, comment, prop::collection::vec(written(), 1..4)).prop_map(
        |((version, kind, head), comment, images)| {
            let mut text = format!(
                "{comment}apiVersion: {version}\nkind: {kind}\nmetadata: {{name: n, x: &img 'a:1'}}\n\
                 {comment}{head}\n        containers:\n"
            );
            for (index, image) in images.iter().enumerate() {
                let _ = write!(text, "        - image: {image}\n          name: c{index} # é\n");
            }
            text
        },
    )
}

fn stream() -> impl Strategy<Value = String> {
    let end = prop_oneof![Just("\n"), Just("\r\n")];
    let separator = prop_oneof![Just("---\n"), Just("...\n---\n"), Just("--- # x\n\n")];
    let mark = prop_oneof![Just(""), Just("\u{feff}")];
    (
        prop::collection::vec(document(), 1..4),
        separator,
        end,
        mark,
    )
        .prop_map(|(documents, separator, end, mark)| {
            mark.to_owned() + &documents.join(separator).replace('\n', end)
        })
}

/// Renames the images below a value.
fn walk(value: &mut serde_json::Value, rename: bool) {
    match value {
        serde_json::Value::Array(items) => {
            for item in items {
                walk(item, rename);
            }
        }
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    // the alias's anchor stands in the metadata as well, and is left
                    Some(image) if key == "image" && rename && image != "a:1" => {
                        *value = format!("reg.corp/{image}").into();
                    }
                    _ => walk(value, rename),
                }
            }
        }
        _ => {}
    }
}

/// All values of a text, with the images that can be changed put in from `images` in order.
fn values(text: &str, rename: bool) -> Vec<serde_json::Value> {
    // a mapping that is a key has no place in JSON
    let text = text.replace("{{ .Values.x }}", "{x: y}");
    let mut values: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(text.trim_start_matches('\u{feff}')).unwrap();
    for value in &mut values {
        walk(value, rename);
    }
    values
}

proptest! {
    #[test]
    fn rewriting_nothing_is_the_identity(text in stream()) {
        prop_assert_eq!(read(&text).rewrite([]), text);
    }

    #[test]
    fn a_rewritten_text_is_the_same_document_but_for_its_images(text in stream()) {
        let rewritten = rewritten(&text);
        prop_assert_eq!(values(&rewritten, false), values(&text, true));
        let comments = |text: &str| text.matches('#').count();
        prop_assert_eq!(comments(&rewritten), comments(&text));
    }

    #[test]
    fn no_text_makes_it_panic(text in "([{}\\[\\]:,&*!|>'\"%@#?\\-. \n\ta-c\u{e9}]|image: |spec:\n|kind: Pod\n|apiVersion: v1\n|---\n|<<: ){0,60}") {
        if let Ok(manifest) = Manifest::read(&text) {
            prop_assert_eq!(manifest.rewrite([]), text);
        }
    }
}
