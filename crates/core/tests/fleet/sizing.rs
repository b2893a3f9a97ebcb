//! How many streams a fleet needs, what they cost, and how long it takes to make good an hour without the service.
//! Promises that the table of `docs/sizing.md` is what comes out here.
//! Leaves prices and quotas to the one who changes the constants: list prices of us-east-1 and the quotas of AWS's documents.

use super::world::Quota;

const MIB: f64 = 1024.0 * 1024.0;
const GIB: f64 = MIB * 1024.0;
/// A month of AWS's calculator.
const HOURS: f64 = 730.0;
/// Streams are not filled further than this: what is left makes good an outage, and grows with the load.
const FILLED: f64 = 0.75;
/// What a fleet gets out of a quota under load, at least; the simulation checks it.
pub(crate) const GOODPUT: f64 = 0.9;

/// Direct PUT in us-east-1, us-west-2 and eu-west-1.
pub(crate) const FIREHOSE: Quota = Quota { bytes: 5.0 * MIB, records: 500_000.0, calls: 2_000.0, shards: 1 };
/// Direct PUT in every other region.
pub(crate) const FIREHOSE_ELSEWHERE: Quota = Quota { bytes: MIB, records: 100_000.0, calls: 1_000.0, shards: 1 };
/// One shard of Kinesis Data Streams.
pub(crate) const SHARD: Quota = Quota { bytes: MIB, records: 1_000.0, calls: f64::INFINITY, shards: 1 };

/// Dollars a GiB of billed bytes, up to this many GiB a month.
const FIREHOSE_PRICES: [(f64, f64); 3] = [(0.029, 500.0 * 1024.0), (0.025, 2_000.0 * 1024.0), (0.020, f64::INFINITY)];
/// Dollars a shard and hour, and a million units of 25 KiB.
const SHARD_HOUR: f64 = 0.015;
const MILLION_UNITS: f64 = 0.014;
const UNIT: f64 = 25.0 * 1024.0;
/// What Firehose rounds a record up to.
const STEP: f64 = 5.0 * 1024.0;
/// Defaults of the agent: the age of a batch, and a full record for each service.
const AGE: f64 = 60.0;
const FIREHOSE_RECORD: f64 = 1_024_000.0;
const KINESIS_RECORD: f64 = 51_200.0;
const CALL_RECORDS: f64 = 500.0;
const FIREHOSE_CALL: f64 = 4.0 * MIB;

/// Hosts that write at the same rate, in bytes a second.
#[derive(Clone, Copy)]
pub(crate) struct Fleet {
    pub(crate) hosts: f64,
    pub(crate) each: f64,
}

impl Fleet {
    fn together(self) -> f64 {
        self.hosts * self.each
    }

    /// Bytes of a record as they are on average: a slow host does not fill one within the age of a batch.
    fn record(self, full: f64) -> f64 {
        full.min(self.each * AGE)
    }

    fn records(self, full: f64) -> f64 {
        self.together() / self.record(full)
    }

    fn calls(self) -> f64 {
        let bytes = FIREHOSE_CALL.min(self.record(FIREHOSE_RECORD) * CALL_RECORDS).min(self.each * AGE);
        self.together() / bytes
    }

    /// Delivery streams, or shards, that are filled to three quarters at most.
    pub(crate) fn streams(self, quota: &Quota, full: f64) -> f64 {
        let bytes = self.together() / quota.bytes;
        let records = self.records(full) / quota.records;
        let calls = self.calls() / quota.calls;
        (bytes.max(records).max(calls) / FILLED).ceil()
    }

    /// Seconds to make good an outage of an hour while new lines come.
    pub(crate) fn recovery(self, quota: &Quota, streams: f64) -> f64 {
        let capacity = streams * quota.bytes * GOODPUT;
        3_600.0 * self.together() / (capacity - self.together())
    }

    fn firehose_dollars(self) -> f64 {
        let record = self.record(FIREHOSE_RECORD);
        let billed = (record / STEP).ceil() * STEP / record;
        let mut left = self.together() * billed * HOURS * 3_600.0 / GIB;
        let mut dollars = 0.0;
        let mut below = 0.0;
        for (price, up_to) in FIREHOSE_PRICES {
            let here = left.min(up_to - below);
            dollars += here * price;
            left -= here;
            below = up_to;
        }
        dollars
    }

    fn kinesis_dollars(self, shards: f64) -> f64 {
        let record = self.record(KINESIS_RECORD);
        let units = self.records(KINESIS_RECORD) * (record / UNIT).ceil();
        shards * SHARD_HOUR * HOURS + units * HOURS * 3_600.0 / 1e6 * MILLION_UNITS
    }
}

const HOSTS: [f64; 3] = [1.0, 100.0, 10_000.0];
const EACH: [(f64, &str); 5] =
    [(1e3, "1 KB/s"), (30e3, "30 KB/s"), (1e6, "1 MB/s"), (10e6, "10 MB/s"), (50e6, "50 MB/s")];

/// The table of `docs/sizing.md`.
pub(crate) fn table() -> String {
    let mut table = String::from(
        "| hosts | each | together | delivery streams, 5 MiB/s | 1 MiB/s | Firehose a month | shards | Kinesis a month | after an hour's outage |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for hosts in HOSTS {
        for (each, name) in EACH {
            let fleet = Fleet { hosts, each };
            let streams = fleet.streams(&FIREHOSE, FIREHOSE_RECORD);
            let elsewhere = fleet.streams(&FIREHOSE_ELSEWHERE, FIREHOSE_RECORD);
            let shards = fleet.streams(&SHARD, KINESIS_RECORD);
            table += &format!(
                "| {} | {name} | {} | {} | {} | {} | {} | {} | {} |\n",
                number(hosts),
                rate(fleet.together()),
                number(streams),
                number(elsewhere),
                dollars(fleet.firehose_dollars()),
                number(shards),
                dollars(fleet.kinesis_dollars(shards)),
                duration(fleet.recovery(&FIREHOSE, streams)),
            );
        }
    }
    table
}

fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn rate(bytes: f64) -> String {
    let of = |value: f64| if value < 10.0 && value.fract() > 0.0 { format!("{value:.1}") } else { number(value) };
    match bytes {
        _ if bytes < 1e6 => format!("{} KB/s", of(bytes / 1e3)),
        _ if bytes < 1e9 => format!("{} MB/s", of(bytes / 1e6)),
        _ => format!("{} GB/s", of(bytes / 1e9)),
    }
}

fn dollars(value: f64) -> String {
    if value < 10.0 { format!("${value:.2}") } else { format!("${}", number(value)) }
}

fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds < 60.0 => format!("{:.0} s", seconds.max(1.0)),
        _ if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}
