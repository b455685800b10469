//! Whether pods need credentials to pull their copies.

use crate::bed::{Bed, idle};
use crate::wire::server::{Registry, Reply};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn repositories_of_one_registry_are_asked_each_whether_they_are_public() {
    let Some(bed) = Bed::share("partly", false) else {
        return;
    };
    // as Quay has it: each repository is public or private
    let target = Registry::start().await;
    target.hook(|asked| {
        let is_private = asked.path.starts_with("/v2/nginx/");
        let refused = Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
        (is_private && asked.header("authorization").is_none()).then_some(refused)
    });
    for (name, image) in [("one", "busybox:1.36"), ("two", "nginx:1.21.4-alpine")] {
        bed.apply(&idle(name, image));
    }
    let mut command = bed.plugin_command(&["clone", "deploy/one", "deploy/two"]);
    command.env("IMAGE_CLONER_REGISTRY", &target.host);

    bed.ran(command.output().expect("the plugin starts"))
        .exits(0);

    let pod = &bed.get("deploy/two")["spec"]["template"]["spec"];
    assert_eq!(
        pod["imagePullSecrets"],
        json!([{"name": "image-cloner-pull"}])
    );
}
