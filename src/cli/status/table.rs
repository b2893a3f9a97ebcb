//! How the agent stands, for people.
//! Promises a line for each flow, and below it only what the operator wants to know of it now.
//! Leaves escaping to the output, and numbers to the agent.

use super::{Fill, Picture};
use crate::status::rotation::Loss;
use crate::status::{FileStatus, FlowStatus, State, Status};
use crate::telemetry::{bytes_in_words, clock, duration_in_words};
use datalake_base::shown::shown;
use datalake_base::units::counted;
use std::fmt::Write as _;

/// Nothing is said about a loss that is further away.
const FAR: u64 = 30 * 86_400;

/// The whole picture.
pub(super) fn table(picture: &Picture) -> String {
    let mut text = head(&picture.status);
    if picture.configuration_is_wrong {
        text.push_str("! the configuration was changed and is wrong: `datalake-agent check` says where\n");
    }
    text.push('\n');
    let mut rows = vec![["FLOW", "STATE", "RATE", "BEHIND", "AGE", "LIMIT", "FILES"].map(str::to_owned)];
    rows.extend(picture.status.flows.iter().map(row));
    let lines = aligned(&rows);
    let mut lines = lines.into_iter();
    text.extend(lines.next());
    for ((line, flow), loss) in lines.zip(&picture.status.flows).zip(&picture.losses) {
        text.push_str(&line);
        for detail in details(flow, *loss) {
            push(&mut text, format_args!("    {detail}\n"));
        }
    }
    if let Some(files) = &picture.files {
        text.push('\n');
        text.push_str(&file_table(files));
    }
    text
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).ok();
}

fn head(status: &Status) -> String {
    let mut text = match (status.running, status.pid, status.started_at) {
        (true, Some(pid), Some(since)) => {
            let since = duration_in_words(clock::now_ms().saturating_sub(since));
            format!("datalake-agent {} runs as process {pid} for {since}", shown(&status.version))
        }
        _ => "no agent runs; this is how it stood when it stopped".to_owned(),
    };
    push(&mut text, format_args!(", state in {}\n", shown(&status.state_directory.0)));
    if let Some(unsaved) = status.unsaved_millis {
        let unsaved = duration_in_words(unsaved);
        push(&mut text, format_args!("positions cannot be saved for {unsaved}; the log says why; delivery goes on\n"));
    }
    text
}

fn row(flow: &FlowStatus) -> [String; 7] {
    let dash = || "-".to_owned();
    let rate = if flow.rate >= 0.5 { format!("{}/s", bytes_in_words(flow.rate as u64)) } else { dash() };
    let behind = if flow.behind_bytes == 0 { dash() } else { bytes_in_words(flow.behind_bytes) };
    let age = if flow.behind_millis == 0 { dash() } else { duration_in_words(flow.behind_millis) };
    let limit = flow.limit.as_ref().map_or_else(dash, |limit| format!("{} {} %", limit.stage, limit.percent));
    [shown(&flow.name).to_string(), flow.state.word().to_owned(), rate, behind, age, limit, flow.files.to_string()]
}

/// Columns of the same width, two spaces apart.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths).filter(|(_, width)| *width > 0) {
            push(&mut line, format_args!("{cell:width$}  "));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    rows.iter().map(line).collect()
}

/// What is worth a line.
fn details(flow: &FlowStatus, loss: Loss) -> Vec<String> {
    let mut lines = vec![format!("→ {} {}", flow.service, shown(&flow.stream))];
    if flow.state == State::Starting && flow.files == 0 {
        lines.push("not read yet: credentials, region and the first look at the files come first".to_owned());
    } else if flow.files == 0 && flow.unreadable == 0 && flow.accounting.read == 0 {
        lines.push("no file matches yet".to_owned());
    }
    match (&flow.reason, &flow.last_error) {
        (Some(reason), _) => lines.push(format!("! {}", shown(reason))),
        (None, Some(last)) => {
            let ago = duration_in_words(clock::now_ms().saturating_sub(last.at));
            lines.push(format!("over since, begun {ago} ago: {}", shown(&last.reason)));
        }
        (None, None) => {}
    }
    if flow.state == State::Stalled {
        lines.push("! it has something to do and does not get on: a bug; restart the agent and report it".to_owned());
    }
    if flow.unreadable > 0 {
        lines.push(format!("! it cannot read {}; `explain FILE` says why", counted(flow.unreadable, "file")));
    }
    if let Some(advice) = flow.advice() {
        lines.push(format!("! {advice}"));
    } else if let Some(limit) = flow.limit.as_ref().filter(|_| flow.behind_bytes > 1 << 20) {
        lines.push(shown(&limit.remedy).to_string());
    }
    lines.extend(loss_line(loss));
    lines.push(accounting(flow));
    lines.extend(sent(flow));
    lines
}

fn loss_line(loss: Loss) -> Option<String> {
    match loss {
        Loss::Nothing => None,
        Loss::Unknown => Some("time to loss: unknown until two rotations were seen".to_owned()),
        Loss::In(time) if time.as_secs() > FAR => None,
        Loss::In(time) if time.as_secs() < 60 => {
            Some("! time to loss: the next rotation deletes what is not sent".to_owned())
        }
        Loss::In(time) => {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            Some(format!("time to loss: rotation deletes what is not sent in about {}", duration_in_words(millis)))
        }
    }
}

fn accounting(flow: &FlowStatus) -> String {
    let words = |bytes: u64| bytes_in_words(bytes);
    let balance = &flow.accounting;
    let mut line = format!(
        "read {} = delivered {} + pending {} + filtered {} + quarantined {}",
        words(balance.read),
        words(balance.delivered),
        words(balance.pending),
        words(balance.filtered),
        words(balance.quarantined)
    );
    if balance.destroyed > 0 {
        push(&mut line, format_args!("; destroyed unread {}", words(balance.destroyed)));
    }
    if balance.skipped > 0 {
        push(&mut line, format_args!("; left out {}", words(balance.skipped)));
    }
    line
}

fn sent(flow: &FlowStatus) -> Option<String> {
    let fill = Fill::of(flow)?;
    let sent = &flow.sent;
    let mut line = format!(
        "sent {} in {} of {} and {}, {:.0} % full",
        counted(sent.lines, "line"),
        counted(sent.records, "record"),
        bytes_in_words(fill.record as u64),
        counted(sent.calls, "call"),
        fill.call_percent
    );
    if let Some(dollars) = fill.dollars_a_gb {
        push(&mut line, format_args!("; ${dollars:.3} a GB"));
    }
    if sent.retried > 0 {
        push(&mut line, format_args!("; {} sent again", counted(sent.retried, "record")));
    }
    if sent.quarantined_records > 0 {
        push(&mut line, format_args!("; {} quarantined", counted(sent.quarantined_records, "record")));
    }
    Some(line)
}

fn file_table(files: &[FileStatus]) -> String {
    let head = [
        "FILE",
        "FLOW",
        "POSITION",
        "SIZE",
        "BEHIND",
        "READ",
        "DELIVERED",
        "PENDING",
        "FILTERED",
        "QUARANTINED",
        "DESTROYED",
        "CHANGED",
        "STATE",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(files.iter().map(file_row));
    // What most agents never do takes no room.
    for column in SELDOM {
        if rows[1..].iter().all(|row| row[column] == "-") {
            rows.iter_mut().for_each(|row| row[column].clear());
        }
    }
    aligned(&rows).concat()
}

/// The columns that are shown only where there is something in them: filtered, quarantined, destroyed.
const SELDOM: std::ops::Range<usize> = 8..11;

fn file_row(file: &FileStatus) -> [String; 13] {
    let path = file.path.as_ref().unwrap_or(&file.home);
    let changed = match file.changed_at {
        0 => "-".to_owned(),
        at => format!("{} ago", duration_in_words(clock::now_ms().saturating_sub(at))),
    };
    let words = |bytes: u64| if bytes == 0 { "-".to_owned() } else { bytes_in_words(bytes) };
    let balance = &file.accounting;
    let mut state = vec![file.state.clone()];
    let mut note = |applies: bool, words: &str| {
        if applies {
            state.push(words.to_owned());
        }
    };
    note(file.rotated, "rotated");
    note(file.packed, "archive");
    note(file.path.is_none(), "gone");
    note(file.unreadable, "cannot be read");
    note(!file.links.is_empty(), "behind a link");
    [
        shown(&path.0).to_string(),
        file.flow.as_ref().map_or_else(|| "-".to_owned(), |flow| shown(flow).to_string()),
        file.position.to_string(),
        file.size.to_string(),
        words(file.read.saturating_sub(file.position) + file.unread),
        words(balance.read),
        words(balance.delivered),
        words(balance.pending),
        words(balance.filtered),
        words(balance.quarantined),
        words(balance.destroyed),
        changed,
        shown(&state.join(", ")).to_string(),
    ]
}
