//! Starting a lake: what can be chosen, the socket, the certificate and the thread.
//! Promises that a lake that started listens, and that a wrong choice is refused before it does.
//! Leaves serving to `server`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;

use crate::Lake;
use crate::describe::Descriptions;
use crate::faults::{FaultPlan, Faults};
use crate::function::Function;
use crate::limits::{self, CountedBytes};
use crate::objects::{Objects, PassThrough, Settings};
use crate::prefix::Prefix;
use crate::protocol::RecordIds;
use crate::server::{self, Shared, Stop};
use crate::service::Service;
use crate::shards::{self, Shards};
use crate::signature::{Credentials, Signatures};
use crate::stats::Tally;
use crate::store::{Mode, SinkLogs, Store};
use crate::tls;

/// The default prefix below which a lake writes.
const PREFIX: &str = "raw/v0/<stream>/dt=!{timestamp:yyyy-MM-dd-HH}/";

/// What can be chosen about a lake.
#[derive(Clone, Debug)]
pub struct Builder {
    root: Option<PathBuf>,
    mode: Mode,
    port: u16,
    faults: FaultPlan,
    tls: bool,
    certificate_file: Option<PathBuf>,
    host_names: Vec<String>,
    credentials: Option<Credentials>,
    streams: Option<BTreeSet<String>>,
    descriptions: Descriptions,
    counted: CountedBytes,
    shards: shards::Settings,
    count_lines: bool,
    flush_bytes: usize,
    flush_interval: Duration,
    prefix: String,
    time_zone: Option<String>,
    pass_through: PassThrough,
    extension: String,
    transform: Option<Arc<Function>>,
    notify: Option<Arc<Function>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            root: None,
            mode: Mode::Lake,
            port: 0,
            faults: FaultPlan::default(),
            tls: false,
            certificate_file: None,
            host_names: Vec::new(),
            credentials: None,
            streams: None,
            descriptions: Descriptions::default(),
            counted: CountedBytes::Raw,
            shards: shards::Settings::default(),
            count_lines: false,
            flush_bytes: 5 * 1024 * 1024,
            flush_interval: Duration::from_secs(5),
            prefix: PREFIX.to_owned(),
            time_zone: None,
            pass_through: PassThrough::Detect,
            extension: ".gz".to_owned(),
            transform: None,
            notify: None,
        }
    }
}

impl Builder {
    /// The folder that stands for the bucket; needed by [`Mode::Lake`] and [`Mode::SinkLog`].
    #[must_use]
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// What is done with accepted records; by default they become objects.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The port on 127.0.0.1; 0, the default, takes a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// What goes wrong by chance.
    #[must_use]
    pub fn faults(mut self, plan: FaultPlan) -> Self {
        self.faults = plan;
        self
    }

    /// HTTPS with a certificate made at start.
    #[must_use]
    pub fn tls(mut self, on: bool) -> Self {
        self.tls = on;
        self
    }

    /// Where the certificate to trust is written; `<root>/.certificate.pem`, or a file in the folder for temporary
    /// files, by default.
    #[must_use]
    pub fn certificate_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.certificate_file = Some(file.into());
        self
    }

    /// Members of what `DescribeDeliveryStream` says that replace the usual ones, such as `{"DeliveryStreamStatus": "CREATING"}`.
    #[must_use]
    pub fn describes_delivery_streams_with(mut self, members: serde_json::Value) -> Self {
        self.descriptions.delivery_stream = members;
        self
    }

    /// The channels that every stream of Kinesis has, each as `DescribeChannel` says it; none by default.
    #[must_use]
    pub fn channels(mut self, channels: impl IntoIterator<Item = serde_json::Value>) -> Self {
        self.descriptions.channels = channels.into_iter().collect();
        self
    }

    /// Names that the certificate holds beside `localhost` and the addresses of loopback, for clients that reach the lake by
    /// another way; none by default.
    #[must_use]
    pub fn host_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.host_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// The access key that signatures are verified with; without it only their form is checked.
    #[must_use]
    pub fn credentials(mut self, access_key_id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.credentials = Some(Credentials { access_key_id: access_key_id.into(), secret: secret.into() });
        self
    }

    /// The streams that exist; by default each exists as soon as it is used.
    #[must_use]
    pub fn streams(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.streams = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Which bytes the 4 MiB of a call count.
    #[must_use]
    pub fn counted_bytes(mut self, counted: CountedBytes) -> Self {
        self.counted = counted;
        self
    }

    /// Shards of every stream of Kinesis, 1 to 10,000; 4 by default.
    #[must_use]
    pub fn shards(mut self, count: u32) -> Self {
        self.shards.count = count;
        self
    }

    /// Whether a shard takes no more than the service's 1 MiB and 1,000 records a second; by default it takes all.
    #[must_use]
    pub fn shard_limits(mut self, on: bool) -> Self {
        self.shards.limited = on;
        self
    }

    /// Most bytes of a record of Kinesis, its partition key included: 1 MiB by default, up to 10 MiB. Above 1 MiB
    /// a call may have 10 MiB in place of 5.
    #[must_use]
    pub fn largest_kinesis_record(mut self, bytes: usize) -> Self {
        self.shards.largest_record = bytes;
        self
    }

    /// Whether streams of Kinesis say that they distribute records by themselves (AUTO). Keys still decide here.
    #[must_use]
    pub fn distributes_itself(mut self, on: bool) -> Self {
        self.shards.distributes_itself = on;
        self
    }

    /// In [`Mode::Count`] count newlines too, which needs decoding and costs accordingly. The other modes always do.
    #[must_use]
    pub fn count_lines(mut self, on: bool) -> Self {
        self.count_lines = on;
        self
    }

    /// An object is closed before it would hold more bytes than this, before compression. 5 MiB by default.
    #[must_use]
    pub fn flush_bytes(mut self, bytes: usize) -> Self {
        self.flush_bytes = bytes;
        self
    }

    /// Records go through this function before they are written, as Firehose's transformation has it; what fails goes below
    /// `errors/<stream>/processing-failed/`.
    #[must_use]
    pub fn transform(mut self, function: Arc<Function>) -> Self {
        self.transform = Some(function);
        self
    }

    /// This function hears of each new object, as through a topic of SNS.
    #[must_use]
    pub fn notify(mut self, function: Arc<Function>) -> Self {
        self.notify = Some(function);
        self
    }

    /// An object is closed this long after its first record; zero closes one after every call. 5 s by default.
    #[must_use]
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval;
        self
    }

    /// The prefix expression, in which `<stream>` stands for the stream's name.
    /// `raw/v0/<stream>/dt=!{timestamp:yyyy-MM-dd-HH}/` by default.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The zone of prefix and object name, an IANA name; UTC by default.
    #[must_use]
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        self.time_zone = Some(name.into());
        self
    }

    /// Which records are gzip already.
    #[must_use]
    pub fn pass_through(mut self, pass_through: PassThrough) -> Self {
        self.pass_through = pass_through;
        self
    }

    /// What object names end with; `.gz` by default.
    #[must_use]
    pub fn extension(mut self, extension: impl Into<String>) -> Self {
        self.extension = extension.into();
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// `InvalidInput` for a choice that cannot be meant; else what the socket, the folder or the thread said.
    pub async fn start(self) -> io::Result<Lake> {
        self.start_blocking()
    }

    /// The same outside of async code.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn start_blocking(self) -> io::Result<Lake> {
        let faults = Faults::default();
        let seed = self.faults.seed;
        faults.set(self.faults.clone()).map_err(invalid)?;
        if !(1..=10_000).contains(&self.shards.count) || !(1 << 20..=10 << 20).contains(&self.shards.largest_record) {
            return Err(invalid("a stream has 1 to 10,000 shards and takes records of 1 to 10 MiB"));
        }
        let store = self.store()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let certificate_path = self.tls.then(|| self.certificate_place(address));
        let tls = certificate_path.as_deref().map(|file| tls::acceptor(file, &self.host_names)).transpose()?;
        let shared = Arc::new(Shared {
            faults,
            signatures: Signatures { credentials: self.credentials },
            counted: self.counted,
            shards: Shards::new(self.shards),
            streams: self.streams,
            descriptions: self.descriptions,
            scan_only: self.mode == Mode::Count && !self.count_lines,
            ids: RecordIds::new(&mut fastrand::Rng::with_seed(seed)),
            store: Mutex::new(store),
            tally: Mutex::new(Tally::default()),
            stop: watch::Sender::new(Stop::Running),
        });
        let scheme = if self.tls { "https" } else { "http" };
        let tick = (self.flush_interval / 10).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let (ends, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("local-lake".to_owned()).spawn({
            let shared = shared.clone();
            // Nobody waits for the result of a lake that was dropped.
            move || drop(ends.send(run(shared, listener, tls, tick)))
        })?;
        let endpoint = format!("{scheme}://{address}");
        Ok(Lake { address, endpoint, certificate_path, shared, thread: Some(thread), ended: Some(ended) })
    }

    /// The place of accepted records.
    fn store(&self) -> io::Result<Store> {
        if !self.extension.is_empty() && (!self.extension.starts_with('.') || self.extension.contains('/')) {
            return Err(invalid("the extension must begin with a dot and hold no '/'"));
        }
        let prefix = Prefix::parse(&self.prefix).map_err(invalid)?;
        let zone = match &self.time_zone {
            Some(name) => TimeZone::get(name).map_err(invalid)?,
            None => TimeZone::UTC,
        };
        if let Some(name) =
            self.streams.iter().flatten().find(|name| limits::check_stream_name(name, Service::Kinesis).is_err())
        {
            return Err(invalid(format!("'{name}' cannot be the name of a stream")));
        }
        Ok(match self.mode {
            Mode::Collect => Store::Collect(BTreeMap::new()),
            Mode::Count => Store::Count,
            Mode::SinkLog => {
                let root = self.folder()?.to_owned();
                std::fs::create_dir_all(&root)?;
                Store::SinkLog(SinkLogs { root, files: BTreeMap::new() })
            }
            Mode::Lake => Store::Lake(Objects::new(Settings {
                root: self.folder()?.to_owned(),
                prefix,
                zone,
                flush_bytes: self.flush_bytes,
                flush_interval: self.flush_interval,
                pass_through: self.pass_through,
                extension: self.extension.clone(),
                transform: self.transform.clone(),
                notify: self.notify.clone(),
            })?),
        })
    }

    /// The root folder, where the mode needs one.
    fn folder(&self) -> io::Result<&Path> {
        self.root.as_deref().ok_or_else(|| invalid("this mode writes files: give it a root folder"))
    }

    /// Where the certificate goes.
    fn certificate_place(&self, address: SocketAddr) -> PathBuf {
        match (&self.certificate_file, &self.root) {
            (Some(file), _) => file.clone(),
            (None, Some(root)) => root.join(".certificate.pem"),
            (None, None) => {
                std::env::temp_dir().join(format!("local-lake-{}-{}.pem", std::process::id(), address.port()))
            }
        }
    }
}

/// A choice that cannot be meant.
fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// The life of the server's thread.
fn run(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>, tick: Duration) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        server::serve(shared, listener, tls, tick).await
    })
}
