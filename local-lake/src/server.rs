//! The socket: connections in, one call at a time through the checks in the service's order, answers out.
//! Promises that a record counted as stored is in the store before its answer leaves, and that stopping waits for calls under way.
//! Leaves every decision to the plain modules; this one waits and does as told.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::count::Scanner;
use crate::faults::{self, Decision, Fault, Faults};
use crate::limits::{self, CountedBytes};
use crate::protocol::{self, CONTENT_TYPE, Operation, Put, RecordFailure, RecordIds, Refusal};
use crate::signature::Signatures;
use crate::stats::{CallSeen, Stats, Tally};
use crate::store::{Arrival, Store};
use crate::wire::{Cut, Wire};

/// How long a graceful stop waits for calls under way.
const GRACE: Duration = Duration::from_secs(5);
/// Where the totals can be read without a signature.
pub(crate) const STATS_PATH: &str = "/local-lake/stats";

/// Whether and how to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Running,
    /// Calls under way are answered, then everything is flushed.
    Graceful,
    /// Connections are cut as they are, then everything accepted is flushed.
    AtOnce,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) faults: Faults,
    pub(crate) signatures: Signatures,
    pub(crate) counted: CountedBytes,
    /// The streams that exist; `None` makes every stream exist.
    pub(crate) streams: Option<BTreeSet<String>>,
    /// Bodies are scanned as they pass, never held.
    pub(crate) scan_only: bool,
    pub(crate) ids: RecordIds,
    pub(crate) store: Mutex<Store>,
    pub(crate) tally: Mutex<Tally>,
    pub(crate) stop: watch::Sender<Stop>,
}

impl Shared {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The totals, with what the store knows.
    pub(crate) fn stats(&self) -> Stats {
        let written = self.store().written();
        let mut stats = self.tally().stats.clone();
        stats.objects = written.objects;
        stats.object_bytes = written.bytes;
        stats.failed_writes = written.failures;
        stats
    }

    /// Waits until it is time to stop.
    async fn stopping(&self) -> Stop {
        let mut stop = self.stop.subscribe();
        stop.wait_for(|stop| *stop != Stop::Running).await.map_or(Stop::AtOnce, |stop| *stop)
    }
}

/// Serves until told to stop, then flushes.
///
/// # Errors
/// The final flush failed.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    tick: Duration,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let how = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let number = {
                        let mut tally = shared.tally();
                        tally.stats.connections += 1;
                        tally.stats.connections
                    };
                    connections.spawn(connection(shared.clone(), Wire::new(stream), number, tls.clone()));
                }
                // Out of descriptors, most likely: the ones in use come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            _ = ticks.tick() => shared.store().flush_due(Instant::now()),
            Some(_) = connections.join_next() => {}
            how = shared.stopping() => break how,
        }
    };
    drop(listener);
    if how == Stop::Graceful {
        let ended = async { while connections.join_next().await.is_some() {} };
        let cut = async { shared.stop.subscribe().wait_for(|stop| *stop == Stop::AtOnce).await.is_ok() };
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep(GRACE) => {}
            _ = cut => {}
        }
    }
    connections.shutdown().await;
    shared.store().flush_all()
}

/// One connection from its first byte to its last.
async fn connection(shared: Arc<Shared>, wire: Wire, number: u64, tls: Option<TlsAcceptor>) {
    let cut = wire.cut();
    let Some(tls) = tls else { return converse(shared, wire, number, cut).await };
    tokio::select! {
        shaken = tls.accept(wire) => match shaken {
            Ok(stream) => converse(shared, stream, number, cut).await,
            Err(_) => shared.tally().stats.failed_handshakes += 1,
        },
        _ = shared.stopping() => {}
    }
}

/// Requests and answers over an open connection.
async fn converse<S>(shared: Arc<Shared>, stream: S, number: u64, cut: Cut)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (shared, cut) = (shared.clone(), cut.clone());
        async move { answer(&shared, request, number, &cut).await.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted)) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // Its end says nothing that was not counted where it happened.
    tokio::select! {
        ended = connection.as_mut() => drop(ended),
        _ = shared.stopping() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

/// What becomes of a call; `None` closes the connection without an answer.
type Answer = Option<Response<Full<Bytes>>>;

/// One request.
async fn answer(shared: &Shared, request: Request<Incoming>, connection: u64, cut: &Cut) -> Answer {
    let (head, body) = request.into_parts();
    if head.method == Method::GET && head.uri.path() == STATS_PATH {
        let stats = serde_json::to_string(&shared.stats()).unwrap_or_default();
        return Some(respond(StatusCode::OK, "application/json", None, stats));
    }
    let operation = match operation(&head) {
        Ok(operation) => operation,
        Err(refusal) => {
            drain(body).await;
            return Some(refuse(shared, &refusal));
        }
    };
    let mut decision = shared.faults.draw();
    shared.tally().stats.calls += 1;
    let mut seen = CallSeen {
        call: decision.call,
        connection,
        stream: String::new(),
        records: 0,
        stored: 0,
        bytes: 0,
        arrived: Instant::now(),
        answer: String::new(),
    };
    let answered = call(shared, &head, body, operation, &mut decision, &mut seen, cut).await;
    seen.answer = match &answered {
        Answered::Stored(_) => "Ok".to_owned(),
        Answered::Refused(refusal) if refusal.code.is_empty() => refusal.status.to_string(),
        Answered::Refused(refusal) => refusal.code.to_owned(),
        Answered::Lost => "AnswerLost".to_owned(),
        Answered::Reset => "Reset".to_owned(),
        Answered::Hung => "Hang".to_owned(),
    };
    shared.tally().saw(seen);
    if !decision.delay.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(decision.delay) => {}
            _ = shared.stopping() => {}
        }
    }
    match answered {
        Answered::Stored(body) => Some(respond(StatusCode::OK, CONTENT_TYPE, None, body)),
        Answered::Refused(refusal) => Some(refuse(shared, &refusal)),
        Answered::Lost | Answered::Reset => None,
        Answered::Hung => {
            shared.stopping().await;
            None
        }
    }
}

/// How a call ended.
enum Answered {
    /// With this body.
    Stored(String),
    Refused(Refusal),
    Lost,
    Reset,
    Hung,
}

/// One call of a known operation.
async fn call(
    shared: &Shared,
    head: &Parts,
    body: Incoming,
    operation: Operation,
    decision: &mut Decision,
    seen: &mut CallSeen,
    cut: &Cut,
) -> Answered {
    if decision.fault == Fault::Reset {
        return reset(shared, cut);
    }
    let scan = shared.scan_only && !shared.signatures.needs_body() && decision.poison.is_none();
    let read = match read(body, scan).await {
        Ok(read) => read,
        Err(Unread::Cut) => return Answered::Reset,
        Err(Unread::TooLong) => {
            return Answered::Refused(Refusal::new(413, "RequestEntityTooLargeException", "Request size exceeded 16777216 bytes"));
        }
    };
    seen.arrived = Instant::now();
    let clock = Timestamp::now();
    shared.tally().stats.wire_bytes += read.wire_bytes;
    let checked = check(shared, head, read, operation, decision, seen, clock);
    let (mut put, failures) = match checked {
        Ok(checked) => checked,
        Err(refusal) => return Answered::Refused(refusal),
    };
    match decision.fault {
        Fault::Hang => {
            shared.tally().stats.hung += 1;
            return Answered::Hung;
        }
        // Standing for the stream, so it could not be known before.
        Fault::Reset => return reset(shared, cut),
        _ => {}
    }
    let arrival = Arrival { at: seen.arrived, clock, call: decision.call, connection: seen.connection };
    let stored = shared.store().accept(&mut put, &failures, arrival);
    let lines = match stored {
        Ok(lines) => lines,
        Err(error) => return Answered::Refused(Refusal::new(500, "InternalFailure", error.to_string())),
    };
    seen.stored = failures.iter().filter(|failure| failure.is_none()).count();
    let mut tally = shared.tally();
    tally.stored(&put.stream, &put.sizes, &failures, lines);
    if decision.fault == Fault::AnswerLost {
        tally.stats.answers_lost += 1;
        return Answered::Lost;
    }
    drop(tally);
    Answered::Stored(match operation {
        Operation::PutRecordBatch => shared.ids.batch_answer(decision.call, &failures),
        Operation::PutRecord => shared.ids.single_answer(decision.call),
    })
}

/// The connection ends with a reset.
fn reset(shared: &Shared, cut: &Cut) -> Answered {
    cut.reset_on_close();
    shared.tally().stats.resets += 1;
    Answered::Reset
}

/// Everything between reading and storing, in the service's order; nothing here waits.
fn check(
    shared: &Shared,
    head: &Parts,
    read: Read,
    operation: Operation,
    decision: &mut Decision,
    seen: &mut CallSeen,
    clock: Timestamp,
) -> Result<(Put, Vec<Option<RecordFailure>>), Refusal> {
    if let Some(refusal) = decision.fault.refusal("unread") {
        return Err(refusal);
    }
    shared.signatures.check_head(&head.headers, clock.as_second())?;
    shared.signatures.check_body(head, &read.body)?;
    let put = match read.scanner {
        Some(scanner) => {
            let counted = scanner.finish(operation)?;
            Put { stream: counted.stream, payload: Vec::new(), sizes: counted.sizes }
        }
        None => protocol::parse(operation, &read.body, Vec::new())?,
    };
    limits::check_stream_name(&put.stream)?;
    seen.stream.clone_from(&put.stream);
    seen.records = put.sizes.len();
    seen.bytes = put.sizes.iter().map(|size| *size as u64).sum();
    limits::check_sizes(&put.sizes, shared.counted)?;
    if shared.streams.as_ref().is_some_and(|streams| !streams.contains(&put.stream)) {
        return Err(faults::not_found(&put.stream));
    }
    if let Some(standing) = shared.faults.standing_for(&put.stream) {
        if let Some(refusal) = standing.refusal(&put.stream) {
            return Err(refusal);
        }
        match standing {
            Fault::Delay(delay) => decision.delay = delay,
            other => decision.fault = other,
        }
    }
    if let Some(poison) = &decision.poison {
        let finder = memchr::memmem::Finder::new(poison);
        if put.ranges().any(|range| finder.find(&put.payload[range]).is_some()) {
            return Err(Refusal::invalid_argument("A record of the call is not acceptable"));
        }
    }
    let mut failures = decision.fault.failures(put.sizes.len(), &mut decision.random);
    shared.faults.limit(&put.stream, &put.sizes, &mut failures, seen.arrived)?;
    let single_failed = operation == Operation::PutRecord && failures.iter().any(Option::is_some);
    if single_failed || !shared.store().has_room() {
        return Err(Refusal::new(500, "ServiceUnavailableException", "Slow down."));
    }
    Ok((put, failures))
}

/// Which operation is asked for.
fn operation(head: &Parts) -> Result<Operation, Refusal> {
    if head.method != Method::POST || head.uri.path() != "/" {
        return Err(Refusal::new(404, "UnknownOperationException", ""));
    }
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let operation = Operation::of(text("x-amz-target"))?;
    if !text("content-type").is_some_and(|kind| kind.starts_with(CONTENT_TYPE)) {
        return Err(Refusal::serialization("the content type is not application/x-amz-json-1.1"));
    }
    if text("content-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err(Refusal::serialization("the body is encoded; only its plain form is read"));
    }
    Ok(operation)
}

/// A body that was read to its end.
struct Read {
    /// Empty where it was only scanned.
    body: Vec<u8>,
    scanner: Option<Scanner>,
    wire_bytes: u64,
}

/// Why a body was not read to its end.
enum Unread {
    /// The client went away.
    Cut,
    TooLong,
}

/// Reads a body, holding it or only scanning it.
async fn read(mut body: Incoming, scan: bool) -> Result<Read, Unread> {
    let expected = body.size_hint().lower() as usize;
    if expected > limits::BODY_BYTES {
        return Err(Unread::TooLong);
    }
    let mut read = Read {
        body: Vec::with_capacity(if scan { 0 } else { expected }),
        scanner: scan.then(Scanner::new),
        wire_bytes: 0,
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::Cut)?;
        let Some(data) = frame.data_ref() else { continue };
        read.wire_bytes += data.len() as u64;
        if read.wire_bytes > limits::BODY_BYTES as u64 {
            return Err(Unread::TooLong);
        }
        match &mut read.scanner {
            Some(scanner) => scanner.feed(data),
            None => read.body.extend_from_slice(data),
        }
    }
    Ok(read)
}

/// Reads a body to forget it, so that the client gets to read the answer.
async fn drain(mut body: Incoming) {
    let mut left = limits::BODY_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            return;
        }
        left -= length;
    }
}

/// The answer to a refused call.
fn refuse(shared: &Shared, refusal: &Refusal) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if refusal.code.is_empty() {
        shared.tally().refused(status.as_str());
        return respond(status, "text/html", None, refusal.body());
    }
    shared.tally().refused(refusal.code);
    respond(status, CONTENT_TYPE, Some(refusal.code), refusal.body())
}

/// An answer with the headers of the service.
fn respond(status: StatusCode, kind: &'static str, error: Option<&'static str>, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", hyper::header::HeaderValue::from_static(kind));
    if let Some(error) = error {
        headers.insert("x-amzn-errortype", hyper::header::HeaderValue::from_static(error));
    }
    let id = format!("{:032x}", fastrand::u128(..));
    if let Ok(id) = hyper::header::HeaderValue::from_str(&[&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-")) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}
