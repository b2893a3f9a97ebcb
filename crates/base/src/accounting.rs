//! The accounting of one flow: what was read and what became of it, as numbers that anyone may look at.
//! Promises the balance `read = delivered + pending + filtered + quarantined`, in bytes of input.
//! Leaves what becomes of a byte to the flow core, and showing it to the telemetry.

/// What calls carried, and what became of it.
mod calls;
/// What keeps a flow from going faster.
mod stage;

pub use stage::Stage;

pub use calls::{Calls, CallsToTell, Spread};

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that a single owner writes and others read; no ordering between numbers is promised.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// The newest value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to the value.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }
}

/// What became of the bytes of one flow since the process started. All in bytes of input unless said.
#[derive(Debug, Default)]
pub struct Accounting {
    /// Handed over by the source.
    pub read: Gauge,
    /// Accepted by the service.
    pub delivered: Gauge,
    /// Dropped because the configuration says so (header lines, cut-off ends of long lines, records
    /// that an option drops).
    pub filtered: Gauge,
    /// Given up on purpose and kept in a quarantine file: refused by the service, or by an option.
    pub quarantined: Gauge,
    /// Destroyed before they could be read (truncation without a copy, deletion while unread).
    pub destroyed: Gauge,
    /// Left out on purpose: holes in files, and archives that are not read (packed bytes).
    pub skipped: Gauge,
    /// Bytes on disk that are not settled yet: the lag.
    pub unsettled: Gauge,
    /// Of these, the ones that were not read yet.
    pub unread: Gauge,
    /// Read time of the oldest byte not settled yet, in milliseconds since 1970; 0 when there is none.
    pub oldest_unsettled: Gauge,
    /// Files that the flow follows.
    pub files: Gauge,
    /// How often in a row a file of the flow could not be opened or read: of the one that goes worst, 0 when all can be.
    pub denials: Gauge,
    /// Records that an option could not work on, whatever became of them.
    pub unprocessed: Gauge,
    /// Lines accepted by the service.
    pub lines: Gauge,
    /// Records accepted by the service.
    pub records: Gauge,
    /// Bytes of these records before base64; compressed, where the flow compresses.
    pub payload: Gauge,
    /// Calls answered, whatever the answer.
    pub calls: Gauge,
    /// What these carried, since somebody last took it; nobody need.
    pub answered: CallsToTell,
    /// Records kept in the quarantine.
    pub quarantined_records: Gauge,
    /// Records that had to be sent again.
    pub retried: Gauge,
    /// Records sent again after an answer that left open whether they had arrived: possible duplicates.
    pub possibly_duplicated: Gauge,
    /// Bytes that the service bills: each accepted record rounded up to 5 KiB.
    pub billed: Gauge,
    /// How long the flow could not do more, by what kept it ([`Stage`] as index), in milliseconds.
    pub limited_by: [Gauge; Stage::COUNT],
    /// Grows whenever the flow gets on, for the watchdog.
    pub progress: Gauge,
    /// 1 while the flow has nothing to do, for the watchdog.
    pub idle: Gauge,
}
