//! The service: what it may answer, and what each answer means for the records of the call.
//! Promises that every failure has one of six meanings, and that each says whether its records may be stored all the same.
//! Leaves sending to `firehose`, waiting to the flow's shell and deciding to the flow core.

/// One call and its answer, for both services.
mod caller;
/// PutMetricData with the SDK's credentials, signature and connections.
pub mod cloudwatch;
/// How calls leave this machine: certificates, proxy, connections.
pub mod connector;
/// As whom to call.
pub mod credentials;
/// What each failure means, and what the operator can do about it.
mod fault;
/// PutRecordBatch with the SDK's credentials, signature and connections.
pub mod firehose;
/// Warnings of libraries, heard and not shown.
mod hints;
/// The credentials in use.
mod identity;
/// PutRecords with the same.
pub mod kinesis;
/// What an answer of success says about each record.
mod outcomes;
/// Questions that send no record.
pub mod probe;
/// The proxy on the way.
mod proxy;
/// Forms, signed and sent.
mod query;
/// Which region a call is for.
mod region;
/// Files of records that were given up on purpose.
pub mod quarantine;
/// Text from outside.
mod said;
/// Region, endpoint, credentials: the SDK client.
pub mod session;
/// Where and as whom to call, as the configuration says.
pub mod settings;
/// The signature of a call.
mod signature;
/// One signed POST.
mod wire;

use std::time::Duration;

pub use datalake_core::deliver::{Answer, Call, Fault, GivenUp, Meaning, Outcome, pace, retry};

/// How long the agent waits for an answer, beside the time for sending the body.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What takes calls. The real one is [`Destination`]; tests script their own.
pub trait Service: Send + Sync + 'static {
    /// Sends one call and waits for its answer; never retries, never panics, always ends (it has timeouts).
    fn put(&self, call: Call) -> impl Future<Output = Answer> + Send;
}

/// The service that a flow's stream is of.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Firehose.
    Firehose(firehose::Firehose),
    /// Kinesis Data Streams.
    Kinesis(kinesis::Kinesis),
}

impl Destination {
    /// The region that calls go to.
    #[must_use]
    pub fn region(&self) -> &str {
        match self {
            Self::Firehose(firehose) => firehose.region(),
            Self::Kinesis(kinesis) => kinesis.region(),
        }
    }
}

impl Service for Destination {
    async fn put(&self, call: Call) -> Answer {
        match self {
            Self::Firehose(firehose) => firehose.put(call).await,
            Self::Kinesis(kinesis) => kinesis.put(call).await,
        }
    }
}
