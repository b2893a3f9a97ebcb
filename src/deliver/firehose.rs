//! PutRecordBatch: the body goes out as it stands, the answer comes back as outcomes.
//! Promises one attempt a call, an end to every call, and no copy of the body left behind once it is answered.
//! Leaves the envelope to `session`, the signature to `wire`, meanings to `fault`, and retrying to the flow.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Buf;
use http_body_util::BodyExt;
use memchr::memmem::Finder;
use serde::Deserialize;

use super::fault::{self, Place};
use super::session::Session;
use super::wire::{self, NoAnswer, Skew};
use super::{Answer, Call, Fault, Meaning, Outcome, Service};
use crate::telemetry::clock;

/// How long an answer may take, beside the time for sending the body.
const PATIENCE: Duration = Duration::from_secs(30);
/// The slowest link that a call is given time for, in bytes a second: 5.6 MB in 85 s.
const SLOWEST_LINK: u64 = 64 * 1024;
/// Largest answer that is kept: 500 outcomes are about 128 KiB.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;
/// What says that nothing failed. It cannot stand inside a JSON string, where its quotes would be escaped.
static NONE_FAILED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"FailedPutCount\":0"));

/// Sends calls to Firehose. Cheap to clone; all clones share connections and credentials.
#[derive(Clone, Debug)]
pub struct Firehose {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    session: Session,
    skew: Skew,
    patience: Duration,
}

impl Firehose {
    /// A service that calls through this session.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self::with_patience(session, PATIENCE)
    }

    /// The same with another time to wait for an answer, beside the time for sending the body; 30 s else.
    #[must_use]
    pub fn with_patience(session: Session, patience: Duration) -> Self {
        Self { shared: Arc::new(Shared { session, skew: Skew::default(), patience }) }
    }
}

impl Service for Firehose {
    async fn put(&self, call: Call) -> Answer {
        self.shared.put(call).await
    }
}

impl Shared {
    async fn put(&self, call: Call) -> Answer {
        // Only a failure needs the name of the stream, and by then the body itself is gone.
        let head = call.body.slice(..call.body.len().min(256));
        let watch = CaptureSmithyConnection::new();
        let limit = self.patience + Duration::from_secs(call.body.len() as u64 / SLOWEST_LINK);
        let now = now();
        let credentials = match self.session.keys.credentials(now).await {
            Ok(credentials) => credentials,
            Err(error) => return Answer::Failed(fault::of_credentials(&wire::causes(&error))),
        };
        let exchange = async {
            let mut response = wire::post(&self.session, &credentials, &self.skew, now, call.body, &watch).await?;
            let body = read(&mut response).await?;
            Ok((response, body))
        };
        let exchanged = match tokio::time::timeout(limit, exchange).await {
            Ok(exchanged) => exchanged,
            Err(_) => Err(NoAnswer { reason: format!("no answer within {} s", limit.as_secs()), timeout: true }),
        };
        if let Ok((_, AnswerBody::NoneFailed)) = exchanged {
            return Answer::Accepted;
        }
        let stream = stream_of(&head);
        let place = Place { endpoint: self.session.endpoint(), region: self.session.region(), stream: &stream };
        match exchanged {
            Err(lost) => {
                let connected = watch.get().is_some();
                Answer::Failed(fault::of_connection(&lost.reason, lost.timeout, connected, place))
            }
            Ok((_, AnswerBody::NoneFailed)) => Answer::Accepted,
            Ok((response, AnswerBody::Whole(body))) if response.status().is_success() => {
                outcomes(&body, call.records).unwrap_or_else(|reason| Answer::Failed(misunderstood(&reason)))
            }
            Ok((response, AnswerBody::Whole(body))) => Answer::Failed(self.refusal(&response, &body, now, place).await),
        }
    }

    /// The fault behind an answer that is no success; learns from it what the next attempt needs.
    async fn refusal(&self, response: &HttpResponse, body: &[u8], now: SystemTime, place: Place<'_>) -> Fault {
        let said: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
        let code = response.headers().get("x-amzn-errortype").or(said.kind.as_deref()).or(said.code.as_deref());
        let code = bare_code(code.unwrap_or_default());
        if fault::is_about_credentials(code) {
            let date = response.headers().get("date").unwrap_or_default();
            if let Some(seconds) = self.skew.learn(date, now) {
                return fault::of_clock(code, seconds);
            }
            self.session.keys.distrust().await;
        }
        fault::of_response(response.status().as_u16(), code, said.message.as_deref().unwrap_or_default(), place)
    }
}

/// A signature carries the time of sending.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(clock::now_ms())
}

/// The stream that a body names, for words to the operator.
fn stream_of(head: &[u8]) -> String {
    const NAME: &[u8] = b"\"DeliveryStreamName\":\"";
    let name = memchr::memmem::find(head, NAME).map(|at| &head[at + NAME.len()..]).unwrap_or_default();
    let end = memchr::memchr(b'"', name).unwrap_or(0);
    String::from_utf8_lossy(&name[..end]).into_owned()
}

/// An answer's body, as far as it is of interest.
enum AnswerBody {
    /// A success in which no record failed; the 500 record ids are not kept.
    NoneFailed,
    /// All of it.
    Whole(Vec<u8>),
}

/// Reads the body to its end, so that the connection can be used again.
async fn read(response: &mut HttpResponse) -> Result<AnswerBody, NoAnswer> {
    let lost = |reason: String| NoAnswer { reason, timeout: false };
    let success = response.status().as_u16() == 200;
    let mut body = response.take_body();
    let mut kept = Vec::new();
    let mut none_failed = false;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| lost(wire::causes(error.as_ref())))?;
        let Ok(data) = frame.into_data() else { continue };
        if none_failed {
            continue;
        }
        // The service puts the count before the record ids: it stands in the first piece.
        if kept.is_empty() && success && says_none_failed(data.chunk()) {
            none_failed = true;
        } else if kept.len() + data.len() > LARGEST_ANSWER {
            return Err(lost(format!("the answer is longer than {LARGEST_ANSWER} bytes")));
        } else {
            kept.extend_from_slice(&data);
        }
    }
    Ok(if none_failed { AnswerBody::NoneFailed } else { AnswerBody::Whole(kept) })
}

/// Whether the beginning of an answer already says that every record was accepted.
fn says_none_failed(beginning: &[u8]) -> bool {
    let head = &beginning[..beginning.len().min(256)];
    NONE_FAILED
        .find(head)
        .and_then(|at| head.get(at + NONE_FAILED.needle().len()))
        .is_some_and(|next| matches!(next, b',' | b'}'))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchAnswer {
    #[serde(default)]
    request_responses: Vec<RecordAnswer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordAnswer {
    error_code: Option<String>,
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    kind: Option<String>,
    code: Option<String>,
    #[serde(alias = "Message", alias = "errorMessage")]
    message: Option<String>,
}

/// One outcome per record, or why the answer cannot be trusted.
fn outcomes(body: &[u8], records: usize) -> Result<Answer, String> {
    let answer: BatchAnswer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if answer.request_responses.len() != records {
        return Err(format!("{} outcomes for {records} records", answer.request_responses.len()));
    }
    if answer.request_responses.iter().all(|record| record.error_code.is_none()) {
        return Ok(Answer::Accepted);
    }
    let outcome = |record: RecordAnswer| match record.error_code {
        None => Outcome::Delivered,
        Some(code) => Outcome::Again { throttled: fault::is_throttle(&code), code },
    };
    Ok(Answer::PerRecord(answer.request_responses.into_iter().map(outcome).collect()))
}

fn misunderstood(reason: &str) -> Fault {
    Fault {
        meaning: Meaning::Unknown,
        code: "answer".to_owned(),
        message: format!(
            "the answer to an accepted call is not understood ({reason}); check what stands at the endpoint"
        ),
    }
}

/// `com.amazonaws.firehose#Code:http://…` is `Code`.
fn bare_code(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or_default();
    code.rsplit('#').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::session::{Settings, connect};
    use bytes::{Bytes, BytesMut};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Mutex;

    /// What the scripted server does with one request.
    enum Act {
        /// Answers with this status line, these headers and this body.
        Say(&'static str, &'static str, String),
        /// Closes the connection after reading the request.
        Hang,
        /// Reads and never answers.
        Silence,
    }

    /// Head and body of each.
    type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

    /// A server on loopback that follows a script, one act a request, and keeps what it was sent.
    struct Server {
        address: String,
        requests: Requests,
        connections: Arc<Mutex<usize>>,
    }

    fn server(script: Vec<Act>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (requests, connections) = (Requests::default(), Arc::new(Mutex::new(0)));
        let (seen, count) = (requests.clone(), connections.clone());
        std::thread::spawn(move || {
            let mut script = script.into_iter();
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                *count.lock().unwrap() += 1;
                while let Some(request) = request(&mut stream) {
                    seen.lock().unwrap().push(request);
                    match script.next() {
                        Some(Act::Say(status, headers, body)) => {
                            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
                            stream.write_all(head.as_bytes()).unwrap();
                            stream.write_all(body.as_bytes()).unwrap();
                        }
                        Some(Act::Hang) | None => break,
                        Some(Act::Silence) => {
                            silent.push(stream);
                            break;
                        }
                    }
                }
            }
        });
        Server { address, requests, connections }
    }

    /// Reads one request; `None` at the end of the connection.
    fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
        let mut bytes = Vec::new();
        let mut piece = [0; 65_536];
        loop {
            let read = stream.read(&mut piece).ok().filter(|&read| read > 0)?;
            bytes.extend_from_slice(&piece[..read]);
            let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") else { continue };
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let length: usize = length.parse().unwrap();
            while bytes.len() < end + 4 + length {
                let read = stream.read(&mut piece).ok().filter(|&read| read > 0)?;
                bytes.extend_from_slice(&piece[..read]);
            }
            return Some((head, bytes.split_off(end + 4)));
        }
    }

    async fn firehose(endpoint: &str) -> Firehose {
        let settings = Settings {
            region: Some("eu-west-1".into()),
            firehose_endpoint: Some(endpoint.to_owned()),
            access_key: Some(("AKIDEXAMPLE".into(), "secret".into())),
        };
        Firehose::with_patience(connect(&settings).await.unwrap(), Duration::from_millis(500))
    }

    fn call(records: usize) -> Call {
        let body = format!(
            "{{\"DeliveryStreamName\":\"logs\",\"Records\":[{}]}}",
            vec!["{\"Data\":\"YQo=\"}"; records].join(",")
        );
        Call { body: Bytes::from(body), records }
    }

    fn accepted(records: usize) -> Act {
        let id = format!("{{\"RecordId\":\"{}\"}}", "x".repeat(224));
        let body = format!(
            "{{\"Encrypted\":false,\"FailedPutCount\":0,\"RequestResponses\":[{}]}}",
            vec![id; records].join(",")
        );
        Act::Say("200 OK", "", body)
    }

    async fn answer(act: Act, records: usize) -> Answer {
        let server = server(vec![act]);
        firehose(&server.address).await.put(call(records)).await
    }

    fn failed(answer: &Answer) -> (Meaning, &str) {
        match answer {
            Answer::Failed(fault) => (fault.meaning, &fault.code),
            other => panic!("not failed: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_body_arrives_as_it_stands_and_signed() {
        let server = server(vec![accepted(3)]);
        let sent = call(3);
        assert_eq!(firehose(&server.address).await.put(sent.clone()).await, Answer::Accepted);
        let requests = server.requests.lock().unwrap();
        let (head, body) = &requests[0];
        assert_eq!(body, &sent.body);
        assert!(head.starts_with("post / http/1.1\r\n"), "{head}");
        for expected in [
            "x-amz-target: firehose_20150804.putrecordbatch",
            "content-type: application/x-amz-json-1.1",
            "x-amz-date: ",
            "authorization: aws4-hmac-sha256 credential=akidexample/",
            "/eu-west-1/firehose/aws4_request, signedheaders=",
            "signature=",
        ] {
            assert!(head.contains(expected), "{expected} is not in {head}");
        }
    }

    #[tokio::test]
    async fn once_it_is_answered_the_body_belongs_to_the_caller_alone() {
        let server = server(vec![accepted(1), accepted(1)]);
        let firehose = firehose(&server.address).await;
        for length in [100, 5_600_000] {
            let kept = BytesMut::from(&vec![b'a'; length][..]).freeze();
            assert_eq!(firehose.put(Call { body: kept.clone(), records: 1 }).await, Answer::Accepted);
            assert!(kept.try_into_mut().is_ok(), "{length} bytes are still shared");
        }
        assert_eq!(*server.connections.lock().unwrap(), 1, "the connection is kept");
    }

    #[tokio::test]
    async fn a_full_answer_is_accepted_and_its_connection_used_again() {
        let server = server(vec![accepted(500), accepted(500), accepted(500)]);
        let firehose = firehose(&server.address).await;
        for _ in 0..3 {
            assert_eq!(firehose.put(call(500)).await, Answer::Accepted);
        }
        assert_eq!(*server.connections.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_partial_failure_names_each_record() {
        let body = r#"{"Encrypted":false,"FailedPutCount":3,"RequestResponses":[{"RecordId":"a"},
            {"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."},
            {"ErrorCode":"InternalFailure","ErrorMessage":"x"},{"ErrorCode":"NeverHeardOf","ErrorMessage":"y"}]}"#;
        let again = |throttled, code: &str| Outcome::Again { throttled, code: code.to_owned() };
        assert_eq!(
            answer(Act::Say("200 OK", "", body.to_owned()), 4).await,
            Answer::PerRecord(vec![
                Outcome::Delivered,
                again(true, "ServiceUnavailableException"),
                again(false, "InternalFailure"),
                again(false, "NeverHeardOf"),
            ])
        );
    }

    #[tokio::test]
    async fn an_answer_that_is_not_understood_leaves_open_what_happened() {
        for body in ["", "<html>", "{}", r#"{"FailedPutCount":1,"RequestResponses":[{"ErrorCode":"x"}]}"#] {
            let answer = answer(Act::Say("200 OK", "", body.to_owned()), 2).await;
            assert_eq!(failed(&answer), (Meaning::Unknown, "answer"), "{body}");
        }
    }

    #[tokio::test]
    async fn a_count_that_only_begins_with_zero_or_comes_late_is_read_with_care() {
        let late = r#"{"RequestResponses":[{"RecordId":"a"}],"FailedPutCount" : 0}"#;
        assert_eq!(answer(Act::Say("200 OK", "", late.to_owned()), 1).await, Answer::Accepted);
        assert!(!says_none_failed(b"{\"FailedPutCount\":07"));
        assert!(!says_none_failed(b"{\"FailedPutCount\":10,"));
        assert!(!says_none_failed(b"{\"m\":\"\\\"FailedPutCount\\\":0,\""));
    }

    #[tokio::test]
    async fn a_throttled_call_keeps_its_connection() {
        let slow = || {
            let body = r#"{"__type":"ServiceUnavailableException","message":"Slow down."}"#;
            Act::Say("500 Internal Server Error", "", body.to_owned())
        };
        let server = server(vec![slow(), slow(), accepted(1)]);
        let firehose = firehose(&server.address).await;
        for _ in 0..2 {
            assert_eq!(failed(&firehose.put(call(1)).await), (Meaning::SlowDown, "ServiceUnavailableException"));
        }
        assert_eq!(firehose.put(call(1)).await, Answer::Accepted);
        assert_eq!(*server.connections.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn refusals_are_told_by_header_or_body() {
        let say = |status, headers, body: &str| Act::Say(status, headers, body.to_owned());
        for (act, meaning, code) in [
            (say("500 x", "", "{}"), Meaning::Unknown, "http 500"),
            (say("503 x", "", "<html>busy</html>"), Meaning::Unknown, "http 503"),
            (
                say("400 x", "x-amzn-ErrorType: AccessDeniedException:http://internal/\r\n", r#"{"Message":"no"}"#),
                Meaning::Hold,
                "AccessDeniedException",
            ),
            (
                say("400 x", "", r#"{"__type":"com.amazonaws.firehose#ResourceNotFoundException","message":"no"}"#),
                Meaning::Hold,
                "ResourceNotFoundException",
            ),
            (
                say(
                    "400 x",
                    "",
                    r#"{"__type":"InvalidKMSResourceException","code":"DisabledException","message":"no"}"#,
                ),
                Meaning::Hold,
                "InvalidKMSResourceException",
            ),
            (say("400 x", "", r#"{"__type":"ExpiredTokenException"}"#), Meaning::Hold, "ExpiredTokenException"),
            (
                say("400 x", "", r#"{"__type":"InvalidArgumentException","message":"bad record"}"#),
                Meaning::Poison,
                "InvalidArgumentException",
            ),
            (say("413 x", "", ""), Meaning::Poison, "http 413"),
        ] {
            assert_eq!(failed(&answer(act, 1).await), (meaning, code));
        }
    }

    #[tokio::test]
    async fn the_words_name_the_stream() {
        let act = Act::Say("400 x", "", r#"{"__type":"ResourceNotFoundException"}"#.to_owned());
        let Answer::Failed(fault) = answer(act, 1).await else { panic!("not failed") };
        assert!(fault.message.contains("`logs`") && fault.message.contains("eu-west-1"), "{}", fault.message);
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown() {
        assert_eq!(failed(&answer(Act::Hang, 1).await), (Meaning::Unknown, "connection"));
        assert_eq!(failed(&answer(Act::Silence, 1).await), (Meaning::Unknown, "timeout"));
    }

    #[tokio::test]
    async fn without_a_listener_nothing_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(failed(&firehose(&address).await.put(call(1)).await), (Meaning::NotSent, "connect"));
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_resolved_holds() {
        let firehose = firehose("http://no-such-host.invalid").await;
        assert_eq!(failed(&firehose.put(call(1)).await), (Meaning::Hold, "dns"));
    }

    #[tokio::test]
    async fn a_server_that_does_not_speak_tls_holds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
                let mut rest = Vec::new();
                let _ended = stream.read_to_end(&mut rest);
            }
        });
        assert_eq!(failed(&firehose(&endpoint).await.put(call(1)).await), (Meaning::Hold, "tls"));
    }

    #[tokio::test]
    async fn a_wrong_clock_is_corrected_with_the_services_own_time() {
        let skewed = || {
            let body = r#"{"__type":"InvalidSignatureException","message":"Signature expired"}"#;
            Act::Say("403 x", "Date: Sat, 21 Nov 2037 12:00:00 GMT\r\n", body.to_owned())
        };
        let server = server(vec![skewed(), accepted(1)]);
        let firehose = firehose(&server.address).await;
        assert_eq!(failed(&firehose.put(call(1)).await), (Meaning::NotSent, "InvalidSignatureException"));
        assert_eq!(firehose.put(call(1)).await, Answer::Accepted);
        let requests = server.requests.lock().unwrap();
        assert!(requests[1].0.contains("x-amz-date: 20371121t1"), "{}", requests[1].0);
    }
}
