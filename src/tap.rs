//! What a flow sends, for somebody who watches: copies of the beginnings of some calls.
//! Promises that a flow never waits for a watcher, that nothing is copied while nobody watches, and that what is not shown
//! is counted. Leaves taking records out of a call to `records`.

/// Records out of the body of a call.
pub mod records;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// So much of a call is copied.
const COPIED: usize = 128 * 1024;
/// Calls that wait for a watcher.
const WAITING: usize = 2;
/// Watchers of a flow at the same time.
const MOST_WATCHERS: usize = 2;

/// The beginning of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// Its body, up to a length.
    pub body: Vec<u8>,
    /// Records in all of it.
    pub records: usize,
    /// Whether the body was cut.
    pub cut: bool,
    /// Calls that were not shown since the last one that was.
    pub missed: u64,
}

/// Where a flow shows its calls; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    watchers: AtomicUsize,
    missed: AtomicU64,
    senders: Mutex<Vec<mpsc::Sender<Glimpse>>>,
}

impl Tap {
    /// Begins to watch; ends when the receiver is dropped. `None` when enough others watch.
    #[must_use]
    pub fn watch(&self) -> Option<mpsc::Receiver<Glimpse>> {
        let mut senders = self.0.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.retain(|sender| !sender.is_closed());
        if senders.len() >= MOST_WATCHERS {
            return None;
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        senders.push(sender);
        self.0.watchers.store(senders.len(), Ordering::Relaxed);
        Some(receiver)
    }

    /// A call is sent.
    pub fn show(&self, body: &[u8], records: usize) {
        if self.0.watchers.load(Ordering::Relaxed) == 0 {
            return;
        }
        // Somebody begins to watch in this moment: the next call is shown.
        let Ok(mut senders) = self.0.senders.try_lock() else { return };
        senders.retain(|sender| !sender.is_closed());
        self.0.watchers.store(senders.len(), Ordering::Relaxed);
        if senders.iter().all(|sender| sender.capacity() == 0) {
            self.0.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let missed = self.0.missed.swap(0, Ordering::Relaxed);
        let copied = body[..body.len().min(COPIED)].to_vec();
        let glimpse = Glimpse { body: copied, records, cut: body.len() > COPIED, missed };
        for sender in senders.iter() {
            sender.try_send(glimpse.clone()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_watcher_and_what_was_not_shown_is_counted() {
        let tap = Tap::default();
        tap.show(b"before", 1);
        let mut watcher = tap.watch().unwrap();
        for number in 0..10_u8 {
            tap.show(&[number], 1);
        }
        let first = watcher.try_recv().unwrap();
        assert_eq!((first.body, first.missed), (vec![0], 0), "what was sent before is not shown");
        assert_eq!(watcher.try_recv().unwrap().body, [1]);
        assert!(watcher.try_recv().is_err(), "the others found no room");
        tap.show(&[b'x'; COPIED + 1], 7);
        let next = watcher.try_recv().unwrap();
        assert_eq!((next.body.len(), next.cut, next.records, next.missed), (COPIED, true, 7, 8));
        drop(watcher);
        tap.show(b"after", 1);
        assert_eq!(tap.0.watchers.load(Ordering::Relaxed), 0, "nothing is copied for those who have gone");
    }

    #[test]
    fn few_may_watch_at_the_same_time() {
        let tap = Tap::default();
        let watchers: Vec<_> = (0..MOST_WATCHERS).map(|_| tap.watch().unwrap()).collect();
        assert!(tap.watch().is_none());
        drop(watchers);
        assert!(tap.watch().is_some());
    }
}
