//! One keep-alive connection with blocking sockets, plain or TLS.
//! Promises that a call's answer was read to its last byte and accepted every record.
//! Leaves reconnecting and retrying out: nothing fails at the limit.

use super::signing::{CONTENT_TYPE, Operation};
use crate::Outcome;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// The connection and the memory for its answers.
pub(crate) struct Connection {
    operation: Operation,
    socket: Socket,
    /// Value of the `host` header.
    pub(crate) host: String,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects to `http://host:port` or `https://host:port`; the latter must show a certificate signed by `authority`.
    pub(crate) fn open(operation: Operation, endpoint: &str, authority: Option<&Path>) -> Outcome<Self> {
        let (scheme, host) = endpoint.split_once("://").ok_or("the endpoint has no scheme")?;
        let tcp = TcpStream::connect(host)?;
        tcp.set_nodelay(true)?;
        let socket = match (scheme, authority) {
            ("https", Some(authority)) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(authority)? {
                    roots.add(certificate?)?;
                }
                let settings = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
                let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned();
                let session = ClientConnection::new(Arc::new(settings), ServerName::try_from(name)?)?;
                Socket::Tls(Box::new(StreamOwned::new(session, tcp)))
            }
            ("http", _) => Socket::Plain(tcp),
            _ => return Err("an endpoint with TLS needs a certificate file".into()),
        };
        Ok(Self { operation, socket, host: host.to_owned(), answer: vec![0; 256 * 1024] })
    }

    /// The head of a request.
    pub(crate) fn head(&self, date: &str, authorization: &str, body_bytes: usize) -> String {
        format!(
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {body_bytes}\r\n\
             x-amz-date: {date}\r\nx-amz-target: {}\r\nauthorization: {authorization}\r\n\r\n",
            self.host, self.operation.target
        )
    }

    /// Sends a whole request and reads the whole answer.
    pub(crate) fn call(&mut self, request: &[u8]) -> Outcome<()> {
        match &mut self.socket {
            Socket::Plain(socket) => socket.write_all(request)?,
            Socket::Tls(socket) => socket.write_all(request)?,
        }
        let mut filled = 0;
        let body_start = loop {
            filled += self.receive(filled)?;
            if let Some(at) = memchr::memmem::find(&self.answer[..filled], b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = std::str::from_utf8(&self.answer[..body_start])?.to_ascii_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .ok_or("the answer has no content-length")?
            .trim()
            .parse()?;
        if self.answer.len() < body_start + length {
            self.answer.resize(body_start + length, 0);
        }
        while filled < body_start + length {
            filled += self.receive(filled)?;
        }
        let body = &self.answer[body_start..body_start + length];
        let failed = self.operation.failed.as_bytes();
        let accepted = head.starts_with("http/1.1 200")
            && memchr::memmem::find(body, failed)
                .is_some_and(|at| body[at + failed.len()..].trim_ascii_start().starts_with(b"0"));
        if !accepted {
            let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            return Err(format!("not accepted: {} {shown}", head.lines().next().unwrap_or_default()).into());
        }
        Ok(())
    }

    fn receive(&mut self, filled: usize) -> Outcome<usize> {
        if filled == self.answer.len() {
            self.answer.resize(filled * 2, 0);
        }
        let room = &mut self.answer[filled..];
        let count = match &mut self.socket {
            Socket::Plain(socket) => socket.read(room)?,
            Socket::Tls(socket) => socket.read(room)?,
        };
        if count == 0 {
            return Err("the endpoint closed the connection in the middle of an answer".into());
        }
        Ok(count)
    }
}
