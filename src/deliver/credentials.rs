//! As whom to call: keys of the configuration, the SDK's chain, and a role that is assumed with either.
//! Promises that no credentials are fetched before the first call, and that what fetches them goes through the proxy and
//! trusts the certificates that calls do. Leaves keeping and renewing them to `identity`.

use std::sync::Arc;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::identity::Keys;
use super::settings::Settings;

pub use super::settings::Role;

/// Name and version, as calls name them; the SDK takes no slash.
const APPLICATION: &str = concat!("datalake-agent-", env!("CARGO_PKG_VERSION"));
/// The name of the role's session, which CloudTrail shows.
const ROLE_SESSION: &str = "datalake-agent";
/// How long an assumed role holds: what every role allows.
const ROLE_HOLDS: Duration = Duration::from_secs(3600);

/// Settings of the SDK that hold for every service.
pub(super) fn loader(settings: &Settings, region: &str) -> ConfigLoader {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(region.to_owned()));
    if let Ok(name) = AppName::new(APPLICATION) {
        loader = loader.app_name(name);
    }
    // Only where it is on: the environment and the profile may say so too.
    if settings.fips {
        loader = loader.use_fips(true);
    }
    if settings.dual_stack {
        loader = loader.use_dual_stack(true);
    }
    loader
}

/// The keys of a session in this region. `client` is for what fetches them, where the SDK's own will not do.
pub(super) fn keys(settings: &Settings, region: &str, client: Option<SharedHttpClient>) -> Keys {
    let fixed =
        settings.access_key.as_ref().map(|(id, secret)| Credentials::new(id, secret, None, None, "configuration file"));
    match (fixed, &settings.role) {
        (Some(fixed), None) => Keys::fixed(fixed),
        (fixed, _) => {
            let (settings, region) = (settings.clone(), region.to_owned());
            Keys::chain(Arc::new(move || {
                let (settings, region, fixed, client) =
                    (settings.clone(), region.clone(), fixed.clone(), client.clone());
                Box::pin(async move { provider(&settings, &region, fixed, client).await })
            }))
        }
    }
}

/// The chain, or the role assumed with what the chain or the file gives.
async fn provider(
    settings: &Settings,
    region: &str,
    fixed: Option<Credentials>,
    client: Option<SharedHttpClient>,
) -> Option<SharedCredentialsProvider> {
    let mut loader = loader(settings, region);
    if let Some(client) = client {
        loader = loader.http_client(client);
    }
    if let Some(fixed) = fixed {
        loader = loader.credentials_provider(SharedCredentialsProvider::new(fixed));
    }
    if let Some(endpoint) = &settings.sts_endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let config = loader.load().await;
    let Some(role) = &settings.role else { return config.credentials_provider() };
    let mut assumed =
        AssumeRoleProvider::builder(&role.arn).session_name(ROLE_SESSION).session_length(ROLE_HOLDS).configure(&config);
    if let Some(id) = &role.external_id {
        assumed = assumed.external_id(id);
    }
    if let Some(base) = config.credentials_provider() {
        return Some(SharedCredentialsProvider::new(assumed.build_from_provider(base).await));
    }
    None
}
