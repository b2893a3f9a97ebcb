//! What the machine says about itself: the instance (IMDSv2 alone) and the container (task metadata, version 4).
//! Promises that nobody waits for it, that what was learned stays until something newer is known, and that a machine
//! that says nothing is told once.
//! Leaves adding it to records to process.

use crate::telemetry::clock;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format;
use datalake_process::Instance;
use http::header::HeaderValue;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// It is on the same machine, or one hop away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One question with its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// A document of the machine has a few KiB.
const LARGEST_ANSWER: usize = 256 * 1024;
/// More tags than an instance can have.
const MOST_TAGS: usize = 100;
/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long a token is good for, in seconds; each fetch has its own.
const TOKEN_SECONDS: &str = "60";

/// Whom to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The instance metadata service, such as `http://169.254.169.254`.
    pub instance: Option<String>,
    /// The container's own address at the task metadata endpoint.
    pub container: Option<String>,
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// There is nobody to ask.
    #[error("`AWS_EC2_METADATA_DISABLED` is set, and `ECS_CONTAINER_METADATA_URI_V4` is not")]
    Nobody,
    /// A question was not answered.
    #[error("{url}: {reason}")]
    Silent {
        /// What was asked for.
        url: String,
        /// What happened instead.
        reason: String,
    },
}

impl Sources {
    /// As the variables say that the AWS SDKs go by: `AWS_EC2_METADATA_DISABLED`, `AWS_EC2_METADATA_SERVICE_ENDPOINT`,
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE` and `ECS_CONTAINER_METADATA_URI_V4`.
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let disabled = set("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let usual = match set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") {
            Some(mode) if mode.eq_ignore_ascii_case("ipv6") => "http://[fd00:ec2::254]",
            _ => "http://169.254.169.254",
        };
        let instance = set("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| usual.to_owned());
        Self {
            instance: (!disabled).then(|| instance.trim_end_matches('/').to_owned()),
            container: set("ECS_CONTAINER_METADATA_URI_V4"),
        }
    }

    /// Asks everybody once.
    ///
    /// # Errors
    /// When nobody has answered.
    pub async fn fetch(&self) -> Result<Instance, MachineError> {
        let client = Client::new();
        let mut known = Instance::default();
        let mut failure = None;
        let mut answered = false;
        if let Some(endpoint) = &self.instance {
            match client.instance(endpoint, &mut known).await {
                Ok(()) => answered = true,
                Err(error) => failure = Some(error),
            }
        }
        if let Some(endpoint) = &self.container {
            match client.container(endpoint, &mut known).await {
                Ok(()) => answered = true,
                Err(error) => failure = Some(error),
            }
        }
        if !answered {
            return Err(failure.unwrap_or(MachineError::Nobody));
        }
        let seconds = i64::try_from(clock::now_ms() / 1000).unwrap_or(i64::MAX);
        // As the original writes it: without fractions, and with the zone in digits.
        let fetched = DateTime::from_secs(seconds).fmt(Format::DateTime).ok();
        known.fetched = fetched.map(|text| text.trim_end_matches('Z').to_owned() + "+0000");
        Ok(known)
    }

    /// Tells `learned` what the machine says, again after each `stays_true`; ends where there is nobody to ask.
    pub async fn keep_learning(self, learned: watch::Sender<Option<Arc<Instance>>>, stays_true: Duration) {
        let mut failures = 0_u32;
        loop {
            let pause = match self.fetch().await {
                Ok(instance) => {
                    if failures > 0 || learned.borrow().is_none() {
                        tracing::info!("the machine says what it is; records are marked with it from now on");
                    }
                    failures = 0;
                    learned.send_replace(Some(Arc::new(instance)));
                    stays_true
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    if failures == 1 {
                        tracing::warn!(
                            reason = %error,
                            "the machine does not say what it is; records go without (or with what was known), and it is \
                             asked again; on EC2, IMDSv2 must be on, and its hop limit 2 for containers"
                        );
                    }
                    if matches!(error, MachineError::Nobody) {
                        return;
                    }
                    let doubled = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16));
                    doubled.min(LONGEST_PAUSE).min(stays_true.max(FIRST_PAUSE))
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Asks over plain HTTP, never through a proxy: whom it asks is on this machine.
struct Client {
    connector: SharedHttpConnector,
}

/// An answer that is none of the good ones.
enum Unanswered {
    /// The status says no.
    Status(u16),
    /// There was no answer.
    Lost(String),
}

impl Client {
    fn new() -> Self {
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
        Self { connector: SharedHttpConnector::new(Connector::builder().connector_settings(settings).build_http()) }
    }

    async fn ask(
        &self,
        method: http::Method,
        url: &str,
        header: Option<(&'static str, &str)>,
    ) -> Result<String, Unanswered> {
        let lost = |reason: &dyn std::fmt::Display| Unanswered::Lost(reason.to_string());
        let mut request = http::Request::new(SdkBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().map_err(|error: http::uri::InvalidUri| lost(&error))?;
        if let Some((name, value)) = header {
            let mut value = HeaderValue::from_str(value).map_err(|error| lost(&error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        let request = request.try_into().map_err(|error| lost(&error))?;
        let exchange = async {
            let response = self.connector.call(request).await.map_err(|error| lost(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_ANSWER);
            let body = body.collect().await.map_err(|error| lost(&error))?.to_bytes();
            if status.is_success() {
                String::from_utf8(body.to_vec()).map_err(|error| lost(&error))
            } else {
                Err(Unanswered::Status(status.as_u16()))
            }
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(Unanswered::Lost(format!("no answer within {ANSWER_TIMEOUT:?}"))),
        }
    }

    async fn instance(&self, endpoint: &str, known: &mut Instance) -> Result<(), MachineError> {
        let token_url = format!("{endpoint}/latest/api/token");
        let ttl = ("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
        let token = self.ask(http::Method::PUT, &token_url, Some(ttl)).await.map_err(|why| why.of(token_url))?;
        let get = async |path: String| {
            let url = format!("{endpoint}{path}");
            let header = ("x-aws-ec2-metadata-token", token.as_str());
            self.ask(http::Method::GET, &url, Some(header)).await.map_err(|why| (url, why))
        };
        let document = "/latest/dynamic/instance-identity/document";
        let text = get(document.to_owned()).await.map_err(|(url, why)| why.of(url))?;
        let document = object(&text, &format!("{endpoint}{document}"))?;
        let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
        known.private_ip = text("privateIp");
        known.availability_zone = text("availabilityZone");
        known.instance_id = text("instanceId");
        known.instance_type = text("instanceType");
        known.account_id = text("accountId");
        known.ami_id = text("imageId");
        known.region = text("region");
        // Only where tags are allowed in the metadata of the instance; else there are none, which is no failure.
        if let Ok(names) = get("/latest/meta-data/tags/instance".to_owned()).await {
            let mut tags = Vec::new();
            for name in names.lines().filter(|name| !name.is_empty()).take(MOST_TAGS) {
                if let Ok(value) = get(format!("/latest/meta-data/tags/instance/{}", escaped(name))).await {
                    tags.push((name.to_owned(), value));
                }
            }
            known.tags = Some(tags);
        }
        Ok(())
    }

    async fn container(&self, endpoint: &str, known: &mut Instance) -> Result<(), MachineError> {
        let get = async |url: String| match self.ask(http::Method::GET, &url, None).await {
            Ok(text) => object(&text, &url),
            Err(why) => Err(why.of(url)),
        };
        let endpoint = endpoint.trim_end_matches('/');
        let (container, task) = (get(endpoint.to_owned()).await?, get(format!("{endpoint}/task")).await?);
        let text = |from: &Value, key: &str| from.get(key).and_then(Value::as_str).map(str::to_owned);
        let arn = text(&task, "TaskARN");
        // arn:aws:ecs:REGION:ACCOUNT:task/…
        let part = |index: usize| arn.as_ref().and_then(|arn| arn.split(':').nth(index)).map(str::to_owned);
        known.region = known.region.take().or_else(|| part(3));
        known.account_id = known.account_id.take().or_else(|| part(4));
        known.availability_zone = known.availability_zone.take().or_else(|| text(&task, "AvailabilityZone"));
        let fields = [
            ("ecsCluster", text(&task, "Cluster")),
            ("ecsTaskArn", text(&task, "TaskARN")),
            ("ecsTaskFamily", text(&task, "Family")),
            ("ecsTaskRevision", text(&task, "Revision")),
            ("ecsServiceName", text(&task, "ServiceName")),
            ("containerName", text(&container, "Name")),
            ("containerId", text(&container, "DockerId")),
            ("containerImage", text(&container, "Image")),
        ];
        known.container = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Ok(())
    }
}

impl Unanswered {
    fn of(self, url: String) -> MachineError {
        let reason = match self {
            Self::Status(status) => format!("the answer has status {status}"),
            Self::Lost(reason) => reason,
        };
        MachineError::Silent { url, reason }
    }
}

fn object(text: &str, url: &str) -> Result<Value, MachineError> {
    let value = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    value.ok_or_else(|| MachineError::Silent { url: url.to_owned(), reason: "the answer is no JSON object".to_owned() })
}

/// A name of a tag as part of an address.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
