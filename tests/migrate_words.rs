//! Odd configurations of the Kinesis Agent, and what is made and said of each: the words are part of the product.
//! Promises that each file of `tests/corpus/migrate` is answered with the text beside it, and never with a secret.
//! Leaves saved positions and the real program to tests/migrate.rs.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

use datalake_agent::config::keys;
use datalake_agent::migrate::{self, Migration, Request};
use std::path::{Path, PathBuf};

/// Set to write the expected texts anew; review the difference afterwards.
const BLESS: &str = "BLESS";

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/migrate")
}

/// Each case with its name: a main file, or a folder with one.
fn cases() -> Vec<(String, PathBuf)> {
    let paths = std::fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = paths
        .filter(|path| path.is_dir() || path.extension().is_some_and(|end| end == "json"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    cases.sort();
    assert!(cases.len() > 5, "only {} cases", cases.len());
    cases
}

fn migrated(from: &Path) -> Migration {
    let request = Request {
        from: from.to_owned(),
        checkpoints: None,
        without_checkpoints: true,
        config: "/etc/datalake/agent.json".into(),
        state_directory: None,
    };
    migrate::prepare(&request, 1).unwrap_or_else(|reason| panic!("{reason}"))
}

/// Everything that an operator would read, with names as they are below the corpus.
fn told(migration: &Migration) -> String {
    let mut text = String::new();
    for file in &migration.files {
        text += &format!("==> {}\n{}\n", file.name.display(), migrate::shown(file));
    }
    for note in migration.notes.all() {
        text += &format!("{note}\n");
    }
    text.replace(&format!("{}/", corpus().display()), "")
}

#[test]
fn every_odd_file_is_answered_with_the_text_beside_it() {
    for (name, path) in cases() {
        let found = told(&migrated(&path));
        assert!(!found.contains("this is never shown"), "{name} shows a secret");
        let expected = corpus().join(format!("{name}.txt"));
        if std::env::var_os(BLESS).is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let written = std::fs::read_to_string(&expected).unwrap_or_default();
        assert!(written == found, "{name} differs; review and run with {BLESS}=1. Found:\n{found}");
    }
}

#[test]
fn what_is_made_passes_our_own_check() {
    let mut passed = 0;
    for (name, path) in cases() {
        let migration = migrated(&path);
        let known = |key: &String| keys::TOP_KEYS.iter().chain(keys::FLOW_KEYS).any(|known| known.name == key);
        let flows = || {
            let lists = migration.files.iter().filter_map(|file| file.value["flows"].as_array());
            lists.flatten().filter_map(|flow| flow.as_object())
        };
        let mut all =
            migration.files.iter().flat_map(|file| file.value.keys()).chain(flows().flat_map(|flow| flow.keys()));
        // Keys of parts that are not there yet.
        if flows().next().is_none() || !all.all(known) {
            continue;
        }
        passed += 1;
        if let Err(report) = &migration.verdict {
            panic!("{name}: {report}");
        }
    }
    assert!(passed > 5, "only {passed} were judged");
}

#[test]
fn a_file_that_is_not_there_or_no_json_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.json");
    let request = Request {
        from: path.clone(),
        checkpoints: None,
        without_checkpoints: true,
        config: "/etc/datalake/agent.json".into(),
        state_directory: None,
    };
    let told = migrate::prepare(&request, 1).unwrap_err();
    assert!(told.contains(path.to_str().unwrap()) && told.contains("--from"), "{told}");
    std::fs::write(&path, "{\n  \"flows\": [,]\n}").unwrap();
    let told = migrate::prepare(&request, 1).unwrap_err();
    assert!(told.contains("line 2"), "{told}");
}
