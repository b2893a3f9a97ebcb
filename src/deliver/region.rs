//! Which region a call is for: as configured, as the endpoint says, as the environment or the instance says.
//! Promises an answer within a few seconds, and a warning where nobody named one.
//! Leaves endpoints and credentials to `session`.

use std::time::Duration;

use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;

/// How long the instance metadata may take to name a region, when nothing else does.
const REGION_TIMEOUT: Duration = Duration::from_secs(2);
/// The region that is taken when nobody names one.
const LAST_RESORT_REGION: &str = "us-east-1";

/// The region: as configured, else as the endpoint's name says, else environment and profile, else the instance's own.
pub(super) async fn region(configured: Option<&String>, endpoint: Option<&str>) -> String {
    if let Some(region) = configured {
        return region.clone();
    }
    if let Some(region) = endpoint.and_then(region_of_endpoint) {
        return region.to_owned();
    }
    let environment = EnvironmentVariableRegionProvider::new();
    if let Some(region) = environment.region().await {
        return region.as_ref().to_owned();
    }
    if let Some(region) = ProfileFileRegionProvider::new().region().await {
        return region.as_ref().to_owned();
    }
    // An endpoint that is not AWS's own does not care; only then is the instance worth a question.
    if endpoint.is_none()
        && let Ok(Some(region)) =
            tokio::time::timeout(REGION_TIMEOUT, DefaultRegionChain::builder().build().region()).await
    {
        return region.as_ref().to_owned();
    }
    tracing::warn!(
        region = LAST_RESORT_REGION,
        "no region is configured; set `region` in the configuration or AWS_REGION in the environment"
    );
    LAST_RESORT_REGION.to_owned()
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
