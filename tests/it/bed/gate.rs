//! A way to a registry that a test opens when it likes.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// A way to a registry that nothing passes until it is opened.
pub(crate) struct Gate {
    address: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    knocked: bool,
    open: bool,
}

impl Gate {
    pub(crate) fn before(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, upstream) = (Arc::clone(&shared), upstream.clone());
                std::thread::spawn(move || pass(client, &upstream, &shared));
            }
        });
        Self { address, state }
    }

    /// Where to knock.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until somebody wants to pass.
    #[track_caller]
    pub(crate) fn knocked(&self) {
        let (state, changed) = &*self.state;
        let state = state.lock().expect("no panic");
        let waited = changed.wait_timeout_while(state, super::PATIENCE, |state| !state.knocked);
        assert!(!waited.expect("no panic").1.timed_out(), "nobody knocked");
    }

    pub(crate) fn open(&self) {
        let (state, changed) = &*self.state;
        state.lock().expect("no panic").open = true;
        changed.notify_all();
    }
}

fn pass(client: TcpStream, upstream: &str, (state, changed): &(Mutex<State>, Condvar)) {
    let mut waiting = state.lock().expect("no panic");
    waiting.knocked = true;
    changed.notify_all();
    drop(
        changed
            .wait_while(waiting, |state| !state.open)
            .expect("no panic"),
    );
    let server = TcpStream::connect(upstream).expect("the registry listens");
    let (mut from, mut to) = (
        client.try_clone().expect("a socket"),
        server.try_clone().expect("a socket"),
    );
    let up = std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let (mut from, mut to) = (server, client);
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
    let _ = up.join();
}
