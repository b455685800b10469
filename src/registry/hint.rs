//! What helps where a push is refused.
//!
//! Decides which command or page makes a repository pushable, by the host's name and the registry's own
//! words. Never asks anything.

use super::refusal::Refusal;

/// What to do about a refused push to a repository: often nobody created it. Quay answers 401 then, ECR and
/// Harbor 404.
pub(super) fn for_push(host: &str, repository: &str, refusal: &Refusal) -> String {
    let missing = refusal.is_not_found();
    if let Some(command) = creation(host, repository).filter(|_| missing) {
        return command;
    }
    let nested = repository.matches('/').count() > 1;
    if host == "docker.io" && nested {
        return "Docker Hub has no paths below an account's repositories: --layout flat".to_owned();
    }
    let first = repository.split('/').next().unwrap_or(repository);
    if refusal.detail.contains("project") {
        return format!(
            "the project {first} must exist: create it at https://{host}/harbor/projects, \
             and let these credentials push to it"
        );
    }
    if host == "quay.io" || host.starts_with("quay.") {
        return format!(
            "the organization {first} must exist and let these credentials create repositories: \
             https://{host}/organization/{first}"
        );
    }
    "the repository may have to be created first, or these credentials may not push to it"
        .to_owned()
}

/// The command that creates a repository, for registries that create none on push.
fn creation(host: &str, repository: &str) -> Option<String> {
    let parts: Vec<_> = host.split('.').collect();
    match parts.as_slice() {
        // also ecr-fips, and amazonaws.com.cn
        [_, "dkr", ecr, region, "amazonaws", ..] if ecr.starts_with("ecr") => {
            Some(ecr_private(region, repository))
        }
        [_, "dkr-ecr" | "dkr-ecr-fips", region, "on", "aws"] => {
            Some(ecr_private(region, repository))
        }
        ["public", "ecr", "aws"] => {
            let (_, name) = repository.split_once('/')?;
            Some(format!(
                "ECR creates no repositories on push: \
                 aws ecr-public create-repository --repository-name {name} --region us-east-1"
            ))
        }
        [place, "pkg", "dev"] => {
            let location = place.strip_suffix("-docker")?;
            let mut names = repository.split('/');
            let (project, name) = (names.next()?, names.next()?);
            Some(format!(
                "Artifact Registry creates no repositories on push: gcloud artifacts repositories create \
                 {name} --repository-format=docker --location={location} --project={project}"
            ))
        }
        _ => None,
    }
}

fn ecr_private(region: &str, repository: &str) -> String {
    format!(
        "ECR creates no repositories on push: \
         aws ecr create-repository --repository-name {repository} --region {region}"
    )
}

#[cfg(test)]
mod tests {
    use super::super::refusal::Kind;
    use super::*;
    use reqwest::StatusCode;

    #[test]
    fn a_refused_push_says_what_to_do_with_real_names() {
        let check = |host: &str, repository: &str, status: u16, words: &str, expected: &str| {
            let kind = Kind::Status(StatusCode::from_u16(status).unwrap());
            let refusal = Refusal::new("PUT", kind, words);
            let hint = for_push(host, repository, &refusal);
            assert!(hint.contains(expected), "{host}: {hint}");
        };
        let ecr = "aws ecr create-repository --repository-name mirror/nginx --region ";
        for (host, region) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"),
            (
                "1.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                "us-gov-west-1",
            ),
            ("1.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("1.dkr-ecr.eu-west-1.on.aws", "eu-west-1"),
        ] {
            let expected = format!("{ecr}{region}");
            check(host, "mirror/nginx", 404, "NAME_UNKNOWN", &expected);
        }
        check(
            "public.ecr.aws",
            "a1b2/mirror/nginx",
            404,
            "",
            "aws ecr-public create-repository --repository-name mirror/nginx --region us-east-1",
        );
        check(
            "europe-west4-docker.pkg.dev",
            "shop/mirror/nginx",
            404,
            "",
            "create mirror --repository-format=docker --location=europe-west4 --project=shop",
        );
        check("docker.io", "me/quay.io/a/b", 401, "", "--layout flat");
        let harbor = "404 NOT_FOUND project mirror not found";
        let projects =
            "the project mirror must exist: create it at https://reg.corp/harbor/projects";
        check("reg.corp", "mirror/nginx", 404, harbor, projects);
        check(
            "quay.io",
            "acme/nginx",
            401,
            "",
            "the organization acme must exist",
        );
        let denied = "may not push";
        check("1.dkr.ecr.eu-west-1.amazonaws.com", "a", 403, "", denied);
        check("reg.corp", "a/b", 404, "", "created first");
    }
}
