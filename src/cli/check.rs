//! `datalake-agent check`: says whether a configuration can run, and what it would do.
//! Promises to touch nothing but the files it reads, and to say the same as a start would.
//! Leaves the judgement to `config` and, of certificates, to the delivery.

use crate::app;
use crate::config::{self, FlowPlan, Plan};
use crate::exit::Exit;
use datalake_base::shown::shown;
use datalake_base::units::ByteSize;
use datalake_core::batch::{Compression, Form};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

/// Judges the file and its fragments, and writes the verdict. A reader that hangs up does not change it.
#[must_use]
pub fn check(path: &Path, out: &mut dyn Write) -> Exit {
    let (text, exit) = match config::load(path) {
        Ok(plan) => match app::prove_certificates(&plan.session) {
            Ok(()) => (format!("{}{}", plan.warnings, describe(&plan)), Exit::Success),
            Err(error) => (format!("{}error: {error}\n", plan.warnings), Exit::Configuration),
        },
        Err(report) => (report.to_string(), Exit::Configuration),
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
    exit
}

/// What the agent would do, in a few lines.
fn describe(plan: &Plan) -> String {
    let count = plan.flows.len();
    let mut text = format!("configuration is good: {count} flow{}\n\n", if count == 1 { "" } else { "s" });
    let most: u64 = plan.flows.iter().map(|flow| flow.most_memory().as_u64()).sum();
    let rows = [
        ("state", shown(&plan.state_directory).to_string()),
        ("endpoint", endpoints(plan)),
        ("region", plan.session.region.clone().unwrap_or_else(|| "from the environment".to_owned())),
        ("memory", memory(most, plan.max_memory)),
    ];
    for (name, value) in rows {
        push(&mut text, format_args!("  {name:9} {value}\n"));
    }
    for flow in &plan.flows {
        push(&mut text, format_args!("\n  {}\n", flow.name));
        for (name, value) in describe_flow(flow) {
            push(&mut text, format_args!("    {name:9} {value}\n"));
        }
    }
    text
}

/// Where the calls go, of each service that is used.
fn endpoints(plan: &Plan) -> String {
    let own = || "the region's own".to_owned();
    let is_to_firehose = |flow: &FlowPlan| matches!(flow.batch.form, Form::Firehose);
    let firehose = plan.flows.iter().any(is_to_firehose);
    let kinesis = !plan.flows.iter().all(is_to_firehose);
    let of = |endpoint: &Option<String>| endpoint.clone().unwrap_or_else(own);
    match (firehose, kinesis) {
        (true, true) => {
            format!("{}; for Kinesis, {}", of(&plan.session.firehose_endpoint), of(&plan.session.kinesis_endpoint))
        }
        (false, true) => of(&plan.session.kinesis_endpoint),
        _ => of(&plan.session.firehose_endpoint),
    }
}

/// Writing to a text cannot fail.
fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).ok();
}

fn memory(most: u64, budget: ByteSize) -> String {
    let mib = ByteSize::mib(most.div_ceil(1 << 20));
    if most <= budget.as_u64() {
        format!("{mib} when every flow is busy, of {budget}")
    } else {
        format!("{budget}, shared; with {mib} every flow could be busy at once")
    }
}

fn describe_flow(flow: &FlowPlan) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let patterns = |patterns: &[crate::source::file::discover::Pattern]| {
        patterns.iter().map(|pattern| pattern.as_str().escape_debug().to_string()).collect::<Vec<_>>().join(", ")
    };
    match &flow.mqtt {
        None => rows.push(("files", patterns(&flow.source.include))),
        Some(mqtt) => {
            let topics: Vec<&str> = mqtt.topics.iter().map(|topic| topic.written.as_str()).collect();
            rows.push(("messages", format!("{} of {}", topics.join(", ").escape_debug(), mqtt.broker)));
            rows.push((
                "session",
                format!("{} over {} connection(s)", mqtt.client_id.escape_debug(), mqtt.connections),
            ));
            rows.push((
                "spool",
                format!("up to {}, synced within {} ms", mqtt.max_spool, mqtt.sync_interval.as_millis()),
            ));
        }
    }
    if !flow.source.exclude.is_empty() {
        rows.push(("but not", patterns(&flow.source.exclude)));
    }
    let (service, kpl, ordered) = match &flow.batch.form {
        Form::Firehose => ("", false, false),
        Form::Kinesis(settings) => (" (Kinesis Data Streams)", settings.kpl, settings.ordered),
    };
    rows.push(("stream", format!("{}{service}", flow.batch.stream)));
    let packing = match flow.batch.aggregated_record_bytes {
        Some(bytes) if kpl => {
            format!("lines packed into records of up to {bytes} bytes in the form of the Kinesis Producer Library")
        }
        Some(bytes) => format!("lines packed into records of up to {bytes} bytes"),
        None => "each line a record".to_owned(),
    };
    let compression = match flow.batch.compression {
        Compression::None => String::new(),
        Compression::Gzip { level } => format!(", gzip level {level}"),
    };
    if !flow.process.is_empty() {
        rows.push(("options", flow.process.names().collect::<Vec<_>>().join(", ")));
        let variables: Vec<&str> = flow.process.variables().collect();
        if !variables.is_empty() {
            rows.push(("reads", format!("{} from the environment of the agent", variables.join(", "))));
        }
    }
    let order = if ordered { "; in order within each partition key" } else { "" };
    rows.push(("records", packing + &compression + order));
    let batch = &flow.batch;
    rows.push((
        "calls",
        format!(
            "after {} ms, {} bytes or {} records; {} at a time",
            batch.max_age.as_millis(),
            batch.max_bytes,
            batch.max_records,
            flow.max_concurrent_requests
        ),
    ));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (Exit, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.json");
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let exit = check(&path, &mut out);
        (exit, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_good_file_is_described() {
        let (exit, out) =
            checked(r#"{"flows": [{"filePattern": "/a/*.log", "deliveryStream": "raw", "compression": "gzip"}]}"#);
        assert_eq!(exit, Exit::Success);
        for words in ["configuration is good: 1 flow\n", "/a/*.log", "gzip level 1", "/var/lib/datalake-agent"] {
            assert!(out.contains(words), "{words} is missing in {out}");
        }
    }

    #[test]
    fn options_are_named_in_their_order() {
        let (exit, out) = checked(
            r#"{"flows": [{"filePattern": "/a", "deliveryStream": "raw", "dataProcessingOptions": [
                {"optionName": "SINGLELINE"}, {"optionName": "ADDMETADATA", "metadata": "${env:STAGE}"}]}]}"#,
        );
        assert_eq!(exit, Exit::Success);
        assert!(out.contains("options   SINGLELINE, ADDMETADATA\n"), "{out}");
        assert!(out.contains("reads     STAGE from the environment of the agent\n"), "{out}");
    }

    #[test]
    fn warnings_are_shown_and_do_not_fail() {
        let (exit, out) =
            checked(r#"{"maxSendingThreads": 5, "flows": [{"filePattern": "/a", "deliveryStream": "raw"}]}"#);
        assert_eq!(exit, Exit::Success);
        assert!(out.contains("warning[no-effect]") && out.contains("configuration is good"), "{out}");
    }

    #[test]
    fn a_faulty_file_is_told_with_line_and_column() {
        let (exit, out) = checked("{\n  \"flow\": []\n}");
        assert_eq!(exit, Exit::Configuration);
        assert!(out.contains("agent.json:2:3") && out.contains("did you mean `flows`?"), "{out}");
    }

    #[test]
    fn a_reader_that_hangs_up_does_not_change_the_verdict() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(check(Path::new("/nonexistent/agent.json"), &mut Gone), Exit::Configuration);
    }
}
