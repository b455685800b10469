//! A way to an HTTP server that counts what is asked.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A way to an HTTP server, with everything that was asked on it.
pub(crate) struct Tally {
    address: String,
    asked: Arc<Mutex<Asked>>,
}

/// What was asked, and when.
type Asked = Vec<(String, Instant)>;

impl Tally {
    pub(crate) fn before(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::default();
        let shared = Arc::clone(&asked);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (asked, upstream) = (Arc::clone(&shared), upstream.clone());
                std::thread::spawn(move || pass(client, &upstream, &asked));
            }
        });
        Self { address, asked }
    }

    /// Where to ask.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// `METHOD path`, in the order of their coming.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.times().into_iter();
        asked.map(|(request, _)| request).collect()
    }

    /// The same, with the time of each.
    pub(crate) fn times(&self) -> Asked {
        self.asked.lock().expect("no panic").clone()
    }
}

fn pass(client: TcpStream, upstream: &str, asked: &Mutex<Asked>) {
    let Ok(server) = TcpStream::connect(upstream) else {
        return;
    };
    let (from, mut to) = (
        client.try_clone().expect("a socket"),
        server.try_clone().expect("a socket"),
    );
    let down = std::thread::spawn(move || {
        let (mut from, mut to) = (server, client);
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut from = BufReader::new(from);
    let mut open = Vec::new();
    // all that has come goes on at once: a body need not end its last line
    while let Ok(bytes) = from.fill_buf().map(<[u8]>::to_vec) {
        from.consume(bytes.len());
        open.extend_from_slice(&bytes);
        while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = open.drain(..=end).collect();
            if let Some(request) = request(&line) {
                let now = Instant::now();
                asked.lock().expect("no panic").push((request, now));
            }
        }
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = down.join();
}

/// `METHOD path` of a line that begins a request, right behind the body of the one before; none of others.
fn request(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let (before, path) = text.strip_suffix(" HTTP/1.1\r\n")?.rsplit_once(' ')?;
    let method = before.rsplit(|c: char| !c.is_ascii_uppercase()).next()?;
    Some(format!("{method} {path}"))
}
