//! One call of either service: the body goes out as it stands, the answer comes back as outcomes.
//! Promises one attempt a call, an end to every call, and no copy of the body left behind once it is answered.
//! Leaves the envelope to `session`, the signature to `wire`, reading an answer to `outcomes`, meanings to `fault`, and
//! retrying to the flow.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use http_body_util::BodyExt;
use serde::Deserialize;

use super::fault::{self, Place, Refusal, Words};
use super::identity::Lent;
use super::outcomes::Reader;
use super::said;
use super::session::Session;
use super::wire::{self, NoAnswer, Skew};
use super::{Answer, Call, Fault};
use crate::telemetry::clock;

/// The slowest link that a call is given time for, in bytes a second: 5.6 MB in 85 s.
const SLOWEST_LINK: u64 = 64 * 1024;
/// Largest answer that is read.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;
/// Largest buffer that is kept for the next answer: 500 outcomes are about 128 KiB.
const USUAL_ANSWER: usize = 256 * 1024;

/// How the bodies of one service's calls and answers are written.
#[derive(Debug)]
pub(super) struct Dialect {
    /// What stands in a body before the name of the stream.
    pub(super) stream_name: &'static str,
    /// What reads an answer.
    pub(super) reader: Reader,
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
    /// The buffer of an answer that was read, for the next one.
    spare: Mutex<Vec<u8>>,
}

impl Caller {
    /// Calls through this session; `patience` is the time to wait for an answer, beside the time for sending the body.
    pub(super) fn new(session: Session, dialect: &'static Dialect, patience: Duration) -> Self {
        let (skew, spare) = (Skew::default(), Mutex::default());
        Self { shared: Arc::new(Shared { session, dialect, skew, patience, spare }) }
    }

    /// The region that calls go to.
    pub(super) fn region(&self) -> &str {
        self.shared.session.region()
    }

    /// Sends one call of records.
    pub(super) async fn put(&self, call: Call) -> Answer {
        let dialect = self.shared.dialect;
        match self.shared.exchange(call.body).await {
            Ok(body) => {
                let answer = dialect.reader.read(&body, call.records).unwrap_or_else(|reason| {
                    let place = self.shared.place("");
                    Answer::Failed(fault::of_misunderstood(&reason, &said::excerpt(&body), place))
                });
                self.shared.put_by(body);
                answer
            }
            Err(fault) => Answer::Failed(fault),
        }
    }

    /// Sends another call; the body of the answer, if that is a success.
    ///
    /// # Errors
    /// What the failure means.
    pub(super) async fn ask(&self, body: Bytes) -> Result<Vec<u8>, Fault> {
        self.shared.exchange(body).await
    }
}

impl Shared {
    /// The body of an answer that is a success, or what the failure means.
    async fn exchange(&self, body: Bytes) -> Result<Vec<u8>, Fault> {
        // Only a failure needs the name of the stream, and by then the body itself is gone.
        let (head, sent) = (Bytes::copy_from_slice(&body[..body.len().min(256)]), body.len());
        let watch = CaptureSmithyConnection::new();
        let limit = self.patience + Duration::from_secs(sent as u64 / SLOWEST_LINK);
        let now = now();
        let keys = match self.session.keys.credentials(now).await {
            Ok(keys) => keys,
            Err(error) => return Err(fault::of_credentials(&error.reason)),
        };
        let exchange = async {
            let mut response = wire::post(&self.session, &keys.credentials, &self.skew, now, body, &watch).await?;
            let spare = std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner));
            let body = read(&mut response, spare).await?;
            Ok((response, body))
        };
        let exchanged = match tokio::time::timeout(limit, exchange).await {
            Ok(exchanged) => exchanged,
            Err(_) => Err(NoAnswer { reason: format!("no answer within {} s", limit.as_secs()), timeout: true }),
        };
        let stream = || stream_of(&head, self.dialect.stream_name);
        match exchanged {
            Ok((response, body)) if response.status().is_success() => Ok(body),
            Ok((response, body)) => Err(self.refusal(&response, &body, sent, (now, &keys), &stream())),
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

    /// Keeps the buffer of an answer for the next one.
    fn put_by(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() <= USUAL_ANSWER {
            *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = buffer;
        }
    }

    /// The fault behind an answer that is no success; learns from it what the next attempt needs.
    fn refusal(
        &self,
        response: &HttpResponse,
        body: &[u8],
        sent: usize,
        (now, keys): (SystemTime, &Lent),
        stream: &str,
    ) -> Fault {
        let error: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
        let code = response.headers().get("x-amzn-errortype").or(error.kind.as_deref()).or(error.code.as_deref());
        let code = said::bare_code(code.unwrap_or_default());
        if fault::is_about_credentials(code) {
            let date = response.headers().get("date").unwrap_or_default();
            if let Some(seconds) = self.skew.learn(date, now) {
                return fault::of_clock(code, seconds);
            }
            self.session.keys.distrust(keys);
        }
        let status = response.status().as_u16();
        let said = match error.message.as_deref() {
            Some(message) => said::cut(message).into_owned(),
            None if code.is_empty() => said::excerpt(body),
            None => String::new(),
        };
        let by = said::excerpt(response.headers().get("server").unwrap_or_default().as_bytes());
        fault::of_response(&Refusal { status, code, said: &said, by: &by, sent }, self.place(stream))
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

/// Reads the body to its end, so that the connection can be used again. Of a failure only as much as is of interest.
async fn read(response: &mut HttpResponse, mut kept: Vec<u8>) -> Result<Vec<u8>, NoAnswer> {
    let lost = |reason: String| NoAnswer { reason, timeout: false };
    let success = response.status().is_success();
    let mut body = response.take_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| lost(said::causes(error.as_ref())))?;
        let Ok(data) = frame.into_data() else { continue };
        if kept.len() + data.len() > LARGEST_ANSWER {
            if success {
                return Err(lost(format!("the answer is longer than {LARGEST_ANSWER} bytes")));
            }
            // The status says enough; the connection ends here.
            break;
        }
        kept.extend_from_slice(&data);
    }
    Ok(kept)
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    kind: Option<String>,
    code: Option<String>,
    #[serde(alias = "Message", alias = "errorMessage")]
    message: Option<String>,
}
