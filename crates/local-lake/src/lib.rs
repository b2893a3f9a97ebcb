//! A Firehose and Kinesis Data Streams endpoint on loopback: takes `PutRecord`, `PutRecordBatch` and `PutRecords` as the
//! services do, and writes the S3 layout to a folder, or keeps, logs or counts what it receives. It fails on request in every
//! way the service and the network do.
//! Leaves out what README.md lists; above all there are no identities and no policies here.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use local_lake::{Fault, Lake, Mode};
//!
//! let lake = Lake::builder().mode(Mode::Collect).start().await?;
//! lake.faults().next([Fault::Throttle, Fault::Partial { indices: vec![0] }]);
//! println!("put records to {}", lake.endpoint());
//! let records = lake.records("my-stream");
//! lake.stop().await?;
//! # Ok(())
//! # }
//! ```

/// Starting a lake.
mod builder;
/// Counting a put without understanding it.
mod count;
/// What streams are like.
mod describe;
/// What goes wrong on purpose.
mod faults;
/// How much the services take, and how they bill.
mod figures;
/// A Lambda function on this machine.
mod function;
/// Where a record of Kinesis belongs.
mod key;
/// What only Kinesis Data Streams has.
mod kinesis;
/// The limits of the service.
mod limits;
/// Records into objects.
mod objects;
/// The prefix expression of an S3 destination.
mod prefix;
/// The wire of the service.
mod protocol;
/// The socket.
mod server;
/// What both services share.
mod service;
/// Where records of Kinesis go.
mod shards;
/// Signature version 4.
mod signature;
/// What was seen.
mod stats;
/// Where accepted records go.
mod store;
/// TLS on loopback.
mod tls;
/// Records through a function.
mod transform;
/// A TCP connection that can be reset.
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

pub use builder::Builder;
pub use faults::{BadPlan, Fault, FaultPlan, Faults};
pub use figures::{BILLING_STEP, CALL_BYTES, CALL_RECORDS, RECORD_BYTES};
pub use function::{Function, created};
pub use limits::{CountedBytes, RateLimit};
pub use objects::PassThrough;
pub use prefix::{BadPrefix, Prefix};
pub use stats::{CallSeen, Stats, StreamStats};
pub use store::{Arrived, Mode};

use server::{Shared, Stop};

/// A running endpoint, on a thread and a runtime of its own, so that a test may block or pause its clock.
///
/// Dropping it cuts the connections and still writes what was accepted; a failure to write is seen only by [`Lake::stop`].
#[derive(Debug)]
pub struct Lake {
    address: SocketAddr,
    endpoint: String,
    certificate_path: Option<PathBuf>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    ended: Option<oneshot::Receiver<io::Result<()>>>,
}

impl Lake {
    /// A lake to be set up.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:PORT`, or `https://`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate a client must trust (PEM), when TLS is on.
    #[must_use]
    pub fn certificate_path(&self) -> Option<&Path> {
        self.certificate_path.as_deref()
    }

    /// What goes wrong; may be changed at any time.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// The totals so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The last calls one by one, oldest first; 4,096 are remembered.
    #[must_use]
    pub fn calls(&self) -> Vec<CallSeen> {
        self.shared.tally().calls.iter().cloned().collect()
    }

    /// The streams records were collected of ([`Mode::Collect`]).
    #[must_use]
    pub fn streams(&self) -> Vec<String> {
        self.shared.store().collected().map(|streams| streams.keys().cloned().collect()).unwrap_or_default()
    }

    /// The records collected of a stream, in order of arrival ([`Mode::Collect`]; empty in every other mode).
    #[must_use]
    pub fn records(&self, stream: &str) -> Vec<Bytes> {
        self.arrived(stream).into_iter().map(|arrived| arrived.data).collect()
    }

    /// The same with when and how each came.
    #[must_use]
    pub fn arrived(&self, stream: &str) -> Vec<Arrived> {
        let mut store = self.shared.store();
        store.collected().and_then(|streams| streams.get(stream)).cloned().unwrap_or_default()
    }

    /// The records collected of one shard of a stream of Kinesis, in the order of their sequence numbers.
    #[must_use]
    pub fn shard(&self, stream: &str, shard: u32) -> Vec<Arrived> {
        let mut arrived = self.arrived(stream);
        arrived.retain(|arrived| arrived.shard == Some(shard));
        arrived.sort_by(|one, other| one.sequence_number.cmp(&other.sequence_number));
        arrived
    }

    /// The bytes of a stream's collected records, end to end.
    #[must_use]
    pub fn payload(&self, stream: &str) -> Vec<u8> {
        let mut store = self.shared.store();
        let records = store.collected().and_then(|streams| streams.get(stream));
        records.into_iter().flatten().flat_map(|arrived| arrived.data.iter().copied()).collect()
    }

    /// Takes the collected records of a stream away.
    pub fn take(&self, stream: &str) -> Vec<Bytes> {
        let taken = self.shared.store().collected().and_then(|streams| streams.remove(stream));
        taken.unwrap_or_default().into_iter().map(|arrived| arrived.data).collect()
    }

    /// Writes everything that is buffered.
    ///
    /// # Errors
    /// The first object that could not be written; it is kept.
    pub async fn flush(&self) -> io::Result<()> {
        self.flush_blocking()
    }

    /// The same outside of async code.
    ///
    /// # Errors
    /// As [`Lake::flush`].
    pub fn flush_blocking(&self) -> io::Result<()> {
        self.shared.store().flush_all()
    }

    /// Takes no more connections, answers the calls under way (for at most five seconds), writes everything.
    ///
    /// # Errors
    /// An object could not be written, or the server's thread died.
    pub async fn stop(mut self) -> io::Result<Stats> {
        self.shared.stop.send_replace(Stop::Graceful);
        let ended = match self.ended.take() {
            Some(ended) => ended.await.unwrap_or_else(|_| Err(io::Error::other("the server died"))),
            None => Ok(()),
        };
        self.join();
        ended.map(|()| self.stats())
    }

    /// The same outside of async code.
    ///
    /// # Errors
    /// As [`Lake::stop`].
    ///
    /// # Panics
    /// Inside of async code.
    pub fn stop_blocking(self) -> io::Result<Stats> {
        self.end(Stop::Graceful)
    }

    /// Cuts every connection without an answer, as a host that dies does; what was accepted is still written. Blocks for
    /// that long.
    ///
    /// # Errors
    /// As [`Lake::stop`].
    pub fn kill(self) -> io::Result<Stats> {
        self.end(Stop::AtOnce)
    }

    fn end(mut self, how: Stop) -> io::Result<Stats> {
        self.shared.stop.send_replace(how);
        self.join();
        let ended = self.ended.take().map(|mut ended| ended.try_recv());
        match ended {
            Some(Ok(ended)) => ended.map(|()| self.stats()),
            Some(Err(_)) => Err(io::Error::other("the server died")),
            None => Ok(self.stats()),
        }
    }

    /// Waits for the thread; a panic in it has been printed and shows as a missing result.
    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Lake {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shared.stop.send_replace(Stop::AtOnce);
            self.shared.store().flush_due(Instant::now());
            self.join();
        }
    }
}
