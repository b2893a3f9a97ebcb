//! Ids of log lines, and the catalog that explains them to `journalctl -x`.
//! Promises that both name the same lines, that each id is used, and that an explanation only shows fields that the line
//! has. Leaves the forms of a line to the unit tests.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use datalake_agent::telemetry::ids;
use host::{Host, skipped};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn catalog() -> String {
    std::fs::read_to_string(root().join("systemd/datalake-agent.catalog")).unwrap()
}

/// The entries of the catalog by their ids.
fn entries(catalog: &str) -> BTreeMap<String, String> {
    let parts = catalog.split("\n-- ").skip(1);
    parts.map(|part| part.split_once('\n').unwrap()).map(|(id, text)| (id.to_owned(), text.to_owned())).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// The log lines of the sources that have an id, by its name: what stands between the parentheses.
fn lines() -> BTreeMap<String, Vec<String>> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for (place, _) in text.match_indices("message_id = ids::") {
            let rest = &text[place..];
            // To the parenthesis that closes the macro; those of the message are in pairs.
            let mut depth = 1;
            let end = rest.find(|character| {
                depth += match character {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                depth == 0
            });
            let name = rest["message_id = ids::".len()..].split(',').next().unwrap().trim().to_owned();
            lines.entry(name).or_default().push(rest[..end.unwrap()].to_owned());
        }
    }
    lines
}

#[test]
fn code_and_catalog_have_the_same_ids_and_each_is_used() {
    let ids: BTreeMap<&str, &str> = ids::ALL.iter().map(|(name, id)| (*id, *name)).collect();
    assert_eq!(ids.len(), ids::ALL.len(), "an id is there twice");
    for (id, name) in &ids {
        let plain = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(plain, "{name} is {id}, which is no id of the journal");
    }
    let explained: BTreeSet<String> = entries(&catalog()).into_keys().collect();
    let known: BTreeSet<String> = ids.keys().map(|id| (*id).to_owned()).collect();
    assert_eq!(explained, known);
    let used: BTreeSet<String> = lines().into_keys().collect();
    let names: BTreeSet<String> = ids.values().map(|name| (*name).to_owned()).collect();
    assert_eq!(used, names);
}

#[test]
fn an_explanation_shows_only_fields_that_every_line_of_its_id_has() {
    let (entries, lines) = (entries(&catalog()), lines());
    for (name, id) in ids::ALL {
        for (number, field) in entries[*id].split('@').enumerate() {
            if number % 2 == 0 {
                continue;
            }
            let field = field.to_lowercase();
            let words = |line: &str| -> BTreeSet<String> {
                let plain = |character: char| !character.is_ascii_alphanumeric() && character != '_';
                let before_the_message = line.split('"').next().unwrap();
                before_the_message.split(plain).map(str::to_owned).collect()
            };
            let lacking: Vec<&String> = lines[*name].iter().filter(|line| !words(line).contains(&field)).collect();
            assert!(lacking.is_empty(), "{name} shows {field}, which is missing in {lacking:?}");
        }
        let subject = entries[*id].lines().find_map(|line| line.strip_prefix("Subject: "));
        assert!(subject.is_some_and(|subject| !subject.is_empty()), "{name} has no subject");
    }
}

#[test]
fn journalctl_takes_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let (catalogs, database) =
        (folder.path().join("usr/lib/systemd/catalog"), folder.path().join("var/lib/systemd/catalog"));
    std::fs::create_dir_all(&catalogs).unwrap();
    std::fs::create_dir_all(database).unwrap();
    std::fs::write(catalogs.join("datalake-agent.catalog"), catalog()).unwrap();
    let journalctl = |argument: &str| {
        Command::new("journalctl").arg(format!("--root={}", folder.path().display())).arg(argument).output()
    };
    let Ok(updated) = journalctl("--update-catalog") else {
        return skipped("journalctl is not here; whether it takes the catalog was not tried");
    };
    let said = String::from_utf8_lossy(&updated.stderr).into_owned();
    assert!(updated.status.success() && !said.to_lowercase().contains("invalid"), "{said}");
    let dumped = journalctl("--dump-catalog").unwrap();
    let dumped = String::from_utf8(dumped.stdout).unwrap();
    for (name, id) in ids::ALL {
        assert!(dumped.contains(&format!("-- {id}\n")), "{name} is missing in {dumped}");
    }
}

#[test]
fn lines_for_programs_carry_their_ids_and_lines_for_people_do_not() {
    let host = Host::new().flow("*.log", "logs", json!({}));
    let mut agent = host.run();
    assert_eq!(agent.wait_for("running")["message_id"], ids::STARTED);
    assert_eq!(agent.stop(), 0);
    let config = host.configure();
    let text = host.root().join("text.log");
    let file = std::fs::File::create(&text).unwrap();
    let arguments = ["run", "--once", "--config", config.to_str().unwrap(), "--log-format", "text"];
    let mut agent = host.start_to(&arguments, std::process::Stdio::null(), file);
    assert_eq!(agent.exit_code(), 0);
    let text = std::fs::read_to_string(text).unwrap();
    assert!(text.contains("running") && !text.contains("message_id") && !text.contains(ids::STARTED), "{text}");
}
