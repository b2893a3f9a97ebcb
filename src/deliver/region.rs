//! Which region a call is for: as configured, as the endpoint says, as the environment or the instance says.
//! Promises an answer within a few seconds: a region, that no source names one, or that the instance did not answer.
//! Leaves endpoints and credentials to `session`.

use std::time::{Duration, Instant};

use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;

/// How long the instance metadata may take to name a region, when nothing else does.
const REGION_TIMEOUT: Duration = Duration::from_secs(2);
/// The SDK waits a second for the instance to answer.
const SILENT_AFTER: Duration = Duration::from_millis(900);
/// The region that is signed for where nobody names one and the endpoint is not AWS's own.
const LAST_RESORT_REGION: &str = "us-east-1";

/// Why there is no region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRegion {
    /// Every source answered, and none names one.
    None,
    /// The instance did not answer in time; it may later.
    Silent,
}

/// The region: as configured, else as the endpoint's name says, else environment and profile, else the instance's own.
pub(super) async fn region(configured: Option<&String>, endpoint: Option<&str>) -> Result<String, NoRegion> {
    if let Some(region) = configured {
        return Ok(region.clone());
    }
    if let Some(region) = endpoint.and_then(region_of_endpoint) {
        return Ok(region.to_owned());
    }
    let environment = EnvironmentVariableRegionProvider::new();
    if let Some(region) = environment.region().await {
        return Ok(region.as_ref().to_owned());
    }
    if let Some(region) = ProfileFileRegionProvider::new().region().await {
        return Ok(region.as_ref().to_owned());
    }
    // An endpoint that is not AWS's own does not care; only without one is the instance worth a question.
    if endpoint.is_some() {
        tracing::warn!(
            region = LAST_RESORT_REGION,
            "no region is configured; set `region` in the configuration or AWS_REGION in the environment"
        );
        return Ok(LAST_RESORT_REGION.to_owned());
    }
    let (asked, asked_at) = (DefaultRegionChain::builder().build(), Instant::now());
    match tokio::time::timeout(REGION_TIMEOUT, asked.region()).await {
        Ok(Some(region)) => Ok(region.as_ref().to_owned()),
        // The SDK does not say whether nobody answered. A machine without metadata refuses at once; only a timeout takes long.
        Ok(None) if asked_at.elapsed() >= SILENT_AFTER => Err(NoRegion::Silent),
        Ok(None) => Err(NoRegion::None),
        Err(_) => Err(NoRegion::Silent),
    }
}

/// The region inside an AWS host name (`firehose.eu-west-1.amazonaws.com`, FIPS, dual-stack and private ones too).
pub(super) fn region_of_endpoint(endpoint: &str) -> Option<&str> {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = host.split(['/', ':']).next()?;
    let is_aws = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|suffix| host.ends_with(suffix));
    let mut labels = host.split('.').skip_while(|label| {
        !matches!(
            *label,
            "firehose"
                | "firehose-fips"
                | "kinesis"
                | "kinesis-fips"
                | "data-kinesis"
                | "data-kinesis-fips"
                | "monitoring"
                | "monitoring-fips"
        )
    });
    let region = labels.nth(1)?;
    (is_aws && region.contains('-')).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_out_of_an_aws_endpoint_and_out_of_no_other() {
        for (endpoint, region) in [
            ("firehose.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("https://firehose.us-gov-west-1.amazonaws.com/", Some("us-gov-west-1")),
            ("https://firehose-fips.us-east-2.amazonaws.com:443", Some("us-east-2")),
            ("https://firehose.eu-central-1.api.aws", Some("eu-central-1")),
            ("https://firehose.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("https://vpce-0a.firehose.eu-west-3.vpce.amazonaws.com", Some("eu-west-3")),
            ("https://monitoring.eu-west-2.amazonaws.com", Some("eu-west-2")),
            ("https://firehose.eu-west-1.example.com", None),
            ("http://127.0.0.1:4573", None),
            ("https://firehose.amazonaws.com", None),
            ("kinesis.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("https://123456789012.data-kinesis.us-east-1.amazonaws.com", Some("us-east-1")),
        ] {
            assert_eq!(region_of_endpoint(endpoint), region, "{endpoint}");
        }
    }
}
