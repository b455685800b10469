//! Pull secrets: whose there are, what they are good for, and ours.

use super::*;

#[tokio::test]
async fn whoever_may_not_read_secrets_still_observes_with_a_note() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let mut pod = pod_spec("nginx:1");
    pod["imagePullSecrets"] = json!([{"name": "regcred"}]);
    create(&bed, &deployment("web", 0, &pod));
    let create = ["create", "role", "reader", "--verb=get,list"];
    let what = "--resource=deployments.apps,pods,serviceaccounts";
    bed.kubectl(&[&create[..], &[what]].concat());
    bed.kubectl(&[
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        "--user=jane",
    ]);
    let flags = ConnectFlags {
        impersonate: Some("jane".to_owned()),
        ..flags(&bed)
    };
    let cluster = Cluster::connect(&flags, WriteMode::Apply).await.unwrap();

    let observation = cluster
        .observe(&selection("deploy/web sts/db"), &target())
        .await
        .unwrap();
    assert_eq!(names(&observation), ["deployment.apps/web"]);
    let note = format!("cannot read secrets in {}: ", bed.namespace);
    assert!(
        observation.notes.iter().any(|said| said.starts_with(&note)),
        "{:?}",
        observation.notes
    );
    assert!(
        matches!(&observation.missing[..], [Error::Forbidden(text)] if text.contains("statefulsets")),
        "{:?}",
        observation.missing
    );
    let error = cluster
        .patch(&id(&bed, "deploy", "web"), &repoint("a", "b"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Forbidden(_)), "{error:?}");
}

#[tokio::test]
async fn pull_secrets_of_workload_and_account_make_the_keyring_and_say_who_can_pull() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let secret = |name: &str, host: &str| {
        let server = format!("--docker-server={host}");
        let args = ["create", "secret", "docker-registry", name, &server];
        bed.kubectl(&[&args[..], &["--docker-username=u", "--docker-password=p"]].concat());
    };
    secret("source", "registry.corp:5443");
    secret("target", "reg.corp:5000");
    create(
        &bed,
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"},
        "imagePullSecrets": [{"name": "target"}, {"name": "gone"}]}),
    );
    let mut pod = pod_spec("registry.corp:5443/team/app:1");
    pod["serviceAccountName"] = json!("puller");
    create(&bed, &deployment("by-account", 0, &pod));
    pod["imagePullSecrets"] = json!([{"name": "source"}]);
    create(&bed, &deployment("by-itself", 0, &pod));

    let cluster = cluster(&bed, WriteMode::Apply).await;
    let observation = cluster
        .observe(&selection("deploy"), &target())
        .await
        .unwrap();
    assert_eq!(
        names(&observation),
        ["deployment.apps/by-account", "deployment.apps/by-itself"]
    );
    assert_eq!(observation.notes, [""; 0]);
    let [account, itself] = &observation.observed[..] else {
        panic!()
    };
    let names = account.account_pull_secrets.as_deref().unwrap();
    assert_eq!(names, ["target", "gone"]);
    assert_eq!(account.pull_credentials, PullCredentials::Own);
    // admission gives the account's secrets to nobody who has some
    assert_eq!(itself.pull_credentials, PullCredentials::None);
    let keyring = &observation.keyrings[&itself.workload.id];
    assert_eq!(keyring.find("registry.corp:5443", "team/app").len(), 1);
    assert_eq!(keyring.find("reg.corp:5000", "cache").len(), 1);
}

#[tokio::test]
async fn an_account_that_may_not_be_read_is_unknown_and_one_that_is_not_there_is_empty() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    create(&bed, &deployment("web", 0, &pod_spec("nginx:1")));
    let mut pod = pod_spec("nginx:1");
    pod["serviceAccountName"] = json!("gone");
    create(&bed, &deployment("without", 0, &pod));
    let account_of = async |cluster: &Cluster, name: &str| {
        let selection = selection(&format!("deploy/{name}"));
        let observation = cluster.observe(&selection, &target()).await.unwrap();
        observation.observed[0].account_pull_secrets.clone()
    };
    let admin = cluster(&bed, WriteMode::Apply).await;
    assert_eq!(account_of(&admin, "web").await, Some(vec![]));
    assert_eq!(account_of(&admin, "without").await, Some(vec![]));

    let role = ["create", "role", "reader", "--verb=get,list"];
    bed.kubectl(&[&role[..], &["--resource=deployments.apps,pods"]].concat());
    let to = ["--role=reader", "--user=jack"];
    bed.kubectl(&[&["create", "rolebinding", "reader"][..], &to].concat());
    let flags = ConnectFlags {
        impersonate: Some("jack".to_owned()),
        ..flags(&bed)
    };
    let jack = Cluster::connect(&flags, WriteMode::Apply).await.unwrap();
    assert_eq!(account_of(&jack, "web").await, None);
}

#[tokio::test]
async fn our_pull_secret_is_made_kept_up_and_left_alone_when_it_is_right() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let ensure = async |name: &str, key: &str, password: &str| {
        let credentials = Credentials::Basic {
            username: "puller".to_owned(),
            password: password.to_owned().into(),
        };
        let key = key.to_owned();
        let wanted = PullSecret { key, credentials };
        cluster
            .ensure_pull_secret(&bed.namespace, name, &wanted)
            .await
    };
    let version = || {
        let get = [
            "get",
            "secret",
            "image-cloner-pull",
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ];
        bed.kubectl(&get)
    };
    let twice = tokio::join!(
        ensure("image-cloner-pull", "reg.corp:5000/cache", "a"),
        ensure("image-cloner-pull", "other.corp", "b")
    );
    twice.0.unwrap();
    twice.1.unwrap();
    let before = version();
    ensure("image-cloner-pull", "other.corp", "b")
        .await
        .unwrap();
    assert_eq!(version(), before);
    ensure("image-cloner-pull", "other.corp", "c")
        .await
        .unwrap();
    assert_ne!(version(), before);

    let mut pod = pod_spec("nginx:1");
    pod["imagePullSecrets"] = json!([{"name": "image-cloner-pull"}]);
    create(&bed, &deployment("web", 0, &pod));
    let observation = cluster
        .observe(&selection("deploy/web"), &target())
        .await
        .unwrap();
    // ours, which never counts as the user's own: it is to be kept up
    let pulls = observation.observed[0].pull_credentials;
    assert_eq!(pulls, PullCredentials::Ours);

    bed.kubectl(&[
        "create",
        "secret",
        "generic",
        "regcred",
        "--from-literal=a=b",
    ]);
    let error = ensure("regcred", "other.corp", "b").await.unwrap_err();
    assert!(error.to_string().contains("is not ours"), "{error}");
}

#[tokio::test]
async fn a_pull_secret_that_the_user_names_must_be_there_and_serve_the_target() {
    let Some(bed) = Bed::share("cluster", false) else {
        return;
    };
    let create = |args: &[&str]| bed.kubectl(&[&["create", "secret"][..], args].concat());
    create(&["generic", "opaque", "--from-literal=a=b"]);
    for (name, host) in [("good", "reg.corp:5000"), ("other", "other.corp")] {
        let server = format!("--docker-server={host}");
        let login = ["--docker-username=u", "--docker-password=p"];
        create(&[&["docker-registry", name, &server][..], &login].concat());
    }
    let cluster = cluster(&bed, WriteMode::Apply).await;
    let check = async |name: &str, expected: &str| {
        let target = target();
        let answer = cluster.check_pull_secret(&bed.namespace, name, &target);
        let answer = answer
            .await
            .map_or_else(|error| error.to_string(), |()| "good".to_owned());
        assert_eq!(answer.replace(&bed.namespace, "NS"), expected);
    };
    check("good", "good").await;
    check(
        "other",
        "secret/other in NS has no credentials for reg.corp:5000/cache",
    )
    .await;
    check("opaque", "secret/opaque in NS is no pull secret").await;
    check("gone", "getting secret/gone in NS: not found").await;
}
