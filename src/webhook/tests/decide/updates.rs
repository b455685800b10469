//! What is changed: where its images are, and not for ever.

use super::*;

#[test]
fn an_update_is_changed_where_its_images_are() {
    let facts = known(PullAccess::Open);
    let image = |image: &str| {
        with(
            deployment(),
            "/spec/template/spec/containers/0/image",
            &json!(image),
        )
    };
    let update = |new: &Value, old: &Value| request("deploy", "UPDATE", new, old);

    let change = asked(&update(&image("nginx:1"), &image("nginx:0")), &facts).unwrap();
    assert_eq!(change.warnings, [""; 0]);
    // its rollout may be under way, or have failed: that is the loop's to see
    let scaled = with(image("nginx:1"), "/spec/replicas", &json!(3));
    passes(
        &update(&scaled, &image("nginx:1")),
        &facts,
        "its images stay",
    );

    // kubectl apply of the first manifest, or a rollback
    let back = asked(
        &update(&image("nginx:1"), &image("reg.corp/nginx:1")),
        &facts,
    )
    .unwrap();
    assert_eq!(
        back.warnings,
        [
            "image-cloner: containers/web stays at reg.corp/nginx:1, the copy of nginx:1; image-cloner.io/skip: \"true\" leaves it alone"
        ]
    );
    let ours = with(
        update(&image("nginx:1"), &image("reg.corp/nginx:1")),
        "/options/fieldManager",
        &json!(FIELD_MANAGER),
    );
    passes(&ours, &facts, "written by image-cloner");
}

#[test]
fn a_workload_that_the_loop_has_left_to_others_is_left() {
    let facts = known(PullAccess::Open);
    let cloned = admitted(&create("deploy", &deployment()), &facts);
    let pointer = "/spec/template/spec/containers/0/image";
    let back = with(cloned.clone(), pointer, &json!("nginx:1"));
    let kind = Kind::from_word("deploy").unwrap();
    let before = Workload::from_object(&kind, &back).unwrap();
    let reclaimed = |count: u32| {
        let text = plan::reclaimed(&before, count);
        let counted = "/metadata/annotations/image-cloner.io~1reclaimed";
        let back = with(back.clone(), counted, &json!(text));
        request("deploy", "UPDATE", &back, &cloned)
    };
    let third = admitted(&reclaimed(2), &facts);
    let count = &third["metadata"]["annotations"]["image-cloner.io/reclaimed"];
    assert_eq!(*count, json!(plan::reclaimed(&before, 3)));
    passes(&reclaimed(3), &facts, "put its images back 3 times");
}

#[test]
fn whoever_writes_all_annotations_anew_is_left_to_his_images_in_the_end() {
    let facts = known(PullAccess::Open);
    let manifest = deployment();
    let mut stored = admitted(&create("deploy", &manifest), &facts);
    for _ in 0..3 {
        stored = admitted(&request("deploy", "UPDATE", &manifest, &stored), &facts);
    }
    let again = request("deploy", "UPDATE", &manifest, &stored);
    passes(&again, &facts, "put its images back 3 times");
    // another image is another matter
    let pointer = "/spec/template/spec/containers/0/image";
    let other = with(manifest, pointer, &json!("busybox:1"));
    admitted(&request("deploy", "UPDATE", &other, &stored), &facts);
}
