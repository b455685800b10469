//! Parts of the bed that are a test's own to end and to start again.

use super::{Bed, PATIENCE, var};
use std::fs::OpenOptions;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// An API server or a registry beside those that all tests share; ends with the test.
pub(crate) struct Part {
    arguments: Vec<String>,
    port: u16,
    folder: PathBuf,
    process: Option<Child>,
}

impl Bed {
    /// Another API server of the bed's cluster.
    pub(crate) fn api_server(&self) -> Part {
        let mut part = Part::new(self, "apiserver");
        part.start();
        self.until("an API server", || {
            let server = format!("--server=https://{}", part.address());
            let asked = self.try_kubectl(&[&server, "get", "--raw", "/readyz"]);
            asked.status.success()
        });
        part
    }

    /// An open registry that the node pulls from.
    pub(crate) fn registry(&self) -> Part {
        self.registry_with(&[])
    }

    /// A registry over TLS, by an authority that the node does not trust.
    pub(crate) fn distrusted_registry(&self) -> Part {
        self.registry_with(&["tls"])
    }

    /// A registry over `tls`, for those `users` alone who are let in to the bed's target, or both.
    pub(crate) fn registry_with(&self, words: &[&str]) -> Part {
        let mut part = Part::new(self, "registry");
        let words = words.iter().map(|word| (*word).to_owned());
        part.arguments.extend(words);
        part.start();
        part
    }

    /// The bed's kubeconfig, with its server at another address.
    pub(crate) fn kubeconfig_at(&self, server: &str) -> String {
        let kubeconfig = std::env::var("KUBECONFIG").expect("the bed sets it");
        let kubeconfig = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
        let file = self.folder().join("at.kubeconfig");
        let kubeconfig = kubeconfig.replace(&var("ADMIN_SERVER"), server);
        std::fs::write(&file, kubeconfig).expect("a file");
        file.display().to_string()
    }
}

/// A port that nobody else takes before its process listens, or while that is down: the system gives those from
/// 32768 on to whoever asks for any.
pub(crate) fn free_port() -> u16 {
    const MANY: u16 = 300;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // two runs of the tests at once look in different places, or begin to look at different ones
    let id = std::process::id();
    let first = 20_000 + (id % 40) as u16 * MANY;
    let offset = (id / 40 % 256) as u16;
    let ports = || Some(first + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % MANY);
    let mut ports = std::iter::from_fn(ports).take(MANY.into());
    let free = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a port")
}

impl Part {
    fn new(bed: &Bed, what: &str) -> Self {
        let port = free_port();
        let folder = bed.folder().join(format!("{what}-{port}"));
        std::fs::create_dir(&folder).expect("a folder");
        let mut arguments = vec!["--dir".to_owned(), var("DIR"), what.to_owned()];
        arguments.push(port.to_string());
        if what == "registry" {
            arguments.push(folder.display().to_string());
        }
        Self {
            arguments,
            port,
            folder,
            process: None,
        }
    }

    /// Starts it, with what it had when it was ended; waits until it listens.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        let log = |name: &str| {
            let mut log = OpenOptions::new();
            let log = log.create(true).append(true);
            log.open(self.folder.join(name)).expect("a log")
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/part.sh");
        let process = Command::new("bash")
            .arg(script)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log("access.log"))
            .stderr(log("errors.log"))
            .spawn()
            .expect("bash starts");
        let process = self.process.insert(process);
        let errors = self.folder.join("errors.log");
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let is_late = started.elapsed() > PATIENCE;
            let has_ended = process.try_wait().is_ok_and(|ended| ended.is_some());
            let errors = || std::fs::read_to_string(&errors).unwrap_or_default();
            assert!(!is_late && !has_ended, "{}", errors());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Kills it.
    pub(crate) fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// As everybody on this machine reaches it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// As images name it.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The authority that vouches for it.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Has the node trust that authority, or no longer.
    pub(crate) fn trust(&self, trusts: bool) {
        let path = self.node_settings();
        let settings = std::fs::read_to_string(&path).expect("hosts.toml");
        let line = format!("  ca = \"{}\"\n", self.authority().display());
        let mut settings = settings.replace(&line, "");
        if trusts {
            settings += &line;
        }
        std::fs::write(&path, settings).expect("hosts.toml");
    }

    /// What the node is told of it.
    fn node_settings(&self) -> PathBuf {
        let hosts = Path::new(&var("DIR")).join("node/certs.d");
        hosts.join(self.host()).join("hosts.toml")
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.end();
        if let Some(of_node) = self.node_settings().parent() {
            let _ = std::fs::remove_dir_all(of_node);
        }
    }
}
