//! The fuzz entry points over their corpus and over seeded changes of it, as ordinary tests.
//! `FUZZ_SEED=n` repeats a run, `FUZZ_ROUNDS=n` makes it longer.

use std::path::Path;

/// The corpus of a target: `fuzz/corpus/<target>`, and what other tests keep.
fn corpus(folders: &[&str]) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut inputs = Vec::new();
    for folder in folders {
        let mut paths: Vec<_> = std::fs::read_dir(root.join(folder))
            .unwrap_or_else(|error| panic!("{folder}: {error}"))
            .map(|entry| entry.expect("a readable entry").path())
            .filter(|path| path.is_file())
            .collect();
        paths.sort();
        inputs.extend(paths.iter().map(|path| std::fs::read(path).expect("a readable corpus file")));
    }
    assert!(!inputs.is_empty(), "{folders:?} hold no corpus");
    inputs
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// One small change: a byte, a cut, a doubled stretch, bytes of another input.
fn change(random: &mut fastrand::Rng, mut input: Vec<u8>, others: &[Vec<u8>]) -> Vec<u8> {
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=input.len());
        match random.u8(..5) {
            0 if at < input.len() => input[at] = random.u8(..),
            1 => input.truncate(at),
            2 => input.insert(at, *random.choice(b"\n\0A{}[]\",:/*\\\xff").unwrap_or(&0)),
            3 => {
                let stretch = input[at..(at + random.usize(..64)).min(input.len())].to_vec();
                input.splice(at..at, stretch);
            }
            _ => {
                let other = &others[random.usize(..others.len())];
                let from = random.usize(..=other.len());
                let stretch = other[from..(from + random.usize(..64)).min(other.len())].to_vec();
                input.splice(at..at, stretch);
            }
        }
    }
    input
}

fn run(target: &str, inputs: &[Vec<u8>], rounds: u64, entry: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    for input in inputs {
        entry(input);
    }
    let seed = number("FUZZ_SEED", 1);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..number("FUZZ_ROUNDS", rounds) {
        let chosen = inputs[random.usize(..inputs.len())].clone();
        let input = change(&mut random, chosen, inputs);
        let survived = std::panic::catch_unwind(|| entry(&input));
        assert!(
            survived.is_ok(),
            "{target}: FUZZ_SEED={seed}, round {round}, input {:?}",
            input.escape_ascii().to_string()
        );
    }
}

#[test]
fn framing_keeps_its_promises_for_any_bytes_in_any_chunks() {
    run("framing", &corpus(&["fuzz/corpus/framing"]), 20_000, |bytes| {
        datalake_core::framing::fuzz(bytes, std::time::Instant::now());
    });
}

#[test]
fn an_archive_of_any_bytes_is_unpacked_alike_wherever_it_is_cut() {
    run("archive", &corpus(&["fuzz/corpus/archive"]), 3_000, datalake_archive::fuzz::archive);
}

#[test]
fn a_configuration_of_any_bytes_is_a_plan_or_a_report() {
    let inputs = corpus(&["fuzz/corpus/configuration", "tests/corpus/config", "tests/corpus/config/good"]);
    run("configuration", &inputs, 1_000, datalake_agent::config::fuzz);
}

#[test]
fn a_checkpoint_file_of_any_bytes_opens_to_something_or_is_moved_aside() {
    run("checkpoint", &corpus(&["fuzz/corpus/checkpoint"]), 60, |bytes| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        datalake_agent::checkpoint::fuzz_database(folder.path(), bytes);
    });
}

#[test]
fn a_database_of_the_kinesis_agent_of_any_bytes_is_rows_or_a_message_and_stays_as_it_is() {
    run("migrate", &corpus(&["fuzz/corpus/migrate"]), 400, |bytes| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        datalake_agent::migrate::checkpoints::fuzz(folder.path(), bytes);
    });
}

#[test]
fn packets_of_any_bytes_are_read_alike_wherever_they_are_cut() {
    run("mqtt_packets", &corpus(&["fuzz/corpus/mqtt_packets"]), 20_000, datalake_mqtt::fuzz::packets);
}

#[test]
fn a_broker_that_sends_any_bytes_is_answered_once_for_each_message_and_after_it_was_synced() {
    let now = std::time::Instant::now();
    run("mqtt_session", &corpus(&["fuzz/corpus/mqtt_session"]), 5_000, |bytes| {
        datalake_mqtt::fuzz::session(bytes, now)
    });
}

#[test]
fn filters_and_topics_of_any_text_match_as_the_standard_says() {
    run("mqtt_topics", &corpus(&["fuzz/corpus/mqtt_topics"]), 20_000, datalake_mqtt::fuzz::topics);
}

/// Each parser of the processing stage: its door, with the corpus of its fuzz target.
fn process(name: &str, rounds: u64) {
    let (_, door) = datalake_process::fuzz::DOORS
        .into_iter()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("there is no door `{name}`"));
    run(name, &corpus(&[&format!("fuzz/corpus/process_{name}")]), rounds, door);
}

#[test]
fn every_parser_of_the_processing_has_a_target_and_a_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, _) in datalake_process::fuzz::DOORS {
        assert!(root.join(format!("fuzz_targets/process_{name}.rs")).is_file(), "{name} has no target");
        assert!(!corpus(&[&format!("fuzz/corpus/process_{name}")]).is_empty());
    }
}

#[test]
fn lines_of_any_bytes_join_to_one() {
    process("singleline", 2_000);
}

#[test]
fn columns_of_any_bytes_become_one_object() {
    process("csv", 1_000);
}

#[test]
fn log_lines_of_any_bytes_become_an_object_or_fail() {
    process("log", 500);
}

#[test]
fn a_record_of_any_bytes_is_wrapped_and_read_back() {
    process("metadata", 2_000);
}

#[test]
fn json_of_any_bytes_is_read_as_by_another_reader() {
    process("json", 10_000);
}

#[test]
fn edits_in_place_leave_json_json() {
    process("edit", 1_000);
}

#[test]
fn redaction_of_any_bytes_leaves_json_json() {
    process("redact", 1_000);
}

#[test]
fn options_of_any_bytes_are_settings_or_reasons() {
    process("options", 500);
}

#[test]
fn formats_of_time_and_texts_of_any_bytes_are_a_time_or_none() {
    process("time", 10_000);
}
