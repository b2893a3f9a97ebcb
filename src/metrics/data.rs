//! The data of one destination and one period, out of its calls and two looks at its books.
//! Promises that each counter is told as what was added, never twice and never less than zero.
//! Leaves their form to `form`, and when to look to the parent.

use datalake_base::accounting::{Accounting, Calls, Gauge, Spread};
use std::sync::Arc;

/// How often in a row a file could not be read.
const CONSECUTIVE_ERRORS: &str = "ConsecutiveProcessingErrors";

/// What a number counts, as CloudWatch spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    Bytes,
    Seconds,
}

/// One metric of one period: a statistic set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datum {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) spread: Spread,
}

/// What is lost or kept back, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    quarantined_records: u64,
    destroyed: u64,
}

impl Counters {
    /// The sum over these books.
    pub(super) fn of(books: &[Arc<Accounting>]) -> Self {
        let sum = |gauge: fn(&Accounting) -> &Gauge| books.iter().map(|books| gauge(books).value()).sum();
        Self { quarantined_records: sum(|books| &books.quarantined_records), destroyed: sum(|books| &books.destroyed) }
    }
}

impl Counters {
    /// The sum of both.
    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            quarantined_records: self.quarantined_records + other.quarantined_records,
            destroyed: self.destroyed + other.destroyed,
        }
    }
}

/// How far a destination is behind, and whether something cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lag {
    bytes: u64,
    seconds: u64,
    denials: u64,
}

impl Lag {
    /// The sum of the bytes, the age of the oldest of them at `now`, in milliseconds since 1970, and what goes worst.
    pub(super) fn of(books: &[Arc<Accounting>], now: u64) -> Self {
        let oldest = books.iter().map(|books| books.oldest_unsettled.value()).filter(|read_at| *read_at > 0).min();
        Self {
            bytes: books.iter().map(|books| books.unsettled.value()).sum(),
            seconds: oldest.map_or(0, |oldest| now.saturating_sub(oldest) / 1000),
            denials: books.iter().map(|books| books.denials.value()).max().unwrap_or(0),
        }
    }
}

impl Datum {
    /// What the dimension says of a destination such as `DeliveryStream:logs`: the Kinesis Agent, whose alarms must go on
    /// working, names the stream alone for one of its metrics.
    pub(super) fn dimension<'a>(&self, destination: &'a str) -> &'a str {
        let bare = destination.split_once(':').map(|(_, stream)| stream);
        bare.filter(|_| self.name == CONSECUTIVE_ERRORS).unwrap_or(destination)
    }
}

/// What happened between two looks: these calls, and what was lost or kept back. The first five are the Kinesis Agent's
/// own, as is the last, and tell of calls: where there was none, there is nothing to tell. The others are told every
/// period, so that their absence means that no agent runs.
pub(super) fn data(calls: &Calls, before: &Counters, after: &Counters, lag: Lag) -> Vec<Datum> {
    let added = |counter: fn(&Counters) -> u64| counter(after).saturating_sub(counter(before));
    let of_calls = [
        ("RecordSendAttempts", Unit::Count, calls.attempts),
        ("RecordsSent", Unit::Count, calls.accepted),
        ("RecordSendErrors", Unit::Count, calls.refused),
        ("BytesSent", Unit::Bytes, calls.payload),
        ("ServiceErrors", Unit::Count, calls.failed),
    ];
    let of_the_period = [
        ("BytesBehind", Unit::Bytes, lag.bytes),
        ("SecondsBehind", Unit::Seconds, lag.seconds),
        ("RecordsQuarantined", Unit::Count, added(|counters| counters.quarantined_records)),
        ("BytesDestroyedUnread", Unit::Bytes, added(|counters| counters.destroyed)),
        (CONSECUTIVE_ERRORS, Unit::Count, lag.denials),
    ]
    .map(|(name, unit, number)| (name, unit, Spread::of(number)));
    let all = of_calls.into_iter().filter(|(.., spread)| spread.samples > 0).chain(of_the_period);
    all.map(|(name, unit, spread)| Datum { name, unit, spread }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(calls: &Calls, before: &Counters, after: &Counters, lag: Lag) -> Vec<(&'static str, Unit, Spread)> {
        data(calls, before, after, lag).into_iter().map(|datum| (datum.name, datum.unit, datum.spread)).collect()
    }

    /// The five of a period in which nothing was lost.
    fn quiet(bytes: u64, seconds: u64) -> [(&'static str, Unit, Spread); 5] {
        [
            ("BytesBehind", Unit::Bytes, Spread::of(bytes)),
            ("SecondsBehind", Unit::Seconds, Spread::of(seconds)),
            ("RecordsQuarantined", Unit::Count, Spread::of(0)),
            ("BytesDestroyedUnread", Unit::Bytes, Spread::of(0)),
            ("ConsecutiveProcessingErrors", Unit::Count, Spread::of(0)),
        ]
    }

    #[test]
    fn without_calls_only_the_lag_and_what_was_lost_is_told() {
        let (none, before) = (Calls::default(), Counters { quarantined_records: 1, destroyed: 500 });
        assert_eq!(rows(&none, &before, &before, Lag { bytes: 5, seconds: 2, denials: 0 }), quiet(5, 2));
        let after = Counters { quarantined_records: 4, destroyed: 1500 };
        let told = rows(&none, &before, &after, Lag::default());
        assert_eq!(told[2], ("RecordsQuarantined", Unit::Count, Spread::of(3)));
        assert_eq!(told[3], ("BytesDestroyedUnread", Unit::Bytes, Spread::of(1000)));
    }

    #[test]
    fn calls_are_told_with_their_number_and_their_extremes() {
        let calls = Calls {
            attempts: Spread { samples: 4, sum: 80, minimum: 5, maximum: 50 },
            accepted: Spread { samples: 4, sum: 50, minimum: 0, maximum: 44 },
            refused: Spread { samples: 3, sum: 6, minimum: 0, maximum: 6 },
            payload: Spread { samples: 4, sum: 1000, minimum: 0, maximum: 900 },
            failed: Spread { samples: 4, sum: 1, minimum: 0, maximum: 1 },
        };
        let told = rows(&calls, &Counters::default(), &Counters::default(), Lag::default());
        assert_eq!(
            told[..5],
            [
                ("RecordSendAttempts", Unit::Count, calls.attempts),
                ("RecordsSent", Unit::Count, calls.accepted),
                ("RecordSendErrors", Unit::Count, calls.refused),
                ("BytesSent", Unit::Bytes, calls.payload),
                ("ServiceErrors", Unit::Count, calls.failed),
            ]
        );
        assert_eq!(told[5..], quiet(0, 0));
    }

    #[test]
    fn calls_that_failed_as_a_whole_tell_nothing_about_single_records() {
        let none = Spread { samples: 2, sum: 0, minimum: 0, maximum: 0 };
        let failed = Spread { samples: 2, sum: 2, minimum: 1, maximum: 1 };
        let attempts = Spread { samples: 2, sum: 8, minimum: 4, maximum: 4 };
        let calls = Calls { attempts, accepted: none, payload: none, failed, refused: Spread::default() };
        let told = rows(&calls, &Counters::default(), &Counters::default(), Lag::default());
        let names: Vec<&str> = told[..4].iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, ["RecordSendAttempts", "RecordsSent", "BytesSent", "ServiceErrors"]);
    }

    #[test]
    fn the_streak_of_errors_has_the_stream_alone_as_its_dimension_and_no_other_metric_has() {
        let lag = Lag { denials: 7, ..Lag::default() };
        for datum in data(&Calls::default(), &Counters::default(), &Counters::default(), lag) {
            let streak = datum.spread == Spread::of(7);
            assert_eq!(streak, datum.name == "ConsecutiveProcessingErrors");
            let dimension = if streak { "logs" } else { "KinesisStream:logs" };
            assert_eq!(datum.dimension("KinesisStream:logs"), dimension, "{}", datum.name);
        }
    }

    #[test]
    fn books_of_several_flows_are_summed_and_the_oldest_byte_counts() {
        let books = [Arc::new(Accounting::default()), Arc::new(Accounting::default()), Arc::new(Accounting::default())];
        for (books, (destroyed, unsettled, oldest)) in books.iter().zip([(3, 100, 9_000), (4, 50, 5_500), (0, 0, 0)]) {
            books.destroyed.set(destroyed);
            books.denials.set(destroyed.saturating_sub(1));
            books.unsettled.set(unsettled);
            books.oldest_unsettled.set(oldest);
        }
        assert_eq!(Counters::of(&books).destroyed, 7);
        assert_eq!(Lag::of(&books, 10_000), Lag { bytes: 150, seconds: 4, denials: 3 });
        assert_eq!(Lag::of(&books, 1_000).seconds, 0, "a clock that was put back makes no age");
        assert_eq!(Lag::of(&[], 10_000), Lag::default());
    }
}
