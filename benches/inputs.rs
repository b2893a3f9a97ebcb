//! The logs that are shipped: made once from a fixed seed, kept under `target/bench-data`.
//! Promises the same bytes on every machine, whole lines, and in each access-log line its file and number.
//! Leaves the page cache to the rows, which read a file once before they measure.

use crate::Outcome;
use fastrand::Rng;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Seed of all inputs; part of their names, with the version of the generator.
pub(crate) const SEED: u64 = 20_261_121;
const VERSION: u32 = 1;
/// Files of the third input.
const MANY: u64 = 200;

/// One input: files and their bytes.
pub(crate) struct Input {
    /// Short name, as the table shows it.
    pub(crate) name: &'static str,
    /// Its files.
    pub(crate) files: Vec<PathBuf>,
    /// What the agent is to watch.
    pub(crate) pattern: PathBuf,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Lines of all files.
    pub(crate) lines: u64,
}

/// The three inputs of the bulk rows.
pub(crate) struct Inputs {
    /// Access log, lines of about 113 bytes, one file.
    pub(crate) access: Input,
    /// JSON lines of about 1 KiB, one file.
    pub(crate) json: Input,
    /// The access log over 200 files.
    pub(crate) many: Input,
}

/// The inputs of the row `peers`, of the shape of those for which others publish figures.
pub(crate) struct PeerInputs {
    /// Lines of about 512 bytes, as a web server in front of others writes them, one file.
    pub(crate) plain: Input,
    /// Java exceptions of six lines, one file.
    pub(crate) traces: Input,
}

impl PeerInputs {
    /// As [`Inputs::prepare`].
    pub(crate) fn prepare(folder: &Path, bytes: u64) -> Outcome<Self> {
        let folder = folder.join(format!("inputs-v{VERSION}-{SEED}-{}MiB", bytes >> 20));
        Ok(Self {
            plain: prepare(&folder, "plain", &[("plain.log".to_owned(), 0)], bytes, plain_512)?,
            traces: prepare(&folder, "traces", &[("traces.log".to_owned(), 0)], bytes, trace)?,
        })
    }
}

impl Inputs {
    /// Makes what is not there yet. `bytes` is the size of each input.
    pub(crate) fn prepare(folder: &Path, bytes: u64) -> Outcome<Self> {
        let folder = folder.join(format!("inputs-v{VERSION}-{SEED}-{}MiB", bytes >> 20));
        let many: Vec<_> = (0..MANY).map(|number| (format!("access-{number:03}.log"), number + 1)).collect();
        Ok(Self {
            access: prepare(&folder, "access", &[("access.log".to_owned(), 0)], bytes, access_line)?,
            json: prepare(&folder, "json", &[("events.jsonl".to_owned(), 0)], bytes, json_line)?,
            many: prepare(&folder, "many", &many, bytes / MANY, access_line)?,
        })
    }
}

/// Appends the line with this number of this file.
type WriteLine = fn(&mut Vec<u8>, &mut Rng, u64, u64) -> Outcome<()>;

fn prepare(
    folder: &Path,
    name: &'static str,
    files: &[(String, u64)],
    bytes: u64,
    write_line: WriteLine,
) -> Outcome<Input> {
    let folder = folder.join(name);
    let record = folder.join("lines.count");
    if !record.exists() {
        println!("making input {name} ...");
        fs::create_dir_all(&folder)?;
        let mut lines = 0;
        for (file, number) in files {
            lines += make(&folder.join(file), *number, bytes, write_line)?;
        }
        // Written last: it says that the rest is whole.
        fs::write(&record, lines.to_string())?;
    }
    let paths: Vec<PathBuf> = files.iter().map(|(file, _)| folder.join(file)).collect();
    let mut total = 0;
    for path in &paths {
        total += fs::metadata(path)?.len();
    }
    let pattern = match paths.as_slice() {
        [only] => only.clone(),
        _ => folder.join("*.log"),
    };
    Ok(Input { name, files: paths, pattern, bytes: total, lines: fs::read_to_string(&record)?.trim().parse()? })
}

fn make(path: &Path, file: u64, bytes: u64, write_line: WriteLine) -> Outcome<u64> {
    let mut rng = Rng::with_seed(SEED ^ (file << 32) ^ bytes);
    let mut output = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut line = Vec::with_capacity(4096);
    let (mut written, mut lines) = (0, 0);
    loop {
        line.clear();
        write_line(&mut line, &mut rng, file, lines)?;
        if written + line.len() as u64 > bytes {
            break;
        }
        output.write_all(&line)?;
        written += line.len() as u64;
        lines += bytecount::count(&line, b'\n') as u64;
    }
    output.flush()?;
    Ok(lines)
}

const PATHS: [&str; 12] = [
    "/api/v1/orders",
    "/api/v1/items",
    "/static/app.js",
    "/login",
    "/api/v2/search",
    "/health",
    "/images/logo.png",
    "/api/v1/users",
    "/api/v1/cart",
    "/favicon.ico",
    "/api/v2/events",
    "/checkout",
];

/// A line as a web server writes it, then which line it is: `… SEQ:<file>:<number>`.
pub(crate) fn access_line(line: &mut Vec<u8>, rng: &mut Rng, file: u64, number: u64) -> Outcome<()> {
    let second = number / 50;
    let status = *pick(rng, &[200, 200, 200, 200, 200, 200, 304, 404, 302, 500]);
    writeln!(
        line,
        "10.{}.{}.{} - - [21/Nov/2026:{:02}:{:02}:{:02} +0000] \"GET {}/{} HTTP/1.1\" {status} {} \"-\" {}ms SEQ:{file:03}:{number:08}",
        rng.u8(0..4),
        rng.u8(0..16),
        rng.u8(1..255),
        second / 3600 % 24,
        second / 60 % 60,
        second % 60,
        pick(rng, &PATHS),
        rng.u32(1..10_000),
        rng.u32(100..20_000),
        rng.u32(1..400),
    )?;
    Ok(())
}

const WORDS: [&str; 24] = [
    "request",
    "completed",
    "user",
    "session",
    "started",
    "database",
    "connection",
    "timeout",
    "cache",
    "miss",
    "payment",
    "accepted",
    "order",
    "shipped",
    "retry",
    "upstream",
    "response",
    "queue",
    "depth",
    "worker",
    "finished",
    "validation",
    "token",
    "refreshed",
];

/// An event of about 1 KiB as a service logs it.
fn json_line(line: &mut Vec<u8>, rng: &mut Rng, _file: u64, number: u64) -> Outcome<()> {
    let second = number / 20;
    write!(
        line,
        "{{\"timestamp\":\"2026-11-21T{:02}:{:02}:{:02}.{:03}Z\",\"level\":\"{}\",\"logger\":\"com.example.shop.{}Service\",\
         \"thread\":\"http-nio-8080-exec-{}\",\"trace_id\":\"{:032x}\",\"span_id\":\"{:016x}\",\"sequence\":{number},\
         \"http\":{{\"method\":\"POST\",\"path\":\"{}/{}\",\"status\":{},\"duration_ms\":{}}},\
         \"kubernetes\":{{\"namespace\":\"production\",\"pod\":\"shop-backend-7d9f8b6c5d-{:05x}\",\"container\":\"backend\",\
         \"node\":\"ip-10-0-{}-{}.eu-central-1.compute.internal\",\"labels\":{{\"app\":\"shop\",\"tier\":\"backend\",\"version\":\"2026.11.{}\"}}}},\
         \"message\":\"",
        second / 3600 % 24,
        second / 60 % 60,
        second % 60,
        rng.u32(0..1000),
        pick(rng, &["INFO", "INFO", "INFO", "WARN", "DEBUG", "ERROR"]),
        pick(rng, &["Order", "Payment", "Cart", "Search"]),
        rng.u32(1..64),
        rng.u128(..),
        rng.u64(..),
        pick(rng, &PATHS),
        rng.u32(..),
        pick(rng, &[200, 200, 200, 201, 400, 404, 500]),
        rng.u32(1..3000),
        rng.u32(0..64),
        rng.u8(0..4),
        rng.u8(1..32),
        rng.u8(1..22),
    )?;
    while line.len() < 1_000 {
        write!(line, "{} ", pick(rng, &WORDS))?;
        if rng.u8(0..6) == 0 {
            write!(line, "{} ", rng.u32(0..100_000))?;
        }
    }
    line.extend_from_slice(b"\"}\n");
    Ok(())
}

const PAGES: [&str; 4] = [
    "/wp-admin/admin-ajax.php?action=slider_refresh&client_action=get_profile",
    "/catalogue/products/search?query=grand+piano&sort=price&page=12&currency=EUR",
    "/api/v3/customers/orders/history?from=2024-01-01&to=2024-06-30&limit=100",
    "/static/bundles/application-main.8f3a1c2b.js?version=2024.06.25&cache=bust",
];

/// A line of about 512 bytes.
pub(crate) fn plain_512(line: &mut Vec<u8>, rng: &mut Rng, _file: u64, number: u64) -> Outcome<()> {
    let (second, took) = (number / 20_000, rng.u32(1..900));
    writeln!(
        line,
        "203.0.{}.{} - - [25/Jun/2024:{:02}:{:02}:{:02} +0000] \"GET {} HTTP/1.1\" {} {} \
         \"https://www.example.com/search?q=sheet+music+pdf+download+site%3Aexample.org&ref=start&sa=X&biw=1920&bih=1080\" \
         \"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)\" \
         rt=0.{took:03} uct=\"0.001\" uht=\"0.{:03}\" urt=\"0.{took:03}\" sid={:032x}a1b2c3d uagent_hash={:032x}e5f6a7b \
         request_id=req-20240625-{:06}-{:03}",
        rng.u8(..),
        rng.u8(1..255),
        second / 3600 % 24,
        second / 60 % 60,
        second % 60,
        pick(rng, &PAGES),
        pick(rng, &[200, 200, 200, 200, 304, 404, 500]),
        rng.u32(100..100_000),
        took / 2,
        rng.u128(..),
        rng.u128(..),
        second % 1_000_000,
        rng.u32(0..1000),
    )?;
    Ok(())
}

/// An exception of six lines.
fn trace(line: &mut Vec<u8>, rng: &mut Rng, _file: u64, number: u64) -> Outcome<()> {
    let second = number / 2_000;
    writeln!(
        line,
        "[2024-01-04T{:02}:{:02}:{:02}.{:09}]     [{}] java.lang.Exception: exception happened",
        second / 3600 % 24,
        second / 60 % 60,
        second % 60,
        rng.u32(0..1_000_000_000),
        pick(rng, &["ERROR", "ERROR", "WARN", "FATAL"]),
    )?;
    for depth in (1..=5).rev() {
        let at = rng.u32(100..200);
        writeln!(line, "  at com.example.shop.devops.generator.type.RegexMultiLog.f{depth}(RegexMultiLog.java:{at})")?;
    }
    Ok(())
}

fn pick<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.usize(..choices.len())]
}

impl Input {
    /// Reads everything once, so that no row pays for the disk.
    pub(crate) fn warm(&self) -> Outcome<()> {
        let mut buffer = vec![0; 1 << 20];
        for path in &self.files {
            let mut file = File::open(path)?;
            while file.read(&mut buffer)? > 0 {}
        }
        Ok(())
    }

    /// The lines shipped one by one: `SEQ:<file>:<number>` at the end of an access-log line.
    pub(crate) fn sequence_of(line: &[u8]) -> Option<(u64, u64)> {
        let at = memchr::memmem::rfind(line, b" SEQ:")?;
        let text = std::str::from_utf8(line.get(at + 5..)?).ok()?;
        let (file, number) = text.trim_end().split_once(':')?;
        Some((file.parse().ok()?, number.parse().ok()?))
    }
}
