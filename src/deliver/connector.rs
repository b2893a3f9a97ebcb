//! How calls leave this machine: the SDK's own HTTP client, with its pool, its TLS, and the proxy of the environment.
//! Promises that certificates which cannot be read are told before anything is sent.
//! Leaves which proxy that is to `proxy`, and credentials to `credentials`.

use super::credentials;
use super::proxy::{self, Proxy};
use super::session::{SessionError, Settings, environment};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use std::path::PathBuf;
use std::time::Duration;

/// How long a TCP connection, with its TLS handshake, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What calls to this address go through.
pub(super) fn to(uri: &http::Uri, settings: &Settings) -> Result<SharedHttpConnector, SessionError> {
    let proxied = Proxy::on_the_way_to(uri, environment).is_some();
    // Reading the machine's certificates costs time and memory that plain HTTP does not need.
    if !proxied && uri.scheme_str() == Some("http") {
        return Ok(plain());
    }
    secure(proxied, settings)
}

/// The client for what fetches credentials, where a proxy or certificates of the operator's own lie on its way.
pub(super) fn for_keys(settings: &Settings) -> Result<Option<SharedHttpClient>, SessionError> {
    let proxied = proxy::is_configured(environment);
    if !proxied && ca_bundle(settings).is_none() {
        return Ok(None);
    }
    Ok(Some(credentials::client(secure(proxied, settings)?, plain())))
}

/// Variables of the environment that should name a proxy and hold no address of one: they have no effect.
#[must_use]
pub fn misread_proxies() -> Vec<&'static str> {
    proxy::misread(environment)
}

fn secure(proxied: bool, settings: &Settings) -> Result<SharedHttpConnector, SessionError> {
    let mut builder = Connector::builder().connector_settings(times());
    if proxied {
        builder = builder.proxy_config(ProxyConfig::from_env());
    }
    let builder = builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls_context(settings)?);
    Ok(SharedHttpConnector::new(builder.build()))
}

fn plain() -> SharedHttpConnector {
    SharedHttpConnector::new(Connector::builder().connector_settings(times()).build_http())
}

fn times() -> HttpConnectorSettings {
    HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build()
}

fn ca_bundle(settings: &Settings) -> Option<PathBuf> {
    let environment = || std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
    settings.ca_bundle.clone().or_else(environment)
}

/// The machine's certificates, and those that the operator adds.
fn tls_context(settings: &Settings) -> Result<TlsContext, SessionError> {
    let mut store = TrustStore::default();
    let path = ca_bundle(settings);
    let failed = |reason: String| SessionError::Certificates {
        path: path.as_deref().map(|path| path.display().to_string()).unwrap_or_default(),
        reason,
    };
    if let Some(path) = &path {
        store.add_pem_certificate(std::fs::read(path).map_err(|error| failed(error.to_string()))?);
    }
    TlsContext::builder().with_trust_store(store).build().map_err(|error| failed(error.to_string()))
}
