//! The words that this house avoids, counted in comments, messages and documents.
//! Promises that a number of them only falls, and that what has been cleaned stays so. Leaves style to the reader.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]

#[path = "support/sources.rs"]
mod sources;

use sources::{files, root};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Words that a native reader stumbles over; CONTRIBUTING.md says what to write instead.
const AVOID: [&str; 12] = [
    "mend",
    "mends",
    "mended",
    "mending",
    "told",
    "so many",
    "whoever",
    "makeable",
    "look after",
    "nor does",
    "books",
    "fate",
];

/// How many there are still. A number may only fall; what has been cleaned stays so.
const LEFT: [(&str, usize); 18] = [
    ("crates/base", 0),
    ("crates/core", 0),
    ("crates/lake", 0),
    ("crates/local-lake", 0),
    ("crates/mqtt", 0),
    ("crates/process", 0),
    ("crates/report", 0),
    ("crates/schema", 0),
    ("crates/tail", 0),
    ("crates", 0),
    ("src/source/mqtt", 0),
    ("src", 76),
    ("tests", 81),
    ("benches", 0),
    ("docs", 0),
    ("examples", 0),
    ("fuzz", 0),
    ("", 1),
];

/// The text of a source that is meant for people: comments and literals.
fn prose(source: &str) -> String {
    let mut prose = String::new();
    for line in source.lines() {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        code.split('"').skip(1).step_by(2).for_each(|literal| prose.extend([literal, "\n"]));
        prose.extend([comment, "\n"]);
    }
    prose
}

/// Words to avoid in a text, and where.
fn avoided(text: &str) -> Vec<&'static str> {
    let plain: String = text
        .chars()
        .map(|character| if character.is_alphanumeric() { character.to_ascii_lowercase() } else { ' ' })
        .collect();
    let words = format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" "));
    AVOID.iter().flat_map(|word| std::iter::repeat_n(*word, words.matches(&format!(" {word} ")).count())).collect()
}

#[test]
fn words_to_avoid_become_fewer_and_none_comes_to_what_has_been_cleaned() {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let folders = ["benches", "crates", "docs", "examples", "fuzz/fuzz_targets", "src", "tests"];
    let below = |ending: &str| -> Vec<PathBuf> {
        folders.iter().flat_map(|folder| files(&root().join(folder), ending)).collect()
    };
    let beside = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let beside = beside.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    for file in below("rs").into_iter().chain(below("md")).chain(beside) {
        let name = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        // These name the words.
        if name == "tests/words.rs" || name == "CONTRIBUTING.md" {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let text = if name.ends_with(".rs") { prose(&text) } else { text };
        let area = LEFT.iter().map(|(area, _)| *area).find(|area| name.starts_with(area));
        let area = area.unwrap_or_else(|| panic!("{name} is in no area"));
        found.entry(area).or_default().extend(avoided(&text).into_iter().map(|word| format!("{name}: {word}")));
    }
    for (area, most) in LEFT {
        let there = found.remove(area).unwrap_or_default();
        assert!(there.len() <= most, "{area}: {} of {most}\n{}", there.len(), there.join("\n"));
    }
}
