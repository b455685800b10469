//! A real registry, Distribution, as a process of a test's own: `docker-registry` of Debian.

use crate::bed::free_port;
use std::io::ErrorKind;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;

/// How long it may take to start; far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A registry that ends, with its storage, when this is dropped.
pub(super) struct Distribution {
    pub(super) host: String,
    folder: tempfile::TempDir,
    process: Child,
}

impl Distribution {
    /// Starts an empty one; none, with the reason printed, where there is none to start.
    pub(super) async fn start() -> Option<Self> {
        let version = Command::new("docker-registry")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if matches!(version, Err(error) if error.kind() == ErrorKind::NotFound) {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "skipped in CI: there is no docker-registry"
            );
            eprintln!("skipped: there is no docker-registry; tests/run.sh installs it");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let host = format!("127.0.0.1:{}", free_port());
        // no secret of its own: what it has signed, a restarted one does not take
        let configuration = format!(
            "version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: '{}'}}
  cache: {{blobdescriptor: inmemory}}
http:
  addr: {host}
",
            folder.path().join("data").display()
        );
        std::fs::write(folder.path().join("config.yml"), configuration).unwrap();
        let process = spawn(&folder);
        let mut registry = Self {
            host,
            folder,
            process,
        };
        registry.answers().await;
        Some(registry)
    }

    /// Ends it at once, and starts it again on the same port and storage.
    pub(super) async fn restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = spawn(&self.folder);
        self.answers().await;
    }

    async fn answers(&mut self) {
        let started = std::time::Instant::now();
        while TcpStream::connect(&self.host).await.is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < PATIENCE,
                "the registry does not start: {ended:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The registry must not outlive a test that is killed: it ends with the thread that started it.
fn spawn(folder: &tempfile::TempDir) -> Child {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "docker-registry", "serve"])
        .arg(folder.path().join("config.yml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("setpriv is part of util-linux")
}
