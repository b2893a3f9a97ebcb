//! Questions to a service that send no record: whether it is reached, what time it has, who is asking, what a stream is like.
//! Promises one attempt a question, an end to each, and the words of the fault table where one is not answered.
//! Leaves judging the answers to the commands.

use super::caller::{Caller, Dialect};
use super::fault::{self, Place, Refusal, Words};
use super::hints;
use super::outcomes::Reader;
use super::proxy::Proxy;
use super::query::{self, NotTaken, Query, Service};
use super::said;
use super::session::{self, Session};
use super::settings::{SessionError, Settings, Target};
use super::wire::{self, NoAnswer};
use super::{Fault, Meaning};
use crate::telemetry::clock;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::{DateTime, Format};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// As the agent calls itself.
const AGENT: &str = concat!("datalake-agent/", env!("CARGO_PKG_VERSION"));

static FIREHOSE: Words = Words { action: "firehose:DescribeDeliveryStream", ..copy(&fault::FIREHOSE) };
static KINESIS: Words = Words { action: "kinesis:DescribeStreamSummary", ..copy(&fault::KINESIS) };
static CHANNELS: Words = Words { action: "kinesis:ListChannels", ..copy(&fault::KINESIS) };

const fn copy(words: &Words) -> Words {
    Words { ..*words }
}

static ABOUT_DELIVERY_STREAMS: Dialect =
    Dialect { stream_name: "\"DeliveryStreamName\":\"", reader: Reader { list: "" }, words: &FIREHOSE };
static ABOUT_STREAMS: Dialect =
    Dialect { stream_name: "\"StreamName\":\"", reader: Reader { list: "" }, words: &KINESIS };
static ABOUT_CHANNELS: Dialect =
    Dialect { stream_name: "\"StreamName\":\"", reader: Reader { list: "" }, words: &CHANNELS };

static STS: Service = Service {
    name: "sts",
    words: &Words {
        service: "STS",
        stream: "account",
        key: "region",
        endpoint_key: "sts.endpoint",
        action: "sts:GetCallerIdentity",
    },
    denied: "a policy of the organisation denies `sts:GetCallerIdentity`; the agent itself does not need it",
};

/// A service, with the credentials of some flows.
#[derive(Debug)]
pub struct Probe {
    target: Target,
    session: Session,
}

/// Who the credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The account.
    pub account: String,
    /// The user or role.
    pub arn: String,
}

impl Probe {
    /// Finds region, address and certificates; sends nothing.
    ///
    /// # Errors
    /// As for a session that sends records.
    pub async fn connect(settings: &Settings, target: Target) -> Result<Self, SessionError> {
        Ok(Self { target, session: session::connect(settings, target).await? })
    }

    /// The address of the service.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.session.endpoint()
    }

    /// The region that calls are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        self.session.region()
    }

    /// The proxy on the way, and the variable that names it.
    #[must_use]
    pub fn proxy(&self) -> Option<String> {
        self.session.proxy.as_ref().map(Proxy::to_string)
    }

    /// The name and port that connections are made to: those of the proxy, where there is one.
    #[must_use]
    pub fn first_hop(&self) -> Option<(String, u16)> {
        let address = self.session.proxy.as_ref().map_or(self.session.endpoint(), Proxy::address);
        let uri: http::Uri = address.parse().ok()?;
        let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some((host, uri.port_u16().unwrap_or(usual)))
    }

    /// Asks for nothing, without a signature; answers by how many seconds this machine's clock is behind the service's
    /// (negative: ahead), where the answer has a date.
    ///
    /// # Errors
    /// When nobody answers, or a proxy does in the service's place.
    pub async fn reach(&self) -> Result<Option<i64>, Fault> {
        let request = http::Request::get(self.session.envelope.uri.clone())
            .header(http::header::USER_AGENT, AGENT)
            .body(SdkBody::empty())
            .map_err(|error| Fault {
                meaning: Meaning::Hold,
                code: "request".to_owned(),
                message: error.to_string(),
            })?;
        let asked = wire::send(&self.session.connector, request);
        let answered = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answered) => answered,
            Err(_) => Err(NoAnswer { reason: format!("no answer within {} s", PATIENCE.as_secs()), timeout: true }),
        };
        let response =
            answered.map_err(|lost| fault::of_connection(&lost.reason, lost.timeout, false, self.place()))?;
        let status = response.status().as_u16();
        if matches!(status, 407 | 511) {
            let by = said::excerpt(response.headers().get("server").unwrap_or_default().as_bytes());
            let refusal = Refusal { status, code: "", said: "", by: &by, sent: 0 };
            return Err(fault::of_response(&refusal, self.place()));
        }
        let ours = i64::try_from(clock::now_ms() / 1000).unwrap_or(i64::MAX);
        let date = DateTime::from_str(response.headers().get("date").unwrap_or_default(), Format::HttpDate);
        Ok(date.ok().map(|theirs| theirs.secs().saturating_sub(ours)))
    }

    /// What the service says about the stream: the value of `DeliveryStreamDescription`, or of `StreamDescriptionSummary`.
    ///
    /// # Errors
    /// What the failure means; `AccessDeniedException` where the question is not allowed.
    pub async fn describe(&self, stream: &str) -> Result<Value, Fault> {
        let (operation, dialect, body, wanted) = match self.target {
            Target::Firehose => (
                "Firehose_20150804.DescribeDeliveryStream",
                &ABOUT_DELIVERY_STREAMS,
                json!({"DeliveryStreamName": stream, "Limit": 1}),
                "DeliveryStreamDescription",
            ),
            Target::Kinesis => (
                "Kinesis_20131202.DescribeStreamSummary",
                &ABOUT_STREAMS,
                json!({"StreamName": stream}),
                "StreamDescriptionSummary",
            ),
        };
        Ok(self.ask(operation, dialect, &body).await?[wanted].take())
    }

    /// The channels that deliver a stream of Kinesis, each as `DescribeChannel` has it.
    ///
    /// # Errors
    /// As for a description.
    pub async fn channels(&self, stream_arn: &str) -> Result<Vec<Value>, Fault> {
        let body = json!({"StreamFilter": [{"StreamARN": stream_arn}], "MaxResults": 10});
        let mut listed = self.ask("Kinesis_20131202.ListChannels", &ABOUT_CHANNELS, &body).await?;
        let Value::Array(summaries) = listed["ChannelSummaries"].take() else { return Ok(Vec::new()) };
        let mut channels = Vec::new();
        for summary in summaries {
            let body = json!({"ChannelARN": summary["ChannelARN"]});
            let described = self.ask("Kinesis_20131202.DescribeChannel", &ABOUT_CHANNELS, &body).await;
            // What the list says is better than nothing.
            channels.push(described.map_or(summary, |mut described| described["ChannelDescription"].take()));
        }
        Ok(channels)
    }

    async fn ask(&self, operation: &'static str, dialect: &'static Dialect, body: &Value) -> Result<Value, Fault> {
        let session = self.session.aimed_at(operation).ok_or_else(|| Fault {
            meaning: Meaning::Hold,
            code: "request".to_owned(),
            message: format!("{} is no address that can be signed for", self.endpoint()),
        })?;
        let caller = Caller::new(session, dialect, PATIENCE);
        let question = || caller.ask(Bytes::from(body.to_string()));
        let answer = match question().await {
            // The clock of this machine was wrong, and the second attempt is signed with the service's time.
            Err(fault) if fault.meaning == Meaning::NotSent && fault.message.starts_with("the clock") => {
                question().await
            }
            answered => answered,
        }?;
        serde_json::from_slice(&answer).map_err(|error| Fault {
            meaning: Meaning::Unknown,
            code: "answer".to_owned(),
            message: format!("{} answered something that is no JSON: {error}", self.endpoint()),
        })
    }

    fn place(&self) -> Place<'_> {
        let words = match self.target {
            Target::Firehose => &FIREHOSE,
            Target::Kinesis => &KINESIS,
        };
        let (endpoint, region) = (self.session.endpoint(), self.session.region());
        Place { endpoint, region, stream: "", words, proxy: self.session.proxy.as_ref() }
    }
}

/// Asks STS who the credentials of these settings belong to. `region` is that of the streams.
///
/// # Errors
/// When there are no credentials, nobody answers, or STS refuses.
pub async fn identify(settings: &Settings, region: &str) -> Result<Identified, NotTaken> {
    let connected = Query::connect(&STS, settings, settings.sts_endpoint.as_deref(), region.to_owned());
    let query = hints::logged_once(connected)
        .await
        .map_err(|error| NotTaken { code: "sts".to_owned(), message: error.to_string() })?;
    let form = || query.send("Action=GetCallerIdentity&Version=2011-06-15".to_owned());
    let answer = match form().await {
        Err(refused) if refused.message.starts_with("the clock") => form().await,
        answered => answered,
    }?;
    let text = |name| query::element(&answer, name).map(|text| said::cut(text).into_owned()).unwrap_or_default();
    Ok(Identified { account: text("Account"), arn: text("Arn") })
}
