//! Hosts that share one stream, in made-up time: each with the real pace and the real retry delays, one call under way.
//! Promises the same history for the same seed, and a service that throttles as Firehose and Kinesis do: a call above the
//! quota of calls fails as a whole, records above the quota of bytes or records fail one by one inside a 200.
//! Leaves what must hold to the tests.

use datalake_core::deliver::pace::{Amounts, Pace, Settings};
use datalake_core::deliver::{Meaning, retry};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

/// What a stream takes a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub(crate) bytes: f64,
    pub(crate) records: f64,
    pub(crate) calls: f64,
    /// Each shard has a quota of bytes and records of its own; a delivery stream is one.
    pub(crate) shards: usize,
}

/// One second's worth, which may go into debt by one record, so that a record larger than that is taken after all.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: f64,
    level: f64,
}

impl Bucket {
    const fn new(rate: f64) -> Self {
        Self { rate, level: rate }
    }

    fn fill(&mut self, seconds: f64) {
        self.level = (self.level + self.rate * seconds).min(self.rate);
    }
}

struct Service {
    calls: Bucket,
    shards: Vec<(Bucket, Bucket)>,
    filled_at: f64,
}

impl Service {
    fn new(quota: &Quota) -> Self {
        let shard = (Bucket::new(quota.bytes), Bucket::new(quota.records));
        Self { calls: Bucket::new(quota.calls), shards: vec![shard; quota.shards], filled_at: 0.0 }
    }

    fn set(&mut self, quota: &Quota) {
        self.calls.rate = quota.calls;
        for (bytes, records) in &mut self.shards {
            (bytes.rate, records.rate) = (quota.bytes, quota.records);
        }
    }

    /// Which records are refused; `None` where the whole call is.
    fn put(&mut self, call: &[u32], random: &mut fastrand::Rng, at: f64) -> Option<Vec<u32>> {
        let seconds = at - std::mem::replace(&mut self.filled_at, at);
        self.calls.fill(seconds);
        for (bytes, records) in &mut self.shards {
            bytes.fill(seconds);
            records.fill(seconds);
        }
        if self.calls.level <= 0.0 {
            return None;
        }
        self.calls.level -= 1.0;
        let mut refused = Vec::new();
        for record in call {
            let shard = random.usize(..self.shards.len());
            let (bytes, records) = &mut self.shards[shard];
            if bytes.level > 0.0 && records.level > 0.0 {
                bytes.level -= f64::from(*record);
                records.level -= 1.0;
            } else {
                refused.push(*record);
            }
        }
        Some(refused)
    }
}

/// What a host has to send, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Bytes that wait when the world begins.
    pub(crate) backlog: f64,
    /// Bytes that are written a second.
    pub(crate) rate: f64,
    /// Bytes of a full record.
    pub(crate) record: u32,
    /// Records of a full call.
    pub(crate) records: usize,
    /// A batch is sent when its oldest byte is this old.
    pub(crate) max_age: f64,
    /// When the host comes back.
    pub(crate) begins: f64,
}

#[derive(Debug)]
struct Outbound {
    records: Vec<u32>,
    attempts: u32,
    not_before: f64,
}

pub(crate) struct Host {
    load: Load,
    pace: Pace,
    random: fastrand::Rng,
    backlog: f64,
    counted_at: f64,
    oldest: f64,
    ready: VecDeque<Outbound>,
    again: Vec<Outbound>,
    in_flight: Option<Outbound>,
    /// The moment of the newest wake-up; older ones are void.
    wakes_at: f64,
    /// What was accepted of it.
    pub(crate) accepted: f64,
}

impl Host {
    fn write(&mut self, at: f64) {
        if self.backlog <= 0.0 {
            self.oldest = self.counted_at;
        }
        self.backlog += self.load.rate * (at - self.counted_at).max(0.0);
        self.counted_at = self.counted_at.max(at);
    }

    /// As many records as a call holds, of what waits; as the packer does.
    fn pack(&mut self, into: &mut Vec<u32>, most: f64) {
        let mut room = most - into.iter().map(|record| f64::from(*record)).sum::<f64>();
        while into.len() < self.load.records && room >= 1.0 && self.backlog >= 1.0 {
            let record = f64::from(self.load.record).min(self.backlog).min(room);
            into.push(record as u32);
            self.backlog -= record;
            room -= record;
        }
        self.oldest = self.counted_at;
    }

    /// Bytes that were written and not accepted.
    pub(crate) fn waiting(&self) -> f64 {
        let sealed = self.ready.iter().chain(&self.again).chain(&self.in_flight).flat_map(|outbound| &outbound.records);
        self.backlog + sealed.map(|record| f64::from(*record)).sum::<f64>()
    }

    fn full(&self) -> f64 {
        let full = f64::from(self.load.record) * self.load.records as f64;
        self.pace.call_bytes().map_or(full, |most| full.min(most as f64))
    }

    /// Seals what is to be sent next; answers when that will be, where it is later.
    fn seal(&mut self, at: f64) -> Option<f64> {
        self.write(at);
        let full = self.full();
        let mut records = Vec::new();
        while let Some(index) = self.again.iter().position(|again| again.not_before <= at) {
            let again = &mut self.again[index];
            let bytes = records.iter().map(|record| f64::from(*record)).sum::<f64>();
            let next = again.records.last().copied().unwrap_or(0);
            if !records.is_empty() && (bytes + f64::from(next) > full || records.len() >= self.load.records) {
                break;
            }
            records.extend(again.records.pop());
            if again.records.is_empty() {
                self.again.swap_remove(index);
            }
        }
        let due = self.oldest + self.load.max_age;
        if !records.is_empty() || self.backlog >= full || self.backlog >= 1.0 && due <= at {
            self.pack(&mut records, full);
            self.ready.push_back(Outbound { records, attempts: 0, not_before: at });
            return None;
        }
        let again = self.again.iter().map(|again| again.not_before).reduce(f64::min);
        let fills = (self.load.rate > 0.0).then(|| at + ((full - self.backlog) / self.load.rate).max(0.001));
        let aged = if self.backlog >= 1.0 { Some(due) } else { fills.map(|_| at + self.load.max_age) };
        [again, fills, aged].into_iter().flatten().reduce(f64::min).map(|next| next.max(at + 0.001))
    }
}

/// What has happened, from one moment on.
pub(crate) struct World {
    begin: Instant,
    service: Service,
    random: fastrand::Rng,
    pub(crate) hosts: Vec<Host>,
    /// When, which host, and whether it is an answer.
    events: BinaryHeap<Reverse<(u64, usize, bool)>>,
    /// Calls that arrived in each second.
    pub(crate) arrivals: Vec<u32>,
    /// Bytes that were taken in each second.
    pub(crate) taken: Vec<f64>,
    /// Bytes that arrived in each second.
    pub(crate) offered: Vec<f64>,
}

impl World {
    pub(crate) fn new(quota: &Quota, loads: &[Load], begin: Instant, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut events = BinaryHeap::new();
        let host = |(index, load): (usize, &Load)| {
            events.push(Reverse((nanos(load.begins), index, false)));
            Host {
                load: *load,
                pace: Pace::new(Settings::default(), random.u64(..), begin),
                random: random.fork(),
                backlog: load.backlog,
                counted_at: load.begins,
                oldest: load.begins,
                ready: VecDeque::new(),
                again: Vec::new(),
                in_flight: None,
                wakes_at: load.begins,
                accepted: 0.0,
            }
        };
        let hosts = loads.iter().enumerate().map(host).collect();
        let service = Service::new(quota);
        Self { begin, service, random, hosts, events, arrivals: vec![], taken: vec![], offered: vec![] }
    }

    pub(crate) fn set_quota(&mut self, quota: &Quota) {
        self.service.set(quota);
    }

    /// Lives until this second.
    pub(crate) fn run_until(&mut self, end: f64) {
        let seconds = end.ceil() as usize;
        self.arrivals.resize(seconds, 0);
        self.taken.resize(seconds, 0.0);
        self.offered.resize(seconds, 0.0);
        while let Some(Reverse((at, _, _))) = self.events.peek()
            && *at < nanos(end)
        {
            let Some(Reverse((at, index, is_answer))) = self.events.pop() else { break };
            let at_seconds = at as f64 / 1e9;
            if is_answer {
                self.answer(index, at_seconds);
            } else if at < nanos(self.hosts[index].wakes_at) {
                continue;
            }
            self.advance(index, at_seconds);
        }
    }

    fn advance(&mut self, index: usize, at: f64) {
        let now = self.begin + Duration::from_secs_f64(at);
        let host = &mut self.hosts[index];
        if host.in_flight.is_some() {
            return;
        }
        let mut wake = None;
        if host.ready.is_empty() {
            wake = host.seal(at);
        }
        if let Some(first) = host.ready.front() {
            let paced = host.pace.ready_at(now).map(|ready_at| (ready_at - self.begin).as_secs_f64());
            let may_go = paced.unwrap_or(at).max(first.not_before);
            if may_go > at {
                wake = Some(may_go);
            } else {
                let outbound = host.ready.pop_front().expect("looked at just now");
                let bytes = outbound.records.iter().map(|record| u64::from(*record)).sum::<u64>();
                host.pace.sent(Amounts { bytes, records: outbound.records.len() as u64 }, now);
                host.in_flight = Some(outbound);
                // There and back, and the way of the bytes.
                let takes = 0.02 + 0.06 * self.random.f64() + bytes as f64 / 50e6;
                self.events.push(Reverse((nanos(at + takes), index, true)));
            }
        }
        if let Some(wake) = wake {
            // Fractions of a nanosecond must not wake it before its time, again and again.
            let wake = wake.max(at) + 1e-6;
            host.wakes_at = wake;
            self.events.push(Reverse((nanos(wake), index, false)));
        }
    }

    fn answer(&mut self, index: usize, at: f64) {
        let now = self.begin + Duration::from_secs_f64(at);
        let host = &mut self.hosts[index];
        let mut outbound = host.in_flight.take().expect("an answer is to a call under way");
        let sum = |records: &[u32]| records.iter().map(|record| f64::from(*record)).sum::<f64>();
        let (bytes, count) = (sum(&outbound.records), outbound.records.len());
        let amounts = Amounts { bytes: bytes as u64, records: count as u64 };
        let second = at as usize;
        self.arrivals[second] += 1;
        self.offered[second] += bytes;
        match self.service.put(&outbound.records, &mut self.random, at) {
            None => {
                host.pace.throttled(amounts, amounts.records, now);
                outbound.attempts += 1;
                let wait = retry::delay(Meaning::SlowDown, outbound.attempts, host.random.u64(..));
                outbound.not_before = at + wait.as_secs_f64();
                host.ready.push_front(outbound);
            }
            Some(refused) => {
                let taken = bytes - sum(&refused);
                host.accepted += taken;
                self.taken[second] += taken;
                if refused.is_empty() {
                    host.pace.succeeded(amounts, now);
                } else {
                    host.pace.throttled(amounts, refused.len() as u64, now);
                    let attempts = outbound.attempts + 1;
                    let wait = retry::delay(Meaning::SlowDown, attempts, host.random.u64(..));
                    host.again.push(Outbound { records: refused, attempts, not_before: at + wait.as_secs_f64() });
                }
            }
        }
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Jain's index of fairness: 1 when all have the same, 1/n when one has everything.
pub(crate) fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (shares.len() as f64 * squares)
}

/// The greatest autocorrelation of a series at a lag of `shortest` to `longest`: near 1 for waves, near 0 without. A mean that
/// changes slowly is no wave: it is followed over ten minutes.
pub(crate) fn wave(series: &[u32], shortest: usize, longest: usize) -> (f64, usize) {
    let mean = |part: &[u32]| part.iter().map(|value| f64::from(*value)).sum::<f64>() / part.len() as f64;
    let off: Vec<f64> =
        series.chunks(600).flat_map(|part| part.iter().map(move |value| f64::from(*value) - mean(part))).collect();
    let variance: f64 = off.iter().map(|value| value * value).sum();
    let at_lag = |lag: usize| off[lag..].iter().zip(&off).map(|(late, early)| late * early).sum::<f64>() / variance;
    (shortest..=longest)
        .map(|lag| (at_lag(lag), lag))
        .fold((0.0, 0), |most, next| if next.0 > most.0 { next } else { most })
}
