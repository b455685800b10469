//! A registry in this process: it answers by the distribution specification, remembers what it was
//! asked, and misbehaves where a test tells it to.

use super::line::Line;
use sha2::{Digest as _, Sha256, Sha512};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Of its body. No chunked bodies: a test must notice when one is sent.
    pub(crate) fn length(&self) -> usize {
        self.header("content-length")
            .map_or(0, |v| v.parse().unwrap())
    }

    pub(crate) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }

    /// A parameter of the query, decoded as far as digests and names need it.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(key, _)| *key == name);
        found
            .next()
            .map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/"))
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Close the connection after so many bytes of the body.
    pub(crate) cut: Option<usize>,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            cut: None,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
        Self::new(status)
            .header("Content-Type", "application/json")
            .body(body)
    }
}

type Hook = Box<dyn FnMut(&Request) -> Option<Reply> + Send>;
type Amendment = Box<dyn FnMut(&Request, Reply) -> Reply + Send>;
type Breaker = Box<dyn FnMut(&Request) -> Option<Break> + Send>;

/// How a request breaks in the middle of its body.
#[derive(Debug, Clone)]
pub(crate) struct Break {
    /// After so many bytes. The upload has them then.
    pub(crate) after: usize,
    /// What is answered before the connection is closed.
    pub(crate) reply: Option<Reply>,
    /// The connection is not closed, only never read from again.
    pub(crate) silent: bool,
}

#[derive(Default)]
struct State {
    blobs: HashMap<Name, Vec<u8>>,
    manifests: HashMap<Name, Stored>,
    uploads: HashMap<String, Vec<u8>>,
    log: Vec<Request>,
    hooks: Vec<Hook>,
    amendments: Vec<Amendment>,
    breakers: Vec<Breaker>,
    line: Option<Arc<Line>>,
    takes_posts: bool,
}

/// The registry; its contents can be read and set from the test.
#[derive(Clone)]
pub(crate) struct Registry {
    pub(crate) host: String,
    state: Arc<Mutex<State>>,
    later: Arc<Mutex<Vec<(Name, Stored)>>>,
}

/// Repository, and tag or digest.
type Name = (String, String);
/// Media type and bytes.
type Stored = (String, Vec<u8>);

impl Registry {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Self {
            host: format!("127.0.0.1:{}", listener.local_addr().unwrap().port()),
            state: Arc::default(),
            later: Arc::default(),
        };
        let serving = registry.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // what waits for an acknowledgement waits by the wall's clock
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        registry
    }

    /// Puts it at the other end of a line.
    pub(crate) fn at_the_end_of(&self, line: &Arc<Line>) {
        self.state.lock().unwrap().line = Some(Arc::clone(line));
    }

    /// Asked before the registry itself; the first that answers wins.
    pub(crate) fn hook(&self, hook: impl FnMut(&Request) -> Option<Reply> + Send + 'static) {
        self.state.lock().unwrap().hooks.push(Box::new(hook));
    }

    /// Given what the registry answers, to be answered otherwise.
    pub(crate) fn amend(&self, amend: impl FnMut(&Request, Reply) -> Reply + Send + 'static) {
        let mut state = self.state.lock().unwrap();
        state.amendments.push(Box::new(amend));
    }

    /// Asked with a request's head whether it breaks. One that does is not in the log.
    pub(crate) fn breaks(&self, breaks: impl FnMut(&Request) -> Option<Break> + Send + 'static) {
        self.state.lock().unwrap().breakers.push(Box::new(breaks));
    }

    /// Takes a blob by one POST from now on, where it opened a session before.
    pub(crate) fn takes_posts(&self) {
        self.state.lock().unwrap().takes_posts = true;
    }

    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        self.put_blob_as(repository, &digest(bytes), bytes)
    }

    pub(crate) fn put_blob_as(&self, repository: &str, digest: &str, bytes: &[u8]) -> String {
        let key = (repository.to_owned(), digest.to_owned());
        self.state.lock().unwrap().blobs.insert(key, bytes.to_vec());
        digest.to_owned()
    }

    pub(crate) fn put_manifest(&self, repository: &str, point: &str, kind: &str, bytes: &[u8]) {
        let value = (kind.to_owned(), bytes.to_vec());
        let mut state = self.state.lock().unwrap();
        for point in [point.to_owned(), digest(bytes)] {
            state
                .manifests
                .insert((repository.to_owned(), point), value.clone());
        }
    }

    /// The same from inside a hook, which holds the registry.
    pub(crate) fn put_later(&self, repository: &str, point: &str, kind: &str, bytes: &[u8]) {
        self.later.lock().unwrap().push((
            (repository.to_owned(), point.to_owned()),
            (kind.to_owned(), bytes.to_vec()),
        ));
    }

    /// The location of an upload that a hook opens.
    pub(crate) fn hooked_upload(repository: &str) -> String {
        format!("/v2/{repository}/blobs/uploads/hooked?_state=a%2Fb")
    }

    pub(crate) fn manifest(&self, repository: &str, point: &str) -> Option<(String, Vec<u8>)> {
        let key = (repository.to_owned(), point.to_owned());
        self.state.lock().unwrap().manifests.get(&key).cloned()
    }

    pub(crate) fn drop_manifest(&self, repository: &str, point: &str) {
        let key = (repository.to_owned(), point.to_owned());
        self.state.lock().unwrap().manifests.remove(&key);
    }

    pub(crate) fn drop_blob(&self, repository: &str, digest: &str) {
        let key = (repository.to_owned(), digest.to_owned());
        self.state.lock().unwrap().blobs.remove(&key);
    }

    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), digest.to_owned());
        self.state.lock().unwrap().blobs.get(&key).cloned()
    }

    /// Everything that was asked since the last call.
    pub(crate) fn log(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    /// The same as `METHOD path`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let log = self.log();
        log.iter()
            .map(|r| format!("{} {}", r.method, r.path))
            .collect()
    }

    pub(crate) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut stream = BufReader::new(stream);
        while let Some(mut request) = read_head(&mut stream).await {
            if let Some(how) = self.breaking(&request) {
                self.break_off(stream, request, how).await;
                return;
            }
            request.body = vec![0; request.length()];
            if stream.read_exact(&mut request.body).await.is_err() {
                return;
            }
            let mut reply = self.answer(&request);
            let is_last = request.header("connection") == Some("close");
            if is_last {
                reply = reply.header("Connection", "close");
            }
            let head = request.method == "HEAD";
            let line = self.state.lock().unwrap().line.clone();
            let written = match line {
                Some(line) => line.write(stream.get_mut(), &request, &reply).await,
                None => write(stream.get_mut(), &reply, head).await,
            };
            if !written || is_last {
                return;
            }
        }
    }

    fn breaking(&self, head: &Request) -> Option<Break> {
        let mut state = self.state.lock().unwrap();
        state.breakers.iter_mut().find_map(|breaks| breaks(head))
    }

    async fn break_off(
        self,
        mut stream: BufReader<impl AsyncRead + AsyncWrite + Unpin>,
        mut request: Request,
        how: Break,
    ) {
        request.body = vec![0; how.after];
        if stream.read_exact(&mut request.body).await.is_err() {
            return;
        }
        let id = request.path.rsplit('/').next().unwrap();
        if let Some(upload) = self.state.lock().unwrap().uploads.get_mut(id) {
            upload.extend_from_slice(&request.body);
        }
        if let Some(reply) = &how.reply {
            write(stream.get_mut(), reply, false).await;
        }
        if how.silent {
            super::patience::run_the_clock();
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn answer(&self, request: &Request) -> Reply {
        let mut state = self.state.lock().unwrap();
        state.log.push(request.clone());
        let mut hooks = std::mem::take(&mut state.hooks);
        let hooked = hooks.iter_mut().find_map(|hook| hook(request));
        state.hooks = hooks;
        state.manifests.extend(self.later.lock().unwrap().drain(..));
        let mut reply = hooked.unwrap_or_else(|| state.answer(request));
        for amend in &mut state.amendments {
            reply = amend(request, reply);
        }
        reply
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        let Some(path) = request.path.strip_prefix("/v2/") else {
            return Reply::error(404, "NOT_FOUND", "no such page");
        };
        if path.is_empty() {
            return Reply::new(200).body("{}");
        }
        if let Some((repository, point)) = path.split_once("/manifests/") {
            return self.manifests(request, repository, point);
        }
        if let Some((repository, id)) = path.split_once("/blobs/uploads/") {
            return self.uploads(request, repository, id);
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            return self.blobs(request, repository, digest);
        }
        if let Some(repository) = path.strip_suffix("/tags/list") {
            let known = self.manifests.keys().any(|(name, _)| name == repository);
            return if known {
                Reply::new(200).body(r#"{"tags":["x"]}"#)
            } else {
                Reply::error(404, "NAME_UNKNOWN", "repository name not known")
            };
        }
        Reply::error(404, "NOT_FOUND", "no such page")
    }

    fn manifests(&mut self, request: &Request, repository: &str, point: &str) -> Reply {
        let key = (repository.to_owned(), point.to_owned());
        if request.method == "PUT" {
            let kind = request
                .header("content-type")
                .unwrap_or_default()
                .to_owned();
            let digest = digest(&request.body);
            let value = (kind, request.body.clone());
            self.manifests.insert(key, value.clone());
            self.manifests
                .insert((repository.to_owned(), digest.clone()), value);
            // no Location: ECR leaves it out
            return Reply::new(201).header("Docker-Content-Digest", digest);
        }
        match self.manifests.get(&key) {
            Some((kind, bytes)) => Reply::new(200)
                .header("Content-Type", kind)
                .header("Docker-Content-Digest", digest(bytes))
                .body(bytes.clone()),
            None => Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        }
    }

    fn blobs(&mut self, request: &Request, repository: &str, digest: &str) -> Reply {
        let key = (repository.to_owned(), digest.to_owned());
        let Some(bytes) = self.blobs.get(&key) else {
            return Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        let range = request
            .header("range")
            .and_then(|r| r.strip_prefix("bytes="));
        let Some((from, to)) = range.and_then(|r| r.split_once('-')) else {
            return Reply::new(200).body(bytes.clone());
        };
        let from: usize = from.parse().unwrap();
        let to = to.parse().map_or(bytes.len(), |last: usize| last + 1);
        if from >= bytes.len() {
            return Reply::new(416);
        }
        Reply::new(206)
            .header(
                "Content-Range",
                format!("bytes {from}-{}/{}", to - 1, bytes.len()),
            )
            .body(&bytes[from..to])
    }

    fn uploads(&mut self, request: &Request, repository: &str, id: &str) -> Reply {
        if request.method == "POST" {
            let mount = request.parameter("mount").zip(request.parameter("from"));
            if let Some((digest, from)) = mount
                && let Some(bytes) = self.blobs.get(&(from, digest.clone())).cloned()
            {
                self.blobs.insert((repository.to_owned(), digest), bytes);
                return Reply::new(201);
            }
            let wanted = request.parameter("digest").filter(|_| self.takes_posts);
            if let Some(wanted) = wanted {
                return self.store(repository, wanted, request.body.clone());
            }
            let id = format!("u{}", self.uploads.len());
            self.uploads.insert(id.clone(), Vec::new());
            return Reply::new(202).header(
                "Location",
                format!("/v2/{repository}/blobs/uploads/{id}?_state=a%2Fb"),
            );
        }
        if id == "hooked" {
            self.uploads.entry(id.to_owned()).or_default();
        }
        let Some(upload) = self.uploads.get_mut(id) else {
            return Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        };
        if request.parameter("_state").as_deref() != Some("a/b") {
            return Reply::error(400, "BLOB_UPLOAD_INVALID", "the query was lost");
        }
        let location = format!("/v2/{repository}/blobs/uploads/{id}?_state=a%2Fb");
        if request.method == "GET" {
            let range = format!("0-{}", upload.len().saturating_sub(1));
            return Reply::new(204)
                .header("Location", location)
                .header("Range", range);
        }
        let range = request
            .header("content-range")
            .and_then(|r| r.split_once('-'));
        if range.is_some_and(|(start, _)| start != upload.len().to_string()) {
            return Reply::error(416, "BLOB_UPLOAD_INVALID", "not where this upload is");
        }
        upload.extend_from_slice(&request.body);
        if request.method == "PATCH" {
            return Reply::new(202).header("Location", location);
        }
        let Some(wanted) = request.parameter("digest") else {
            return Reply::error(400, "DIGEST_INVALID", "no digest");
        };
        let bytes = upload.clone();
        self.store(repository, wanted, bytes)
    }

    fn store(&mut self, repository: &str, digest: String, bytes: Vec<u8>) -> Reply {
        if digest_like(&digest, &bytes) != digest {
            return Reply::error(400, "DIGEST_INVALID", "provided digest did not match");
        }
        self.blobs.insert((repository.to_owned(), digest), bytes);
        Reply::new(201)
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    hex("sha256:", &Sha256::digest(bytes))
}

/// The digest by the algorithm of another one.
pub(crate) fn digest_like(other: &str, bytes: &[u8]) -> String {
    if other.starts_with("sha512:") {
        hex("sha512:", &Sha512::digest(bytes))
    } else {
        digest(bytes)
    }
}

fn hex(algorithm: &str, hash: &[u8]) -> String {
    let mut text = algorithm.to_owned();
    for byte in hash {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// Reads one request up to its body, which stays to be read; none at the end, and for what is no HTTP (a TLS
/// greeting).
pub(crate) async fn read_head(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<Request> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await.ok()?;
    let line = String::from_utf8(line).ok()?;
    let mut words = line.split_whitespace();
    let method = words
        .next()
        .filter(|m| m.bytes().all(|b| b.is_ascii_uppercase()))?;
    let target = words.next()?;
    // through a proxy the whole URL comes
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map(|at| &rest[at..])?,
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: read_headers(stream).await?,
        body: Vec::new(),
    })
}

/// The headers of a request or an answer, their names in lower case.
pub(crate) async fn read_headers(
    stream: &mut BufReader<impl AsyncRead + Unpin>,
) -> Option<HashMap<String, String>> {
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Some(headers);
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

/// Writes one answer; false when the connection is to end.
pub(crate) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    reply: &Reply,
    head: bool,
) -> bool {
    let text = head_of(reply);
    let body = match reply.cut {
        _ if head => &[][..],
        Some(cut) => &reply.body[..cut],
        None => &reply.body,
    };
    let sent =
        stream.write_all(text.as_bytes()).await.is_ok() && stream.write_all(body).await.is_ok();
    sent && (head || reply.cut.is_none())
}

pub(crate) fn head_of(reply: &Reply) -> String {
    let mut text = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    write!(text, "Content-Length: {}\r\n\r\n", reply.body.len()).unwrap();
    text
}
