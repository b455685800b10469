//! What `clone -f` refuses, and what it leaves as it was.

use super::*;

#[test]
fn what_cannot_be_copied_is_left_and_named_with_its_line() {
    let text = "\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - {name: a, image: 'nginx:1.21.4-alpine'}
  - {name: b, image: '${IMAGE}:1'}
  - {name: c, image: \"{{ .Values.image }}\"}
  - {name: d, image: {{ .Values.image }}}
  - {name: e, image: Not/An/Image}
  - {name: f, image: auto}
  - {name: g, image: 'local:1', imagePullPolicy: Never}
---
apiVersion: v1
kind: Pod
metadata: {name: q, annotations: {image-cloner.io/skip: 'true'}}
spec: {containers: [{name: a, image: 'nginx:1.21.4-alpine'}]}
";
    let folder = folder(&[("p.yaml", text)]);
    let ran = plugin(folder.path(), &["clone", "--no-copy", "-f", "p.yaml"], "").exits(3);
    assert_eq!(
        ran.stdout,
        text.replacen("nginx:1.21", "reg.corp/mirror/nginx:1.21", 1)
    );
    insta::assert_snapshot!(ran.stderr, @r#"
    note: p.yaml:7: left at ${IMAGE}:1: templated: render it first
    note: p.yaml:8: left at {{ .Values.image }}: templated: render it first
    note: p.yaml:9: left at {{ .Values.image }}: templated: render it first
    note: p.yaml:10: left at Not/An/Image: not an image reference: the repository "Not/An/Image" must be lower case
    note: p.yaml:11: left at auto: injected when the pod is made
    note: p.yaml:12: left at local:1: never pulled: the node is expected to have it
    note: p.yaml:17: left at nginx:1.21.4-alpine: opted out by image-cloner.io/skip
    "#);
}

#[test]
fn what_is_no_manifest_is_refused_with_what_to_do() {
    let template = "apiVersion: v1\nkind: Pod\n{{- if .Values.x }}\nspec: {}\n{{- end }}\n";
    let folder = folder(&[
        ("chart/templates/pod.yaml", template),
        ("chart/values.yaml", "image: nginx\n"),
        (
            "prod/kustomization.yaml",
            "images: [{name: nginx, newTag: '1'}]\n",
        ),
        ("plain.yaml", "# head\n\nimage: nginx\n"),
        ("broken.yaml", "a: b\nc: d: e\n"),
        ("twice.yaml", "a: b\na: c\n"),
        ("empty/readme.md", ""),
        ("latin.yaml", ""),
    ]);
    fs::write(folder.path().join("latin.yaml"), b"a: b\nc: gr\xfc\xdfe\n").expect("a file");
    let refused = |what: &str| {
        let ran = plugin(folder.path(), &["clone", "--no-copy", "-f", what], "").exits(2);
        assert_eq!(ran.stdout, "");
        ran.stderr
    };
    insta::assert_snapshot!(refused("chart/templates"), @r"
    error: chart/templates/pod.yaml:3: a template, not YAML: {{- if .Values.x }}
    nothing was changed
    hint: helm template ... | kubectl image-cloner clone -f -
    ");
    insta::assert_snapshot!(refused("chart/values.yaml"), @r"
    error: chart/values.yaml:1: no Kubernetes object: it has no apiVersion or no kind
    nothing was changed
    hint: helm template ... | kubectl image-cloner clone -f -
    ");
    insta::assert_snapshot!(refused("prod/kustomization.yaml"), @r"
    error: prod/kustomization.yaml: a kustomization, which has no images of its own
    nothing was changed
    hint: kubectl kustomize prod | kubectl image-cloner clone -f -
    hint: with -o kustomize behind it: the images: that it needs
    ");
    insta::assert_snapshot!(refused("plain.yaml"), @r"
    error: plain.yaml:3: no Kubernetes object: it has no apiVersion or no kind
    nothing was changed
    ");
    insta::assert_snapshot!(refused("broken.yaml,twice.yaml"), @r#"
    error: broken.yaml:2: not YAML: mapping values are not allowed in this context
    error: twice.yaml:2: not YAML: the key "a" is there twice
    nothing was changed
    "#);
    insta::assert_snapshot!(refused("empty"), @r"
    error: no *.yaml, *.yml or *.json file in empty
    nothing was changed
    hint: -R looks in the folders below it as well
    ");
    insta::assert_snapshot!(refused("missing.yaml"), @r"
    error: reading missing.yaml: No such file or directory (os error 2)
    nothing was changed
    ");
    insta::assert_snapshot!(refused("latin.yaml"), @r"
    error: reading latin.yaml:2: not UTF-8 text
    nothing was changed
    ");
    insta::assert_snapshot!(refused("https://example.com/a.yaml"), @r#"
    error: "https://example.com/a.yaml" is not a file
    nothing was changed
    hint: curl -fsSL https://example.com/a.yaml | kubectl image-cloner clone -f -
    "#);
}

#[test]
fn what_makes_no_sense_with_files_is_refused() {
    let folder = folder(&[("web.yaml", DEPLOYMENT)]);
    for flags in [
        &["deploy/web"][..],
        &["-A"],
        &["-l", "app=web"],
        &["-n", "shop"],
        &["--context", "prod"],
        &["--kubeconfig", "k"],
        &["--wait"],
        &["--owned", "live"],
        &["--pull-secret", "none"],
        &["-i"],
        &["--all"],
        &["--kinds", "sts"],
        &["--source", "docker.io"],
        &["--from", "old.corp"],
        &["--resolve", "tag"],
        &["--pin"],
        &["--batch", "3"],
        &["--canary"],
        &["--dry-run=server"],
        &["-o", "yaml"],
        &["-w", "-o", "patch"],
        &["-w", "-f", "-"],
    ] {
        let args = [&["clone", "--no-copy", "-f", "web.yaml"][..], flags].concat();
        let ran = plugin(folder.path(), &args, "");
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (2, ""),
            "{flags:?}: {}",
            ran.stderr
        );
    }
}

#[test]
fn images_are_copied_first_and_a_failure_leaves_everything_as_it_was() {
    let Some(bed) = Bed::share("files", false) else {
        return;
    };
    let target = bed.target();
    let folder = folder(&[("web.yaml", DEPLOYMENT)]);
    let path = folder.path().join("web.yaml");
    let file = path.to_str().expect("UTF-8");

    let dry = bed.plugin(&["clone", "-f", file, "--dry-run"]).exits(0);
    assert!(
        dry.stderr
            .contains("nginx:1.21.4-alpine would be copied to"),
        "{}",
        dry.stderr
    );
    assert_eq!(bed.writes("TARGET"), Vec::<String>::new());

    let ran = bed.plugin(&["clone", "-f", file]).exits(0);
    let expected = repointed(DEPLOYMENT).replace("reg.corp/mirror", &target);
    assert_eq!(ran.stdout, expected);
    assert_eq!(
        bed.digest(
            "TARGET",
            &format!("{}/nginx", bed.namespace),
            "1.21.4-alpine"
        ),
        bed.digest("DOCKER_IO", "library/nginx", "1.21.4-alpine")
    );
    // what comes out is what the cluster takes
    bed.apply(&ran.stdout);

    let wrong = DEPLOYMENT.replace("busybox:1.36", "acme/no-such-image:1");
    fs::write(&path, &wrong).expect("a file");
    let ran = bed.plugin(&["clone", "-f", file]).exits(1);
    assert_eq!(ran.stdout, "");
    ran.says("no manifest was printed")
        .says("acme/no-such-image:1");
    let ran = bed.plugin(&["clone", "-w", "-f", file]).exits(1);
    assert_eq!(ran.stdout, "");
    ran.says("no file was changed");
    assert_eq!(fs::read_to_string(&path).expect("a file"), wrong);

    fs::write(&path, DEPLOYMENT).expect("a file");
    let ran = bed.plugin(&["clone", "-w", "-f", file]).exits(0);
    assert_eq!(ran.stdout, format!("{file} repointed, 2 images\n"));
    assert_eq!(fs::read_to_string(&path).expect("a file"), expected);
}

#[test]
fn a_file_that_somebody_changes_meanwhile_is_not_written_over() {
    let Some(bed) = Bed::share("meanwhile", false) else {
        return;
    };
    let folder = folder(&[("web.yaml", DEPLOYMENT)]);
    let path = folder.path().join("web.yaml");
    let file = path.to_str().expect("UTF-8");
    let other = DEPLOYMENT.replace("replicas: 1", "replicas: 2");
    let ran = bed.plugin_held(&["clone", "-w", "-f", file], &[], |_| {
        fs::write(&path, &other).expect("a file");
    });
    assert_eq!(ran.stdout, "");
    ran.exits(1)
        .says("it was changed by somebody else meanwhile");
    assert_eq!(fs::read_to_string(&path).expect("the file"), other);
}
