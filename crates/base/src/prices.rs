//! What AWS asks for: the one table of list prices, with their date, region and sources.
//! Promises to be the only place where a price stands. Leaves volumes, and what is rounded up before it is billed, to the
//! callers.

/// When these prices were looked up.
pub const AS_OF: &str = "2026-11-21";
/// The region that they hold for; others cost up to twice as much.
pub const REGION: &str = "us-east-1";
/// Where they are published.
pub const SOURCES: [&str; 5] = [
    "https://aws.amazon.com/firehose/pricing/",
    "https://aws.amazon.com/kinesis/data-streams/pricing/",
    "https://aws.amazon.com/s3/pricing/",
    "https://aws.amazon.com/athena/pricing/",
    "https://aws.amazon.com/lambda/pricing/",
];
/// What AWS bills as a GB: 2^30 bytes.
pub const GIB: f64 = (1_u64 << 30) as f64;
/// Hours of a month, as AWS's own calculator counts them.
pub const HOURS_A_MONTH: u64 = 730;

/// A price that holds up to an amount a month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tier {
    /// Up to this many GiB a month; no bound for the last tier.
    pub up_to_gib: Option<f64>,
    /// US dollars a GiB.
    pub usd_per_gib: f64,
}

/// Firehose, Direct PUT or a Kinesis stream as the source: bytes taken in, each record rounded up to 5 KiB.
pub const FIREHOSE_INGESTION: [Tier; 3] = [
    Tier { up_to_gib: Some(500.0 * 1024.0), usd_per_gib: 0.029 },
    Tier { up_to_gib: Some(2000.0 * 1024.0), usd_per_gib: 0.025 },
    Tier { up_to_gib: None, usd_per_gib: 0.020 },
];
/// Firehose: conversion to Parquet or ORC, a GiB of what was taken in, rounded up as there.
pub const FIREHOSE_CONVERSION_USD_PER_GIB: f64 = 0.018;
/// Kinesis Data Streams, on-demand standard: bytes taken in, each record rounded up to 1 KiB.
pub const KINESIS_INGESTION: [Tier; 1] = [Tier { up_to_gib: None, usd_per_gib: 0.08 }];
/// Kinesis Data Streams, on-demand standard: each stream, whatever it takes in.
pub const KINESIS_STREAM_USD_PER_HOUR: f64 = 0.04;

/// S3 Standard, the first 50 TB: a GiB for a month.
pub const S3_STANDARD_USD_PER_GIB: f64 = 0.023;
/// S3 Standard-IA: a GiB for a month.
pub const S3_INFREQUENT_USD_PER_GIB: f64 = 0.0125;
/// S3 Standard: 1,000 requests that write.
pub const S3_PUT_USD_PER_1000: f64 = 0.005;
/// S3 Standard: 1,000 requests that read.
pub const S3_GET_USD_PER_1000: f64 = 0.0004;
/// S3: 1,000 objects moved to Standard-IA by the lifecycle.
pub const S3_TRANSITION_USD_PER_1000: f64 = 0.01;
/// Athena: a TB of 10^12 bytes scanned.
pub const ATHENA_USD_PER_TB: f64 = 5.0;
/// Athena: the least that a query is charged for, in bytes.
pub const ATHENA_LEAST_BYTES: u64 = 10_000_000;
/// Lambda on x86: a GB of memory for a second.
pub const LAMBDA_USD_PER_GB_SECOND: f64 = 0.000_016_666_7;
/// Lambda: a million requests.
pub const LAMBDA_USD_PER_MILLION: f64 = 0.20;
/// CloudWatch: an alarm for a month.
pub const ALARM_USD: f64 = 0.10;

/// What a month costs, in US dollars, in which this number of bytes is billed.
#[must_use]
pub fn monthly_usd(tiers: &[Tier], billed_bytes: f64) -> f64 {
    let (gib, mut below, mut usd) = (billed_bytes / GIB, 0.0, 0.0);
    for tier in tiers {
        let top = tier.up_to_gib.unwrap_or(f64::INFINITY);
        usd += (gib.min(top) - below).max(0.0) * tier.usd_per_gib;
        below = top;
    }
    usd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-6 * other.abs().max(1.0)
    }

    #[test]
    fn each_tier_is_billed_at_its_own_price() {
        let usd = |gib: f64| monthly_usd(&FIREHOSE_INGESTION, gib * GIB);
        assert!(usd(0.0).abs() < f64::EPSILON);
        for (gib, expected) in [
            (1.0, 0.029),
            (512_000.0, 14_848.0),
            (512_001.0, 14_848.025),
            (2_048_000.0, 14_848.0 + 38_400.0),
            (2_048_100.0, 14_848.0 + 38_400.0 + 2.0),
        ] {
            assert!(close(usd(gib), expected), "{gib} GiB: {} is not {expected}", usd(gib));
        }
        assert!(close(monthly_usd(&KINESIS_INGESTION, 10.0 * GIB), 0.8));
    }
}
