//! PutMetricData: one signed form to CloudWatch, through the SDK's credentials, connections and signing crate.
//! Promises one attempt a call, an end to every call, and words for the operator where it fails.
//! Leaves what is sent and when to `metrics`; nothing here knows a delivery stream.

use super::connector;
use super::credentials;
use super::fault::{self, Place};
use super::hints;
use super::identity::{Keys, Lent};
use super::proxy::Proxy;
use super::region;
use super::said;
use super::session;
use super::settings::{SessionError, Settings, environment};
use super::wire::{self, Skew};
use crate::telemetry::clock;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_types::body::SdkBody;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http_body_util::{BodyExt, Limited};
use std::time::{Duration, SystemTime};

/// How long a call may take, from asking for credentials' signature to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Largest answer that is read; a good one has 200 bytes.
const LARGEST_ANSWER: usize = 64 * 1024;
/// What a form is called.
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// As the agent calls itself.
const AGENT: &str = concat!("datalake-agent/", env!("CARGO_PKG_VERSION"));

/// Sends forms to CloudWatch.
#[derive(Debug)]
pub struct CloudWatch {
    uri: http::Uri,
    region: String,
    keys: Keys,
    connector: SharedHttpConnector,
    proxy: Option<Proxy>,
    skew: Skew,
}

/// Why CloudWatch did not take a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotTaken {
    /// The service's error code, or ours in lower case.
    pub code: String,
    /// The reason, and what to do.
    pub message: String,
}

impl CloudWatch {
    /// Finds region, address and certificates; sends nothing and does not wait for credentials. `endpoint` is another
    /// address than the region's own, with scheme.
    ///
    /// # Errors
    /// When there is no such address, or the extra certificates cannot be read.
    pub async fn connect(settings: &Settings, endpoint: Option<&str>) -> Result<Self, SessionError> {
        hints::logged_once(Self::connect_quietly(settings, endpoint)).await
    }

    async fn connect_quietly(settings: &Settings, endpoint: Option<&str>) -> Result<Self, SessionError> {
        // There is no key for this region alone: the endpoint names it, else metrics go where the records go.
        let named = endpoint.and_then(region::region_of_endpoint).map(str::to_owned);
        let configured = named.or_else(|| settings.region.clone()).or_else(|| settings.kinesis_region.clone());
        let others = [settings.firehose_endpoint.as_deref(), settings.kinesis_endpoint.as_deref()];
        let mut naming = others.into_iter().flatten();
        let naming = naming.find(|endpoint| region::region_of_endpoint(endpoint).is_some()).or(endpoint);
        let region = region::region(configured.as_ref(), naming).await?;
        let config = session::sdk_config(settings, endpoint, &region).await;
        let address = match config.endpoint_url() {
            Some(url) => url.to_owned(),
            None => {
                address(&region, config.use_fips().unwrap_or_default(), config.use_dual_stack().unwrap_or_default())
            }
        };
        let uri = match address.parse::<http::Uri>() {
            Ok(uri) => uri,
            Err(error) => {
                return Err(SessionError::Endpoint {
                    service: "CloudWatch",
                    region,
                    reason: format!("`{address}`: {error}"),
                });
            }
        };
        let connector = connector::to(&uri, settings)?;
        let proxy = Proxy::on_the_way_to(&uri, environment);
        let keys = credentials::keys(settings, &region, connector::for_keys(settings)?);
        Ok(Self { uri, region, keys, connector, proxy, skew: Skew::default() })
    }

    /// Sends one form and waits for the answer, 20 s at most.
    ///
    /// # Errors
    /// When there are no credentials, nobody answers, or the service refuses.
    pub async fn put(&self, form: String) -> Result<(), NotTaken> {
        match tokio::time::timeout(PATIENCE, self.exchange(form)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unanswered(&format!("no answer within {} s", PATIENCE.as_secs()), true)),
        }
    }

    async fn exchange(&self, form: String) -> Result<(), NotTaken> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock::now_ms());
        let keys = self.keys.credentials(now).await.map_err(|error| {
            let fault = fault::of_credentials(&error.reason);
            NotTaken { code: fault.code, message: fault.message }
        })?;
        let request = self.signed(form, keys.credentials.clone(), self.skew.apply(now))?;
        let sent = wire::send(&self.connector, request).await;
        let mut response = sent.map_err(|lost| self.unanswered(&lost.reason, lost.timeout))?;
        let status = response.status().as_u16();
        let date = response.headers().get("date").unwrap_or_default().to_owned();
        // Read to its end, so that the connection can be used again.
        let body = Limited::new(response.take_body(), LARGEST_ANSWER).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if status == 200 {
            return Ok(());
        }
        Err(self.refused(status, &String::from_utf8_lossy(&body), &date, now, &keys))
    }

    fn signed(
        &self,
        form: String,
        credentials: Credentials,
        time: SystemTime,
    ) -> Result<http::Request<SdkBody>, NotTaken> {
        let identity = Identity::from(credentials);
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("monitoring")
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unsendable(&error.to_string()))?
            .into();
        let headers = [(CONTENT_TYPE.as_str(), FORM)].into_iter();
        let address = self.uri.to_string();
        let request = SignableRequest::new("POST", &address, headers, SignableBody::Bytes(form.as_bytes()))
            .map_err(|error| unsendable(&error.to_string()))?;
        let (instructions, _) =
            sign(request, &parameters).map_err(|error| unsendable(&error.to_string()))?.into_parts();
        let mut request = http::Request::post(self.uri.clone())
            .header(CONTENT_TYPE, FORM)
            .header(USER_AGENT, AGENT)
            .body(SdkBody::from(form))
            .map_err(|error| unsendable(&error.to_string()))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    /// What a refusal means; learns from it what the next attempt needs.
    fn refused(&self, status: u16, body: &str, date: &str, now: SystemTime, keys: &Lent) -> NotTaken {
        let code = said::bare_code(element(body, "Code").unwrap_or_default());
        let said = said::cut(element(body, "Message").unwrap_or("the service gave no reason"));
        let name = if code.is_empty() { format!("http {status}") } else { code.to_owned() };
        if fault::is_about_credentials(code) {
            if let Some(seconds) = self.skew.learn(date, now) {
                let fault = fault::of_clock(code, seconds);
                return NotTaken { code: fault.code, message: fault.message };
            }
            self.keys.distrust(keys);
        }
        let advice = if code.starts_with("AccessDenied") || code == "UnauthorizedOperation" {
            "allow `cloudwatch:PutMetricData` for the agent's credentials, or set `cloudwatch.emitMetrics` to false"
                .to_owned()
        } else if fault::is_about_credentials(code) {
            "check the agent's credentials".to_owned()
        } else {
            format!("check what stands at {}", self.uri)
        };
        NotTaken { message: format!("{name}: {said}; {advice}"), code: name }
    }

    fn unanswered(&self, reason: &str, timeout: bool) -> NotTaken {
        let address = self.uri.to_string();
        let (region, proxy) = (&self.region, self.proxy.as_ref());
        let place = Place { endpoint: &address, region, stream: "", words: &fault::CLOUDWATCH, proxy };
        let fault = fault::of_connection(reason, timeout, false, place);
        NotTaken { code: fault.code, message: fault.message }
    }
}

fn unsendable(reason: &str) -> NotTaken {
    NotTaken { code: "request".to_owned(), message: format!("the request cannot be made: {reason}") }
}

/// The service's own address in a region, after the partitions of AWS.
fn address(region: &str, fips: bool, dual_stack: bool) -> String {
    let (suffix, dual_stack_suffix) = match region {
        _ if region.starts_with("cn-") => ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        _ if region.starts_with("eusc-") => ("amazonaws.eu", "api.amazonwebservices.eu"),
        _ if region.starts_with("us-iso-") => ("c2s.ic.gov", "api.aws.ic.gov"),
        _ if region.starts_with("us-isob-") => ("sc2s.sgov.gov", "api.aws.scloud"),
        _ => ("amazonaws.com", "api.aws"),
    };
    let service = if fips && !region.starts_with("us-gov-") { "monitoring-fips" } else { "monitoring" };
    format!("https://{service}.{region}.{}", if dual_stack { dual_stack_suffix } else { suffix })
}

/// The text of the first XML element of this name; the service's error answers nest nothing of the same name.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_own_address() {
        for (region, fips, dual_stack, expected) in [
            ("eu-west-1", false, false, "https://monitoring.eu-west-1.amazonaws.com"),
            ("us-east-1", true, false, "https://monitoring-fips.us-east-1.amazonaws.com"),
            ("us-east-2", false, true, "https://monitoring.us-east-2.api.aws"),
            ("us-gov-west-1", true, false, "https://monitoring.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", false, false, "https://monitoring.cn-north-1.amazonaws.com.cn"),
            ("us-iso-east-1", false, false, "https://monitoring.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", false, false, "https://monitoring.us-isob-east-1.sc2s.sgov.gov"),
        ] {
            assert_eq!(address(region, fips, dual_stack), expected);
        }
    }

    #[test]
    fn code_and_message_are_read_out_of_an_error_and_out_of_nothing_else() {
        let body = "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                    <Message>User is not authorized</Message></Error></ErrorResponse>";
        assert_eq!(element(body, "Code"), Some("AccessDenied"));
        assert_eq!(element(body, "Message"), Some("User is not authorized"));
        for body in ["", "<html>", "<Code>", "</Code><Code>", "{\"code\": 1}"] {
            assert_eq!(element(body, "Code"), None, "{body}");
        }
    }

    #[tokio::test]
    async fn the_endpoint_names_the_region_and_without_it_that_of_the_records_counts() {
        let keys = Some(("id".to_owned(), "secret".to_owned()));
        let settings = Settings { access_key: keys, ..Settings::default() };
        let endpoint = Some("https://monitoring.eu-west-3.amazonaws.com");
        assert_eq!(CloudWatch::connect(&settings, endpoint).await.unwrap().region, "eu-west-3");
        let settings = Settings { region: Some("eu-north-1".into()), ..settings };
        assert_eq!(CloudWatch::connect(&settings, endpoint).await.unwrap().region, "eu-west-3");
        let other = Some("https://metrics.example.com");
        assert_eq!(CloudWatch::connect(&settings, other).await.unwrap().region, "eu-north-1");
        let own = CloudWatch::connect(&settings, None).await.unwrap();
        assert_eq!(own.uri, "https://monitoring.eu-north-1.amazonaws.com/");
        let firehose_endpoint = Some("https://firehose.eu-south-1.amazonaws.com".to_owned());
        let settings = Settings { region: None, firehose_endpoint, ..settings };
        assert_eq!(CloudWatch::connect(&settings, None).await.unwrap().region, "eu-south-1");
    }
}
