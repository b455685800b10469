//! Admission policies that look at images: Kyverno's, Gatekeeper's and the API server's own.
//!
//! Decides which of them may refuse an image for where it comes from, by their text alone: their languages
//! are theirs to read.

use super::collection::Collection;
use super::request::Only;
use super::{Cluster, Error};
use serde_json::Value;

/// Where a kind of policy is: root, plural, singular.
type Place<'a> = (&'a str, &'a str, &'a str);

/// The policies that look at images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    /// `clusterpolicy/allowed-registries`, of those that do not name the target registry.
    pub found: Vec<String>,
    /// Kinds of policies that may not be listed.
    pub unread: Vec<String>,
}

/// Kyverno's kind that holds in its own namespace.
const OF_NAMESPACE: Place<'_> = ("/apis/kyverno.io/v1", "policies", "policy");

/// Kinds that hold in every namespace.
const OF_CLUSTER: [Place<'_>; 2] = [
    ("/apis/kyverno.io/v1", "clusterpolicies", "clusterpolicy"),
    (
        "/apis/admissionregistration.k8s.io/v1",
        "validatingadmissionpolicies",
        "validatingadmissionpolicy",
    ),
];

/// Where Gatekeeper serves a kind of its own for each template.
const CONSTRAINTS: &str = "/apis/constraints.gatekeeper.sh/v1beta1";

impl Cluster {
    /// Admission policies that look at images and do not name this registry host, in a namespace or in all.
    ///
    /// # Errors
    /// When the API server fails; what may not be listed is told in the answer.
    pub async fn image_policies(
        &self,
        host: &str,
        namespace: Option<&str>,
    ) -> Result<Policies, Error> {
        let mut policies = Policies::default();
        for place in OF_CLUSTER {
            add(self, place, None, host, &mut policies).await?;
        }
        add(self, OF_NAMESPACE, namespace, host, &mut policies).await?;
        let kinds = match self.read("discovering constraints", CONSTRAINTS).await {
            Ok(kinds) => kinds,
            Err(error) if error.is_local() => return Ok(policies),
            Err(error) => return Err(error),
        };
        let names = kinds["resources"].as_array().into_iter().flatten();
        let names = names.filter_map(|resource| resource["name"].as_str());
        for name in names.filter(|name| !name.contains('/')) {
            let place = (CONSTRAINTS, name, name);
            add(self, place, None, host, &mut policies).await?;
        }
        Ok(policies)
    }
}

async fn add(
    cluster: &Cluster,
    (root, plural, singular): Place<'_>,
    namespace: Option<&str>,
    host: &str,
    policies: &mut Policies,
) -> Result<(), Error> {
    let read = |object: Value| {
        let name = object["metadata"]["name"].as_str()?;
        looks_at_images(plural, &object, host).then(|| format!("{singular}/{name}"))
    };
    let collection = Collection::at(root, plural, namespace);
    let listed = cluster.list(&collection, Only::default(), read).await;
    match listed {
        Ok(found) => policies.found.extend(found),
        // such a kind is not served here
        Err(Error::NotFound(_)) => {}
        Err(Error::Forbidden(_)) => policies.unread.push(plural.to_owned()),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether a policy may refuse an image for its registry: it speaks of images, and not of this host.
fn looks_at_images(plural: &str, object: &Value, host: &str) -> bool {
    let spec = object["spec"].to_string().to_lowercase();
    let of_images = ["image", "registr"].iter().any(|word| spec.contains(word));
    // Gatekeeper's own library calls its constraint K8sAllowedRepos
    let of_repositories = plural.contains("repos") || plural.contains("image");
    (of_images || of_repositories) && !spec.contains(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies_about_images_are_those_whose_text_says_so() {
        let check = |plural: &str, spec: Value, expected: bool| {
            let object = json!({"metadata": {"name": "x"}, "spec": spec});
            assert_eq!(
                looks_at_images(plural, &object, "reg.corp:5000"),
                expected,
                "{object}"
            );
        };
        let pattern = |image: &str| json!({"rules": [{"validate": {"pattern": {"spec": {"containers": [{"image": image}]}}}}]});
        check("clusterpolicies", pattern("docker.io/*"), true);
        check("clusterpolicies", pattern("reg.corp:5000/*"), false);
        check(
            "clusterpolicies",
            json!({"rules": [{"verifyImages": []}]}),
            true,
        );
        check(
            "clusterpolicies",
            json!({"rules": [{"mutate": {"labels": {}}}]}),
            false,
        );
        let parameters = json!({"parameters": {"repos": ["docker.io/"]}});
        check("k8sallowedrepos", parameters.clone(), true);
        check("k8srequiredlabels", parameters, false);
        check(
            "validatingadmissionpolicies",
            json!({"validations": [{"expression": "object.spec.containers.all(c, c.image.startsWith('quay.io/'))"}]}),
            true,
        );
    }
}
