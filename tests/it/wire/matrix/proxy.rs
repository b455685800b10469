//! A proxy before a real registry: it breaks what passes, and looks into the registry before it lets a
//! manifest through.

use super::images::Repositories;
use super::lapse;
use crate::wire::server::{self, Reply, Request};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What is done to one exchange. What concerns a body means the request's if it has one, else the answer's.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// The proxy answers in the registry's place.
    Answer(Reply),
    /// The connection is reset before the registry hears of it.
    Reset,
    /// The registry has done it, and the connection is reset before it can say so.
    Lost,
    /// The connection ends in the middle of the body.
    Cut,
    /// One bit of the body changes.
    Flip,
    /// Nothing passes any more from the middle of the body on, and the connection stays.
    Stall,
    /// The same until somebody lets it go on.
    Hold,
}

/// Decides what is done to a request.
pub(super) type Rule = Box<dyn FnMut(&Request) -> Option<Fault> + Send>;

/// Something that passed.
#[derive(Debug, Clone)]
pub(super) struct Passed {
    pub(super) request: Request,
    /// What the registry answered; none where nobody was told.
    pub(super) status: Option<u16>,
}

/// The proxy; what it saw can be asked for.
pub(super) struct Proxy {
    pub(super) host: String,
    shared: Arc<Shared>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// The registry behind it.
    registry: Repositories,
    rules: Mutex<Vec<Rule>>,
    faults: Mutex<usize>,
    passed: Mutex<Vec<Passed>>,
    wrong: Mutex<Vec<String>>,
    held: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

/// The other end is gone, or is to be.
struct Broken;

impl Proxy {
    pub(super) async fn before(registry: Repositories) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            registry,
            rules: Mutex::default(),
            faults: Mutex::default(),
            passed: Mutex::default(),
            wrong: Mutex::default(),
            held: watch::Sender::new(0),
            released: watch::Sender::new(false),
        });
        let serving = Mutex::new(Some(serve(listener, &shared)));
        Self {
            host,
            shared,
            serving,
        }
    }

    /// Obeys this rule too; the first that wants something gets it.
    pub(super) fn obey(&self, rule: impl FnMut(&Request) -> Option<Fault> + Send + 'static) {
        self.shared.rules.lock().unwrap().push(Box::new(rule));
    }

    /// Lets everything pass again.
    pub(super) fn behave(&self) {
        self.shared.rules.lock().unwrap().clear();
        self.shared.released.send_replace(true);
    }

    /// How often something was broken.
    pub(super) fn faults(&self) -> usize {
        *self.shared.faults.lock().unwrap()
    }

    /// Everything that passed so far.
    pub(super) fn passed(&self) -> Vec<Passed> {
        self.shared.passed.lock().unwrap().clone()
    }

    /// Manifests that were pushed before all that they refer to was there, and right.
    pub(super) fn wrong(&self) -> Vec<String> {
        self.shared.wrong.lock().unwrap().clone()
    }

    /// Waits until something is held.
    pub(super) async fn holds(&self) {
        let mut held = self.shared.held.subscribe();
        let waiting = held.wait_for(|held| *held > 0);
        let held = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        held.expect("nothing came that was to be held").unwrap();
    }

    /// Nobody listens here any more, and all connections are closed.
    pub(super) fn go_away(&self) {
        if let Some(serving) = self.serving.lock().unwrap().take() {
            serving.abort();
        }
    }

    /// Listens again.
    pub(super) async fn come_back(&self) {
        let listener = TcpListener::bind(&self.host).await.unwrap();
        *self.serving.lock().unwrap() = Some(serve(listener, &self.shared));
    }
}

fn serve(listener: TcpListener, shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        // they end with this task
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                let mut client = BufReader::new(stream);
                while let Some(request) = server::read_head(&mut client).await {
                    if shared.exchange(&mut client, request).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}

impl Shared {
    async fn exchange(
        &self,
        client: &mut BufReader<TcpStream>,
        mut request: Request,
    ) -> Result<(), Broken> {
        let rule = |rule: &mut Rule| rule(&request);
        let fault = self.rules.lock().unwrap().iter_mut().find_map(rule);
        *self.faults.lock().unwrap() += usize::from(fault.is_some());
        match &fault {
            Some(Fault::Answer(reply)) => return answer(client, &request, reply).await,
            Some(Fault::Reset) => return reset(client),
            _ => {}
        }
        if request.is("PUT", "/manifests/") {
            request.body = vec![0; request.length()];
            let read = client.read_exact(&mut request.body).await;
            read.map_err(|_| Broken)?;
            let wrong = self.registry.lacks(&request).await;
            self.wrong.lock().unwrap().extend(wrong);
        }
        let mut passed = Passed {
            request,
            status: None,
        };
        // at once: what the end of this proxy ends passed too
        let at = {
            let mut all = self.passed.lock().unwrap();
            all.push(passed.clone());
            all.len() - 1
        };
        let ended = self.forward(client, &mut passed, fault.as_ref()).await;
        self.passed.lock().unwrap()[at] = passed;
        ended
    }

    async fn forward(
        &self,
        client: &mut BufReader<TcpStream>,
        passed: &mut Passed,
        fault: Option<&Fault>,
    ) -> Result<(), Broken> {
        let Ok(registry) = TcpStream::connect(&self.registry.host).await else {
            return reset(client);
        };
        let mut registry = BufReader::new(registry);
        let request = &passed.request;
        let mut head = format!("{} {}", request.method, request.path);
        if !request.query.is_empty() {
            let _ = write!(head, "?{}", request.query);
        }
        head += " HTTP/1.1\r\nConnection: close\r\n";
        for (name, value) in &request.headers {
            if name != "connection" {
                let _ = write!(head, "{name}: {value}\r\n");
            }
        }
        registry
            .write_all(head.as_bytes())
            .await
            .map_err(|_| Broken)?;
        registry.write_all(b"\r\n").await.map_err(|_| Broken)?;
        let length = request.length() as u64;
        let (mut sent, mut whole) = (false, true);
        if request.body.is_empty() && length > 0 {
            sent = !matches!(fault, None | Some(Fault::Lost));
            let carried = carry(self, client, &mut registry, length, fault).await;
            // an answer that does not wait for the whole body is an answer all the same
            whole = carried?;
        } else {
            let body = &passed.request.body;
            registry.write_all(body).await.map_err(|_| Broken)?;
        }
        let fault = fault.filter(|_| !sent);
        self.answer(client, &mut registry, passed, fault).await?;
        if whole { Ok(()) } else { Err(Broken) }
    }

    async fn answer(
        &self,
        client: &mut BufReader<TcpStream>,
        registry: &mut BufReader<TcpStream>,
        passed: &mut Passed,
        fault: Option<&Fault>,
    ) -> Result<(), Broken> {
        let mut line = Vec::new();
        let read = tokio::io::AsyncBufReadExt::read_until(registry, b'\n', &mut line).await;
        let line = String::from_utf8(line).map_err(|_| Broken)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        if read.is_err() || status.is_none() {
            return reset(client);
        }
        let headers = server::read_headers(registry).await.ok_or(Broken)?;
        if let Some(Fault::Lost) = fault {
            return reset(client);
        }
        passed.status = status;
        let bodiless = passed.request.method == "HEAD" || matches!(status, Some(204 | 304));
        let length = headers.get("content-length").and_then(|v| v.parse().ok());
        let length: Option<u64> = if bodiless { Some(0) } else { length };
        let mut head = line;
        for (name, value) in headers.iter().filter(|(name, _)| *name != "connection") {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        // without a length the end of the connection is the end of the body
        head += if length.is_some() {
            "\r\n"
        } else {
            "connection: close\r\n\r\n"
        };
        let written = client.write_all(head.as_bytes()).await;
        written.map_err(|_| Broken)?;
        match length {
            Some(length) => {
                let carried = carry(self, registry, client, length, fault);
                if carried.await? { Ok(()) } else { Err(Broken) }
            }
            None => {
                let copied = tokio::io::copy(registry, client).await;
                copied.map_err(|_| Broken)?;
                Err(Broken)
            }
        }
    }
}

/// Hands a body on, and does to it in the middle what was told; whether all of it went.
async fn carry(
    shared: &Shared,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    length: u64,
    fault: Option<&Fault>,
) -> Result<bool, Broken> {
    let half = length / 2;
    for (part, fault) in [(half, fault), (length - half, None)] {
        let copied = tokio::io::copy(&mut from.take(part), to).await;
        let Ok(copied) = copied else { return Ok(false) };
        if copied < part {
            return Err(Broken);
        }
        match fault {
            Some(Fault::Cut) => return Err(Broken),
            Some(Fault::Stall) => {
                // longer than anybody waits, and not for ever
                lapse::let_pass(Duration::from_secs(300)).await;
                return Err(Broken);
            }
            Some(Fault::Hold) => {
                shared.held.send_modify(|held| *held += 1);
                let mut released = shared.released.subscribe();
                let _ = released.wait_for(|released| *released).await;
            }
            Some(Fault::Flip) => {
                let byte = from.read_u8().await.map_err(|_| Broken)?;
                to.write_u8(byte ^ 1).await.map_err(|_| Broken)?;
                let rest = tokio::io::copy(&mut from.take(length - half - 1), to).await;
                rest.map_err(|_| Broken)?;
                return Ok(true);
            }
            _ => {}
        }
    }
    Ok(true)
}

/// Answers without the registry. Who sends a body hears the answer, and that no more is taken.
async fn answer(
    client: &mut BufReader<TcpStream>,
    request: &Request,
    reply: &Reply,
) -> Result<(), Broken> {
    let head = request.method == "HEAD";
    let written = server::write(client.get_mut(), reply, head).await;
    if !written || request.length() > 0 {
        let _ = client.shutdown().await;
        let _ = tokio::io::copy(client, &mut tokio::io::sink()).await;
        return Err(Broken);
    }
    Ok(())
}

fn reset(client: &BufReader<TcpStream>) -> Result<(), Broken> {
    let _ = client.get_ref().set_zero_linger();
    Err(Broken)
}
