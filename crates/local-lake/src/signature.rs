//! Signature version 4: whether a request is signed, and signed right.
//! Promises that a request is accepted only with a well-formed signature for this service and, where the secret is
//! known, only with the true one. Leaves identities, policies and sessions out: there are none here.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use hyper::http::HeaderMap;
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

use crate::service::{Refusal, Service};

/// How far the client's clock may be off.
const SKEW_SECONDS: i64 = 300;
/// The algorithm's name.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What signatures are held against.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signatures {
    /// Access key id and secret; without them only the form is checked.
    pub(crate) credentials: Option<Credentials>,
}

/// An access key.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
}

impl std::fmt::Debug for Credentials {
    /// Never shows the secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// What an `Authorization` header says.
#[derive(Debug, PartialEq, Eq)]
struct Claim<'a> {
    access_key_id: &'a str,
    /// yyyymmdd
    day: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
    /// yyyymmddThhmmssZ
    moment: &'a str,
}

impl Signatures {
    /// Checks the head of a request at Unix time `now`, in seconds.
    ///
    /// # Errors
    /// The refusals of the service: unsigned, incomplete, skewed, scoped to something else, unknown key.
    pub(crate) fn check_head(&self, headers: &HeaderMap, now: i64, service: Service) -> Result<(), Refusal> {
        let claim = claim(headers)?;
        if service.name() != claim.service {
            let reason = format!("Credential should be scoped to correct service: '{}'.", service.name());
            return Err(invalid(reason));
        }
        let moment = unix_seconds(claim.moment)
            .ok_or_else(|| incomplete("Date must be in ISO-8601 'basic format'. Got something else."))?;
        if (now - moment).abs() > SKEW_SECONDS {
            let word = if moment < now { "expired" } else { "not yet current" };
            return Err(invalid(format!(
                "Signature {word}: {} is more than 5 min. away from the server's time",
                claim.moment
            )));
        }
        if self.credentials.as_ref().is_some_and(|credentials| credentials.access_key_id != claim.access_key_id) {
            return Err(Refusal::new(
                403,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        }
        Ok(())
    }

    /// Whether the body's bytes are needed to check.
    pub(crate) fn needs_body(&self) -> bool {
        self.credentials.is_some()
    }

    /// Checks the signature itself, when the secret is known. The head must have passed [`Self::check_head`].
    ///
    /// # Errors
    /// `InvalidSignatureException`.
    pub(crate) fn check_body(&self, head: &Parts, body: &[u8]) -> Result<(), Refusal> {
        let Some(credentials) = &self.credentials else { return Ok(()) };
        let claim = claim(&head.headers)?;
        let canonical = canonical_request(head, claim.signed_headers, body)?;
        let scope = format!("{}/{}/{}/aws4_request", claim.day, claim.region, claim.service);
        let to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{}", claim.moment, hex(&Sha256::digest(canonical.as_bytes())));
        let mut key = format!("AWS4{}", credentials.secret).into_bytes();
        for part in [claim.day, claim.region, claim.service, "aws4_request"] {
            key = authenticated(&key, part.as_bytes()).finalize().into_bytes().to_vec();
        }
        let claimed = unhex(claim.signature).ok_or_else(|| incomplete("Signature is not hexadecimal."))?;
        authenticated(&key, to_sign.as_bytes()).verify_slice(&claimed).map_err(|_| {
            invalid(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details."
                    .to_owned(),
            )
        })
    }
}

/// A MAC over `message`, not yet closed.
fn authenticated(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac
}

/// Reads the headers that make up a signature.
fn claim(headers: &HeaderMap) -> Result<Claim<'_>, Refusal> {
    let Some(authorization) = text(headers, "authorization") else {
        return Err(Refusal::new(403, "MissingAuthenticationTokenException", "Missing Authentication Token"));
    };
    let Some(rest) = authorization.strip_prefix(ALGORITHM) else {
        return Err(incomplete("Unsupported AWS 'algorithm' in the Authorization header."));
    };
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in rest.split(',') {
        match part.trim().split_once('=') {
            Some(("Credential", value)) => credential = Some(value),
            Some(("SignedHeaders", value)) => signed_headers = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            _ => {}
        }
    }
    let credential = credential.ok_or_else(|| incomplete("Authorization header requires 'Credential' parameter."))?;
    let signed_headers =
        signed_headers.ok_or_else(|| incomplete("Authorization header requires 'SignedHeaders' parameter."))?;
    let signature = signature.ok_or_else(|| incomplete("Authorization header requires 'Signature' parameter."))?;
    let moment = text(headers, "x-amz-date")
        .ok_or_else(|| incomplete("Authorization header requires existence of an 'X-Amz-Date' header."))?;
    let scope: Vec<&str> = credential.split('/').collect();
    let [access_key_id, day, region, service, terminator] = scope[..] else {
        return Err(incomplete("Credential must have exactly 5 slash-delimited elements."));
    };
    if access_key_id.is_empty() || region.is_empty() {
        return Err(incomplete("Credential must name an access key and a region."));
    }
    if terminator != "aws4_request" {
        return Err(invalid("Credential should be scoped with a valid terminator: 'aws4_request'.".to_owned()));
    }
    if moment.get(..8) != Some(day) {
        return Err(invalid(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.".to_owned(),
        ));
    }
    if signature.len() != 64 {
        return Err(incomplete("Signature must have 64 hexadecimal digits."));
    }
    for required in ["host", "x-amz-date", "x-amz-target", "x-amz-security-token"] {
        let sent = required == "host" || headers.contains_key(required);
        if sent && !signed_headers.split(';').any(|name| name == required) {
            return Err(invalid(format!("'{required}' must be a signed header in the AWS authentication.")));
        }
    }
    Ok(Claim { access_key_id, day, region, service, signed_headers, signature, moment })
}

/// The request in the form that is signed.
fn canonical_request(head: &Parts, signed_headers: &str, body: &[u8]) -> Result<String, Refusal> {
    let mut canonical =
        format!("{}\n{}\n{}\n", head.method, head.uri.path(), canonical_query(head.uri.query().unwrap_or_default()));
    for name in signed_headers.split(';') {
        let mut values = Vec::new();
        for value in head.headers.get_all(name) {
            let value = value.to_str().map_err(|_| invalid(format!("header '{name}' is not text")))?;
            values.push(value.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        }
        if values.is_empty() {
            return Err(invalid(format!("header '{name}' is signed and was not sent")));
        }
        canonical.push_str(name);
        canonical.push(':');
        canonical.push_str(&values.join(","));
        canonical.push('\n');
    }
    canonical.push('\n');
    canonical.push_str(signed_headers);
    canonical.push('\n');
    canonical.push_str(&hex(&Sha256::digest(body)));
    Ok(canonical)
}

/// Query parameters in order; the service has none, a client may still send some.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    pairs.sort();
    pairs.join("&")
}

/// A header as text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// `yyyymmddThhmmssZ` in seconds since 1970.
fn unix_seconds(moment: &str) -> Option<i64> {
    if moment.len() != 16 || !moment.is_ascii() {
        return None;
    }
    let parsed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", moment).ok()?;
    Some(parsed.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

fn incomplete(message: &'static str) -> Refusal {
    Refusal::new(403, "IncompleteSignatureException", message)
}

fn invalid(message: String) -> Refusal {
    Refusal::new(403, "InvalidSignatureException", message)
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all that is written to it");
    }
    text
}

/// The bytes of lower-case hexadecimal.
fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-03T04:05:06Z
    const NOW: i64 = 1_770_091_506;
    const BODY: &[u8] = b"{\"DeliveryStreamName\":\"s\",\"Records\":[{\"Data\":\"YQ==\"}]}";
    /// Worked out once with Python's hmac and hashlib from the published description of the algorithm.
    const SIGNATURE: &str = "b68935a076379dec576f3cd503c8a9a8a4fdef514462fd3d9e3e6673d6683fc7";

    fn request(change: impl Fn(&mut Parts)) -> Parts {
        let (mut head, ()) = hyper::Request::post("/")
            .header("host", "127.0.0.1:4566")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-date", "20260203T040506Z")
            .header("x-amz-target", "Firehose_20150804.PutRecordBatch")
            .header(
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260203/eu-central-1/firehose/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={SIGNATURE}"
                ),
            )
            .body(())
            .unwrap()
            .into_parts();
        change(&mut head);
        head
    }

    fn known(secret: &str) -> Signatures {
        Signatures { credentials: Some(Credentials { access_key_id: "AKIDEXAMPLE".into(), secret: secret.into() }) }
    }

    fn check(signatures: &Signatures, head: &Parts, body: &[u8], now: i64) -> Result<(), &'static str> {
        signatures
            .check_head(&head.headers, now, Service::Firehose)
            .and_then(|()| signatures.check_body(head, body))
            .map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_true_signature_is_accepted_and_any_flipped_byte_is_not() {
        let signatures = known("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        assert_eq!(check(&signatures, &request(|_| {}), BODY, NOW), Ok(()));
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert_eq!(check(&signatures, &request(|_| {}), &body, NOW), Err("InvalidSignatureException"), "byte {at}");
        }
        let other_target = request(|head| {
            head.headers.insert("x-amz-target", "Firehose_20150804.PutRecord".parse().unwrap());
        });
        assert_eq!(check(&signatures, &other_target, BODY, NOW), Err("InvalidSignatureException"));
        let spaced = request(|head| {
            head.headers.insert("content-type", "  application/x-amz-json-1.1 ".parse().unwrap());
        });
        assert_eq!(check(&signatures, &spaced, BODY, NOW), Ok(()), "outer spaces are not part of a header");
    }

    #[test]
    fn another_secret_or_key_is_not_accepted() {
        assert_eq!(check(&known("other"), &request(|_| {}), BODY, NOW), Err("InvalidSignatureException"));
        let mut other = known("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        other.credentials.as_mut().unwrap().access_key_id = "AKIDOTHER".into();
        assert_eq!(check(&other, &request(|_| {}), BODY, NOW), Err("UnrecognizedClientException"));
    }

    #[test]
    fn without_a_secret_only_the_form_is_checked() {
        let shape = Signatures::default();
        assert_eq!(check(&shape, &request(|_| {}), b"anything", NOW), Ok(()));
        let refused = |change: &dyn Fn(&mut Parts)| check(&shape, &request(change), BODY, NOW).unwrap_err();
        assert_eq!(refused(&|head| drop(head.headers.remove("authorization"))), "MissingAuthenticationTokenException");
        assert_eq!(refused(&|head| drop(head.headers.remove("x-amz-date"))), "IncompleteSignatureException");
        let replaced = |from: &'static str, to: &'static str| {
            refused(&move |head: &mut Parts| {
                let changed = head.headers["authorization"].to_str().unwrap().replace(from, to);
                head.headers.insert("authorization", changed.parse().unwrap());
            })
        };
        assert_eq!(replaced("/firehose/", "/s3/"), "InvalidSignatureException");
        assert_eq!(replaced("20260203/", "20260204/"), "InvalidSignatureException");
        assert_eq!(replaced("/aws4_request", ""), "IncompleteSignatureException");
        assert_eq!(replaced("aws4_request", "aws3_request"), "InvalidSignatureException");
        assert_eq!(replaced(";x-amz-target", ""), "InvalidSignatureException");
        assert_eq!(replaced("host;", ""), "InvalidSignatureException");
        assert_eq!(replaced("Signature=", "Signature=0"), "IncompleteSignatureException");
        assert_eq!(replaced("AWS4-HMAC-SHA256", "Bearer"), "IncompleteSignatureException");
    }

    #[test]
    fn a_clock_may_be_five_minutes_off_and_no_more() {
        let shape = Signatures::default();
        for (offset, accepted) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
            assert_eq!(check(&shape, &request(|_| {}), BODY, NOW + offset).is_ok(), accepted, "{offset}");
        }
    }
}
