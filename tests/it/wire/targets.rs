//! What target registries have of their own: repositories that somebody must create, tags that cannot move.

use super::server::Reply;
use super::*;

/// Copies into a registry by this name that answers every push so; gives the hint.
async fn hint(name: &str, refusal: Reply) -> String {
    let (from, to) = (Registry::start().await, Registry::start().await);
    simple(&from);
    to.hook(move |r| (r.method == "POST").then(|| refusal.clone()));
    let mut request = request(&from, &to, "a/b:1");
    request.target = reference(&format!("{name}/mirror/quay.io/a/b:1"));
    let config = HostConfig {
        endpoint: vec![format!("http://{}", to.host)],
        ..HostConfig::default()
    };
    let hosts = BTreeMap::from([(name.to_owned(), config)]);

    let error = copy(&Engine::over(registries(&hosts)), &request)
        .await
        .unwrap_err();

    assert!(
        !matches!(error, Error::NotFound { .. }),
        "the source is there: {error:?}"
    );
    error.hint().unwrap().to_owned()
}

#[tokio::test]
async fn a_repository_that_must_be_created_comes_with_the_command_that_does_it() {
    let missing = |words: &str| Reply::error(404, "NAME_UNKNOWN", words);
    let ecr = hint(
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        missing("The repository with name 'mirror/quay.io/a/b' does not exist"),
    )
    .await;
    assert_eq!(
        ecr,
        "ECR creates no repositories on push: aws ecr create-repository \
         --repository-name mirror/quay.io/a/b --region eu-west-1"
    );
    let harbor = hint("harbor.corp", missing("project mirror not found")).await;
    assert!(
        harbor.contains("https://harbor.corp/harbor/projects"),
        "{harbor}"
    );
    let quay = hint(
        "quay.io",
        Reply::error(401, "UNAUTHORIZED", "access denied"),
    )
    .await;
    assert!(
        quay.contains("the organization mirror must exist"),
        "{quay}"
    );
    let hub = hint("docker.io", Reply::error(403, "DENIED", "access denied")).await;
    assert!(hub.contains("--layout flat"), "{hub}");
}

#[tokio::test]
async fn a_tag_that_cannot_move_is_success_where_it_has_the_digest_and_else_an_error() {
    // ECR, Harbor, Quay, Artifactory
    for (status, code) in [
        (400, "TAG_INVALID"),
        (412, "PRECONDITION"),
        (409, "CONFLICT"),
        (403, "DENIED"),
        (405, "UNSUPPORTED"),
    ] {
        for is_same in [true, false] {
            let (from, to) = (Registry::start().await, Registry::start().await);
            let manifest = simple(&from);
            let theirs = if is_same {
                manifest.clone()
            } else {
                image(&to, "a/b", &[b"theirs"])
            };
            let (other, there) = (to.clone(), theirs.clone());
            to.hook(move |r| {
                (r.is("PUT", "/manifests/1") && !r.path.contains("replaced")).then(|| {
                    // somebody pushed just before
                    other.put_later("a/b", "1", MANIFEST, &there);
                    Reply::error(status, code, "tag 1 is immutable")
                })
            });

            let copied = copy(&copier(), &request(&from, &to, "a/b:1")).await;

            match copied {
                Ok(copied) => assert_eq!(
                    (copied.digest.as_str(), is_same),
                    (&*digest(&manifest), true)
                ),
                Err(error) => {
                    assert!(!is_same, "{status}: {error}");
                    assert!(error.to_string().contains("tag 1 is immutable"), "{error}");
                }
            }
            assert_eq!(to.manifest("a/b", "1").unwrap().1, theirs);
        }
    }
}
