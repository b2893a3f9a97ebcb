//! Where and as whom to call the service: region, endpoint, credentials, TLS, proxy, as the SDK finds them.
//! Promises a session without waiting for credentials; they are fetched by the first call and refreshed by later ones.
//! Leaves signing and sending to `wire`, caching of keys to `identity`, and the meaning of answers to `firehose`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use http::HeaderMap;

use super::connector;
use super::credentials;
use super::hints;
use super::identity::Keys;
use super::proxy::Proxy;
use super::region::region;
use super::settings::environment;
use super::signature::Signer;

pub use super::settings::{SessionError, Settings, Target};

/// The parts of a request that are the same for every call, as the SDK wrote them.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// Address, with path.
    pub(super) uri: http::Uri,
    /// The same, as text.
    pub(super) address: String,
    /// Headers without those that belong to one call (date, signature, length, attempt).
    pub(super) headers: HeaderMap,
}

/// Everything a call needs beside its body.
#[derive(Debug)]
pub struct Session {
    target: Target,
    /// The fixed parts of a request.
    pub(super) envelope: Envelope,
    /// The region that requests are signed for.
    pub(super) region: String,
    /// The credentials, fetched when first asked for.
    pub(super) keys: Arc<Keys>,
    /// What signs.
    pub(super) signer: Signer,
    /// The SDK's pooled connections.
    pub(super) connector: SharedHttpConnector,
    /// The proxy that they go through.
    pub(super) proxy: Option<Proxy>,
}

impl Session {
    /// Address of the service.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.envelope.address
    }

    /// Region that requests are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The same for another operation of the service, which shares keys and connections.
    pub(super) fn aimed_at(&self, operation: &'static str) -> Option<Self> {
        let mut envelope = self.envelope.clone();
        envelope.headers.insert("x-amz-target", http::HeaderValue::from_static(operation));
        let (signer, region) = (signer(self.target, &envelope, &self.region)?, self.region.clone());
        let (keys, connector, proxy) = (self.keys.clone(), self.connector.clone(), self.proxy.clone());
        Some(Self { target: self.target, envelope, region, keys, signer, connector, proxy })
    }
}

fn signer(target: Target, envelope: &Envelope, region: &str) -> Option<Signer> {
    let header = |name: &str| envelope.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Signer::new(target.name(), &envelope.uri, region, header("content-type"), header("x-amz-target"))
}

/// Finds region, endpoint and certificates; sends nothing and does not wait for credentials.
///
/// # Errors
/// When no endpoint can be made out of the settings and the environment, or the extra certificates cannot be read.
pub async fn connect(settings: &Settings, target: Target) -> Result<Session, SessionError> {
    hints::logged_once(connect_quietly(settings, target)).await
}

async fn connect_quietly(settings: &Settings, target: Target) -> Result<Session, SessionError> {
    let endpoint = target.endpoint(settings);
    let region = region(settings.region_for(target), endpoint).await?;
    let config = sdk_config(settings, endpoint, &region).await;
    let envelope = envelope(&config, target, &region).await?;
    let Some(signer) = signer(target, &envelope, &region) else {
        let reason = format!("`{}` is an address with a query or an unusual path", envelope.address);
        return Err(SessionError::Endpoint { service: target.name(), region, reason });
    };
    let keys = credentials::keys(settings, &region, connector::for_keys(settings)?);
    let (connector, proxy) =
        (connector::to(&envelope.uri, settings)?, Proxy::on_the_way_to(&envelope.uri, environment));
    if let Some(proxy) = &proxy {
        let (endpoint, variable) = (&envelope.address, proxy.variable());
        tracing::info!(endpoint, proxy = proxy.address(), variable, "calls go through a proxy");
    }
    Ok(Session { target, envelope, region, keys: Arc::new(keys), signer, connector, proxy })
}

/// The agent's AWS credentials, for whoever signs something else than calls to a stream.
#[derive(Debug)]
pub struct Identity(Keys);

impl Identity {
    /// Those of the settings and the environment; none is fetched before it is asked for.
    ///
    /// # Errors
    /// When the extra certificates cannot be read.
    pub fn of(settings: &Settings, region: &str) -> Result<Self, SessionError> {
        Ok(Self(credentials::keys(settings, region, connector::for_keys(settings)?)))
    }

    /// Credentials that are good now.
    ///
    /// # Errors
    /// In words, when there are none.
    pub async fn credentials(&self) -> Result<Credentials, String> {
        let now = std::time::UNIX_EPOCH + Duration::from_millis(crate::telemetry::clock::now_ms());
        let keys = self.0.credentials(now).await;
        keys.map(|keys| keys.credentials).map_err(|error| format!("no AWS credentials: {}", error.reason))
    }
}

/// The SDK's view of the environment, for writing calls to a service; nothing is sent through it.
pub(super) async fn sdk_config(settings: &Settings, endpoint: Option<&str>, region: &str) -> SdkConfig {
    let mut loader = credentials::loader(settings, region).no_credentials();
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(with_scheme(endpoint));
    }
    loader.load().await
}

/// Kinesis Agent configurations name the host alone.
fn with_scheme(endpoint: &str) -> String {
    if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") }
}

/// Has the SDK write one request, which is not sent, and keeps its address and headers.
async fn envelope(config: &SdkConfig, target: Target, region: &str) -> Result<Envelope, SessionError> {
    let service = target.name();
    let failed = |reason: String| SessionError::Endpoint { service, region: region.to_owned(), reason };
    let capture = Capture::default();
    let connector = SharedHttpConnector::new(capture.clone());
    let mut config = config.to_builder();
    config.set_credentials_provider(Some(SharedCredentialsProvider::new(Credentials::new(
        "placeholder",
        "placeholder",
        None,
        None,
        "placeholder",
    ))));
    let config = config.http_client(http_client_fn(move |_, _| connector.clone())).build();
    let refused = match target {
        Target::Firehose => write_to_firehose(&config).await,
        Target::Kinesis => write_to_kinesis(&config).await,
    };
    let captured = capture.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(request) = captured else {
        return Err(failed(refused.unwrap_or_default()));
    };
    let request = request.try_into_http1x().map_err(|error| failed(error.to_string()))?;
    let (mut parts, _) = request.into_parts();
    for of_one_call in [
        "authorization",
        "x-amz-date",
        "x-amz-security-token",
        "content-length",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
    ] {
        parts.headers.remove(of_one_call);
    }
    // The long description of the client says more than the short one; and a header that begins with `x-amz` would have to
    // be signed.
    if let Some(description) = parts.headers.remove("x-amz-user-agent") {
        parts.headers.insert(http::header::USER_AGENT, description);
    }
    let address = parts.uri.to_string();
    Ok(Envelope { uri: parts.uri, address, headers: parts.headers })
}

/// Makes a call with nothing in it; why the SDK refuses to, if it does.
async fn write_to_firehose(config: &SdkConfig) -> Option<String> {
    use aws_sdk_firehose::{Client, primitives::Blob, types::Record};
    let record = Record::builder().data(Blob::new("")).build().ok()?;
    let call = Client::new(config).put_record_batch().delivery_stream_name("placeholder").records(record);
    call.send().await.err().map(|error| super::said::causes(&error))
}

/// The same for Kinesis.
async fn write_to_kinesis(config: &SdkConfig) -> Option<String> {
    use aws_sdk_kinesis::{Client, primitives::Blob, types::PutRecordsRequestEntry};
    let record = PutRecordsRequestEntry::builder().data(Blob::new("")).partition_key("placeholder").build().ok()?;
    let call = Client::new(config).put_records().stream_name("placeholder").records(record);
    call.send().await.err().map(|error| super::said::causes(&error))
}

/// A connector that keeps the request instead of sending it.
#[derive(Clone, Debug, Default)]
struct Capture(Arc<Mutex<Option<HttpRequest>>>);

impl HttpConnector for Capture {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        HttpConnectorFuture::ready(Err(ConnectorError::user("only looked at".into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_envelope_is_what_the_sdk_would_send_less_what_belongs_to_one_call() {
        let settings = Settings {
            region: Some("eu-west-1".into()),
            firehose_endpoint: Some("http://127.0.0.1:9/base".into()),
            kinesis_endpoint: Some("http://127.0.0.1:8".into()),
            access_key: Some(("id".into(), "secret".into())),
            ..Settings::default()
        };
        let session = connect(&settings, Target::Firehose).await.unwrap();
        let headers = &session.envelope.headers;
        assert_eq!(headers["x-amz-target"], "Firehose_20150804.PutRecordBatch");
        assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
        let agent = headers["user-agent"].to_str().unwrap();
        assert!(agent.contains(concat!("app/datalake-agent-", env!("CARGO_PKG_VERSION"))), "{agent}");
        assert!(!headers.contains_key("authorization") && !headers.contains_key("x-amz-date"));
        assert_eq!(session.region(), "eu-west-1");
        assert!(session.endpoint().starts_with("http://127.0.0.1:9/base"), "{}", session.endpoint());
        let session = connect(&settings, Target::Kinesis).await.unwrap();
        assert_eq!(session.envelope.headers["x-amz-target"], "Kinesis_20131202.PutRecords");
        assert_eq!(session.envelope.headers["content-type"], "application/x-amz-json-1.1");
        assert_eq!(session.endpoint(), "http://127.0.0.1:8/");
    }

    #[tokio::test]
    async fn an_endpoint_without_scheme_is_taken_as_https() {
        let settings = Settings {
            firehose_endpoint: Some("firehose.eu-west-1.amazonaws.com".into()),
            access_key: Some(("id".into(), "secret".into())),
            ..Settings::default()
        };
        let session = connect(&settings, Target::Firehose).await.unwrap();
        assert_eq!(session.endpoint(), "https://firehose.eu-west-1.amazonaws.com/");
        assert_eq!(session.region(), "eu-west-1");
    }

    #[tokio::test]
    async fn endpoints_after_fips_and_on_ipv6_are_those_of_the_region() {
        let access_key = Some(("id".into(), "secret".into()));
        let settings = Settings { region: Some("us-east-2".into()), access_key, ..Settings::default() };
        let fips = connect(&Settings { fips: true, ..settings.clone() }, Target::Firehose).await.unwrap();
        assert_eq!(fips.endpoint(), "https://firehose-fips.us-east-2.amazonaws.com/");
        let dual = connect(&Settings { dual_stack: true, ..settings }, Target::Kinesis).await.unwrap();
        assert_eq!(dual.endpoint(), "https://kinesis.us-east-2.api.aws/");
    }
}
