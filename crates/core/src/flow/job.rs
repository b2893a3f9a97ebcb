//! A record that is processed elsewhere, because that may take long.
//! Promises the same result as in a step of the flow: whatever it needs is in it.
//! Leaves when it is made and what follows from it to processing, and where it runs to the shell.

use datalake_base::record::{OriginInfo, Position};
use datalake_process::{Place, Processor, Verdict};
use std::sync::Arc;

/// A record to be taken through the steps where that may take long.
#[derive(Debug)]
pub struct Job {
    pub(super) processor: Processor,
    pub(super) record: Vec<u8>,
    pub(super) info: Arc<OriginInfo>,
    /// Of the moment at which the record was framed.
    pub(super) generation: Option<u64>,
    pub(super) position: Position,
    pub(super) input: u64,
    pub(super) now_ms: u64,
}

/// What became of it.
#[derive(Debug)]
pub struct Processed {
    pub(super) processor: Processor,
    pub(super) record: Vec<u8>,
    pub(super) out: Vec<u8>,
    pub(super) verdict: Verdict,
}

impl Job {
    /// Long records of all flows together that are worked on at the same time; memory is set aside for them.
    pub const AT_A_TIME: usize = 2;

    /// The length of its record.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.record.len()
    }

    /// Does it; the same record always comes to the same end.
    #[must_use]
    pub fn run(self) -> Processed {
        let Self { mut processor, record, info, generation, position, input, now_ms } = self;
        let place = Place { path: &info.path, file: info.file, generation, position, input, now_ms };
        let mut out = Vec::new();
        let verdict = processor.process(&record, &place, &mut out);
        Processed { processor, record, out, verdict }
    }
}
