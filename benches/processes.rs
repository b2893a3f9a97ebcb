//! A program under measurement: started, watched from the outside, ended.
//! Promises CPU time of all its threads, ended ones included, in nanoseconds, and its memory as the kernel counts it.
//! Leaves what the program is to the rows.

use crate::Outcome;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A running program; killed when dropped.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it with its standard error going to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Outcome<Self> {
        let child = command.stderr(File::create(log)?).spawn()?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        Ok(clock_gettime(clock_getcpuclockid(pid)?)?.into())
    }

    /// The most bytes of memory it ever held (`VmHWM`).
    pub(crate) fn peak_memory(&self) -> Outcome<u64> {
        self.status_field("VmHWM:")
    }

    /// The bytes of memory it holds (`VmRSS`).
    pub(crate) fn memory(&self) -> Outcome<u64> {
        self.status_field("VmRSS:")
    }

    fn status_field(&self, name: &str) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("the program has ended")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// The pipe from its standard output, once.
    pub(crate) fn take_output(&mut self) -> Outcome<ChildStdout> {
        Ok(self.child.stdout.take().ok_or("its output is not a pipe")?)
    }

    /// The pipe to its standard input, once; closing it tells the limit program to end.
    pub(crate) fn take_input(&mut self) -> Outcome<ChildStdin> {
        Ok(self.child.stdin.take().ok_or("its input is not a pipe")?)
    }

    /// Asks again and again until `done` says yes. An error, with the end of the program's log, if the program ends
    /// before, or after `limit`.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut() -> Outcome<bool>,
    ) -> Outcome<()> {
        let start = Instant::now();
        while !done()? {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("waiting for {what}: ended with {status}; {}", self.log_end()).into());
            }
            if start.elapsed() > limit {
                return Err(format!("waited {limit:?} in vain for {what}; {}", self.log_end()).into());
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        Ok(())
    }

    /// The end of its log, for an error.
    pub(crate) fn log_end(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let from = log.char_indices().rev().nth(3000).map_or(0, |(at, _)| at);
        format!("its log {} ends:\n{}", self.log.display(), &log[from..])
    }

    /// Asks it to stop with SIGTERM and waits; an error if it ends badly or not within `limit`.
    pub(crate) fn stop(mut self, limit: Duration) -> Outcome<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let start = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("stopped with {status}; {}", self.log_end()).into()),
                None if start.elapsed() > limit => {
                    return Err(format!("did not stop within {limit:?}; {}", self.log_end()).into());
                }
                None => std::thread::sleep(Duration::from_millis(3)),
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Either may find that it is gone already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The agent's binary: the one built for this run, or what `SHIP_AGENT` names, to compare another build.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("SHIP_AGENT").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_datalake-agent")), PathBuf::from)
}

/// The agent, run by a configuration in `folder`.
pub(crate) struct Agent {
    /// `firehose.endpoint`.
    pub(crate) endpoint: String,
    /// Certificate file to trust beside nothing else.
    pub(crate) authority: Option<PathBuf>,
    /// `filePattern`.
    pub(crate) pattern: PathBuf,
    /// Holds the configuration, the state and the log.
    pub(crate) folder: PathBuf,
    /// Further keys of the flow, as JSON members.
    pub(crate) flow: serde_json::Map<String, serde_json::Value>,
    /// What else it runs.
    pub(crate) beside: Beside,
}

/// Flows beside the one that is measured.
#[derive(Default)]
pub(crate) struct Beside {
    /// As JSON.
    pub(crate) flows: Vec<serde_json::Value>,
    /// `kinesis.endpoint`, where it is another than that of Firehose.
    pub(crate) kinesis: Option<String>,
}

impl Agent {
    /// Writes the configuration and starts `datalake-agent run`.
    pub(crate) fn start(&self) -> Outcome<Program> {
        let mut flow = serde_json::json!({
            "filePattern": self.pattern,
            "initialPosition": "START_OF_FILE",
            "maxBufferAgeMillis": 1000,
        });
        if let Some(members) = flow.as_object_mut() {
            members.extend(self.flow.clone());
            if members.contains_key("mqtt") {
                members.retain(|key, _| key != "filePattern" && key != "initialPosition");
            }
            if !members.contains_key("kinesisStream") {
                members.insert("deliveryStream".to_owned(), crate::STREAM.into());
            }
        }
        let flows: Vec<_> = std::iter::once(flow).chain(self.beside.flows.iter().cloned()).collect();
        let configuration = serde_json::json!({
            "stateDirectory": self.folder.join("state"),
            "firehose.endpoint": self.endpoint,
            "kinesis.endpoint": self.beside.kinesis.as_ref().unwrap_or(&self.endpoint),
            "awsAccessKeyId": crate::ACCESS_KEY,
            "awsSecretAccessKey": crate::SECRET_KEY,
            "region": crate::REGION,
            "cloudwatch.emitMetrics": false,
            "flows": flows,
        });
        fs::create_dir_all(self.folder.join("state"))?;
        let path = self.folder.join("agent.json");
        // A configuration with keys that others can read is refused.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(serde_json::to_string_pretty(&configuration)?.as_bytes())?;
        let mut command = Command::new(binary());
        command.arg("run").arg("--config").arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        command.env_clear().env("HOME", &self.folder).env("AWS_EC2_METADATA_DISABLED", "true");
        if let Some(authority) = &self.authority {
            command.env("SSL_CERT_FILE", authority);
        }
        Program::start(&mut command, &self.folder.join("agent.log"))
    }
}
