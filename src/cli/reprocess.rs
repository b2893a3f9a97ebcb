//! Quarantined records that were never processed, taken through the options that their flow has now.
//! Promises the same verdict and the same form of the call as the running flow would have, under the configuration of now.
//! Leaves sending, and the files of the quarantine, to replay.

use crate::config::FlowPlan;
use crate::deliver::Call;
use crate::deliver::quarantine::{Entry, EntryOrigin};
use crate::deliver::session::Target;
use crate::machine::Sources;
use crate::telemetry::clock;
use datalake_base::record::{FileKey, Position};
use datalake_core::batch::{self, Form, Lines, Packer};
use datalake_process::{Instance, NotReady, Place, Processor, Settings, Verdict};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What a record has become.
#[derive(Debug)]
pub enum Prepared {
    /// It can be sent, to this service.
    Call(Call, Target),
    /// The options drop it now.
    Dropped(String),
    /// It cannot be sent; why, and what would do.
    Failed(String),
}

/// The flows of the configuration, ready to process what they failed to before.
#[derive(Debug, Default)]
pub struct Reprocess {
    flows: BTreeMap<String, (Processor, Arc<batch::Settings>)>,
}

impl Reprocess {
    /// The same; asks the machine what it is, where an option adds that.
    ///
    /// # Errors
    /// When an environment variable is missing that an option needs.
    pub async fn prepared(flows: &[Arc<FlowPlan>], raw: bool) -> Result<Self, NotReady> {
        let asked = !raw && flows.iter().any(|flow| flow.process.instance().is_some());
        let instance = match asked {
            true => Sources::from_environment(|name| std::env::var(name).ok()).fetch().await.ok().map(Arc::new),
            false => None,
        };
        Self::new(flows, raw, instance.as_ref())
    }

    /// For these flows; `raw` leaves their options out.
    ///
    /// # Errors
    /// When an environment variable is missing that an option needs.
    pub fn new(flows: &[Arc<FlowPlan>], raw: bool, instance: Option<&Arc<Instance>>) -> Result<Self, NotReady> {
        let none = Settings::default();
        let prepared = flows.iter().map(|flow| {
            let settings = if raw { &none } else { &flow.process };
            let processor = Processor::new(settings, &crate::app::surroundings(flow, instance.cloned()))?;
            let processor = processor.with_terminator(&flow.framing.terminator);
            Ok((flow.name.clone(), (processor, flow.batch.clone())))
        });
        Ok(Self { flows: prepared.collect::<Result<_, _>>()? })
    }

    /// Takes a record through the options of its flow.
    pub fn prepare(&mut self, entry: &Entry) -> Prepared {
        let Some((processor, batch)) = self.flows.get_mut(&entry.flow) else {
            return Prepared::Failed(format!(
                "there is no flow `{}` any more whose options could process it; give a flow that name, or replay with --raw",
                entry.flow
            ));
        };
        let Ok(record) = base64_simd::STANDARD.decode_to_vec(&entry.data) else {
            return Prepared::Failed("its data is not base64: the file was changed".to_owned());
        };
        let origin = entry.origins.first();
        let path = origin.map(path).unwrap_or_default();
        let place = Place {
            path: &path,
            file: origin.map_or_else(FileKey::default, |origin| FileKey {
                device: origin.device,
                inode: origin.inode,
                born: origin.born,
            }),
            generation: origin.and_then(|origin| origin.generation),
            position: Position(origin.map_or(0, |origin| origin.start)),
            input: origin.map_or(0, |origin| origin.end.saturating_sub(origin.start)),
            now_ms: clock::now_ms(),
        };
        let mut out = Vec::new();
        match processor.process(&record, &place, &mut out) {
            Verdict::Kept | Verdict::KeptRaw(_) if out.is_empty() => {
                Prepared::Dropped("the options leave nothing of it".to_owned())
            }
            Verdict::Kept | Verdict::KeptRaw(_) => Self::call(batch, &entry.stream, &path, &out),
            Verdict::Dropped(reason) => Prepared::Dropped(reason.to_string()),
            Verdict::Failed(reason) => Prepared::Failed(reason.to_string()),
        }
    }

    /// The call of one record in the form that the flow has.
    fn call(batch: &batch::Settings, stream: &str, path: &Path, out: &[u8]) -> Prepared {
        let settings = batch::Settings { stream: stream.to_owned(), ..batch.clone() };
        let mut packer = Packer::new(settings, fastrand::Rng::new());
        let key = packer.key_of_path(path);
        if packer.space().bytes < out.len() {
            return Prepared::Failed(format!(
                "with {} bytes it is longer than a record of this flow may be now; give `maxBufferSizeBytes` more",
                out.len()
            ));
        }
        let lines = Lines { bytes: out, input: 0, count: 1, read_at: Instant::now(), key: key.as_deref() };
        // Its bytes are no part of a running flow: nobody holds a receipt for them.
        let before = packer.append(lines, |_| None);
        assert!(before.is_none(), "there was no batch before");
        let [first, last] = packer.seal();
        let sealed = last.or(first).expect("a batch that holds a record can be sealed");
        let destination = match batch.form {
            Form::Firehose => Target::Firehose,
            Form::Kinesis(_) => Target::Kinesis,
        };
        Prepared::Call(Call { body: sealed.body(), records: sealed.count() }, destination)
    }
}

/// Where the record came from, byte for byte.
pub(super) fn path(origin: &EntryOrigin) -> PathBuf {
    let bytes = origin.path_base64.as_ref().and_then(|path| base64_simd::STANDARD.decode_to_vec(path).ok());
    bytes.map_or_else(|| PathBuf::from(&origin.path), |bytes| PathBuf::from(OsString::from_vec(bytes)))
}
