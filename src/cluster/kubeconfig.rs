//! Kubeconfig files: which ones are read, and what is in them by name.
//!
//! Decides as kubectl does. Never says which of it is used (that is `connect`).

use super::error::innermost;
use super::{ConnectFlags, Error};
use kube::config::{AuthInfo, Cluster as ClusterEntry, Context, Kubeconfig, KubeconfigError};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Reads the files that kubectl would read. A file named by `--kubeconfig` must exist; those of
/// `KUBECONFIG` and the default one may be missing.
pub(super) fn read(explicit: Option<&Path>, variable: Option<&OsStr>) -> Result<Kubeconfig, Error> {
    if let Some(path) = explicit {
        return read_file(path);
    }
    let listed: Vec<PathBuf> = variable
        .iter()
        .flat_map(std::env::split_paths)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    let paths = if listed.is_empty() {
        let home = directories::BaseDirs::new();
        home.iter()
            .map(|dirs| dirs.home_dir().join(".kube").join("config"))
            .collect()
    } else {
        listed
    };
    let mut merged = Kubeconfig::default();
    let is_missing = |cause: &std::io::Error| {
        matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
    };
    // one that may not be read is not passed over: another cluster would be meant
    for path in &paths {
        if path.metadata().is_err_and(|cause| is_missing(&cause)) {
            continue;
        }
        let next = read_file(path)?;
        merged = merged.merge(next).map_err(|error| {
            invalid(
                format!("reading {}: {}", path.display(), reason(&error)),
                None,
            )
        })?;
    }
    Ok(merged)
}

/// What kubeconfig files name, for those who choose among it.
#[derive(Debug, Default)]
pub struct Names {
    /// The context in use.
    pub current: Option<String>,
    /// All contexts.
    pub contexts: Vec<String>,
    /// All clusters.
    pub clusters: Vec<String>,
    /// All users.
    pub users: Vec<String>,
}

impl Names {
    /// What the files name that kubectl would read with these flags; no cluster is asked.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(flags: &ConnectFlags) -> Result<Self, Error> {
        let variable = std::env::var_os("KUBECONFIG");
        let files = read(flags.kubeconfig.as_deref(), variable.as_deref())?;
        let current = flags.context.clone().or(files.current_context);
        Ok(Self {
            current: current.filter(|name| !name.is_empty()),
            contexts: files.contexts.into_iter().map(|it| it.name).collect(),
            clusters: files.clusters.into_iter().map(|it| it.name).collect(),
            users: files.auth_infos.into_iter().map(|it| it.name).collect(),
        })
    }
}

fn read_file(path: &Path) -> Result<Kubeconfig, Error> {
    Kubeconfig::read_from(path).map_err(|error| {
        let reason = reason(&error);
        invalid(
            format!("reading kubeconfig {}: {reason}", path.display()),
            None,
        )
    })
}

/// Why a kubeconfig cannot be used. The parser quotes the lines around an error, which may be a token.
pub(super) fn reason(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!(
                "line {}, column {} is not what a kubeconfig has there",
                at.line(),
                at.column()
            ),
            None => "it is not a kubeconfig".to_owned(),
        },
        other => innermost(other),
    }
}

/// The context of this name.
pub(super) fn find_context(files: &Kubeconfig, name: &str) -> Result<Context, Error> {
    let found = files.contexts.iter().find(|context| context.name == name);
    found
        .and_then(|context| context.context.clone())
        .ok_or_else(|| {
            let names = files.contexts.iter().map(|context| context.name.as_str());
            invalid(
                format!("context {name:?} does not exist"),
                one_of("contexts", names.collect()),
            )
        })
}

/// The cluster of `--cluster`, else of the context. As with kubectl, `--server` alone is enough.
pub(super) fn find_cluster(
    files: &Kubeconfig,
    context: &Context,
    flags: &ConnectFlags,
) -> Result<(String, ClusterEntry), Error> {
    let name = flags.cluster.as_deref().unwrap_or(&context.cluster);
    let found = files.clusters.iter().find(|cluster| cluster.name == name);
    match found.and_then(|cluster| cluster.cluster.clone()) {
        Some(cluster) => Ok((name.to_owned(), cluster)),
        None if !name.is_empty() && (flags.cluster.is_some() || flags.server.is_none()) => {
            let names = files.clusters.iter().map(|cluster| cluster.name.as_str());
            Err(invalid(
                format!("cluster {name:?} does not exist"),
                one_of("clusters", names.collect()),
            ))
        }
        None => Ok(("default".to_owned(), ClusterEntry::default())),
    }
}

/// The user's credentials. One that a context names and no file has is nobody, as with kubectl; one that
/// `--user` names must exist.
pub(super) fn find_user(
    files: &Kubeconfig,
    name: Option<&str>,
    named: bool,
) -> Result<AuthInfo, Error> {
    let name = name.unwrap_or_default();
    let found = files.auth_infos.iter().find(|user| user.name == name);
    match found.and_then(|user| user.auth_info.clone()) {
        None if named => {
            let users = files.auth_infos.iter().map(|user| user.name.as_str());
            Err(invalid(
                format!("user {name:?} does not exist"),
                one_of("users", users.collect()),
            ))
        }
        found => Ok(found.unwrap_or_default()),
    }
}

/// Names a few of what there is.
pub(super) fn one_of(what: &str, mut names: Vec<&str>) -> Option<String> {
    names.sort_unstable();
    let rest = names.len().saturating_sub(8);
    names.truncate(8);
    let more = if rest > 0 {
        format!(", and {rest} more")
    } else {
        String::new()
    };
    (!names.is_empty()).then(|| format!("{what}: {}{more}", names.join(", ")))
}

/// A request that is wrong in itself.
pub(super) fn invalid(message: impl Into<String>, hint: Option<String>) -> Error {
    Error::Invalid {
        message: message.into(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ONE: &str = "current-context: one
contexts:
- {name: one, context: {cluster: c1}}
";
    const TWO: &str = "current-context: two
contexts:
- {name: two, context: {cluster: c2}}
";

    #[test]
    fn missing_files_of_the_variable_are_skipped_and_the_first_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::write(&one, ONE).unwrap();
        fs::write(&two, TWO).unwrap();
        let list = std::env::join_paths([dir.path().join("missing"), two, one]).unwrap();
        let merged = read(None, Some(&list)).unwrap();
        assert_eq!(merged.current_context.as_deref(), Some("two"));
        assert_eq!(merged.contexts.len(), 2);
    }

    #[test]
    fn a_missing_file_of_the_flag_is_an_error_that_names_it() {
        let error = read(Some(Path::new("/nowhere/config")), None).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("reading kubeconfig /nowhere/config: "),
            "{text}"
        );
    }

    #[test]
    fn a_broken_file_is_named_with_the_place_and_none_of_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        for text in [
            "users:\n- name: a\n  user:\n    token: hunter2\n   broken: hunter2\n",
            "users:\n- name: a\n  user:\n    token: [hunter2]\n",
            "users: hunter2\n",
        ] {
            fs::write(&path, text).unwrap();
            let error = read(Some(&path), None).unwrap_err().to_string();
            let start = format!("reading kubeconfig {}: ", path.display());
            assert!(error.starts_with(&start), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
