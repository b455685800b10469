//! A way to an HTTP server on which one answer is held in its middle.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// A way to an HTTP server. Of answers to requests whose first line has a certain text, so many bytes pass,
/// head and all, and no more until it is opened; none to who asks for the rest.
pub(crate) struct Hold {
    address: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    holds: bool,
    open: bool,
}

impl Hold {
    pub(crate) fn before(upstream: &str, of: &str, after: u64) -> Self {
        Self::at("127.0.0.1", upstream, of, after)
    }

    /// One where pods ask.
    pub(crate) fn for_pods(upstream: &str, of: &str, after: u64) -> Self {
        Self::at(&super::var("GATEWAY"), upstream, of, after)
    }

    fn at(address: &str, upstream: &str, of: &str, after: u64) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let (shared, upstream, of) = (Arc::clone(&state), upstream.to_owned(), of.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, upstream, of) = (Arc::clone(&shared), upstream.clone(), of.clone());
                std::thread::spawn(move || pass(client, &upstream, &of, after, &shared));
            }
        });
        Self { address, state }
    }

    /// Where to ask.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until an answer is held.
    pub(crate) fn holds(&self) {
        let (state, changed) = &*self.state;
        let state = state.lock().expect("no panic");
        let patience = super::PATIENCE;
        let waited = changed.wait_timeout_while(state, patience, |state| !state.holds);
        assert!(!waited.expect("no panic").1.timed_out(), "nobody asked");
    }

    pub(crate) fn open(&self) {
        let (state, changed) = &*self.state;
        state.lock().expect("no panic").open = true;
        changed.notify_all();
    }
}

fn pass(
    client: TcpStream,
    upstream: &str,
    of: &str,
    after: u64,
    (state, changed): &(Mutex<State>, Condvar),
) -> Option<()> {
    let mut to_client = client.try_clone().ok()?;
    let mut from = BufReader::new(client);
    let mut head = String::new();
    while from.read_line(&mut head).ok()? > 0 && !head.ends_with("\r\n\r\n") {}
    let is_held = head.lines().next()?.contains(of);
    // one request a connection, so that none passes unseen
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(head.as_bytes()).ok()?;
    let mut to_server = server.try_clone().ok()?;
    std::thread::spawn(move || io::copy(&mut from, &mut to_server));
    if is_held {
        let is_rest = head.to_lowercase().contains("\r\nrange:");
        let passes = if is_rest { 0 } else { after };
        io::copy(&mut (&server).take(passes), &mut to_client).ok()?;
        let mut state = state.lock().expect("no panic");
        state.holds = true;
        changed.notify_all();
        drop(changed.wait_while(state, |state| !state.open));
    }
    io::copy(&mut server, &mut to_client).ok()?;
    to_client.shutdown(Shutdown::Both).ok()
}

#[tokio::test]
async fn no_request_passes_unseen_behind_another_on_its_connection() {
    let registry = crate::wire::server::Registry::start().await;
    let hold = Hold::before(&registry.host, "/none", 0);
    let mut client = TcpStream::connect(hold.address()).expect("a connection");
    let patience = Some(std::time::Duration::from_secs(10));
    client.set_read_timeout(patience).expect("a time");
    let asking = tokio::task::spawn_blocking(move || {
        let mut told = String::new();
        for _ in 0..2 {
            client.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")?;
        }
        client.read_to_string(&mut told).map(|_| told)
    });
    let told = asking.await.expect("no panic").expect("an end");
    assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{told}");
    assert!(told.contains("Connection: close"), "{told}");
    assert_eq!(registry.lines(), ["GET /v2/"]);
}
