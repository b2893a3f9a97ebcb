//! A page about the lake on loopback: tables, hours, last objects, reactions, reports, charts.
//! Promises that it only reads, that nobody outside of this machine is answered (not by another name either), that
//! connections, requests and time are bounded, and that what comes from outside is text and nothing else.
//! Leaves what stands on the page to `page`, and what is known to `snapshot`.

/// The HTML.
mod page;
/// What is known of the lake.
mod snapshot;

use crate::Exit;
use crate::config::{Action, Lake};
use crate::schema::Schema;
use snapshot::Watch;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Connections at a time; further ones are refused.
const CONNECTIONS: usize = 16;
/// A request line with its headers.
const LONGEST_REQUEST: usize = 8 << 10;
/// A request has to arrive, and an answer to be taken, within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// A file that is shown.
const LARGEST_FILE: u64 = 8 << 20;
const STYLE: &str = include_str!("serve/style.css");
const SCRIPT: &str = include_str!("serve/refresh.js");
/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A picture by itself may do nothing at all.
const PICTURE_POLICY: &str = "default-src 'none'; sandbox";

/// The page, ready to be asked for.
#[derive(Debug)]
pub struct Server<'a> {
    lake: &'a Lake,
    listener: TcpListener,
    port: u16,
    watch: Mutex<Watch<'a>>,
    open: AtomicUsize,
}

struct Answer {
    status: &'static str,
    kind: &'static str,
    policy: &'static str,
    body: Vec<u8>,
}

impl Answer {
    fn text(status: &'static str, words: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", policy: POLICY, body: format!("{words}\n").into_bytes() }
    }

    fn found(kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: "200 OK", kind, policy: POLICY, body: body.into() }
    }
}

impl<'a> Server<'a> {
    /// Listens on 127.0.0.1; port 0 takes a free one.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn bind(lake: &'a Lake, schema: &'a Schema, port: u16) -> Result<Self, Exit> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}; choose another one with --port"))?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        Ok(Self { lake, listener, port, watch: Mutex::new(Watch::new(lake, schema)), open: AtomicUsize::new(0) })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers for ever.
    pub fn run(&self) {
        std::thread::scope(|scope| {
            loop {
                match self.listener.accept() {
                    Ok((stream, _)) => {
                        if self.open.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS {
                            self.open.fetch_sub(1, Ordering::AcqRel);
                            refuse(stream);
                            continue;
                        }
                        scope.spawn(move || {
                            self.converse(stream);
                            self.open.fetch_sub(1, Ordering::AcqRel);
                        });
                    }
                    // Out of descriptors, most likely: those in use come back.
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        });
    }

    /// One request, one answer.
    fn converse(&self, mut stream: TcpStream) {
        let answer = match read_request(&mut stream) {
            Ok(Some(request)) => self.answer(&request),
            Ok(None) => return,
            Err(answer) => (answer, false),
        };
        // Nobody is left to be answered.
        drop(write_answer(&mut stream, &answer.0, answer.1));
    }

    /// The answer, and whether its body is left out.
    fn answer(&self, request: &str) -> (Answer, bool) {
        let mut lines = request.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let is_head = method == "HEAD";
        if method != "GET" && !is_head {
            return (Answer::text("405 Method Not Allowed", "this page can only be read"), false);
        }
        // A page of another site whose name leads here would be the same site for a browser.
        let host = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
        });
        let known =
            |name: &str| host.as_deref().is_some_and(|host| host == name || host == format!("{name}:{}", self.port));
        if !known("127.0.0.1") && !known("localhost") {
            return (Answer::text("403 Forbidden", "ask for it as http://127.0.0.1"), is_head);
        }
        let path = target.split('?').next().unwrap_or_default();
        (self.page(path), is_head)
    }

    fn page(&self, path: &str) -> Answer {
        match path {
            "/" => Answer::found("text/html; charset=utf-8", page::whole(&self.lake.name)),
            "/content" => {
                let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
                match watch.look() {
                    Ok(snapshot) => Answer::found("text/html; charset=utf-8", page::content(&snapshot)),
                    Err(exit) => Answer::found("text/html; charset=utf-8", page::failure(&exit.to_string())),
                }
            }
            "/style.css" => Answer::found("text/css; charset=utf-8", STYLE),
            "/refresh.js" => Answer::found("text/javascript; charset=utf-8", SCRIPT),
            other => self.file(other.trim_start_matches('/')),
        }
    }

    /// A chart of lake.json, or a report of one of its rules.
    fn file(&self, key: &str) -> Answer {
        let missing = || Answer::text("404 Not Found", "there is no such page");
        let plain = key.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-.=".contains(&byte));
        let mut kinds = self.lake.reactions.iter().filter_map(|reaction| match &reaction.action {
            Action::Chart(picture) if picture.to == key => Some(("image/svg+xml", PICTURE_POLICY)),
            Action::Run(program) if program.to.as_ref().is_some_and(|to| key.starts_with(to)) => {
                Some(("text/plain; charset=utf-8", POLICY))
            }
            _ => None,
        });
        let (Some((kind, policy)), true) = (kinds.next(), plain) else { return missing() };
        let path = self.lake.root.join(key);
        // Only a file itself: a link in the lake may lead out of it.
        let is_file = |metadata: &std::fs::Metadata| metadata.is_file() && metadata.len() <= LARGEST_FILE;
        let inside = || path.canonicalize().ok()?.starts_with(self.lake.root.canonicalize().ok()?).then_some(());
        if !path.symlink_metadata().is_ok_and(|metadata| is_file(&metadata)) || inside().is_none() {
            return missing();
        }
        match std::fs::read(&path) {
            Ok(body) => Answer { status: "200 OK", kind, policy, body },
            Err(_) => missing(),
        }
    }
}

/// Everything up to the empty line; nothing where the other side only looked whether somebody is here.
fn read_request(stream: &mut TcpStream) -> Result<Option<String>, Answer> {
    let until = Instant::now() + PATIENCE;
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return Err(Answer::text("408 Request Timeout", "the request did not arrive in time"));
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => request.extend_from_slice(&buffer[..count]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(_) => return Ok(None),
        }
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            request.truncate(end);
            let bad = |_| Answer::text("400 Bad Request", "this is no request");
            return String::from_utf8(request).map(Some).map_err(bad);
        }
        if request.len() > LONGEST_REQUEST {
            return Err(Answer::text("431 Request Header Fields Too Large", "the request is too long"));
        }
    }
}

fn write_answer(stream: &mut TcpStream, answer: &Answer, without_body: bool) -> std::io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nContent-Security-Policy: {}\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.kind,
        answer.body.len(),
        answer.policy
    );
    stream.write_all(head.as_bytes())?;
    // What does not fit into the other side's window within the time is cut off with the connection.
    let until = Instant::now() + PATIENCE;
    let body = if without_body { &[][..] } else { &answer.body };
    for piece in body.chunks(64 << 10) {
        if Instant::now() > until {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.write_all(piece)?;
    }
    stream.shutdown(std::net::Shutdown::Write)
}

fn refuse(mut stream: TcpStream) {
    let busy = Answer::text("503 Service Unavailable", "too many connections at a time");
    // It asks again.
    drop(stream.set_nonblocking(true).and_then(|()| write_answer(&mut stream, &busy, false)));
}
