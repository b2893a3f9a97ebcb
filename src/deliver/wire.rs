//! One signed POST: the envelope that the SDK wrote, a body that is ready, a fresh signature, the SDK's connections.
//! Promises that the body is not copied, and that it knows whether a failed request can have left this machine.
//! Leaves timeouts to its caller and the meaning of answers to `fault`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::{DateTime, Format};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use tokio::sync::Notify;

use super::said;
use super::session::Session;

/// A difference to the service's clock below this is a matter of latency, not of the clock.
const SKEW_TOLERANCE: Duration = Duration::from_secs(4 * 60);

/// The most interim answers to one request; one is usual where a proxy is in between.
const MOST_INTERIM: u32 = 16;

/// How far the service's clock is ahead of ours, in seconds (negative: behind). Learned from refusals only.
#[derive(Debug, Default)]
pub(super) struct Skew(AtomicI64);

impl Skew {
    /// The time to sign with.
    pub(super) fn apply(&self, now: SystemTime) -> SystemTime {
        let seconds = self.0.load(Ordering::Relaxed);
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds >= 0 { now.checked_add(by) } else { now.checked_sub(by) }.unwrap_or(now)
    }

    /// Compares the `Date` of a refusal with the time the request was signed with; answers the difference in seconds
    /// when that explains the refusal, and signs with the service's time from then on.
    pub(super) fn learn(&self, date: &str, now: SystemTime) -> Option<i64> {
        let theirs = DateTime::from_str(date, Format::HttpDate).ok()?.secs();
        let ours = i64::try_from(now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()?;
        let used = self.0.load(Ordering::Relaxed);
        let measured = theirs.checked_sub(ours)?;
        if measured.abs_diff(used) <= SKEW_TOLERANCE.as_secs() {
            return None;
        }
        self.0.store(measured, Ordering::Relaxed);
        Some(measured)
    }
}

/// A request that got no answer.
#[derive(Debug)]
pub(super) struct NoAnswer {
    /// The whole chain of causes.
    pub(super) reason: String,
    /// Whether the transport calls it a timeout.
    pub(super) timeout: bool,
}

/// Signs and sends; the answer's body is still to be read. `watch` tells whether a connection was ever had.
pub(super) async fn post(
    session: &Session,
    credentials: &Credentials,
    skew: &Skew,
    now: SystemTime,
    body: Bytes,
    watch: &CaptureSmithyConnection,
) -> Result<HttpResponse, NoAnswer> {
    let unsendable = |reason: String| NoAnswer { reason, timeout: false };
    let secret = |text: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|error| unsendable(error.to_string()))?;
        value.set_sensitive(true);
        Ok::<_, NoAnswer>(value)
    };
    let envelope = &session.envelope;
    let signed = session.signer.sign(&body, credentials, skew.apply(now));
    let mut headers = envelope.headers.clone();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert("x-amz-date", secret(&signed.date)?);
    headers.insert(AUTHORIZATION, secret(&signed.authorization)?);
    if let Some(token) = credentials.session_token() {
        headers.insert("x-amz-security-token", secret(token)?);
    }
    let mut request = http::Request::new(SdkBody::from(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = envelope.uri.clone();
    *request.headers_mut() = headers;
    request.extensions_mut().insert(watch.clone());
    send(&session.connector, request).await
}

/// Sends a request and waits for the head of the answer. Interim answers, which only say that there will be one, are no
/// reason to wait longer than others do: after a few the connection is given up.
pub(super) async fn send(
    connector: &SharedHttpConnector,
    mut request: http::Request<SdkBody>,
) -> Result<HttpResponse, NoAnswer> {
    let (enough, interim) = (Arc::new(Notify::new()), AtomicU32::new(0));
    let notify = enough.clone();
    hyper::ext::on_informational(&mut request, move |_| {
        if interim.fetch_add(1, Ordering::Relaxed) + 1 == MOST_INTERIM {
            notify.notify_one();
        }
    });
    let request = request.try_into().map_err(|error| NoAnswer { reason: format!("{error}"), timeout: false })?;
    tokio::select! {
        answered = connector.call(request) => {
            answered.map_err(|error| NoAnswer { timeout: error.is_timeout(), reason: said::causes(&error) })
        }
        () = enough.notified() => {
            let reason = format!("{MOST_INTERIM} interim answers (such as 100 Continue) came, and no final one");
            Err(NoAnswer { reason, timeout: false })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_clock_far_from_the_services_is_corrected_once() {
        let skew = Skew::default();
        let noon = "Sat, 21 Nov 2026 12:00:00 GMT";
        let ours = at(1_795_262_400 - 3600);
        assert_eq!(skew.learn(noon, ours), Some(3600));
        assert_eq!(skew.apply(ours), at(1_795_262_400));
        assert_eq!(skew.learn(noon, ours), None, "the second refusal has another cause");
    }

    #[test]
    fn a_clock_that_runs_ahead_is_put_back() {
        let skew = Skew::default();
        let ours = at(1_795_262_400 + 7200);
        assert_eq!(skew.learn("Sat, 21 Nov 2026 12:00:00 GMT", ours), Some(-7200));
        assert_eq!(skew.apply(ours), at(1_795_262_400));
    }

    #[test]
    fn latency_and_nonsense_do_not_move_the_clock() {
        let skew = Skew::default();
        assert_eq!(skew.learn("Sat, 21 Nov 2026 12:00:00 GMT", at(1_795_262_400 + 60)), None);
        assert_eq!(skew.learn("yesterday", at(0)), None);
        assert_eq!(skew.apply(at(5)), at(5));
    }
}
