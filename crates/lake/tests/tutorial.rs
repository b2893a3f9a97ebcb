//! docs/lake.md, run as it stands: files are written, commands run, and what they print is what is printed there.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "support/house.rs"]
mod house;

use house::tool;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What one fence holds.
struct Block {
    kind: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let text: String =
                lines.by_ref().take_while(|line| *line != "```").map(|line| line.to_owned() + "\n").collect();
            blocks.push(Block { kind: kind.to_owned(), text });
        }
    }
    blocks
}

/// Commands, each with what it is to print.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), String::new())),
            None => {
                let printed = &mut commands.last_mut().expect("a block begins with a command").1;
                printed.push_str(line);
                printed.push('\n');
            }
        }
    }
    commands
}

#[test]
fn the_tutorial_prints_what_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lake.md");
    let page = std::fs::read_to_string(page).unwrap();
    let tutorial = page.split("\n## In Athena").next().unwrap();
    let house = tempfile::tempdir().unwrap();
    let mut folder = house.path().to_owned();
    let duckdb = tool("duckdb");
    let mut path = vec![PathBuf::from(env!("CARGO_BIN_EXE_datalake")).parent().unwrap().to_owned()];
    path.extend(duckdb.iter().map(|program| program.parent().unwrap().to_owned()));
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let path = std::env::join_paths(path).unwrap();
    let mut run = 0;
    for Block { kind, text } in blocks(tutorial) {
        if let Some(name) = kind.strip_prefix("json ") {
            std::fs::write(folder.join(name), &text).unwrap();
        }
        if !kind.starts_with("console") || kind.contains("needs-duckdb") && duckdb.is_none() {
            continue;
        }
        for (command, printed) in commands(&text) {
            if let Some(name) = command.strip_prefix("cd ") {
                folder.push(name);
                continue;
            }
            let output = Command::new("sh")
                .args(["-c", &format!("{{ {command}; }} 2>&1")])
                .current_dir(&folder)
                .env("PATH", &path)
                .env("XDG_CACHE_HOME", house.path().join("cache"))
                .output()
                .unwrap();
            let found = String::from_utf8(output.stdout).unwrap();
            assert_eq!(found.trim_end(), printed.trim_end(), "{command}");
            run += 1;
        }
    }
    assert!(run >= 8, "{run} commands");
}
