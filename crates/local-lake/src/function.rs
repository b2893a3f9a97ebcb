//! A Lambda function on this machine: a program of ours, and the Runtime API that it asks for events.
//! Promises that each event is answered once or given up in words, within its time, and that the program ends with us.
//! Leaves what events hold to the caller.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Lambda takes no larger event and no larger answer.
const LARGEST: usize = 6 << 20;
const PATH: &str = "/2018-06-01/runtime/";

/// An event on its way.
#[derive(Debug)]
struct Event {
    id: String,
    deadline_ms: u128,
    body: Vec<u8>,
}

/// What a function answers, or how it refuses.
type Answer = Result<Vec<u8>, String>;

#[derive(Debug, Default)]
struct State {
    /// Whose answer is waited for, and the answer.
    current: Option<(String, Option<Answer>)>,
    /// It cannot start.
    refused: Option<String>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    answered: Condvar,
    events: Mutex<Receiver<Event>>,
    ended: AtomicBool,
}

/// A running function. Events are given one at a time.
#[derive(Debug)]
pub struct Function {
    child: Mutex<Child>,
    shared: Arc<Shared>,
    events: SyncSender<Event>,
    one_at_a_time: Mutex<()>,
    number: AtomicU64,
    timeout: Duration,
}

fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Function {
    /// Starts the program with the address of the Runtime API in its environment; an event may take `timeout`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, timeout: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        command.env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string()).stdin(Stdio::null());
        let (events, waiting) = sync_channel(1);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            answered: Condvar::new(),
            events: Mutex::new(waiting),
            ended: AtomicBool::new(false),
        });
        let serving = shared.clone();
        thread::Builder::new().name("runtime-api".into()).spawn(move || serve(&listener, &serving))?;
        let child = command.spawn()?;
        let (one_at_a_time, number) = (Mutex::default(), AtomicU64::default());
        Ok(Self { child: Mutex::new(child), shared, events, one_at_a_time, number, timeout })
    }

    /// Gives it an event and waits for the answer.
    ///
    /// # Errors
    /// What the function says, or that it does not answer in time.
    pub fn invoke(&self, event: &[u8]) -> Result<Vec<u8>, String> {
        if event.len() > LARGEST {
            return Err(format!("the event has {} bytes, more than the 6 MiB that Lambda takes", event.len()));
        }
        let _turn = own(&self.one_at_a_time);
        let id = format!("local-{}", self.number.fetch_add(1, Ordering::Relaxed));
        own(&self.shared.state).current = Some((id.clone(), None));
        let until = Instant::now() + self.timeout;
        #[expect(clippy::disallowed_methods, reason = "the function is given its deadline by the wall clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let deadline_ms = (now + self.timeout).as_millis();
        let event = Event { id, deadline_ms, body: event.to_vec() };
        if self.events.try_send(event).is_err() {
            return Err("the function still works on an earlier event".to_owned());
        }
        let mut state = own(&self.shared.state);
        loop {
            if let Some((_, Some(answer))) = state.current.take_if(|(_, answer)| answer.is_some()) {
                return answer;
            }
            if let Some(reason) = &state.refused {
                return Err(reason.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.current = None;
                return Err(format!("Task timed out after {} s", self.timeout.as_secs()));
            }
            if let Ok(Some(status)) = own(&self.child).try_wait() {
                return Err(format!("Runtime exited: {status}"));
            }
            // Checks from time to time whether the program still runs.
            let pause = left.min(Duration::from_millis(200));
            state = self
                .shared
                .answered
                .wait_timeout(state, pause)
                .map_or_else(|error| error.into_inner().0, |(state, _)| state);
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let mut child = own(&self.child);
        // It may have ended by itself.
        drop(child.kill());
        drop(child.wait());
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    // Ended by the first connection after the function is gone, or with the process.
    for stream in listener.incoming().flatten() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let shared = shared.clone();
        let talk = move || drop(converse(stream, &shared));
        if thread::Builder::new().name("runtime-api".into()).spawn(talk).is_err() {
            return;
        }
    }
}

/// Requests and answers on one connection, until it ends.
fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            input.read_line(&mut header)?;
            let header = header.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = Vec::new();
        (&mut input).take(length).read_to_end(&mut body)?;
        let (status, headers, answer) = answer(&method, &path, body, shared)?;
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", answer.len());
        let output = input.get_mut();
        output.write_all(head.as_bytes())?;
        output.write_all(&answer)?;
    }
}

type Reply = (&'static str, String, Vec<u8>);

fn answer(method: &str, path: &str, body: Vec<u8>, shared: &Shared) -> io::Result<Reply> {
    let none = || ("404 Not Found", String::new(), Vec::new());
    let Some(path) = path.strip_prefix(PATH) else { return Ok(none()) };
    let parts: Vec<&str> = path.split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", ["invocation", "next"]) => {
            let event = next(shared)?;
            let headers = format!(
                "Lambda-Runtime-Aws-Request-Id: {}\r\nLambda-Runtime-Deadline-Ms: {}\r\nContent-Type: application/json\r\n",
                event.id, event.deadline_ms
            );
            Ok(("200 OK", headers, event.body))
        }
        ("POST", ["invocation", id, what @ ("response" | "error")]) => {
            let mut state = own(&shared.state);
            let Some((current, answer)) = &mut state.current else { return Ok(none()) };
            if current != id || answer.is_some() {
                return Ok(none());
            }
            let too_large = body.len() > LARGEST;
            *answer = Some(match *what {
                _ if too_large => Err("Response payload size exceeded maximum allowed payload size".to_owned()),
                "response" => Ok(body),
                _ => Err(reason(&body)),
            });
            drop(state);
            shared.answered.notify_all();
            Ok((if too_large { "413 Payload Too Large" } else { "202 Accepted" }, String::new(), Vec::new()))
        }
        ("POST", ["init", "error"]) => {
            own(&shared.state).refused = Some(reason(&body));
            shared.answered.notify_all();
            Ok(("202 Accepted", String::new(), Vec::new()))
        }
        _ => Ok(none()),
    }
}

fn reason(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    body["errorMessage"].as_str().unwrap_or("the function gave no reason").to_owned()
}

fn next(shared: &Shared) -> io::Result<Event> {
    let events = own(&shared.events);
    loop {
        match events.recv_timeout(Duration::from_millis(200)) {
            Ok(event) => return Ok(event),
            Err(RecvTimeoutError::Timeout) if !shared.ended.load(Ordering::Relaxed) => {}
            Err(_) => return Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// The notification of a new object, as S3 gives it to a function through a topic of SNS.
#[must_use]
pub fn created(bucket: &str, key: &str, etag: &str, size: u64) -> serde_json::Value {
    let mut encoded = String::new();
    for byte in key.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"-_.*/".contains(&byte) => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    let notice = serde_json::json!({"Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": encoded, "size": size, "eTag": etag}},
    }]});
    serde_json::json!({"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0",
        "Sns": {"Type": "Notification", "Subject": "Amazon S3 Notification", "Message": notice.to_string()}}]})
}
