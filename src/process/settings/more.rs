//! What the options mean that the Kinesis Agent does not have.
//! Promises that each refuses what it could not do at run time.
//! Leaves the options of the Kinesis Agent to original.

use super::Step;
use super::reader::Reader;
use crate::process::provenance::Provenance;

pub(super) fn provenance(reader: &mut Reader<'_>) -> Option<Step> {
    let prefix = reader.text("prefix").unwrap_or_else(|| "source_".to_owned());
    Some(Step::with_surroundings("ADDPROVENANCE", move |surroundings| Ok(Provenance::new(&prefix, &surroundings.host))))
}
