//! PutMetricData: one signed form to CloudWatch.
//! Promises one attempt a call, an end to every call, and words for the operator where it fails.
//! Leaves signing and sending to `query`, what is sent and when to `metrics`; nothing here knows a delivery stream.

use super::fault;
use super::hints;
use super::query::{Query, Service};
use super::region;
use super::settings::{SessionError, Settings};

pub use super::query::NotTaken;

static SERVICE: Service = Service {
    name: "monitoring",
    words: &fault::CLOUDWATCH,
    denied: "allow `cloudwatch:PutMetricData` for the agent's credentials, or set `cloudwatch.emitMetrics` to false",
};

/// Sends forms to CloudWatch.
#[derive(Debug)]
pub struct CloudWatch(Query);

impl CloudWatch {
    /// Finds region, address and certificates; sends nothing and does not wait for credentials. `endpoint` is another
    /// address than the region's own, with scheme.
    ///
    /// # Errors
    /// When there is no such address, or the extra certificates cannot be read.
    pub async fn connect(settings: &Settings, endpoint: Option<&str>) -> Result<Self, SessionError> {
        hints::logged_once(Self::connect_quietly(settings, endpoint)).await
    }

    async fn connect_quietly(settings: &Settings, endpoint: Option<&str>) -> Result<Self, SessionError> {
        // There is no key for this region alone: the endpoint names it, else metrics go where the records go.
        let named = endpoint.and_then(region::region_of_endpoint).map(str::to_owned);
        let configured = named.or_else(|| settings.region.clone()).or_else(|| settings.kinesis_region.clone());
        let others = [settings.firehose_endpoint.as_deref(), settings.kinesis_endpoint.as_deref()];
        let mut naming = others.into_iter().flatten();
        let naming = naming.find(|endpoint| region::region_of_endpoint(endpoint).is_some()).or(endpoint);
        let region = region::region(configured.as_ref(), naming).await?;
        Query::connect(&SERVICE, settings, endpoint, region).await.map(Self)
    }

    /// Sends one form and waits for the answer, 20 s at most.
    ///
    /// # Errors
    /// When there are no credentials, nobody answers, or the service refuses.
    pub async fn put(&self, form: String) -> Result<(), NotTaken> {
        self.0.send(form).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_endpoint_names_the_region_and_without_it_that_of_the_records_counts() {
        let keys = Some(("id".to_owned(), "secret".to_owned()));
        let settings = Settings { access_key: keys, ..Settings::default() };
        let endpoint = Some("https://monitoring.eu-west-3.amazonaws.com");
        assert_eq!(CloudWatch::connect(&settings, endpoint).await.unwrap().0.region, "eu-west-3");
        let settings = Settings { region: Some("eu-north-1".into()), ..settings };
        assert_eq!(CloudWatch::connect(&settings, endpoint).await.unwrap().0.region, "eu-west-3");
        let other = Some("https://metrics.example.com");
        assert_eq!(CloudWatch::connect(&settings, other).await.unwrap().0.region, "eu-north-1");
        let own = CloudWatch::connect(&settings, None).await.unwrap();
        assert_eq!(own.0.uri, "https://monitoring.eu-north-1.amazonaws.com/");
        let firehose_endpoint = Some("https://firehose.eu-south-1.amazonaws.com".to_owned());
        let settings = Settings { region: None, firehose_endpoint, ..settings };
        assert_eq!(CloudWatch::connect(&settings, None).await.unwrap().0.region, "eu-south-1");
    }
}
