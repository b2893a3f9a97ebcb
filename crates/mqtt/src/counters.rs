//! The accounting of an MQTT flow before its messages are a file like any other: what came, what became of it, and how it stands.
//! Promises numbers and words that anyone may look at, at any time, from any thread.
//! Leaves showing them to the telemetry; bytes delivered are in the flow's own accounting.

use super::topics::Topic;
use datalake_base::accounting::Gauge;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Messages of one subscription, since the process started.
#[derive(Debug, Default)]
pub struct Subscription {
    /// The filter as it was written.
    pub topic: String,
    /// Arrived, each arrival counted.
    pub received: Gauge,
    /// Of those, marked by the broker as sent before.
    pub redelivered: Gauge,
    /// Synced to the spool.
    pub spooled: Gauge,
    /// Answered with PUBACK or PUBREC.
    pub acknowledged: Gauge,
    /// Settled by the flow: delivered, or given up on purpose. Counted in stretches of up to 256 KiB.
    pub delivered: Gauge,
    /// Payloads that could not be a line as configured; `onFailure` says what became of them.
    pub refused: Gauge,
    /// Not kept: at most once and no room, larger than `maxPacketBytes`, or dropped because `onFailure` says so.
    pub dropped: Gauge,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Counters {
    /// In the order of the settings, and one more for messages that match none of them: a session may hold messages of
    /// subscriptions that were removed since.
    pub subscriptions: Vec<Subscription>,
    /// Bytes in the spool that are not settled.
    pub spool_bytes: Gauge,
    /// When the oldest of them were appended, in milliseconds since 1970; 0 when there are none.
    pub spool_oldest: Gauge,
    /// Syncs of the spool.
    pub syncs: Gauge,
    /// 1 while the spool or its disk takes nothing.
    pub full: Gauge,
    standings: Mutex<Vec<Standing>>,
}

/// How a connection, or the spool, stands.
#[derive(Clone, Debug, Default)]
struct Standing {
    /// Messages come.
    subscribed: bool,
    /// What keeps them from coming.
    trouble: Option<String>,
}

impl Counters {
    /// Accounting with nothing in them.
    #[must_use]
    pub fn new(topics: &[Topic], connections: u16) -> Self {
        let named = |topic: &str| Subscription { topic: topic.to_owned(), ..Subscription::default() };
        let subscriptions = topics.iter().map(|topic| named(&topic.written)).chain([named("(other)")]).collect();
        // One more for the spool.
        let standings = Mutex::new(vec![Standing::default(); usize::from(connections) + 1]);
        Self { subscriptions, standings, ..Self::default() }
    }

    fn standings(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps messages from coming, in words, where something does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.standings().iter().rev().find_map(|standing| standing.trouble.clone())
    }

    /// Connections on which every topic was asked for and answered.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.standings().iter().filter(|standing| standing.subscribed).count()
    }

    /// Where the trouble of the spool stands among those of the connections.
    pub fn spool_place(&self) -> usize {
        self.standings().len() - 1
    }

    /// Replaces what is known of this place. Returns whether the trouble is news.
    pub fn stands(&self, place: usize, subscribed: bool, trouble: Option<&str>) -> bool {
        let standing = &mut self.standings()[place];
        let news = standing.trouble.as_deref() != trouble;
        *standing = Standing { subscribed, trouble: trouble.map(str::to_owned) };
        news
    }

    /// The number of a kind over all subscriptions.
    #[must_use]
    pub fn sum(&self, gauge: fn(&Subscription) -> &Gauge) -> u64 {
        self.subscriptions.iter().map(|subscription| gauge(subscription).value()).sum()
    }
}
