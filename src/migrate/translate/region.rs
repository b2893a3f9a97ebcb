//! Regions: what the Kinesis Agent took from the names of endpoints, said with keys.
//! Promises the region that it signed for, also where that was nobody's intention.
//! Leaves whether anybody answers there to the service.

use super::Services;
use crate::migrate::notes::Notes;
use crate::migrate::section::Section;
use serde_json::{Map, Value};

/// What calls were signed for where nothing said otherwise.
const DEFAULT: &str = "us-east-1";

/// Adds the keys for the services that the flows use.
pub(super) fn settle(section: &Section<'_>, services: Services, ours: &mut Map<String, Value>, notes: &mut Notes) {
    let endpoint = |key: &str, ours: &Map<String, Value>| ours.get(key).and_then(Value::as_str).map(str::to_owned);
    let firehose = services.firehose.then(|| match endpoint("firehose.endpoint", ours) {
        None => {
            notes.same(
                section.place("firehose.endpoint"),
                format!("without it the region is {DEFAULT}; now a key says so"),
            );
            DEFAULT.to_owned()
        }
        Some(host) => guess("firehose", &host),
    });
    let given = section.text("kinesis.region", notes).unwrap_or(None);
    let kinesis = services.kinesis.then(|| match (given, endpoint("kinesis.endpoint", ours)) {
        (Some(region), _) => Some(region),
        (None, Some(host)) => Some(guess("kinesis", &host)),
        (None, None) => {
            let words = "without it and without `kinesis.endpoint` the region is that of the environment, as before; AWS_REGION or \
                         the AWS profile name it";
            notes.same(section.place("kinesis.region"), words);
            None
        }
    });
    match (firehose, kinesis.flatten()) {
        (Some(region), None) | (None, Some(region)) => drop(ours.insert("region".to_owned(), region.into())),
        (Some(firehose), Some(kinesis)) => {
            if kinesis != firehose {
                ours.insert("kinesis.region".to_owned(), kinesis.into());
            }
            ours.insert("region".to_owned(), firehose.into());
        }
        (None, None) => {}
    }
    let emits = ours.get("cloudwatch.emitMetrics").is_none_or(|emits| *emits == Value::Bool(true));
    let elsewhere = ours.get("region").is_some_and(|region| region != DEFAULT);
    if emits && elsewhere && !ours.contains_key("cloudwatch.endpoint") {
        let words = format!(
            "without it the Kinesis Agent sent its metrics to {DEFAULT}; here they go to the region of the streams, and with them \
             must go what looks at them"
        );
        notes.differs(section.place("cloudwatch.endpoint"), words);
    }
}

/// The region that a host name tells: the label behind that of the service, else the last before `amazonaws.com`.
fn guess(service: &str, endpoint: &str) -> String {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase();
    let labels: Vec<&str> = host.split('.').collect();
    let is_region =
        |label: &&str| label.matches('-').count() >= 2 && label.ends_with(|last: char| last.is_ascii_digit());
    let is_service = |label: &&str| **label == *service || **label == format!("{service}-fips");
    let behind = labels.iter().position(is_service).and_then(|place| labels.get(place + 1)).copied();
    let before =
        labels.iter().position(|label| *label == "amazonaws").and_then(|place| labels.get(place.checked_sub(1)?));
    behind.filter(is_region).or(before.copied().filter(is_region)).unwrap_or(DEFAULT).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_stands_in_the_name_of_the_host() {
        for (endpoint, region) in [
            ("firehose.eu-central-1.amazonaws.com", "eu-central-1"),
            ("https://firehose.eu-west-1.amazonaws.com/", "eu-west-1"),
            ("firehose.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("firehose-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("vpce-1a-2b.firehose.ap-south-1.vpce.amazonaws.com", "ap-south-1"),
            ("http://127.0.0.1:4573", "us-east-1"),
            ("lake.example.com", "us-east-1"),
            ("", "us-east-1"),
        ] {
            assert_eq!(guess("firehose", endpoint), region, "{endpoint}");
        }
    }
}
