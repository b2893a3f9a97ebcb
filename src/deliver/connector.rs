//! How calls leave this machine: the SDK's own HTTP client, with its pool, its TLS, and the proxy of the environment.
//! Promises that certificates which cannot be used are told before anything is sent, and never end the process.
//! Leaves which proxy that is to `proxy`, and what is fetched to `credentials`.

use super::proxy::{self, Proxy};
use super::settings::{SessionError, Settings, environment};
use crate::regular;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use datalake_base::shown::shown;
use std::path::PathBuf;
use std::time::Duration;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// No machine trusts more certificates than fit into this, in bytes.
const LARGEST_BUNDLE: u64 = 16 << 20;

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
    Ok(Some(client(secure(proxied, settings)?, plain())))
}

/// A client that takes the way of calls for `https`, and the short one for `http`: the machine's own sources of
/// credentials stand behind no proxy.
fn client(secure: SharedHttpConnector, plain: SharedHttpConnector) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(ByScheme { secure, plain });
    SharedHttpClient::new(http_client_fn(move |_, _| connector.clone()))
}

#[derive(Debug)]
struct ByScheme {
    secure: SharedHttpConnector,
    plain: SharedHttpConnector,
}

impl HttpConnector for ByScheme {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if request.uri().starts_with("http://") { self.plain.call(request) } else { self.secure.call(request) }
    }
}

/// Whether the certificates that the operator adds can be used.
///
/// # Errors
/// When there is no such file, or no certificate in it.
pub fn prove_certificates(settings: &Settings) -> Result<(), SessionError> {
    trusted(settings).map(drop)
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
    let context = TlsContext::builder().with_trust_store(trusted(settings)?).build();
    // The SDK proves nothing here, and ours is proven: there is no file to blame.
    let context = context.map_err(|error| unusable("the trust store", String::new(), error.to_string()))?;
    let builder = builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context);
    Ok(SharedHttpConnector::new(builder.build()))
}

fn plain() -> SharedHttpConnector {
    SharedHttpConnector::new(Connector::builder().connector_settings(times()).build_http())
}

fn times() -> HttpConnectorSettings {
    HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build()
}

/// The operator's own certificates, and what names them.
fn ca_bundle(settings: &Settings) -> Option<(&'static str, PathBuf)> {
    let of_environment = || std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
    let configured = settings.ca_bundle.clone().map(|path| ("`caBundle`", path));
    configured.or_else(|| of_environment().map(|path| ("`AWS_CA_BUNDLE` of the environment", PathBuf::from(path))))
}

/// The machine's certificates, and those that the operator adds.
fn trusted(settings: &Settings) -> Result<TrustStore, SessionError> {
    let mut store = TrustStore::default();
    let Some((named, path)) = ca_bundle(settings) else { return Ok(store) };
    let failed = |reason: String| unusable(named, shown(&path).to_string(), reason);
    let (file, _) =
        regular::read(&path, LARGEST_BUNDLE).map_err(|error| failed(format!("which cannot be read: {error}")))?;
    let (pem, left_out) = usable(&file).map_err(failed)?;
    if left_out > 0 {
        tracing::warn!(path = %shown(&path), left_out, "certificates of {named} are left out: they are malformed");
    }
    store.add_pem_certificate(pem);
    Ok(store)
}

/// The certificates of a PEM file that can be used, as PEM, and how many cannot: the SDK would end the process over one.
fn usable(file: &[u8]) -> Result<(String, usize), String> {
    let found = CertificateDer::pem_slice_iter(file).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("which is damaged: {error}"))?;
    let (mut pem, mut left_out) = (String::new(), 0);
    for certificate in &found {
        if RootCertStore::empty().add(certificate.clone()).is_err() {
            left_out += 1;
            continue;
        }
        let text = base64_simd::STANDARD.encode_to_string(certificate);
        pem.extend(["-----BEGIN CERTIFICATE-----\n", &text, "\n-----END CERTIFICATE-----\n"]);
    }
    if pem.is_empty() { Err("which holds no certificate that can be used".to_owned()) } else { Ok((pem, left_out)) }
}

fn unusable(named: &'static str, path: String, reason: String) -> SessionError {
    SessionError::Certificates { named, path, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()
    }

    fn malformed() -> &'static str {
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    }

    #[test]
    fn good_certificates_are_kept_and_malformed_ones_beside_them_are_counted() {
        let (one, other) = (authority(), authority());
        let (pem, left_out) = usable(format!("# ours\n{one}{}{other}", malformed()).as_bytes()).unwrap();
        assert_eq!((pem.matches("BEGIN").count(), left_out), (2, 1));
        assert_eq!(usable(pem.as_bytes()), Ok((pem.clone(), 0)), "what is written can be read");
    }

    #[test]
    fn a_file_without_a_certificate_is_refused_and_ends_nothing() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for file in ["", "hello", malformed(), &key, "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
            assert!(usable(file.as_bytes()).is_err(), "{file}");
        }
        assert!(usable(&[0xff; 100]).is_err());
    }
}
