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

/// Takes note of the first line of a head. No body has a line that ends like one; but what a body ends with
/// stands before the request that follows it.
fn note(line: &[u8], asked: &Mutex<Asked>) {
    let text = String::from_utf8_lossy(line);
    if let Some(request) = text.strip_suffix(" HTTP/1.1\r\n") {
        let mut asked = asked.lock().expect("no panic");
        asked.push((request.to_owned(), Instant::now()));
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
    let mut line = Vec::new();
    while let Ok(chunk) = from.fill_buf()
        && !chunk.is_empty()
    {
        for byte in chunk {
            line.push(*byte);
            if *byte == b'\n' {
                note(&line, asked);
                line.clear();
            }
        }
        let read = chunk.len();
        if to.write_all(chunk).is_err() {
            break;
        }
        from.consume(read);
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = down.join();
}
