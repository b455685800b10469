//! A registry of these tests behind TLS: HTTP/2 for whoever offers it, else HTTP/1.1.

use super::registries;
use super::server::{Registry, Reply, Request};
use image_cloner::config::HostConfig;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What tells a request over HTTP/2 from others in the registry's log.
pub(crate) const HTTP2: &str = ":http2";

/// A registry's door with TLS; the registry itself stays what it is.
pub(crate) struct Secure {
    /// The name in its certificate, with the port.
    pub(crate) host: String,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    folder: tempfile::TempDir,
}

impl Secure {
    pub(crate) async fn start(registry: &Registry, name: &str) -> Self {
        // installs the crypto provider
        let _ = registries(&BTreeMap::new());
        let key = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![key.cert.der().clone()],
                rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into()),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = registry.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(serving.clone(), acceptor.clone(), stream));
            }
        });
        let secure = Self {
            host: format!("{name}:{port}"),
            address: format!("127.0.0.1:{port}"),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(secure.authority(), key.cert.pem()).unwrap();
        secure
    }

    /// The file with its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// A configuration that trusts it.
    pub(crate) fn trusted(&self) -> BTreeMap<String, HostConfig> {
        let config = HostConfig {
            ca_file: Some(self.authority()),
            ..HostConfig::default()
        };
        BTreeMap::from([(self.host.clone(), config)])
    }
}

async fn serve(registry: Registry, acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return registry.serve(stream).await;
    }
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(registry.clone(), request, respond));
    }
}

async fn answer(
    registry: Registry,
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<bytes::Bytes>,
) {
    let (parts, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = stream.data().await {
        stream.flow_control().release_capacity(chunk.len()).unwrap();
        body.extend_from_slice(&chunk);
    }
    let headers = parts.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let asked = Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers.chain([(HTTP2.to_owned(), String::new())]).collect(),
        body,
    };
    let Reply {
        status,
        headers,
        body,
        ..
    } = registry.answer(&asked);
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response = response.header("Content-Length", body.len());
    let is_end = asked.method == "HEAD" || body.is_empty();
    // the client may have gone
    if let Ok(mut stream) = respond.send_response(response.body(()).unwrap(), is_end)
        && !is_end
    {
        let _ = stream.send_data(body.into(), true);
    }
}
