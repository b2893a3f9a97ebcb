//! The external `duckdb` program, locked to the folder of the lake.
//! Promises that a query sees the tables of `lake.json` and nothing else: no other file, no network, no setting, no
//! second statement; that a version is proved before its first query; that a table without objects has no rows.
//! Leaves memory and crashes to the other process.

use super::Format;
use super::{bounded, objects, rows};
use crate::Exit;
use crate::config::{Lake, Table};
use crate::schema::{Schema, ddl};
use crate::sql::prelude;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A longer answer is refused, and the program stopped: an object of a few kilobytes may unpack to more rows than there
/// is memory.
const LONGEST_ANSWER: u64 = 256 << 20;

/// Stands for null in DuckDB's CSV, which writes an empty text the same way; no record holds it.
const NULL: &str = "\u{1}NULL\u{1}";

/// How to get it.
pub const INSTALL: &str = "python3 -m venv ~/.duckdb-cli && ~/.duckdb-cli/bin/pip install duckdb-cli";

/// The program, found and proved.
#[derive(Debug)]
pub struct DuckDb {
    program: PathBuf,
}

/// Where the program may be: as given, on PATH, in a virtual environment.
fn find(given: Option<&Path>) -> Result<PathBuf, Exit> {
    if let Some(given) = given {
        return if given.is_file() {
            Ok(given.to_owned())
        } else {
            Err(Exit::Failed(format!("there is no program {}", given.display())))
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders.extend(std::env::var_os("VIRTUAL_ENV").map(|folder| PathBuf::from(folder).join("bin")));
    if let Some(home) = std::env::var_os("HOME").map(PathBuf::from) {
        folders.extend([home.join(".duckdb-cli/bin"), home.join(".duckdb/cli/latest"), home.join(".local/bin")]);
    }
    folders.into_iter().map(|folder| folder.join("duckdb")).find(|program| program.is_file()).ok_or_else(|| {
        Exit::Failed(format!(
            "there is no `duckdb` program on this machine, which queries on the folder need; everything else works \
             without it.\nInstall it with:\n  {INSTALL}\nor name it with --duckdb FILE, or ask Athena with --engine athena"
        ))
    })
}

impl DuckDb {
    /// Finds the program, and proves its version where that was not done before.
    ///
    /// # Errors
    /// When there is none, or it answers otherwise than Athena would.
    pub fn find(given: Option<&Path>) -> Result<Self, Exit> {
        let duckdb = Self { program: find(given)? };
        let output = Command::new(&duckdb.program).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("cannot run {}: {error}", duckdb.program.display()))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !is_supported(&version) {
            let known = "versions 1.4 to 2.x are";
            return Err(Exit::Failed(format!("{} is `{version}`; {known} supported", duckdb.program.display())));
        }
        duckdb.prove(&version)?;
        Ok(duckdb)
    }

    /// Asks the questions of the prelude, once for each version: the answer is kept in the user's cache.
    fn prove(&self, version: &str) -> Result<(), Exit> {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
            .map(|cache| cache.join("datalake"));
        let word: String = version.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let kept = cache.map(|cache| cache.join(format!("duckdb-{word}-{:08x}", hash(prelude::MACROS))));
        if kept.as_ref().is_some_and(|kept| kept.exists()) {
            return Ok(());
        }
        let script = format!("{}{}{};\n", prelude::SETTINGS, prelude::MACROS, prelude::self_test());
        let output = self.run(Path::new("/"), &script, &["-csv", "-noheader"])?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Exit::Failed(format!("`{version}` cannot run what makes it answer like Athena: {words}")));
        }
        let failed: Vec<&str> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| prelude::PROOFS.get(line.trim().parse::<usize>().ok()?).copied())
            .collect();
        if !failed.is_empty() {
            let words = format!("`{version}` answers otherwise than Athena: {}", failed.join("; "));
            return Err(Exit::Failed(format!("{words}; use another version of duckdb")));
        }
        if let Some(kept) = kept
            && let Some(folder) = kept.parent()
        {
            // Without a cache it is proved each time, in a tenth of a second.
            drop(std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&kept, "")));
        }
        Ok(())
    }

    fn run(&self, folder: &Path, script: &str, arguments: &[&str]) -> Result<Output, Exit> {
        let mut command = Command::new(&self.program);
        command.args(["-no-init", "-bail"]).args(arguments).current_dir(folder);
        let output = bounded::run(&mut command, script, LONGEST_ANSWER)
            .map_err(|error| format!("cannot run {}: {error}", self.program.display()))?;
        output.ok_or_else(|| {
            let words = "the answer is longer than 256 MiB; choose fewer columns, or add a LIMIT or a bound on dt";
            Exit::Failed(words.to_owned())
        })
    }

    /// Everything that stands before a query: settings, macros, tables, and the lock.
    fn before(lake: &Lake, schema: &Schema, query: &str) -> Result<String, Exit> {
        let mut script = prelude::SETTINGS.to_owned();
        script.push_str(prelude::MACROS);
        let mentioned = |table: &Table| query.to_ascii_lowercase().contains(&table.name);
        for table in lake.tables.values() {
            let objects = objects::list(&lake.root, &table.prefix)?;
            if mentioned(table) {
                objects::prove_whole(&lake.root, objects.iter())?;
            }
            script.push_str(&ddl::duckdb(schema, table, !objects.is_empty()));
        }
        if lake.root.is_dir() {
            script.push_str("SET allowed_directories=['./'];\n");
        }
        script.push_str("SET enable_external_access=false;\nSET lock_configuration=true;\n");
        Ok(script)
    }

    /// Runs a query that passed the lint.
    ///
    /// # Errors
    /// What DuckDB says, or an object that is truncated.
    pub fn query(&self, lake: &Lake, schema: &Schema, query: &str, format: Format) -> Result<Vec<u8>, Exit> {
        let folder = if lake.root.is_dir() { lake.root.as_path() } else { lake.home.as_path() };
        let before = Self::before(lake, schema, query)?;
        let columns = self.columns(folder, &before, query)?;
        let chosen = exact(&columns);
        let script = format!("{before}SELECT {chosen} FROM (\n{query}\n);\n");
        let arguments: &[&str] = match format {
            Format::Table => &["-box"],
            Format::Csv => &["-csv", "-nullvalue", NULL],
            Format::Jsonl => &["-jsonlines"],
        };
        let output = self.run(folder, &script, arguments)?;
        match (output.status.success(), format) {
            (false, _) => Err(failed(&output)),
            (true, Format::Csv) => Ok(rows::csv(&rows::read_csv(&output.stdout, NULL)).into_bytes()),
            (true, _) => Ok(output.stdout),
        }
    }

    /// Names and types of a query's columns, without running it.
    ///
    /// # Errors
    /// What DuckDB says.
    pub fn bind(&self, lake: &Lake, schema: &Schema, query: &str) -> Result<Vec<(String, String)>, Exit> {
        let mut script = prelude::SETTINGS.to_owned();
        script.push_str(prelude::MACROS);
        for table in lake.tables.values() {
            script.push_str(&ddl::duckdb(schema, table, false));
        }
        script.push_str("SET enable_external_access=false;\nSET lock_configuration=true;\n");
        self.columns(&lake.home, &script, query)
    }

    fn columns(&self, folder: &Path, before: &str, query: &str) -> Result<Vec<(String, String)>, Exit> {
        let script = format!("{before}DESCRIBE SELECT * FROM (\n{query}\n);\n");
        let output = self.run(folder, &script, &["-jsonlines"])?;
        if !output.status.success() {
            return Err(failed(&output));
        }
        let column = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).ok()?;
            Some((row["column_name"].as_str()?.to_owned(), row["column_type"].as_str()?.to_owned()))
        };
        Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(column).collect())
    }
}

/// What to choose of a query's columns: sums of whole numbers are wider in DuckDB than in Athena.
fn exact(columns: &[(String, String)]) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let twice = columns
        .iter()
        .enumerate()
        .any(|(index, (name, _))| columns[..index].iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)));
    if twice || !columns.iter().any(|(_, kind)| kind == "HUGEINT") {
        return "*".to_owned();
    }
    let chosen = columns.iter().map(|(name, kind)| match kind.as_str() {
        "HUGEINT" => format!("CAST({0} AS BIGINT) AS {0}", quoted(name)),
        _ => quoted(name),
    });
    chosen.collect::<Vec<_>>().join(", ")
}

fn failed(output: &Output) -> Exit {
    let words = datalake_base::shown::shown(String::from_utf8_lossy(&output.stderr).trim()).to_string();
    let words = words.replace("\\n", "\n");
    if let Some((_, place)) = words.split_once("\"maximum_object_size\" of") {
        let object = place.split('"').nth(1).unwrap_or("?");
        return Exit::Failed(format!(
            "the object {object} has a line of more than 16 MiB, which no row is; move it out of the lake, and ask again"
        ));
    }
    let words: String = words.chars().take(4000).collect();
    Exit::Failed(format!("DuckDB refuses the query:\n{words}"))
}

/// `v1.5.6 (…)`: 1.4 to 2.x.
fn is_supported(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split(['.', ' ']).map(|part| part.parse::<u32>().ok());
    matches!((numbers.next().flatten(), numbers.next().flatten()), (Some(1), Some(4..)) | (Some(2), Some(_)))
}

/// FNV-1a, so that new macros are proved anew.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_taken_from_1_4_to_2() {
        for (version, taken) in [("v1.5.6 (Variegata) 069cc9", true), ("v1.4.0", true), ("2.0.1", true)] {
            assert_eq!(is_supported(version), taken, "{version}");
        }
        for version in ["v1.3.2", "v0.10.0", "v3.0.0", "", "something"] {
            assert!(!is_supported(version), "{version}");
        }
    }

    #[test]
    fn sums_of_whole_numbers_are_written_as_athena_writes_them() {
        let columns = |names: &[(&str, &str)]| -> Vec<(String, String)> {
            names.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
        };
        assert_eq!(exact(&columns(&[("a", "BIGINT")])), "*");
        assert_eq!(
            exact(&columns(&[("a\"b", "HUGEINT"), ("c", "DATE")])),
            "CAST(\"a\"\"b\" AS BIGINT) AS \"a\"\"b\", \"c\""
        );
        assert_eq!(exact(&columns(&[("a", "HUGEINT"), ("A", "DATE")])), "*");
    }
}
