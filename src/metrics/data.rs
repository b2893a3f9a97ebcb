//! The data of one destination and one period, out of two looks at its books.
//! Promises that each counter is told as what was added, never twice and never less than zero.
//! Leaves their form to `form`, and when to look to the parent.

use crate::books::{Books, Gauge};
use std::sync::Arc;

/// What a number counts, as CloudWatch spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    Bytes,
    Seconds,
}

/// One metric of one period: a statistic set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Datum {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) samples: u64,
    pub(super) sum: u64,
    pub(super) minimum: f64,
    pub(super) maximum: f64,
}

impl Datum {
    /// A number of the period.
    fn single(name: &'static str, unit: Unit, value: u64) -> Self {
        let bound = value as f64;
        Self { name, unit, samples: 1, sum: value, minimum: bound, maximum: bound }
    }

    /// A number of each of several calls, of which only the sum is known: the bounds are its mean.
    fn of_calls(name: &'static str, unit: Unit, calls: u64, sum: u64) -> Option<Self> {
        let mean = (calls > 0).then(|| sum as f64 / calls as f64)?;
        Some(Self { name, unit, samples: calls, sum, minimum: mean, maximum: mean })
    }
}

/// The counters of a destination, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    calls: u64,
    failed_calls: u64,
    attempts: u64,
    records: u64,
    refused: u64,
    payload: u64,
    quarantined_records: u64,
    destroyed: u64,
}

impl Counters {
    /// The sum over these books.
    pub(super) fn of(books: &[Arc<Books>]) -> Self {
        let sum = |gauge: fn(&Books) -> &Gauge| books.iter().map(|books| gauge(books).value()).sum();
        Self {
            calls: sum(|books| &books.calls),
            failed_calls: sum(|books| &books.failed_calls),
            attempts: sum(|books| &books.attempts),
            records: sum(|books| &books.records),
            refused: sum(|books| &books.refused),
            payload: sum(|books| &books.payload),
            quarantined_records: sum(|books| &books.quarantined_records),
            destroyed: sum(|books| &books.destroyed),
        }
    }
}

/// How far a destination is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lag {
    bytes: u64,
    seconds: u64,
}

impl Lag {
    /// The sum of the bytes, and the age of the oldest of them at `now`, in milliseconds since 1970.
    pub(super) fn of(books: &[Arc<Books>], now: u64) -> Self {
        let oldest = books.iter().map(|books| books.oldest_unsettled.value()).filter(|read_at| *read_at > 0).min();
        Self {
            bytes: books.iter().map(|books| books.unsettled.value()).sum(),
            seconds: oldest.map_or(0, |oldest| now.saturating_sub(oldest) / 1000),
        }
    }
}

/// What happened between two looks. The first five are the Kinesis Agent's own and tell of calls: where there was none,
/// there is nothing to tell. The others are told every period, so that their absence means that no agent runs.
pub(super) fn data(before: &Counters, after: &Counters, lag: Lag) -> Vec<Datum> {
    let added = |counter: fn(&Counters) -> u64| counter(after).saturating_sub(counter(before));
    let calls = added(|counters| counters.calls);
    let failed = added(|counters| counters.failed_calls).min(calls);
    let of_calls = [
        Datum::of_calls("RecordSendAttempts", Unit::Count, calls, added(|counters| counters.attempts)),
        Datum::of_calls("RecordsSent", Unit::Count, calls, added(|counters| counters.records)),
        Datum::of_calls("RecordSendErrors", Unit::Count, calls - failed, added(|counters| counters.refused)),
        Datum::of_calls("BytesSent", Unit::Bytes, calls, added(|counters| counters.payload)),
        // One or nothing for each call: here the bounds are known.
        Datum::of_calls("ServiceErrors", Unit::Count, calls, failed).map(|errors| Datum {
            minimum: if failed == calls { 1.0 } else { 0.0 },
            maximum: if failed > 0 { 1.0 } else { 0.0 },
            ..errors
        }),
    ];
    let of_the_period = [
        Datum::single("BytesBehind", Unit::Bytes, lag.bytes),
        Datum::single("SecondsBehind", Unit::Seconds, lag.seconds),
        Datum::single("RecordsQuarantined", Unit::Count, added(|counters| counters.quarantined_records)),
        Datum::single("BytesDestroyedUnread", Unit::Bytes, added(|counters| counters.destroyed)),
    ];
    of_calls.into_iter().flatten().chain(of_the_period).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, unit, samples, sum, minimum, maximum.
    type Row = (&'static str, Unit, u64, u64, f64, f64);

    fn rows(before: &Counters, after: &Counters, lag: Lag) -> Vec<Row> {
        let row = |datum: Datum| (datum.name, datum.unit, datum.samples, datum.sum, datum.minimum, datum.maximum);
        data(before, after, lag).into_iter().map(row).collect()
    }

    /// The four of a period in which nothing was lost.
    fn quiet(bytes: u64, seconds: u64) -> [Row; 4] {
        [
            ("BytesBehind", Unit::Bytes, 1, bytes, bytes as f64, bytes as f64),
            ("SecondsBehind", Unit::Seconds, 1, seconds, seconds as f64, seconds as f64),
            ("RecordsQuarantined", Unit::Count, 1, 0, 0.0, 0.0),
            ("BytesDestroyedUnread", Unit::Bytes, 1, 0, 0.0, 0.0),
        ]
    }

    #[test]
    fn without_calls_only_the_lag_and_what_was_lost_is_told() {
        let same = Counters { calls: 7, records: 70, ..Counters::default() };
        assert_eq!(rows(&same, &same, Lag { bytes: 5, seconds: 2 }), quiet(5, 2));
        let after = Counters { quarantined_records: 3, destroyed: 1000, ..same };
        let told = rows(&same, &after, Lag::default());
        assert_eq!(told[2], ("RecordsQuarantined", Unit::Count, 1, 3, 3.0, 3.0));
        assert_eq!(told[3], ("BytesDestroyedUnread", Unit::Bytes, 1, 1000, 1000.0, 1000.0));
    }

    #[test]
    fn counters_are_told_as_what_was_added_with_the_calls_as_samples() {
        let before =
            Counters { calls: 10, failed_calls: 1, attempts: 100, records: 90, payload: 9000, ..Counters::default() };
        let after =
            Counters { calls: 14, failed_calls: 2, attempts: 180, records: 140, refused: 6, payload: 10_000, ..before };
        let told = rows(&before, &after, Lag::default());
        assert_eq!(
            told[..5],
            [
                ("RecordSendAttempts", Unit::Count, 4, 80, 20.0, 20.0),
                ("RecordsSent", Unit::Count, 4, 50, 12.5, 12.5),
                ("RecordSendErrors", Unit::Count, 3, 6, 2.0, 2.0),
                ("BytesSent", Unit::Bytes, 4, 1000, 250.0, 250.0),
                ("ServiceErrors", Unit::Count, 4, 1, 0.0, 1.0),
            ]
        );
        assert_eq!(told[5..], quiet(0, 0));
    }

    #[test]
    fn calls_that_failed_as_a_whole_tell_nothing_about_single_records() {
        let after = Counters { calls: 2, failed_calls: 2, attempts: 8, ..Counters::default() };
        let told = rows(&Counters::default(), &after, Lag::default());
        assert_eq!(
            told[..4],
            [
                ("RecordSendAttempts", Unit::Count, 2, 8, 4.0, 4.0),
                ("RecordsSent", Unit::Count, 2, 0, 0.0, 0.0),
                ("BytesSent", Unit::Bytes, 2, 0, 0.0, 0.0),
                ("ServiceErrors", Unit::Count, 2, 2, 1.0, 1.0),
            ]
        );
    }

    #[test]
    fn books_of_several_flows_are_summed_and_the_oldest_byte_counts() {
        let books = [Arc::new(Books::default()), Arc::new(Books::default()), Arc::new(Books::default())];
        for (books, (calls, unsettled, oldest)) in books.iter().zip([(3, 100, 9_000), (4, 50, 5_500), (0, 0, 0)]) {
            books.calls.set(calls);
            books.unsettled.set(unsettled);
            books.oldest_unsettled.set(oldest);
        }
        assert_eq!(Counters::of(&books).calls, 7);
        assert_eq!(Lag::of(&books, 10_000), Lag { bytes: 150, seconds: 4 });
        assert_eq!(Lag::of(&books, 1_000).seconds, 0, "a clock that was put back makes no age");
        assert_eq!(Lag::of(&[], 10_000), Lag::default());
    }
}
