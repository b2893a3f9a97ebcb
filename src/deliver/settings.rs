//! Where and as whom calls are made, as the configuration says, and why that may be impossible.
//! Promises that secrets are never shown.
//! Leaves making sessions of them to `session`.

use std::path::PathBuf;

use super::region::{NoRegion, region_of_endpoint};

/// Where and as whom to call the service; `None` leaves it to the SDK's chain.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Region of the stream.
    pub region: Option<String>,
    /// Another endpoint than the region's own; `https` where no scheme is written.
    pub firehose_endpoint: Option<String>,
    /// The same for Kinesis Data Streams.
    pub kinesis_endpoint: Option<String>,
    /// The region of Kinesis Data Streams, where it is another than `region`.
    pub kinesis_region: Option<String>,
    /// Another endpoint than STS's own, for a role.
    pub sts_endpoint: Option<String>,
    /// Access key id and secret from the configuration file.
    pub access_key: Option<(String, String)>,
    /// A role to assume with these keys, or with those of the chain.
    pub role: Option<Role>,
    /// Endpoints whose cryptography is certified after FIPS 140.
    pub fips: bool,
    /// Endpoints that answer on IPv6 too.
    pub dual_stack: bool,
    /// Certificates to trust beside the machine's; `None` leaves it to `AWS_CA_BUNDLE`.
    pub ca_bundle: Option<PathBuf>,
}

impl Settings {
    /// The same for a flow with a region of its own: an endpoint that names another region is left for the region's own.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        let elsewhere = |endpoint: &String| region_of_endpoint(endpoint).is_some_and(|other| other != region);
        self.firehose_endpoint = self.firehose_endpoint.filter(|endpoint| !elsewhere(endpoint));
        self.kinesis_endpoint = self.kinesis_endpoint.filter(|endpoint| !elsewhere(endpoint));
        self.region = Some(region.to_owned());
        self.kinesis_region = None;
        self
    }

    /// The region of calls to this service as far as the configuration says it, in a key or in an endpoint's name.
    #[must_use]
    pub fn configured_region(&self, target: Target) -> Option<String> {
        let of_endpoint = || target.endpoint(self).and_then(region_of_endpoint).map(str::to_owned);
        self.region_for(target).cloned().or_else(of_endpoint)
    }

    pub(super) fn region_for(&self, target: Target) -> Option<&String> {
        let own = if target == Target::Kinesis { self.kinesis_region.as_ref() } else { None };
        own.or(self.region.as_ref())
    }
}

impl std::fmt::Debug for Settings {
    /// Never shows the secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("region", &self.region)
            .field("firehose_endpoint", &self.firehose_endpoint)
            .field("kinesis_endpoint", &self.kinesis_endpoint)
            .field("kinesis_region", &self.kinesis_region)
            .field("access_key", &self.access_key.as_ref().map(|(id, _)| id))
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A role to call with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// The external id that the account which owns it asks for.
    pub external_id: Option<String>,
}

impl From<NoRegion> for SessionError {
    fn from(reason: NoRegion) -> Self {
        match reason {
            NoRegion::None => Self::NoRegion,
            NoRegion::Silent => Self::RegionNotAnswered,
        }
    }
}

/// Why no session can be made; each needs a change by the operator.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Nobody names a region.
    #[error(
        "no region is known: the configuration, the environment, the AWS profile and the instance name none; set `region`, such as \
         \"eu-central-1\", or AWS_REGION"
    )]
    NoRegion,
    /// The instance was asked for its region and did not answer; it may later.
    #[error(
        "no region is configured, and the instance metadata does not answer; set `region`, such as \"eu-central-1\", or AWS_REGION, \
         unless this is an instance that is still starting"
    )]
    RegionNotAnswered,
    /// The SDK found no address to send to.
    #[error("no endpoint for {service} in region `{region}`: {reason}")]
    Endpoint {
        /// The service.
        service: &'static str,
        /// The region in use.
        region: String,
        /// What the SDK says.
        reason: String,
    },
    /// The file of `caBundle` or `AWS_CA_BUNDLE` cannot be used.
    #[error("{named} is `{path}`, {reason}; put certificates in PEM form there, or correct or remove {named}")]
    Certificates {
        /// What names it.
        named: &'static str,
        /// Its path.
        path: String,
        /// What is wrong with it, as the end of a sentence about it.
        reason: String,
    },
}

/// The service that a session is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Firehose: `PutRecordBatch`.
    Firehose,
    /// Kinesis Data Streams: `PutRecords`.
    Kinesis,
}

impl Target {
    /// As signatures and host names have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Firehose => "firehose",
            Self::Kinesis => "kinesis",
        }
    }

    pub(super) fn endpoint(self, settings: &Settings) -> Option<&str> {
        match self {
            Self::Firehose => settings.firehose_endpoint.as_deref(),
            Self::Kinesis => settings.kinesis_endpoint.as_deref(),
        }
    }
}

/// A variable of this process.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_never_show_the_secret() {
        let settings = Settings { access_key: Some(("AKIDEXAMPLE".into(), "hush-hush".into())), ..Settings::default() };
        let shown = format!("{settings:?}");
        assert!(shown.contains("AKIDEXAMPLE") && !shown.contains("hush-hush"), "{shown}");
    }

    #[test]
    fn a_flow_with_a_region_of_its_own_leaves_an_endpoint_of_another_region() {
        let settings = Settings {
            region: Some("eu-west-1".into()),
            firehose_endpoint: Some("https://firehose.eu-west-1.amazonaws.com".into()),
            kinesis_endpoint: Some("http://127.0.0.1:1".into()),
            kinesis_region: Some("eu-west-2".into()),
            ..Settings::default()
        };
        assert_eq!(settings.region_for(Target::Kinesis).map(String::as_str), Some("eu-west-2"));
        let moved = settings.in_region("us-east-1");
        assert_eq!((moved.firehose_endpoint.as_ref(), moved.kinesis_endpoint.is_some()), (None, true));
        assert_eq!(moved.region_for(Target::Kinesis).map(String::as_str), Some("us-east-1"));
    }
}
