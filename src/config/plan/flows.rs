//! The flows of all files, one by one and against each other.
//! Promises that every flow it returns can run, and that a faulty one is judged to its end.
//! Leaves what all flows share to `plan`.

/// The `mqtt` object of a flow.
mod mqtt;
/// What is done with each record.
mod processing;

use super::kinesis;
use super::{FlowPlan, access};
use crate::config::fingerprint::Reading;
use crate::config::keys::{self, WrittenCompression, WrittenFlow};
use crate::config::report::{At, Kind, Placed, Report, printable, quoted};
use crate::config::section::{Object, subject};
use crate::config::values;
use crate::config::ways::Form;
use crate::source::file::FollowLinks;
use crate::source::file::discover::{Pattern, PatternError};
use crate::{deliver, source};
use datalake_base::record::SettledFiles;
use datalake_base::units::ByteSize;
use datalake_core::batch::{self, Compression, firehose};
use datalake_core::framing;
use datalake_process::OnFailure;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The bytes of a batch where nothing else is written, or the largest record if that is more. Larger calls cost nothing
/// less (records are billed, not calls), and a busy flow holds two of them in their wire form.
const USUAL_BYTES: usize = 2 << 20;

/// What is written to a log may wait for more for this part of the time that a record waits in a batch anyway, within these
/// bounds.
const PART_OF_AGE: u32 = 20;
const SHORTEST_PATIENCE: Duration = Duration::from_millis(1);
const LONGEST_PATIENCE: Duration = Duration::from_millis(50);

/// A terminator is a line end, not a text.
const LONGEST_TERMINATOR: usize = 1024;
/// A byte and a newline.
const SMALLEST_LINE: usize = 2;
/// Of a flow or a delivery stream (API reference of Firehose), in bytes.
const LONGEST_NAME: usize = 64;
/// Of a stream of Kinesis Data Streams (API reference), in bytes.
const LONGEST_KINESIS_NAME: usize = 128;
/// Below this a gzip member is mostly header.
const SMALLEST_GZIP_BUFFER: usize = 1024;

/// All flows of all files; a faulty one is left out, and the report says why.
pub(in crate::config) fn prove_flows(written: &[WrittenFlow], report: &mut Report) -> Vec<FlowPlan> {
    refuse_twins(written, report);
    let names = names(written, report);
    let mut flows = Vec::new();
    for (flow, names) in written.iter().zip(names) {
        let name = names.first().cloned().unwrap_or_default();
        if let Some(proven) = prove_flow(flow, written, name, report) {
            flows.extend(share_out(proven, names, flow));
        }
    }
    refuse_same_clients(&flows, written, report);
    flows
}

/// A broker throws out the one when the other comes.
fn refuse_same_clients(flows: &[FlowPlan], written: &[WrittenFlow], report: &mut Report) {
    let mut seen = HashSet::new();
    for mqtt in flows.iter().filter_map(|flow| flow.mqtt.as_ref()) {
        // Further connections have names of their own, which may be another flow's.
        let taken = (0..mqtt.connections).filter(|number| !seen.insert((&mqtt.broker, mqtt.client_id_of(*number))));
        if taken.count() == 0 {
            continue;
        }
        let given = written.iter().filter_map(|flow| flow.mqtt.as_ref()?.client_id.as_ref());
        if let Some(given) = given.rev().find(|given| given.value == mqtt.client_id) {
            let message = format!("`{}` is {}, as that of another flow", given.at.path, quoted(&given.value));
            report.add(Kind::DuplicateFlow, &given.at, message, "give each flow another, or leave it out");
        }
    }
}

/// The same files to the same stream twice would send every line twice.
fn refuse_twins(written: &[WrittenFlow], report: &mut Report) {
    let mut seen: HashMap<(bool, &str, String, &str), &At> = HashMap::new();
    for flow in written {
        let each = |stream| flow.file_pattern.iter().map(move |pattern| (stream, pattern));
        for (stream, pattern) in flow.streams().flat_map(each) {
            let key = (flow.is_to_kinesis(), stream.value.as_str(), whereabouts(flow), pattern.value.as_str());
            match seen.get(&key) {
                None => {
                    seen.insert(key, &pattern.at);
                }
                // A stream that is named twice in one list is a fault of the list.
                Some(first) if first.place == pattern.at.place => {}
                Some(first) => {
                    let (path, found, stream) = (&pattern.at.path, quoted(&pattern.value), quoted(&stream.value));
                    let message = format!("`{path}` sends {found} to {stream} a second time");
                    let help = format!("remove it; the first is `{}` at {}", first.path, report.spot(first.place));
                    report.add(Kind::DuplicateFlow, &pattern.at, message, help);
                }
            }
        }
    }
}

/// A flow to several streams is a flow to each, for its share of the files. They have their positions in common.
fn share_out(flow: FlowPlan, names: Vec<String>, written: &WrittenFlow) -> Vec<FlowPlan> {
    let streams: Vec<String> = written.streams().map(|stream| stream.value.clone()).collect();
    if streams.len() < 2 {
        return vec![flow];
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let shares = source::file::Share::each(&streams, &host).zip(&streams).zip(names);
    let to_one = |((share, stream), name): ((source::file::Share, &String), String)| {
        let mut flow = FlowPlan { name, ..flow.clone() };
        Arc::make_mut(&mut flow.batch).stream.clone_from(stream);
        for pattern in &mut Arc::make_mut(&mut flow.source).include {
            *pattern = pattern.clone().sharing(share.clone());
        }
        flow
    };
    shares.map(to_one).collect()
}

/// One name for each stream of each flow: its own, or its stream's with the first number that is free.
fn names(written: &[WrittenFlow], report: &mut Report) -> Vec<Vec<String>> {
    let mut taken: HashSet<String> = HashSet::new();
    for name in written.iter().filter_map(|flow| flow.name.as_ref()) {
        prove_name(name, LONGEST_NAME, report);
        if !taken.insert(name.value.clone()) {
            let message = format!("`{}` is {}, as that of another flow", name.at.path, quoted(&name.value));
            report.add(Kind::DuplicateFlow, &name.at, message, "give each flow another name, or none");
        }
    }
    let mut last: HashMap<&str, usize> = HashMap::new();
    let mut free = |base: &'_ str, last: &mut usize| loop {
        *last += 1;
        let name = if *last == 1 { base.to_owned() } else { format!("{base}-{last}") };
        if taken.insert(name.clone()) {
            break name;
        }
    };
    let mut names = Vec::with_capacity(written.len());
    for flow in written {
        names.push(match &flow.name {
            Some(name) => {
                let mut number = 1;
                let further = flow.streams().skip(1).map(|_| free(&name.value, &mut number));
                std::iter::once(name.value.clone()).chain(further).collect()
            }
            None => flow.streams().map(|stream| free(&stream.value, last.entry(&stream.value).or_default())).collect(),
        });
    }
    names
}

/// Absolute folders.
fn folders(written: &[Placed<String>], report: &mut Report) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for folder in written {
        if Path::new(&folder.value).is_absolute() {
            folders.push(folder.value.trim_end_matches('/').into());
        } else {
            let message = format!("`{}` is {}, which is no absolute path", folder.at.path, quoted(&folder.value));
            let help = "write the whole path of the folder, such as \"/var/log/rotated\"";
            report.add(Kind::BadPath, &folder.at, message, help);
        }
    }
    folders
}

fn prove_name(name: &Placed<String>, longest: usize, report: &mut Report) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let good = (1..=longest).contains(&name.value.len()) && name.value.bytes().all(plain);
    if !good {
        let help = match name.value.rsplit_once('/') {
            Some((arn, stream)) if arn.starts_with("arn:") => {
                format!("write the name alone, not the ARN: {}", quoted(stream))
            }
            _ => format!("use 1 to {longest} of the characters a-z A-Z 0-9 _ . -"),
        };
        let message = format!("`{}` is {}, which is no name", name.at.path, quoted(&name.value));
        report.add(Kind::BadName, &name.at, message, help);
    }
    good
}

fn prove_flow(written: &WrittenFlow, all: &[WrittenFlow], name: String, report: &mut Report) -> Option<FlowPlan> {
    use source::file::InitialPosition::{EndOfFile, StartOfFile};
    source_is_one(written, report);
    let include = patterns(&written.file_pattern, report);
    let exclude = patterns(&written.exclude, report);
    let rotated_to = folders(&written.rotated_to, report);
    let batch = prove_batch(written, report);
    // A batch too small for any line was reported; the rest of the flow is judged as if it were not.
    let framing = prove_framing(written, batch.longest_line().max(SMALLEST_LINE), report);
    let on_failure = OnFailure::from_word(written.on_failure).unwrap_or_default();
    let longest_line = framing.longest_whole_line();
    let mqtt = written.mqtt.as_ref();
    let reading = Reading::of(report.text_from(written.opened.at.place));
    let process = processing::prove(written, on_failure, batch.longest_line(), &reading, report);
    let mqtt = mqtt.map(|mqtt| mqtt::prove(mqtt, &name, on_failure, longest_line, &process, report));
    if mqtt.is_some() {
        let of_files = [
            &keys::EXCLUDE,
            &keys::INITIAL_POSITION,
            &keys::ROTATED_TO,
            &keys::FOLLOW_LINKS,
            &keys::MAX_ARCHIVE_MEMORY,
            &keys::MAX_ARCHIVE_OUTPUT,
            &keys::SKIP_HEADER_LINES,
            &keys::MULTI_LINE_START,
        ];
        for at in of_files.into_iter().filter_map(|key| written.key_at(key)) {
            let message = format!("`{}` has no effect on messages; it is about files", at.path);
            report.add(Kind::NoEffect, at, message, "remove it");
        }
    }
    let stream = prove_stream(written, report)?;
    let service = if written.is_to_kinesis() { "kinesis" } else { "firehose" };
    let from_start = written.initial_position == "START_OF_FILE" || mqtt.is_some();
    let region = written.region.as_ref().and_then(|region| access::prove_region(region, report));
    let role = access::prove_role(written.role.as_ref(), written.external_id.as_ref(), report);
    Some(FlowPlan {
        name,
        fingerprint: reading.fingerprint(),
        source: Arc::new(source::file::Settings {
            stream: format!("{service}:{}{}", stream.value, elsewhere(written, all)),
            include,
            exclude,
            initial_position: if from_start { StartOfFile } else { EndOfFile },
            rotated_to,
            follow_links: if written.follow_links == "all" { FollowLinks::All } else { FollowLinks::Owned },
            archives: datalake_archive::Limits {
                memory: written.max_archive_memory,
                grace: written.max_archive_output,
                ..datalake_archive::Limits::default()
            },
            owned: mqtt.is_some().then(SettledFiles::default),
            skips_header: written.skip_header_lines > 0,
            own: source::file::OwnFiles::default(),
            patience: (batch.max_age / PART_OF_AGE).clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE),
        }),
        mqtt: match mqtt {
            None => None,
            // What is wrong was reported.
            Some(None) => return None,
            Some(Some(proven)) => Some(Box::new(proven)),
        },
        framing,
        process,
        batch: batch.into(),
        pace: deliver::pace::Settings {
            max_bytes_per_second: given(&written.max_bytes_per_second),
            max_records_per_second: given(&written.max_records_per_second),
            max_requests_per_second: given(&written.max_requests_per_second),
        },
        max_concurrent_requests: usize::try_from(written.max_concurrent_requests.value).unwrap_or(1),
        region,
        role,
    })
}

fn given(limit: &Option<Placed<u64>>) -> Option<u64> {
    limit.as_ref().map(|limit| limit.value)
}

/// A flow reads files or receives topics.
fn source_is_one(written: &WrittenFlow, report: &mut Report) {
    match (written.key_at(&keys::FILE_PATTERN), written.key_at(&keys::MQTT)) {
        (None, None) => {
            let message = format!("{} has neither `filePattern` nor `mqtt`", subject(&written.opened.at.path));
            let help = format!("add \"filePattern\": {}", keys::FILE_PATTERN.meaning);
            report.add(Kind::Missing, &written.opened.at, message, help);
        }
        (Some(_), Some(at)) => {
            let message = format!("`{}` stands beside `filePattern`; a flow has one source", at.path);
            report.add(Kind::Conflict, at, message, "make two flows of it: both may feed the same stream");
        }
        _ => {}
    }
}

/// `"none"`, `"gzip"` or an object with a type and a level.
fn prove_compression(written: &WrittenFlow, report: &mut Report) -> Compression {
    let gzip = |level: u64| Compression::Gzip { level: u8::try_from(level).unwrap_or(1) };
    match &written.compression {
        None => Compression::None,
        Some(Placed { value: Form::Text(value), at }) => {
            match values::choice(value, at, &keys::COMPRESSION_TYPE, report) {
                Some("gzip") => gzip(1),
                _ => Compression::None,
            }
        }
        Some(Placed { value: Form::Object(object), .. }) => {
            let WrittenCompression { kind, level, .. } = object;
            if *kind != "gzip" && object.key_at(&keys::COMPRESSION_LEVEL).is_some() {
                let message = format!("`{}` has no effect without compression", level.at.path);
                report.add(Kind::NoEffect, &level.at, message, "remove it, or set \"type\": \"gzip\"");
            }
            if *kind == "gzip" { gzip(level.value) } else { Compression::None }
        }
    }
}

/// What is added to a stream's name where another flow has one of the same name elsewhere: positions belong to one.
fn elsewhere(written: &WrittenFlow, all: &[WrittenFlow]) -> String {
    fn name(flow: &WrittenFlow) -> Option<(bool, &str)> {
        flow.stream().map(|stream| (flow.is_to_kinesis(), stream.value.as_str()))
    }
    let same = |other: &&WrittenFlow| name(other) == name(written) && whereabouts(other) != whereabouts(written);
    if all.iter().any(|other| same(&other)) { whereabouts(written) } else { String::new() }
}

/// Region and role of a flow, where it has its own.
fn whereabouts(written: &WrittenFlow) -> String {
    let given = [&written.region, &written.role].into_iter().flatten();
    given.map(|given| format!("@{}", given.value)).collect()
}

/// Either kind of stream, and not both.
fn prove_stream<'a>(written: &'a WrittenFlow, report: &mut Report) -> Option<&'a Placed<String>> {
    let keys = [&keys::DELIVERY_STREAM, &keys::DELIVERY_STREAMS, &keys::KINESIS_STREAM];
    let given: Vec<_> = keys.into_iter().filter_map(|key| Some((key.name, written.key_at(key)?))).collect();
    if let [(first, _), .., (_, at)] = given.as_slice() {
        let message = format!("`{}` stands beside `{first}`", at.path);
        report.add(Kind::Conflict, at, message, "keep one of the two; two streams are two flows");
    }
    prove_list(written, report);
    let Some(stream) = written.stream() else {
        if !given.is_empty() {
            return None;
        }
        let message = format!("{} has no `deliveryStream`", subject(&written.opened.at.path));
        let help = "add \"deliveryStream\" with the name of a Firehose delivery stream, or \"kinesisStream\"";
        report.add(Kind::Missing, &written.opened.at, message, help);
        return None;
    };
    let longest = if written.is_to_kinesis() { LONGEST_KINESIS_NAME } else { LONGEST_NAME };
    let mut good = true;
    for stream in written.streams() {
        good &= prove_name(stream, longest, report);
    }
    good.then_some(stream)
}

/// What only a list of streams can have wrong.
fn prove_list(written: &WrittenFlow, report: &mut Report) {
    let mut seen = HashSet::new();
    for stream in &written.delivery_streams {
        if !seen.insert(&stream.value) {
            let message = format!("`{}` is {} a second time", stream.at.path, quoted(&stream.value));
            report.add(Kind::DuplicateFlow, &stream.at, message, "name each stream once; files are shared out evenly");
        }
    }
    if let (Some(at), Some(_)) = (written.key_at(&keys::DELIVERY_STREAMS), &written.mqtt) {
        let message = format!("`{}` shares out files, and this flow receives messages", at.path);
        let help = "make a flow for each stream, with a shared subscription: \"$share/GROUP/FILTER\"";
        report.add(Kind::Conflict, at, message, help);
    }
}

fn prove_batch(written: &WrittenFlow, report: &mut Report) -> batch::Settings {
    let compression = prove_compression(written, report);
    let (form, usual) = kinesis::prove_form(written, compression, report);
    let mut at_most = |given: &Option<Placed<u64>>, most: usize| {
        let given = given.as_ref()?;
        if size(given) > most {
            let (size, most, service) =
                (values::with_unit(given.value), values::with_unit(most as u64), kinesis::service(&form));
            let message = format!("`{}` is {size}; for {service} it can be at most {most}", given.at.path);
            report.add(Kind::OutOfRange, &given.at, message, format!("write at most {most}, or leave the key out"));
        }
        Some(size(given).min(most))
    };
    // A quota in MiB is taken as written; the calls may keep a little below it.
    let quota = form.call_bytes().next_multiple_of(1 << 20);
    let usual_bytes = USUAL_BYTES.max(form.record_bytes()).min(quota);
    let max_bytes = at_most(&written.max_buffer_size, quota).unwrap_or(usual_bytes).min(form.call_bytes());
    let aggregated = at_most(&written.aggregated_size, form.record_bytes());
    let aggregated = if usual == 0 { 0 } else { aggregated.unwrap_or(usual).min(max_bytes) };
    if let (0, Some(lines)) = (aggregated, &written.max_lines_per_record) {
        let message = format!("`{}` has no effect when each line is a record", lines.at.path);
        report.add(Kind::NoEffect, &lines.at, message, "remove it, or give `aggregatedRecordSizeBytes` more than 0");
    }
    let settings = batch::Settings {
        stream: written.stream().map_or_else(String::new, |stream| stream.value.clone()),
        max_age: Duration::from_millis(written.max_buffer_age_millis),
        max_bytes,
        max_records: usize::try_from(written.max_buffer_records).unwrap_or(firehose::CALL_RECORDS),
        aggregated_record_bytes: (aggregated > 0).then_some(aggregated),
        max_lines_per_record: written.max_lines_per_record.as_ref().map(|lines| saturate(lines.value)),
        compression,
        form,
    };
    let at = written.max_buffer_size.as_ref().map_or(&written.opened.at, |given| &given.at);
    let smallest = match compression {
        Compression::None => SMALLEST_LINE + settings.form.frame(),
        Compression::Gzip { .. } => SMALLEST_GZIP_BUFFER,
    };
    if max_bytes < smallest || settings.longest_line() < SMALLEST_LINE {
        let gzip = if compression == Compression::None { "" } else { " when it is compressed" };
        let message = format!("`{}` is {max_bytes}, in which no line fits{gzip}", at.path);
        report.add(
            Kind::Conflict,
            at,
            message,
            format!("write at least {smallest}, or leave the key out for the most"),
        );
    }
    settings
}

/// The key tables keep numbers within 32 bits where a setting has only those.
fn saturate(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn size(given: &Placed<u64>) -> usize {
    ByteSize::bytes(given.value).as_usize()
}

fn patterns(written: &[Placed<String>], report: &mut Report) -> Vec<Pattern> {
    let mut patterns = Vec::with_capacity(written.len());
    for given in written {
        let path = &given.at.path;
        if given.value.contains('\0') {
            report.add(
                Kind::BadPath,
                &given.at,
                format!("`{path}` holds a NUL character"),
                "remove \\u0000; no path can hold it",
            );
            continue;
        }
        match Pattern::parse(&given.value) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let message = format!("`{path}` is {}, which is no pattern for files", quoted(&given.value));
                report.add(Kind::BadPattern, &given.at, message, pattern_help(&error));
            }
        }
    }
    patterns
}

fn prove_framing(written: &WrittenFlow, longest_line: usize, report: &mut Report) -> framing::Settings {
    let terminator = &written.terminator;
    let longest = LONGEST_TERMINATOR.min(longest_line - 1);
    if terminator.value.len() > longest {
        let (path, length) = (&terminator.at.path, terminator.value.len());
        let message = format!("`{path}` is {length} bytes long; it may be {longest}, so that a cut line keeps room");
        let help = "use a line break, \"\\n\", or give `maxBufferSizeBytes` more";
        report.add(Kind::Conflict, &terminator.at, message, help);
    }
    framing::Settings {
        max_line_bytes: longest_line,
        long_lines: if written.long_lines == "truncate" {
            framing::LongLines::Truncate
        } else {
            framing::LongLines::Split
        },
        terminator: terminator.value.clone().into_bytes(),
        skip_header_lines: saturate(written.skip_header_lines),
        multi_line: prove_multi_line(written, report),
    }
}

fn prove_multi_line(written: &WrittenFlow, report: &mut Report) -> Option<Box<framing::MultiLine>> {
    let Some(start) = &written.multi_line_start else {
        if written.key_at(&keys::MULTI_LINE_TIMEOUT).is_some() {
            let at = &written.multi_line_timeout.at;
            let message = format!("`{}` has no effect without `multiLineStartPattern`", at.path);
            report.add(Kind::NoEffect, at, message, "remove it, or say how a record of several lines begins");
        }
        return None;
    };
    let timeout = Duration::from_millis(written.multi_line_timeout.value);
    match framing::StartPattern::parse(&start.value) {
        Ok(pattern) => {
            if let Some(part) = pattern.slow_part() {
                let message = format!(
                    "`{}`: the part `{}` may look through a line again and again",
                    start.at.path,
                    shortened(&printable(&part))
                );
                let help = "a line that takes more steps than its length allows begins no record; give the part an end";
                report.add(Kind::SlowPattern, &start.at, message, help);
            }
            Some(Box::new(framing::MultiLine { start: pattern, timeout }))
        }
        Err(error) => {
            let message = format!("`{}` is {}, which is no regular expression", start.at.path, quoted(&start.value));
            // The compiler draws the pattern over several lines; what is wrong stands last.
            let reason = error.reason.rsplit("error: ").next().unwrap_or_default();
            let reason = printable(&reason.split_whitespace().collect::<Vec<_>>().join(" "));
            report.add(Kind::BadRegex, &start.at, message, format!("correct the pattern: {}", shortened(&reason)));
            None
        }
    }
}

/// What would do instead of a pattern that does not compile.
fn pattern_help(error: &PatternError) -> String {
    match error {
        PatternError::Relative { .. } => "begin with a slash: patterns are absolute paths".to_owned(),
        PatternError::Folder { .. } => "name files, not a folder: put `*` behind the last slash".to_owned(),
        PatternError::Syntax { reason, .. } => format!("correct the pattern: {}", shortened(&printable(reason))),
    }
}

/// Words of others, which may quote a pattern of any length.
pub(super) fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(200) {
        None => reason.to_owned(),
        Some((end, _)) => format!("{}…", &reason[..end]),
    }
}
