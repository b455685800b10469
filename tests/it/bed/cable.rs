//! A way to a server that a test cuts and mends: what goes into a cut one gets no answer, and no refusal
//! either.

use super::var;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// A way to a server, whole or cut.
pub(crate) struct Cable {
    address: String,
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Cable {
    pub(crate) fn to(upstream: String) -> Self {
        Self::between("127.0.0.1", upstream)
    }

    /// One whose end pods can hold.
    pub(crate) fn for_pods(upstream: String) -> Self {
        Self::between(&var("GATEWAY"), upstream)
    }

    fn between(address: &str, upstream: String) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new((Mutex::new(true), Condvar::new()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, upstream) = (Arc::clone(&shared), upstream.clone());
                std::thread::spawn(move || {
                    wait_until_whole(&shared);
                    let Ok(server) = TcpStream::connect(&upstream) else {
                        return;
                    };
                    let (from, to) = (client.try_clone(), server.try_clone());
                    let (from, to) = (from.expect("a socket"), to.expect("a socket"));
                    let way = Arc::clone(&shared);
                    std::thread::spawn(move || carry(from, to, &way));
                    carry(server, client, &shared);
                });
            }
        });
        Self { address, state }
    }

    /// The end to hold.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From now on nothing passes, nor does anything end.
    pub(crate) fn cut(&self) {
        self.set(false);
    }

    /// What waited passes, and all that follows.
    pub(crate) fn mend(&self) {
        self.set(true);
    }

    fn set(&self, whole: bool) {
        let (state, changed) = &*self.state;
        *state.lock().expect("no panic") = whole;
        changed.notify_all();
    }
}

fn wait_until_whole((state, changed): &(Mutex<bool>, Condvar)) {
    let whole = state.lock().expect("no panic");
    drop(
        changed
            .wait_while(whole, |whole| !*whole)
            .expect("no panic"),
    );
}

fn carry(mut from: TcpStream, mut to: TcpStream, state: &(Mutex<bool>, Condvar)) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        wait_until_whole(state);
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
