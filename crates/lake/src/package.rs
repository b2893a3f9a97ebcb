//! The zip of the functions on AWS: the program, lake.json, the plan and the queries.
//! Promises the same bytes for the same files, and a program that may be run.
//! Leaves bringing it to AWS to the AWS CLI.

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::io::Write;

/// 1980-01-01: a zip knows no earlier day, and another one each time would make other bytes.
const DATE: u16 = (1 << 5) | 1;
/// Deflated.
const METHOD: u16 = 8;
/// 2.0, made on Unix.
const MADE_BY: u16 = 0x0314;

/// One file.
#[derive(Debug)]
pub struct Entry<'a> {
    /// With slashes.
    pub name: &'a str,
    /// What it holds.
    pub bytes: &'a [u8],
    /// Whether it may be run.
    pub runs: bool,
}

/// Entries as a zip.
///
/// # Errors
/// When an entry is too large for one.
pub fn zip(entries: &[Entry<'_>]) -> Result<Vec<u8>, String> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let too_large = |_| format!("{} is too large for a zip", entry.name);
        let mut crc = Crc::new();
        crc.update(entry.bytes);
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
        let packed = packer.write_all(entry.bytes).and_then(|()| packer.finish()).map_err(|error| error.to_string())?;
        let place = u32::try_from(out.len()).map_err(too_large)?;
        let name_length = u16::try_from(entry.name.len()).map_err(too_large)?;
        // What stands in front of the file and in the directory alike.
        let mut common = Vec::new();
        common.extend_from_slice(&20_u16.to_le_bytes());
        // Names are UTF-8.
        common.extend_from_slice(&(1_u16 << 11).to_le_bytes());
        common.extend_from_slice(&METHOD.to_le_bytes());
        common.extend_from_slice(&0_u16.to_le_bytes());
        common.extend_from_slice(&DATE.to_le_bytes());
        common.extend_from_slice(&crc.sum().to_le_bytes());
        common.extend_from_slice(&u32::try_from(packed.len()).map_err(too_large)?.to_le_bytes());
        common.extend_from_slice(&u32::try_from(entry.bytes.len()).map_err(too_large)?.to_le_bytes());
        common.extend_from_slice(&name_length.to_le_bytes());
        common.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&common);
        out.extend_from_slice(entry.name.as_bytes());
        out.extend_from_slice(&packed);
        let mode: u32 = if entry.runs { 0o100_755 } else { 0o100_644 };
        directory.extend_from_slice(b"PK\x01\x02");
        directory.extend_from_slice(&MADE_BY.to_le_bytes());
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 6]);
        directory.extend_from_slice(&(mode << 16).to_le_bytes());
        directory.extend_from_slice(&place.to_le_bytes());
        directory.extend_from_slice(entry.name.as_bytes());
    }
    let too_large = |_| "too much for a zip".to_owned();
    let place = u32::try_from(out.len()).map_err(too_large)?;
    let count = u16::try_from(entries.len()).map_err(too_large)?;
    let length = u32::try_from(directory.len()).map_err(too_large)?;
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&place.to_le_bytes());
    out.extend_from_slice(&0_u16.to_le_bytes());
    Ok(out)
}
