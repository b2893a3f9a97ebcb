//! `estimate`: what flows or files will cost a month, from the lines that are there or come.
//! Promises to send nothing and to call nobody, and that each figure comes from real lines, packed as the agent packs them.
//! Leaves prices to the table of the vocabulary, records to the bill, and lines to the sample.

/// Billed bytes.
mod bill;
/// Lines.
mod sample;

use super::output::json_lines;
use crate::config::{self, FlowPlan, Plan, Report};
use crate::exit::Exit;
use crate::telemetry::{bytes_in_words, duration_in_words};
use bill::Sum;
use datalake_base::prices::{
    AS_OF, FIREHOSE_INGESTION, GIB, HOURS_A_MONTH, KINESIS_INGESTION, KINESIS_STREAM_USD_PER_HOUR, REGION, SOURCES,
    Tier, monthly_usd,
};
use datalake_base::shown::shown;
use datalake_base::units::counted;
use datalake_core::batch::Form;
use datalake_process::NotReady;
use sample::{Found, RateBy, Sampler};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often files are looked at while their growth is measured.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names of flows, or files; all flows, if there are none.
    pub of: Vec<PathBuf>,
    /// How long to watch what is written, instead of going by the age of the files.
    pub watch: Option<Duration>,
    /// Hosts that write as much as this one.
    pub hosts: u32,
    /// As one JSON object.
    pub json: bool,
}

/// Why there is no estimate.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Configuration(Box<Report>),
    #[error("`{}` is neither a file nor a flow; the configuration has {known}", shown(name))]
    Unknown { name: PathBuf, known: String },
    #[error("flow `{flow}` receives messages; name a file with some of them, one a line")]
    Messages { flow: String },
    #[error("--minutes watches the files of flows; name a flow in place of {}", shown(path))]
    WatchesFlows { path: PathBuf },
    #[error("the options of flow `{flow}` cannot run here: {source}")]
    NotReady { flow: String, source: NotReady },
}

/// What an estimate is made of.
struct Subject<'a> {
    flow: &'a FlowPlan,
    /// One file alone.
    file: Option<PathBuf>,
}

/// Prints the estimate.
#[must_use]
pub fn run(config: &Path, request: &Request, out: &mut dyn Write, complaints: &mut dyn Write) -> Exit {
    match estimate(config, request, out) {
        Ok(exit) => exit,
        Err(Refusal::Configuration(report)) => {
            write!(complaints, "{report}").ok();
            Exit::Configuration
        }
        Err(refusal) => {
            writeln!(complaints, "datalake-agent: {refusal}").ok();
            if matches!(refusal, Refusal::NotReady { .. }) { Exit::Configuration } else { Exit::Usage }
        }
    }
}

fn estimate(config: &Path, request: &Request, out: &mut dyn Write) -> Result<Exit, Refusal> {
    let plan = match config::load(config) {
        Ok(plan) => Some(plan),
        // Before there is a configuration, a file is read as a flow without options would.
        Err(_) if !config.exists() && !request.of.is_empty() => None,
        Err(report) => return Err(Refusal::Configuration(Box::new(report))),
    };
    let usual = usual_plan().map_err(|report| Refusal::Configuration(Box::new(report)))?;
    let subjects = subjects(plan.as_ref(), &usual, request)?;
    let found = match request.watch {
        Some(time) => watched(&subjects, time)?,
        None => subjects.iter().map(newest).collect::<Result<_, _>>()?,
    };
    let hosts = f64::from(request.hosts.max(1));
    if request.json {
        let flows: Vec<Value> =
            subjects.iter().zip(&found).map(|(subject, found)| as_json(subject, found, hosts)).collect();
        let prices = json!({"asOf": AS_OF, "region": REGION, "sources": SOURCES});
        let value = json!({"hosts": request.hosts, "prices": prices, "estimates": flows});
        out.write_all(json_lines(&value, true).as_bytes()).ok();
    } else {
        for (subject, found) in subjects.iter().zip(&found) {
            in_words(subject, found, request.hosts, out).ok();
        }
        out.write_all(footnotes(&subjects).as_bytes()).ok();
    }
    let nothing = found.iter().any(|found| found.records == 0);
    Ok(if nothing { Exit::InputOutput } else { Exit::Success })
}

/// A flow of the usual settings, for files of no flow.
fn usual_plan() -> Result<Plan, Report> {
    let text =
        r#"{"region": "us-east-1", "flows": [{"name": "usual", "filePattern": "/-", "deliveryStream": "usual"}]}"#;
    config::from_text(&[("usual settings", text)])
}

fn subjects<'a>(plan: Option<&'a Plan>, usual: &'a Plan, request: &Request) -> Result<Vec<Subject<'a>>, Refusal> {
    let flows = plan.map_or(&[][..], |plan| &plan.flows);
    let mut subjects = Vec::new();
    if request.of.is_empty() {
        subjects.extend(flows.iter().filter(|flow| flow.mqtt.is_none()).map(|flow| Subject { flow, file: None }));
    }
    for name in &request.of {
        if let Some(flow) = flows.iter().find(|flow| Path::new(&flow.name) == name) {
            if flow.mqtt.is_some() {
                return Err(Refusal::Messages { flow: flow.name.clone() });
            }
            subjects.push(Subject { flow, file: None });
            continue;
        }
        let path = std::path::absolute(name).unwrap_or_else(|_| name.clone());
        if !path.is_file() {
            let known: Vec<String> = flows.iter().map(|flow| format!("`{}`", flow.name)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Refusal::Unknown { name: name.clone(), known });
        }
        if request.watch.is_some() {
            return Err(Refusal::WatchesFlows { path });
        }
        let reads = |flow: &&Arc<FlowPlan>| {
            let any = |patterns: &[crate::source::file::discover::Pattern]| patterns.iter().any(|it| it.matches(&path));
            any(&flow.source.include) && !any(&flow.source.exclude)
        };
        let flow = flows.iter().find(reads).unwrap_or(&usual.flows[0]);
        subjects.push(Subject { flow, file: Some(path) });
    }
    Ok(subjects)
}

fn sampler<'a>(subject: &Subject<'a>) -> Result<Sampler<'a>, Refusal> {
    let flow = subject.flow;
    Sampler::new(flow).map_err(|source| Refusal::NotReady { flow: flow.name.clone(), source })
}

fn newest(subject: &Subject<'_>) -> Result<Found, Refusal> {
    let paths = match &subject.file {
        Some(path) => vec![path.clone()],
        None => crate::source::file::survey::paths(&subject.flow.source),
    };
    Ok(sampler(subject)?.read_newest(&paths))
}

/// Watches all flows at once.
fn watched(subjects: &[Subject<'_>], time: Duration) -> Result<Vec<Found>, Refusal> {
    let mut samplers = subjects.iter().map(sampler).collect::<Result<Vec<_>, _>>()?;
    let begin = Instant::now();
    samplers.iter_mut().for_each(Sampler::begin_watching);
    loop {
        let left = time.saturating_sub(begin.elapsed());
        std::thread::sleep(left.min(LOOK_EVERY));
        samplers.iter_mut().for_each(Sampler::look);
        if left.is_zero() {
            break;
        }
    }
    let watched = begin.elapsed();
    Ok(samplers.into_iter().map(|sampler| sampler.end_watching(watched)).collect())
}

/// The price of what is taken in.
fn tiers(form: &Form) -> &'static [Tier] {
    match form {
        Form::Firehose => &FIREHOSE_INGESTION,
        Form::Kinesis(_) => &KINESIS_INGESTION,
    }
}

/// A month of one way.
struct Month {
    /// Bytes that are billed.
    billed: f64,
    usd: f64,
    /// US dollars for each GiB of the files.
    usd_per_gib: f64,
}

/// The month, as far as the rate is known; the price of a GiB of the files is.
fn month(subject: &Subject<'_>, found: &Found, sum: &Sum, hosts: f64) -> (Option<Month>, f64) {
    let tiers = tiers(&subject.flow.batch.form);
    let per_byte = if found.read == 0 { 0.0 } else { sum.billed / found.read as f64 };
    let first_gib = per_byte * tiers[0].usd_per_gib;
    let month = found.rate.map(|rate| {
        let read = rate * 3600.0 * HOURS_A_MONTH as f64 * hosts;
        let billed = read * per_byte;
        let usd = monthly_usd(tiers, billed);
        Month { billed, usd, usd_per_gib: if read > 0.0 { usd / (read / GIB) } else { first_gib } }
    });
    (month, first_gib)
}

fn in_words(subject: &Subject<'_>, found: &Found, hosts: u32, out: &mut dyn Write) -> std::io::Result<()> {
    let flow = subject.flow;
    match &subject.file {
        Some(path) => writeln!(out, "{}", shown(path))?,
        None => writeln!(out, "flow {}", flow.name)?,
    }
    for (path, reason) in &found.unread {
        writeln!(out, "  not read: {}: {}", shown(path), shown(reason))?;
    }
    let average = if found.records == 0 { 0 } else { found.read / (found.records + found.kept_back) };
    let files = counted(found.files, "file");
    let (records, read) = (found.records, bytes_in_words(found.read));
    writeln!(
        out,
        "  read     {read} of {files}: {} to send, {} of input each",
        counted(records, "record"),
        counted(average, "byte")
    )?;
    if found.kept_back > 0 {
        writeln!(out, "  options  {} more would not be sent", counted(found.kept_back, "record"))?;
    }
    if records == 0 {
        return writeln!(out, "  no line was found, so there is nothing to estimate from\n");
    }
    let of_hosts = if hosts > 1 { format!(" on {hosts} hosts") } else { String::new() };
    match (found.rate, found.rate_by) {
        (None, _) => {
            writeln!(out, "  rate     unknown: no file is old enough and still written; measure it with --minutes")?
        }
        (Some(rate), by) => {
            let by = match by {
                RateBy::Age => "by the size and age of the files; measure it with --minutes".to_owned(),
                RateBy::Watching(time) => {
                    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                    format!("measured over {}", duration_in_words(millis))
                }
            };
            writeln!(out, "  rate     {} a day on this host ({by})", in_units(rate * 86_400.0))?;
        }
    }
    let known = found.rate.is_some();
    let head = if known { format!("a month{of_hosts}") } else { "a GiB of the files".to_owned() };
    writeln!(out, "\n  {head:45} {:>10} {:>14}", "billed", "USD")?;
    for (way, sum) in &found.sums {
        let (month, first_gib) = month(subject, found, sum, f64::from(hosts.max(1)));
        let billed = month.as_ref().map_or_else(|| sum.billed / found.read as f64 * GIB, |month| month.billed);
        let usd = month.as_ref().map_or(first_gib, |month| month.usd);
        let now = if way.is_of(&flow.batch) { "  <- as configured" } else { "" };
        let now = if subject.flow.name == "usual" && subject.file.is_some() { "" } else { now };
        writeln!(out, "  {:45} {:>10} {:>14}{now}", way.words(), in_units(billed), dollars(usd))?;
    }
    writeln!(out)
}

/// Two digits behind the point; more of them for less than a cent.
fn dollars(usd: f64) -> String {
    if usd >= 0.01 || usd == 0.0 { format!("{usd:.2}") } else { format!("{usd:.4}") }
}

fn in_units(bytes: f64) -> String {
    bytes_in_words(if bytes >= u64::MAX as f64 { u64::MAX } else { bytes as u64 })
}

fn footnotes(subjects: &[Subject<'_>]) -> String {
    let mut text = String::new();
    let to =
        |firehose: bool| subjects.iter().any(|subject| matches!(subject.flow.batch.form, Form::Firehose) == firehose);
    if to(true) {
        let [first, ..] = FIREHOSE_INGESTION;
        text += &format!(
            "Firehose rounds each record up to 5 KiB and asks USD {} a GiB, less above 500 TiB a month.\n",
            first.usd_per_gib
        );
    }
    if to(false) {
        text += &format!(
            "Kinesis Data Streams (on-demand) rounds each record up to 1 KiB and asks USD {} a GiB; each stream costs USD {:.2} \
             a month besides, and so does what reads it.\n",
            KINESIS_INGESTION[0].usd_per_gib,
            KINESIS_STREAM_USD_PER_HOUR * HOURS_A_MONTH as f64
        );
    }
    text + &format!(
        "List prices of {REGION}, {AS_OF} ({}); not in them: S3, KMS, format conversion, taxes.\n",
        SOURCES[0]
    )
}

fn as_json(subject: &Subject<'_>, found: &Found, hosts: f64) -> Value {
    let ways: Vec<Value> = found
        .sums
        .iter()
        .map(|(way, sum)| {
            let (month, first_gib) = month(subject, found, sum, hosts);
            let per_byte = if found.read == 0 { 0.0 } else { sum.billed / found.read as f64 };
            json!({
                "way": way.name(), "configured": way.is_of(&subject.flow.batch),
                "billedBytesPerByte": per_byte,
                "usdPerGiB": month.as_ref().map_or(first_gib, |month| month.usd_per_gib),
                "monthlyBilledBytes": month.as_ref().map(|month| month.billed.round()),
                "monthlyUsd": month.as_ref().map(|month| month.usd),
            })
        })
        .collect();
    let unread: Vec<Value> =
        found.unread.iter().map(|(path, reason)| json!({"file": path.to_string_lossy(), "reason": reason})).collect();
    let service = if matches!(subject.flow.batch.form, Form::Firehose) { "firehose" } else { "kinesis" };
    json!({
        "flow": subject.flow.name, "file": subject.file.as_ref().map(|path| path.to_string_lossy()), "service": service,
        "files": found.files, "bytesRead": found.read, "records": found.records, "notSent": found.kept_back,
        "bytesPerSecond": found.rate,
        "rateBy": match (found.rate, found.rate_by) {
            (None, _) => "unknown",
            (_, RateBy::Age) => "age",
            (_, RateBy::Watching(_)) => "measured",
        },
        "unread": unread, "ways": ways,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(of: &[&Path], json: bool) -> Request {
        Request { of: of.iter().map(|path| (*path).to_owned()).collect(), watch: None, hosts: 1, json }
    }

    fn estimated(config: &Path, request: &Request) -> (Exit, String, String) {
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let exit = run(config, request, &mut out, &mut complaints);
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(complaints).unwrap())
    }

    fn lines(folder: &Path) -> PathBuf {
        let path = folder.join("a.log");
        let mut file = std::fs::File::create(&path).unwrap();
        for number in 0..50_000 {
            writeln!(
                file,
                "2026-11-28T12:00:{:02}Z host app[12]: request {number:06} took 12 ms, status 200, path /index",
                number % 60
            )
            .unwrap();
        }
        path
    }

    /// One line a record, each rounded up to 5 KiB, is the bill of the Kinesis Agent; packing divides it by forty.
    #[test]
    fn a_file_without_a_configuration_is_priced_by_the_gibibyte() {
        let folder = tempfile::tempdir().unwrap();
        let path = lines(folder.path());
        let (exit, out, said) = estimated(&folder.path().join("none.json"), &asked(&[&path], true));
        assert_eq!(exit, Exit::Success, "{out}{said}");
        let value: Value = serde_json::from_str(&out).unwrap();
        let ways = &value["estimates"][0]["ways"];
        let of = |way: usize, key: &str| ways[way][key].as_f64().unwrap();
        let line = std::fs::metadata(&path).unwrap().len() as f64 / 50_000.0;
        assert!((of(0, "billedBytesPerByte") - 5120.0 / line).abs() < 0.1, "{ways}");
        assert!((of(1, "billedBytesPerByte") - 1.0).abs() < 0.01, "{ways}");
        assert!(of(2, "billedBytesPerByte") < 0.3, "{ways}");
        assert!((of(1, "usdPerGiB") - 0.029).abs() < 0.001, "{ways}");
        assert_eq!(
            (&value["estimates"][0]["records"], &value["estimates"][0]["rateBy"]),
            (&json!(50_000), &json!("unknown"))
        );
        let (_, out, _) = estimated(&folder.path().join("none.json"), &asked(&[&path], false));
        assert!(
            out.contains("each line a record (as the Kinesis Agent)") && out.contains("List prices of us-east-1, 20"),
            "{out}"
        );
        assert!(out.contains("a GiB of the files") && out.contains("rate     unknown"), "{out}");
    }

    #[test]
    fn what_is_neither_file_nor_flow_is_named_with_the_flows_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("agent.json");
        let text = r#"{"region": "eu-west-1", "flows": [{"name": "app", "filePattern": "FOLDER/*.log", "deliveryStream": "s"}]}"#;
        std::fs::write(&config, text.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
        let (exit, _, said) = estimated(&config, &asked(&[Path::new("ap\n\u{1b}[2J")], false));
        assert_eq!(exit, Exit::Usage);
        assert_eq!(said, "datalake-agent: `ap\\n\\x1b[2J` is neither a file nor a flow; the configuration has `app`\n");
        // A flow without a line yet.
        let (exit, out, _) = estimated(&config, &asked(&[Path::new("app")], false));
        assert!(exit == Exit::InputOutput && out.contains("no line was found"), "{out}");
        lines(folder.path());
        let (exit, out, said) = estimated(&config, &asked(&[], false));
        assert!(exit == Exit::Success && out.contains("flow app") && out.contains("<- as configured"), "{out}{said}");
    }

    #[test]
    fn an_archive_is_no_sample() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, [&[0x1f, 0x8b, 8, 0][..], &[b'\n'; 1000]].concat()).unwrap();
        let (exit, out, _) = estimated(&folder.path().join("none.json"), &asked(&[&path], false));
        assert!(exit == Exit::InputOutput && out.contains("it is an archive"), "{out}");
    }
}
