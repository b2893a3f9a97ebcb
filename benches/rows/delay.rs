//! How late the lines of one flow are while another flow meets what is made to hold it up.
//! Promises that every line of the good flow arrived, or an error.
//! Leaves what becomes of the other flow to the tests.

use super::latency::late;
use super::{Bench, mib, quantile};
use crate::Outcome;
use crate::hostile;
use crate::lake::{Lake, Way};
use crate::processes::Beside;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What a call waits for more lines.
const AGE: u64 = 10;
/// Lines before the other flow has anything to do, and while it has: twelve seconds of them.
const BEFORE: usize = 50;
const DURING: usize = 600;

/// Fills a folder; files in the case.
type Fill = fn(&Path, usize) -> Outcome<()>;

/// What the other flow meets; files, and how late another flow may be, in milliseconds.
const CASES: [(&str, Fill, usize, f64); 8] = [
    ("nothing", nothing, 0, 250.0),
    ("960 GiB of skippable frames, as .zst", skippable_frames, 1, 250.0),
    ("4,000,000 empty bzip2 streams", empty_streams, 1, 250.0),
    ("300 bzip2 archives", archives, 300, 250.0),
    ("1 GiB of zeros, as .gz", zeros, 1, 250.0),
    ("a sparse file of 1 TiB", sparse, 1, 250.0),
    ("100,000 files at once", crowd, 100_000, 1000.0),
    ("400,000 files at once", crowd, 400_000, 1000.0),
];

/// The longest line that an option may be given: a record of Kinesis at its largest, less its partition key.
const LONGEST: usize = (10 << 20) - 1024;
/// Lines beside each hostile one: four seconds.
const BESIDE_A_LINE: usize = 200;

/// A row for each case.
pub(crate) fn of_another_flow(bench: &mut Bench) -> Outcome<()> {
    for (case, fill, files, most) in CASES {
        if bench.quick && files > 1_000 {
            println!("{case}: not in a quick run");
            continue;
        }
        let lines = if bench.quick { DURING / 6 } else { DURING };
        one(bench, case, most, |measure| {
            let beside = measure.beside.join("now/*");
            let flow = serde_json::json!({
                "filePattern": beside, "deliveryStream": "beside", "initialPosition": "START_OF_FILE"
            });
            fill(&measure.staged, files)?;
            measure.late(Beside { flows: vec![flow], kinesis: None }, lines)
        });
    }
    Ok(())
}

/// A row for each option that a line of 10 MiB is made for, and for each pattern of the first lines of records.
pub(crate) fn of_hostile_lines(bench: &mut Bench) -> Outcome<()> {
    let length = if bench.quick { LONGEST / 10 } else { LONGEST };
    let options = hostile::lines(length).into_iter();
    let options = options.map(|(what, options, line)| (what.to_owned(), "dataProcessingOptions", options, line));
    let starts = hostile::starts(length).into_iter().map(|(start, mut text)| {
        text.push(b'\n');
        (format!("records that begin with {start}"), "multiLineStartPattern", start.into(), text)
    });
    for (what, key, value, text) in options.chain(starts) {
        one(bench, &what, 250.0, |measure| {
            std::fs::write(measure.staged.join("app.log"), [&text[..], b"{\"good\": 1}\n"].concat())?;
            let lake = Lake::start(&measure.staged, Way::Http)?;
            let mut flow = serde_json::json!({
                "filePattern": measure.beside.join("now/*.log"),
                "kinesisStream": "beside",
                "initialPosition": "START_OF_FILE",
                "maxRecordSizeBytes": 10 << 20,
            });
            flow[key] = value.clone();
            let kinesis = Some(lake.endpoint.clone());
            measure.late(Beside { flows: vec![flow], kinesis }, BESIDE_A_LINE)
        });
    }
    Ok(())
}

/// One row.
fn one(bench: &mut Bench, case: &str, most: f64, measure: impl FnOnce(&Measure) -> Outcome<(Vec<f64>, f64)>) {
    println!("another flow meets {case}");
    let name = format!("delay beside {case}");
    let Some((late, memory)) = bench.attempt(&name, |bench| measure(&Measure::begin(bench)?)) else { return };
    let note = format!(
        "most of {} lines beyond their age of {AGE} ms, p99 {:.1} ms; most memory {memory:.1} MiB",
        late.len(),
        quantile(&late, 0.99)
    );
    bench.table.add(&name, quantile(&late, 1.0), "ms", Some(most), note);
}

/// The folder of a run: what is staged comes to the other flow as a whole, by a rename.
struct Measure {
    folder: tempfile::TempDir,
    staged: PathBuf,
    beside: PathBuf,
}

impl Measure {
    fn begin(bench: &Bench) -> Outcome<Self> {
        let folder = bench.folder()?;
        let (staged, beside) = (folder.path().join("staged"), folder.path().join("beside"));
        fs::create_dir(&staged)?;
        fs::create_dir(&beside)?;
        Ok(Self { folder, staged, beside })
    }

    /// Milliseconds beyond their age of the lines that were written since the other flow has its files; MiB at most.
    fn late(&self, beside: Beside, lines: usize) -> Outcome<(Vec<f64>, f64)> {
        let come = || Ok(fs::rename(&self.staged, self.beside.join("now"))?);
        let (late, memory) = late(self.folder.path(), AGE, BEFORE, lines, beside, come)?;
        Ok((late, mib(memory)))
    }
}

fn nothing(_folder: &Path, _files: usize) -> Outcome<()> {
    Ok(())
}

/// Frames that a decoder skips, of nearly 4 GiB each, in a file that takes no room.
fn skippable_frames(folder: &Path, _files: usize) -> Outcome<()> {
    const SIZE: u32 = u32::MAX - 7;
    let mut file = File::create(folder.join("app.log.1.zst"))?;
    for number in 0..240_u64 {
        file.seek(SeekFrom::Start(number * (8 + u64::from(SIZE))))?;
        file.write_all(&0x184d_2a50_u32.to_le_bytes())?;
        file.write_all(&SIZE.to_le_bytes())?;
    }
    file.set_len(240 * (8 + u64::from(SIZE)))?;
    Ok(())
}

fn empty_streams(folder: &Path, _files: usize) -> Outcome<()> {
    let stream = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best()).finish()?;
    fs::write(folder.join("app.log.1.bz2"), stream.repeat(4_000_000))?;
    Ok(())
}

fn archives(folder: &Path, files: usize) -> Outcome<()> {
    for number in 0..files {
        let file = File::create(folder.join(format!("app.log.{number}.bz2")))?;
        let mut packed = bzip2::write::BzEncoder::new(file, bzip2::Compression::best());
        writeln!(packed, "archive {number} of many, with a line or two")?;
        packed.finish()?;
    }
    Ok(())
}

fn zeros(folder: &Path, _files: usize) -> Outcome<()> {
    let file = File::create(folder.join("app.log.1.gz"))?;
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        packed.write_all(&zeros)?;
    }
    packed.finish()?;
    Ok(())
}

fn sparse(folder: &Path, _files: usize) -> Outcome<()> {
    let mut file = File::create(folder.join("app.log"))?;
    file.set_len(1 << 40)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(b"the end\n")?;
    Ok(())
}

fn crowd(folder: &Path, files: usize) -> Outcome<()> {
    for number in 0..files {
        fs::write(folder.join(format!("job-{number:06}.log")), format!("job {number} ran and wrote one line\n"))?;
    }
    // What is not on the disk yet would be written while lines are timed.
    rustix::fs::sync();
    Ok(())
}
