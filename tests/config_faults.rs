//! Faulty configurations and the words they are answered with; the words are part of the product.
//! Promises that the corpus shows every kind of fault, and that no mutation of a good file is a panic.
//! Leaves reading of single values to the unit tests beside the code.

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
        // What the example shows is the default, but for keys that have none and the two size limits as texts.
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
