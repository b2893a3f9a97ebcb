//! `datalake-agent shipped`: whether everything that a file holds was accepted, for who wants to delete or rotate it.
//! Promises 0 only on proof: the bytes of the file are compared with those that are settled. In doubt it is "not yet".
//! Leaves what is settled to the agent, and comparing to the specimen.

use super::output::Output;
use super::reach::{self, Failed};
use crate::config::{FlowPlan, Plan};
use crate::exit::Exit;
use crate::local::{About, Known, Question};
use crate::saved::Remembered;
use crate::source::file::specimen::{Holds, Specimen};
use crate::status::{FileStatus, stopped};
use crate::telemetry::bytes_in_words;
use datalake_base::shown::shown;
use datalake_tail::{ArchiveFault, Failure, Proof};
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The agent is asked again after this, then after twice that, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// And at least this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The configuration.
    pub config: &'a Path,
    /// The files.
    pub files: &'a [PathBuf],
    /// Every file that the agent follows.
    pub all: bool,
    /// Only for this flow.
    pub flow: Option<&'a str>,
    /// For how long "not yet" is no answer.
    pub wait: Duration,
    /// A last line without its end does not count.
    pub whole_lines: bool,
}

/// How much of a file was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// All of it.
    Shipped,
    /// Not all of it, and why.
    NotYet(String),
    /// The agent does not read it, and why.
    Unknown(String),
}

/// Asks until everything is accepted, or the time is over.
#[must_use]
pub fn shipped(request: &Request<'_>) -> Exit {
    let (mut out, deadline) = (Output::stdout(), Instant::now() + request.wait);
    let answered = reach::plan(request.config).and_then(|plan| {
        if let Some(flow) = request.flow.filter(|flow| plan.flows.iter().all(|known| known.name != **flow)) {
            return Err(Failed::new(Exit::Usage, format_args!("there is no flow `{}`", shown(flow))));
        }
        match request.all {
            true => all(&plan, request, deadline, &mut out),
            false => files(&plan, request, deadline, &mut out),
        }
    });
    match answered {
        Ok(exit) => out.finish(exit),
        Err(failed) => {
            super::complain(&failed.text);
            out.finish(failed.exit)
        }
    }
}

/// Sleeps a little longer each time; `false` when the time is over.
struct Pauses {
    deadline: Instant,
    next: Duration,
}

impl Pauses {
    const fn until(deadline: Instant) -> Self {
        Self { deadline, next: FIRST_PAUSE }
    }

    fn pause(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        std::thread::sleep(self.next.min(left));
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        !left.is_zero()
    }
}

/// The named files, each as large as it is at the call.
fn files(plan: &Plan, request: &Request<'_>, deadline: Instant, out: &mut dyn Write) -> Result<Exit, Failed> {
    let open = |path: &PathBuf| Subject::open(plan, request, path);
    let subjects: Vec<Result<Subject, Failed>> = request.files.iter().map(open).collect();
    let mut verdicts: Vec<Option<Verdict>> = vec![None; subjects.len()];
    let mut pauses = Pauses::until(deadline);
    loop {
        for (verdict, subject) in verdicts.iter_mut().zip(&subjects) {
            if let (Ok(subject), None | Some(Verdict::NotYet(_))) = (subject, &verdict) {
                *verdict = Some(subject.judge(plan, request.flow)?);
            }
        }
        if !verdicts.iter().any(|verdict| matches!(verdict, Some(Verdict::NotYet(_)))) || !pauses.pause() {
            break;
        }
    }
    let mut exit = Exit::Success;
    let mut worst = |other: Exit| exit = if exit.code() < other.code() { other } else { exit };
    for ((path, subject), verdict) in request.files.iter().zip(subjects).zip(verdicts) {
        let path = shown(path);
        let line = match (subject, verdict) {
            (Err(failed), _) => {
                super::complain(&failed.text);
                worst(failed.exit);
                continue;
            }
            (Ok(_), None | Some(Verdict::Shipped)) => format!("{path}: shipped\n"),
            (Ok(_), Some(Verdict::NotYet(why))) => {
                worst(Exit::NotYet);
                format!("{path}: not yet: {why}\n")
            }
            (Ok(_), Some(Verdict::Unknown(why))) => {
                worst(Exit::Unknown);
                format!("{path}: unknown: {why}\n")
            }
        };
        out.write_all(line.as_bytes()).ok();
    }
    Ok(exit)
}

/// A file that is asked about.
struct Subject {
    /// Absolute; links are not resolved, for patterns match the name.
    path: PathBuf,
    specimen: Specimen,
    /// What is to be accepted of it; of an archive, all.
    wanted: u64,
}

impl Subject {
    fn open(plan: &Plan, request: &Request<'_>, path: &Path) -> Result<Self, Failed> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => Failed::new(
                Exit::InputOutput,
                format_args!("{}: {error}; run this as root, or as the user of the agent", shown(path)),
            ),
            _ => Failed::new(Exit::Unknown, format_args!("{}: {error}", shown(path))),
        };
        let path = reach::named(path).map_err(failed)?;
        let limits =
            plan.flows.iter().find(|flow| flow.source.matches_rotation(&path)).map(|flow| flow.source.archives);
        let specimen = Specimen::open(&path, limits.unwrap_or_default()).map_err(failed)?;
        let wanted = match request.whole_lines {
            true => specimen.last_line_end().map_err(failed)?,
            false => specimen.size(),
        };
        Ok(Self { path, specimen, wanted })
    }

    fn judge(&self, plan: &Plan, flow: Option<&str>) -> Result<Verdict, Failed> {
        let asked = |planned: &&Arc<FlowPlan>| flow.is_none_or(|flow| planned.name == flow);
        let is_matched = |by: &dyn Fn(&FlowPlan) -> bool| plan.flows.iter().filter(asked).any(|planned| by(planned));
        if self.wanted == 0
            && !self.specimen.is_packed()
            && is_matched(&|flow| flow.source.matches_rotation(&self.path))
        {
            return Ok(Verdict::Shipped);
        }
        let abouts = about(plan, &self.specimen)?;
        let feeds = |stream: &str| {
            plan.flows
                .iter()
                .any(|planned| planned.source.stream == stream && flow.is_none_or(|flow| planned.name == flow))
        };
        // What no flow feeds any more is never sent.
        let abouts: Vec<&About> = abouts.iter().filter(|about| feeds(&about.stream)).collect();
        let mut verdicts = Vec::new();
        for about in abouts {
            // A stream whose flow reads what has this name, and that has not seen it, will get it yet.
            let feeds = |flow: &FlowPlan| flow.source.stream == about.stream && flow.source.matches(&self.path);
            let waits = about.standing.as_deref() != Some("ignored") && is_matched(&feeds);
            let not_read = || Verdict::NotYet("a pattern matches it, and it is not read yet".to_owned());
            verdicts.push(self.judge_destination(about, flow)?.or_else(|| waits.then(not_read)));
        }
        let mut not_yet = verdicts.iter().flatten().filter(|verdict| matches!(verdict, Verdict::NotYet(_)));
        if let Some(verdict) = not_yet.next() {
            return Ok(verdict.clone());
        }
        let skipped = verdicts.iter().flatten().find(|verdict| matches!(verdict, Verdict::Unknown(_)));
        let shipped = verdicts.iter().flatten().any(|verdict| *verdict == Verdict::Shipped);
        if let (false, Some(verdict)) = (shipped, skipped) {
            return Ok(verdict.clone());
        }
        Ok(match (shipped, is_matched(&|flow| flow.source.matches(&self.path))) {
            (true, _) => Verdict::Shipped,
            (false, true) => Verdict::NotYet("a pattern matches it, and it is not read yet".to_owned()),
            (false, false) => Verdict::Unknown("no pattern matches it, and nothing that was read is in it".to_owned()),
        })
    }

    /// What one destination has of it; none where it has nothing.
    fn judge_destination(&self, about: &About, flow: Option<&str>) -> Result<Option<Verdict>, Failed> {
        if about.refused {
            return Ok(Some(Verdict::NotYet("the agent cannot read it; `explain` says why".to_owned())));
        }
        if about.standing.as_deref() == Some("skipped") || self.specimen.is_unreadable_archive() {
            return Ok(Some(Verdict::Unknown("it is an archive that is never read".to_owned())));
        }
        let wanted =
            |known: &&Known| known.flow.is_some() && flow.is_none_or(|flow| known.flow.as_deref() == Some(flow));
        let contents: Vec<(&Known, Proof)> = about
            .contents
            .iter()
            .filter(wanted)
            .filter_map(|known| Some((known, known.proof()?)))
            .filter(|(known, proof)| known.lies_in(self.specimen.key()) || self.specimen.may_hold(proof))
            .collect();
        let here = |known: &Known| known.lies_in(self.specimen.key());
        let questions: Vec<_> =
            contents.iter().map(|(known, proof)| (proof.clone(), known.settled, here(known))).collect();
        // An archive is not unpacked for nothing.
        let held = if questions.is_empty() { Ok(Vec::new()) } else { self.specimen.compare(&questions) };
        let held = match held {
            Ok(held) => held,
            Err(Failure::Archive(fault)) => return Ok(Some(of_archive(fault))),
            Err(failure) => {
                let why = format!("{}: {}", shown(&self.path), in_words(failure));
                return Err(Failed::new(Exit::InputOutput, why));
            }
        };
        let mut best: Option<Verdict> = None;
        for ((known, _), held) in contents.iter().zip(held) {
            match self.judge_content(known, here(known), &held) {
                Some(Verdict::Shipped) => return Ok(Some(Verdict::Shipped)),
                verdict => best = best.or(verdict),
            }
        }
        let comparing = about.standing.as_deref() == Some("comparing");
        let not_known = || comparing.then(|| Verdict::NotYet("the agent is finding out what it holds".to_owned()));
        Ok(best.or_else(not_known))
    }

    fn judge_content(&self, known: &Known, lies_here: bool, held: &Holds) -> Option<Verdict> {
        let flow = known.flow.as_deref().unwrap_or_default();
        let left = |bytes: u64| {
            let bytes = bytes_in_words(bytes);
            Verdict::NotYet(format!("{bytes} are not accepted yet (flow {})", shown(flow)))
        };
        // Of an archive all is wanted, and only unpacking says how much that is.
        let wanted = |length: u64| if self.specimen.is_packed() { length } else { self.wanted };
        Some(match *held {
            Holds::Everything(length) if wanted(length) <= known.settled => Verdict::Shipped,
            Holds::Everything(length) => left(wanted(length) - known.settled),
            Holds::Beginning(up_to, length) if wanted(length) <= up_to => Verdict::Shipped,
            Holds::Beginning(up_to, length) => {
                let bytes = bytes_in_words(wanted(length) - up_to);
                Verdict::NotYet(format!("of {bytes} it cannot be proven (flow {})", shown(flow)))
            }
            Holds::Other if lies_here => {
                Verdict::NotYet(format!("it was changed, and the agent has not looked yet (flow {})", shown(flow)))
            }
            Holds::Other => return None,
        })
    }
}

/// An archive that cannot be unpacked here is not read by the agent either.
fn of_archive(fault: ArchiveFault) -> Verdict {
    let unknown = |why: String| Verdict::Unknown(format!("the archive is not read: {why}"));
    match fault {
        ArchiveFault::NotWhole => Verdict::NotYet("the archive is not whole".to_owned()),
        ArchiveFault::Corrupt => unknown("it is damaged".to_owned()),
        ArchiveFault::Unsupported => unknown("it is of a kind that is not read, or there is no text in it".to_owned()),
        ArchiveFault::Memory { needs } => {
            unknown(format!("it needs {} of memory: raise `maxArchiveMemoryBytes`", bytes_in_words(needs)))
        }
        ArchiveFault::NoOutput { input } => {
            unknown(format!("nothing comes out of its first {}", bytes_in_words(input)))
        }
        ArchiveFault::TooLong { output } => {
            let output = bytes_in_words(output);
            unknown(format!("it unpacks to more than {output}: raise `maxArchiveOutputBytes`"))
        }
    }
}

fn in_words(failure: Failure) -> &'static str {
    match failure {
        Failure::NoResource => "no descriptor or memory is left to read it",
        Failure::Missing => "it is gone",
        Failure::Denied => "it may not be read",
        _ => "it cannot be read",
    }
}

/// What each destination knows of the file: from the agent, or from what it left.
pub(super) fn about(plan: &Plan, specimen: &Specimen) -> Result<Vec<About>, Failed> {
    let question =
        Question::File { key: specimen.key().into(), beginning: crate::local::Bytes(specimen.beginning().to_vec()) };
    if let Some(mut answers) = reach::ask(&plan.state_directory, &question)? {
        return Ok(answers.line().map_err(|error| reach::broken(&error))?.unwrap_or_default());
    }
    let remembered = reach::remembered(plan)?.unwrap_or_default();
    Ok(about_of(plan, &remembered, specimen))
}

fn about_of(plan: &Plan, remembered: &Remembered, specimen: &Specimen) -> Vec<About> {
    let streams: BTreeSet<&str> = plan.flows.iter().map(|flow| flow.source.stream.as_str()).collect();
    let of_stream = |stream: &str| {
        let mut about = About { stream: stream.to_owned(), ..About::default() };
        for saved in remembered.contents.iter().filter(|saved| &*saved.stream == stream) {
            let here = saved.row.places.iter().any(|place| place.key.inode == specimen.key().inode);
            if here || specimen.may_hold(&saved.row.proof) {
                let flow = stopped::flow_of(plan, saved).map(|number| plan.flows[number].name.clone());
                about.contents.push(Known::of_row(&saved.row, flow, None));
            }
        }
        about
    };
    streams.into_iter().map(of_stream).collect()
}

/// Everything that the agent follows, as it is at the call.
fn all(plan: &Plan, request: &Request<'_>, deadline: Instant, out: &mut dyn Write) -> Result<Exit, Failed> {
    let name = |file: &FileStatus| (file.destination.clone(), file.id);
    let mut wanted: Vec<((String, u64), PathBuf, u64)> = Vec::new();
    for file in follow(plan, request.flow)? {
        let path = file.path.as_ref().unwrap_or(&file.home).0.clone();
        let everything = file.read + file.unread;
        let whole = || {
            let specimen = Specimen::open(&path, datalake_archive::Limits::default()).ok()?;
            specimen.last_line_end().ok().filter(|_| !file.packed)
        };
        let size = if request.whole_lines { whole().unwrap_or(everything).min(everything) } else { everything };
        wanted.push((name(&file), path, size));
    }
    let mut pauses = Pauses::until(deadline);
    loop {
        let files = follow(plan, request.flow)?;
        let positions: HashMap<_, u64> = files.iter().map(|file| (name(file), file.position)).collect();
        // What is no longer followed was read to its end, or is gone.
        let settled = |(wanted, _, size): &((String, u64), PathBuf, u64)| {
            positions.get(wanted).is_none_or(|position| position >= size)
        };
        wanted.retain(|one| !settled(one));
        if wanted.is_empty() {
            out.write_all(b"all files: shipped\n").ok();
            return Ok(Exit::Success);
        }
        if !pauses.pause() {
            break;
        }
    }
    for (_, path, _) in &wanted {
        out.write_all(format!("{}: not yet\n", shown(path)).as_bytes()).ok();
    }
    Ok(Exit::NotYet)
}

fn follow(plan: &Plan, flow: Option<&str>) -> Result<Vec<FileStatus>, Failed> {
    let question = Question::Files { flow: flow.map(str::to_owned) };
    let Some(mut answers) = reach::ask(&plan.state_directory, &question)? else {
        let remembered = reach::remembered(plan)?.unwrap_or_default();
        return Ok(stopped::files(plan, &stopped::look(plan, &remembered), flow));
    };
    let mut files = Vec::new();
    while let Some(page) = answers.line::<Vec<FileStatus>>().map_err(|error| reach::broken(&error))? {
        files.extend(page);
    }
    Ok(files)
}
