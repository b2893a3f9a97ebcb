//! The configuration proven runnable: patterns compiled, limits checked, memory summed.
//! Promises that after a plan exists nothing can be misconfigured.
//! Leaves the rules for patterns and regular expressions to the stages that use them.

/// Where and as whom to call.
mod access;
/// The flows, one by one and against each other.
mod flows;
/// What only a flow to Kinesis Data Streams may say.
mod kinesis;
/// What CloudWatch is told.
mod metrics;
/// Which region was meant.
mod regions;

pub(super) use flows::prove_flows;

use super::keys::Written;
use super::report::{Kind, Placed, Report, quoted};
use crate::{deliver, source};
use datalake_base::units::ByteSize;
use datalake_core::batch::{self, Compression};
use datalake_core::framing;

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Everything the agent needs to run. After this exists nothing can be misconfigured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the checkpoint, the lock and the quarantine live.
    pub state_directory: PathBuf,
    /// Where and as whom to call the service.
    pub session: deliver::session::Settings,
    /// All batches and buffers together stay below this.
    pub max_memory: ByteSize,
    /// How long a stop may take before what is unsent is left for the next start.
    pub shutdown_timeout: Duration,
    /// What CloudWatch is told; nothing where that is switched off, or makes no sense.
    pub metrics: Option<crate::metrics::Settings>,
    /// Where metrics are served for Prometheus.
    pub prometheus: Option<crate::prometheus::Listen>,
    /// The main file that it was read from.
    pub file: Option<PathBuf>,
    /// The beginning of the SHA-256 of the files that it was read from, in hexadecimal; empty where there were none.
    pub hash: String,
    /// At least one. All who need to know a flow share its plan: there may be thousands.
    pub flows: Vec<Arc<FlowPlan>>,
    /// What is allowed but perhaps not meant; worth one line each in the log.
    pub warnings: Report,
}

/// One flow.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    /// Unique, for the log: the delivery stream, with a number where several flows feed it.
    pub name: String,
    /// What was written of it.
    pub fingerprint: crate::config::Fingerprint,
    /// What is read.
    pub source: Arc<source::file::Settings>,
    /// What is received, where the source is a spool of messages; boxed, because thousands of flows have none.
    pub mqtt: Option<Box<source::mqtt::Settings>>,
    /// How bytes become lines.
    pub framing: framing::Settings,
    /// What is done with each of them.
    pub process: datalake_process::Settings,
    /// How lines become calls.
    pub batch: Arc<batch::Settings>,
    /// How fast calls may go.
    pub pace: deliver::pace::Settings,
    /// Calls under way at the same time; 1 keeps the order of lines.
    pub max_concurrent_requests: usize,
    /// The region of its stream, where it is not that of all.
    pub region: Option<String>,
    /// The role for its stream, where it is not that of all.
    pub role: Option<deliver::credentials::Role>,
}

impl Plan {
    /// Where and as whom to call for this flow.
    #[must_use]
    pub fn session_of(&self, flow: &FlowPlan) -> deliver::session::Settings {
        let mut session = self.session.clone();
        if let Some(region) = &flow.region {
            session = session.in_region(region);
        }
        session.role = flow.role.clone().or(session.role);
        session
    }
}

/// The budget where the configuration does not say: enough for a few flows at full speed.
const USUAL_MEMORY: ByteSize = ByteSize::mib(64);
/// Chunks between reading and batching: one being filled, one being framed.
const READ_BUFFERS: ByteSize = ByteSize::kib(2 * 256);
/// A record before and after compression, and the tables of the compressor at its highest level.
const GZIP_BUFFERS: ByteSize = ByteSize::mib(8);
impl FlowPlan {
    /// One full batch in its wire form.
    fn call_bytes(&self) -> u64 {
        let body = self.batch.form.body_bytes(self.batch.max_bytes, self.batch.max_records) as u64;
        let compressor = match self.batch.compression {
            Compression::None => 0,
            Compression::Gzip { .. } => GZIP_BUFFERS.as_u64(),
        };
        body + compressor
    }

    /// The same for a stream of Kinesis that takes records of at most so many bytes; it never needs more memory.
    #[must_use]
    pub fn within(mut self, record_bytes: usize) -> Self {
        self.batch = batch::Settings::clone(&self.batch).within(record_bytes).into();
        self.framing.max_line_bytes = self.framing.max_line_bytes.min(self.batch.longest_line());
        if let Some(mqtt) = &mut self.mqtt {
            mqtt.longest_line = self.framing.longest_whole_line();
        }
        self
    }

    /// The longest record that may come out of processing, in bytes: the longest that is sure to fit into a call.
    #[must_use]
    pub fn longest_record(&self) -> usize {
        self.batch.longest_line()
    }

    /// What the flow may hold beside its batches while it processes records, in bytes.
    fn processing_floor(&self) -> u64 {
        if self.process.is_empty() { 0 } else { datalake_process::Processor::memory_floor(self.longest_record()) }
    }

    /// What the flow uses when nothing else wants memory: a batch being filled, one for each call under way, what was
    /// just read, and the compressor.
    #[must_use]
    pub fn most_memory(&self) -> ByteSize {
        let batches = self.call_bytes() * (1 + self.max_concurrent_requests as u64);
        ByteSize::bytes(batches + READ_BUFFERS.as_u64() + self.processing_floor())
    }
}

/// Memory, in bytes, that these flows need whatever else there is: a longest line in its wire form each, what processing
/// holds, and what the options may need while they work on as many records as all flows together do at a time.
#[must_use]
pub fn set_aside(flows: &[impl Borrow<FlowPlan>]) -> u64 {
    let flows = || flows.iter().map(Borrow::borrow);
    let floors: u64 = flows().map(|flow| flow.batch.memory_floor() + flow.processing_floor()).sum();
    let processing = || flows().filter(|flow: &&FlowPlan| !flow.process.is_empty());
    let at_a_time = processing().count().min(datalake_core::flow::Job::AT_A_TIME) as u64;
    let working = processing().map(|flow| datalake_process::Processor::working_memory(flow.longest_record())).max();
    floors + at_a_time * working.unwrap_or(0)
}

/// Everything but the flows, and what concerns all flows together.
pub(super) fn prove(written: Written, flows: Vec<FlowPlan>, world_readable: bool, report: &mut Report) -> Plan {
    let session = access::prove(&written, world_readable, report);
    let metrics = metrics::prove(&written, &session, &flows, report);
    let prometheus = written.prometheus_listen.as_ref().and_then(|given| prove_listen(given, report));
    let max_memory = prove_memory(written.max_memory.as_ref(), &flows, report);
    let state_directory = prove_state_directory(&written.state_directory, report);
    // Not collected: that would keep the memory of what it is made of.
    let mut shared = Vec::with_capacity(flows.len());
    shared.extend(
        flows.into_iter().map(|flow| Arc::new(prove_spool(flow, &state_directory, &session, &written, report))),
    );
    Plan {
        state_directory,
        session,
        max_memory,
        shutdown_timeout: Duration::from_millis(written.shutdown_timeout_millis),
        metrics,
        prometheus,
        file: None,
        hash: String::new(),
        flows: shared,
        warnings: Report::default(),
    }
}

/// What an MQTT flow takes from outside of it: the folder of its spool, and the region that its address is signed for.
fn prove_spool(
    mut flow: FlowPlan,
    state_directory: &Path,
    session: &deliver::session::Settings,
    written: &Written,
    report: &mut Report,
) -> FlowPlan {
    let Some(mqtt) = &mut flow.mqtt else { return flow };
    let pattern = source::mqtt::pattern(state_directory, &flow.name);
    Arc::make_mut(&mut flow.source).include = source::file::discover::Pattern::parse(&pattern).into_iter().collect();
    if let Some(region) = mqtt.sign_for.as_mut().filter(|region| region.is_empty()) {
        match &session.region {
            Some(known) => region.clone_from(known),
            None => {
                let message =
                    format!("the address of the broker of flow `{}` is to be signed, for no known region", flow.name);
                report.add(Kind::Missing, &written.opened.at, message, "add \"region\", such as \"eu-central-1\"");
            }
        }
    }
    flow
}

fn prove_listen(given: &Placed<String>, report: &mut Report) -> Option<crate::prometheus::Listen> {
    crate::prometheus::Listen::parse(&given.value)
        .map_err(|bad| {
            let message = format!("`{}` is {}, {}", given.at.path, quoted(&given.value), bad.reason());
            report.add(Kind::BadEndpoint, &given.at, message, bad.help());
        })
        .ok()
}

fn prove_state_directory(given: &Placed<String>, report: &mut Report) -> PathBuf {
    let text = &given.value;
    if !text.starts_with('/') {
        let message = format!("`{}` is {}, which is not an absolute path", given.at.path, quoted(text));
        report.add(Kind::BadPath, &given.at, message, "begin with a slash, such as \"/var/lib/datalake-agent\"");
    } else if text.contains('\0') {
        let message = format!("`{}` holds a NUL character", given.at.path);
        report.add(Kind::BadPath, &given.at, message, "remove \\u0000; no path can hold it");
    }
    PathBuf::from(text)
}

/// The budget is shared: at any time the flow with the largest call must be able to fill it while all others hold
/// their minimum, or flows could wait for each other.
/// The budget: as it is written if that is enough, else as much as the flows need.
fn prove_memory(given: Option<&Placed<u64>>, flows: &[FlowPlan], report: &mut Report) -> ByteSize {
    let largest = flows.iter().map(FlowPlan::call_bytes).max().unwrap_or(0);
    let shares = set_aside(flows);
    let needed = ByteSize::mib((shares + largest).div_ceil(1 << 20));
    let Some(given) = given else { return needed.max(USUAL_MEMORY) };
    let budget = ByteSize::bytes(given.value);
    if shares + largest > budget.as_u64() {
        let mib = |bytes: u64| ByteSize::mib(bytes.div_ceil(1 << 20));
        let message = format!(
            "`maxMemoryBytes` is {budget}, but the flows ({}) need {needed}: {} to hold a longest line each, and {} for \
             the largest call",
            flows.len(),
            mib(shares),
            mib(largest)
        );
        let help = format!("set \"maxMemoryBytes\": \"{needed}\" or more, or join flows: `filePattern` can be a list");
        report.add(Kind::Memory, &given.at, message, help);
    }
    budget
}

#[cfg(test)]
mod tests;
