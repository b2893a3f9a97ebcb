//! What a plan holds for what was written.

use crate::config::{self, Plan, report::Kind};
use crate::source::file::InitialPosition;
use datalake_base::units::ByteSize;
use datalake_core::batch::{Compression, firehose};
use datalake_core::framing::LongLines;
use std::sync::Arc;
use std::time::Duration;

fn plan(text: &str) -> Plan {
    config::from_text(&[("agent.json", text)]).unwrap_or_else(|report| panic!("{report}"))
}

/// The plan of a file with one flow that has these keys besides what it must have.
fn one(keys: &str) -> Arc<super::FlowPlan> {
    let text = format!(r#"{{"flows": [{{"filePattern": "/a", "deliveryStream": "a" {keys}}}]}}"#);
    plan(&text).flows.remove(0)
}

#[test]
fn calls_are_smaller_than_they_could_be_unless_configured_otherwise() {
    let of_messages = |keys: &str| {
        let mqtt = r#""mqtt": {"broker": "mqtt://localhost:1883", "topics": "t"}"#;
        plan(&format!(r#"{{"flows": [{{{mqtt}, "deliveryStream": "a" {keys}}}]}}"#)).flows.remove(0).batch.max_bytes
    };
    assert_eq!(of_messages(""), 2 << 20);
    assert_eq!(of_messages(r#", "maxBufferSizeBytes": "4MiB""#), firehose::CALL_BYTES);
    assert_eq!(one("").batch.max_bytes, 2 << 20);
    assert_eq!(one(r#", "maxBufferSizeBytes": "4MiB""#).batch.max_bytes, firehose::CALL_BYTES);
}

#[test]
fn a_client_id_leaves_room_for_the_number_of_a_connection() {
    let with = |length: usize| {
        let mqtt = format!(r#""mqtt": {{"broker": "mqtt://h", "topics": "t", "clientId": "{}"}}"#, "c".repeat(length));
        config::from_text(&[("agent.json", &format!(r#"{{"flows": [{{{mqtt}, "deliveryStream": "a"}}]}}"#))])
    };
    assert!(with(65_532).is_ok());
    assert!(with(65_533).unwrap_err().to_string().contains("at most 65532 bytes"));
}

#[test]
fn what_is_left_out_has_its_documented_default() {
    let plan = plan(r#"{"flows": [{"filePattern": "/a", "deliveryStream": "raw"}]}"#);
    assert_eq!(plan.state_directory.to_str(), Some("/var/lib/datalake-agent"));
    assert_eq!(plan.max_memory, ByteSize::mib(64));
    assert_eq!(plan.shutdown_timeout, Duration::from_secs(10));
    assert!(plan.session.kinesis_endpoint.is_none());
    let metrics = plan.metrics.unwrap();
    assert_eq!((metrics.namespace.as_str(), metrics.every), ("AWSKinesisAgent", Duration::from_secs(30)));
    assert_eq!((metrics.endpoint, metrics.tag_instance), (None, false));
    assert_eq!(
        (&plan.session.region, &plan.session.firehose_endpoint, &plan.session.access_key),
        (&None, &None, &None)
    );
    let flow = &plan.flows[0];
    assert_eq!((flow.name.as_str(), flow.source.stream.as_str()), ("raw", "firehose:raw"));
    assert_eq!(flow.source.initial_position, InitialPosition::EndOfFile);
    assert_eq!(flow.batch.max_age, Duration::from_secs(60));
    assert_eq!((flow.batch.max_bytes, flow.batch.max_records), (2 << 20, firehose::CALL_RECORDS));
    assert_eq!(flow.batch.aggregated_record_bytes, Some(firehose::RECORD_BYTES));
    assert_eq!((flow.batch.max_lines_per_record, flow.batch.compression), (None, Compression::None));
    assert_eq!((flow.framing.max_line_bytes, flow.framing.skip_header_lines), (firehose::RECORD_BYTES, 0));
    assert_eq!((flow.framing.long_lines, flow.framing.terminator.as_slice()), (LongLines::Split, &b"\n"[..]));
    assert!(flow.framing.multi_line.is_none());
    assert_eq!(flow.pace, crate::deliver::pace::Settings::default());
    assert_eq!(flow.max_concurrent_requests, 1);
}

#[test]
fn metrics_are_sent_unless_they_are_switched_off_or_the_records_stay_on_this_machine() {
    let metrics =
        |keys: &str| plan(&format!(r#"{{{keys} "flows": [{{"filePattern": "/a", "deliveryStream": "a"}}]}}"#)).metrics;
    for (keys, sent) in [
        ("", true),
        (r#""cloudwatch.emitMetrics": false,"#, false),
        (r#""cloudwatch.emitMetrics": false, "cloudwatch.endpoint": "http://127.0.0.1:1","#, false),
        (r#""firehose.endpoint": "firehose.eu-west-1.amazonaws.com","#, true),
        (r#""firehose.endpoint": "http://127.0.0.1:1","#, false),
        (r#""firehose.endpoint": "https://localhost","#, false),
        (r#""firehose.endpoint": "http://[::1]:1", "cloudwatch.endpoint": "http://127.0.0.1:2","#, true),
    ] {
        assert_eq!(metrics(keys).is_some(), sent, "{keys}");
    }
    let written = metrics(
        r#""cloudwatch.endpoint": "monitoring.eu-west-1.amazonaws.com", "cloudwatch.namespace": "Mine",
        "cloudwatch.metricsBufferTimeMillis": 60000, "cloudwatch.tagInstance": true,"#,
    );
    let expected = crate::metrics::Settings {
        namespace: "Mine".into(),
        every: Duration::from_secs(60),
        endpoint: Some("https://monitoring.eu-west-1.amazonaws.com".into()),
        tag_instance: true,
    };
    assert_eq!(written, Some(expected));
}

#[test]
fn what_is_written_arrives_where_it_belongs() {
    let flow = one(
        r#", "exclude": ["/b", "/c"], "name": "n", "initialPosition": "START_OF_FILE", "maxBufferAgeMillis": 10,
        "maxBufferSizeBytes": "2MiB", "maxBufferSizeRecords": 7, "aggregatedRecordSizeBytes": 5120, "maxLinesPerRecord": 500,
        "compression": {"type": "gzip", "level": 6}, "multiLineStartPattern": "^x", "multiLineTimeoutMillis": 50,
        "skipHeaderLines": 2, "truncatedRecordTerminator": "…\n", "longLines": "truncate", "maxConcurrentRequests": 8,
        "maxBytesPerSecond": "1MiB", "maxRecordsPerSecond": 3, "maxRequestsPerSecond": 4"#,
    );
    assert_eq!((flow.name.as_str(), flow.source.exclude.len()), ("n", 2));
    assert_eq!(flow.source.initial_position, InitialPosition::StartOfFile);
    assert_eq!(flow.batch.max_age, Duration::from_millis(10));
    assert_eq!((flow.batch.max_bytes, flow.batch.max_records), (2 << 20, 7));
    assert_eq!((flow.batch.aggregated_record_bytes, flow.batch.max_lines_per_record), (Some(5120), Some(500)));
    assert_eq!(flow.batch.compression, Compression::Gzip { level: 6 });
    assert_eq!(flow.framing.multi_line.as_ref().map(|join| join.timeout), Some(Duration::from_millis(50)));
    assert_eq!((flow.framing.skip_header_lines, flow.framing.long_lines), (2, LongLines::Truncate));
    assert!(flow.source.skips_header);
    assert_eq!(flow.framing.terminator, "…\n".as_bytes());
    assert_eq!(flow.max_concurrent_requests, 8);
    let limits = (flow.pace.max_bytes_per_second, flow.pace.max_records_per_second, flow.pace.max_requests_per_second);
    assert_eq!(limits, (Some(1 << 20), Some(3), Some(4)));
}

#[test]
fn every_accepted_batch_size_makes_a_batch_that_holds_a_line() {
    for (size, gzip) in [(2, false), (3, false), (1024, true), (5000, true), (4 << 20, false), (4 << 20, true)] {
        let gzip = if gzip { r#", "compression": "gzip""# } else { "" };
        let flow = one(&format!(r#", "maxBufferSizeBytes": {size}{gzip}"#));
        assert_eq!(flow.framing.max_line_bytes, flow.batch.longest_line(), "{size}{gzip}");
        assert!(flow.framing.max_line_bytes > flow.framing.terminator.len(), "{size}{gzip}");
        // The packer asserts the rest of what it needs.
        drop(datalake_core::batch::Packer::new(flow.batch.clone(), fastrand::Rng::with_seed(1)));
    }
}

#[test]
fn a_record_is_never_larger_than_its_batch() {
    let flow = one(r#", "maxBufferSizeBytes": 1000, "aggregatedRecordSizeBytes": 5000"#);
    assert_eq!((flow.batch.max_bytes, flow.batch.aggregated_record_bytes), (1000, Some(1000)));
}

#[test]
fn a_batch_size_as_the_quota_says_is_taken_and_kept_below_the_limit_of_a_call() {
    assert_eq!(one(r#", "maxBufferSizeBytes": 4194304"#).batch.max_bytes, firehose::CALL_BYTES);
    assert_eq!(one(r#", "aggregatedRecordSizeBytes": 0"#).batch.aggregated_record_bytes, None);
}

#[test]
fn flows_to_one_stream_get_numbers_and_leave_given_names_alone() {
    let flow = |pattern: &str, name: &str| format!(r#"{{"filePattern": "{pattern}", "deliveryStream": "a"{name}}}"#);
    let text =
        format!(r#"{{"flows": [{}, {}, {}]}}"#, flow("/1", ""), flow("/2", ""), flow("/3", r#", "name": "a-2""#));
    let names: Vec<_> = plan(&text).flows.into_iter().map(|flow| flow.name.clone()).collect();
    assert_eq!(names, ["a", "a-3", "a-2"]);
}

#[test]
fn an_endpoint_gets_its_scheme() {
    let plan = plan(
        r#"{"firehose.endpoint": "localhost:4573", "kinesis.endpoint": "http://127.0.0.1:1/", "region": "eu-central-1",
        "flows": [{"filePattern": "/a", "deliveryStream": "a"}]}"#,
    );
    assert_eq!(plan.session.firehose_endpoint.as_deref(), Some("https://localhost:4573"));
    assert_eq!(plan.session.kinesis_endpoint.as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!(plan.session.region.as_deref(), Some("eu-central-1"));
}

#[test]
fn the_memory_of_the_flows_is_summed_and_the_suggested_budget_is_enough() {
    assert_eq!(one("").most_memory().as_u64(), 2 * firehose::body_bytes(2 << 20, 500) as u64 + (512 << 10));
    let flows = |budget: &str| {
        let each: Vec<_> = (0..100).map(|n| format!(r#"{{"filePattern": "/{n}", "deliveryStream": "a"}}"#)).collect();
        config::from_text(&[("a", &format!(r#"{{"maxMemoryBytes": "{budget}", "flows": [{}]}}"#, each.join(",")))])
    };
    let report = flows("64MiB").unwrap_err();
    assert_eq!(report.faults().iter().map(|fault| fault.kind).collect::<Vec<_>>(), [Kind::Memory]);
    assert!(report.to_string().contains(r#"set "maxMemoryBytes": "302MiB""#), "{report}");
    assert!(flows("302MiB").is_ok() && flows("301MiB").is_err());
}

#[test]
fn options_become_steps_and_the_word_of_the_flow_holds_for_those_without_their_own() {
    use datalake_process::{Place, Processor, Surroundings, Verdict};
    let flow = one(r#", "onFailure": "drop", "dataProcessingOptions": [
            {"optionName": "LOGTOJSON", "logFormat": "SYSLOG"},
            {"optionName": "FILTER", "keepWhen": {"field": "n", "exists": true}, "onFailure": "raw"}]"#);
    assert_eq!((flow.process.name(0), flow.process.name(1)), ("LOGTOJSON", "FILTER"));
    let surroundings =
        Surroundings { host: String::new(), variables: [].into(), instance: None, max_record_bytes: 1000 };
    let mut processor = Processor::new(&flow.process, &surroundings).unwrap();
    let place = Place {
        path: std::path::Path::new("/a"),
        file: datalake_base::record::FileKey::default(),
        generation: None,
        position: datalake_base::record::Position::START,
        input: 2,
        now_ms: 0,
    };
    assert!(matches!(processor.process(b"x\n", &place, &mut Vec::new()), Verdict::Dropped(_)));
    assert!(one("").process.is_empty());
}
