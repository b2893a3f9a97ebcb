//! How far each flow is behind, against how long rotation keeps what it has not read.
//! Promises to look at names and stamps alone. Leaves positions to the checkpoint, and the estimate to `status`.

use super::Line;
use crate::config::Plan;
use crate::saved::Remembered;
use crate::source::file::survey::Survey;
use crate::status::rotation::{Loss, Rotated};
use crate::status::stopped;
use crate::telemetry::{bytes_in_words, duration_in_words};
use std::time::Duration;

/// A line for each flow that reads files; `found` is what its patterns match, `now` is in milliseconds since 1970.
pub(super) fn look(plan: &Plan, found: &[Survey], remembered: Option<&Remembered>, now: u64) -> Vec<Line> {
    let seen = remembered.map_or_else(Vec::new, |known| stopped::look(plan, known));
    let status = stopped::status(plan, remembered, &seen);
    let mut lines = Vec::new();
    for ((planned, flow), found) in plan.flows.iter().zip(&status.flows).zip(found) {
        if planned.mqtt.is_some() {
            continue;
        }
        let name = &planned.name;
        let oldest = flow.oldest.as_ref().filter(|_| flow.behind_bytes > 0);
        let live = match (oldest, &found.newest) {
            (Some(oldest), _) => &oldest.home.0,
            (None, Some((newest, _))) => newest,
            (None, None) => {
                lines.push(Line::skipped("retention", format!("flow {name} has no file")));
                continue;
            }
        };
        let rotated = Rotated::of(live, &planned.source.rotated_to);
        let Loss::In(kept) = rotated.loss(0, now) else {
            let behind = bytes_in_words(flow.behind_bytes);
            let message = format!(
                "flow {name} is {behind} behind; how long rotation keeps files is unknown until two were rotated"
            );
            lines.push(Line::skipped("retention", message));
            continue;
        };
        let left = match oldest.map(|oldest| rotated.loss(if oldest.rotated { oldest.changed_at } else { 0 }, now)) {
            Some(Loss::In(left)) => left,
            _ => kept,
        };
        lines.push(judged(name, flow.behind_bytes, kept, left));
    }
    lines
}

fn judged(flow: &str, behind: u64, kept: Duration, left: Duration) -> Line {
    let words = |time: Duration| duration_in_words(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let message = format!(
        "flow {flow} is {} behind, and rotation keeps about {}; what waits longest is deleted in about {}",
        bytes_in_words(behind),
        words(kept),
        words(left)
    );
    match behind {
        0 => Line::ok("retention", format!("flow {flow}: nothing waits, and rotation keeps about {}", words(kept))),
        // Half of the time is gone.
        _ if left < kept / 2 => Line::warning(
            "retention",
            message,
            "keep rotated files longer, and see `datalake-agent status` for what holds it up",
        ),
        _ => Line::ok("retention", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Outcome;

    #[test]
    fn half_of_the_time_is_warned_of() {
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        for (behind, kept, left, outcome) in [
            (0, 10, 10, Outcome::Ok),
            (0, 10, 0, Outcome::Ok),
            (5, 10, 9, Outcome::Ok),
            (5, 10, 5, Outcome::Ok),
            (5, 10, 4, Outcome::Warning),
            (5, 10, 0, Outcome::Warning),
        ] {
            let line = judged("app", behind, hours(kept), hours(left));
            assert_eq!(line.outcome, outcome, "{line:?}");
        }
    }
}
