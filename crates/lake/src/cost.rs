//! What a lake costs in a month, part by part.
//! Promises the prices of the one table of prices, and that each assumption is a field that can be changed.
//! Leaves what a host sends to `datalake-agent estimate`, which looks at real lines.

use datalake_base::prices::{
    ALARM_USD, ATHENA_LEAST_BYTES, ATHENA_USD_PER_TB, FIREHOSE_INGESTION, GIB, HOURS_A_MONTH, LAMBDA_USD_PER_GB_SECOND,
    LAMBDA_USD_PER_MILLION, S3_GET_USD_PER_1000, S3_INFREQUENT_USD_PER_GIB, S3_PUT_USD_PER_1000,
    S3_STANDARD_USD_PER_GIB, S3_TRANSITION_USD_PER_1000, monthly_usd,
};

/// Firehose rounds each record up to this.
const STEP: f64 = 5.0 * 1024.0;
/// Firehose closes an object at this size, before compression.
const OBJECT: f64 = (128 << 20) as f64;
/// The lifecycle of the template moves objects after this many days.
const STANDARD_DAYS: f64 = 30.0;
/// Memory of the functions, in GB.
const MEMORY: f64 = 0.5;

/// What a lake is used for.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// Before compression.
    pub gib_a_day: f64,
    /// Bytes of a line.
    pub line: f64,
    /// How many times smaller gzip makes it.
    pub gzip: f64,
    /// Seconds until Firehose closes an object.
    pub interval: f64,
    /// Days that are kept.
    pub days: f64,
    /// Queries a day that scan one day.
    pub queries: f64,
    /// Days of rows that the query of a reaction scans.
    pub reaction_days: f64,
    /// Days of its own earlier results that it reads too.
    pub report_days: f64,
    /// Bytes of one of these, compressed.
    pub report: f64,
}

/// One line of the bill.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// For what.
    pub what: &'static str,
    /// US dollars a month.
    pub usd: f64,
    /// Whether it is instead of another line, and so in no sum.
    pub instead: bool,
}

/// The bill of a month.
#[must_use]
pub fn month(lake: &Use) -> Vec<Part> {
    let days = HOURS_A_MONTH as f64 / 24.0;
    let bytes = lake.gib_a_day * GIB;
    let packed_day = bytes / lake.gzip;
    // A stream with less than an object's size in an interval has an object for each interval.
    let objects_day = (86_400.0 / lake.interval).max(bytes / OBJECT);
    let single = monthly_usd(&FIREHOSE_INGESTION, bytes * days * STEP * (lake.line / STEP).ceil() / lake.line);
    let kept = packed_day / GIB;
    let storage = kept * lake.days.min(STANDARD_DAYS) * S3_STANDARD_USD_PER_GIB
        + kept * (lake.days - STANDARD_DAYS).max(0.0) * S3_INFREQUENT_USD_PER_GIB;
    let requests = objects_day * days / 1000.0 * (S3_PUT_USD_PER_1000 + S3_TRANSITION_USD_PER_1000);
    // Each object is at least one request of Athena's.
    let query = |scanned: f64, reports: f64| {
        let bytes = scanned * packed_day + reports * objects_day * lake.report;
        bytes.max(ATHENA_LEAST_BYTES as f64) / 1e12 * ATHENA_USD_PER_TB
            + (scanned + reports) * objects_day / 1000.0 * S3_GET_USD_PER_1000
    };
    let lambda = |calls: f64, seconds: f64| {
        calls * seconds * MEMORY * LAMBDA_USD_PER_GB_SECOND + calls / 1e6 * LAMBDA_USD_PER_MILLION
    };
    let part = |what, usd| Part { what, usd, instead: false };
    vec![
        part("Firehose, lines packed by the agent", monthly_usd(&FIREHOSE_INGESTION, bytes * days)),
        Part { what: "instead: each line a record", usd: single, instead: true },
        part("S3: a year kept, Standard then Standard-IA", storage),
        part("S3: requests and lifecycle, an object each interval", requests),
        part("Athena: queries of one day each", query(1.0, 0.0) * lake.queries * days),
        part(
            "a report for each object (Athena and S3)",
            query(lake.reaction_days, lake.report_days) * objects_day * days,
        ),
        part("Lambda: reactions, 5 s each", lambda(objects_day * days, 5.0)),
        part("Lambda: transformation, 0.2 s a MB", lambda(bytes / 1e6 * days, 0.2)),
        part("CloudWatch: 6 alarms", 6.0 * ALARM_USD),
    ]
}

/// The bills beside each other, as a table of Markdown.
#[must_use]
pub fn table(uses: &[Use]) -> String {
    let bills: Vec<Vec<Part>> = uses.iter().map(month).collect();
    let mut out = "| US dollars a month".to_owned();
    out.extend(uses.iter().map(|lake| format!(" | {} GiB a day", lake.gib_a_day)));
    out.push_str(" |\n|---");
    out.extend(uses.iter().map(|_| "|---:"));
    out.push_str("|\n");
    let mut line = |what: &str, values: Vec<f64>| {
        let cells: Vec<String> = values.into_iter().map(|usd| format!(" | {usd:.2}")).collect();
        out.push_str(&format!("| {what}{} |\n", cells.concat()));
    };
    for (row, part) in bills.first().into_iter().flatten().enumerate() {
        line(part.what, bills.iter().map(|bill| bill[row].usd).collect());
    }
    let sum = |bill: &Vec<Part>| bill.iter().filter(|part| !part.instead).map(|part| part.usd).sum();
    line("**all**", bills.iter().map(sum).collect());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Use = Use {
        gib_a_day: 1.0,
        line: 300.0,
        gzip: 8.0,
        interval: 300.0,
        days: 365.0,
        queries: 24.0,
        reaction_days: 1.0,
        report_days: 0.0,
        report: 10_000.0,
    };

    fn of(lake: Use, what: &str) -> f64 {
        month(&lake).into_iter().find(|part| part.what.starts_with(what)).unwrap().usd
    }

    #[test]
    fn the_parts_are_what_pencil_and_paper_say() {
        let close = |one: f64, other: f64| (one - other).abs() < 0.005;
        // 30.42 GiB at $0.029; a line of 300 bytes is billed as 5,120.
        assert!(close(of(ONE, "Firehose"), 0.88) && close(of(ONE, "instead"), 15.05));
        // 0.125 GiB a day: 3.75 GiB at $0.023 and 41.875 GiB at $0.0125.
        assert!(close(of(ONE, "S3: a year"), 0.61));
        // 288 objects a day, 8,760 a month, at $0.015 a thousand.
        assert!(close(of(ONE, "S3: requests"), 0.13));
        // 134 MB a query and 288 requests, 730 times.
        assert!(close(of(ONE, "Athena"), 0.57));
        assert!(of(Use { reaction_days: 30.0, ..ONE }, "a report") > 29.0 * of(ONE, "a report"));
        assert!(close(of(ONE, "Lambda: reactions"), 0.37));
    }

    /// Few large objects cost less than many small ones, and never nothing.
    #[test]
    fn longer_intervals_make_fewer_objects_until_they_are_full() {
        let requests = |gib, interval| of(Use { gib_a_day: gib, interval, ..ONE }, "S3: requests");
        assert!((requests(1.0, 300.0) / requests(1.0, 900.0) - 3.0).abs() < 1e-9);
        assert!((requests(100.0, 300.0) / requests(100.0, 900.0) - 1.0).abs() < 1e-9);
    }
}
