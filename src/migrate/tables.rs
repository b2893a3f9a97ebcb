//! The keys of the Kinesis Agent, level by level, and what becomes of each here.
//! Promises that a key it knew is told apart from one that it never looked at.
//! Leaves the values to the translation.

/// A key that had an effect there, or once had.
pub(super) struct OldKey {
    pub(super) name: &'static str,
    pub(super) fate: Fate,
}

/// What becomes of a key.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// The translation deals with it by name.
    Read,
    /// It is not needed here; the words say why.
    Gone(&'static str),
    /// It has no effect in the Kinesis Agent any more either.
    Dead,
}

const fn read(name: &'static str) -> OldKey {
    OldKey { name, fate: Fate::Read }
}

const fn gone(name: &'static str, why: &'static str) -> OldKey {
    OldKey { name, fate: Fate::Gone(why) }
}

const fn dead(name: &'static str) -> OldKey {
    OldKey { name, fate: Fate::Dead }
}

const CHECKPOINT: &str = "positions are kept as long as their files are there";
const THREADS: &str =
    "`maxConcurrentRequests` of a flow says how many calls run at once; 1, the default, keeps the order of lines";
const CONNECTION: &str = "timeouts and connections are managed by the agent itself";
const LOOKING: &str = "the kernel tells when a file changes";
const RETRYING: &str = "a failed call is retried for ever, with growing pauses, and holds up nothing else";
const QUEUE: &str = "what cannot be sent waits in the log files; `maxMemoryBytes` bounds what is in memory";
const LOG: &str = "the log goes to the journal or to standard error";
const METRICS: &str = "what CloudWatch has not taken yet is kept as sums, which need no queue";

/// At the top level.
pub(super) static TOP: &[OldKey] = &[
    read("flows"),
    read("awsAccessKeyId"),
    read("awsSecretAccessKey"),
    read("assumeRoleARN"),
    read("assumeRoleExternalId"),
    read("userDefinedCredentialsProvider.classname"),
    read("userDefinedCredentialsProvider.location"),
    read("firehose.endpoint"),
    read("kinesis.endpoint"),
    read("kinesis.region"),
    read("sts.endpoint"),
    read("cloudwatch.emitMetrics"),
    read("cloudwatch.endpoint"),
    read("cloudwatch.tagInstance"),
    read("cloudwatch.namespace"),
    read("cloudwatch.metricsBufferTimeMillis"),
    gone("cloudwatch.metricsQueueSize", METRICS),
    gone("log.emitMetrics", LOG),
    gone("log.emitInternalMetrics", LOG),
    gone("log.statusReportingPeriodSeconds", LOG),
    read("checkpointFile"),
    gone("checkpointTimeToLiveDays", CHECKPOINT),
    gone("checkpoints.queryTimeoutSeconds", CHECKPOINT),
    dead("checkpoints.connectionTimeoutSeconds"),
    gone("maxSendingThreads", THREADS),
    gone("maxSendingThreadsPerCore", THREADS),
    gone("sendingThreadsKeepAliveMillis", THREADS),
    gone("sendingThreadsMaxQueueSize", THREADS),
    gone("maxConnections", CONNECTION),
    gone("connectionTimeoutMillis", CONNECTION),
    gone("socketTimeoutMillis", CONNECTION),
    gone("connectionTTLMillis", CONNECTION),
    gone("useTcpKeepAlive", CONNECTION),
    gone(
        "useHttpGzip",
        "it asked for compressed answers, which are small; `compression` of a flow compresses what is sent",
    ),
    read("shutdownTimeoutMillis"),
    gone("userAgent", "the agent names itself and its version"),
    gone("userAgentOverride", "the agent names itself and its version"),
    dead("log.level"),
    dead("log.file"),
    dead("log.maxBackupIndex"),
    dead("log.maxFileSize"),
];

/// In a flow.
pub(super) static FLOW: &[OldKey] = &[
    read("filePattern"),
    read("deliveryStream"),
    read("kinesisStream"),
    read("partitionKeyOption"),
    read("initialPosition"),
    read("maxBufferAgeMillis"),
    read("maxBufferSizeRecords"),
    read("maxBufferSizeBytes"),
    read("aggregatedRecordSizeBytes"),
    read("multiLineStartPattern"),
    read("skipHeaderLines"),
    read("truncatedRecordTerminator"),
    read("dataProcessingOptions"),
    read("fileFooterPattern"),
    gone("minTimeBetweenFilePollsMillis", LOOKING),
    gone("maxTimeBetweenFileTrackerRefreshMillis", LOOKING),
    gone("retryInitialBackoffMillis", RETRYING),
    gone("retryMaxBackoffMillis", RETRYING),
    gone("publishQueueCapacity", QUEUE),
    dead("waitOnFullPublishQueueMillis"),
    gone("waitOnEmptyPublishQueueMillis", QUEUE),
    gone("log.emitInternalMetrics", LOG),
];

/// The keys of each option of `dataProcessingOptions`, beside `optionName`.
pub(super) static OPTIONS: &[(&str, &[&str])] = &[
    ("SINGLELINE", &["parseOptions"]),
    ("CSVTOJSON", &["customFieldNames", "delimiter", "jsonFormat"]),
    ("LOGTOJSON", &["logFormat", "matchPattern", "customFieldNames", "jsonFormat"]),
    ("ADDMETADATA", &["metadata", "timestamp", "jsonFormat"]),
    ("ADDEC2METADATA", &["logFormat", "matchPattern", "metadataTTL", "jsonFormat"]),
    ("ADDBRACKETS", &[]),
    ("USINGPLUGGIN", &["className"]),
];

/// The key of this name.
pub(super) fn find(table: &'static [OldKey], name: &str) -> Option<&'static OldKey> {
    table.iter().find(|key| key.name == name)
}
