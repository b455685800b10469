//! Kinds that a cluster has of its own: found by discovery, worked on where they have a pod template.

use crate::bed::Bed;
use serde_json::json;

/// A kind of its own for this test, taken away with it.
struct OwnKind<'a> {
    bed: &'a Bed,
    /// `fleets-1-0.example.io`, the API group.
    group: String,
    /// Kind, plural and short name, which other tests' kinds do not have.
    kind: String,
    plural: String,
}

impl<'a> OwnKind<'a> {
    fn make(bed: &'a Bed, kind: &str) -> Self {
        let suffix: String = bed.namespace.chars().filter(char::is_ascii_digit).collect();
        let group = format!("{}.example.io", bed.namespace);
        let kind = format!("{kind}{suffix}");
        let plural = format!("{}s", kind.to_lowercase());
        bed.apply(&format!(
            "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: {kind}, plural: {plural}, singular: {}, shortNames: [x{}]}}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}
",
            kind.to_lowercase(),
            kind.to_lowercase(),
        ));
        let own = Self {
            bed,
            group,
            kind,
            plural,
        };
        let crd = format!("crd/{}.{}", own.plural, own.group);
        bed.kubectl(&["wait", "--for=condition=Established", &crd, "--timeout=60s"]);
        own
    }

    fn object(&self, name: &str, spec: &str) {
        self.bed.apply(&format!(
            "apiVersion: {}/v1alpha1\nkind: {}\nmetadata: {{name: {name}}}\nspec: {spec}\n",
            self.group, self.kind
        ));
    }

    /// Its full name, as `rollouts.argoproj.io`.
    fn full(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }
}

impl Drop for OwnKind<'_> {
    fn drop(&mut self) {
        let crd = format!("{}.{}", self.plural, self.group);
        let _ = std::process::Command::new("kubectl")
            .args(["delete", "crd", &crd, "--wait=false"])
            .output();
    }
}

const TEMPLATE: &str =
    "{replicas: 0, template: {spec: {containers: [{name: web, image: 'busybox:1.36'}]}}}";

#[test]
fn a_kind_with_a_pod_template_is_cloned_and_restored_like_any_other() {
    let Some(bed) = Bed::share("fleet", false) else {
        return;
    };
    let own = OwnKind::make(&bed, "Fleet");
    own.object("web", TEMPLATE);
    let full = own.full();
    let shown = format!("{}.{}/web", own.kind.to_lowercase(), own.group);
    let object = || bed.get(&format!("{full}/web"));
    let image = || object()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let copy = format!("{}/busybox:1.36", bed.target());

    // by its full name, with a version, by its singular, kind and short name
    let singular = own.kind.to_lowercase();
    for word in [
        full.clone(),
        format!("{}.v1alpha1.{}", own.plural, own.group),
        own.plural.clone(),
        singular.clone(),
        own.kind.clone(),
        format!("x{singular}"),
    ] {
        let named = format!("{word}/web");
        let ran = bed.plugin(&["clone", &named, "--dry-run", "-o", "name"]);
        assert_eq!(ran.exits(0).stdout, format!("{shown}\n"), "{word}");
    }
    let ran = bed.plugin(&["clone", &format!("{full}/web")]).exits(0);
    assert_eq!(ran.stdout, format!("{shown} repointed\n"));
    assert_eq!(image(), json!(copy));
    let record = object()["metadata"]["annotations"]["image-cloner.io/originals"].clone();
    assert!(
        record
            .as_str()
            .is_some_and(|text| text.contains("busybox:1.36")),
        "{record}"
    );
    assert_eq!(
        object()["spec"]["template"]["spec"]["imagePullSecrets"],
        json!([{"name": "image-cloner-pull"}])
    );
    let again = bed.plugin(&["clone", &format!("{singular}/web")]).exits(0);
    assert_eq!(again.stdout, format!("{shown} unchanged\n"));
    let ran = bed
        .plugin(&["restore", &format!("{singular}/web")])
        .exits(0);
    assert_eq!(ran.stdout, format!("{shown} restored\n"));
    assert_eq!(image(), "busybox:1.36");

    // broad selections take it in where they are told to
    let kinds = format!("deploy,{full}");
    let ran = bed
        .plugin(&["clone", "all", "--kinds", &kinds, "--dry-run", "-o", "name"])
        .exits(0);
    assert_eq!(ran.stdout, "", "restored, and not named");
    bed.plugin(&["clone", &own.plural, "--yes"]).exits(0);
    assert_eq!(image(), "busybox:1.36", "restored, and not named");
    own.object("api", TEMPLATE);
    let ran = bed
        .plugin(&["clone", "all", "--kinds", &kinds, "--yes"])
        .exits(0);
    assert!(
        ran.stdout
            .contains(&shown.replace("/web", "/api repointed")),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_kind_without_a_pod_template_is_refused_with_the_reason() {
    let Some(bed) = Bed::share("plain", false) else {
        return;
    };
    let own = OwnKind::make(&bed, "Plain");
    own.object("one", "{size: 1}");
    let full = own.full();
    let reason = format!(
        "{}.{}/one has no pod template at /spec/template/spec",
        own.kind.to_lowercase(),
        own.group
    );
    bed.plugin(&["clone", &format!("{full}/one")])
        .exits(1)
        .says(&reason)
        .says("nothing was changed");
    bed.plugin(&["clone", &full, "--yes"])
        .exits(1)
        .says(&reason);
    bed.plugin(&["clone", "svc/one"]).exits(1).says("not found");
    // beside one that has
    own.object("two", TEMPLATE);
    bed.plugin(&["clone", &full, "--yes"])
        .exits(0)
        .says(&format!("note: {reason}"));
    // an API that is not there
    bed.plugin(&["clone", "rollouts.nowhere.example.io/x"])
        .exits(2)
        .says("the server doesn't have a resource type \"rollouts.nowhere.example.io\"")
        .says("hint: known: deploy");
}
