//! The socket: what all connections share, how they begin and how they end.
//! Promises that stopping waits for calls under way and then writes everything accepted.
//! Leaves what is said on a connection to `server::exchange` and `server::call`.

/// One call.
mod call;
/// A request in, an answer out.
mod exchange;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::describe::Descriptions;
use crate::faults::Faults;
use crate::limits::CountedBytes;
use crate::protocol::RecordIds;
use crate::shards::Shards;
use crate::signature::Signatures;
use crate::stats::{Stats, Tally};
use crate::store::Store;
use crate::wire::{Cut, Wire};

/// How long a graceful stop waits for calls under way.
const GRACE: Duration = Duration::from_secs(5);

/// Whether and how to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Running,
    /// Calls under way are answered, then everything is flushed.
    Graceful,
    /// Connections are cut as they are, then everything accepted is flushed.
    AtOnce,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) faults: Faults,
    pub(crate) signatures: Signatures,
    pub(crate) counted: CountedBytes,
    pub(crate) shards: Shards,
    /// The streams that exist; `None` makes every stream exist.
    pub(crate) streams: Option<BTreeSet<String>>,
    /// What streams are like beyond the usual.
    pub(crate) descriptions: Descriptions,
    /// Bodies are scanned as they pass, never held.
    pub(crate) scan_only: bool,
    pub(crate) ids: RecordIds,
    pub(crate) store: Mutex<Store>,
    pub(crate) tally: Mutex<Tally>,
    pub(crate) stop: watch::Sender<Stop>,
}

impl Shared {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The totals, with what the store knows.
    pub(crate) fn stats(&self) -> Stats {
        let written = self.store().written();
        let mut stats = self.tally().stats.clone();
        stats.objects = written.objects;
        stats.object_bytes = written.bytes;
        stats.failed_writes = written.failures;
        stats
    }

    /// Waits until it is time to stop.
    async fn stopping(&self) -> Stop {
        let mut stop = self.stop.subscribe();
        stop.wait_for(|stop| *stop != Stop::Running).await.map_or(Stop::AtOnce, |stop| *stop)
    }
}

/// Serves until it is stopped, then flushes.
///
/// # Errors
/// The final flush failed.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    tick: Duration,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let how = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let number = {
                        let mut tally = shared.tally();
                        tally.stats.connections += 1;
                        tally.stats.connections
                    };
                    connections.spawn(connection(shared.clone(), Wire::new(stream), number, tls.clone()));
                }
                // Out of descriptors, most likely: the ones in use come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            _ = ticks.tick() => shared.store().flush_due(Instant::now()),
            Some(_) = connections.join_next() => {}
            how = shared.stopping() => break how,
        }
    };
    drop(listener);
    if how == Stop::Graceful {
        let ended = async { while connections.join_next().await.is_some() {} };
        let cut = async { shared.stop.subscribe().wait_for(|stop| *stop == Stop::AtOnce).await.is_ok() };
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep(GRACE) => {}
            _ = cut => {}
        }
    }
    connections.shutdown().await;
    shared.store().flush_all()
}

/// One connection from its first byte to its last.
async fn connection(shared: Arc<Shared>, wire: Wire, number: u64, tls: Option<TlsAcceptor>) {
    let cut = wire.cut();
    let Some(tls) = tls else { return converse(shared, wire, number, cut).await };
    tokio::select! {
        shaken = tls.accept(wire) => match shaken {
            Ok(stream) => converse(shared, stream, number, cut).await,
            Err(_) => shared.tally().stats.failed_handshakes += 1,
        },
        _ = shared.stopping() => {}
    }
}

/// Requests and answers over an open connection.
async fn converse<S>(shared: Arc<Shared>, stream: S, number: u64, cut: Cut)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (shared, cut) = (shared.clone(), cut.clone());
        async move {
            // An error here is what makes the connection end without an answer.
            exchange::answer(&shared, request, number, &cut)
                .await
                .ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // Its end says nothing that was not counted where it happened.
    tokio::select! {
        ended = connection.as_mut() => drop(ended),
        _ = shared.stopping() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}
