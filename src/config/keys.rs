//! The table of all keys: name, type, range, default and meaning. Reading, the documentation and the schema all come from it.
//! Promises that a key which is not in these tables is refused, and that each default lies in its own range.
//! Leaves decoding to `section` and what values mean together to `plan`.

use datalake_base::units::ByteSize;
use datalake_core::batch::{firehose, kinesis};

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What holds when the key is left out.
    pub default: Default,
    /// What it does, in one or two sentences.
    pub meaning: &'static str,
}

/// What a value is.
#[derive(Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// A text or a list of texts.
    Texts,
    /// `true` or `false`.
    Boolean,
    /// A whole number, both ends included.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest; `u64::MAX` is no limit.
        max: u64,
    },
    /// A number of bytes, or a text with a unit; both ends included.
    Size {
        /// The smallest.
        min: u64,
        /// The largest; `u64::MAX` is no limit.
        max: u64,
    },
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// `"none"`, `"gzip"`, or an object with the keys of [`COMPRESSION_KEYS`].
    Compression,
    /// An object with the keys of [`MQTT_KEYS`].
    Mqtt,
    /// A text, an object with the keys of [`TOPIC_KEYS`], or a list of both.
    Topics,
    /// `"RANDOM"`, `"DETERMINISTIC"`, or an object with one of the keys of [`PARTITION_KEY_KEYS`].
    PartitionKey,
    /// A list of objects as docs/processing.md describes them.
    Options,
    /// A list of objects with the keys of [`FLOW_KEYS`].
    Flows,
}

/// What holds when a key is left out.
#[derive(Debug)]
pub enum Default {
    /// The key must be there.
    Required,
    /// Nothing; the words say what that means.
    Unset(&'static str),
    /// This text.
    Text(&'static str),
    /// This number.
    Number(u64),
    /// This.
    Boolean(bool),
}

impl Key {
    /// The default as it would be written in a configuration.
    #[must_use]
    pub fn written_default(&self) -> Option<String> {
        match (&self.default, &self.kind) {
            (Default::Required | Default::Unset(_), _) => None,
            (Default::Text(text), _) => Some(super::report::quoted(text)),
            (Default::Number(number), Kind::Size { .. }) if *number >= 1024 && number % 1024 == 0 => {
                Some(format!("\"{}\"", ByteSize::bytes(*number)))
            }
            (Default::Number(number), _) => Some(number.to_string()),
            (Default::Boolean(flag), _) => Some(flag.to_string()),
        }
    }
}

macro_rules! tables {
    ($($(#[doc = $words:literal])+ $table:ident { $($constant:ident $name:literal $kind:expr, $default:expr, $meaning:literal;)+ })+) => {
        $(
            $(#[doc = $meaning] pub static $constant: Key = Key { name: $name, kind: $kind, default: $default, meaning: $meaning };)+
            $(#[doc = $words])+
            pub static $table: &[&Key] = &[$(&$constant),+];
        )+
    };
}

tables! {
    /// The keys of the main file.
    TOP_KEYS {
        STATE_DIRECTORY "stateDirectory" Kind::Text, Default::Text("/var/lib/datalake-agent"),
            "Folder of the checkpoint, the lock and the quarantine; an absolute path.";
        REGION "region" Kind::Text, Default::Unset("from the environment, the AWS profile or the instance"),
            "AWS region of the streams, such as `eu-central-1`.";
        FIREHOSE_ENDPOINT "firehose.endpoint" Kind::Text, Default::Unset("the region's own"),
            "Another endpoint for Firehose, such as a VPC endpoint; `https://` is assumed. `http://` is meant for tests on the same machine.";
        KINESIS_ENDPOINT "kinesis.endpoint" Kind::Text, Default::Unset("the region's own"),
            "The same for Kinesis Data Streams.";
        KINESIS_REGION "kinesis.region" Kind::Text, Default::Unset("as `region`"),
            "The region of Kinesis Data Streams, where it is another than `region`.";
        STS_ENDPOINT "sts.endpoint" Kind::Text, Default::Unset("the region's own"),
            "Another endpoint for STS, which is asked for the role.";
        FIPS "useFipsEndpoint" Kind::Boolean, Default::Boolean(false),
            "Whether to call the endpoints that are certified after FIPS 140; beside no endpoint of your own.";
        DUAL_STACK "useDualStackEndpoint" Kind::Boolean, Default::Boolean(false),
            "Whether to call the endpoints that answer on IPv6 too; beside no endpoint of your own.";
        CA_BUNDLE "caBundle" Kind::Text, Default::Unset("`AWS_CA_BUNDLE` of the environment"),
            "File with certificates (PEM) to trust beside the machine's, for a proxy or an endpoint of your own; an absolute path.";
        ACCESS_KEY_ID "awsAccessKeyId" Kind::Text, Default::Unset("the AWS credential chain"),
            "Access key, together with `awsSecretAccessKey`. The credential chain (environment, profile, role of the instance) is the better place.";
        SECRET_ACCESS_KEY "awsSecretAccessKey" Kind::Text, Default::Unset("the AWS credential chain"),
            "Secret of the access key. Refused when everybody on the machine can read the file.";
        ASSUME_ROLE "assumeRoleARN" Kind::Text, Default::Unset("no role is assumed"),
            "Role to assume with these credentials, for streams of another account; held for an hour and renewed in time.";
        EXTERNAL_ID "assumeRoleExternalId" Kind::Text, Default::Unset("none"),
            "The external id that the role asks for.";
        EMIT_METRICS "cloudwatch.emitMetrics" Kind::Boolean, Default::Boolean(true),
            "Whether metrics go to CloudWatch (`cloudwatch:PutMetricData`). Where the endpoints of all flows are on this machine they only do with a `cloudwatch.endpoint`.";
        METRICS_ENDPOINT "cloudwatch.endpoint" Kind::Text, Default::Unset("the region's own"),
            "Another endpoint for CloudWatch, such as a VPC endpoint; `https://` is assumed.";
        METRICS_NAMESPACE "cloudwatch.namespace" Kind::Text, Default::Text("AWSKinesisAgent"),
            "Namespace of the metrics: 1 to 255 printable ASCII characters, not beginning with `AWS/` or a colon.";
        METRICS_PERIOD "cloudwatch.metricsBufferTimeMillis" Kind::Integer { min: 1_000, max: 3_600_000 }, Default::Number(30_000),
            "How often metrics are sent.";
        TAG_INSTANCE "cloudwatch.tagInstance" Kind::Boolean, Default::Boolean(false),
            "Whether metrics have the dimension `Instance` too: the id of the EC2 instance, elsewhere the host's name.";
        MAX_MEMORY "maxMemoryBytes" Kind::Size { min: 8 << 20, max: u64::MAX }, Default::Unset("64MiB, or what the flows need if that is more"),
            "Memory for the batches of all flows together, whatever the backlog.";
        SHUTDOWN_TIMEOUT "shutdownTimeoutMillis" Kind::Integer { min: 0, max: 600_000 }, Default::Number(10_000),
            "How long a stop may go on sending; what is unsent then is sent after the next start.";
        FLOWS "flows" Kind::Flows, Default::Unset("flows from `agent.d/*.json` only"),
            "The flows: which files go to which stream. Those of `agent.d/*.json` are added.";
    }
    /// The keys of a flow.
    FLOW_KEYS {
        FILE_PATTERN "filePattern" Kind::Texts, Default::Unset("**required**, unless there is `mqtt`"),
            "Files to read, as absolute paths: `*`, `?`, `[a-z]`, `{a,b}`, and `**` across folders. Every file that matches is read.";
        MQTT "mqtt" Kind::Mqtt, Default::Unset("the flow reads files"),
            "MQTT topics to receive, in place of `filePattern`. See [mqtt](mqtt.md).";
        EXCLUDE "exclude" Kind::Texts, Default::Unset("nothing is excluded"),
            "Files not to read although `filePattern` matches.";
        DELIVERY_STREAM "deliveryStream" Kind::Text, Default::Unset("the flow has `kinesisStream`"),
            "Name of the Firehose delivery stream: 1 to 64 of `a-z A-Z 0-9 _ . -`. A flow has either this key or `kinesisStream`.";
        KINESIS_STREAM "kinesisStream" Kind::Text, Default::Unset("the flow has `deliveryStream`"),
            "Name of the stream of Kinesis Data Streams: 1 to 128 of the same characters.";
        PARTITION_KEY_OPTION "partitionKeyOption" Kind::PartitionKey, Default::Text("RANDOM"),
            "Where partition keys come from, for Kinesis: `\"RANDOM\"` draws one for each record, `\"DETERMINISTIC\"` is a hash of the record, `{\"field\": \"user\"}` is the value of a top-level field of a JSON line, `{\"path\": \"/apps/([^/]+)/\"}` is what the group matches in the path of the file.";
        AGGREGATION "aggregation" Kind::Choice(&["kpl", "lines", "none"]), Default::Unset("`\"kpl\"`; `\"none\"` where each line can have a partition key of its own"),
            "How lines become records, for Kinesis: `kpl` packs them as the Kinesis Producer Library does, for consumers that take that apart (KCL, Firehose, Flink; Lambda with a library), `lines` packs them one after the other, `none` sends each line as a record of its own.";
        ORDERED "ordered" Kind::Boolean, Default::Boolean(false),
            "Whether lines of one partition key keep their order in Kinesis whatever is refused and sent again. It needs keys from a field or the path, and costs throughput: a call has each key once, and nothing passes a refused record.";
        FLOW_REGION "region" Kind::Text, Default::Unset("as at the top level"),
            "Region of this flow's stream. An endpoint at the top level that names another region does not count then.";
        FLOW_ROLE "assumeRoleARN" Kind::Text, Default::Unset("as at the top level"),
            "Role for this flow in place of that at the top level.";
        FLOW_EXTERNAL_ID "assumeRoleExternalId" Kind::Text, Default::Unset("none"),
            "The external id that this role asks for.";
        NAME "name" Kind::Text, Default::Unset("the name of the stream, with a number if several flows feed it"),
            "Name of the flow in logs and status; unique, of the same characters as a stream name.";
        INITIAL_POSITION "initialPosition" Kind::Choice(&["START_OF_FILE", "END_OF_FILE"]), Default::Text("END_OF_FILE"),
            "Where to begin in files that exist when the flow is started for the very first time. Later files are read from their beginning.";
        MAX_BUFFER_AGE "maxBufferAgeMillis" Kind::Integer { min: 10, max: 900_000 }, Default::Number(60_000),
            "A batch is sent when its oldest line is this old.";
        MAX_BUFFER_SIZE "maxBufferSizeBytes" Kind::Size { min: 1, max: kinesis::LARGEST_CALL_BYTES as u64 }, Default::Unset("the most: 4 MiB for Firehose, 5 MiB for Kinesis (10 MiB with larger records); 2 MiB for messages"),
            "A batch is sent when it holds so many bytes, before base64. Firehose takes 4 MiB, of which calls stay 1 KiB below; Kinesis takes 5 MiB, or 10 MiB with larger records, partition keys included.";
        MAX_BUFFER_RECORDS "maxBufferSizeRecords" Kind::Integer { min: 1, max: firehose::CALL_RECORDS as u64 }, Default::Number(firehose::CALL_RECORDS as u64),
            "A batch is sent when it holds so many records.";
        MAX_RECORD_SIZE "maxRecordSizeBytes" Kind::Size { min: kinesis::RECORD_BYTES as u64, max: kinesis::LARGEST_RECORD_BYTES as u64 }, Default::Number(kinesis::RECORD_BYTES as u64),
            "The largest record, its partition key included, for Kinesis streams that are set to take more than 1 MiB. At the start the stream is asked what it takes; what it does not say it takes is not sent.";
        AGGREGATED_SIZE "aggregatedRecordSizeBytes" Kind::Size { min: 0, max: kinesis::LARGEST_RECORD_BYTES as u64 }, Default::Unset("1,024,000 for Firehose, which is the most there; 51,200 for Kinesis"),
            "Lines are packed into records of at most so many bytes, because each record is billed rounded up: to 5 KiB by Firehose, to 1 KiB or 25 KiB by Kinesis. 0 sends each line as a record of its own.";
        MAX_LINES_PER_RECORD "maxLinesPerRecord" Kind::Integer { min: 1, max: u32::MAX as u64 }, Default::Unset("no limit"),
            "Lines are packed into records of at most so many lines; 500 for streams that split records again.";
        COMPRESSION "compression" Kind::Compression, Default::Text("none"),
            "`\"gzip\"` compresses each record; the level is 1 (fast, the default) to 12 (small). The stream must not compress again.";
        MULTI_LINE_START "multiLineStartPattern" Kind::Text, Default::Unset("each line stands alone"),
            "Regular expression (Rust or Java dialect), matched from the beginning of a line: such a line begins a record, other lines belong to the record before. Empty is the same as left out.";
        MULTI_LINE_TIMEOUT "multiLineTimeoutMillis" Kind::Integer { min: 10, max: 900_000 }, Default::Number(2_000),
            "A record of several lines is complete when nothing was added for so long.";
        SKIP_HEADER_LINES "skipHeaderLines" Kind::Integer { min: 0, max: u32::MAX as u64 }, Default::Number(0),
            "So many lines at the beginning of each file are not sent.";
        TERMINATOR "truncatedRecordTerminator" Kind::Text, Default::Text("\n"),
            "What ends a line that had to be cut; at most 1,024 bytes.";
        LONG_LINES "longLines" Kind::Choice(&["split", "truncate"]), Default::Text("split"),
            "A line too long for a record is split into several, or truncated and its rest counted as filtered.";
        DATA_PROCESSING "dataProcessingOptions" Kind::Options, Default::Unset("records are sent as they are"),
            "What is done with each record before it is packed: a list of options, each on what the one before it left. See [processing](processing.md).";
        ON_FAILURE "onFailure" Kind::Choice(&["quarantine", "raw", "drop"]), Default::Text("quarantine"),
            "What becomes of a record that an option cannot work on, or of an MQTT payload that cannot be a line, unless the option has an `onFailure` of its own: kept in the quarantine, sent as it is, or dropped and counted.";
        MAX_CONCURRENT_REQUESTS "maxConcurrentRequests" Kind::Integer { min: 1, max: 64 }, Default::Number(1),
            "Calls under way at the same time. 1 keeps the order of lines.";
        MAX_BYTES_PER_SECOND "maxBytesPerSecond" Kind::Size { min: 1, max: u64::MAX }, Default::Unset("no limit"),
            "Upper limit of bytes sent, after compression and before base64.";
        MAX_RECORDS_PER_SECOND "maxRecordsPerSecond" Kind::Integer { min: 1, max: u64::MAX }, Default::Unset("no limit"),
            "Upper limit of records sent.";
        MAX_REQUESTS_PER_SECOND "maxRequestsPerSecond" Kind::Integer { min: 1, max: u64::MAX }, Default::Unset("no limit"),
            "Upper limit of calls.";
    }
    /// The keys of `mqtt`.
    MQTT_KEYS {
        MQTT_BROKER "broker" Kind::Text, Default::Required,
            "Address of the broker: `mqtt://`, `mqtts://` (TLS), `ws://` or `wss://` (WebSocket), host and port.";
        MQTT_TOPICS "topics" Kind::Topics, Default::Required,
            "Topic filters, such as `devices/+/ping`; `devices/{device_id}/ping` makes a field of a level, `$share/GROUP/FILTER` shares messages with others.";
        MQTT_QOS "qos" Kind::Integer { min: 0, max: 2 }, Default::Number(1),
            "Quality of service asked for where a topic does not say. With 0, messages may be lost on the way.";
        MQTT_VERSION "version" Kind::Choice(&["5", "3.1.1"]), Default::Text("5"),
            "Version of the protocol.";
        MQTT_CLIENT_ID "clientId" Kind::Text, Default::Unset("`datalake-agent-HOST-FLOW`"),
            "Name of the agent's session at the broker. It must stay the same, and nobody else may use it. Further connections add `-2`, `-3` and so on.";
        MQTT_SESSION_EXPIRY "sessionExpirySeconds" Kind::Integer { min: 0, max: u32::MAX as u64 }, Default::Number(604_800),
            "How long the broker keeps messages while the agent is away; it may allow less. 0 keeps none. 3.1.1 knows only none or for ever.";
        MQTT_KEEP_ALIVE "keepAliveSeconds" Kind::Integer { min: 1, max: 65_535 }, Default::Number(60),
            "The longest silence on a connection. AWS IoT Core takes 30 to 1,200.";
        MQTT_USERNAME "username" Kind::Text, Default::Unset("none"),
            "User name. `{token}` in it stands for the content of `tokenFile`, as a custom authorizer of AWS IoT Core wants it.";
        MQTT_PASSWORD_FILE "passwordFile" Kind::Text, Default::Unset("no password"),
            "File with the password, read at each connection; a bare name is a systemd credential (`LoadCredential=`).";
        MQTT_TOKEN_FILE "tokenFile" Kind::Text, Default::Unset("none"),
            "File with the token for `username`; as `passwordFile`.";
        MQTT_CA_FILE "caFile" Kind::Text, Default::Unset("the system's certificates"),
            "Certificates in PEM form that the broker's must go back to.";
        MQTT_CERTIFICATE_FILE "certificateFile" Kind::Text, Default::Unset("none"),
            "Client certificate in PEM form, its own first, then those between it and the authority.";
        MQTT_PRIVATE_KEY_FILE "privateKeyFile" Kind::Text, Default::Unset("none"),
            "Private key of the client certificate in PEM form; as `passwordFile`.";
        MQTT_ALPN "alpn" Kind::Text, Default::Unset("what AWS IoT Core wants on port 443, else none"),
            "Protocol asked for during the TLS handshake, such as `x-amzn-mqtt-ca`.";
        MQTT_SIGN "awsSigV4" Kind::Boolean, Default::Unset("true for `wss://` to AWS IoT Core without user name and certificate"),
            "Whether the address of the WebSocket is signed with the agent's AWS credentials.";
        MQTT_CONNECTIONS "connections" Kind::Integer { min: 1, max: 64 }, Default::Number(1),
            "Connections at the same time. More than one needs topics that begin with `$share/GROUP/`, or each message comes as often.";
        MQTT_MAX_PACKET "maxPacketBytes" Kind::Size { min: 1024, max: 64 << 20 }, Default::Number(1 << 20),
            "Larger packets are refused: acknowledged, counted, and not kept.";
        MQTT_SYNC_INTERVAL "syncIntervalMillis" Kind::Integer { min: 0, max: 1_000 }, Default::Number(10),
            "How long a message waits for others at most, so that one sync to disk serves them all. Only then are they acknowledged.";
        MQTT_MAX_SPOOL "maxSpoolBytes" Kind::Size { min: 16 << 20, max: u64::MAX }, Default::Number(1 << 30),
            "Room on disk for messages that are not delivered yet. When it is used up nothing is acknowledged, and the broker keeps the rest.";
        MQTT_PAYLOAD_FORMAT "payloadFormat" Kind::Choice(&["auto", "raw"]), Default::Text("auto"),
            "`auto` takes JSON as JSON and wraps text and bytes; `raw` sends the payload's bytes as a line.";
        MQTT_ENVELOPE "envelope" Kind::Boolean, Default::Unset("true, unless `payloadFormat` is `raw`"),
            "Whether a line tells topic, quality of service, time of receipt and so on, with the message as `payload`.";
    }
    /// The keys of a topic when it is an object.
    TOPIC_KEYS {
        TOPIC_FILTER "filter" Kind::Text, Default::Required,
            "The topic filter.";
        TOPIC_QOS "qos" Kind::Integer { min: 0, max: 2 }, Default::Unset("that of `mqtt`"),
            "Quality of service asked for.";
    }
    /// The keys of `compression` when it is an object.
    COMPRESSION_KEYS {
        COMPRESSION_TYPE "type" Kind::Choice(&["none", "gzip"]), Default::Required,
            "The format of the records.";
        COMPRESSION_LEVEL "level" Kind::Integer { min: 1, max: 12 }, Default::Number(1),
            "1 is fast, 12 is small.";
    }
    /// The keys of `partitionKeyOption` when it is an object: one of them.
    PARTITION_KEY_KEYS {
        KEY_FIELD "field" Kind::Text, Default::Unset("the key is from `path`"),
            "Name of a top-level field of each line, which must be a JSON object on one line. Its text, number or truth value is the key; a line without it gets a drawn one.";
        KEY_PATH "path" Kind::Text, Default::Unset("the key is from `field`"),
            "Regular expression (Rust dialect) for the path of the file. What its first group matches is the key, or the whole match where it has no group; a path that does not match is the key itself.";
    }
}

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
