//! `datalake-agent explain`: why a file is read or not, how far, and what became of it.
//! Promises to say what stands in the way and what would do, and to change nothing.
//! Leaves the reasons to the patterns, the rules about links, the rights and the agent.

use super::output::Output;
use super::reach::{self, Failed};
use super::shipped::about;
use crate::config::{FlowPlan, Plan};
use crate::deliver::quarantine::{self, LineState};
use crate::exit::Exit;
use crate::local::{About, FileBalance, Known, Question};
use crate::source::file::access::{self, User};
use crate::source::file::specimen::Specimen;
use crate::source::file::way::{Match, Way, matched, way};
use crate::status::Status;
use crate::telemetry::{bytes_in_words, clock, duration_in_words};
use datalake_base::shown::shown;
use datalake_base::units::counted;
use std::fmt::Write as _;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Capability number 2: reads everything.
const READ_SEARCH: u64 = 1 << 2;

/// Says it.
#[must_use]
pub fn explain(config: &Path, file: &Path) -> Exit {
    let mut out = Output::stdout();
    let said = reach::plan(config).and_then(|plan| said(&plan, file));
    match said {
        Ok((text, exit)) => {
            out.write_all(text.as_bytes()).ok();
            out.finish(exit)
        }
        Err(failed) => {
            super::complain(&failed.text);
            out.finish(failed.exit)
        }
    }
}

fn said(plan: &Plan, file: &Path) -> Result<(String, Exit), Failed> {
    let unnamed = |error| Failed::new(Exit::InputOutput, format_args!("{}: {error}", shown(file)));
    let path = reach::named(file).map_err(unnamed)?;
    let mut lines = vec![shown(&path).to_string()];
    lines.push(format!("  {}", what_it_is(&path)));
    let status: Option<Status> = match reach::ask(&plan.state_directory, &Question::Status)? {
        Some(mut answers) => answers.line().map_err(|error| reach::broken(&error))?,
        None => None,
    };
    let user = status.as_ref().and_then(|status| user_of(status.pid?));
    lines.push(match &user {
        Some(_) => "  the agent runs; this is what it knows now".to_owned(),
        None => "  no agent runs; this is what it knew when it stopped".to_owned(),
    });
    let mut is_read = false;
    for flow in &plan.flows {
        let (read, words) = of_flow(flow, &path, user.as_ref());
        is_read |= read;
        lines.extend(words.into_iter().map(|words| format!("  {words}")));
    }
    if let Some(limits) = path.exists().then(|| limits_of(plan, &path)) {
        match Specimen::open(&path, limits) {
            Ok(specimen) => {
                if specimen.is_unreadable_archive() {
                    lines.push("  it is an archive of a kind that is never read (zip, lz4, …)".to_owned());
                }
                for about in about(plan, &specimen)? {
                    let words = of_destination(&about, &specimen, &path);
                    is_read |= !about.contents.is_empty();
                    lines.extend(words.into_iter().map(|words| format!("  {words}")));
                }
            }
            Err(error) => lines.push(format!("  it cannot be looked into from here: {}", shown(&error.to_string()))),
        }
    }
    lines.extend(quarantined(plan, &path).into_iter().map(|words| format!("  {words}")));
    let exit = if is_read { Exit::Success } else { Exit::Unknown };
    Ok((lines.join("\n") + "\n", exit))
}

fn limits_of(plan: &Plan, path: &Path) -> datalake_archive::Limits {
    let flow = plan.flows.iter().find(|flow| flow.source.matches_rotation(path));
    flow.map(|flow| flow.source.archives).unwrap_or_default()
}

/// Kind, size, age, rights, where a link leads.
fn what_it_is(path: &Path) -> String {
    let link = match path.symlink_metadata() {
        Err(error) => return format!("it cannot be seen: {}", shown(&error.to_string())),
        Ok(status) => status.is_symlink().then(|| path.read_link().unwrap_or_default()),
    };
    let mut text = link.map_or_else(String::new, |target| format!("a link to {}; ", shown(&target)));
    match path.metadata() {
        Err(_) => text.push_str("it leads nowhere"),
        Ok(status) => {
            let kind = match () {
                () if status.is_file() => ("a file", ""),
                () if status.is_dir() => ("a folder", "; folders are not read: write a pattern for the files in it"),
                () => ("a FIFO, a socket or a device", "; only files are read"),
            };
            let (kind, unread) = kind;
            let changed = u64::try_from(status.mtime()).unwrap_or(0) * 1000;
            let age = duration_in_words(clock::now_ms().saturating_sub(changed));
            let names =
                if status.nlink() > 1 { format!(", {}", counted(status.nlink(), "name")) } else { String::new() };
            let (size, rights) = (bytes_in_words(status.len()), access::rights(&status));
            write!(text, "{kind} of {size}, written {age} ago, {rights}{names}{unread}").ok();
        }
    }
    text
}

/// As whom the process runs: its user and groups; root's where it reads everything.
fn user_of(pid: u32) -> Option<User> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = |key: &str, radix: u32| -> Vec<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().filter_map(|number| u64::from_str_radix(number, radix).ok()).collect()
    };
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let uid = small(*numbers("Uid:", 10).get(1)?);
    let mut groups: Vec<u32> = numbers("Groups:", 10).into_iter().map(small).collect();
    groups.extend(numbers("Gid:", 10).get(1).map(|group| small(*group)));
    let everything = numbers("CapEff:", 16).first().is_some_and(|effective| effective & READ_SEARCH != 0);
    Some(User { uid: if everything { 0 } else { uid }, groups })
}

/// Whether the flow reads it, and why, or why not.
fn of_flow(flow: &FlowPlan, path: &Path, user: Option<&User>) -> (bool, Vec<String>) {
    let name = shown(&flow.name);
    let mut lines = Vec::new();
    match matched(&flow.source, path) {
        Match::No => return (false, vec![format!("flow {name}: no pattern matches it ({})", patterns(flow))]),
        Match::Excluded(pattern, exclude) => {
            let (pattern, exclude) = (shown(&pattern), shown(&exclude));
            return (false, vec![format!("flow {name}: {pattern} matches it, and `exclude` {exclude} takes it out")]);
        }
        Match::Rotation(live) => {
            lines.push(format!(
                "flow {name}: no pattern matches it; by its name it may be a rotation of {}, so its content decides",
                shown(&live)
            ));
        }
        Match::Reads(pattern) => lines.push(format!("flow {name}: pattern {} matches it", shown(&pattern))),
    }
    let reads = match way(&flow.source, path) {
        Way::Open(hops) => {
            if !hops.is_empty() {
                let hops: Vec<String> = hops.iter().map(|hop| shown(hop).to_string()).collect();
                lines.push(format!("  links lead over {}; they are followed", hops.join(" → ")));
            }
            true
        }
        Way::Missing => {
            lines.push("  there is nothing now".to_owned());
            false
        }
        Way::NoFile => {
            lines.push("  it is no regular file, so it is not read".to_owned());
            false
        }
        Way::Refused(why) => {
            lines.push(format!("  ! it is not read: {}", shown(&why)));
            false
        }
        Way::Denied(why) => {
            lines.push(format!("  ! this command may not open it: {}", shown(&why)));
            false
        }
    };
    let obstacle = user.and_then(|user| access::obstacle(path, user));
    if let Some(obstacle) = &obstacle {
        let user = user.map_or_else(String::new, |user| user.uid.to_string());
        let (place, rights) = (shown(&obstacle.path), obstacle.rights());
        lines.push(format!("  ! the agent (user {user}) may not read {place} ({rights}): {}", obstacle.cures(&user)));
    }
    (reads && obstacle.is_none(), lines)
}

fn patterns(flow: &FlowPlan) -> String {
    match &flow.mqtt {
        Some(mqtt) => format!("it receives messages of {}", shown(&mqtt.broker.to_string())),
        None => {
            let patterns = flow.source.include.iter().map(|pattern| shown(pattern.as_str()).to_string());
            patterns.collect::<Vec<_>>().join(", ")
        }
    }
}

/// What a destination knows of it.
fn of_destination(about: &About, specimen: &Specimen, path: &Path) -> Vec<String> {
    let stream = shown(&about.stream);
    let mut lines = Vec::new();
    match about.standing.as_deref() {
        Some("ignored") => lines.push(format!(
            "{stream}: it was there before the agent came to know this log, or holds nothing that is new, so it is left alone"
        )),
        Some("comparing") => lines.push(format!("{stream}: its content is being compared with what is known")),
        Some("skipped") => lines.push(format!("{stream}: it is an archive that is not read; the log says why")),
        _ => {}
    }
    if about.refused {
        lines.push(format!("{stream}: ! it could not be opened or read when that was tried last"));
    }
    let (here, alike): (Vec<&Known>, Vec<&Known>) =
        about.contents.iter().partition(|known| known.lies_in(specimen.key()));
    for known in &here {
        lines.extend(of_content(&stream.to_string(), known, specimen, path));
    }
    for known in alike.iter().filter(|_| here.is_empty()).take(3) {
        let (path, settled) = (shown(&known.home.0), counted(known.settled, "byte"));
        lines.push(format!(
            "{stream}: it begins like {path}, of which {settled} were accepted: a copy is not sent again"
        ));
    }
    if lines.is_empty() {
        lines.push(format!("{stream}: nothing of it is known"));
    }
    lines
}

fn of_content(stream: &str, known: &Known, specimen: &Specimen, path: &Path) -> Vec<String> {
    let flow = known.flow.as_ref().map_or_else(|| "no flow any more".to_owned(), |flow| shown(flow).to_string());
    let mut lines = vec![format!(
        "{stream}: {} by flow {flow}: position {}, read up to {}, {} in flight",
        match known.state.as_str() {
            "finished" => "read to its end",
            "sought" => "sought, for it lost its place",
            _ => "read",
        },
        known.settled,
        known.read,
        bytes_in_words(known.read.saturating_sub(known.settled))
    )];
    let FileBalance { read, delivered, pending, filtered, quarantined, destroyed } = known.accounting;
    let [read, delivered, pending, filtered, quarantined] =
        [read, delivered, pending, filtered, quarantined].map(bytes_in_words);
    lines.push(format!(
        "  read {read} = delivered {delivered} + pending {pending} + filtered {filtered} + quarantined {quarantined}"
    ));
    if destroyed > 0 {
        lines.push(format!("  {} of it were destroyed before they could be read", bytes_in_words(destroyed)));
    }
    let packed = specimen.is_packed();
    if !packed && specimen.size() > known.read {
        lines.push(format!("  {} are there and not read yet", bytes_in_words(specimen.size() - known.read)));
    }
    if packed {
        lines.push("  it is an archive; positions count unpacked bytes".to_owned());
    }
    if known.home.0 != path {
        lines.push(format!("  it began as {}", shown(&known.home.0)));
    }
    let places = known.places.iter().map(|place| &place.path.0);
    let others: Vec<String> = places
        .filter(|place| **place != path && **place != known.home.0)
        .map(|place| shown(place).to_string())
        .collect();
    if !others.is_empty() {
        lines.push(format!("  it lies, or lay, in {} too", others.join(", ")));
    }
    lines
}

/// How many records of it wait in the quarantine.
fn quarantined(plan: &Plan, path: &Path) -> Option<String> {
    let inode = path.metadata().ok().map(|status| status.ino());
    let (mut count, mut reason) = (0_u64, None);
    for file in quarantine::files(&plan.state_directory).ok()? {
        // One that a command has just removed holds nothing.
        let Ok(Some(Ok(lines))) = quarantine::look(&file).map(|file| file.map(|file| file.lines())) else { continue };
        for line in lines.flatten() {
            let LineState::Waiting(entry) = line.state else { continue };
            if entry.origins.iter().any(|origin| Path::new(&origin.path) == path || Some(origin.inode) == inode) {
                count += 1;
                reason = Some(entry.code);
            }
        }
    }
    let reason = reason.filter(|_| count > 0)?;
    Some(format!(
        "! in the quarantine: {} of it, the last for {}: see `quarantine list`",
        counted(count, "record"),
        shown(&reason)
    ))
}
