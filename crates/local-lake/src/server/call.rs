//! One call from its head to how it ended: read, checked in the service's order, stored.
//! Promises that nothing of a refused call is stored, and that nothing waits between the checks and the store.
//! Leaves the HTTP of request and answer to `exchange`.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use jiff::Timestamp;

use crate::count::Scanner;
use crate::describe;
use crate::faults::{self, Decision, Fault};
use crate::kinesis;
use crate::limits;
use crate::protocol::{self, Operation, Put};
use crate::server::Shared;
use crate::service::{RecordFailure, Refusal, Service};
use crate::stats::CallSeen;
use crate::store::Arrival;
use crate::wire::Cut;

/// How a call ended.
pub(super) enum Answered {
    /// With this body.
    Stored(String),
    Refused(Refusal),
    Lost,
    Reset,
    Hung,
}

/// One call of a known operation.
pub(super) async fn call(
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
            return Answered::Refused(Refusal::new(
                413,
                "RequestEntityTooLargeException",
                "Request size exceeded 16777216 bytes",
            ));
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
    tally.stored(&put, &failures, lines, operation.service());
    if decision.fault == Fault::AnswerLost {
        tally.stats.answers_lost += 1;
        return Answered::Lost;
    }
    drop(tally);
    Answered::Stored(match operation {
        Operation::PutRecordBatch => shared.ids.batch_answer(decision.call, &failures),
        Operation::PutRecord => shared.ids.single_answer(decision.call),
        _ => kinesis::answer(&put.places, &failures),
    })
}

/// What a stream is like; no fault but one of its own happens to this call.
pub(super) async fn describe(
    shared: &Shared,
    head: &Parts,
    body: Incoming,
    operation: Operation,
) -> Result<String, Refusal> {
    let service = operation.service();
    let read = read(body, false).await.map_err(|_| Refusal::serialization("the body cannot be read"))?;
    shared.signatures.check_head(&head.headers, Timestamp::now().as_second(), service)?;
    shared.signatures.check_body(head, &read.body)?;
    let name = describe::asked_about(&read.body)?;
    limits::check_stream_name(&name, service)?;
    let refused = shared.faults.of_description().and_then(|fault| fault.refusal(&name, service));
    if let Some(refusal) = refused {
        return Err(refusal);
    }
    let is_channel = operation == Operation::DescribeChannel;
    if !is_channel && shared.streams.as_ref().is_some_and(|streams| !streams.contains(&name)) {
        return Err(faults::not_found(&name, service));
    }
    Ok(describe::answer(operation, &name, &shared.descriptions, &shared.shards))
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
    let service = operation.service();
    if decision.fault.refusal("", service).is_some() {
        note_refused(seen, &read, operation);
        return Err(decision
            .fault
            .refusal(&seen.stream, service)
            .expect("which stream does not change what is refused"));
    }
    shared.signatures.check_head(&head.headers, clock.as_second(), service)?;
    shared.signatures.check_body(head, &read.body)?;
    let mut put = match read.scanner {
        Some(scanner) => {
            let counted = scanner.finish(operation)?;
            Put { stream: counted.stream, sizes: counted.sizes, key_sizes: counted.key_sizes, ..Put::default() }
        }
        None => protocol::parse(operation, &read.body, Vec::new())?,
    };
    limits::check_stream_name(&put.stream, service)?;
    seen.stream.clone_from(&put.stream);
    seen.records = put.sizes.len();
    seen.bytes = put.sizes.iter().map(|size| *size as u64).sum();
    match service {
        Service::Firehose => limits::check_sizes(&put.sizes, shared.counted)?,
        Service::Kinesis => kinesis::check_sizes(&put.sizes, &put.key_sizes, shared.shards.settings().largest_record)?,
    }
    if shared.streams.as_ref().is_some_and(|streams| !streams.contains(&put.stream)) {
        return Err(faults::not_found(&put.stream, service));
    }
    if let Some(standing) = shared.faults.standing_for(&put.stream) {
        if let Some(refusal) = standing.refusal(&put.stream, service) {
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
    if service == Service::Kinesis {
        shared.shards.place(&mut put, &mut failures, seen.arrived);
    }
    Ok((put, failures))
}

/// Notes what a call held that is refused whatever it holds, as far as that can be known.
fn note_refused(seen: &mut CallSeen, read: &Read, operation: Operation) {
    let mut scanner = Scanner::new();
    scanner.feed(&read.body);
    let scanned = read.scanner.clone().unwrap_or(scanner).finish(operation);
    if let Ok(counted) = scanned {
        seen.records = counted.sizes.len();
        seen.bytes = counted.sizes.iter().map(|size| *size as u64).sum();
        seen.stream = counted.stream;
    }
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
pub(super) async fn drain(mut body: Incoming) {
    let mut left = limits::BODY_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            return;
        }
        left -= length;
    }
}
