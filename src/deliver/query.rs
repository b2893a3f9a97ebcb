//! The query protocol of AWS: one signed form, one answer in XML, through the SDK's credentials, connections and signing crate.
//! Promises one attempt a call, an end to every call, and words for the operator where it fails.
//! Leaves what a form asks for, and which region is meant, to the services that are spoken to so.

use super::connector;
use super::credentials;
use super::fault::{self, Place, Words};
use super::identity::{Keys, Lent};
use super::proxy::Proxy;
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

/// A service that takes forms.
#[derive(Debug)]
pub(super) struct Service {
    /// As signatures and host names have it.
    pub(super) name: &'static str,
    /// Words for the operator.
    pub(super) words: &'static Words,
    /// What would do where it is denied.
    pub(super) denied: &'static str,
}

/// Sends forms to a service.
#[derive(Debug)]
pub(super) struct Query {
    service: &'static Service,
    pub(super) uri: http::Uri,
    pub(super) region: String,
    keys: Keys,
    connector: SharedHttpConnector,
    proxy: Option<Proxy>,
    skew: Skew,
}

/// Why the service did not take a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotTaken {
    /// The service's error code, or ours in lower case.
    pub code: String,
    /// The reason, and what to do.
    pub message: String,
}

impl Query {
    /// Finds address and certificates; sends nothing and does not wait for credentials. `endpoint` is another address than
    /// the region's own, with scheme.
    ///
    /// # Errors
    /// When there is no such address, or the extra certificates cannot be read.
    pub(super) async fn connect(
        service: &'static Service,
        settings: &Settings,
        endpoint: Option<&str>,
        region: String,
    ) -> Result<Self, SessionError> {
        let config = session::sdk_config(settings, endpoint, &region).await;
        let address = match config.endpoint_url() {
            Some(url) => url.to_owned(),
            None => {
                let (fips, dual_stack) =
                    (config.use_fips().unwrap_or_default(), config.use_dual_stack().unwrap_or_default());
                address(service.name, &region, fips, dual_stack)
            }
        };
        let uri = match address.parse::<http::Uri>() {
            Ok(uri) => uri,
            Err(error) => {
                let reason = format!("`{address}`: {error}");
                return Err(SessionError::Endpoint { service: service.words.service, region, reason });
            }
        };
        let connector = connector::to(&uri, settings)?;
        let proxy = Proxy::on_the_way_to(&uri, environment);
        let keys = credentials::keys(settings, &region, connector::for_keys(settings)?);
        Ok(Self { service, uri, region, keys, connector, proxy, skew: Skew::default() })
    }

    /// Sends one form and waits for the answer, 20 s at most.
    ///
    /// # Errors
    /// When there are no credentials, nobody answers, or the service refuses.
    pub(super) async fn send(&self, form: String) -> Result<String, NotTaken> {
        match tokio::time::timeout(PATIENCE, self.exchange(form)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unanswered(&format!("no answer within {} s", PATIENCE.as_secs()), true)),
        }
    }

    async fn exchange(&self, form: String) -> Result<String, NotTaken> {
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
        let body = String::from_utf8_lossy(&body).into_owned();
        if status == 200 {
            return Ok(body);
        }
        Err(self.refused(status, &body, &date, now, &keys))
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
            .name(self.service.name)
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
            self.service.denied.to_owned()
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
        let place = Place { endpoint: &address, region, stream: "", words: self.service.words, proxy };
        let fault = fault::of_connection(reason, timeout, false, place);
        NotTaken { code: fault.code, message: fault.message }
    }
}

fn unsendable(reason: &str) -> NotTaken {
    NotTaken { code: "request".to_owned(), message: format!("the request cannot be made: {reason}") }
}

/// The service's own address in a region, after the partitions of AWS.
fn address(service: &str, region: &str, fips: bool, dual_stack: bool) -> String {
    let (suffix, dual_stack_suffix) = match region {
        _ if region.starts_with("cn-") => ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        _ if region.starts_with("eusc-") => ("amazonaws.eu", "api.amazonwebservices.eu"),
        _ if region.starts_with("us-iso-") => ("c2s.ic.gov", "api.aws.ic.gov"),
        _ if region.starts_with("us-isob-") => ("sc2s.sgov.gov", "api.aws.scloud"),
        _ => ("amazonaws.com", "api.aws"),
    };
    let fips = if fips && !region.starts_with("us-gov-") { "-fips" } else { "" };
    format!("https://{service}{fips}.{region}.{}", if dual_stack { dual_stack_suffix } else { suffix })
}

/// The text of the first XML element of this name; the service's error answers nest nothing of the same name.
pub(super) fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
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
            assert_eq!(address("monitoring", region, fips, dual_stack), expected);
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
}
