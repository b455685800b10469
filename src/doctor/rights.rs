//! What the verbs need to be allowed, and how it is granted.

use crate::cluster::Right;
use crate::workload::Kind;
use std::collections::BTreeSet;

/// A role that would be made: its resources with the verbs that each of them needs.
struct Role {
    name: &'static str,
    verbs: &'static [&'static str],
    resources: Vec<(String, String)>,
}

/// What clone, restore, status and sync-credentials need, in roles that can be granted apart.
fn roles() -> [Role; 3] {
    let workloads = Kind::builtin().into_iter();
    let core = |resource: &str| (String::new(), resource.to_owned());
    [
        Role {
            name: "image-cloner-workloads",
            verbs: &["get", "list", "patch"],
            resources: workloads.map(|kind| (kind.group, kind.plural)).collect(),
        },
        Role {
            name: "image-cloner-accounts",
            verbs: &["get", "list"],
            resources: vec![core("namespaces"), core("serviceaccounts")],
        },
        Role {
            name: "image-cloner-secrets",
            verbs: &["get", "list", "create", "update", "delete"],
            resources: vec![core("secrets")],
        },
    ]
}

/// Everything that is needed, in a namespace or in all of them.
pub(super) fn needed(namespace: Option<&str>) -> Vec<Right> {
    let rights = roles().into_iter().flat_map(|role| {
        let verbs = role.verbs;
        let resources = role.resources.into_iter();
        resources.flat_map(move |(group, resource)| {
            verbs.iter().map(move |verb| Right {
                verb,
                group: group.clone(),
                resource: resource.clone(),
            })
        })
    });
    // the namespace itself is read; all of them are listed only where all are meant
    let unneeded = |right: &Right| {
        right.resource == "namespaces" && right.verb == "list" && namespace.is_some()
    };
    rights.filter(|right| !unneeded(right)).collect()
}

/// `patch deployments.apps, jobs.batch; create secrets`: verbs that the same resources lack, together.
pub(super) fn listed(lacking: &[Right]) -> String {
    let mut of_resource: Vec<(String, Vec<&str>)> = Vec::new();
    for right in lacking {
        let name = name(&right.group, &right.resource);
        match of_resource.iter_mut().find(|(known, _)| *known == name) {
            Some((_, verbs)) => verbs.push(right.verb),
            None => of_resource.push((name, vec![right.verb])),
        }
    }
    let mut of_verbs: Vec<(Vec<&str>, Vec<String>)> = Vec::new();
    for (resource, verbs) in of_resource {
        match of_verbs.iter_mut().find(|(known, _)| *known == verbs) {
            Some((_, resources)) => resources.push(resource),
            None => of_verbs.push((verbs, vec![resource])),
        }
    }
    let parts = of_verbs
        .iter()
        .map(|(verbs, resources)| format!("{} {}", verbs.join("/"), resources.join(", ")));
    parts.collect::<Vec<_>>().join("; ")
}

/// The commands that grant what is lacking: a role and its binding for each part that lacks something.
pub(super) fn grants(
    lacking: &[Right],
    user: Option<&str>,
    namespace: Option<&str>,
) -> Vec<String> {
    let subject = subject(user);
    let (role, binding, place) = match namespace {
        Some(name) => ("role", "rolebinding", format!(" -n {name}")),
        None => ("clusterrole", "clusterrolebinding", String::new()),
    };
    let mut commands = Vec::new();
    for Role {
        name: of,
        verbs,
        resources,
    } in roles()
    {
        let lacks = |(group, resource): &(String, String)| {
            lacking
                .iter()
                .any(|right| right.group == *group && right.resource == *resource)
        };
        if !resources.iter().any(lacks) {
            continue;
        }
        let resources: Vec<String> = resources
            .iter()
            .map(|(group, resource)| name(group, resource))
            .collect();
        commands.push(format!(
            "kubectl create {role} {of}{place} --verb={} --resource={}",
            verbs.join(","),
            resources.join(",")
        ));
        commands.push(format!(
            "kubectl create {binding} {of}{place} --{role}={of} {subject}"
        ));
    }
    commands
}

/// Who gets it, as kubectl's flags have it.
fn subject(user: Option<&str>) -> String {
    let Some(user) = user else {
        return "--user=USER".to_owned();
    };
    let account = user.strip_prefix("system:serviceaccount:");
    match account.filter(|account| account.contains(':')) {
        Some(account) => format!("--serviceaccount={account}"),
        None => format!("--user={}", quoted(user)),
    }
}

/// A word of a shell command.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@=+".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn name(group: &str, resource: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

/// How many different resources are asked about.
pub(super) fn resources(rights: &[Right]) -> usize {
    let names = rights
        .iter()
        .map(|right| name(&right.group, &right.resource));
    names.collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(verb: &'static str, group: &str, resource: &str) -> Right {
        Right {
            verb,
            group: group.to_owned(),
            resource: resource.to_owned(),
        }
    }

    #[test]
    fn what_is_lacking_is_told_by_verbs() {
        let lacking = [
            right("patch", "apps", "deployments"),
            right("patch", "batch", "jobs"),
            right("get", "", "secrets"),
            right("create", "", "secrets"),
        ];
        assert_eq!(
            listed(&lacking),
            "patch deployments.apps, jobs.batch; get/create secrets"
        );
    }

    #[test]
    fn grants_can_be_pasted() {
        let lacking = [right("create", "", "secrets")];
        let check = |user: Option<&str>, namespace: Option<&str>, expected: [&str; 2]| {
            assert_eq!(grants(&lacking, user, namespace), expected);
        };
        check(
            Some("system:serviceaccount:ci:deployer"),
            Some("shop"),
            [
                "kubectl create role image-cloner-secrets -n shop \
                 --verb=get,list,create,update,delete --resource=secrets",
                "kubectl create rolebinding image-cloner-secrets -n shop \
                 --role=image-cloner-secrets --serviceaccount=ci:deployer",
            ],
        );
        check(
            Some("Jane O'Hara"),
            None,
            [
                "kubectl create clusterrole image-cloner-secrets \
                 --verb=get,list,create,update,delete --resource=secrets",
                "kubectl create clusterrolebinding image-cloner-secrets \
                 --clusterrole=image-cloner-secrets --user='Jane O'\\''Hara'",
            ],
        );
    }

    #[test]
    fn a_namespace_is_enough_for_a_namespace() {
        let lists = |namespace| {
            let needed = needed(namespace);
            needed.contains(&right("list", "", "namespaces"))
        };
        assert!(lists(None));
        assert!(!lists(Some("shop")));
    }
}
