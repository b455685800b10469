//! What is said of a copy, at the most talkative, and what is not.

use super::logins::guard;
use super::server::Reply;
use super::*;
use std::fmt::Write as _;
use std::sync::Mutex;
use tracing_subscriber::fmt::MakeWriter;

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Wants Basic credentials for everything.
fn want_password(registry: &Registry) {
    registry.hook(|r| {
        (r.header("authorization") != Some("Basic dXNlcjpodW50ZXIy")).then(|| {
            Reply::error(401, "UNAUTHORIZED", "who are you")
                .header("WWW-Authenticate", "Basic realm=\"x\"")
        })
    });
}

/// Makes most things go wrong once, since it is errors that talk.
fn stumble(registry: &Registry) {
    let mut seen = std::collections::BTreeSet::new();
    registry.hook(move |r| {
        let kind = r.path.split('/').nth(4).unwrap_or_default().to_owned();
        let is_new = seen.insert((r.method.clone(), kind));
        (is_new && r.method != "HEAD").then(|| Reply::error(503, "UNAVAILABLE", "later"))
    });
}

#[tokio::test]
async fn no_secret_is_in_a_log_an_error_or_debug_output() {
    let kept = Kept::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(kept.clone())
        .finish();
    // of this thread, on which the whole test runs
    let _logging = tracing::subscriber::set_default(subscriber);
    let identity = Credentials::IdentityToken(SecretString::from("idt-hunter2".to_owned()));
    let cases = [
        (basic("user", "hunter2"), "password"),
        (basic("user", "hunter2"), "token"),
        (identity, "token"),
    ];
    let mut said = String::new();
    for (credentials, kind) in cases {
        let (from, to) = (Registry::start().await, Registry::start().await);
        simple(&from);
        for registry in [&from, &to] {
            match kind {
                "password" => want_password(registry),
                _ => guard(registry, |number, _| number != 2),
            }
            stumble(registry);
        }
        let engine = copier();
        let mut request = request(&from, &to, "a/b:1");
        request.source_credentials = vec![credentials.clone()];
        request.target_credentials = credentials;
        copy(&engine, &request).await.unwrap();
        write!(said, "{:?} {engine:?} {request:?} ", engine.registries).unwrap();

        // and one that is denied
        from.hook(|_| Some(Reply::error(403, "DENIED", "not you")));
        let error = copy(&engine, &request).await.unwrap_err();
        write!(said, "{error} {error:?} ").unwrap();
    }

    said += &String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("trying again"), "nothing was logged");
    for secret in ["hunter2", "dXNlcjpodW50ZXIy", "Bearer t", "t1:repo"] {
        let at = said
            .find(secret)
            .map(|at| &said[at.saturating_sub(200)..at + 20]);
        assert_eq!(at, None, "{secret}");
    }
}
