//! The cluster's API without its locks, for tests that stand between it and the plugin.

use serde_json::Value;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// `kubectl proxy`, ended with the test.
pub(crate) struct ApiProxy {
    child: Child,
    address: String,
}

impl ApiProxy {
    pub(crate) fn start() -> Self {
        let mut child = Command::new("kubectl")
            .args(["proxy", "--port=0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl is installed by the bed");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("kubectl says where it serves");
        let address = line.trim().rsplit(' ').next().expect("an address");
        Self {
            address: address.to_owned(),
            child,
        }
    }

    /// Where it serves without asking who is there.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// The same API for one test alone, which has this object at this path.
    pub(crate) fn with(&self, path: &str, object: &Value) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (path, object, upstream) = (path.to_owned(), object.to_string(), self.address());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (path, object, upstream) = (path.clone(), object.clone(), upstream.clone());
                std::thread::spawn(move || answer(client, &path, &object, &upstream));
            }
        });
        address
    }
}

/// Answers one request, itself or by the API.
fn answer(client: TcpStream, path: &str, object: &str, upstream: &str) -> Option<()> {
    let mut to_client = client.try_clone().ok()?;
    let mut from = BufReader::new(client);
    let mut head = String::new();
    while from.read_line(&mut head).ok()? > 0 && !head.ends_with("\r\n\r\n") {}
    if head.starts_with(&format!("GET {path} ")) {
        let length = object.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{object}"
        );
        return to_client.write_all(answer.as_bytes()).ok();
    }
    // one request a connection, so that none passes unseen
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(head.as_bytes()).ok()?;
    let mut to_server = server.try_clone().ok()?;
    std::thread::spawn(move || io::copy(&mut from, &mut to_server));
    io::copy(&mut server, &mut to_client).ok()?;
    to_client.shutdown(Shutdown::Both).ok()
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
