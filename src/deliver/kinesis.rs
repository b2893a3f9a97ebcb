//! PutRecords of Kinesis Data Streams.
//! Promises one attempt a call and an end to every call, and that no aggregate goes to a stream that is known to make its
//! consumers drop it. Leaves the exchange to `caller`, which is that of Firehose too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::caller::{Caller, Dialect};
use super::fault;
use super::outcomes::Reader;
use super::session::Session;
use super::{Answer, Call, Fault, Meaning, Service};

static DIALECT: Dialect =
    Dialect { stream_name: "\"StreamName\":\"", reader: Reader { list: "\"Records\":[" }, words: &fault::KINESIS };
/// How long the start of the agent waits to hear what a stream takes.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// The operation that tells how a stream distributes its records.
const DESCRIBE: &str = "Kinesis_20131202.DescribeStreamSummary";

/// Sends calls to Kinesis Data Streams. Cheap to clone; all clones share connections and credentials.
#[derive(Clone, Debug)]
pub struct Kinesis {
    calls: Caller,
    /// Describes streams; nothing where the address cannot be signed for.
    questions: Option<Caller>,
    check: Option<Arc<Check>>,
}

/// What must be known of a stream before aggregates go there.
#[derive(Debug)]
struct Check {
    stream: String,
    passed: Mutex<bool>,
}

impl Kinesis {
    /// A service that calls through this session; `patience` is the time to wait for an answer, beside the time for sending
    /// the body.
    #[must_use]
    pub fn new(session: Session, patience: Duration) -> Self {
        let questions = session.aimed_at(DESCRIBE).map(|session| Caller::new(session, &DIALECT, patience));
        Self { calls: Caller::new(session, &DIALECT, patience), questions, check: None }
    }

    /// The region that calls go to.
    #[must_use]
    pub fn region(&self) -> &str {
        self.calls.region()
    }

    /// The same for a flow that sends aggregated records to this stream: before the first call the stream is asked how
    /// it distributes records, and while it does so by itself every call fails with [`Meaning::Hold`].
    #[must_use]
    pub fn aggregating(&self, stream: &str) -> Self {
        let check = Check { stream: stream.to_owned(), passed: Mutex::new(false) };
        Self { check: Some(Arc::new(check)), ..self.clone() }
    }

    /// The most bytes of a record, its partition key included, that the stream says it takes; nothing, which is logged
    /// with the reason, if it does not say so within 5 s.
    pub async fn largest_record(&self, stream: &str) -> Option<usize> {
        let described = match tokio::time::timeout(START_PATIENCE, self.describe(stream)).await {
            Ok(Ok(described)) => described,
            Ok(Err(fault)) => return not_known(stream, &fault.code),
            Err(_) => return not_known(stream, "no answer in time"),
        };
        let kib = described.max_record_size_in_kib.and_then(|kib| usize::try_from(kib).ok());
        kib.map(|kib| kib << 10).or_else(|| not_known(stream, "the answer does not say"))
    }

    async fn describe(&self, stream: &str) -> Result<Summary, Fault> {
        let Some(questions) = &self.questions else { return Ok(Summary::default()) };
        let body = serde_json::json!({ "StreamName": stream }).to_string();
        let answer = questions.ask(Bytes::from(body)).await?;
        // An answer that says nothing of something comes from before there was a choice.
        let described: Described = serde_json::from_slice(&answer).unwrap_or_default();
        Ok(described.stream_description_summary)
    }

    /// Whether aggregates may go to the stream; asked until it has said so once.
    async fn may_aggregate(&self) -> Result<(), Fault> {
        let Some(check) = &self.check else { return Ok(()) };
        let mut passed = check.passed.lock().await;
        if *passed {
            return Ok(());
        }
        let stream = check.stream.as_str();
        match self.describe(stream).await {
            Ok(described) if described.distributes_itself() => return Err(dropped_by_consumers(stream)),
            Ok(_) => {}
            Err(fault) if is_not_told(&fault.code) => tracing::warn!(
                stream,
                reason = fault.code,
                "cannot see how the stream distributes its records; if it does so by itself (AUTO), consumers drop \
                 aggregated records: allow `kinesis:DescribeStreamSummary`, or set `aggregation` to \"lines\" or \"none\""
            ),
            // Nothing of the call itself has left.
            Err(fault) if fault.meaning == Meaning::Unknown => {
                return Err(Fault { meaning: Meaning::NotSent, ..fault });
            }
            // And no record of it was refused.
            Err(fault) if matches!(fault.meaning, Meaning::Suspect | Meaning::Poison) => {
                return Err(Fault { meaning: Meaning::Hold, ..fault });
            }
            Err(fault) => return Err(fault),
        }
        *passed = true;
        Ok(())
    }
}

impl Service for Kinesis {
    async fn put(&self, call: Call) -> Answer {
        match self.may_aggregate().await {
            Ok(()) => self.calls.put(call).await,
            Err(fault) => Answer::Failed(fault),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Described {
    stream_description_summary: Summary,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Summary {
    record_distribution_strategy: Option<String>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_in_kib: Option<u64>,
}

impl Summary {
    /// Whether the service, not the partition key, chooses the shard.
    fn distributes_itself(&self) -> bool {
        self.record_distribution_strategy.as_deref() == Some("AUTO")
    }
}

fn not_known(stream: &str, reason: &str) -> Option<usize> {
    tracing::warn!(
        stream,
        reason,
        "cannot see how large the stream's records may be; until the next start they are at most 1 MiB: allow \
         `kinesis:DescribeStreamSummary`, or leave out `maxRecordSizeBytes`"
    );
    None
}

/// Whether the question itself is not allowed, or not known.
fn is_not_told(code: &str) -> bool {
    code.starts_with("AccessDenied")
        || matches!(code, "NotAuthorized" | "UnauthorizedOperation" | "UnknownOperationException" | "http 404")
}

fn dropped_by_consumers(stream: &str) -> Fault {
    Fault {
        meaning: Meaning::Hold,
        code: "aggregation".to_owned(),
        message: format!(
            "stream `{stream}` distributes its records by itself (AUTO), and consumers silently drop aggregated records \
             there; set \"aggregation\": \"lines\" or \"none\" in the flow, or the stream's strategy to USER_PARTITION_KEY"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stream_that_says_so_distributes_by_itself() {
        for (answer, expected) in [
            (r#"{"StreamDescriptionSummary":{"RecordDistributionStrategy":"AUTO","StreamName":"s"}}"#, true),
            (r#"{"StreamDescriptionSummary":{"RecordDistributionStrategy":"USER_PARTITION_KEY"}}"#, false),
            (r#"{"StreamDescriptionSummary":{"StreamName":"s"}}"#, false),
            (r#"{"StreamDescriptionSummary":{"RecordDistributionStrategy":null}}"#, false),
            ("{}", false),
            ("<html>", false),
        ] {
            let described: Described = serde_json::from_slice(answer.as_bytes()).unwrap_or_default();
            assert_eq!(described.stream_description_summary.distributes_itself(), expected, "{answer}");
        }
    }
}
