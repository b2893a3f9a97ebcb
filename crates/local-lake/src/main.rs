//! The binary: choices from the command line, a lake, and an orderly end on SIGTERM or SIGINT.
//! Promises the endpoint alone on the first line of stdout, and that everything accepted is written before it ends.
//! Leaves all else to the library.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use local_lake::{CountedBytes, FaultPlan, Function, Lake, Mode, PassThrough, RateLimit};
use tokio::signal::unix::{SignalKind, signal};

/// A Firehose and Kinesis Data Streams endpoint on loopback that writes the S3 layout to a folder.
#[derive(Debug, Parser)]
#[command(name = "local-lake", version)]
struct Options {
    /// Folder that stands for the bucket (modes lake and sink-log)
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Write the port to this file once it listens
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// What is done with accepted records
    #[arg(long, value_enum, default_value_t = ModeName::Lake)]
    mode: ModeName,
    /// Count newlines in mode count too (decodes every record)
    #[arg(long)]
    count_lines: bool,
    /// Write the totals to this file at the end, as JSON
    #[arg(long, value_name = "FILE")]
    stats_file: Option<PathBuf>,
    /// Streams that exist, separated by commas; unless given, each exists once it is used
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    streams: Option<Vec<String>>,
    /// Access key id that signatures are verified with
    #[arg(long, requires = "secret_key_file", value_name = "ID")]
    access_key_id: Option<String>,
    /// File with the secret of that key
    #[arg(long, requires = "access_key_id", value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    /// Let the 4 MiB of a call count bytes after base64
    #[arg(long)]
    count_encoded: bool,
    /// Shards of every stream of Kinesis
    #[arg(long, default_value_t = 4, value_name = "NUMBER")]
    shards: u32,
    /// Let a shard take no more than 1 MiB and 1,000 records a second
    #[arg(long)]
    shard_limits: bool,
    /// HTTPS with a certificate made at start
    #[arg(long)]
    tls: bool,
    /// Where the certificate to trust is written (PEM)
    #[arg(long, requires = "tls", value_name = "FILE")]
    certificate_file: Option<PathBuf>,
    #[command(flatten)]
    objects: ObjectOptions,
    #[command(flatten)]
    faults: FaultOptions,
}

/// How objects are made.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Objects")]
struct ObjectOptions {
    /// Prefix expression; <stream> stands for the stream's name
    #[arg(long, default_value = "raw/v0/<stream>/dt=!{timestamp:yyyy-MM-dd-HH}/")]
    prefix: String,
    /// Zone of prefix and object name (IANA name)
    #[arg(long, default_value = "UTC", value_name = "NAME")]
    time_zone: String,
    /// What object names end with
    #[arg(long, default_value = ".gz")]
    extension: String,
    /// An object is closed before it would hold more bytes, before compression
    #[arg(long, default_value_t = 5 * 1024 * 1024, value_name = "BYTES")]
    flush_bytes: usize,
    /// An object is closed so long after its first record
    #[arg(long, default_value_t = 5000, value_name = "MILLISECONDS")]
    flush_interval_millis: u64,
    /// Which records are gzip already and are written as they are
    #[arg(long, value_enum, default_value_t = PassThroughName::Detect)]
    pass_through: PassThroughName,
    /// A program for AWS Lambda that every record goes through; its own settings come from the environment
    #[arg(long, value_name = "PROGRAM")]
    transform: Option<PathBuf>,
}

/// What goes wrong, by chance.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Faults (chance of each per call, 0 to 1)")]
struct FaultOptions {
    /// Where the dice start; unless given, anywhere (it is printed)
    #[arg(long, value_name = "NUMBER")]
    fault_seed: Option<u64>,
    /// HTTP 500 ServiceUnavailableException, "Slow down."
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    throttle: f64,
    /// Some records fail inside a 200
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    partial: f64,
    /// Chance of each record of such a call to fail
    #[arg(long, default_value_t = 0.3, value_name = "P")]
    partial_share: f64,
    /// The connection is reset before the body is read
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    reset: f64,
    /// Records are stored and the connection closed without an answer
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    answer_lost: f64,
    /// HTTP 500 InternalFailure
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    internal_failure: f64,
    /// HTTP 502
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    bad_gateway: f64,
    /// HTTP 503
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    unavailable: f64,
    /// No answer ever
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    hang: f64,
    /// AccessDeniedException
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    access_denied: f64,
    /// ResourceNotFoundException
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    resource_not_found: f64,
    /// ExpiredTokenException
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    expired_token: f64,
    /// InvalidKMSResourceException
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    invalid_kms: f64,
    /// Every answer is at least so much later
    #[arg(long, default_value_t = 0, value_name = "MILLISECONDS")]
    latency_min_millis: u64,
    /// And at most so much; unless given, exactly so much
    #[arg(long, value_name = "MILLISECONDS")]
    latency_max_millis: Option<u64>,
    /// A record that holds this text spoils its call (InvalidArgumentException)
    #[arg(long, value_name = "TEXT")]
    poison: Option<String>,
    /// Bytes a second each stream takes
    #[arg(long, value_name = "NUMBER")]
    rate_bytes: Option<f64>,
    /// Records a second each stream takes
    #[arg(long, value_name = "NUMBER")]
    rate_records: Option<f64>,
    /// Calls a second each stream takes
    #[arg(long, value_name = "NUMBER")]
    rate_calls: Option<f64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeName {
    /// Objects below the root folder
    Lake,
    /// Kept in memory
    Collect,
    /// Counted and dropped
    Count,
    /// Appended to a file a stream before the answer
    SinkLog,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PassThroughName {
    /// Those that begin as gzip does
    Detect,
    /// All
    Always,
    /// None
    Never,
}

impl FaultOptions {
    /// The plan they ask for.
    fn plan(&self) -> FaultPlan {
        let shortest = self.latency_min_millis;
        let longest = self.latency_max_millis.unwrap_or(shortest);
        let latency =
            (longest > 0 || shortest > 0).then(|| (Duration::from_millis(shortest), Duration::from_millis(longest)));
        FaultPlan {
            seed: self.fault_seed.unwrap_or_else(|| fastrand::u64(..)),
            throttle: self.throttle,
            partial: self.partial,
            partial_share: self.partial_share,
            reset: self.reset,
            answer_lost: self.answer_lost,
            internal_failure: self.internal_failure,
            bad_gateway: self.bad_gateway,
            unavailable: self.unavailable,
            hang: self.hang,
            access_denied: self.access_denied,
            resource_not_found: self.resource_not_found,
            expired_token: self.expired_token,
            invalid_kms: self.invalid_kms,
            latency,
            poison: self.poison.as_ref().map(|text| text.clone().into_bytes()),
            rate: RateLimit {
                bytes_per_second: self.rate_bytes,
                records_per_second: self.rate_records,
                calls_per_second: self.rate_calls,
            },
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to if this fails.
            drop(writeln!(io::stderr(), "local-lake: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// From start to stop.
async fn run(options: &Options) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let plan = options.faults.plan();
    let seed = plan.seed;
    let lake = start(options, plan).await?;
    if let Some(file) = &options.port_file {
        // Whole or not at all: somebody polls for it.
        let unfinished = file.with_extension("unfinished");
        std::fs::write(&unfinished, format!("{}\n", lake.address().port()))?;
        std::fs::rename(&unfinished, file)?;
    }
    say(&format!("{}\nfault seed {seed}\n", lake.endpoint()))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let stats = lake.stop().await?;
    if let Some(file) = &options.stats_file {
        std::fs::write(file, serde_json::to_string_pretty(&stats).map_err(io::Error::other)?)?;
    }
    say(&format!(
        "{} calls on {} connections, {} records, {} bytes, {} billed bytes, {} lines, {} failed records, {} refused calls, \
         {} objects\n",
        stats.calls,
        stats.connections,
        stats.records,
        stats.bytes,
        stats.billed_bytes,
        stats.lines,
        stats.failed_records,
        stats.refused.values().sum::<u64>(),
        stats.objects,
    ))
}

/// The lake the options ask for.
async fn start(options: &Options, plan: FaultPlan) -> io::Result<Lake> {
    let mut builder = Lake::builder()
        .mode(match options.mode {
            ModeName::Lake => Mode::Lake,
            ModeName::Collect => Mode::Collect,
            ModeName::Count => Mode::Count,
            ModeName::SinkLog => Mode::SinkLog,
        })
        .port(options.port)
        .count_lines(options.count_lines)
        .counted_bytes(if options.count_encoded { CountedBytes::Encoded } else { CountedBytes::Raw })
        .shards(options.shards)
        .shard_limits(options.shard_limits)
        .tls(options.tls)
        .prefix(&options.objects.prefix)
        .time_zone(&options.objects.time_zone)
        .extension(&options.objects.extension)
        .flush_bytes(options.objects.flush_bytes)
        .flush_interval(Duration::from_millis(options.objects.flush_interval_millis))
        .pass_through(match options.objects.pass_through {
            PassThroughName::Detect => PassThrough::Detect,
            PassThroughName::Always => PassThrough::Always,
            PassThroughName::Never => PassThrough::Never,
        })
        .faults(plan);
    if let Some(program) = &options.objects.transform {
        let function = Function::start(Command::new(program), Duration::from_secs(60))?;
        builder = builder.transform(Arc::new(function));
    }
    if let Some(root) = &options.root {
        builder = builder.root(root);
    }
    if let Some(file) = &options.certificate_file {
        builder = builder.certificate_file(file);
    }
    if let Some(streams) = &options.streams {
        builder = builder.streams(streams);
    }
    if let (Some(id), Some(file)) = (&options.access_key_id, &options.secret_key_file) {
        builder = builder.credentials(id, std::fs::read_to_string(file)?.trim());
    }
    builder.start().await
}

/// To stdout, at once; a reader that went away does not end the lake.
fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
