//! x
use crate::Outcome;
use std::path::{Path, PathBuf};
pub(crate) fn main(_a: &[String]) -> Outcome<()> {
    Err("todo".into())
}
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) payload: u64,
    pub(crate) records: u64,
    pub(crate) calls: u64,
}
impl Counts {
    pub(crate) fn since(&self, o: &Self) -> Self {
        Self { payload: self.payload - o.payload, records: self.records - o.records, calls: self.calls - o.calls }
    }
}
pub(crate) struct Lake {
    pub(crate) endpoint: String,
    pub(crate) authority: Option<PathBuf>,
}
impl Lake {
    pub(crate) fn start(_f: &Path, _t: bool) -> Outcome<Self> {
        Err("todo".into())
    }
    pub(crate) fn counts(&self) -> Outcome<Counts> {
        Err("todo".into())
    }
}
