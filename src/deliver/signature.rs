//! The signature of one call (AWS Signature Version 4), for the one form of request that is sent here.
//! Promises the very signature that the SDK's signer makes, in half the time: the key is kept for the day.
//! Leaves keys to `identity`, sending to `wire`, and the arithmetic of the signature to the SDK's signing crate.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use http::Uri;
use sha2::{Digest, Sha256};

/// Signs requests to one address with one target.
#[derive(Debug)]
pub(super) struct Signer {
    service: &'static str,
    region: String,
    /// The canonical request up to and with the host.
    before_date: String,
    /// The canonical header after the date and the token.
    after_token: String,
    /// The key of the day, for these credentials.
    key: Mutex<Option<DayKey>>,
}

#[derive(Debug)]
struct DayKey {
    day: String,
    credentials: Credentials,
    key: Vec<u8>,
}

/// What a signed request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// `x-amz-date`.
    pub(super) date: String,
    /// `authorization`.
    pub(super) authorization: String,
}

impl Signer {
    /// A signer for requests to this service at `uri`; nothing if the address has parts that a service's has not.
    pub(super) fn new(
        service: &'static str,
        uri: &Uri,
        region: &str,
        content_type: &str,
        target: &str,
    ) -> Option<Self> {
        let path = uri.path();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
        if uri.query().is_some() || !path.bytes().all(plain) || path.contains("//") || path.contains("/.") {
            return None;
        }
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let host = match uri.port_u16().filter(|port| *port != usual) {
            Some(port) => format!("{}:{port}", uri.host()?),
            None => uri.host()?.to_owned(),
        };
        Some(Self {
            service,
            region: region.to_owned(),
            before_date: format!("POST\n{path}\n\ncontent-type:{content_type}\nhost:{host}\nx-amz-date:"),
            after_token: format!("x-amz-target:{target}\n\n"),
            key: Mutex::default(),
        })
    }

    /// The headers that sign this body at this time.
    pub(super) fn sign(&self, body: &[u8], credentials: &Credentials, time: SystemTime) -> Signed {
        let date = date(time);
        let (day, region, service) = (&date[..8], &self.region, self.service);
        let mut canonical = String::with_capacity(2048);
        canonical.push_str(&self.before_date);
        canonical.push_str(&date);
        canonical.push('\n');
        let signed_headers = match credentials.session_token() {
            Some(token) => {
                canonical.push_str("x-amz-security-token:");
                canonical.push_str(token);
                canonical.push('\n');
                "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
            }
            None => "content-type;host;x-amz-date;x-amz-target",
        };
        canonical.push_str(&self.after_token);
        canonical.push_str(signed_headers);
        canonical.push('\n');
        push_hash(&mut canonical, body);
        let mut to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{service}/aws4_request\n");
        push_hash(&mut to_sign, canonical.as_bytes());
        let signature = self.with_key(day, credentials, time, |key| calculate_signature(key, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{day}/{region}/{service}/aws4_request, SignedHeaders={signed_headers}, \
             Signature={signature}",
            credentials.access_key_id()
        );
        Signed { date, authorization }
    }

    fn with_key(
        &self,
        day: &str,
        with: &Credentials,
        time: SystemTime,
        use_it: impl FnOnce(&[u8]) -> String,
    ) -> String {
        let mut held = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(DayKey { day: held_day, credentials, key }) = &*held
            && held_day == day
            && credentials == with
        {
            return use_it(key);
        }
        let key = generate_signing_key(with.secret_access_key(), time, &self.region, self.service).as_ref().to_vec();
        let signature = use_it(&key);
        *held = Some(DayKey { day: day.to_owned(), credentials: with.clone(), key });
        signature
    }
}

/// `20261121T120000Z`.
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let moment = DateTime::from_secs(i64::try_from(seconds).unwrap_or(0));
    let mut text = moment.fmt(Format::DateTime).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned());
    text.retain(|letter| letter != '-' && letter != ':');
    text
}

/// Adds the SHA-256 of `bytes` in hexadecimal.
fn push_hash(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in Sha256::digest(bytes) {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4::SigningParams;
    use aws_smithy_runtime_api::client::identity::Identity;
    use proptest::prelude::*;

    const TYPE: &str = "application/x-amz-json-1.1";
    const TARGET: &str = "Firehose_20150804.PutRecordBatch";

    /// What the SDK's own signer makes of the same request.
    fn reference(uri: &str, body: &[u8], credentials: &Credentials, time: SystemTime) -> Signed {
        let identity = Identity::from(credentials.clone());
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("firehose")
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let headers = [("content-type", TYPE), ("x-amz-target", TARGET)].into_iter();
        let request = SignableRequest::new("POST", uri, headers, SignableBody::Bytes(body)).unwrap();
        let (instructions, _) = sign(request, &parameters).unwrap().into_parts();
        let header = |name| instructions.headers().find(|(key, _)| *key == name).unwrap().1.to_owned();
        Signed { date: header("x-amz-date"), authorization: header("authorization") }
    }

    proptest! {
        #[test]
        fn every_signature_is_the_one_that_the_sdk_would_make(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            secrets in proptest::collection::vec("[A-Za-z0-9/+]{40}", 1..3),
            token in proptest::option::of("[A-Za-z0-9/+=]{1,200}"),
            seconds in proptest::collection::vec(0_u64..4_000_000_000, 1..4),
            uri in proptest::sample::select(vec![
                "https://firehose.eu-west-1.amazonaws.com/", "https://firehose.eu-west-1.amazonaws.com:443/",
                "http://127.0.0.1:4573/", "http://localhost:80/base/path", "https://[::1]:8443/", "http://example.com",
            ]),
        ) {
            let signer = Signer::new("firehose", &uri.parse().unwrap(), "eu-west-1", TYPE, TARGET).unwrap();
            // Twice each, so that a kept key is used, and in turns, so that it is given up.
            for seconds in seconds.iter().chain(&seconds) {
                for secret in &secrets {
                    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(*seconds);
                    let credentials = Credentials::new("AKIDEXAMPLE", secret, token.clone(), None, "test");
                    prop_assert_eq!(signer.sign(&body, &credentials, time), reference(uri, &body, &credentials, time));
                }
            }
        }
    }

    #[test]
    fn an_address_that_no_service_has_is_refused() {
        for uri in ["http://e/?a=b", "http://e/a%20b", "http://e/a//b", "http://e/../b", "http://e/a+b"] {
            assert!(Signer::new("firehose", &uri.parse().unwrap(), "r", TYPE, TARGET).is_none(), "{uri}");
        }
    }
}
