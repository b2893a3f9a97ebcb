//! `datalake-agent tap`: what a flow sends now, line by line.
//! Promises an end at the asked number of records, at Ctrl-C and when the agent stops, and lines that are safe to print.
//! Leaves copying calls to the agent, which never waits for a watcher.

use super::output::Output;
use super::reach::{self, Failed};
use crate::config::Plan;
use crate::exit::Exit;
use crate::local::{Call, Question};
use crate::tap::records::records;
use datalake_base::shown::shown;
use datalake_base::units::counted;
use std::io::Write;
use std::path::Path;

/// A line is shown up to this length.
const LONGEST_SHOWN: usize = 4_000;

/// Shows it.
#[must_use]
pub fn tap(config: &Path, flow: &str, most: Option<u64>) -> Exit {
    let mut out = Output::stdout();
    match reach::plan(config).and_then(|plan| show(&plan, flow, most, &mut out)) {
        Ok(exit) => out.finish(exit),
        Err(failed) => {
            super::complain(&failed.text);
            out.finish(failed.exit)
        }
    }
}

fn show(plan: &Plan, flow: &str, most: Option<u64>, out: &mut dyn Write) -> Result<Exit, Failed> {
    if plan.flows.iter().all(|known| known.name != flow) {
        return Err(Failed::new(Exit::Usage, format_args!("there is no flow `{}`", shown(flow))));
    }
    let question = Question::Tap { flow: flow.to_owned() };
    let Some(mut answers) = reach::ask(&plan.state_directory, &question)? else {
        return Err(Failed::new(Exit::NotRunning, "no agent runs, so nothing is sent"));
    };
    answers.wait_for_ever().map_err(|error| reach::broken(&error))?;
    let mut left = most.unwrap_or(u64::MAX);
    // The first line says that it begins.
    let _begun: Option<Call> = answers.line().map_err(|error| reach::broken(&error))?;
    while let Some(call) = answers.line::<Call>().map_err(|error| reach::broken(&error))? {
        let (text, shown) = lines(&call, left);
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            // Nobody reads any more.
            return Ok(Exit::Success);
        }
        left = left.saturating_sub(shown);
        if left == 0 {
            return Ok(Exit::Success);
        }
    }
    Ok(Exit::Success)
}

/// The records of a call, at most `most` of them, each line escaped; and their number.
fn lines(call: &Call, most: u64) -> (String, u64) {
    let mut text = String::new();
    if call.missed > 0 {
        text.push_str(&format!("! not shown: {}\n", counted(call.missed, "call")));
    }
    let records = records(&call.body.0);
    let (all, mut shown_now) = (records.len(), 0);
    for record in records {
        if shown_now == most {
            return (text, shown_now);
        }
        shown_now += 1;
        let bytes = record.bytes.strip_suffix(b"\n").unwrap_or(&record.bytes);
        for line in bytes.split(|byte| *byte == b'\n') {
            let more = if line.len() > LONGEST_SHOWN { "…" } else { "" };
            text.push_str(&format!("{}{more}\n", shown(line).cut(LONGEST_SHOWN)));
        }
        if record.cut {
            text.push_str("! more of this record was not shown\n");
        }
    }
    if call.cut {
        let more = call.records.saturating_sub(all);
        text.push_str(&format!("! more of this call was not shown ({} or more)\n", counted(more, "record")));
    }
    (text, shown_now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_escaped_and_what_is_missing_is_said() {
        let data = base64_simd::STANDARD.encode_to_string(b"one\x1b[2J\n\xff two\n");
        let body = format!("{{\"Records\":[{{\"Data\":\"{data}\"}},{{\"Data\":\"{data}\"}}]}}");
        let call = Call { body: crate::local::Bytes(body.into_bytes()), records: 5, cut: true, missed: 3 };
        let (text, count) = lines(&call, 1);
        assert_eq!((text.as_str(), count), ("! not shown: 3 calls\none\\x1b[2J\n\\xff two\n", 1));
        let (text, count) = lines(&call, 10);
        assert_eq!(count, 2);
        assert!(text.ends_with("! more of this call was not shown (3 records or more)\n"), "{text}");
    }
}
