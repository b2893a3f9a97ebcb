//! A small HTTP/1 server: one question, one answer, closed.
//! Promises that each connection is bounded in size and time, that only a few are open, and that an address in use is said
//! once and tried again. Leaves what is answered to the caller.

use super::Listen;
use crate::telemetry::ids;
use datalake_base::shown::shown;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Connections open at the same time; further ones wait with the kernel.
const MOST_CONNECTIONS: usize = 8;
/// The longest question, headers included, in bytes.
const LONGEST_QUESTION: usize = 8 * 1024;
/// A connection is closed after this, whatever it is at.
const PATIENCE: Duration = Duration::from_secs(5);
/// An address that is taken is tried again after this.
const BIND_AGAIN: Duration = Duration::from_secs(15);
/// A connection that could not be accepted, for want of descriptors, is tried again after this.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);
/// What is left of a question is read for this long after the answer: else the kernel throws the answer away.
const LINGER: Duration = Duration::from_millis(500);

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP: 200, 404, 503.
    pub status: u16,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Some words.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// Answers the question for a path.
pub type Respond = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// Listens and answers until it is dropped.
pub async fn serve(listen: Listen, respond: Respond) {
    let mut said = false;
    loop {
        match Listener::bind(&listen).await {
            Ok(listener) => {
                tracing::info!(address = %listen, "metrics for Prometheus are served");
                return listener.accept_all(respond).await;
            }
            Err(error) if !said => {
                said = true;
                tracing::warn!(
                    message_id = ids::METRICS_NOT_SERVED,
                    address = %listen,
                    reason = %error,
                    "metrics for Prometheus cannot be served; delivery goes on, and the address is tried again every \
                     {BIND_AGAIN:?}: correct `prometheus.listen`, or stop what uses it"
                );
            }
            Err(_) => {}
        }
        tokio::time::sleep(BIND_AGAIN).await;
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

/// The name of a socket; goes when this is dropped.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

impl Listener {
    async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Loopback(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Listen::Socket(path) => {
                remove_what_is_left(path)?;
                let listener = UnixListener::bind(path)?;
                let file = SocketFile(path.clone());
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o660))?;
                Ok(Self::Unix { listener, _file: file })
            }
        }
    }

    async fn accept_all(self, respond: Respond) {
        let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut talks = JoinSet::new();
        loop {
            let Ok(permit) = free.clone().acquire_owned().await else { return };
            while talks.try_join_next().is_some() {}
            let respond = respond.clone();
            match &self {
                Self::Tcp(listener) => match listener.accept().await {
                    Ok((stream, _)) => _ = talks.spawn(in_time(stream, respond, permit)),
                    Err(error) => failed(&error).await,
                },
                Self::Unix { listener, .. } => match listener.accept().await {
                    Ok((stream, _)) => _ = talks.spawn(in_time(stream, respond, permit)),
                    Err(error) => failed(&error).await,
                },
            }
        }
    }
}

async fn failed(error: &io::Error) {
    tracing::debug!(reason = %error, "a connection for metrics was not accepted");
    tokio::time::sleep(ACCEPT_AGAIN).await;
}

/// A socket that nobody listens on was left by a process that was killed. Anything else stays.
fn remove_what_is_left(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::other(format!("{} is there and is no socket", shown(path))));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

async fn in_time<S: AsyncRead + AsyncWrite + Unpin>(stream: S, respond: Respond, permit: OwnedSemaphorePermit) {
    // A connection that takes longer is closed without a word.
    let _late = tokio::time::timeout(PATIENCE, talk(stream, &respond)).await;
    drop(permit);
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, respond: &Respond) -> io::Result<()> {
    let mut question = Vec::with_capacity(1024);
    let whole = loop {
        if stream.read_buf(&mut question).await? == 0 {
            return Ok(());
        }
        if ends(&question) {
            break true;
        }
        if question.len() >= LONGEST_QUESTION {
            break false;
        }
    };
    let (head_only, answer) = match asked(&question) {
        _ if !whole => (false, Answer::text(431, "the question is too long\n")),
        Some(("GET", path)) => (false, respond(path)),
        Some(("HEAD", path)) => (true, respond(path)),
        Some(_) => (false, Answer::text(405, "only GET and HEAD are answered\n")),
        None => (false, Answer::text(400, "this is not HTTP/1\n")),
    };
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        answer.status,
        reason(answer.status),
        answer.content_type,
        answer.body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if !head_only {
        stream.write_all(answer.body.as_bytes()).await?;
    }
    stream.shutdown().await?;
    let rest = async {
        question.clear();
        while stream.read_buf(&mut question).await.is_ok_and(|count| count > 0) {
            question.clear();
        }
    };
    let _gone = tokio::time::timeout(LINGER, rest).await;
    Ok(())
}

/// Whether the headers are complete.
fn ends(question: &[u8]) -> bool {
    memchr::memmem::find(question, b"\r\n\r\n").is_some() || memchr::memmem::find(question, b"\n\n").is_some()
}

/// Method and path, without what follows a question mark.
fn asked(question: &[u8]) -> Option<(&str, &str)> {
    let line = question.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.trim_end().split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let good = version.starts_with("HTTP/1.") && target.starts_with('/') && words.next().is_none();
    good.then(|| (method, target.split('?').next().unwrap_or(target)))
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_method_and_a_path() {
        for (question, expected) in [
            (&b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"[..], Some(("GET", "/metrics"))),
            (b"GET /healthz?x=1 HTTP/1.0\n\n", Some(("GET", "/healthz"))),
            (b"POST / HTTP/1.1\r\n\r\n", Some(("POST", "/"))),
            (b"GET metrics HTTP/1.1\r\n\r\n", None),
            (b"GET / HTTP/2\r\n\r\n", None),
            (b"GET /  HTTP/1.1\r\n\r\n", None),
            (b"GET / x HTTP/1.1\r\n\r\n", None),
            (b"\x16\x03\x01\x02\x00\x01\xff\xfe\r\n\r\n", None),
            (b"\r\n\r\n", None),
            (b"", None),
        ] {
            assert_eq!(asked(question), expected, "{}", String::from_utf8_lossy(question));
        }
    }

    async fn answered(question: &[u8]) -> String {
        let (mut ours, theirs) = tokio::io::duplex(64);
        let respond: Respond = Arc::new(|path| match path {
            "/metrics" => Answer::text(200, "all is well\n".repeat(1000)),
            _ => Answer::text(404, "no\n"),
        });
        let mut server = JoinSet::new();
        server.spawn(async move { talk(theirs, &respond).await.ok() });
        let (mut reading, mut writing) = tokio::io::split(&mut ours);
        let mut answer = Vec::new();
        let (_sent, read) = tokio::join!(writing.write_all(question), reading.read_to_end(&mut answer));
        read.unwrap();
        drop(ours);
        server.join_next().await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn every_question_gets_one_answer_and_the_connection_is_closed() {
        let whole = answered(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(whole.starts_with("HTTP/1.1 200 OK\r\n") && whole.ends_with("all is well\n"), "{whole}");
        assert!(whole.contains("Content-Length: 12000\r\n") && whole.contains("Connection: close\r\n"), "{whole}");
        let head = answered(b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
        assert!(head.contains("Content-Length: 12000\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        for (question, status) in [
            (&b"GET /other HTTP/1.1\r\n\r\n"[..], "404 Not Found"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            (b"nonsense\r\n\r\n", "400 Bad Request"),
            (&[b'x'; 2 * LONGEST_QUESTION], "431 Request Header Fields Too Large"),
        ] {
            let answer = answered(question).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_or_reads_nothing_is_dropped_in_time() {
        for question in [&b""[..], b"GET /metrics HTTP/1.1\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"] {
            let (mut ours, theirs) = tokio::io::duplex(64);
            let respond: Respond = Arc::new(|_| Answer::text(200, "x".repeat(10_000)));
            let free = Arc::new(Semaphore::new(1));
            let permit = free.clone().try_acquire_owned().unwrap();
            let mut talking = JoinSet::new();
            talking.spawn(in_time(theirs, respond, permit));
            ours.write_all(question).await.unwrap();
            let begun = tokio::time::Instant::now();
            let _freed = free.acquire().await.unwrap();
            assert_eq!(begun.elapsed(), PATIENCE);
            talking.join_next().await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_socket_left_by_a_process_that_was_killed_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        let listen = Listen::Socket(path.clone());
        // What a killed process leaves: a name that nobody listens on.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let first = Listener::bind(&listen).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(Listener::bind(&listen).await.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse));
        drop(first);
        assert!(!path.exists(), "it goes with who made it");
        std::fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(&listen).await.is_err_and(|error| error.to_string().contains("is no socket")));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
