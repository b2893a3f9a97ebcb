//! A lake in a temporary folder, and the tools that the tests run against.
#![allow(dead_code, clippy::allow_attributes, reason = "each test takes what it needs")]

use datalake::config::{self, Lake};
use datalake::schema::{Schema, protos};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program of the tools; what cannot be had is said.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var_os("LAKE_TOOLS").map(PathBuf::from);
    let found = given.unwrap_or_else(|| root.join("target/lake-tools/bin")).join(name);
    let on_path = || std::env::split_paths(&std::env::var_os("PATH")?).map(|f| f.join(name)).find(|p| p.is_file());
    let found = if found.is_file() { Some(found) } else { on_path() };
    if found.is_none() {
        println!("SKIPPED: there is no `{name}`; crates/lake/tests/support/tools.sh installs it");
    }
    found
}

/// A program of this workspace, which lies beside the folder of the tests.
pub(crate) fn ours(name: &str) -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join(name)
}

/// DuckDB without the script of its package around it, which takes longer to start than a query.
pub(crate) fn duckdb() -> Option<PathBuf> {
    let script = tool("duckdb")?;
    let lib = script.parent()?.parent()?.join("lib");
    let packages = std::fs::read_dir(lib).into_iter().flatten().flatten();
    let bare = packages.map(|python| python.path().join("site-packages/duckdb_cli/duckdb")).find(|path| path.is_file());
    Some(bare.unwrap_or(script))
}

/// All files below a folder with their bytes.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// The lines of a packed object.
pub(crate) fn unpacked(packed: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
    text
}

/// A folder with lake.json and a schema.
pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
}

impl House {
    pub(crate) fn new(lake_json: &str, proto: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("schema")).unwrap();
        std::fs::write(folder.path().join("lake.json"), lake_json).unwrap();
        std::fs::write(folder.path().join("schema/t.proto"), proto).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn lake(&self) -> (Lake, Schema) {
        let lake = config::load(&self.path().join("lake.json")).unwrap_or_else(|exit| panic!("{exit}"));
        let schema = protos::compile(&lake).unwrap_or_else(|exit| panic!("{exit}"));
        (lake, schema)
    }

    /// Puts lines into an object of a table.
    pub(crate) fn object(&self, prefix: &str, hour: &str, name: &str, lines: &[u8]) -> PathBuf {
        let folder = self.path().join("lake").join(prefix).join(format!("dt={hour}"));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        let mut packed =
            flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
        packed.write_all(lines).unwrap();
        packed.finish().unwrap();
        path
    }

    /// Puts a file beside lake.json.
    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs `datalake`.
    pub(crate) fn run(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut command = Command::new(ours("datalake"));
        command.args(arguments).current_dir(self.path()).env("XDG_CACHE_HOME", self.path().join("cache"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

/// Both outputs of a program as one text.
pub(crate) fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
