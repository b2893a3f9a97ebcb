//! What keeps a flow from going faster.
//! Promises a name that stays the same, words, and a remedy for each.
//! Leaves finding out which it is to the flow core.

/// A stage that limits a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Reading the files.
    Disk,
    /// `dataProcessingOptions`.
    Options,
    /// `maxMemoryBytes`.
    Memory,
    /// A rate of the configuration.
    OwnLimit,
    /// What the stream takes.
    Quota,
    /// Answers of the service and the way there.
    Network,
    /// The flow is paused until the operator fixes something.
    Paused,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = 7;
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Disk, Self::Options, Self::Memory, Self::OwnLimit, Self::Quota, Self::Network, Self::Paused];

    /// For metrics and fields of the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Options => "options",
            Self::Memory => "memory",
            Self::OwnLimit => "own_limit",
            Self::Quota => "quota",
            Self::Network => "network",
            Self::Paused => "paused",
        }
    }

    /// The name of the counter of milliseconds that it limited a flow.
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Disk => "limited_by_disk_ms",
            Self::Options => "limited_by_options_ms",
            Self::Memory => "limited_by_memory_ms",
            Self::OwnLimit => "limited_by_own_limit_ms",
            Self::Quota => "limited_by_quota_ms",
            Self::Network => "limited_by_network_ms",
            Self::Paused => "limited_by_paused_ms",
        }
    }

    /// What it is and what to do about it, as the end of a sentence.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Disk => "reading the files is the limit: look at the disk and at what else reads from it",
            Self::Options => {
                "`dataProcessingOptions` are the limit: simplify the costly ones, or process the records behind the stream"
            }
            Self::Memory => "the memory budget is the limit: raise `maxMemoryBytes`",
            Self::OwnLimit => {
                "a limit of the flow is reached: raise `maxBytesPerSecond`, `maxRecordsPerSecond` or `maxRequestsPerSecond`"
            }
            Self::Quota => {
                "the quota of the stream is the limit: ask for a higher one, or pack more lines into a record"
            }
            Self::Network => {
                "the answers of the service are the limit: raise `maxConcurrentRequests`, or look at the network"
            }
            Self::Paused => "the flow is paused: fix what its log line about that names",
        }
    }
}
