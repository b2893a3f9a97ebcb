//! What streams are like: delivery streams, streams of Kinesis, the channels that deliver those.
//! Promises the members that the services' models require, and what the lake was built to say of them.
//! Leaves who may ask to `signature` and `faults`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::protocol::Operation;
use crate::service::Refusal;
use crate::shards::Shards;

/// The account and region that everything lies in.
const PLACE: &str = "us-east-1:123456789012";

/// What streams are like beyond the usual.
#[derive(Clone, Debug, Default)]
pub(crate) struct Descriptions {
    /// Members of a description of a delivery stream that replace the usual ones.
    pub(crate) delivery_stream: Value,
    /// The channels of every stream of Kinesis, each as `DescribeChannel` has it.
    pub(crate) channels: Vec<Value>,
}

#[derive(Deserialize)]
struct Question {
    #[serde(rename = "StreamName", alias = "DeliveryStreamName")]
    stream: Option<String>,
    #[serde(rename = "StreamFilter", default)]
    filter: Vec<Filter>,
    #[serde(rename = "ChannelARN")]
    channel: Option<String>,
}

#[derive(Deserialize)]
struct Filter {
    #[serde(rename = "StreamARN")]
    stream: String,
}

/// The stream, or the channel, that a question is about.
///
/// # Errors
/// `SerializationException` when it names none.
pub(crate) fn asked_about(body: &[u8]) -> Result<String, Refusal> {
    let question: Question = serde_json::from_slice(body).map_err(|error| Refusal::serialization(error.to_string()))?;
    let of_filter = || Some(question.filter.first()?.stream.rsplit('/').next()?.to_owned());
    let of_channel = || Some(question.channel.as_ref()?.rsplit('/').next()?.to_owned());
    let named = question.stream.clone().or_else(of_filter).or_else(of_channel);
    named.ok_or_else(|| Refusal::serialization("the question names no stream"))
}

/// The body of a 200 to a question about this stream or channel.
pub(crate) fn answer(operation: Operation, name: &str, descriptions: &Descriptions, shards: &Shards) -> String {
    match operation {
        Operation::DescribeDeliveryStream => delivery_stream(name, &descriptions.delivery_stream),
        Operation::ListChannels => {
            let numbered = (0..).zip(&descriptions.channels);
            let summaries = numbered.map(|(number, channel): (usize, _)| {
                json!({"ChannelARN": format!("arn:aws:kinesis:{PLACE}:channel/{number}"), "ChannelId": number.to_string(),
                    "ChannelName": channel["ChannelName"], "ChannelStatus": channel["ChannelStatus"], "Streams": []})
            });
            json!({"ChannelSummaries": summaries.collect::<Vec<_>>()}).to_string()
        }
        Operation::DescribeChannel => {
            let channel = name.parse::<usize>().ok().and_then(|number| descriptions.channels.get(number));
            json!({"ChannelDescription": channel}).to_string()
        }
        _ => stream(name, descriptions.channels.len(), shards),
    }
}

fn delivery_stream(name: &str, replaced: &Value) -> String {
    let mut described = json!({
        "DeliveryStreamName": name,
        "DeliveryStreamARN": format!("arn:aws:firehose:{PLACE}:deliverystream/{name}"),
        "DeliveryStreamStatus": "ACTIVE",
        "DeliveryStreamType": "DirectPut",
        "VersionId": "1",
        "CreateTimestamp": 0.0,
        "Destinations": [{"DestinationId": "destinationId-000000000001", "ExtendedS3DestinationDescription": {
            "RoleARN": "arn:aws:iam::123456789012:role/local-lake",
            "BucketARN": "arn:aws:s3:::local-lake",
            "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 5},
            "CompressionFormat": "UNCOMPRESSED",
            "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
        }}],
        "HasMoreDestinations": false,
    });
    for (member, value) in replaced.as_object().into_iter().flatten() {
        described[member] = value.clone();
    }
    json!({"DeliveryStreamDescription": described}).to_string()
}

fn stream(name: &str, channels: usize, shards: &Shards) -> String {
    let settings = shards.settings();
    json!({"StreamDescriptionSummary": {
        "StreamName": name,
        "StreamARN": format!("arn:aws:kinesis:{PLACE}:stream/{name}"),
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": if settings.distributes_itself { "ON_DEMAND" } else { "PROVISIONED" }},
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 0.0,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
        "OpenShardCount": settings.count,
        "ConsumerCount": 0,
        "ChannelCount": channels,
        "MaxRecordSizeInKiB": settings.largest_record >> 10,
        "RecordDistributionStrategy": if settings.distributes_itself { "AUTO" } else { "USER_PARTITION_KEY" },
    }})
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_its_stream_in_one_of_three_ways() {
        for (body, expected) in [
            (r#"{"StreamName": "a"}"#, Some("a")),
            (r#"{"DeliveryStreamName": "b", "Limit": 1}"#, Some("b")),
            (r#"{"StreamFilter": [{"StreamARN": "arn:aws:kinesis:r:1:stream/c"}], "MaxResults": 10}"#, Some("c")),
            (r#"{"ChannelARN": "arn:aws:kinesis:r:1:channel/7"}"#, Some("7")),
            ("{}", None),
            ("[", None),
        ] {
            assert_eq!(asked_about(body.as_bytes()).ok().as_deref(), expected, "{body}");
        }
    }
}
