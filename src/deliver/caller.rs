//! One call of either service: the body goes out as it stands, the answer comes back as outcomes.
//! Promises one attempt a call, an end to every call, and no copy of the body left behind once it is answered.
//! Leaves the envelope to `session`, the signature to `wire`, meanings to `fault`, and retrying to the flow.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use memchr::memmem::Finder;
use serde::Deserialize;

use super::fault::{self, Place, Words};
use super::session::Session;
use super::wire::{self, NoAnswer, Skew};
use super::{Answer, Call, Fault, Meaning, Outcome};
use crate::telemetry::clock;

/// How long an answer may take, beside the time for sending the body.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The slowest link that a call is given time for, in bytes a second: 5.6 MB in 85 s.
const SLOWEST_LINK: u64 = 64 * 1024;
/// Largest answer that is kept: 500 outcomes are about 128 KiB.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// How the bodies of one service's calls and answers are written.
#[derive(Debug)]
pub(super) struct Dialect {
    /// What stands in a body before the name of the stream.
    pub(super) stream_name: &'static str,
    /// What says in an answer that nothing failed. It cannot stand inside a JSON string, where its quotes would be escaped.
    pub(super) none_failed: LazyLock<Finder<'static>>,
    /// The words for the operator.
    pub(super) words: &'static Words,
}

/// Makes calls of one operation. Cheap to clone; all clones share connections and credentials.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    session: Session,
    dialect: &'static Dialect,
    skew: Skew,
    patience: Duration,
}

/// An answer that is a success, or what the failure means.
type Exchanged = Result<AnswerBody, Fault>;

impl Caller {
    /// Calls through this session; `patience` is the time to wait for an answer, beside the time for sending the body.
    pub(super) fn new(session: Session, dialect: &'static Dialect, patience: Duration) -> Self {
        Self { shared: Arc::new(Shared { session, dialect, skew: Skew::default(), patience }) }
    }

    /// Sends one call of records.
    pub(super) async fn put(&self, call: Call) -> Answer {
        match self.shared.exchange(call.body).await {
            Ok(AnswerBody::NoneFailed) => Answer::Accepted,
            Ok(AnswerBody::Whole(body)) => {
                outcomes(&body, call.records).unwrap_or_else(|reason| Answer::Failed(misunderstood(&reason)))
            }
            Err(fault) => Answer::Failed(fault),
        }
    }

    /// Sends another call; the body of the answer, if that is a success.
    ///
    /// # Errors
    /// What the failure means.
    pub(super) async fn ask(&self, body: Bytes) -> Result<Vec<u8>, Fault> {
        match self.shared.exchange(body).await? {
            AnswerBody::Whole(body) => Ok(body),
            AnswerBody::NoneFailed => Ok(Vec::new()),
        }
    }
}

impl Shared {
    async fn exchange(&self, body: Bytes) -> Exchanged {
        // Only a failure needs the name of the stream, and by then the body itself is gone.
        let head = body.slice(..body.len().min(256));
        let watch = CaptureSmithyConnection::new();
        let limit = self.patience + Duration::from_secs(body.len() as u64 / SLOWEST_LINK);
        let now = now();
        let credentials = match self.session.keys.credentials(now).await {
            Ok(credentials) => credentials,
            Err(error) => return Err(fault::of_credentials(&wire::causes(&error))),
        };
        let exchange = async {
            let mut response = wire::post(&self.session, &credentials, &self.skew, now, body, &watch).await?;
            let body = read(&mut response, &self.dialect.none_failed).await?;
            Ok((response, body))
        };
        let exchanged = match tokio::time::timeout(limit, exchange).await {
            Ok(exchanged) => exchanged,
            Err(_) => Err(NoAnswer { reason: format!("no answer within {} s", limit.as_secs()), timeout: true }),
        };
        let stream = || stream_of(&head, self.dialect.stream_name);
        match exchanged {
            Ok((response, body)) if response.status().is_success() => Ok(body),
            Ok((response, body)) => {
                let body = if let AnswerBody::Whole(body) = body { body } else { Vec::new() };
                Err(self.refusal(&response, &body, now, &stream()).await)
            }
            Err(lost) => {
                let connected = watch.get().is_some();
                Err(fault::of_connection(&lost.reason, lost.timeout, connected, self.place(&stream())))
            }
        }
    }

    fn place<'a>(&'a self, stream: &'a str) -> Place<'a> {
        let (endpoint, region) = (self.session.endpoint(), self.session.region());
        Place { endpoint, region, stream, words: self.dialect.words, proxy: self.session.proxy.as_ref() }
    }

    /// The fault behind an answer that is no success; learns from it what the next attempt needs.
    async fn refusal(&self, response: &HttpResponse, body: &[u8], now: SystemTime, stream: &str) -> Fault {
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
        fault::of_response(
            response.status().as_u16(),
            code,
            said.message.as_deref().unwrap_or_default(),
            self.place(stream),
        )
    }
}

/// A signature carries the time of sending.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(clock::now_ms())
}

/// The stream that a body names, for words to the operator.
fn stream_of(head: &[u8], before: &str) -> String {
    let name = memchr::memmem::find(head, before.as_bytes()).map(|at| &head[at + before.len()..]).unwrap_or_default();
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
async fn read(response: &mut HttpResponse, finder: &Finder<'_>) -> Result<AnswerBody, NoAnswer> {
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
        if kept.is_empty() && success && says_none_failed(data.chunk(), finder) {
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
pub(super) fn says_none_failed(beginning: &[u8], finder: &Finder<'_>) -> bool {
    let head = &beginning[..beginning.len().min(256)];
    finder
        .find(head)
        .and_then(|at| head.get(at + finder.needle().len()))
        .is_some_and(|next| matches!(next, b',' | b'}'))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchAnswer {
    /// As Firehose calls them, and as Kinesis does.
    #[serde(default, alias = "Records")]
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
