//! A machine in a folder: logs, a state folder, a configuration, a lake in the place of AWS, and the real agent.
//! Promises that nothing of this machine's own set-up reaches the agent, that no agent outlives its test, and that the
//! agent's log is shown when a test fails. Leaves what is written and what must arrive to the tests.

use local_lake::{Lake, Mode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What everything but a stop is waited for. Generous: it only ends tests that fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The user and group of an agent that must not be root; nobody.
const NOBODY: u32 = 65534;

/// A file name that forged lines, cleared the screen and reversed what followed.
pub(crate) const HOSTILE: &[u8] = b"a\n2026 ERROR forged\x1b[2J\x07\xc2\x9b31m\xe2\x80\xae\xe2\x80\xa8\x7f\xff.log";

/// Appends to a file, which is made if need be, and its folder too.
#[track_caller]
pub(crate) fn append(path: &Path, bytes: &(impl AsRef<[u8]> + ?Sized)) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::options().create(true).append(true).open(path).unwrap().write_all(bytes.as_ref()).unwrap();
}

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(PATIENCE, condition), "in {PATIENCE:?} never: {what}");
}

/// Whether the condition holds before the time is over.
pub(crate) fn holds_within(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says something even where the output of tests is captured, which swallows what goes through `eprintln!`.
pub(crate) fn say(text: &str) {
    writeln!(std::io::stderr().lock(), "{text}").ok();
}

/// Says aloud that a part of a test was not done, in words that can be searched for and counted.
pub(crate) fn skipped(reason: &str) {
    say(&format!("SKIPPED: {reason}"));
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The machine.
pub(crate) struct Host {
    root: tempfile::TempDir,
    pub(crate) lake: Lake,
    top: Map<String, Value>,
    flows: Vec<Value>,
    /// How the agent is run; `None` is itself.
    wrapper: Option<Vec<String>>,
    unprivileged: bool,
    pub(crate) environment: Vec<(String, String)>,
}

impl Host {
    /// Without flows, with a lake that keeps everything in memory.
    pub(crate) fn new() -> Self {
        Self::with(Lake::builder().mode(Mode::Collect).start_blocking().unwrap())
    }

    /// The same with a lake of the test's own.
    pub(crate) fn with(lake: Lake) -> Self {
        let root = tempfile::Builder::new().prefix("agent-test-").tempdir().unwrap();
        // Agents of other users must get in.
        std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let endpoint = lake.endpoint();
        let host = Self {
            root,
            lake,
            top: Map::new(),
            flows: Vec::new(),
            wrapper: None,
            unprivileged: false,
            environment: Vec::new(),
        };
        std::fs::create_dir(host.logs()).unwrap();
        std::fs::create_dir(host.state()).unwrap();
        let state = host.state().display().to_string();
        host.top("stateDirectory", json!(state))
            .top("firehose.endpoint", json!(endpoint))
            .top("kinesis.endpoint", json!(endpoint))
            .top("region", json!("eu-west-1"))
            .top("cloudwatch.emitMetrics", json!(false))
    }

    /// Sets a key of the configuration.
    pub(crate) fn top(mut self, key: &str, value: Value) -> Self {
        self.top.insert(key.to_owned(), value);
        self
    }

    /// Without a key of the configuration.
    pub(crate) fn without_top(mut self, key: &str) -> Self {
        self.top.remove(key);
        self
    }

    /// A flow that reads from the beginning and sends almost at once; `more` adds keys or replaces these.
    pub(crate) fn flow(mut self, pattern: &str, stream: &str, more: Value) -> Self {
        self.flows.push(self.flow_json(pattern, stream, more));
        self
    }

    /// A flow as it stands in the configuration, whatever its source.
    pub(crate) fn whole_flow(mut self, flow: Value) -> Self {
        self.flows.push(flow);
        self
    }

    /// A flow like it to a stream of Kinesis.
    pub(crate) fn flow_to_kinesis(mut self, pattern: &str, stream: &str, more: Value) -> Self {
        let mut flow = self.flow_json(pattern, stream, more);
        let keys = flow.as_object_mut().unwrap();
        keys.remove("deliveryStream");
        keys.insert("kinesisStream".to_owned(), json!(stream));
        self.flows.push(flow);
        self
    }

    /// Forgets the flows: the next configuration has others.
    pub(crate) fn without_flows(mut self) -> Self {
        self.flows.clear();
        self
    }

    /// The same as it stands in the configuration; a pattern without a slash is below the log folder.
    pub(crate) fn flow_json(&self, pattern: &str, stream: &str, more: Value) -> Value {
        let pattern = match pattern.starts_with('/') {
            true => pattern.to_owned(),
            false => format!("{}/{pattern}", self.logs().display()),
        };
        let mut flow = json!({
            "filePattern": pattern,
            "deliveryStream": stream,
            "initialPosition": "START_OF_FILE",
            "maxBufferAgeMillis": 50,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            flow[key] = value.clone();
        }
        flow
    }

    /// Runs the agent through another program, such as `sh -c 'ulimit -n 20; exec "$@"' sh`.
    pub(crate) fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = Some(wrapper.iter().map(|word| (*word).to_owned()).collect());
        self
    }

    /// The agent gives up being root, where the test is; then what it reads must let it.
    pub(crate) fn unprivileged(mut self) -> Self {
        if is_root() {
            self.unprivileged = true;
            std::os::unix::fs::chown(self.state(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        self
    }

    /// The folder of everything.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The folder of the log files.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root().join("logs")
    }

    /// A log file.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(name)
    }

    /// The agent's state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    /// The configuration, written once: another command may be reading it.
    pub(crate) fn configured(&self) -> PathBuf {
        let path = self.root().join("etc/agent.json");
        if path.exists() { path } else { self.configure() }
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self) -> PathBuf {
        let folder = self.root().join("etc");
        std::fs::create_dir_all(&folder).unwrap();
        let mut written = self.top.clone();
        written.insert("flows".to_owned(), Value::Array(self.flows.clone()));
        let path = folder.join("agent.json");
        std::fs::write(&path, serde_json::to_string_pretty(&written).unwrap()).unwrap();
        path
    }

    /// The agent's program in an environment without surprises, no arguments yet.
    pub(crate) fn program(&self) -> Command {
        // Another build of it, where somebody measures that.
        let binary = std::env::var_os("AGENT").unwrap_or_else(|| env!("CARGO_BIN_EXE_datalake-agent").into());
        let mut command = match self.wrapper.as_deref() {
            Some([first, rest @ ..]) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&binary);
                command
            }
            _ => Command::new(binary),
        };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            // So that whoever looks into a failure can have the agent say more.
            .envs(std::env::var_os("DATALAKE_LOG").map(|level| ("DATALAKE_LOG", level)))
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .stdin(Stdio::null());
        if self.unprivileged {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Starts the agent; its log is appended to a file.
    pub(crate) fn start(&self) -> Agent {
        let config = self.configure();
        self.start_with(&["run", "--config", config.to_str().unwrap(), "--log-format", "json"])
    }

    /// Starts the agent with these arguments.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Agent {
        let log = self.root().join("agent.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        self.start_to(arguments, file.try_clone().unwrap(), file)
    }

    /// Starts the agent with its output elsewhere; what comes into the usual file counts as its log.
    pub(crate) fn start_to(&self, arguments: &[&str], out: impl Into<Stdio>, log: impl Into<Stdio>) -> Agent {
        let path = self.root().join("agent.log");
        let begins = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let mut command = self.program();
        let child = command.args(arguments).stdout(out).stderr(log).spawn().unwrap();
        Agent { child, log: path, begins: usize::try_from(begins).unwrap(), over: false }
    }

    /// Starts the agent and waits until it says that it runs.
    pub(crate) fn run(&self) -> Agent {
        let agent = self.start();
        agent.wait_for("running");
        agent
    }

    /// Everything that arrived in this stream.
    pub(crate) fn payload(&self, stream: &str) -> Vec<u8> {
        self.lake.payload(stream)
    }

    /// Waits until so many bytes arrived in this stream, and a little longer for any that should not have; returns all.
    #[track_caller]
    pub(crate) fn arrived(&self, stream: &str, bytes: usize) -> Vec<u8> {
        let mut had = 0;
        let enough = holds_within(PATIENCE, || {
            had = self.payload(stream).len();
            had >= bytes
        });
        assert!(enough, "of {bytes} bytes {had} arrived in {PATIENCE:?}");
        self.payload(stream)
    }

    /// Keeps the folder of a failed test.
    fn keep_when_failing(&mut self) {
        if std::thread::panicking() {
            self.root.disable_cleanup(true);
            say(&format!("the folder of the failed test is kept: {}", self.root.path().display()));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.keep_when_failing();
    }
}

/// The running agent; killed when it is dropped.
pub(crate) struct Agent {
    child: Child,
    log: PathBuf,
    /// Where the log of this life begins, in bytes.
    begins: usize,
    over: bool,
}

impl Agent {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL. Panics when the agent had ended by itself, for it must not.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        assert!(self.is_running(), "the agent ended by itself:\n{}", self.log_end());
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        self.over = true;
        assert_eq!(status.signal(), Some(9), "the agent ended by itself:\n{}", self.log_end());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = holds_within(PATIENCE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "the agent does not end:\n{}", self.log_end());
        self.over = true;
        status.unwrap()
    }

    /// Its exit code, once it has ended.
    #[track_caller]
    pub(crate) fn exit_code(&mut self) -> i32 {
        let status = self.wait();
        status.code().unwrap_or_else(|| panic!("ended by a signal: {status}\n{}", self.log_end()))
    }

    /// SIGTERM, and the exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal(Signal::TERM);
        self.exit_code()
    }

    /// What this life has logged.
    pub(crate) fn log_text(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.begins..).unwrap_or_default()).into_owned()
    }

    /// The same, line by line; only lines that are objects.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        self.log_text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The lines whose message holds these words.
    pub(crate) fn logged(&self, words: &str) -> Vec<Value> {
        let mut lines = self.log_lines();
        lines.retain(|line| line["message"].as_str().is_some_and(|message| message.contains(words)));
        lines
    }

    /// Waits for a line with these words.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) -> Value {
        let mut line = None;
        let found = holds_within(PATIENCE, || {
            line = self.logged(words).into_iter().next();
            line.is_some()
        });
        assert!(found, "the log never says `{words}`:\n{}", self.log_end());
        line.unwrap_or_default()
    }

    /// The most memory it ever had in use, in bytes (`VmHWM`).
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:") * 1024
    }

    fn status(&self, key: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn log_end(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if !self.over {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            say(&format!("the agent's log ends with:\n{}", self.log_end()));
        }
    }
}
