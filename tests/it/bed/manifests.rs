//! Workloads as tests apply and read them.

use serde_json::Value;
use std::fmt::Write as _;

/// A Deployment of these containers, `name=image`, and init containers.
pub(crate) fn deployment(name: &str, containers: &[(&str, &str)], init: &[(&str, &str)]) -> String {
    let list = |items: &[(&str, &str)]| {
        items.iter().fold(String::new(), |mut text, (name, image)| {
            let _ = write!(text, "\n      - {{name: {name}, image: '{image}'}}");
            text
        })
    };
    let init = if init.is_empty() {
        "[]".to_owned()
    } else {
        list(init)
    };
    let containers = list(containers);
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      initContainers: {init}
      containers: {containers}
"
    )
}

/// One of a single container, `web`, that is settled without a pod.
pub(crate) fn idle(name: &str, image: &str) -> String {
    deployment(name, &[("web", image)], &[]).replace("  replicas: 1\n", "  replicas: 0\n")
}

/// The image of a workload's first container.
#[track_caller]
pub(crate) fn image(object: &Value) -> &str {
    let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
    image.as_str().expect("an image")
}
