//! Why the API server was no help: its answers and the transport's as one line of text.
//!
//! Decides which failures a caller can act on. Never shows what an exec plugin printed to stdout, which
//! is where its credentials are.

use super::fence::Shut;
use kube::client::AuthError;
use kube::core::Status;
use std::error::Error as StdError;

/// Why the API server was no help.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object is not there.
    #[error("{0}")]
    NotFound(String),
    /// RBAC says no.
    #[error("{0}")]
    Forbidden(String),
    /// The object changed under way: observe and plan again.
    #[error("{0}")]
    Conflict(String),
    /// The request itself is wrong (unknown type, context).
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// What helps.
        hint: Option<String>,
    },
    /// The API server cannot be talked to, or does not know who asks: no other request would do better.
    #[error("{message}")]
    Unreachable {
        /// What is wrong.
        message: String,
        /// What helps.
        hint: Option<String>,
    },
    /// What we would write has the name of something that is not ours.
    #[error("{message}")]
    Namesake {
        /// What it is.
        message: String,
        /// What helps.
        hint: String,
    },
    /// The cluster does not tell what was to be found out.
    #[error("{message}")]
    Untold {
        /// What it was, and why.
        message: String,
        /// What helps.
        hint: String,
    },
    /// The [`Fence`](super::Fence) is closed: the request was not begun or is given up, and none will begin.
    #[error("{0}")]
    Fenced(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// What helps, where something does.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Invalid { hint, .. } | Self::Unreachable { hint, .. } => hint.as_deref(),
            Self::Namesake { hint, .. } | Self::Untold { hint, .. } => Some(hint),
            _ => None,
        }
    }

    /// A failure of one thing, after which the rest can still be observed.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Forbidden(_))
    }
}

/// What a request was about, for the errors it may end in.
#[derive(Debug, Clone)]
pub(super) struct Doing {
    /// `listing deployments.apps in prod`.
    pub(super) what: String,
    /// `https://10.0.0.1:6443`.
    pub(super) server: String,
    /// The kube context, for hints.
    pub(super) context: String,
}

impl Doing {
    /// Turns kube's error into ours.
    pub(super) fn failed(&self, error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => self.refused(&status),
            kube::Error::Auth(error) => self.no_credentials(&error),
            kube::Error::Service(error) => self.transport(error.as_ref()),
            error @ kube::Error::HyperError(_) => self.transport(&error),
            other => Error::Failed(format!("{}: {}", self.what, innermost(&other))),
        }
    }

    /// An answer of the API server that is not success.
    pub(super) fn refused(&self, status: &Status) -> Error {
        let text = format!("{}: {}", self.what, server_message(status));
        match status.code {
            400 => Error::Invalid {
                message: text,
                hint: None,
            },
            401 => Error::Unreachable {
                message: format!(
                    "{}: {} does not accept the credentials of context {:?}",
                    self.what, self.server, self.context
                ),
                hint: Some("they may have expired: log in to the cluster again".to_owned()),
            },
            403 => Error::Forbidden(text),
            404 if names_an_object(status) => Error::NotFound(format!("{}: not found", self.what)),
            404 => Error::NotFound(text),
            409 => Error::Conflict(text),
            422 if is_failed_test(status) => {
                Error::Conflict(format!("{}: it was changed by someone else", self.what))
            }
            _ => Error::Failed(text),
        }
    }

    /// The request did not end within `--request-timeout`.
    pub(super) fn timed_out(&self, limit: std::time::Duration) -> Error {
        Error::Unreachable {
            message: format!(
                "{}: no answer from {} within {limit:?}",
                self.what, self.server
            ),
            hint: Some("--request-timeout allows for more".to_owned()),
        }
    }

    /// Another process may be the one that writes, by now.
    pub(super) fn fenced(&self, shut: Shut) -> Error {
        Error::Fenced(format!("{}: {shut}", self.what))
    }

    fn transport(&self, error: &(dyn StdError + 'static)) -> Error {
        let mut cause = Some(error);
        while let Some(inner) = cause {
            if let Some(auth) = inner.downcast_ref::<AuthError>() {
                return self.no_credentials(auth);
            }
            if let Some(shut) = inner.downcast_ref::<Shut>() {
                return self.fenced(*shut);
            }
            cause = inner.source();
        }
        let reason = innermost(error);
        Error::Unreachable {
            hint: transport_hint(&reason, &self.context),
            message: format!("{}: cannot reach {}: {reason}", self.what, self.server),
        }
    }

    fn no_credentials(&self, error: &AuthError) -> Error {
        Error::Unreachable {
            message: format!(
                "{}: getting credentials for context {:?}: {}",
                self.what,
                self.context,
                auth_reason(error)
            ),
            hint: None,
        }
    }
}

/// What a credentials plugin failed with. `AuthExecRun` carries its whole output; stdout may hold a token.
pub(super) fn auth_reason(error: &AuthError) -> String {
    match error {
        // nor is `cmd` shown, which holds the plugin's arguments and environment
        AuthError::AuthExecRun { out, .. } => {
            let stderr = String::from_utf8_lossy(&out.stderr);
            let last = stderr.lines().rev().find(|line| !line.trim().is_empty());
            format!(
                "its credential plugin failed ({}): {}",
                out.status,
                last.unwrap_or("it printed no reason").trim()
            )
        }
        // the parser's error may quote the text, which is the credential itself
        AuthError::AuthExecParse(_) => "what the plugin printed is no ExecCredential".to_owned(),
        other => one_line(&other.to_string()),
    }
}

/// The deepest cause, which says most: the layers above only say "connecting" and "client error".
pub(super) fn innermost(error: &dyn StdError) -> String {
    let mut deepest = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !text.is_empty() {
            deepest = text;
        }
        cause = inner.source();
    }
    let text = one_line(&deepest);
    let text = text
        .rfind(" (os error ")
        .map_or(text.as_str(), |at| &text[..at]);
    lower_first(text)
}

fn transport_hint(reason: &str, context: &str) -> Option<String> {
    let hint = if reason.contains("UnknownIssuer") || reason.contains("BadSignature") {
        format!("context {context:?} names another certificate authority than the server's")
    } else if reason.contains("Expired") || reason.contains("NotValidYet") {
        "renew the cluster's certificates, and check this machine's clock".to_owned()
    } else if reason.contains("NotValidForName") {
        format!("context {context:?} names the server by a name that its certificate lacks")
    } else if reason.contains("refused")
        || reason.contains("timed out")
        || reason.contains("lookup")
    {
        format!("is the cluster of context {context:?} running, and reachable from here?")
    } else {
        return None;
    };
    Some(hint)
}

/// The API server's own words, without the name that the caller has said already.
fn server_message(status: &Status) -> String {
    let text = one_line(&status.message);
    let text = match text.split_once(" is forbidden: ") {
        Some((_, reason)) => reason,
        None => text.as_str(),
    };
    if text.is_empty() {
        return format!("the server answered {}", status.code);
    }
    lower_first(text)
}

/// Whether a 404 is about an object, and not about a kind that is not served.
fn names_an_object(status: &Status) -> bool {
    status
        .details
        .as_ref()
        .is_some_and(|details| !details.name.is_empty())
}

/// A JSON patch whose `test` fails is answered 422 `Invalid` without causes, not 409. An invalid object
/// has causes; an admission webhook may choose this code too, but says who it is.
fn is_failed_test(status: &Status) -> bool {
    let no_causes = status
        .details
        .as_ref()
        .is_none_or(|details| details.causes.is_empty());
    status.reason == "Invalid" && no_causes && !status.message.starts_with("admission webhook")
}

/// A text of several lines, in one.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lower-cases a first word that is not a name or an abbreviation.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn doing() -> Doing {
        Doing {
            what: "patching deployment.apps/web in prod".to_owned(),
            server: "https://10.0.0.1:6443".to_owned(),
            context: "prod-eu".to_owned(),
        }
    }

    fn refused(status: serde_json::Value) -> Error {
        doing().refused(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn a_failed_test_of_a_json_patch_is_a_conflict() {
        // as kube-apiserver 1.20.2 answers
        let error = refused(json!({
            "status": "Failure", "reason": "Invalid", "code": 422, "details": {},
            "message": "the server rejected our request due to an error in our request",
        }));
        assert!(matches!(error, Error::Conflict(_)), "{error:?}");
    }

    #[test]
    fn an_invalid_object_is_a_failure_with_the_servers_words() {
        let error = refused(json!({
            "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "Job.batch \"once\" is invalid: spec.template: field is immutable",
            "details": {"causes": [{"reason": "FieldValueInvalid", "field": "spec.template"}]},
        }));
        assert!(matches!(error, Error::Failed(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            "patching deployment.apps/web in prod: job.batch \"once\" is invalid: \
             spec.template: field is immutable"
        );
    }

    #[test]
    fn a_webhook_that_answers_422_is_no_conflict() {
        let error = refused(json!({
            "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "admission webhook \"policy.corp\" denied the request: no",
        }));
        assert!(matches!(error, Error::Failed(_)), "{error:?}");
    }

    #[test]
    fn a_forbidden_answer_loses_its_noise() {
        let error = refused(json!({
            "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "deployments.apps \"web\" is forbidden: User \"jane\" cannot patch resource \
                        \"deployments\" in API group \"apps\" in the namespace \"prod\"",
        }));
        assert!(matches!(error, Error::Forbidden(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            "patching deployment.apps/web in prod: user \"jane\" cannot patch resource \
             \"deployments\" in API group \"apps\" in the namespace \"prod\""
        );
    }

    #[test]
    fn a_refused_identity_names_the_context() {
        let error = refused(json!({
            "status": "Failure", "reason": "Unauthorized", "code": 401, "message": "Unauthorized",
        }));
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains("\"prod-eu\""), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    #[cfg(unix)]
    fn the_output_of_a_plugin_is_never_shown() {
        use std::os::unix::process::ExitStatusExt as _;
        let error = AuthError::AuthExecRun {
            cmd: "\"aws\" \"--password\" \"hunter2\"".to_owned(),
            out: Box::new(std::process::Output {
                status: std::process::ExitStatus::from_raw(256),
                stdout: b"{\"token\": \"hunter2\"}".to_vec(),
                stderr: b"usage\nsession expired\n\n".to_vec(),
            }),
        };
        assert_eq!(
            auth_reason(&error),
            "its credential plugin failed (exit status: 1): session expired"
        );
    }
}
