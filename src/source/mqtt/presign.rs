//! The signed address of a WebSocket at AWS IoT Core: SigV4 in the query, made anew for each connection.
//! Promises that keys never leave this file. Leaves finding credentials to the one who builds the flow.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SessionTokenMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use datalake_mqtt::settings::Broker;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the service is called in a signature.
const SERVICE: &str = "iotdevicegateway";
/// A signed address is used at once; clocks may differ.
const GOOD_FOR: Duration = Duration::from_secs(300);

/// Fetches the agent's AWS credentials, or says why there are none.
pub type Signer = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Credentials, String>> + Send>> + Send + Sync>;

/// The query of the signed address.
pub(super) async fn query(broker: &Broker, region: &str, signer: &Signer) -> Result<String, String> {
    let credentials = signer().await?;
    let now = UNIX_EPOCH + Duration::from_millis(crate::telemetry::clock::now_ms());
    query_at(broker, region, credentials, now)
}

fn query_at(broker: &Broker, region: &str, credentials: Credentials, now: SystemTime) -> Result<String, String> {
    let token = credentials.session_token().map(str::to_owned);
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(GOOD_FOR);
    // The service wants the token beside the signature, not under it.
    settings.session_token_mode = SessionTokenMode::Exclude;
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?;
    let port = if broker.port == 443 { String::new() } else { format!(":{}", broker.port) };
    let host = format!("{}{port}", broker.written_host());
    let address = format!("https://{host}{}", broker.path);
    let headers = [("host", host.as_str())];
    let request = SignableRequest::new("GET", &address, headers.into_iter(), SignableBody::Bytes(b""))
        .map_err(|error| error.to_string())?;
    let (instructions, _) = sign(request, &parameters.into()).map_err(|error| error.to_string())?.into_parts();
    let mut pairs: Vec<(&str, String)> =
        instructions.params().iter().map(|(name, value)| (*name, encoded(value))).collect();
    if let Some(token) = &token
        && !pairs.iter().any(|(name, _)| *name == "X-Amz-Security-Token")
    {
        pairs.push(("X-Amz-Security-Token", encoded(token)));
    }
    Ok(pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
}

/// Percent-encoded as a query wants it.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_temporary_keys_stands_beside_the_signature_and_does_not_change_it() {
        let broker = Broker::parse("wss://a1b2-ats.iot.eu-central-1.amazonaws.com/mqtt").unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let signed = |token: Option<&str>| {
            let keys = Credentials::new("AKIDEXAMPLE", "secret", token.map(str::to_owned), None, "test");
            query_at(&broker, "eu-central-1", keys, now).unwrap()
        };
        let (without, with) = (signed(None), signed(Some("a/b=")));
        assert_eq!(with, format!("{without}&X-Amz-Security-Token=a%2Fb%3D"));
        assert!(
            without
                .contains("X-Amz-Credential=AKIDEXAMPLE%2F20231114%2Feu-central-1%2Fiotdevicegateway%2Faws4_request")
        );
        assert!(without.contains("X-Amz-Signature=") && !with.contains("secret"));
    }
}
