//! The table at several widths, and what is said of trouble.

use super::*;
use crate::outcome::Failure;
use crate::reference::Digest;
use crate::status::Silence;
use crate::workload::Kind;
use std::collections::BTreeSet;

fn digest(letter: char) -> Digest {
    let hex = letter.to_string().repeat(64);
    format!("sha256:{hex}").parse().unwrap()
}

/// A row that this many Deployments share.
fn row(namespace: &str, image: &str, state: State, used: usize, note: &str) -> Row {
    let source = Reference::parse(image).unwrap();
    let target =
        TargetRegistry::parse("harbor.corp/mirror", crate::target::Layout::default()).unwrap();
    let workloads = (0..used).map(|number| WorkloadId {
        kind: Kind::from_word("deploy").unwrap(),
        namespace: namespace.to_owned(),
        name: format!("web-{number}"),
    });
    Row {
        namespace: namespace.to_owned(),
        image: image.to_owned(),
        copy: target.name(&source).ok(),
        source: Some(source),
        state,
        skipped: note.contains("skipped"),
        digest: (state != State::MissingInTarget).then(|| digest('4')),
        note: (!note.is_empty()).then(|| match note.split_once(" (") {
            _ if note.contains("skipped") => Note::new(note).or("skipped"),
            Some((first, _)) => Note::new(note).or(first),
            None => Note::new(note),
        }),
        workloads: workloads.collect::<BTreeSet<_>>(),
        pods: used * 2,
        size: (!state.is_outside()).then_some(71_000_000),
    }
}

/// Three hundred workloads in four namespaces.
fn three_hundred() -> Status {
    let mut rows = vec![
        row("shop", "corp/cart:7", State::MissingInTarget, 1, ""),
        row("prod", "nginx:1.26", State::Changed, 2, "was nginx:1.25"),
        row("prod", "nginx:1.25", State::Moved, 12, "now 91be07d3"),
        row("prod", "bitnami/redis:7.2", State::SourceGone, 3, ""),
        row(
            "prod",
            "istio/proxyv2:1.24",
            State::External,
            40,
            "injected",
        ),
        row(
            "prod",
            "corp/billing:4",
            State::External,
            1,
            "Argo CD (billing)",
        ),
        row(
            "platform-observability",
            "registry.gitlab.com/a-group/sub-group/a-project/exporter:v2.14.0-rc.1",
            State::External,
            1,
            "copied",
        ),
        row(
            "kube-system",
            "registry.k8s.io/coredns/coredns:v1.12.0",
            State::External,
            1,
            "namespace kube-system is skipped",
        ),
    ];
    for number in 0..12 {
        let image = format!("corp/service-{number}:1.{number}");
        rows.push(row("shop", &image, State::Cloned, 20, ""));
    }
    Status {
        rows,
        troubles: Vec::new(),
    }
}

fn table(layout: Layout) -> String {
    status(&three_hundred().rows, &layout)
}

const NARROW: Layout = Layout {
    width: 80,
    wide: false,
    namespaces: true,
    no_headers: false,
};

#[test]
fn three_hundred_workloads_are_read_at_80_columns() {
    let table = table(NARROW);
    assert!(
        table.lines().all(|line| line.chars().count() <= 80),
        "{table}"
    );
    insta::assert_snapshot!(table, @r"
    NAMESPACE       IMAGE                  STATE        DIGEST    USED  NOTE
    shop            corp/cart:7            missing      -            1
    prod            nginx:1.26             changed      44444444     2  was nginx:..
    prod            nginx:1.25             moved        44444444    12  now 91be07d3
    prod            bitnami/redis:7.2      source-gone  44444444     3
    prod            istio/proxyv2:1.24     external     44444444    40  injected
    prod            corp/billing:4         external     44444444     1  Argo CD
    plat..vability  regist..:v2.14.0-rc.1  external     44444444     1  copied
    kube-system     regist..redns:v1.12.0  external     44444444     1  skipped
    shop            corp/service-0:1.0     cloned       44444444    20
    shop            corp/service-1:1.1     cloned       44444444    20
    shop            corp/service-2:1.2     cloned       44444444    20
    shop            corp/service-3:1.3     cloned       44444444    20
    shop            corp/service-4:1.4     cloned       44444444    20
    shop            corp/service-5:1.5     cloned       44444444    20
    shop            corp/service-6:1.6     cloned       44444444    20
    shop            corp/service-7:1.7     cloned       44444444    20
    shop            corp/service-8:1.8     cloned       44444444    20
    shop            corp/service-9:1.9     cloned       44444444    20
    shop            corp/service-10:1.10   cloned       44444444    20
    shop            corp/service-11:1.11   cloned       44444444    20
    ");
    insta::assert_snapshot!(status_sum(&three_hundred(), 80), @r#"
        20 images: 12 cloned, 4 external (1 skipped), 1 moved, 1 source-gone, 1 changed,
        1 missing-in-target
        "#);
}

#[test]
fn one_namespace_needs_no_column_and_a_script_no_titles() {
    let status = super::status(
        three_hundred()
            .rows
            .iter()
            .filter(|row| row.namespace == "prod"),
        &Layout {
            namespaces: false,
            no_headers: true,
            ..NARROW
        },
    );
    insta::assert_snapshot!(status, @r#"
        nginx:1.26          changed      44444444   2  was nginx:1.25
        nginx:1.25          moved        44444444  12  now 91be07d3
        bitnami/redis:7.2   source-gone  44444444   3
        istio/proxyv2:1.24  external     44444444  40  injected
        corp/billing:4      external     44444444   1  Argo CD (billing)
        "#);
}

#[test]
fn what_was_not_told_is_read_where_there_is_little_room() {
    let mut rows = three_hundred().rows;
    let refused = Note::new("registry.corp:5000: HEAD https://registry.corp:5000/v2/…: 401")
        .or("refused by registry.corp:5000")
        .or("refused");
    rows.truncate(1);
    rows[0].state = State::Unknown;
    rows[0].note = Some(refused);
    let narrow = |width| super::status(&rows, &Layout { width, ..NARROW });
    insta::assert_snapshot!(narrow(80) + &narrow(60), @r"
    NAMESPACE  IMAGE        STATE    DIGEST  USED  NOTE
    shop       corp/cart:7  unknown  -          1  refused by registry.corp:5000
    NAMESPACE  IMAGE        STATE    DIGEST  USED  NOTE
    shop       corp/cart:7  unknown  -          1  refused
    ");
    let trouble = Trouble {
        registry: "registry.corp:5000".to_owned(),
        silence: Silence::Refused,
        images: 3,
        failure: Failure::new("HEAD https://registry.corp:5000/v2/…: 401"),
    };
    insta::assert_snapshot!(status_trouble(&trouble), @"registry.corp:5000: refused for 3 images: HEAD https://registry.corp:5000/v2/…: 401");
}

#[test]
fn wide_leaves_nothing_out() {
    let rows = &three_hundred().rows[4..7];
    let wide = Layout {
        wide: true,
        ..NARROW
    };
    insta::assert_snapshot!(super::status(rows, &wide), @r#"
        NAMESPACE               IMAGE                                                                  COPY                                                                                      STATE     DIGEST                                                                   USED  PODS  SIZE  NOTE
        prod                    istio/proxyv2:1.24                                                     harbor.corp/mirror/istio/proxyv2:1.24                                                     external  sha256:4444444444444444444444444444444444444444444444444444444444444444    40    80     -  injected
        prod                    corp/billing:4                                                         harbor.corp/mirror/corp/billing:4                                                         external  sha256:4444444444444444444444444444444444444444444444444444444444444444     1     2     -  Argo CD (billing)
        platform-observability  registry.gitlab.com/a-group/sub-group/a-project/exporter:v2.14.0-rc.1  harbor.corp/mirror/registry.gitlab.com/a-group/sub-group/a-project/exporter:v2.14.0-rc.1  external  sha256:4444444444444444444444444444444444444444444444444444444444444444     1     2     -  copied
        "#);
}

#[test]
fn the_document_and_the_lines_have_every_field_and_each_image_once() {
    let rows = [
        row("prod", "nginx:1.25", State::Cloned, 1, ""),
        row("shop", "nginx:1.25", State::Cloned, 1, ""),
        row("shop", "corp/cart:7", State::MissingInTarget, 1, ""),
    ];
    insta::assert_snapshot!(status_refs(&rows).join("\n"), @r#"
        docker.io/corp/cart:7 harbor.corp/mirror/corp/cart:7 -
        docker.io/library/nginx:1.25 harbor.corp/mirror/nginx:1.25 sha256:4444444444444444444444444444444444444444444444444444444444444444
        "#);
    let status = Status {
        rows: rows.into(),
        troubles: Vec::new(),
    };
    let target =
        TargetRegistry::parse("harbor.corp/mirror", crate::target::Layout::default()).unwrap();
    let shown = status.rows.iter().skip(2);
    let document = status_document(&status, shown, &target);
    insta::assert_snapshot!(format!("{document:#}"), @r#"
        {
          "apiVersion": "image-cloner.io/v1alpha1",
          "images": [
            {
              "bytes": 71000000,
              "digest": null,
              "image": "corp/cart:7",
              "namespace": "shop",
              "note": null,
              "pods": 2,
              "skipped": false,
              "source": "docker.io/corp/cart:7",
              "state": "missing-in-target",
              "target": "harbor.corp/mirror/corp/cart:7",
              "workloads": [
                {
                  "kind": "deployment.apps",
                  "name": "web-0"
                }
              ]
            }
          ],
          "kind": "Status",
          "summary": {
            "changed": 0,
            "cloned": 2,
            "external": 0,
            "images": 3,
            "missingInTarget": 1,
            "moved": 0,
            "skipped": 0,
            "sourceGone": 0,
            "unknown": 0
          },
          "target": "harbor.corp/mirror"
        }
        "#);
}
