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
            resources: workloads
                .map(|kind| (kind.group.clone(), kind.plural.clone()))
                .collect(),
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

/// What a right is for where not every run needs it; none for those without which nothing is cloned.
fn of_some(right: &Right) -> Option<&'static str> {
    match (right.resource.as_str(), right.verb) {
        ("secrets", "list") => Some("for sync-credentials"),
        ("secrets", "delete") => Some("for sync-credentials --prune and uninstall-agent"),
        ("secrets", "create" | "update") => {
            Some("for pull secrets that clone makes: not with --pull-secret")
        }
        _ => None,
    }
}

/// Whether all of these are for some runs alone.
pub(super) fn can_do_without(lacking: &[Right]) -> bool {
    lacking.iter().all(|right| of_some(right).is_some())
}

/// What is lacking, with what it is for where not every run needs it.
pub(super) fn told(lacking: &[Right]) -> String {
    let uses: BTreeSet<Option<&str>> = lacking.iter().map(of_some).collect();
    let parts = uses.into_iter().map(|of| {
        let rights = lacking.iter().filter(|right| of_some(right) == of);
        let rights = listed(&rights.cloned().collect::<Vec<_>>());
        match of {
            Some(of) => format!("{rights} ({of})"),
            None => rights,
        }
    });
    parts.collect::<Vec<_>>().join("; ")
}

/// `patch deployments.apps, jobs.batch; create secrets`: verbs that the same resources lack, together.
fn listed(lacking: &[Right]) -> String {
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
    fn what_only_some_runs_need_is_told_with_their_names() {
        let prune = right("delete", "", "secrets");
        let make = right("create", "", "secrets");
        assert!(can_do_without(&[prune.clone(), make.clone()]));
        assert_eq!(
            told(&[make, prune.clone(), right("list", "", "secrets")]),
            "create secrets (for pull secrets that clone makes: not with --pull-secret); list \
             secrets (for sync-credentials); delete secrets (for sync-credentials --prune and \
             uninstall-agent)"
        );
        let patch = right("patch", "apps", "deployments");
        let lacking = [prune, patch];
        assert!(!can_do_without(&lacking));
        assert!(told(&lacking).starts_with("patch deployments.apps; delete secrets (for "));
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
