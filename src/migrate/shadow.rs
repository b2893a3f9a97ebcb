//! Both agents side by side: ours reads what it would send, sends nothing, and is compared with what theirs has saved.
//! Promises to write nothing, and to compare with the real reading: files found, followed and framed as in a run.
//! Leaves what the comparison is good for to the operator.

use super::checkpoints;
use super::positions::Positions;
use crate::checkpoint;
use crate::config::{FlowPlan, Plan};
use crate::saved::{CheckpointUpdate, Remembered};
use crate::source::file::{self, Outlet, Tailer, import};
use datalake_base::record::{Arrival, Origin, Progress, Watermarks};
use datalake_base::units::counted;
use datalake_core::framing::{Framed, Framer, Input, Room};
use datalake_tail::{ContentId, Row};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How often the Kinesis Agent's database is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Where both agents are in the file that the Kinesis Agent saved last for a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The flow's name there.
    pub flow: String,
    /// The file, as the Kinesis Agent knows it.
    pub path: PathBuf,
    /// What was accepted there.
    pub theirs: u64,
    /// What we would have sent; `None` when we do not read that file.
    pub ours: Option<u64>,
    /// Whether the Kinesis Agent has saved something since the comparison began.
    pub moved: bool,
    /// Whether a line ends at their position.
    pub line_ends: bool,
}

impl Standing {
    /// Whether both are at the same position.
    #[must_use]
    pub fn same(&self) -> bool {
        self.ours == Some(self.theirs)
    }

    /// Whether nothing speaks against it: they are where we have been, at the end of a line.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.same() || (self.line_ends && self.ours.is_some_and(|ours| ours > self.theirs))
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self.ours {
            None => "DIFFERS: this agent would not read the file".to_owned(),
            Some(_) if self.same() => "the same".to_owned(),
            Some(ours) if self.agrees() => {
                format!("agrees; {} on the way to being accepted there", counted(ours - self.theirs, "byte"))
            }
            Some(ours) if ours < self.theirs => {
                format!("DIFFERS: this agent would be {} behind", counted(self.theirs - ours, "byte"))
            }
            Some(_) => "DIFFERS: no line ends at the Kinesis Agent's position".to_owned(),
        }
    }
}

/// What was saved so far, by stream and content.
type Saved = Arc<Mutex<BTreeMap<(Arc<str>, ContentId), Row>>>;

/// Reads side by side until each flow has moved and all are at the same position, or the time is over.
///
/// # Errors
/// When the system gives no threads, or the Kinesis Agent's database can no longer be read.
pub fn run(plan: &Plan, positions: &Positions, database: &Path, patience: Duration) -> Result<Vec<Standing>, String> {
    let saved = Saved::default();
    for content in checkpoint::contents_of(positions.update.positions.clone()) {
        lock(&saved).insert((content.stream, content.row.id), content.row);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let (tailer, mut flows) = start(plan, positions, &saved).map_err(|error| format!("cannot start: {error}"))?;
        let deadline = Instant::now() + patience;
        let standings = loop {
            tokio::time::sleep(LOOK_EVERY.min(patience)).await;
            let standings = compare(positions, database, &saved)?;
            let done = standings.iter().all(|standing| standing.moved && standing.same());
            if (done && !standings.is_empty()) || Instant::now() >= deadline {
                break standings;
            }
        };
        tailer.stop_reading();
        flows.shutdown().await;
        tailer.finish().await.map_err(|died| died.to_string())?;
        Ok(standings)
    })
}

fn lock(saved: &Saved) -> std::sync::MutexGuard<'_, BTreeMap<(Arc<str>, ContentId), Row>> {
    saved.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(plan: &Plan, positions: &Positions, saved: &Saved) -> std::io::Result<(Tailer, JoinSet<()>)> {
    let (mut inputs, mut parts) = (Vec::new(), Vec::new());
    for flow in &plan.flows {
        let (input, outlet) = file::Input::new(&flow.name, &flow.source);
        inputs.push(input);
        parts.push((flow.clone(), outlet));
    }
    let remembered = Remembered {
        contents: checkpoint::contents_of(positions.update.positions.clone()),
        started: positions.update.started.clone(),
        ..Remembered::default()
    };
    let keep = saved.clone();
    let save = move |update: CheckpointUpdate| {
        let mut saved = lock(&keep);
        for (stream, id, row) in update.contents {
            match row {
                Some(row) => saved.insert((stream, id), row),
                None => saved.remove(&(stream, id)),
            };
        }
    };
    // A thread of its own: comparing reads a database and would hold it up.
    let means = file::Means::new(file::Input::pool(plan.flows.len()), Box::new(save));
    let tailer = Tailer::start_thread(inputs, remembered, means)?;
    let mut flows = JoinSet::new();
    for (flow, Outlet { arrivals, watermarks, .. }) in parts {
        flows.spawn(follow(flow, arrivals, watermarks, tailer.waker()));
    }
    Ok((tailer, flows))
}

/// Frames what arrives and settles it at once.
async fn follow(
    flow: Arc<FlowPlan>,
    mut arrivals: mpsc::Receiver<Box<Arrival>>,
    watermarks: Watermarks,
    wake: Arc<dyn Fn(Progress) + Send + Sync>,
) {
    let mut framers: HashMap<Origin, Framer> = HashMap::new();
    loop {
        let next = framers.values().filter_map(Framer::deadline).min();
        let overdue = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                None => return,
                Some(arrival) => take(&flow, *arrival, &mut framers, &watermarks),
            },
            () = overdue => {
                for (origin, framer) in &mut framers {
                    while let Some(run) = framer.overdue(Instant::now()) {
                        watermarks.post(*origin, run.end);
                    }
                }
            }
        }
        wake(Progress::Settled);
    }
}

fn take(flow: &FlowPlan, arrival: Arrival, framers: &mut HashMap<Origin, Framer>, watermarks: &Watermarks) {
    match arrival {
        Arrival::Opened { origin, start, .. } => {
            framers.insert(origin, Framer::new(&flow.framing, start));
        }
        Arrival::Read(chunk) => {
            let Some(framer) = framers.get_mut(&chunk.origin) else { return };
            // Twice the longest line: there is always room for one.
            let room = Room { bytes: 2 * flow.framing.max_line_bytes, lines: usize::MAX };
            let mut input = Input { bytes: &chunk.bytes, position: chunk.start };
            loop {
                match framer.next(&mut input, room, chunk.read_at) {
                    Framed::Run(run) => watermarks.post(chunk.origin, run.end),
                    Framed::Filtered { end: Some(end), .. } => watermarks.post(chunk.origin, end),
                    Framed::Filtered { end: None, .. } => {}
                    Framed::NoRoom | Framed::NeedMore => break,
                }
            }
        }
        Arrival::Closed { origins } => origins.iter().for_each(|origin| drop(framers.remove(origin))),
        Arrival::Ended { origin } => {
            let Some(mut framer) = framers.remove(&origin) else { return };
            while let Some(run) = framer.finish() {
                watermarks.post(origin, run.end);
            }
        }
    }
}

/// Where both are now.
fn compare(positions: &Positions, database: &Path, saved: &Saved) -> Result<Vec<Standing>, String> {
    let rows = checkpoints::read(database).map_err(|error| error.to_string())?.rows;
    let saved = lock(saved).clone();
    let mut standings = Vec::new();
    for flow in &positions.flows {
        let Some(row) = rows.iter().filter(|row| row.flow == flow.id).max_by_key(|row| row.updated) else { continue };
        let place = |ours: &Row| ours.places.first().cloned();
        let same = |ours: &Row| place(ours).is_some_and(|place| row.file == Some((place.key.device, place.key.inode)));
        let ours =
            saved.iter().find(|((stream, _), ours)| **stream == *flow.stream && same(ours)).map(|(_, ours)| ours);
        let path = ours.and_then(place).map(|place| place.path);
        let line_ends = path.is_some_and(|path| import::ends_line(&path, row.offset).unwrap_or(false));
        standings.push(Standing {
            flow: flow.id.clone(),
            path: row.path.clone(),
            theirs: row.offset,
            ours: ours.map(|ours| ours.position),
            moved: flow.newest.as_ref() != Some(row),
            line_ends,
        });
    }
    Ok(standings)
}
