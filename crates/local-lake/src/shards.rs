//! The shards of a stream: which key goes where, in which order, and how much each takes a second.
//! Promises that a key always goes to one shard and that sequence numbers of a shard only grow.
//! Leaves keeping records to `store`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::figures::KINESIS;
use crate::key::Place;
use crate::limits::{Buckets, RateLimit};
use crate::protocol::Put;
use crate::service::RecordFailure;

/// What one shard takes a second: 1 MiB, keys included, and 1,000 records.
const SHARD_RATE: RateLimit =
    RateLimit { bytes_per_second: Some(1_048_576.0), records_per_second: Some(1_000.0), calls_per_second: None };

/// How the streams of Kinesis are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Shards of every stream, each with an equal part of the hash keys.
    pub(crate) count: u32,
    /// Whether a shard takes no more than the service's 1 MiB and 1,000 records a second.
    pub(crate) limited: bool,
    /// Most bytes of a record, its key included.
    pub(crate) largest_record: usize,
    /// Whether streams say that they distribute records by themselves (AUTO).
    pub(crate) distributes_itself: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { count: 4, limited: false, largest_record: KINESIS.record_bytes, distributes_itself: false }
    }
}

/// The shards of all streams.
#[derive(Debug)]
pub(crate) struct Shards {
    settings: Settings,
    streams: Mutex<HashMap<String, Vec<Shard>>>,
}

#[derive(Debug)]
struct Shard {
    taken: u64,
    buckets: Buckets,
}

impl Shards {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, streams: Mutex::default() }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Finds a place for each record, and marks those that their shard does not take now.
    pub(crate) fn place(&self, put: &mut Put, failures: &mut [Option<RecordFailure>], now: Instant) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Shard { taken: 0, buckets: Buckets::new(&SHARD_RATE, now) };
        let shards =
            streams.entry(put.stream.clone()).or_insert_with(|| (0..self.settings.count).map(|_| fresh()).collect());
        if self.settings.limited {
            shards.iter_mut().for_each(|shard| shard.buckets.refill(&SHARD_RATE, now));
        }
        put.places.clear();
        for ((key, size), failure) in put.keys.iter().zip(&put.sizes).zip(failures) {
            let index = self.shard_of(key.hash);
            let shard = &mut shards[index as usize];
            let size = size + key.partition_key.len();
            if failure.is_none() && self.settings.limited && !shard.buckets.take_record(&SHARD_RATE, size) {
                *failure = Some(RecordFailure::Throttled);
            }
            shard.taken += u64::from(failure.is_none());
            put.places.push(Place { shard: index, number: shard.taken });
        }
    }

    /// The shard whose part of the hash keys this one lies in.
    fn shard_of(&self, hash: u128) -> u32 {
        let part = u128::MAX / u128::from(self.settings.count);
        u32::try_from(hash / part).unwrap_or(u32::MAX).min(self.settings.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use std::time::Duration;

    fn put(keys: &[&str], size: usize) -> Put {
        let keys: Vec<_> = keys.iter().map(|key| Key::of(0, Some(key), None).unwrap()).collect();
        Put { stream: "s".to_owned(), sizes: vec![size; keys.len()], keys, ..Put::default() }
    }

    #[test]
    fn hash_keys_are_divided_evenly_with_no_gap() {
        for count in [1, 2, 3, 4, 1000] {
            let shards = Shards::new(Settings { count, ..Settings::default() });
            assert_eq!((shards.shard_of(0), shards.shard_of(u128::MAX)), (0, count - 1));
            let part = u128::MAX / u128::from(count);
            for shard in 1..count {
                let first = part * u128::from(shard);
                assert_eq!((shards.shard_of(first - 1), shards.shard_of(first)), (shard - 1, shard));
            }
        }
    }

    #[test]
    fn a_key_stays_with_its_shard_and_numbers_only_grow() {
        let shards = Shards::new(Settings::default());
        let mut first = put(&["a", "b", "a"], 1);
        shards.place(&mut first, &mut [None, None, None], Instant::now());
        let mut second = put(&["a"], 1);
        shards.place(&mut second, &mut [None], Instant::now());
        assert_eq!(first.places[0].shard, first.places[2].shard);
        assert_eq!(first.places[0].shard, second.places[0].shard);
        assert!(first.places[0].sequence_number() < first.places[2].sequence_number());
        assert!(first.places[2].sequence_number() < second.places[0].sequence_number());
        assert_eq!(first.places[0].sequence_number().len(), 56);
    }

    #[test]
    fn a_shard_takes_a_thousand_records_and_a_mebibyte_a_second_and_others_are_not_touched() {
        let shards = Shards::new(Settings { limited: true, ..Settings::default() });
        let now = Instant::now();
        let mut taken = 0;
        for _ in 0..3 {
            let mut failures = vec![None; 500];
            shards.place(&mut put(&["a"; 500], 10), &mut failures, now);
            taken += failures.iter().filter(|failure| failure.is_none()).count();
        }
        assert_eq!(taken, 1_000);
        let mut other = [None];
        // These two keys lie in different shards.
        assert_ne!(shards.shard_of(put(&["a"], 1).keys[0].hash), shards.shard_of(put(&["b"], 1).keys[0].hash));
        shards.place(&mut put(&["b"], 1 << 20), &mut other, now);
        assert_eq!(other, [None]);
        let mut later = [None, None];
        shards.place(&mut put(&["b"; 2], 1 << 20), &mut later, now + Duration::from_millis(100));
        assert_eq!(later[1], Some(RecordFailure::Throttled));
    }
}
