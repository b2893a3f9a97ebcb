//! What a stream says about itself, held against what a flow sends it.
//! Promises a word about each setting behind which records would be refused, lost or unreadable although they were accepted.
//! Leaves asking to the probes.

use crate::config::FlowPlan;
use datalake_core::batch::{Compression, Form};
use serde_json::Value;

/// Records that are split again have at most this number of lines.
const SPLIT_LINES: u32 = 500;

/// Something that does not fit, and what to do.
pub(super) type Misfit = (String, String);

/// What of a delivery stream does not fit the flow.
pub(super) fn of_delivery_stream(flow: &FlowPlan, described: &Value) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    let mut add = |message: String, help: &str| misfits.push((message, help.to_owned()));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = text(&described["DeliveryStreamStatus"]);
    if !matches!(status.as_str(), "ACTIVE" | "") {
        add(format!("its state is {status}"), "wait until it is ACTIVE, or look at why it is not in the console");
    }
    let source = text(&described["DeliveryStreamType"]);
    if !matches!(source.as_str(), "DirectPut" | "") {
        add(
            format!("its source is {source}, so it takes no record of the agent"),
            "send to the source (`kinesisStream`), or to a stream whose source is Direct PUT",
        );
    }
    let packed = flow.batch.aggregated_record_bytes.is_some();
    let compressed = flow.batch.compression != Compression::None;
    for destination in described["Destinations"].as_array().into_iter().flatten() {
        let one_document = [
            ("IcebergDestinationDescription", "Iceberg tables"),
            ("SnowflakeDestinationDescription", "Snowflake"),
            ("AmazonopensearchserviceDestinationDescription", "OpenSearch"),
            ("AmazonOpenSearchServerlessDestinationDescription", "OpenSearch Serverless"),
            ("ElasticsearchDestinationDescription", "Elasticsearch"),
        ];
        for (member, name) in one_document {
            if destination[member].is_object() && (packed || compressed) {
                let what = if compressed { "compressed" } else { "packed" };
                add(
                    format!(
                        "it delivers to {name}, which takes one JSON document a record, and the flow sends {what} lines"
                    ),
                    "set \"aggregatedRecordSizeBytes\": 0 and \"compression\": \"none\" in the flow",
                );
            }
        }
        let s3 = &destination["ExtendedS3DestinationDescription"];
        let is_on = |part: &str| s3[part]["Enabled"] == true;
        let processing = &s3["ProcessingConfiguration"];
        let processors: Vec<String> = match processing["Enabled"] == true {
            true => processing["Processors"].as_array().into_iter().flatten().map(|it| text(&it["Type"])).collect(),
            false => Vec::new(),
        };
        let has = |kind: &str| processors.iter().any(|processor| processor == kind);
        if has("CloudWatchLogProcessing") || has("Decompression") {
            add(
                "it unpacks CloudWatch Logs, so it refuses every other record".to_owned(),
                "turn decompression off, or use another stream",
            );
        }
        if compressed {
            let format = text(&s3["CompressionFormat"]);
            if !matches!(format.as_str(), "UNCOMPRESSED" | "") {
                add(
                    format!("it compresses its objects ({format}), and the flow compresses records"),
                    "set its compression to none, or \"compression\": \"none\" in the flow",
                );
            }
            if is_on("DataFormatConversionConfiguration") {
                add(
                    "it converts records to Parquet or ORC, and cannot read compressed ones".to_owned(),
                    "set \"compression\": \"none\" in the flow",
                );
            }
            for (kind, what) in [
                ("AppendDelimiterToRecord", "appends a newline to each record, which damages gzip"),
                ("RecordDeAggregation", "splits records into lines, and cannot read compressed ones"),
                ("MetadataExtraction", "looks into records, and cannot read compressed ones"),
            ] {
                if has(kind) {
                    add(format!("it {what}"), "turn that processor off, or set \"compression\": \"none\" in the flow");
                }
            }
        } else if packed {
            let few = flow.batch.max_lines_per_record.is_some_and(|lines| lines <= SPLIT_LINES);
            if has("RecordDeAggregation") && !few {
                add(
                    format!("it splits records into lines, at most {SPLIT_LINES} of each, and the flow packs more"),
                    "set \"maxLinesPerRecord\": 500 in the flow",
                );
            }
            if is_on("DynamicPartitioningConfiguration") && !has("RecordDeAggregation") && !has("Lambda") {
                add(
                    "it chooses a partition for each record, and the flow packs lines of several".to_owned(),
                    "let it split records (RecordDeAggregation) with \"maxLinesPerRecord\": 500, or set \
                     \"aggregatedRecordSizeBytes\": 0 in the flow",
                );
            }
        }
    }
    misfits
}

/// What of a stream of Kinesis, and of the channels that deliver it, does not fit the flow.
pub(super) fn of_stream(flow: &FlowPlan, described: &Value, channels: &[Value]) -> Vec<Misfit> {
    let Form::Kinesis(form) = &flow.batch.form else { return Vec::new() };
    let mut misfits = Vec::new();
    let mut add = |message: String, help: String| misfits.push((message, help));
    let status = described["StreamStatus"].as_str().unwrap_or_default();
    if !matches!(status, "ACTIVE" | "UPDATING" | "") {
        add(format!("its state is {status}"), "wait until it is ACTIVE".to_owned());
    }
    if form.kpl && described["RecordDistributionStrategy"] == "AUTO" {
        add(
            "it distributes its records by itself (AUTO), and consumers drop aggregated records there".to_owned(),
            "set \"aggregation\": \"lines\" or \"none\" in the flow, or the stream's strategy to USER_PARTITION_KEY"
                .to_owned(),
        );
    }
    if let Some(kib) = described["MaxRecordSizeInKiB"].as_u64()
        && form.record_bytes as u64 > kib << 10
    {
        add(
            format!("it takes records of at most {kib} KiB, and the flow sends up to {} KiB", form.record_bytes >> 10),
            "lower \"maxRecordSizeBytes\" of the flow, or raise the stream's limit".to_owned(),
        );
    }
    let packed = flow.batch.aggregated_record_bytes.is_some();
    for channel in channels {
        let name = channel["ChannelName"].as_str().unwrap_or("without a name");
        let status = channel["ChannelStatus"].as_str().unwrap_or_default();
        if status == "FAILED" {
            add(format!("its channel {name} has failed for good"), "create the channel anew".to_owned());
        }
        let configurations = ["StreamConfigurationList", "Streams"].into_iter().find_map(|key| channel[key].as_array());
        let formats: Vec<&str> = configurations
            .into_iter()
            .flatten()
            .filter_map(|stream| stream["RecordConfiguration"]["RecordFormatType"].as_str())
            .collect();
        let tables =
            channel["ChannelDestinationType"] == "S3_TABLES" || channel["S3TablesDestinationConfiguration"].is_object();
        let documents = tables || formats.iter().any(|format| format.ends_with("JSON"));
        if form.kpl {
            add(
                format!("its channel {name} does not take apart the aggregates of the Kinesis Producer Library"),
                "set \"aggregation\": \"none\" in the flow, or \"lines\" where the channel delivers text to S3"
                    .to_owned(),
            );
        } else if packed && documents {
            add(
                format!(
                    "its channel {name} takes one JSON document a record, and the flow packs several lines into one"
                ),
                "set \"aggregation\": \"none\" in the flow".to_owned(),
            );
        }
    }
    misfits
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flow(keys: &str) -> std::sync::Arc<FlowPlan> {
        let text = format!(r#"{{"region": "eu-west-1", "flows": [{{"filePattern": "/a", {keys}}}]}}"#);
        let plan = crate::config::from_text(&[("agent.json", &text)]).unwrap_or_else(|report| panic!("{report}"));
        plan.flows.into_iter().next().unwrap()
    }

    fn s3(more: Value) -> Value {
        json!({"DeliveryStreamStatus": "ACTIVE", "DeliveryStreamType": "DirectPut",
            "Destinations": [{"DestinationId": "d", "ExtendedS3DestinationDescription": more}]})
    }

    fn processor(kind: &str) -> Value {
        s3(json!({"CompressionFormat": "UNCOMPRESSED",
            "ProcessingConfiguration": {"Enabled": true, "Processors": [{"Type": kind}]}}))
    }

    const PACKED: &str = r#""deliveryStream": "s""#;
    const EACH: &str = r#""deliveryStream": "s", "aggregatedRecordSizeBytes": 0"#;
    const GZIP: &str = r#""deliveryStream": "s", "compression": "gzip""#;
    const FEW: &str = r#""deliveryStream": "s", "maxLinesPerRecord": 500"#;

    /// Calls succeed, the accounting balances, and the table stays empty: what only the stream's description can tell.
    #[test]
    fn a_delivery_stream_whose_destination_cannot_take_what_is_sent_is_named() {
        let iceberg = json!({"DeliveryStreamStatus": "ACTIVE", "DeliveryStreamType": "DirectPut",
            "Destinations": [{"DestinationId": "d", "IcebergDestinationDescription": {"RoleARN": "r"}}]});
        let plain = s3(json!({"CompressionFormat": "UNCOMPRESSED"}));
        let disabled =
            s3(json!({"ProcessingConfiguration": {"Enabled": false, "Processors": [{"Type": "RecordDeAggregation"}]}}));
        let parquet =
            s3(json!({"CompressionFormat": "UNCOMPRESSED", "DataFormatConversionConfiguration": {"Enabled": true}}));
        let dynamic = s3(json!({"DynamicPartitioningConfiguration": {"Enabled": true}}));
        for (keys, described, words) in [
            (PACKED, &plain, ""),
            (GZIP, &plain, ""),
            (PACKED, &disabled, ""),
            (PACKED, &json!({}), ""),
            (PACKED, &json!({"DeliveryStreamStatus": "CREATING"}), "state is CREATING"),
            (PACKED, &json!({"DeliveryStreamType": "KinesisStreamAsSource"}), "takes no record of the agent"),
            (PACKED, &iceberg, "one JSON document a record, and the flow sends packed lines"),
            (GZIP, &iceberg, "the flow sends compressed lines"),
            (EACH, &iceberg, ""),
            (GZIP, &s3(json!({"CompressionFormat": "GZIP"})), "compresses its objects (GZIP)"),
            (PACKED, &s3(json!({"CompressionFormat": "GZIP"})), ""),
            (GZIP, &parquet, "converts records to Parquet"),
            (PACKED, &parquet, ""),
            (GZIP, &processor("AppendDelimiterToRecord"), "damages gzip"),
            (PACKED, &processor("RecordDeAggregation"), "at most 500 of each"),
            (FEW, &processor("RecordDeAggregation"), ""),
            (PACKED, &processor("CloudWatchLogProcessing"), "refuses every other record"),
            (PACKED, &dynamic, "chooses a partition for each record"),
            (EACH, &dynamic, ""),
        ] {
            let misfits = of_delivery_stream(&flow(keys), described);
            match words {
                "" => assert!(misfits.is_empty(), "{keys} {described}: {misfits:?}"),
                words => assert!(misfits.len() == 1 && misfits[0].0.contains(words), "{keys} {described}: {misfits:?}"),
            }
        }
    }

    #[test]
    fn a_stream_whose_consumers_drop_aggregates_or_packed_lines_is_named() {
        const KPL: &str = r#""kinesisStream": "s""#;
        const LINES: &str = r#""kinesisStream": "s", "aggregation": "lines""#;
        const NONE: &str = r#""kinesisStream": "s", "aggregation": "none""#;
        let channel = |format: &str| {
            json!({"ChannelName": "c", "ChannelStatus": "ACTIVE",
                "StreamConfigurationList": [{"RecordConfiguration": {"RecordFormatType": format}}]})
        };
        let tables = json!({"ChannelName": "t", "ChannelDestinationType": "S3_TABLES", "Streams": []});
        for (keys, described, channels, words) in [
            (KPL, json!({"StreamStatus": "ACTIVE"}), vec![], ""),
            (KPL, json!({"RecordDistributionStrategy": "AUTO"}), vec![], "drop aggregated records"),
            (LINES, json!({"RecordDistributionStrategy": "AUTO"}), vec![], ""),
            (KPL, json!({}), vec![channel("STRING")], "does not take apart the aggregates"),
            (LINES, json!({}), vec![channel("STRING")], ""),
            (LINES, json!({}), vec![channel("JSON")], "one JSON document a record"),
            (LINES, json!({}), vec![channel("GSR_JSON")], "one JSON document a record"),
            (LINES, json!({}), vec![tables.clone()], "one JSON document a record"),
            (NONE, json!({}), vec![channel("JSON"), tables], ""),
            (NONE, json!({"StreamStatus": "DELETING"}), vec![], "state is DELETING"),
        ] {
            let misfits = of_stream(&flow(keys), &described, &channels);
            match words {
                "" => assert!(misfits.is_empty(), "{keys} {described} {channels:?}: {misfits:?}"),
                words => {
                    assert!(misfits.len() == 1 && misfits[0].0.contains(words), "{keys} {channels:?}: {misfits:?}")
                }
            }
        }
    }
}
