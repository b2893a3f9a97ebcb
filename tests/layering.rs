//! Who may know whom, read from the sources and checked against the table below.
//! Promises that a stage names the vocabulary and itself only, and that what is called pure is pure.
//! Leaves what a module does with what it may name to its own tests.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Shells that a byte passes through. None may name another; what they share is in crates of its own, which cargo keeps
/// apart: a crate names only what stands in its Cargo.toml.
const STAGES: [&str; 3] = ["source", "deliver", "checkpoint"];
/// What everything may name. `telemetry::clock` is the edge at which shells ask what time it is, `regular` reads files
/// that an operator named.
const VOCABULARY: [&str; 2] = ["telemetry::clock", "regular"];
/// Files that decide and do nothing else; a name covers the folder beside the file too.
const PURE: [&str; 4] = ["metrics/condition", "metrics/data", "metrics/form", "source/file/reconcile"];
/// What a pure file never names: waiting, files, clocks.
const IMPURE: [&str; 9] = [
    "tokio",
    "rustix",
    "std::fs",
    "std::net",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant::now",
    "Instant::now",
    "crate::telemetry",
];

/// What the module in this file may name of this crate, beside itself and the vocabulary.
fn allowed(file: &str) -> Vec<&'static str> {
    let with = |more: &[&'static str]| [&STAGES[..], more].concat();
    match file {
        // Shared words and codes know nobody.
        "lib" => Vec::new(),
        "main" => vec!["cli", "exit"],
        _ if covers("cli", file) => with(&["app", "config", "exit", "flow", "machine", "migrate", "telemetry"]),
        // Moving over writes a configuration and positions, and reads as the agent would.
        _ if covers("migrate", file) => with(&["config"]),
        _ if covers("app", file) => with(&["config", "exit", "flow", "machine", "metrics", "telemetry"]),
        // It looks at the books and makes calls; what it tells follows from the books alone.
        "metrics" => vec!["deliver::cloudwatch"],
        _ if covers("flow", file) => with(&[]),
        // Configuration knows the stages' settings and limits; no stage knows configuration.
        _ if covers("config", file) => with(&["metrics::Settings"]),
        // Stages, vocabulary, telemetry: themselves.
        _ => Vec::new(),
    }
}

/// Whether `file` is the module `module` or lies in the folder beside it.
fn covers(module: &str, file: &str) -> bool {
    file == module || file.strip_prefix(module).is_some_and(|rest| rest.starts_with('/'))
}

/// Everything that is wrong with one file; `file` is its path below `src` without the ending.
fn faults(file: &str, source: &str) -> Vec<String> {
    let tokens = tokens(&without_tests(&without_text(source)));
    let own = file.split('/').next().unwrap_or(file);
    let permitted = allowed(file);
    let mut faults = BTreeSet::new();
    for path in paths(&tokens, file) {
        let Some(inner) = path.strip_prefix("crate::") else { continue };
        let within =
            |name: &&str| inner == *name || inner.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"));
        let vocabulary = VOCABULARY.iter().any(&within);
        if file != "lib" && !vocabulary && !within(&own) && !permitted.iter().any(&within) {
            faults.insert(format!("src/{file}.rs names {path}, which it must not know"));
        }
    }
    if PURE.iter().any(|module| covers(module, file)) {
        for path in paths(&tokens, file) {
            for impure in IMPURE {
                if path == impure || path.strip_prefix(impure).is_some_and(|rest| rest.starts_with("::")) {
                    faults.insert(format!("src/{file}.rs is pure, but names {path}"));
                }
            }
        }
    }
    faults.into_iter().collect()
}

/// The source with comments gone and with literals emptied.
fn without_text(source: &str) -> String {
    let bytes: Vec<char> = source.chars().collect();
    let at = |index: usize| bytes.get(index).copied().unwrap_or('\0');
    let (mut code, mut index) = (String::new(), 0);
    while index < bytes.len() {
        let word_before = index > 0 && (at(index - 1).is_alphanumeric() || at(index - 1) == '_');
        let hashes = (index + 1..).take_while(|place| at(*place) == '#').count();
        match at(index) {
            '/' if at(index + 1) == '/' => index += (index..bytes.len()).take_while(|place| at(*place) != '\n').count(),
            '/' if at(index + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(index), at(index + 1)) {
                        ('/', '*') => (depth, index) = (depth + 1, index + 2),
                        ('*', '/') => (depth, index) = (depth - 1, index + 2),
                        _ => index += 1,
                    }
                    if depth == 0 || index >= bytes.len() {
                        break;
                    }
                }
            }
            'r' if at(index + 1 + hashes) == '"' && (!word_before || at(index - 1) == 'b') => {
                index += hashes + 2;
                let closes = |place: usize| at(place) == '"' && (1..=hashes).all(|more| at(place + more) == '#');
                index += (index..bytes.len()).take_while(|place| !closes(*place)).count() + hashes + 1;
                code.push('"');
            }
            '"' => {
                index += 1;
                while index < bytes.len() && at(index) != '"' {
                    index += if at(index) == '\\' { 2 } else { 1 };
                }
                index += 1;
                code.push('"');
            }
            // A character, not a lifetime.
            '\'' if at(index + 1) == '\\' => {
                index += 3;
                index += (index..bytes.len()).take_while(|place| at(*place) != '\'').count() + 1;
            }
            '\'' if at(index + 2) == '\'' => index += 3,
            other => {
                code.push(other);
                index += 1;
            }
        }
    }
    code
}

/// The code without the items that only exist in tests.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let (mut kept, mut rest) = (String::new(), code);
    while let Some(start) = rest.find(MARK) {
        kept.push_str(&rest[..start]);
        let item = &rest[start + MARK.len()..];
        let (mut depth, mut end) = (0, item.len());
        for (place, character) in item.char_indices() {
            match character {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(character, ';' | '}') {
                end = place + 1;
                break;
            }
        }
        rest = &item[end..];
    }
    kept + rest
}

/// Words and the signs that make up paths.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut characters = code.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_alphanumeric() || character == '_' {
            let mut word = character.to_string();
            while let Some(next) = characters.next_if(|next| next.is_alphanumeric() || *next == '_') {
                word.push(next);
            }
            tokens.push(word);
        } else if character == ':' && characters.next_if_eq(&':').is_some() {
            tokens.push("::".to_owned());
        } else if !character.is_whitespace() {
            tokens.push(character.to_string());
        }
    }
    tokens
}

/// All paths in full, groups taken apart, `super` and `self` and our own name resolved to `crate::…`.
fn paths(tokens: &[String], file: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let is_word = |token: &String| token.chars().all(|c| c.is_alphanumeric() || c == '_');
    for (index, token) in tokens.iter().enumerate() {
        let begins = index == 0 || tokens[index - 1] != "::" || !tokens.get(index.wrapping_sub(2)).is_some_and(is_word);
        if is_word(token) && begins && tokens.get(index + 1).is_some_and(|next| next == "::") {
            expand(tokens, index, &[], file, &mut paths);
        }
    }
    paths
}

/// One path tree from `index` on; returns where it ends.
fn expand(tokens: &[String], mut index: usize, prefix: &[String], file: &str, paths: &mut BTreeSet<String>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(index).map(String::as_str) {
            Some("{") => {
                index += 1;
                while tokens.get(index).is_some_and(|token| token != "}") {
                    index = expand(tokens, index, &path, file, paths);
                    while tokens.get(index).is_some_and(|token| token != "," && token != "}") {
                        index += 1;
                    }
                    index += usize::from(tokens.get(index).is_some_and(|token| token == ","));
                }
                return index + 1;
            }
            Some("self") if !path.is_empty() => index += 1,
            Some(word) if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                path.push(word.to_owned());
                index += 1;
            }
            _ => {
                paths.insert(resolve(&path, file));
                return index.max(1);
            }
        }
        if tokens.get(index).is_some_and(|token| token == "::") {
            index += 1;
        } else {
            paths.insert(resolve(&path, file));
            return index;
        }
    }
}

fn resolve(path: &[String], file: &str) -> String {
    let mut base: Vec<&str> = file.split('/').filter(|part| *part != "lib" && *part != "main").collect();
    let rest = match path.first().map(String::as_str) {
        Some("crate" | "datalake_agent") => {
            base.clear();
            &path[1..]
        }
        Some("self") => &path[1..],
        Some("super") => {
            let up = path.iter().take_while(|part| *part == "super").count();
            base.truncate(base.len().saturating_sub(up));
            &path[up..]
        }
        _ => return path.join("::"),
    };
    ["crate"].into_iter().chain(base).chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join("::")
}

/// Whether the file is a module `tests` that its parent only has in tests.
fn is_test_file(root: &Path, file: &str) -> bool {
    file.strip_suffix("/tests").is_some_and(|parent| {
        let source = std::fs::read_to_string(root.join(format!("{parent}.rs"))).unwrap();
        !tokens(&without_tests(&without_text(&source))).windows(2).any(|pair| pair == ["mod", "tests"])
    })
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_arrow_in_the_sources_is_one_that_is_drawn() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "only {} sources found", files.len());
    let mut all = Vec::new();
    for path in files {
        let file = path.strip_prefix(&root).unwrap().with_extension("").display().to_string();
        assert!(!file.ends_with("/mod"), "{file}.rs: the file stands beside its folder");
        if is_test_file(&root, &file) {
            continue;
        }
        all.extend(faults(&file, &std::fs::read_to_string(&path).unwrap()));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn every_file_that_is_called_pure_or_is_a_stage_is_covered_by_a_name_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for module in PURE.iter().chain(&STAGES) {
        assert!(root.join(format!("{module}.rs")).exists(), "src/{module}.rs is named in the rules, but is not there");
    }
}

/// What is wrong with `source` as the file `file`, as one text.
fn verdict(file: &str, source: &str) -> String {
    faults(file, source).join("\n")
}

#[test]
fn a_stage_that_names_another_stage_is_caught_however_it_spells_it() {
    for source in [
        "use crate::deliver;",
        "use crate::deliver::retry::Backoff;",
        "use crate::{record::Run, deliver::Call};",
        "use crate::{record::{self, Run}, units, deliver::{Call, retry}};",
        "fn f() -> crate::deliver::Call { todo!() }",
        "fn f(call: &crate::deliver::Call) {}",
        "use super::deliver::Call;",
        "use super::{units, deliver};",
        "pub use crate::deliver::*;",
        "/* crate */ use crate :: deliver;",
        "fn f<'a>(x: &'a str) { crate::deliver::g('\\'', '\"') }",
        "const A: &str = r#\"a\"b\"#; use crate::deliver;",
        "#[cfg(test)] use crate::flow; use crate::deliver;",
        "#[cfg(test)] mod tests { fn f() { let a = [1; 2]; } } use crate::deliver;",
    ] {
        assert!(verdict("framing", source).contains("crate::deliver"), "{source}");
    }
    assert!(verdict("source/file/reader", "use super::super::super::batch;").contains("crate::batch"));
    assert!(verdict("telemetry/status", "use crate::flow::Flow;").contains("crate::flow"));
    assert!(verdict("checkpoint", "use crate::deliver::Fault;").contains("crate::deliver"));
    assert!(verdict("batch", "use crate::config::plan::Plan;").contains("crate::config"));
    assert!(verdict("config/written", "use crate::flow::Flow;").contains("crate::flow"));
    assert!(verdict("flow", "use crate::app;").contains("crate::app"));
    assert!(verdict("main", "fn main() { datalake_agent::flow::run() }").contains("crate::flow"));
}

#[test]
fn what_is_drawn_is_left_alone() {
    for (file, source) in [
        ("framing/lines", "use super::Settings; use crate::framing::LongLines;"),
        ("framing", "// use crate::deliver;\n/// [`crate::deliver`]\nconst A: &str = \"crate::deliver\";"),
        ("framing", "#[cfg(test)]\nmod tests { use crate::deliver; use std::fs; }"),
        ("framing", "#[cfg(test)]\nuse crate::deliver::Call;"),
        ("source/file/reader", "use crate::telemetry::clock; use std::fs::File;"),
        ("flow", "use crate::{source, deliver, checkpoint}; use tokio::sync::mpsc;"),
        ("config/plan", "use crate::{checkpoint, deliver, source};"),
        ("app", "use crate::{config::plan::Plan, flow, checkpoint::Keeper, telemetry::Notifier, exit::Exit};"),
        ("lib", "pub mod source; pub mod deliver;"),
    ] {
        assert_eq!(verdict(file, source), "", "{file}: {source}");
    }
}

#[test]
fn a_pure_file_that_waits_or_reads_or_asks_the_time_is_caught() {
    for (source, named) in [
        ("use tokio::sync::mpsc;", "tokio"),
        ("async fn f() { tokio::time::sleep(d).await }", "tokio"),
        ("use std::fs;", "std::fs"),
        ("use std::{fs::File, io};", "std::fs"),
        ("use std::{io, fs};", "std::fs"),
        ("fn f() { ::std::fs::read(p) }", "std::fs"),
        ("use std::time::{Duration, Instant}; fn f() { let now = Instant::now(); }", "Instant::now"),
        ("fn f() { std::time::Instant::now() }", "std::time::Instant::now"),
        ("use std::time::{Duration, SystemTime};", "SystemTime"),
        ("fn f() { crate::telemetry::clock::now_ms() }", "crate::telemetry::clock"),
        ("fn f() { rustix::fs::fstat(fd) }", "rustix"),
    ] {
        for file in ["metrics/data", "source/file/reconcile"] {
            assert!(verdict(file, source).contains(named), "{file}: {source}");
        }
        assert!(!verdict("source/file/reader", source).contains("is pure"), "{source}");
    }
    assert_eq!(verdict("metrics/form", "use std::time::Instant; fn f(now: Instant) -> std::io::Result<()> {}"), "");
}
