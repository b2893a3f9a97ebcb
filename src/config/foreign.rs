//! Keys that are not ours but that people have in their files: the Kinesis Agent's, and easy guesses.
//! Promises that each is told by name what became of it, instead of "unknown".
//! Leaves our own keys to `keys`.

use super::report::Kind;

/// A key of somebody else.
pub(super) struct Foreign {
    pub(super) name: &'static str,
    /// [`Kind::NotSupported`], [`Kind::Renamed`] or [`Kind::NoEffect`].
    pub(super) kind: Kind,
    /// What would do.
    pub(super) help: &'static str,
}

const JAVA: &str =
    "Java classes cannot be loaded; an AWS profile with `credential_process` runs a program of yours instead";
const METRICS: &str = "remove the key; what CloudWatch has not taken yet is kept as sums, which need no queue";
const LOG: &str = "the log goes to the journal or standard error; remove the key";
const CHECKPOINT: &str = "remove the key; saved positions are kept as long as their files exist";
const THREADS: &str = "remove the key; `maxConcurrentRequests` of a flow says how many calls run at once";
const CONNECTION: &str = "remove the key; timeouts and connections are managed by the agent itself";
const LOOKING: &str = "remove the key; the kernel tells when a file changes";
const RETRYING: &str = "remove the key; a failed call is retried for ever, with growing pauses";
const QUEUE: &str =
    "remove the key; batches wait in the log files themselves, and `maxMemoryBytes` bounds those in memory";
const LATER: &str = "remove the key";

const fn later(name: &'static str, help: &'static str) -> Foreign {
    Foreign { name, kind: Kind::NotSupported, help }
}

const fn renamed(name: &'static str, help: &'static str) -> Foreign {
    Foreign { name, kind: Kind::Renamed, help }
}

const fn idle(name: &'static str, help: &'static str) -> Foreign {
    Foreign { name, kind: Kind::NoEffect, help }
}

/// At the top level.
pub(super) static TOP: &[Foreign] = &[
    later("userDefinedCredentialsProvider.classname", JAVA),
    later("userDefinedCredentialsProvider.location", JAVA),
    renamed(
        "checkpointFile",
        "name a folder with `stateDirectory`; `datalake-agent migrate` takes the saved positions of the Kinesis Agent over",
    ),
    renamed("firehose.region", "use `region`"),
    renamed("awsRegion", "use `region`"),
    renamed("stateDir", "use `stateDirectory`"),
    idle("cloudwatch.metricsQueueSize", METRICS),
    idle("log.emitMetrics", LOG),
    idle("log.emitInternalMetrics", LOG),
    idle("log.statusReportingPeriodSeconds", LOG),
    idle("log.level", LOG),
    idle("log.file", LOG),
    idle("log.maxBackupIndex", LOG),
    idle("log.maxFileSize", LOG),
    idle("checkpointTimeToLiveDays", CHECKPOINT),
    idle("checkpoints.queryTimeoutSeconds", CHECKPOINT),
    idle("checkpoints.connectionTimeoutSeconds", CHECKPOINT),
    idle("maxSendingThreads", THREADS),
    idle("maxSendingThreadsPerCore", THREADS),
    idle("sendingThreadsKeepAliveMillis", THREADS),
    idle("sendingThreadsMaxQueueSize", THREADS),
    idle("maxConnections", CONNECTION),
    idle("connectionTimeoutMillis", CONNECTION),
    idle("socketTimeoutMillis", CONNECTION),
    idle("connectionTTLMillis", CONNECTION),
    idle("useTcpKeepAlive", CONNECTION),
    idle(
        "useHttpGzip",
        "remove the key; it asked for compressed answers, which are small; see `compression` of a flow",
    ),
    idle("userAgent", LATER),
    idle("userAgentOverride", LATER),
];

/// In a flow.
pub(super) static FLOW: &[Foreign] = &[
    later("fileFooterPattern", "the end of a file is found by its identity, not by a footer; remove the key"),
    renamed("compressionLevel", "write \"compression\": {\"type\": \"gzip\", \"level\": 6}"),
    renamed("excludePattern", "use `exclude`"),
    idle("minTimeBetweenFilePollsMillis", LOOKING),
    idle("maxTimeBetweenFileTrackerRefreshMillis", LOOKING),
    idle("retryInitialBackoffMillis", RETRYING),
    idle("retryMaxBackoffMillis", RETRYING),
    idle("publishQueueCapacity", QUEUE),
    idle("waitOnFullPublishQueueMillis", QUEUE),
    idle("waitOnEmptyPublishQueueMillis", QUEUE),
    idle("log.emitInternalMetrics", LOG),
];
