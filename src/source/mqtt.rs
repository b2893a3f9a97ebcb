//! MQTT topics: messages are received, made into lines, synced to a spool, and only then acknowledged. The spool's files
//! are then tailed like any others. Promises that no message is acknowledged that a power failure could take.
//! Leaves shipping to the flow that tails the spool.

/// The signed address of a WebSocket.
mod presign;
/// Batches on their way to the disk.
mod queue;
/// One connection to the broker.
mod session;
/// Messages on disk until they are shipped.
mod spool;
/// Bytes to and from a broker.
mod transport;

pub use datalake_mqtt::counters::{Counters, Subscription};
pub use datalake_mqtt::envelope::{PayloadFormat, Settings as LineSettings};
pub use datalake_mqtt::intake::RefusedPayload;
pub use datalake_mqtt::packets::{Quality, Version};
pub use datalake_mqtt::settings::{Broker, BrokerError, OnFailure, Scheme, Settings};
pub use datalake_mqtt::topics::{Topic, TopicError};
pub use presign::Signer;
pub use spool::SpoolError;

use crate::telemetry::{clock, ids};
use datalake_base::record::SettledFiles;
use datalake_mqtt::acks::Acks;
use datalake_mqtt::group::Group;
use datalake_mqtt::intake::Intake;
use datalake_mqtt::memory::Memory;
use queue::{Commit, Queue};
use session::Session;
use spool::Spool;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often settled files are looked for, while some are to be expected.
const COLLECT_EVERY: Duration = Duration::from_millis(500);
/// A disk or a spool that takes nothing is tried again after this.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// A spool that cannot be opened is tried again after this.
const OPEN_AGAIN: Duration = Duration::from_secs(2);
/// How the files begin that remember the sessions of a flow.
const MEMORY: &str = "subscriptions-";
/// How often the log tells what came, while something does.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Keeps payloads that could not be lines; called on a thread that may wait for the disk.
pub type Keep = Arc<dyn Fn(&[RefusedPayload]) -> Result<(), String> + Send + Sync>;

/// The folder of a flow's spool.
#[must_use]
pub fn folder(state_directory: &Path, flow: &str) -> PathBuf {
    // A flow may be called `..`, and another one as that is written.
    let name = if flow.trim_start_matches('_').starts_with('.') { format!("_{flow}") } else { flow.to_owned() };
    folders(state_directory).join(name)
}

fn folders(state_directory: &Path) -> PathBuf {
    state_directory.join("spool")
}

/// What flows of earlier configurations left. It is logged at the start, because nobody else knows.
#[derive(Debug, Default)]
pub struct LeftBehind {
    /// Spools that are none of these flows' and have messages in them: nobody delivers those, though they were acknowledged.
    pub spools: Vec<PathBuf>,
    /// Sessions that brokers keep and nobody connects to, with the file that remembers each.
    pub sessions: Vec<(PathBuf, Memory)>,
}

/// Looks for what these flows, by name, do not go on with.
#[must_use]
pub fn left_behind(state_directory: &Path, flows: &[(&str, &Settings)]) -> LeftBehind {
    let ours: Vec<PathBuf> = flows.iter().map(|(flow, _)| folder(state_directory, flow)).collect();
    let listed = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort_unstable();
        paths
    };
    let mut left = LeftBehind::default();
    for folder in listed(&folders(state_directory)) {
        for path in listed(&folder) {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let is_memory = name.starts_with(MEMORY) && name.ends_with(".json");
            let text = if is_memory { std::fs::read_to_string(&path).ok() } else { None };
            let memory = text.and_then(|text| Memory::read(&text)).filter(|memory| memory.is_kept);
            let lost = memory.filter(|memory| !flows.iter().any(|(_, settings)| memory.belongs_to(settings)));
            left.sessions.extend(lost.map(|memory| (path, memory)));
        }
        if !ours.contains(&folder) && Spool::has_messages(&folder) {
            left.spools.push(folder);
        }
    }
    left
}

/// The pattern under which the tailing thread finds the files of the spool.
#[must_use]
pub fn pattern(state_directory: &Path, flow: &str) -> String {
    Spool::pattern(&folder(state_directory, flow))
}

/// The receiving half of an MQTT flow.
pub struct Receiver {
    flow: String,
    settings: Arc<Settings>,
    folder: PathBuf,
    signer: Signer,
    keep: Keep,
    counters: Arc<Counters>,
    settled: SettledFiles,
    spool: Option<Spool>,
    /// Batches that wait for the disk.
    queue: Queue,
    report: Option<Instant>,
    /// Why a delivered file cannot be deleted, as it was logged last.
    stuck: Option<String>,
}

impl Receiver {
    /// Opens the spool and cuts what a crash left unfinished; to be called before anyone tails it. A spool that cannot be
    /// opened is tried again once this runs.
    #[must_use]
    pub fn open(
        flow: String,
        settings: Settings,
        state_directory: &Path,
        settled: SettledFiles,
        signer: Signer,
        keep: Keep,
    ) -> Self {
        let counters = Arc::new(Counters::new(&settings.topics, settings.connections));
        let mut receiver = Self {
            folder: folder(state_directory, &flow),
            flow,
            settings: Arc::new(settings),
            signer,
            keep,
            counters,
            settled,
            spool: None,
            queue: Queue::default(),
            report: None,
            stuck: None,
        };
        receiver.try_open();
        receiver
    }

    /// One line for each change of the reason.
    fn try_open(&mut self) {
        let opened = Spool::open(&self.folder, self.settings.max_spool.as_u64(), self.settled.clone(), clock::now_ms());
        let trouble = opened.as_ref().err().map(SpoolError::to_string);
        self.spool = opened.ok();
        let flow = self.flow.as_str();
        if !self.counters.stands(self.counters.spool_place(), false, trouble.as_deref()) {
            return;
        }
        match trouble {
            Some(reason) => tracing::error!(
                message_id = ids::SPOOL_FAILS,
                flow,
                reason,
                "the spool cannot be opened, so this flow receives nothing; fix the cause, it retries by itself. Messages \
                 that wait for delivery may be in the folder, so do not delete it"
            ),
            None => tracing::info!(flow, "the spool is open; receiving"),
        }
    }

    /// Tries until the spool is open. Returns whether it is; the switch may come first.
    async fn opened(&mut self, stop: &mut watch::Receiver<bool>) -> bool {
        while self.spool.is_none() {
            tokio::select! {
                () = tokio::time::sleep(OPEN_AGAIN) => {}
                _ = stop.wait_for(|stop| *stop) => return false,
            }
            // Rare, and on the thread of the flows: a folder is listed, and the ends of its files are read.
            self.try_open();
        }
        true
    }

    /// The numbers that others look at.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Receives until it is stopped; then syncs and acknowledges what it has, as far as the disk lets it.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        if !self.opened(&mut stop).await {
            return;
        }
        let (commits, mut arriving) = mpsc::channel(self.settings.connections.into());
        let mut sessions = self.sessions(&commits, &stop);
        drop(commits);
        let mut awaits = self.collect();
        let mut collect_at = Instant::now() + COLLECT_EVERY;
        let mut try_again = None;
        loop {
            if sessions.is_empty() && try_again.is_some() {
                // What is left cannot be synced and was not acknowledged: the broker has it.
                break;
            }
            let report = self.report.unwrap_or(collect_at);
            tokio::select! {
                commit = arriving.recv(), if self.queue.is_empty() => match commit {
                    Some(commit) => {
                        self.queue.push(commit);
                        while let Ok(commit) = arriving.try_recv() {
                            self.queue.push(commit);
                        }
                        try_again = self.sync().await;
                        awaits = true;
                    }
                    None => break,
                },
                () = tokio::time::sleep_until(try_again.unwrap_or(collect_at)), if try_again.is_some() => {
                    awaits = self.collect();
                    try_again = self.sync().await;
                }
                () = tokio::time::sleep_until(collect_at), if awaits => {
                    awaits = self.collect();
                    collect_at = Instant::now() + COLLECT_EVERY;
                }
                () = tokio::time::sleep_until(report), if self.report.is_some() => self.tell(),
                Some(ended) = sessions.join_next() => {
                    if let Err(died) = ended {
                        std::panic::resume_unwind(died.into_panic());
                    }
                }
            }
        }
        self.collect();
    }

    fn sessions(&self, commits: &mpsc::Sender<Commit>, stop: &watch::Receiver<bool>) -> JoinSet<()> {
        let mut sessions = JoinSet::new();
        for number in 0..self.settings.connections {
            let session = Session {
                flow: self.flow.clone(),
                number,
                settings: self.settings.clone(),
                signer: self.signer.clone(),
                counters: self.counters.clone(),
                commits: commits.clone(),
                memory: self.folder.join(format!("{MEMORY}{}.json", number + 1)),
                stop: stop.clone(),
                acks: Acks::default(),
                group: Group::new(self.settings.sync_interval),
                intake: Intake::new(self.settings.clone(), self.counters.clone(), fastrand::u64(..)),
                under_way: None,
                announced: false,
                breached: false,
                verdicts: BTreeMap::new(),
                expiry: None,
                spare: Vec::new(),
            };
            sessions.spawn(session.run());
        }
        sessions
    }

    /// Appends and syncs what waits, on a thread that may wait for the disk. Returns when to try again, if it must.
    async fn sync(&mut self) -> Option<Instant> {
        let mut spool = self.spool.take().expect("it comes back from every sync");
        let (mut queue, keep) = (std::mem::take(&mut self.queue), self.keep.clone());
        let job = move || {
            let written = queue.write(&mut spool, &keep, clock::now_ms());
            (spool, queue, written)
        };
        let (spool, queue, written) = match tokio::task::spawn_blocking(job).await {
            Ok(back) => back,
            Err(died) => std::panic::resume_unwind(died.into_panic()),
        };
        self.spool = Some(spool);
        self.queue = queue;
        if !written.safe.is_empty() {
            written.safe.into_iter().for_each(|commit| self.synced(commit));
            self.report.get_or_insert_with(|| Instant::now() + REPORT_EVERY);
        }
        // While it empties it has room now and then; it is well again once there is some in reserve.
        let recovering = written.error.is_none() && self.counters.full.value() == 1;
        if !recovering || self.spool.as_ref().is_some_and(Spool::has_reserve) {
            self.stands(written.error.as_deref());
        }
        written.error.map(|_| Instant::now() + TRY_AGAIN)
    }

    fn synced(&self, commit: Commit) {
        let Commit { batch, done } = commit;
        self.counters.syncs.add(1);
        for (subscription, count) in self.counters.subscriptions.iter().zip(&batch.counts) {
            subscription.spooled.add(*count);
        }
        let mut lines = batch.lines;
        lines.clear();
        // A session that has ended needs no answer.
        done.send(lines).ok();
    }

    /// One line for each change.
    fn stands(&self, trouble: Option<&str>) {
        let counters = &self.counters;
        counters.full.set(trouble.is_some().into());
        if !counters.stands(counters.spool_place(), false, trouble) {
            return;
        }
        let flow = self.flow.as_str();
        match trouble {
            Some(reason) => tracing::warn!(
                message_id = ids::SPOOL_FAILS,
                flow,
                reason,
                "messages cannot be spooled; nothing is acknowledged meanwhile, and the broker keeps the rest"
            ),
            None => tracing::info!(flow, "messages are spooled and acknowledged again"),
        }
    }

    /// Deletes what is settled. Returns whether more is to be expected.
    fn collect(&mut self) -> bool {
        let Some(spool) = &mut self.spool else { return true };
        let standing = spool.collect();
        for file in &standing.touched {
            tracing::warn!(
                flow = self.flow,
                file = %file.display(),
                "somebody removed or cut a file of the spool; messages in it that were not delivered are lost"
            );
        }
        if let (Some(reason), None) = (&standing.stuck, &self.stuck) {
            tracing::warn!(
                flow = self.flow,
                reason,
                "a delivered file of the spool cannot be deleted and takes room; tried again until it can"
            );
        }
        self.stuck = standing.stuck;
        let recovered = self.counters.full.value() == 1 && self.queue.is_empty() && spool.has_reserve();
        self.counters.spool_bytes.set(standing.bytes);
        self.counters.spool_oldest.set(standing.oldest.unwrap_or(0));
        for (subscription, count) in self.counters.subscriptions.iter().zip(&standing.delivered) {
            subscription.delivered.add(*count);
        }
        if recovered {
            self.stands(None);
        }
        standing.awaits
    }

    /// One line a subscription about what came, once a minute while something does.
    fn tell(&mut self) {
        self.report = None;
        for subscription in &self.counters.subscriptions {
            let Subscription { topic, received, redelivered, spooled, acknowledged, delivered, refused, dropped } =
                subscription;
            if received.value() == 0 {
                continue;
            }
            tracing::info!(
                flow = self.flow,
                topic,
                received = received.value(),
                redelivered = redelivered.value(),
                spooled = spooled.value(),
                acknowledged = acknowledged.value(),
                delivered = delivered.value(),
                refused = refused.value(),
                dropped = dropped.value(),
                "messages since the start"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_has_a_spool_of_its_own_below_the_state_folder_whatever_its_name() {
        let names = [".", "..", "_.", "_..", "__..", "_", "a"];
        let folders: std::collections::BTreeSet<PathBuf> =
            names.iter().map(|name| folder(Path::new("/s"), name)).collect();
        assert_eq!(folders.len(), names.len());
        assert!(folders.iter().all(|folder| folder.parent() == Some(Path::new("/s/spool"))));
    }
}
