//! `clone -f` beside kustomize.

use super::*;

#[test]
fn a_kustomization_keeps_nothing_from_manifests_that_it_does_not_list() {
    let folder = folder(&[
        ("base/web.yaml", DEPLOYMENT),
        ("other/web.yaml", DEPLOYMENT),
        (
            "prod/kustomization.yaml",
            "resources: [../base]\nimages:\n- name: nginx\n  newTag: 1.27.0\n",
        ),
    ]);
    let args = ["clone", "--no-copy", "-R", "-w", "-f", "base,other,prod"];
    plugin(folder.path(), &args, "").exits(3);
    let written = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a file");
    assert!(!written("base/web.yaml").contains("reg.corp/mirror/nginx:"));
    assert!(written("other/web.yaml").contains("reg.corp/mirror/nginx:"));
}

#[test]
fn images_that_a_kustomization_finds_by_name_are_left_to_it() {
    let folder = folder(&[
        ("base/web.yaml", DEPLOYMENT),
        (
            "prod/kustomization.yaml",
            "resources: [../base]\nimages:\n- name: nginx\n  newTag: 1.27.0\n- name: busybox\n",
        ),
    ]);
    let args = ["clone", "--no-copy", "-R", "-f", "."];
    let ran = plugin(folder.path(), &args, "").exits(3);
    assert_eq!(
        ran.stdout,
        DEPLOYMENT.replace("busybox:", "reg.corp/mirror/busybox:")
    );
    insta::assert_snapshot!(ran.stderr, @r"
    note: ./base/web.yaml:16: left at nginx:1.21.4-alpine: the images: of a kustomization find it by this name
    hint: kubectl kustomize ./prod | kubectl image-cloner clone -f - -o kustomize
    ");
}

#[test]
fn kustomize_makes_the_same_of_its_images_and_of_patches() {
    let Some(bed) = Bed::share("kustomize", false) else {
        return;
    };
    let folder = folder(&[("web.yaml", DEPLOYMENT)]);
    let kustomized = |more: &str| {
        let text = format!("resources: [web.yaml]\n{more}");
        fs::write(folder.path().join("kustomization.yaml"), text).expect("a file");
        bed.kubectl(&["kustomize", folder.path().to_str().expect("UTF-8")])
    };
    let expected = repointed(&kustomized(""));
    let show = |output: &str| {
        let args = ["clone", "--no-copy", "-f", "web.yaml", "-o", output];
        plugin(folder.path(), &args, "").exits(0).stdout
    };
    assert_eq!(kustomized(&show("kustomize")), expected);
    fs::write(folder.path().join("patch.yaml"), show("patch")).expect("a file");
    assert_eq!(
        kustomized("patchesStrategicMerge: [patch.yaml]\n"),
        expected
    );
}
