//! The ids of the lines that an operator acts on: `MESSAGE_ID` in the journal, `message_id` in JSON.
//! Promises that an id stays the same whatever becomes of the words, and that each has an explanation in
//! `systemd/datalake-agent.catalog`, for `journalctl -x`. Leaves logging to those who have something to say.

macro_rules! ids {
    ($($(#[doc = $words:literal])+ $name:ident $id:literal;)+) => {
        $($(#[doc = $words])+ pub const $name: &str = $id;)+

        /// All of them, with their names in the code.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

ids! {
    /// Flow `FLOW` is paused.
    FLOW_PAUSED "73fe5c0c780949778d812be2ef0e3306";
    /// Flow `FLOW` has been paused for `PAUSED`.
    FLOW_STILL_PAUSED "64d7ad2bacb0429c8400585abad52e78";
    /// Flow `FLOW` delivers again.
    FLOW_RECOVERED "40c53005b5d64ce681863d005c8360c7";
    /// Stream `STREAM` throttles flow `FLOW`.
    STREAM_THROTTLED "e1b40e4c332e4c6aa298b75e1b85b5b0";
    /// Calls of flow `FLOW` fail and are tried again.
    CALLS_FAIL "9943906669ee4694b7b8648156d31f2b";
    /// Records of flow `FLOW` went to the quarantine.
    RECORDS_QUARANTINED "18c734410148458b839986dba2fc2599";
    /// Records of flow `FLOW` do not fit dataProcessingOptions.
    RECORDS_UNPROCESSED "2e9f913da48d498e8d2a14d1ba0904a1";
    /// The quarantine of flow `FLOW` takes nothing.
    QUARANTINE_FAILS "c5fff697b0cc4512b22c804f75714af0";
    /// Flow `FLOW` falls behind.
    FLOW_BEHIND "fb924fa622a74ff4a2faa3c33ff87780";
    /// Bytes of flow `FLOW` were destroyed before they could be read.
    BYTES_DESTROYED "933687055cdf4077b8d072fc25fa2c42";
    /// `FILE` is read from its beginning.
    FILE_READ_AGAIN "d9223e55b22f41b78d93fa23ff82d511";
    /// `FILE` cannot be read.
    FILE_UNREADABLE "09ff9811e9ef412284d44a3af58c41e0";
    /// `FILE` is not read.
    FILE_REFUSED "cb31eabc29d3440caa1525f9d675f800";
    /// The archive `FILE` is not read any further.
    ARCHIVE_SKIPPED "cc9e0a02f7274b138d4aecae085757df";
    /// No file or folder can be opened.
    NO_DESCRIPTORS "a2063b9db7734e828e49da4e1bd0303c";
    /// `FOLDER` has no file events.
    NO_EVENTS "9c9693c8583240bbbf09f30fe4522a46";
    /// Flow `FLOW` has no file.
    NO_FILE "2ab7afe978d34ba4b50dc5a6f2377318";
    /// Positions cannot be saved.
    POSITIONS_NOT_SAVED "4e0a86ccd3fb43b19983106d9a1af1bd";
    /// Positions are saved again.
    POSITIONS_SAVED "5b3c59b630344cce96a4914b7065847e";
    /// The saved positions are gone or damaged.
    POSITIONS_LOST "e823f77e13c94c3783c31a5e26cad5eb";
    /// Flows stand still: `FLOWS`.
    PART_STANDS_STILL "b4791935e26941d8a97981b416a5aa8e";
    /// A part of the agent ended by itself.
    PART_DIED "66b4c1e2be804bdbb244f73862f74e95";
    /// The agent met a bug.
    BUG "98eb2bed682c478ab05313161f24e1c8";
    /// The agent runs.
    STARTED "e1d66306a5c141da923f0570fbb15add";
    /// The agent stopped before all was delivered.
    STOPPED_EARLY "a747c12392d84983aa3f758286340633";
    /// A new configuration is applied.
    RELOADED "d66e7b89819645afa8dc55a64e7d1dec";
    /// A new configuration is not applied.
    RELOAD_REFUSED "2dbb27661749408cabb8c061ab7d7cae";
    /// Credentials cannot be refreshed.
    CREDENTIALS_NOT_REFRESHED "382b450249e84622b2ef18adf387a143";
    /// Metrics cannot be sent to CloudWatch.
    CLOUDWATCH_REFUSES "10f3dd05af294486b8b92edc1260f353";
    /// Metrics for Prometheus cannot be served.
    METRICS_NOT_SERVED "1fea70fa1b7349a28a4fb8ac3ddf4035";
    /// Flow `FLOW` has no connection to its broker.
    BROKER_AWAY "0e4ad7019d4c49679607b536e48724f8";
    /// The broker refuses topic `TOPIC` of flow `FLOW`.
    SUBSCRIPTION_REFUSED "d7f73af2741943539df395a96850b9de";
    /// Messages of flow `FLOW` cannot be spooled.
    SPOOL_FAILS "67855fcde851497ba9037dfc04cd8d1c";
}
