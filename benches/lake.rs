//! local-lake in its counting mode, as a process of its own: the endpoint of the bulk rows.
//! Promises counts that were taken before the answer to a call left, whenever they are asked for.
//! Leaves what a Firehose endpoint checks to local-lake.

use crate::processes::Program;
use crate::{ACCESS_KEY, Outcome, SECRET_KEY};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

/// What is done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Plain HTTP.
    Http,
    /// TLS, with an authority made at the start.
    Tls,
    /// Plain HTTP, and every signature is recomputed; slow.
    Verified,
}

impl Way {
    /// As it is written in a title and on the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Verified => "verified",
        }
    }
}

/// What the endpoint has counted.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Counts {
    /// Bytes of all records before base64.
    pub(crate) payload: u64,
    /// Records.
    pub(crate) records: u64,
    /// Calls.
    pub(crate) calls: u64,
}

impl Counts {
    /// What came since an earlier look.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            payload: self.payload - earlier.payload,
            records: self.records - earlier.records,
            calls: self.calls - earlier.calls,
        }
    }
}

/// Where it listens and what it is to be trusted by.
#[derive(serde::Serialize, serde::Deserialize)]
struct Address {
    endpoint: String,
    authority: Option<PathBuf>,
}

/// `ship lake FOLDER WAY`: serves, and answers each line it reads with its counts, until its input closes.
pub(crate) fn main(arguments: &[String]) -> Outcome<()> {
    let [folder, way] = arguments else { return Err("ship lake FOLDER WAY".into()) };
    let way = [Way::Http, Way::Tls, Way::Verified].into_iter().find(|known| known.word() == way);
    let builder = local_lake::Lake::builder().mode(local_lake::Mode::Count).largest_kinesis_record(10 << 20);
    let builder = match way.ok_or("no such way")? {
        Way::Http => builder,
        Way::Tls => builder.tls(true).certificate_file(Path::new(folder).join("authority.pem")),
        Way::Verified => builder.credentials(ACCESS_KEY, SECRET_KEY),
    };
    let lake = builder.start_blocking()?;
    let address = Address { endpoint: lake.endpoint(), authority: lake.certificate_path().map(Path::to_owned) };
    println!("{}", serde_json::to_string(&address)?);
    for line in std::io::stdin().lines() {
        line?;
        let stats = lake.stats();
        if !stats.refused.is_empty() {
            eprintln!("refused: {:?}", stats.refused);
        }
        let counts = Counts { payload: stats.bytes, records: stats.records, calls: stats.calls };
        println!("{}", serde_json::to_string(&counts)?);
    }
    Ok(())
}

/// A running endpoint and the pipes to ask it.
pub(crate) struct Lake {
    /// `http://…` or `https://…`
    pub(crate) endpoint: String,
    /// With TLS, the file to trust.
    pub(crate) authority: Option<PathBuf>,
    program: Program,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Lake {
    /// Starts one; its log and certificate go to `folder`.
    pub(crate) fn start(folder: &Path, way: Way) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("lake").arg(folder).arg(way.word()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = Program::start(&mut command, &folder.join("lake.log"))?;
        let pipes = RefCell::new((program.take_input()?, BufReader::new(program.take_output()?)));
        let mut lake = Self { endpoint: String::new(), authority: None, program, pipes };
        let address: Address = lake.read()?;
        lake.endpoint = address.endpoint;
        lake.authority = address.authority;
        Ok(lake)
    }

    /// What it has counted so far.
    pub(crate) fn counts(&self) -> Outcome<Counts> {
        self.pipes.borrow_mut().0.write_all(b"\n")?;
        self.read()
    }

    fn read<T: serde::de::DeserializeOwned>(&self) -> Outcome<T> {
        let mut line = String::new();
        self.pipes.borrow_mut().1.read_line(&mut line)?;
        serde_json::from_str(&line)
            .map_err(|trouble| format!("local-lake: {trouble}; {}", self.program.log_end()).into())
    }
}
