//! Bytes to and from a broker: TCP, TLS with or without a client certificate, WebSocket over either.
//! Promises that a read that was given up has taken nothing, and that secrets and certificates are read anew for each
//! connection. Leaves what the bytes mean to `session`.

/// The frames of a WebSocket.
mod frames;

use super::presign;
use crate::regular;
use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::http::HeaderValue;
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use bytes::{Bytes, BytesMut};
use datalake_mqtt::settings::{Scheme, Settings};
use frames::Frames;
use futures_util::StreamExt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Maximum number of bytes that one read takes.
const READ_BYTES: usize = 64 << 10;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("cannot reach the broker: {0}")]
    Unreachable(io::Error),
    #[error("cannot read {what} ({path}): {reason}")]
    File { what: &'static str, path: PathBuf, reason: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("no TLS connection: {0}")]
    Handshake(io::Error),
    #[error("no WebSocket: {0}")]
    WebSocket(String),
    #[error("the address cannot be signed: {0}")]
    Credentials(String),
}

/// A stream of bytes.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to a broker.
pub(super) struct Transport(Kind);

type Socket = WebSocketStream<TokioAdapter<Frames<Box<dyn Stream>>>>;

enum Kind {
    Bytes(Box<dyn Stream>),
    Messages(Box<Socket>),
}

impl Transport {
    /// Connects, without a word of MQTT yet.
    pub(super) async fn connect(settings: &Settings, signer: &presign::Signer) -> Result<Self, TransportError> {
        let broker = &settings.broker;
        let plain =
            TcpStream::connect((broker.host.as_str(), broker.port)).await.map_err(TransportError::Unreachable)?;
        // Answers are small and must not wait for company.
        plain.set_nodelay(true).map_err(TransportError::Unreachable)?;
        let stream: Box<dyn Stream> = if broker.scheme.is_private() {
            let config = tls(settings)?;
            let name =
                ServerName::try_from(broker.host.clone()).map_err(|error| TransportError::Tls(error.to_string()))?;
            let connector = TlsConnector::from(Arc::new(config));
            Box::new(connector.connect(name, plain).await.map_err(TransportError::Handshake)?)
        } else {
            Box::new(plain)
        };
        if !broker.scheme.is_web_socket() {
            return Ok(Self(Kind::Bytes(stream)));
        }
        let address = address(settings, signer).await?;
        let web_socket = |error: &dyn std::fmt::Display| TransportError::WebSocket(error.to_string());
        let mut request = address.into_client_request().map_err(|error| web_socket(&error))?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
        let mut limits = WebSocketConfig::default();
        (limits.max_message_size, limits.max_frame_size) = (Some(frames::LONGEST), Some(frames::LONGEST));
        let (socket, answer) =
            async_tungstenite::tokio::client_async_with_config(request, Frames::new(stream), Some(limits))
                .await
                .map_err(|error| web_socket(&error))?;
        if answer.headers().get("Sec-WebSocket-Protocol").is_none_or(|protocol| protocol != "mqtt") {
            return Err(web_socket(&"the other side does not speak MQTT over it"));
        }
        Ok(Self(Kind::Messages(Box::new(socket))))
    }

    /// Waits for more bytes and appends them. 0 is the end. May be given up at any time.
    pub(super) async fn read(&mut self, bytes: &mut BytesMut) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Bytes(stream) => {
                bytes.reserve(READ_BYTES);
                stream.read_buf(bytes).await
            }
            Kind::Messages(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Binary(message))) if message.is_empty() => {}
                    Some(Ok(Message::Binary(message))) => {
                        bytes.extend_from_slice(&message);
                        return Ok(message.len());
                    }
                    // Pings are answered by the socket itself.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Close(_))) | None => return Ok(0),
                    Some(Ok(Message::Text(_))) => return Err(io::Error::other("text came over the WebSocket")),
                    Some(Err(error)) => return Err(io::Error::other(error)),
                }
            },
        }
    }

    /// Sends the bytes.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Kind::Bytes(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Kind::Messages(socket) => {
                socket.send(Message::Binary(Bytes::copy_from_slice(bytes))).await.map_err(io::Error::other)
            }
        }
    }

    /// Says that nothing more is sent, and waits until the other side has read everything. Closing at once would throw
    /// away answers that are still on their way, when bytes came that nobody read.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Bytes(stream) => stream.shutdown().await?,
            Kind::Messages(socket) => socket.close(None).await.map_err(io::Error::other)?,
        }
        let mut rest = BytesMut::new();
        while self.read(&mut rest).await? > 0 {
            rest.clear();
        }
        Ok(())
    }
}

async fn address(settings: &Settings, signer: &presign::Signer) -> Result<String, TransportError> {
    let broker = &settings.broker;
    let scheme = if broker.scheme == Scheme::Wss { "wss" } else { "ws" };
    match &settings.sign_for {
        None => Ok(format!("{scheme}://{}:{}{}", broker.written_host(), broker.port, broker.path)),
        Some(region) => {
            let query = presign::query(broker, region, signer).await.map_err(TransportError::Credentials)?;
            // The usual port is left out: the host is part of what is signed.
            let port = if broker.port == 443 { String::new() } else { format!(":{}", broker.port) };
            Ok(format!("{scheme}://{}{port}{}?{query}", broker.written_host(), broker.path))
        }
    }
}

fn tls(settings: &Settings) -> Result<ClientConfig, TransportError> {
    let failed = |error: &dyn std::fmt::Display| TransportError::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    match &settings.ca_file {
        Some(path) => {
            for certificate in certificates("caFile", path)? {
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots);
    let mut config = match (&settings.certificate_file, &settings.private_key_file) {
        (Some(certificate), Some(key)) => {
            let chain = certificates("certificateFile", certificate)?;
            let bytes = secret("privateKeyFile", key)?;
            let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| TransportError::File {
                what: "privateKeyFile",
                path: key.clone(),
                reason: format!("no private key in PEM form: {error}"),
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| failed(&error))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = settings.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let bytes = secret(what, path)?;
    let bad = |reason: String| TransportError::File { what, path: path.to_owned(), reason };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(bad("no certificate in PEM form".to_owned())),
        Err(error) => Err(bad(error.to_string())),
    }
}

/// A file with a secret or certificates is not larger, in bytes.
const LARGEST_SECRET: u64 = 1 << 20;

/// The content of a file that the settings name; of a relative name, in the folder of systemd's credentials.
pub(super) fn secret(what: &'static str, path: &Path) -> Result<Vec<u8>, TransportError> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
    let whole = match (path.is_relative(), folder) {
        (true, Some(folder)) => Path::new(&folder).join(path),
        (true, None) => {
            let reason =
                "a relative name is a systemd credential, and the unit passes none: see LoadCredential=".into();
            return Err(TransportError::File { what, path: path.to_owned(), reason });
        }
        (false, _) => path.to_owned(),
    };
    match regular::read(&whole, LARGEST_SECRET) {
        Ok((bytes, _)) => Ok(bytes),
        Err(error) => Err(TransportError::File { what, path: whole, reason: error.to_string() }),
    }
}
