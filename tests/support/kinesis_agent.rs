//! What the Kinesis Agent leaves on a host: its configuration and its database, made after their description.
//! Promises files in the form that the original writes them, in the folder of the test's host.
//! Leaves what must come of them to the tests.

use super::host::{Host, PATIENCE, holds_within};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// `count` numbered lines.
pub(crate) fn lines(name: &str, first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("{name} line {number:05}\n")).collect()
}

/// Lets the clock of the filesystem go on, by which files are told apart that came before and after a saved position.
pub(crate) fn later() {
    std::thread::sleep(std::time::Duration::from_millis(1_100));
}

fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A row of its database.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    flow: String,
    path: PathBuf,
    device: u64,
    pub(crate) inode: u64,
    modified: i64,
    size: u64,
    offset: usize,
    updated: u64,
}

impl Row {
    /// As it is saved now for this file.
    pub(crate) fn of(flow: &str, path: &Path, offset: usize) -> Self {
        let metadata = std::fs::metadata(path).unwrap();
        Self {
            flow: flow.to_owned(),
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: metadata.mtime() * 1000,
            size: metadata.len(),
            offset,
            updated: now(),
        }
    }

    /// Saved so many seconds earlier.
    pub(crate) fn aged(mut self, seconds: u64) -> Self {
        self.updated -= seconds * 1000;
        self
    }
}

/// Its installation.
pub(crate) struct KinesisAgent {
    root: PathBuf,
    logs: PathBuf,
}

impl KinesisAgent {
    /// With these flows: a pattern below the host's logs, and a delivery stream.
    pub(crate) fn on(host: &Host, flows: &[(&str, &str)]) -> Self {
        let agent = Self { root: host.root().join("old"), logs: host.logs() };
        std::fs::create_dir_all(agent.root.join("etc")).unwrap();
        std::fs::create_dir_all(agent.root.join("run")).unwrap();
        let flows: Vec<Value> = flows
            .iter()
            .map(|(pattern, stream)| {
                json!({
                    "filePattern": format!("{}/{pattern}", agent.logs.display()),
                    "deliveryStream": stream,
                    "maxBufferAgeMillis": "1000",
                })
            })
            .collect();
        let config = json!({
            "firehose.endpoint": host.lake.endpoint(),
            "checkpointFile": agent.database(),
            "flows": flows,
        });
        std::fs::write(agent.config(), format!("// made by a test\n{config:#}")).unwrap();
        agent
    }

    fn config(&self) -> PathBuf {
        self.root.join("etc/agent.json")
    }

    /// Changes its configuration.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Value)) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let mut config: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
        change(&mut config);
        std::fs::write(self.config(), config.to_string()).unwrap();
    }

    /// Its database.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("run/checkpoints")
    }

    /// Where the new configuration goes.
    pub(crate) fn new_config(&self) -> PathBuf {
        self.root.join("new/agent.json")
    }

    /// The name of a flow, as its database has it.
    pub(crate) fn id(&self, pattern: &str, stream: &str) -> String {
        format!("fh:{stream}:{}/{pattern}", self.logs.display())
    }

    /// Saves positions; a newer one for the same path takes the place of the older.
    pub(crate) fn save(&self, rows: &[Row]) {
        let connection = Connection::open(self.database()).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS FILE_CHECKPOINTS (flow text, path text, fileId text, lastModifiedTime bigint,
                     size bigint, offset bigint, lastUpdated datetime, PRIMARY KEY (flow, path))",
            )
            .unwrap();
        for row in rows {
            connection
                .execute(
                    "INSERT OR REPLACE INTO FILE_CHECKPOINTS
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, strftime('%Y-%m-%d %H:%M:%f', ?7, 'unixepoch'))",
                    params![
                        row.flow,
                        row.path.to_str().unwrap(),
                        format!("(dev={:x},ino={})", row.device, row.inode),
                        row.modified,
                        row.size.cast_signed(),
                        i64::try_from(row.offset).unwrap(),
                        row.updated as f64 / 1000.0,
                    ],
                )
                .unwrap();
        }
    }

    /// A write that was killed: pages of it lie in the database, and what they were before in the journal beside it.
    pub(crate) fn interrupt_a_write(&self) {
        let live = self.root.join("run/live");
        std::fs::copy(self.database(), &live).unwrap();
        let connection = Connection::open(&live).unwrap();
        connection.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE").unwrap();
        connection.execute("UPDATE FILE_CHECKPOINTS SET offset = 0", []).unwrap();
        for number in 0..300 {
            let flow = format!("{number}{}", "x".repeat(500));
            connection
                .execute("INSERT INTO FILE_CHECKPOINTS (flow, path, offset) VALUES (?1, 'p', 1)", [flow])
                .unwrap();
        }
        let journal = |path: &Path| PathBuf::from(format!("{}-journal", path.display()));
        assert!(std::fs::metadata(journal(&live)).unwrap().len() > 0, "nothing was written before the kill");
        let torn = std::fs::read(&live).unwrap();
        assert_ne!(torn, std::fs::read(self.database()).unwrap(), "nothing was written before the kill");
        std::fs::write(self.database(), torn).unwrap();
        std::fs::copy(journal(&live), journal(&self.database())).unwrap();
    }

    /// A process that its pid file names.
    pub(crate) fn pretend_to_run(&self) -> Running {
        let script = self.root.join("aws-kinesis-agent");
        std::fs::write(&script, "read forever\n").unwrap();
        let child = std::process::Command::new("sh").arg(&script).stdin(Stdio::piped()).spawn().unwrap();
        std::fs::write(self.root.join("run.pid"), format!("{}\n", child.id())).unwrap();
        Running { child }
    }

    /// Begins to migrate.
    pub(crate) fn spawn(&self, host: &Host, more: &[&str]) -> Child {
        let mut command = host.program();
        command.arg("migrate").arg("--from").arg(self.root.join("etc"));
        command.arg("--config").arg(self.new_config()).arg("--state-directory").arg(host.state());
        command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Its exit code and what it said, once it has ended.
    #[track_caller]
    pub(crate) fn ended(mut child: Child) -> (i32, String) {
        if !holds_within(PATIENCE, || child.try_wait().unwrap().is_some()) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        let output = child.wait_with_output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(told).unwrap())
    }

    /// Migrates.
    #[track_caller]
    pub(crate) fn migrate(&self, host: &Host, more: &[&str]) -> (i32, String) {
        Self::ended(self.spawn(host, more))
    }

    /// Makes room for another life on the same host.
    pub(crate) fn wipe(&self, host: &Host) {
        for folder in [&self.root, &host.logs(), &host.state()] {
            std::fs::remove_dir_all(folder).unwrap();
        }
        std::fs::create_dir(host.logs()).unwrap();
        std::fs::create_dir(host.state()).unwrap();
        for stream in host.lake.streams() {
            host.lake.take(&stream);
        }
    }
}

/// A process that pretends; ends when it is dropped.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
