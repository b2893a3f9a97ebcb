//! `run --once`: until everything that matches is delivered, and what was not.
//! Promises to end: when all is settled, or when a flow is held up and nothing gets on.
//! Leaves reading and delivering to the tailer and the flows.

use super::Look;
use crate::exit::Exit;
use crate::source::file::Tailer;
use datalake_base::accounting::Accounting;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked whether all is done.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Returns when everything is read and settled, or when a flow is held up and nothing was settled for so long.
pub(super) async fn until_delivered(looks: &[Look], tailer: &Tailer, patience: Duration) {
    tailer.read_once();
    let settled = || looks.iter().map(|look| settled(look.books())).sum::<u64>();
    let (mut newest, mut since) = (settled(), Instant::now());
    while !tailer.is_caught_up() {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = settled();
        if now != newest {
            (newest, since) = (now, Instant::now());
        }
        if since.elapsed() >= patience && looks.iter().any(|look| look.holding().is_some()) {
            return;
        }
    }
}

fn settled(books: &Accounting) -> u64 {
    books.delivered.value() + books.filtered.value() + books.quarantined.value()
}

/// Says what was not accepted, flow by flow.
pub(super) fn verdict(looks: &[Look]) -> Exit {
    let mut exit = Exit::Success;
    for look in looks {
        let books = look.books();
        let left = books.read.value().saturating_sub(settled(books)).max(books.unsettled.value());
        let (quarantined, destroyed) = (books.quarantined_records.value(), books.destroyed.value());
        let (skipped, unreadable) = (books.skipped.value(), books.denials.value());
        if left + quarantined + destroyed + skipped + unreadable == 0 {
            continue;
        }
        exit = Exit::NotDelivered;
        tracing::error!(
            flow = look.name(),
            bytes_left = left,
            records_quarantined = quarantined,
            bytes_destroyed = destroyed,
            bytes_skipped = skipped,
            files_unreadable = unreadable,
            reason = look.holding(),
            "not everything was accepted; what is left is read by the next run"
        );
    }
    exit
}
