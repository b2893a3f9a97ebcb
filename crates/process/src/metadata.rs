//! ADDMETADATA: the record as a string beside constant fields.
//! Promises the original's layout; what is the same for all records of a file is written out once.
//! Leaves the record itself unread, also where it is JSON.

use super::java::Pattern;
use super::json::escape;
use super::json::print::Format;
use super::template::{PerFile, Template, path_groups};
use super::time::write_millis;
use super::{Place, Stop, Work};

#[derive(Debug)]
pub(super) struct Metadata {
    /// The value of `metadata`, without holes that the start of the agent fills.
    template: Template,
    path_pattern: Option<Pattern>,
    timestamp: bool,
    format: Format,
    /// What stands between the time and the record.
    middle: PerFile<Vec<u8>>,
}

impl Metadata {
    pub(super) fn new(template: Template, path_pattern: Option<Pattern>, timestamp: bool, format: Format) -> Self {
        Self { template, path_pattern, timestamp, format, middle: PerFile::default() }
    }
}

impl Work for Metadata {
    fn apply(&mut self, record: &[u8], place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let Self { template, path_pattern, timestamp, format, middle } = self;
        let pretty = *format == Format::PrettyPrint;
        let middle = middle.get(place, || {
            let groups = path_groups(path_pattern.as_mut(), place)?;
            let mut middle = Vec::new();
            middle.extend_from_slice(match (*timestamp, pretty) {
                (true, true) => b"\",\n  \"metadata\" : ".as_slice(),
                (true, false) => b"\",\"metadata\":",
                (false, true) => b"{\n  \"metadata\" : ",
                (false, false) => b"{\"metadata\":",
            });
            template.fill(place, groups.as_ref(), &mut middle);
            middle.extend_from_slice(if pretty { b",\n  \"data\" : \"" } else { b",\"data\":\"" });
            Ok(middle)
        })?;
        out.reserve(middle.len() + record.len() + record.len() / 8 + 64);
        if *timestamp {
            out.extend_from_slice(if pretty { b"{\n  \"ts\" : \"" } else { b"{\"ts\":\"" });
            write_millis(place.now_ms, out);
        }
        out.extend_from_slice(middle);
        escape(out, record);
        out.extend_from_slice(if pretty { b"\"\n}".as_slice() } else { b"\"}" });
        Ok(())
    }

    fn line_end<'a>(&self, _: &'a [u8]) -> &'a [u8] {
        b"\n"
    }
}
