//! A request in, an answer out: the HTTP around a call, and what of a fault is a matter of HTTP.
//! Promises the service's headers on every answer, and that a refused body is read so that the client gets to see why.
//! Leaves the call itself to `call`.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::call::{self, Answered};
use crate::protocol::{CONTENT_TYPE, Operation};
use crate::server::Shared;
use crate::service::Refusal;
use crate::stats::CallSeen;
use crate::wire::Cut;

/// Where the totals can be read without a signature.
const STATS_PATH: &str = "/local-lake/stats";

/// What becomes of a call; `None` closes the connection without an answer.
pub(super) type Answer = Option<Response<Full<Bytes>>>;

/// One request.
pub(super) async fn answer(shared: &Shared, request: Request<Incoming>, connection: u64, cut: &Cut) -> Answer {
    let (head, body) = request.into_parts();
    if head.method == Method::GET && head.uri.path() == STATS_PATH {
        let stats = serde_json::to_string(&shared.stats()).unwrap_or_default();
        return Some(respond(StatusCode::OK, "application/json", None, stats));
    }
    let operation = match operation(&head) {
        Ok(operation) => operation,
        Err(refusal) => {
            call::drain(body).await;
            return Some(refuse(shared, &refusal));
        }
    };
    if operation.is_question() {
        return Some(match call::describe(shared, &head, body, operation).await {
            Ok(description) => respond(StatusCode::OK, CONTENT_TYPE, None, description),
            Err(refusal) => refuse(shared, &refusal),
        });
    }
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
    let answered = call::call(shared, &head, body, operation, &mut decision, &mut seen, cut).await;
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
    headers.insert("content-type", HeaderValue::from_static(kind));
    if let Some(error) = error {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(error));
    }
    let id = format!("{:032x}", fastrand::u128(..));
    if let Ok(id) = HeaderValue::from_str(&[&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-")) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}
