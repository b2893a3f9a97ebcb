//! A proxy on loopback: CONNECT to any name leads to one address, and everything asked is remembered.
//! Promises to refuse as it is told to, at once and also what is open already.
//! Leaves what goes through it unread.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Most bytes of a request to the proxy itself.
const LONGEST_HEAD: usize = 16 * 1024;

/// What it does with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Connect,
    /// With this status line.
    Refuse(&'static str),
}

#[derive(Debug)]
struct State {
    act: Act,
    /// First lines and credentials of the requests.
    asked: Vec<(String, Option<String>)>,
    /// Connections that go through.
    open: Vec<TcpStream>,
}

/// The proxy; it ends with the process.
#[derive(Clone)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// One whose every way leads to this address.
    pub(crate) fn to(target: SocketAddr, act: Act) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), target, act)
    }

    /// The same on a port that was chosen before.
    pub(crate) fn on(listener: TcpListener, target: SocketAddr, act: Act) -> Self {
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, state: Arc::new(Mutex::new(State { act, asked: Vec::new(), open: Vec::new() })) };
        let own = proxy.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let own = own.clone();
                thread::spawn(move || own.serve(connection, target));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Does this from now on, and closes what is open.
    pub(crate) fn change(&self, act: Act) {
        let mut state = self.state.lock().unwrap();
        state.act = act;
        for stream in state.open.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// First lines of all requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.iter().map(|(line, _)| line.clone()).collect()
    }

    /// The credentials that came with requests.
    pub(crate) fn credentials(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().asked.iter().map(|(_, credentials)| credentials.clone()).collect()
    }

    fn serve(&self, mut client: TcpStream, target: SocketAddr) -> Option<()> {
        let head = head(&mut client)?;
        let line = head.lines().next()?.to_owned();
        let credentials = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("proxy-authorization").then(|| value.to_owned())
        });
        let connects = line.starts_with("CONNECT ");
        let server = {
            let mut state = self.state.lock().unwrap();
            state.asked.push((line, credentials));
            match state.act {
                Act::Connect if connects => {
                    let server = TcpStream::connect(target).ok()?;
                    state.open.extend([client.try_clone().ok()?, server.try_clone().ok()?]);
                    server
                }
                Act::Connect => return refuse(&mut client, "501 Not Implemented"),
                Act::Refuse(status) => return refuse(&mut client, status),
            }
        };
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
        let (from, to) = (client.try_clone().ok()?, server.try_clone().ok()?);
        let up = thread::spawn(move || pass(from, to));
        pass(server, client);
        up.join().ok()
    }
}

fn refuse(client: &mut TcpStream, status: &str) -> Option<()> {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.write_all(answer.as_bytes()).ok()?;
    // A close with unread bytes would be a reset, which could overtake the answer.
    client.shutdown(Shutdown::Write).ok()?;
    std::io::copy(client, &mut std::io::sink()).ok().map(drop)
}

/// The request up to its empty line, byte by byte: what follows belongs to the other end.
fn head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok().filter(|()| head.len() < LONGEST_HEAD)?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::io::copy(&mut from, &mut to).ok();
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
