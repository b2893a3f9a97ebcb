//! Faulty configurations and the words they are answered with; the words are part of the product.
//! Promises that the corpus shows every kind of fault, and that no mutation of a good file is a panic.
//! Leaves reading of single values to the unit tests beside the code.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

use datalake_agent::config::report::Kind;
use datalake_agent::config::{self, Plan, Report, keys, schema};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Set to write the expected texts anew; review the difference afterwards.
const BLESS: &str = "BLESS";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(folder: &str) -> Vec<PathBuf> {
    let folder = root().join("tests/corpus/config").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no files in {folder:?}");
    paths
}

fn judge(path: &Path) -> Result<Plan, Report> {
    let name = path.file_name().unwrap().to_str().unwrap();
    config::from_text(&[(name, &std::fs::read_to_string(path).unwrap())])
}

fn compare(path: &Path, found: &str) {
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(path, found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(expected == found, "{} differs; review and run with {BLESS}=1. Found:\n{found}", path.display());
}

#[test]
fn every_faulty_file_is_answered_with_the_words_beside_it() {
    for path in corpus("") {
        let report = match judge(&path) {
            Ok(plan) => plan.warnings,
            Err(report) => report,
        };
        assert!(!report.faults().is_empty(), "{path:?} has no fault");
        compare(&path.with_extension("txt"), &report.to_string());
    }
}

#[test]
fn the_corpus_shows_every_kind_of_fault() {
    let mut shown: BTreeSet<Kind> = corpus("")
        .iter()
        .flat_map(|path| judge(path).map_or_else(|report| report, |plan| plan.warnings).faults().to_vec())
        .map(|fault| fault.kind)
        .collect();
    // These are about files as a whole and have tests of their own below.
    shown.extend([Kind::Unreadable, Kind::TooLarge, Kind::NotUtf8, Kind::Exposed, Kind::NotRead]);
    let missing: Vec<_> = Kind::ALL.iter().filter(|kind| !shown.contains(kind)).collect();
    assert!(missing.is_empty(), "no file shows {missing:?}");
}

#[test]
fn good_files_make_a_plan_without_a_word() {
    for path in corpus("good") {
        match judge(&path) {
            Ok(plan) => assert!(plan.warnings.faults().is_empty(), "{path:?}: {}", plan.warnings),
            Err(report) => panic!("{path:?}: {report}"),
        }
    }
}

#[test]
fn the_example_is_good_and_shows_every_key() {
    let text = std::fs::read_to_string(root().join("agent.json.example")).unwrap();
    let plan = config::from_text(&[("agent.json.example", &text)]).unwrap_or_else(|report| panic!("{report}"));
    assert!(plan.warnings.faults().is_empty(), "{}", plan.warnings);
    for key in keys::TOP_KEYS.iter().chain(keys::FLOW_KEYS) {
        assert!(text.contains(&format!("\"{}\":", key.name)), "{} is missing", key.name);
        // Where a key has a default, the example shows it.
        if let Some(default) = key.written_default() {
            assert!(text.contains(&format!("\"{}\": {default}", key.name)), "{} does not show {default}", key.name);
        }
    }
}

#[test]
fn the_documentation_shows_the_table_of_keys() {
    let path = root().join("docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mark = |word: &str| format!("<!-- generated from the table of keys: {word} -->\n");
    let (before, rest) = text.split_once(&mark("begin")).unwrap();
    let (_, after) = rest.split_once(&mark("end")).unwrap();
    let table = schema::markdown();
    compare(&path, &format!("{before}{}\n{table}{}{after}", mark("begin"), mark("end")));
}

#[test]
fn the_schema_is_that_of_the_table_of_keys() {
    compare(&root().join("docs/agent.schema.json"), &schema::schema());
}

/// A folder with a main file and fragments, by name.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("agent.d")).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn load(folder: &tempfile::TempDir) -> Result<Plan, Report> {
    config::load(&folder.path().join("agent.json"))
}

fn kinds(report: &Report) -> Vec<Kind> {
    report.faults().iter().map(|fault| fault.kind).collect()
}

const FLOW: &[u8] = br#"{"flows": [{"filePattern": "/a", "deliveryStream": "a"}]}"#;

#[test]
fn fragments_add_their_flows_in_the_order_of_their_names() {
    let fragment =
        |stream: &str| format!(r#"{{"flows": [{{"filePattern": "/{stream}", "deliveryStream": "{stream}"}}]}}"#);
    let folder = folder(&[
        ("agent.json", FLOW),
        ("agent.d/20.json", fragment("c").as_bytes()),
        ("agent.d/10.json", fragment("b").as_bytes()),
        ("agent.d/10.json~", b"left behind"),
        ("agent.d/.hidden.json", b"left behind"),
    ]);
    let plan = load(&folder).unwrap();
    assert_eq!(plan.flows.iter().map(|flow| flow.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(plan.warnings.faults().is_empty(), "{}", plan.warnings);
}

#[test]
fn a_main_file_without_flows_is_enough_when_fragments_have_some() {
    let folder = folder(&[("agent.json", b"{}"), ("agent.d/a.json", FLOW)]);
    assert_eq!(load(&folder).unwrap().flows.len(), 1);
}

#[test]
fn faults_of_all_files_are_in_one_report() {
    let folder = folder(&[
        ("agent.json", br#"{"regoin": "x"}"#),
        ("agent.d/a.json", br#"{"region": "x", "flows": [{"filePattern": "/a"}]}"#),
        ("agent.d/b.json", br#"{"flows": ["#),
        ("agent.d/c.json", b"{}"),
        ("agent.d/d.json", b"\xff"),
    ]);
    std::fs::create_dir(folder.path().join("agent.d/e.json")).unwrap();
    let report = load(&folder).unwrap_err();
    assert_eq!(
        kinds(&report),
        [
            Kind::UnknownKey,
            Kind::WrongPlace,
            Kind::Missing,
            Kind::Syntax,
            Kind::Missing,
            Kind::NotUtf8,
            Kind::Unreadable
        ],
        "{report}"
    );
    for name in
        ["agent.json:1:2", "agent.d/a.json:1:2", "agent.d/b.json:1:12", "agent.d/d.json:1:1", "agent.d/e.json\n"]
    {
        assert!(report.to_string().contains(name), "{name} is missing in {report}");
    }
}

#[test]
fn a_fragment_that_would_not_be_read_is_told() {
    let folder = folder(&[("agent.json", FLOW), ("agent.d/flows.conf", FLOW)]);
    let plan = load(&folder).unwrap();
    assert_eq!(kinds(&plan.warnings), [Kind::NotRead]);
    assert!(plan.warnings.to_string().contains("agent.d/flows.conf"), "{}", plan.warnings);
}

#[test]
fn a_fifo_among_the_fragments_does_not_hold_up_the_start() {
    let folder = folder(&[("agent.json", FLOW)]);
    let path = folder.path().join("agent.d/a.json");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert_eq!(kinds(&load(&folder).unwrap_err()), [Kind::Unreadable]);
}

#[test]
fn a_main_file_that_cannot_be_read_is_told_with_its_name() {
    let report = config::load(Path::new("/nonexistent/agent.json")).unwrap_err();
    assert_eq!(kinds(&report), [Kind::Unreadable]);
    assert!(report.to_string().contains("/nonexistent/agent.json"), "{report}");
}

#[test]
fn a_file_too_large_is_not_read_to_its_end() {
    let folder = folder(&[("agent.json", &vec![b' '; config::LARGEST_FILE + 1])]);
    assert_eq!(kinds(&load(&folder).unwrap_err()), [Kind::TooLarge]);
}

#[test]
fn a_secret_that_everybody_can_read_is_refused_and_never_shown() {
    use std::os::unix::fs::PermissionsExt;
    let text = br#"{"awsAccessKeyId": "AKIA", "awsSecretAccessKey": "wJalrXUtnFEMI", "flows": [{"filePattern": "/a", "deliveryStream": "a"}]}"#;
    let folder = folder(&[("agent.json", text)]);
    let path = folder.path().join("agent.json");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let report = load(&folder).unwrap_err();
    assert_eq!(kinds(&report), [Kind::Exposed]);
    assert!(!report.to_string().contains("wJalr"), "{report}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let plan = load(&folder).unwrap();
    assert_eq!(plan.session.access_key, Some(("AKIA".to_owned(), "wJalrXUtnFEMI".to_owned())));
    assert!(!format!("{plan:?}").contains("wJalr"), "{plan:?}");
}

#[test]
fn no_report_of_the_corpus_shows_a_secret() {
    for path in corpus("") {
        let shown = judge(&path).map_or_else(|report| report.to_string(), |plan| plan.warnings.to_string());
        assert!(!shown.contains("wJalr"), "{path:?}: {shown}");
    }
}

/// A good or faulty file with a few random changes: bytes, ranges, and pieces of other files.
fn mutate(random: &mut fastrand::Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=bytes.len());
        let end = at + random.usize(..=(bytes.len() - at).min(20));
        let other = &seeds[random.usize(..seeds.len())];
        let from = random.usize(..=other.len());
        let piece = &other[from..from + random.usize(..=(other.len() - from).min(40))];
        const TOKENS: [&str; 16] = [
            "{",
            "}",
            "[",
            "]",
            "\"",
            ",",
            ":",
            "\\",
            "//",
            "/*",
            "null",
            "1e999",
            "-0",
            "\u{feff}",
            "\0",
            "é\u{202e}",
        ];
        match random.u8(..5) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, piece.iter().copied())),
            2 => drop(bytes.splice(at..end, TOKENS[random.usize(..TOKENS.len())].bytes())),
            3 if at < bytes.len() => bytes[at] = random.u8(..),
            _ => bytes.truncate(end),
        }
    }
    bytes
}

/// Runs the fuzz target over changed files until `count`; the seed is printed when one of them fails.
fn fuzz_mutations(count: usize) {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut seeds: Vec<Vec<u8>> =
        corpus("").iter().chain(&corpus("good")).map(|path| std::fs::read(path).unwrap()).collect();
    seeds.push(std::fs::read(root().join("agent.json.example")).unwrap());
    for round in 0..count {
        let bytes = mutate(&mut random, &seeds);
        if std::panic::catch_unwind(|| config::fuzz(&bytes)).is_err() {
            panic!("SEED={seed}, round {round}: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn no_change_of_a_file_breaks_the_reader() {
    fuzz_mutations(std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3_000));
}

#[test]
fn the_corpus_itself_keeps_the_promises_of_the_fuzz_target() {
    for path in corpus("").iter().chain(&corpus("good")) {
        config::fuzz(&std::fs::read(path).unwrap());
    }
    for bytes in [
        &b""[..],
        b"\0\0\0",
        b"\xff\xfe{",
        b"\xef\xbb\xbf{}",
        b"\"",
        b"\"\\",
        b"\"\\u",
        b"\"\\ud800\\u",
        b"/",
        b"/*/",
        b"-",
    ] {
        config::fuzz(bytes);
    }
}

#[test]
fn a_large_file_full_of_faults_is_answered_with_a_short_report() {
    let many = format!("{{\"flows\": [{}]}}", "{\"a\":1},".repeat(100_000).trim_end_matches(','));
    config::fuzz(many.as_bytes());
    let wide = format!("{{{}}}", (0..60_000).map(|n| format!("\"k{n}\":0")).collect::<Vec<_>>().join(","));
    config::fuzz(wide.as_bytes());
}

#[test]
fn variables_of_the_environment_stand_in_values_and_are_never_shown() {
    let secret = "s3cr3t-of-the-environment";
    let variables = |name: &str| match name {
        "STREAM" => Some("orders".to_owned()),
        "REGION" => Some(format!("{secret} {}", "x".repeat(200))),
        "LONG" => Some(secret.repeat(20)),
        _ => None,
    };
    let text = |region: &str, more: &str| {
        format!(
            r#"{{"region": "{region}", "flows": [{{"filePattern": "/var/log/$${{literal}}/*.log", "deliveryStream": "raw-${{STREAM}}"{more}}}]}}"#
        )
    };
    let options = r#", "dataProcessingOptions": [{"optionName": "ADDMETADATA", "metadata": "${env:STAGE}"}]"#;
    let plan = config::from_text_with(&[("agent.json", &text("eu-central-1", options))], &variables);
    let plan = plan.unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(plan.flows[0].batch.stream, "raw-orders");
    assert_eq!(plan.flows[0].source.include[0].as_str(), "/var/log/${literal}/*.log");
    assert_eq!(plan.warnings.without_values("to raw-orders".to_owned()), "to raw-${STREAM}");
    for (region, more) in [
        ("${REGION}", ""),
        ("a${LONG}b", ""),
        ("eu-central-1", r#", "maxBufferAgeMillis": "${LONG}""#),
        ("eu-central-1", r#", "compression": "${REGION}""#),
        ("eu-central-1", r#", "initialPosition": "x${LONG}", "name": "${LONG}""#),
        ("eu-central-1", r#", "kinesisStream": "${REGION}", "multiLineStartPattern": "(${LONG}""#),
        ("eu-central-1", r#", "exclude": ["${LONG}", "${REGION}/"]"#),
        ("eu-central-1", r#", "assumeRoleARN": "${LONG}""#),
    ] {
        let report = config::from_text_with(&[("agent.json", &text(region, more))], &variables).unwrap_err();
        let shown = report.to_string();
        assert!(!shown.contains(&secret[..4]), "{region} {more}: {shown}");
        for fault in report.faults() {
            assert!(!report.one_line(fault).contains(&secret[..4]), "{}", report.one_line(fault));
        }
    }
}
