//! Signed calls to AWS: credentials and region of the environment, one connection pool, one call at a time.
//! Promises that a call ends within its time, that an answer is bounded, and that credentials are in no message.
//! Leaves what calls mean to those who make them.

use crate::Exit;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// One call.
const CALL: Duration = Duration::from_secs(30);
const LARGEST_ANSWER: usize = 64 << 20;

/// Who calls, and from where.
#[derive(Debug)]
pub struct Aws {
    region: String,
    credentials: SharedCredentialsProvider,
    http: SharedHttpConnector,
    https: SharedHttpConnector,
    /// Instead of the services' own addresses.
    endpoint: Option<String>,
}

/// One request.
#[derive(Debug)]
pub struct Call<'a> {
    /// As the signature names it: `athena`, `s3`.
    pub service: &'a str,
    /// GET, PUT, …
    pub method: &'a str,
    /// Everything of it, encoded.
    pub uri: String,
    /// Besides those of the signature.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// Of an object, without quotes.
    pub etag: Option<String>,
    /// Of a function that was called and failed: in which way.
    pub function_error: Option<String>,
    /// What was sent.
    pub body: Vec<u8>,
}

impl Aws {
    /// Finds credentials and region; `region` comes before those of the environment.
    ///
    /// # Errors
    /// When there are none.
    pub async fn connect(region: Option<&str>) -> Result<Self, Exit> {
        let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(aws_config::Region::new(region.to_owned()));
        }
        let config = loader.load().await;
        let region = config
            .region()
            .map(ToString::to_string)
            .ok_or_else(|| "no region is known: set AWS_REGION, or `athena.region` in lake.json".to_owned())?;
        let credentials = config.credentials_provider().ok_or_else(|| "there are no AWS credentials".to_owned())?;
        let tls = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build();
        Ok(Self {
            region,
            credentials,
            http: SharedHttpConnector::new(Connector::builder().build_http()),
            https: SharedHttpConnector::new(tls),
            endpoint: config.endpoint_url().map(str::to_owned),
        })
    }

    /// The region that calls go to.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where a service is asked for, if not at its own address: `AWS_ENDPOINT_URL_…` or `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn endpoint(&self, service: &str) -> Option<String> {
        let own = std::env::var(format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase())).ok();
        own.or_else(|| self.endpoint.clone()).map(|address| address.trim_end_matches('/').to_owned())
    }

    /// What the names of services end in.
    #[must_use]
    pub fn suffix(&self) -> &'static str {
        if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
    }

    /// Makes a call.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, Exit> {
        self.call_within(call, CALL).await
    }

    /// Makes a call whose answer may take its time.
    ///
    /// # Errors
    /// When nobody answers within `patience`.
    pub async fn call_within(&self, call: Call<'_>, patience: Duration) -> Result<Answer, Exit> {
        let host = call.uri.split('/').nth(2).unwrap_or_default().to_owned();
        let called = tokio::time::timeout(patience, self.exchange(call)).await;
        called.unwrap_or_else(|_| Err(Exit::Failed(format!("{host} did not answer within {} s", patience.as_secs()))))
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Answer, Exit> {
        let failed = |reason: &dyn std::fmt::Display| Exit::Failed(format!("cannot call {}: {reason}", call.service));
        let credentials = self.credentials.provide_credentials().await;
        let credentials = credentials.map_err(|error| {
            failed(&format!("there are no AWS credentials ({error}); set AWS_PROFILE, or see `aws configure`"))
        })?;
        let identity = Identity::from(credentials);
        let mut settings = SigningSettings::default();
        if call.service == "s3" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(call.service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let to_sign = SignableRequest::new(call.method, &call.uri, headers, SignableBody::Bytes(&call.body));
        let (instructions, _) =
            sign(to_sign.map_err(|error| failed(&error))?, &parameters).map_err(|error| failed(&error))?.into_parts();
        let mut request = http::Request::builder().method(call.method).uri(&call.uri);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(SdkBody::from(call.body.clone())).map_err(|error| failed(&error))?;
        instructions.apply_to_request_http1x(&mut request);
        let request = request.try_into().map_err(|error| failed(&format!("{error}")))?;
        let connector = if call.uri.starts_with("http:") { &self.http } else { &self.https };
        let answer = connector.call(request).await;
        let mut answer = answer.map_err(|error| failed(&format!("it does not answer: {}", reasons(&error))))?;
        let status = answer.status().as_u16();
        let etag = answer.headers().get("etag").map(|etag| etag.trim_matches('"').to_owned());
        let function_error = answer.headers().get("x-amz-function-error").map(str::to_owned);
        let body = Limited::new(answer.take_body(), LARGEST_ANSWER).collect().await.map_err(|error| failed(&error))?;
        Ok(Answer { status, etag, function_error, body: body.to_bytes().to_vec() })
    }

    /// A call of a service that speaks JSON.
    ///
    /// # Errors
    /// When nobody answers, or the service refuses, in its own words.
    pub async fn json(&self, service: &str, target: &str, request: &Value) -> Result<Value, Exit> {
        let address = self.endpoint(service);
        let uri = address.unwrap_or_else(|| format!("https://{service}.{}.{}", self.region, self.suffix())) + "/";
        let headers =
            vec![("content-type", "application/x-amz-json-1.1".to_owned()), ("x-amz-target", target.to_owned())];
        let call = Call { service, method: "POST", uri, headers, body: request.to_string().into_bytes() };
        let answer = self.call(call).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if answer.status == 200 {
            return Ok(body);
        }
        let code = body["__type"].as_str().and_then(|code| code.rsplit('#').next()).unwrap_or("no error code");
        let message = body["message"].as_str().or_else(|| body["Message"].as_str()).unwrap_or("no reason given");
        let words = datalake_base::shown::shown(&format!("{code}: {message}")).to_string();
        let operation = target.rsplit('.').next().unwrap_or(target);
        let name = if service == "athena" { "Athena" } else { service };
        Err(Exit::Failed(format!("{name} refuses {operation} (HTTP {}): {words}", answer.status)))
    }
}

/// An error with what it comes from, without what says the same again.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = error.source();
    }
    words
}
