//! `datalake cost`: what a lake costs in a month, before there is one.
//! Promises to say what is assumed.
//! Leaves the sums to `cost`.

use super::{print, say};
use crate::Exit;
use crate::cost::{self, Use};
use clap::Args;
use datalake_base::prices::{AS_OF, REGION};

#[derive(Debug, Args)]
pub(super) struct Cost {
    /// GiB a day, before compression.
    #[arg(default_values_t = [1.0, 10.0, 100.0], value_name = "GIB")]
    gib: Vec<f64>,
    /// Bytes of a line.
    #[arg(long, default_value_t = 300.0, value_name = "BYTES")]
    line: f64,
    /// How many times smaller gzip makes lines.
    #[arg(long, default_value_t = 8.0, value_name = "TIMES")]
    gzip: f64,
    /// Seconds until Firehose closes an object.
    #[arg(long, default_value_t = 300.0, value_name = "SECONDS")]
    interval: f64,
    /// Days that are kept.
    #[arg(long, default_value_t = 365.0)]
    days: f64,
    /// Queries a day that scan one day.
    #[arg(long, default_value_t = 24.0)]
    queries: f64,
    /// Hours of rows that the query of a reaction scans, for each object.
    #[arg(long, default_value_t = 1.0, value_name = "HOURS")]
    reaction_hours: f64,
    /// Days of its own earlier results that it reads too.
    #[arg(long, default_value_t = 7.0, value_name = "DAYS")]
    report_days: f64,
    /// Bytes of one of these, compressed; about ten for each device.
    #[arg(long, default_value_t = 10_000.0, value_name = "BYTES")]
    report: f64,
}

pub(super) fn run(command: &Cost) -> Result<(), Exit> {
    let Cost { line, gzip, interval, days, queries, reaction_hours, report_days, report, .. } = *command;
    let positive = [line, gzip, interval].iter().all(|number| number.is_finite() && *number > 0.0);
    let not_negative = [days, queries, reaction_hours, report_days, report]
        .iter()
        .chain(&command.gib)
        .all(|number| number.is_finite() && *number >= 0.0);
    if !positive || !not_negative {
        return Err(Exit::Failed("amounts are not negative, and --line, --gzip and --interval are above 0".to_owned()));
    }
    let reaction_days = reaction_hours / 24.0;
    let one =
        |gib: &f64| Use { gib_a_day: *gib, line, gzip, interval, days, queries, reaction_days, report_days, report };
    print(cost::table(&command.gib.iter().map(one).collect::<Vec<_>>()).as_bytes())?;
    say(&format!(
        "list prices of {REGION} as of {AS_OF}, without free tiers; one stream, lines of {line} bytes, gzip {gzip} times smaller"
    ));
    Ok(())
}
