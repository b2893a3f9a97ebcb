//! Records that a delivery stream could not deliver or a function failed: objects below `errors/` in the folder of the
//! lake, as Firehose writes them.
//! Promises that a record is sent again as it first came, and that its object is moved away only when all of its records
//! were taken, so that a replay which was killed sends some records again and loses none.
//! Leaves bringing objects from the bucket to the AWS CLI.

use crate::Exit;
use crate::config::Lake;
use crate::engine::aws::Aws;
use base64_simd::STANDARD;
use datalake_base::shown::shown;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

const FOLDER: &str = "errors";
/// Replayed objects go here; a hidden name.
const REPLAYED: &str = ".replayed";
/// Of a call of Firehose.
const MOST_RECORDS: usize = 500;
const MOST_BYTES: usize = 4 << 20;
const LARGEST_RECORD: usize = 1_024_000;
/// An object of errors is no larger, unpacked.
const LARGEST_OBJECT: u64 = 512 << 20;

/// One object of failed records.
#[derive(Debug)]
pub struct Failed {
    /// Below the folder of the lake.
    pub path: PathBuf,
    /// Of which table.
    pub table: String,
    /// As they came in.
    pub records: Vec<Vec<u8>>,
    /// Reasons, with how many records each has.
    pub reasons: BTreeMap<String, u64>,
    /// Lines that are none of Firehose's.
    pub unreadable: u64,
}

/// Where an object of failed records is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    path: PathBuf,
    table: String,
}

/// All objects of failed records, of one table or of all; none is read.
#[must_use]
pub fn find(lake: &Lake, table: Option<&str>) -> Vec<Found> {
    let mut found = Vec::new();
    let folders = lake.tables.values().filter(|known| table.is_none_or(|name| name == known.name));
    for known in folders {
        // The template names the folder after the table, local-lake after the stream.
        let mut names = vec![known.name.as_str()];
        names.extend(known.stream.as_deref().filter(|stream| *stream != known.name));
        for name in names {
            let mut paths = Vec::new();
            gather(&lake.root.join(FOLDER).join(name), &mut paths);
            paths.sort();
            found.extend(paths.into_iter().map(|path| Found { path, table: known.name.clone() }));
        }
    }
    found
}

fn gather(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !hidden => gather(&path, found),
            Ok(kind) if kind.is_file() && !hidden => found.push(path),
            _ => {}
        }
    }
}

/// What is in one.
///
/// # Errors
/// When it cannot be read, is damaged, or is too large to be one.
pub fn read(root: &Path, found: &Found) -> Result<Failed, Exit> {
    let Found { path, table } = found;
    let cannot = |error: std::io::Error| Exit::Failed(format!("cannot read {}: {error}", shown(path.as_path())));
    let mut file = BufReader::new(File::open(path).map_err(cannot)?);
    let is_packed = file.fill_buf().map_err(cannot)?.starts_with(&[0x1f, 0x8b]);
    let mut text = Vec::new();
    if is_packed {
        flate2::bufread::MultiGzDecoder::new(file).take(LARGEST_OBJECT + 1).read_to_end(&mut text).map_err(cannot)?;
    } else {
        file.take(LARGEST_OBJECT + 1).read_to_end(&mut text).map_err(cannot)?;
    }
    // The beginning of one must not pass for the whole: a replay would move the rest away.
    if text.len() as u64 > LARGEST_OBJECT {
        let what = format!("{} holds more than 512 MiB, which no object of Firehose does", shown(path.as_path()));
        return Err(Exit::Failed(what));
    }
    let path = path.strip_prefix(root).unwrap_or(path).to_owned();
    let mut failed =
        Failed { path, table: table.clone(), records: Vec::new(), reasons: BTreeMap::new(), unreadable: 0 };
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).unwrap_or_default();
        let data = line["rawData"].as_str().and_then(|data| STANDARD.decode_to_vec(data).ok());
        match data {
            None => failed.unreadable += 1,
            Some(data) => {
                let text = |key: &str| line[key].as_str().unwrap_or("?").to_owned();
                *failed.reasons.entry(format!("{}: {}", text("errorCode"), text("errorMessage"))).or_default() += 1;
                failed.records.push(data);
            }
        }
    }
    Ok(failed)
}

/// Sends the records of an object to the stream of its table, and moves the object away; how many were sent.
///
/// # Errors
/// When Firehose does not take a record; the object stays.
pub async fn replay(aws: &Aws, lake: &Lake, failed: &Failed) -> Result<u64, Exit> {
    let path = failed.path.display();
    if failed.unreadable > 0 {
        return Err(Exit::Failed(format!(
            "{path}: {} lines are none of Firehose's; take them out first",
            failed.unreadable
        )));
    }
    let stream = lake.tables.get(&failed.table).and_then(|table| table.stream.as_deref());
    let stream = stream.ok_or_else(|| format!("{path}: the table `{}` has no stream", failed.table))?;
    if let Some(record) = failed.records.iter().find(|record| record.len() > LARGEST_RECORD) {
        return Err(Exit::Failed(format!("{path}: a record has {} bytes, which Firehose does not take", record.len())));
    }
    let mut rest = failed.records.as_slice();
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |record: &&Vec<u8>| {
            bytes += record.len().div_ceil(3) * 4;
            bytes <= MOST_BYTES
        };
        let count = rest.iter().take(MOST_RECORDS).take_while(fits).count().max(1);
        let (batch, after) = rest.split_at(count);
        put(aws, stream, batch).await?;
        rest = after;
    }
    let from = lake.root.join(&failed.path);
    let to = lake.root.join(FOLDER).join(REPLAYED).join(failed.path.strip_prefix(FOLDER).unwrap_or(&failed.path));
    let cannot = |error: std::io::Error| {
        Exit::Failed(format!("{path} was replayed, but cannot be moved away: {error}; remove it"))
    };
    to.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(cannot)?;
    std::fs::rename(from, to).map_err(cannot)?;
    Ok(failed.records.len() as u64)
}

/// One call, and again those of its records that were not taken.
async fn put(aws: &Aws, stream: &str, batch: &[Vec<u8>]) -> Result<(), Exit> {
    const TRIES: u32 = 6;
    let mut left: Vec<&Vec<u8>> = batch.iter().collect();
    for tried in 0..TRIES {
        let records: Vec<Value> =
            left.iter().map(|record| json!({"Data": STANDARD.encode_to_string(record)})).collect();
        let request = json!({"DeliveryStreamName": stream, "Records": records});
        let answer = aws.json("firehose", "Firehose_20150804.PutRecordBatch", &request).await?;
        let entries = answer["RequestResponses"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Of a record without an entry nobody knows whether it was taken.
        let taken = |number: usize| entries.get(number).is_some_and(|entry| entry["ErrorCode"].is_null());
        left = left.iter().enumerate().filter(|(number, _)| !taken(*number)).map(|(_, record)| *record).collect();
        if left.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(200 << tried)).await;
    }
    Err(Exit::Failed(format!(
        "Firehose did not take {} of {} records of `{stream}`; try again later",
        left.len(),
        batch.len()
    )))
}
