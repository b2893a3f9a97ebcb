//! The table of all keys. What is written here once is the key: its name, kind, range, default, meaning, and the field that
//! it is read into. Reading, the documentation and the schema all come from it.
//! Promises that a key which is not in these tables is refused, and that each default lies in its own range.
//! Leaves how values are read to `section`, and what they mean together to `plan`.

pub use super::key::{Default, Key, Kind};

use super::foreign;
use super::report::Report;
use super::section::{Level, Object, Opened, Section, Words};
use super::ways::{
    Amount, Choice, Credential, Each, Flag, GivenChoice, GivenFlag, Nested, NonEmpty, Number, NumberOrDefault, Raw,
    Several, Text, TextOr, TextOrDefault, Texts, Way,
};
use datalake_core::batch::{firehose, kinesis};

macro_rules! tables {
    ($($(#[doc = $words:literal])+ $table:ident $written:ident $level:ident {
        $($constant:ident $field:ident: $way:ty, $name:literal $kind:expr, $default:expr, $meaning:literal;)+
    })+) => {
        $(
            $(#[doc = $meaning] pub static $constant: Key = Key { name: $name, kind: $kind, default: $default, meaning: $meaning };)+
            $(#[doc = $words])+
            pub static $table: &[&Key] = &[$(&$constant),+];

            $(#[doc = $words])+
            /// As the operator wrote them; what is left out has its default.
            #[derive(Debug)]
            pub(super) struct $written {
                /// Where it stands, and which of its keys are there.
                pub(super) opened: Opened,
                $(pub(super) $field: <$way as Way>::Written,)+
            }

            impl Object for $written {
                fn level() -> &'static Level {
                    &$level
                }

                fn opened(&self) -> &Opened {
                    &self.opened
                }

                fn read(section: &Section<'_>, report: &mut Report) -> Self {
                    Self {
                        opened: section.opened(),
                        $($field: <$way as Way>::read(section, &$constant, report),)+
                    }
                }
            }
        )+
    };
}

tables! {
    /// The keys of the main file.
    TOP_KEYS Written MAIN {
        STATE_DIRECTORY state_directory: TextOrDefault, "stateDirectory" Kind::Text, Default::Text("/var/lib/datalake-agent"),
            "Folder of the checkpoint, the lock and the quarantine; an absolute path.";
        REGION region: NonEmpty, "region" Kind::Text, Default::Unset("from the environment, the AWS profile or the instance"),
            "AWS region of the streams, such as `eu-central-1`.";
        FIREHOSE_ENDPOINT firehose_endpoint: NonEmpty, "firehose.endpoint" Kind::Text, Default::Unset("the region's own"),
            "Another endpoint for Firehose, such as a VPC endpoint; `https://` is assumed. `http://` is meant for tests on the same machine.";
        KINESIS_ENDPOINT kinesis_endpoint: NonEmpty, "kinesis.endpoint" Kind::Text, Default::Unset("the region's own"),
            "The same for Kinesis Data Streams.";
        KINESIS_REGION kinesis_region: NonEmpty, "kinesis.region" Kind::Text, Default::Unset("as `region`"),
            "The region of Kinesis Data Streams, where it is another than `region`.";
        STS_ENDPOINT sts_endpoint: NonEmpty, "sts.endpoint" Kind::Text, Default::Unset("the region's own"),
            "Another endpoint for STS, which is asked for the role.";
        FIPS fips: Flag, "useFipsEndpoint" Kind::Boolean, Default::Boolean(false),
            "Whether to call the endpoints that are certified after FIPS 140; beside no endpoint of your own.";
        DUAL_STACK dual_stack: Flag, "useDualStackEndpoint" Kind::Boolean, Default::Boolean(false),
            "Whether to call the endpoints that answer on IPv6 too; beside no endpoint of your own.";
        CA_BUNDLE ca_bundle: NonEmpty, "caBundle" Kind::Text, Default::Unset("`AWS_CA_BUNDLE` of the environment"),
            "File with certificates (PEM) to trust beside the machine's, for a proxy or an endpoint of your own; an absolute path.";
        ACCESS_KEY_ID access_key_id: Credential, "awsAccessKeyId" Kind::Text, Default::Unset("the AWS credential chain"),
            "Access key, together with `awsSecretAccessKey`. The credential chain (environment, profile, role of the instance) is the better place.";
        SECRET_ACCESS_KEY secret_access_key: Credential, "awsSecretAccessKey" Kind::Text, Default::Unset("the AWS credential chain"),
            "Secret of the access key. Refused when everybody on the machine can read the file.";
        ASSUME_ROLE role: NonEmpty, "assumeRoleARN" Kind::Text, Default::Unset("no role is assumed"),
            "Role to assume with these credentials, for streams of another account; held for an hour and renewed in time.";
        EXTERNAL_ID external_id: NonEmpty, "assumeRoleExternalId" Kind::Text, Default::Unset("none"),
            "The external id that the role asks for.";
        EMIT_METRICS emit_metrics: Flag, "cloudwatch.emitMetrics" Kind::Boolean, Default::Boolean(true),
            "Whether metrics go to CloudWatch (`cloudwatch:PutMetricData`). Where the endpoints of all flows are on this machine they only do with a `cloudwatch.endpoint`.";
        METRICS_ENDPOINT metrics_endpoint: NonEmpty, "cloudwatch.endpoint" Kind::Text, Default::Unset("the region's own"),
            "Another endpoint for CloudWatch, such as a VPC endpoint; `https://` is assumed.";
        METRICS_NAMESPACE metrics_namespace: TextOrDefault, "cloudwatch.namespace" Kind::Text, Default::Text("AWSKinesisAgent"),
            "Namespace of the metrics: 1 to 255 printable ASCII characters, not beginning with `AWS/` or a colon.";
        METRICS_PERIOD metrics_period_millis: Amount, "cloudwatch.metricsBufferTimeMillis" Kind::Integer { min: 1_000, max: 3_600_000 }, Default::Number(30_000),
            "How often metrics are sent.";
        TAG_INSTANCE tag_instance: Flag, "cloudwatch.tagInstance" Kind::Boolean, Default::Boolean(false),
            "Whether metrics have the dimension `Instance` too: the id of the EC2 instance, elsewhere the host's name.";
        PROMETHEUS_LISTEN prometheus_listen: NonEmpty, "prometheus.listen" Kind::Text, Default::Unset("nothing is served"),
            "Where metrics are served for Prometheus (`/metrics`), and `/healthz` and `/readyz` for probes: a loopback address with a port, such as `127.0.0.1:9464`, or the absolute path of a unix socket. See [metrics](metrics.md).";
        MAX_MEMORY max_memory: Number, "maxMemoryBytes" Kind::Size { min: 8 << 20, max: u64::MAX }, Default::Unset("64MiB, or what the flows need if that is more"),
            "Memory for the batches of all flows together, whatever the backlog.";
        SHUTDOWN_TIMEOUT shutdown_timeout_millis: Amount, "shutdownTimeoutMillis" Kind::Integer { min: 0, max: 600_000 }, Default::Number(10_000),
            "Maximum time that a stop goes on sending; what is unsent then is sent after the next start.";
        FLOWS flows: Each<WrittenFlow>, "flows" Kind::Flows, Default::Unset("flows from `agent.d/*.json` only"),
            "The flows: which files go to which stream. Those of `agent.d/*.json` are added.";
    }
    /// The keys of a flow.
    FLOW_KEYS WrittenFlow FLOW {
        FILE_PATTERN file_pattern: Texts, "filePattern" Kind::Texts, Default::Unset("**required**, unless there is `mqtt`"),
            "Files to read, as absolute paths: `*`, `?`, `[a-z]`, `{a,b}`, and `**` across folders. Every file that matches is read.";
        MQTT mqtt: Nested<WrittenMqtt>, "mqtt" Kind::Mqtt, Default::Unset("the flow reads files"),
            "MQTT topics to receive, in place of `filePattern`. See [mqtt](mqtt.md).";
        EXCLUDE exclude: Texts, "exclude" Kind::Texts, Default::Unset("nothing is excluded"),
            "Files not to read although `filePattern` matches.";
        DELIVERY_STREAM delivery_stream: Text, "deliveryStream" Kind::Text, Default::Unset("the flow has `kinesisStream`"),
            "Name of the Firehose delivery stream: 1 to 64 of `a-z A-Z 0-9 _ . -`. A flow has either this key or `kinesisStream`.";
        DELIVERY_STREAMS delivery_streams: Texts, "deliveryStreams" Kind::Texts, Default::Unset("the flow has one stream"),
            "Several delivery streams in place of one, where one is not enough: each file goes to one of them, chosen by host and path, and keeps its order. The first names the positions: add streams at the end. See [sizing](sizing.md#several-delivery-streams).";
        KINESIS_STREAM kinesis_stream: Text, "kinesisStream" Kind::Text, Default::Unset("the flow has `deliveryStream`"),
            "Name of the stream of Kinesis Data Streams: 1 to 128 of the same characters.";
        PARTITION_KEY_OPTION partition_key: TextOr<WrittenPartitionKey>, "partitionKeyOption" Kind::PartitionKey, Default::Text("RANDOM"),
            "Where partition keys come from, for Kinesis: `\"RANDOM\"` draws one for each record, `\"DETERMINISTIC\"` is a hash of the record, `{\"field\": \"user\"}` is the value of a top-level field of a JSON line, `{\"path\": \"/apps/([^/]+)/\"}` is what the group matches in the path of the file.";
        AGGREGATION aggregation: GivenChoice, "aggregation" Kind::Choice(&["kpl", "lines", "none"]), Default::Unset("`\"kpl\"`; `\"none\"` where each line can have a partition key of its own"),
            "How lines become records, for Kinesis: `kpl` packs them as the Kinesis Producer Library does, for consumers that take that apart (KCL, Firehose, Flink; Lambda with a library), `lines` packs them one after the other, `none` sends each line as a record of its own.";
        ORDERED ordered: GivenFlag, "ordered" Kind::Boolean, Default::Boolean(false),
            "Whether lines of one partition key keep their order in Kinesis whatever is refused and sent again. It needs keys from a field or the path, and costs throughput: a call has each key once, and nothing passes a refused record.";
        FLOW_REGION region: NonEmpty, "region" Kind::Text, Default::Unset("as at the top level"),
            "Region of this flow's stream. An endpoint at the top level that names another region does not count then.";
        FLOW_ROLE role: NonEmpty, "assumeRoleARN" Kind::Text, Default::Unset("as at the top level"),
            "Role for this flow in place of that at the top level.";
        FLOW_EXTERNAL_ID external_id: NonEmpty, "assumeRoleExternalId" Kind::Text, Default::Unset("none"),
            "The external id that this role asks for.";
        NAME name: Text, "name" Kind::Text, Default::Unset("the name of the stream, with a number if several flows feed it"),
            "Name of the flow in logs and status; unique, of the same characters as a stream name. With several streams the second is `NAME-2`, and so on.";
        INITIAL_POSITION initial_position: Choice, "initialPosition" Kind::Choice(&["START_OF_FILE", "END_OF_FILE"]), Default::Text("END_OF_FILE"),
            "Where to begin in files that exist when the flow is started for the very first time. Later files are read from their beginning.";
        ROTATED_TO rotated_to: Texts, "rotatedTo" Kind::Texts, Default::Unset("`rotated`, `old` and `archive` beside the file, and `../rotated`"),
            "Folders that rotation moves files to, or their archives, such as `olddir` of logrotate; absolute paths. What is unread in a file that was rotated is sought there too, under any name, and found by its content. A file that came and was rotated while no agent ran has no known content: it is read where its name says that it is a rotation.";
        FOLLOW_LINKS follow_links: Choice, "followLinks" Kind::Choice(&["owned", "all"]), Default::Text("owned"),
            "`owned`: a symbolic link is followed when root made it, or the owner of what it leads to; a file with several names is read when it belongs to the owner of its folder. `all`: all links are followed; for folders that only trusted users can write to.";
        MAX_ARCHIVE_MEMORY max_archive_memory: Amount, "maxArchiveMemoryBytes" Kind::Size { min: 1 << 20, max: 2 << 30 }, Default::Number(16 << 20),
            "Memory that unpacking one archive may take, out of `maxMemoryBytes`; two are unpacked at a time. An archive that needs more is skipped and named.";
        MAX_ARCHIVE_OUTPUT max_archive_output: Amount, "maxArchiveOutputBytes" Kind::Size { min: 1 << 20, max: u64::MAX }, Default::Number(1 << 30),
            "An archive may unpack to this much, and to 1,000 times its own size besides. What goes beyond is skipped and named.";
        MAX_BUFFER_AGE max_buffer_age_millis: Amount, "maxBufferAgeMillis" Kind::Integer { min: 10, max: 900_000 }, Default::Number(60_000),
            "A batch is sent when its oldest line is this old.";
        MAX_BUFFER_SIZE max_buffer_size: Number, "maxBufferSizeBytes" Kind::Size { min: 1, max: kinesis::LARGEST_CALL_BYTES as u64 }, Default::Unset("2 MiB, or the largest record if that is more"),
            "A batch is sent when it holds this many bytes, before base64. Firehose takes 4 MiB, of which calls stay 1 KiB below; Kinesis takes 5 MiB, or 10 MiB with larger records, partition keys included.";
        MAX_BUFFER_RECORDS max_buffer_records: Amount, "maxBufferSizeRecords" Kind::Integer { min: 1, max: firehose::CALL_RECORDS as u64 }, Default::Number(firehose::CALL_RECORDS as u64),
            "A batch is sent when it holds this many records.";
        MAX_RECORD_SIZE max_record_size: Number, "maxRecordSizeBytes" Kind::Size { min: kinesis::RECORD_BYTES as u64, max: kinesis::LARGEST_RECORD_BYTES as u64 }, Default::Number(kinesis::RECORD_BYTES as u64),
            "The largest record, its partition key included, for Kinesis streams that are set to take more than 1 MiB. At the start the stream is asked what it takes; what it does not say it takes is not sent.";
        AGGREGATED_SIZE aggregated_size: Number, "aggregatedRecordSizeBytes" Kind::Size { min: 0, max: kinesis::LARGEST_RECORD_BYTES as u64 }, Default::Unset("1,024,000 for Firehose, which is the most there; 51,200 for Kinesis"),
            "Maximum size of a record that lines are packed into: each record is billed rounded up, to 5 KiB by Firehose, to 1 KiB or 25 KiB by Kinesis. 0 sends each line as a record of its own.";
        MAX_LINES_PER_RECORD max_lines_per_record: Number, "maxLinesPerRecord" Kind::Integer { min: 1, max: u32::MAX as u64 }, Default::Unset("no limit"),
            "Maximum number of lines in a record; 500 for streams that split records again.";
        COMPRESSION compression: TextOr<WrittenCompression>, "compression" Kind::Compression, Default::Text("none"),
            "`\"gzip\"` compresses each record; the level is 1 (fast, the default) to 12 (small). The stream must not compress again.";
        MULTI_LINE_START multi_line_start: NonEmpty, "multiLineStartPattern" Kind::Text, Default::Unset("each line stands alone"),
            "Regular expression (Rust or Java dialect), matched from the beginning of a line: such a line begins a record, other lines belong to the record before. The first 8 KiB of a line count. Empty is the same as left out.";
        MULTI_LINE_TIMEOUT multi_line_timeout: NumberOrDefault, "multiLineTimeoutMillis" Kind::Integer { min: 10, max: 900_000 }, Default::Number(2_000),
            "A record of several lines is complete when nothing was added for this long.";
        SKIP_HEADER_LINES skip_header_lines: Amount, "skipHeaderLines" Kind::Integer { min: 0, max: u32::MAX as u64 }, Default::Number(0),
            "Number of lines at the beginning of each file that are not sent.";
        TERMINATOR terminator: TextOrDefault, "truncatedRecordTerminator" Kind::Text, Default::Text("\n"),
            "What ends a line that had to be cut; at most 1,024 bytes.";
        LONG_LINES long_lines: Choice, "longLines" Kind::Choice(&["split", "truncate"]), Default::Text("split"),
            "A line too long for a record is split into several, or truncated and its rest counted as filtered.";
        DATA_PROCESSING processing: Raw, "dataProcessingOptions" Kind::Options, Default::Unset("records are sent as they are"),
            "What is done with each record before it is packed: a list of options, each on what the one before it left. See [processing](processing.md).";
        ON_FAILURE on_failure: Choice, "onFailure" Kind::Choice(&["quarantine", "raw", "drop"]), Default::Text("quarantine"),
            "What becomes of a record that an option cannot work on, or of an MQTT payload that cannot be a line, unless the option has an `onFailure` of its own: kept in the quarantine, sent as it is, or dropped and counted.";
        MAX_CONCURRENT_REQUESTS max_concurrent_requests: NumberOrDefault, "maxConcurrentRequests" Kind::Integer { min: 1, max: 64 }, Default::Number(1),
            "Calls under way at the same time. 1 keeps the order of lines.";
        MAX_BYTES_PER_SECOND max_bytes_per_second: Number, "maxBytesPerSecond" Kind::Size { min: 1, max: u64::MAX }, Default::Unset("no limit"),
            "Upper limit of bytes sent, after compression and before base64.";
        MAX_RECORDS_PER_SECOND max_records_per_second: Number, "maxRecordsPerSecond" Kind::Integer { min: 1, max: u64::MAX }, Default::Unset("no limit"),
            "Upper limit of records sent.";
        MAX_REQUESTS_PER_SECOND max_requests_per_second: Number, "maxRequestsPerSecond" Kind::Integer { min: 1, max: u64::MAX }, Default::Unset("no limit"),
            "Upper limit of calls.";
    }
    /// The keys of `mqtt`.
    MQTT_KEYS WrittenMqtt MQTT_OBJECT {
        MQTT_BROKER broker: Text, "broker" Kind::Text, Default::Required,
            "Address of the broker: `mqtt://`, `mqtts://` (TLS), `ws://` or `wss://` (WebSocket), host and port.";
        MQTT_TOPICS topics: Several<WrittenTopic>, "topics" Kind::Topics, Default::Required,
            "Topic filters, such as `devices/+/ping`; `devices/{device_id}/ping` makes a field of a level, `$share/GROUP/FILTER` shares messages with others.";
        MQTT_QOS qos: Amount, "qos" Kind::Integer { min: 0, max: 2 }, Default::Number(1),
            "Quality of service asked for where a topic does not say. With 0, messages may be lost on the way.";
        MQTT_VERSION version: Choice, "version" Kind::Choice(&["5", "3.1.1"]), Default::Text("5"),
            "Version of the protocol.";
        MQTT_CLIENT_ID client_id: NonEmpty, "clientId" Kind::Text, Default::Unset("`datalake-agent-HOST-FLOW`"),
            "Name of the agent's session at the broker. It must stay the same, and nobody else may use it. Further connections add `-2`, `-3` and so on.";
        MQTT_SESSION_EXPIRY session_expiry_seconds: Amount, "sessionExpirySeconds" Kind::Integer { min: 0, max: u32::MAX as u64 }, Default::Number(604_800),
            "How long the broker keeps messages while the agent is away; it may allow less. 0 keeps none. 3.1.1 knows only none or for ever.";
        MQTT_KEEP_ALIVE keep_alive_seconds: Amount, "keepAliveSeconds" Kind::Integer { min: 1, max: 65_535 }, Default::Number(60),
            "The longest silence on a connection. AWS IoT Core takes 30 to 1,200.";
        MQTT_USERNAME username: NonEmpty, "username" Kind::Text, Default::Unset("none"),
            "User name. `{token}` in it stands for the content of `tokenFile`, as a custom authorizer of AWS IoT Core wants it.";
        MQTT_PASSWORD_FILE password_file: NonEmpty, "passwordFile" Kind::Text, Default::Unset("no password"),
            "File with the password, read at each connection; a bare name is a systemd credential (`LoadCredential=`).";
        MQTT_TOKEN_FILE token_file: NonEmpty, "tokenFile" Kind::Text, Default::Unset("none"),
            "File with the token for `username`; as `passwordFile`.";
        MQTT_CA_FILE ca_file: NonEmpty, "caFile" Kind::Text, Default::Unset("the system's certificates"),
            "Certificates in PEM form that the broker's must go back to.";
        MQTT_CERTIFICATE_FILE certificate_file: NonEmpty, "certificateFile" Kind::Text, Default::Unset("none"),
            "Client certificate in PEM form, its own first, then those between it and the authority.";
        MQTT_PRIVATE_KEY_FILE private_key_file: NonEmpty, "privateKeyFile" Kind::Text, Default::Unset("none"),
            "Private key of the client certificate in PEM form; as `passwordFile`.";
        MQTT_ALPN alpn: NonEmpty, "alpn" Kind::Text, Default::Unset("what AWS IoT Core wants on port 443, else none"),
            "Protocol asked for during the TLS handshake, such as `x-amzn-mqtt-ca`.";
        MQTT_SIGN sign: GivenFlag, "awsSigV4" Kind::Boolean, Default::Unset("true for `wss://` to AWS IoT Core without user name and certificate"),
            "Whether the address of the WebSocket is signed with the agent's AWS credentials.";
        MQTT_CONNECTIONS connections: Amount, "connections" Kind::Integer { min: 1, max: 64 }, Default::Number(1),
            "Connections at the same time. More than one needs topics that begin with `$share/GROUP/`, or each message comes as often.";
        MQTT_MAX_PACKET max_packet: NumberOrDefault, "maxPacketBytes" Kind::Size { min: 1024, max: 64 << 20 }, Default::Number(1 << 20),
            "Larger packets are refused: acknowledged, counted, and not kept.";
        MQTT_SYNC_INTERVAL sync_interval_millis: Amount, "syncIntervalMillis" Kind::Integer { min: 0, max: 1_000 }, Default::Number(10),
            "Maximum time that a message waits for others, so that one sync to disk serves them all. Only then are they acknowledged.";
        MQTT_MAX_SPOOL max_spool: NumberOrDefault, "maxSpoolBytes" Kind::Size { min: 16 << 20, max: u64::MAX }, Default::Number(1 << 30),
            "Room on disk for messages that are not delivered yet. When it is used up nothing is acknowledged, and the broker keeps the rest.";
        MQTT_PAYLOAD_FORMAT payload_format: Choice, "payloadFormat" Kind::Choice(&["auto", "raw", "protobuf"]), Default::Text("auto"),
            "`auto` takes JSON as JSON and wraps text and bytes; `raw` sends the payload's bytes as a line; `protobuf` decodes binary messages by the plan of the first option, SCHEMA.";
        MQTT_ENVELOPE envelope: GivenFlag, "envelope" Kind::Boolean, Default::Unset("true, unless `payloadFormat` is `raw` or `protobuf`"),
            "Whether a line tells topic, quality of service, time of receipt and so on, with the message as `payload`.";
    }
    /// The keys of a topic when it is an object.
    TOPIC_KEYS WrittenTopic TOPIC {
        TOPIC_FILTER filter: Text, "filter" Kind::Text, Default::Required,
            "The topic filter.";
        TOPIC_QOS qos: Number, "qos" Kind::Integer { min: 0, max: 2 }, Default::Unset("that of `mqtt`"),
            "Quality of service asked for.";
    }
    /// The keys of `compression` when it is an object.
    COMPRESSION_KEYS WrittenCompression COMPRESSION_OBJECT {
        COMPRESSION_TYPE kind: Choice, "type" Kind::Choice(&["none", "gzip"]), Default::Required,
            "The format of the records.";
        COMPRESSION_LEVEL level: NumberOrDefault, "level" Kind::Integer { min: 1, max: 12 }, Default::Number(1),
            "1 is fast, 12 is small.";
    }
    /// The keys of `partitionKeyOption` when it is an object: one of them.
    PARTITION_KEY_KEYS WrittenPartitionKey PARTITION_KEY {
        KEY_FIELD field: NonEmpty, "field" Kind::Text, Default::Unset("the key is from `path`"),
            "Name of a top-level field of each line, which must be a JSON object on one line. Its text, number or truth value is the key; a line without it gets a drawn one.";
        KEY_PATH path: NonEmpty, "path" Kind::Text, Default::Unset("the key is from `field`"),
            "Regular expression (Rust dialect) for the path of the file. What its first group matches is the key, or the whole match where it has no group; a path that does not match is the key itself.";
    }
}

/// The main file.
pub(super) static MAIN: Level = Level {
    table: TOP_KEYS,
    foreign: foreign::TOP,
    words: "the top level",
    elsewhere: &[(&FLOW, FLOW_NEEDS_IT)],
    only: None,
    instead: None,
};

/// A file of `agent.d`.
pub(super) static FRAGMENT: Level = Level {
    table: TOP_KEYS,
    foreign: foreign::TOP,
    words: "a fragment",
    elsewhere: &[(&FLOW, FLOW_NEEDS_IT)],
    only: Some(("flows", "a file in agent.d holds `flows` and nothing else")),
    instead: None,
};

const FLOW_NEEDS_IT: &str = "move it into each flow that needs it; there is no default for all flows";

static FLOW: Level = Level {
    table: FLOW_KEYS,
    foreign: foreign::FLOW,
    words: "a flow",
    elsewhere: &[
        (&MAIN, "move it to the top level of the main file; it holds for all flows"),
        (&MQTT_OBJECT, "move it into `mqtt`"),
    ],
    only: None,
    instead: None,
};

static MQTT_OBJECT: Level = Level {
    table: MQTT_KEYS,
    foreign: &[],
    words: "`mqtt`",
    elsewhere: &[(&FLOW, "move it out of the braces, beside `mqtt`")],
    only: None,
    instead: None,
};

static TOPIC: Level = Level {
    table: TOPIC_KEYS,
    foreign: &[],
    words: "a topic",
    elsewhere: &[(&MQTT_OBJECT, "move it out of the topic, beside `topics`")],
    only: None,
    instead: Some(Words {
        what: "a topic",
        help: "write a filter such as \"devices/+/ping\", or {\"filter\": \"devices/+/ping\", \"qos\": 1}",
        empty: "name at least one topic, such as \"devices/+/ping\"",
    }),
};

static COMPRESSION_OBJECT: Level = Level {
    table: COMPRESSION_KEYS,
    foreign: &[],
    words: "`compression`",
    elsewhere: &[(&FLOW, "move it out of the braces, into the flow")],
    only: None,
    instead: Some(Words {
        what: "a kind of compression",
        help: "write \"none\", \"gzip\" or {\"type\": \"gzip\", \"level\": 6}",
        empty: "",
    }),
};

static PARTITION_KEY: Level = Level {
    table: PARTITION_KEY_KEYS,
    foreign: &[],
    words: "`partitionKeyOption`",
    elsewhere: &[(&FLOW, "move it out of the braces, into the flow")],
    only: None,
    instead: Some(Words { what: "a kind of key", help: PARTITION_KEY_HELP, empty: "" }),
};

/// What `partitionKeyOption` may be.
pub(super) const PARTITION_KEY_HELP: &str =
    "write \"RANDOM\", \"DETERMINISTIC\", {\"field\": \"name\"} or {\"path\": \"/apps/([^/]+)/\"}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_lies_in_its_own_range() {
        let tables = [TOP_KEYS, FLOW_KEYS, COMPRESSION_KEYS, PARTITION_KEY_KEYS, MQTT_KEYS, TOPIC_KEYS].concat();
        for key in tables {
            let good = match (&key.kind, &key.default) {
                (_, Default::Required | Default::Unset(_)) => true,
                (Kind::Integer { min, max } | Kind::Size { min, max }, Default::Number(number)) => {
                    (min..=max).contains(&number)
                }
                (Kind::Choice(choices), Default::Text(text)) => choices.contains(text),
                (Kind::Text | Kind::Compression | Kind::PartitionKey, Default::Text(_))
                | (Kind::Boolean, Default::Boolean(_)) => true,
                _ => false,
            };
            assert!(good, "{key:?}");
        }
    }

    #[test]
    fn no_name_stands_twice_in_a_table() {
        for table in [TOP_KEYS, FLOW_KEYS, COMPRESSION_KEYS, PARTITION_KEY_KEYS, MQTT_KEYS, TOPIC_KEYS] {
            let mut names: Vec<_> = table.iter().map(|key| key.name).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all);
        }
    }
}
