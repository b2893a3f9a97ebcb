//! The configuration as the operator wrote it, with the place of every value.
//! Promises that each value lies in its own range; what is left out has its default.
//! Leaves the keys to `keys`, and what values mean together, and everything that must compile, to `plan`.

use super::json::Value;
use super::keys::{self, Written, WrittenFlow};
use super::report::{Kind, Placed, Report};
use super::section::{Object, Section, subject};
use super::ways::{Each, Way};

/// Decodes the main file.
pub(super) fn main(root: &Value, report: &mut Report) -> Option<Written> {
    let section = Section::open(Written::level(), root, "", report)?;
    Some(Written::read(&section, report))
}

/// Decodes a file of `agent.d`.
pub(super) fn fragment(root: &Value, report: &mut Report) -> Vec<WrittenFlow> {
    let Some(section) = Section::open(&keys::FRAGMENT, root, "", report) else { return Vec::new() };
    if section.value(&keys::FLOWS).is_none() {
        let help = "add a list `flows`, or remove the file";
        report.add(Kind::Missing, &section.at, format!("{} has no `flows`", subject("")), help);
    }
    Each::read(&section, &keys::FLOWS, report)
}

impl WrittenFlow {
    /// The name of its stream, whichever service it is of.
    pub(super) fn stream(&self) -> Option<&Placed<String>> {
        self.streams().next()
    }

    /// The names of its streams: several where its files are shared out. The first names the positions.
    pub(super) fn streams(&self) -> impl Iterator<Item = &Placed<String>> {
        let firehose = self.delivery_stream.iter().chain(&self.delivery_streams);
        firehose.chain(self.kinesis_stream.as_ref().filter(|_| self.is_to_kinesis()))
    }

    /// Whether that is Kinesis Data Streams.
    pub(super) fn is_to_kinesis(&self) -> bool {
        self.delivery_stream.is_none() && self.delivery_streams.is_empty() && self.kinesis_stream.is_some()
    }
}
