//! CloudWatch: every period the numbers of the books, as the Kinesis Agent names them, and a few that it lacks.
//! Promises that nothing waits for it: what CloudWatch does not take is added to what it takes next, and said once.
//! Leaves one signed call to `deliver::cloudwatch`, counting to the books.

/// What was said about failures, and how long to wait after them.
mod condition;
/// Accounting in, data out.
mod data;
/// Data in, the form of a call out.
mod form;

use self::condition::Condition;
use self::data::{Counters, Lag};
use crate::deliver::cloudwatch::{CloudWatch, NotTaken};
use crate::telemetry::{clock, ids};
use datalake_base::accounting::{Accounting, Calls};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Destinations in one call: with 10 data each, half of the 1,000 data that a call may hold, and far from 1 MB.
const DESTINATIONS_PER_CALL: usize = 50;

/// What is sent and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace.
    pub namespace: String,
    /// The period.
    pub every: Duration,
    /// Another address than the region's own, with scheme.
    pub endpoint: Option<String>,
    /// Whether each datum names the machine.
    pub tag_instance: bool,
}

/// Flows: the destination of each, and its books.
pub type Counted = Vec<(String, Arc<Accounting>)>;

/// The numbers of all flows, and what CloudWatch already has of them.
#[derive(Debug)]
pub struct Metrics {
    namespace: String,
    instance: Option<String>,
    destinations: Vec<Destination>,
}

/// A stream; several flows may feed it.
#[derive(Debug)]
struct Destination {
    /// Such as `DeliveryStream:logs`.
    name: String,
    books: Vec<Arc<Accounting>>,
    /// What was counted by flows that have ended.
    ended: Counters,
    /// As they stood when CloudWatch last took them.
    taken: Counters,
    /// Calls that CloudWatch has not taken.
    untold: Calls,
}

impl Metrics {
    /// The numbers of these flows: the destination of each, such as `DeliveryStream:logs`, and its books. `instance`
    /// names the machine in each datum.
    #[must_use]
    pub fn new(namespace: &str, instance: Option<String>, flows: Counted) -> Self {
        let mut metrics = Self { namespace: namespace.to_owned(), instance, destinations: Vec::new() };
        metrics.follow(flows, Vec::new());
        metrics
    }

    /// What was counted so far has been sent by somebody else.
    #[must_use]
    pub fn from_now_on(mut self) -> Self {
        for destination in &mut self.destinations {
            destination.taken = destination.counted();
        }
        self
    }

    /// These flows run now, and these have ended since the last call, perhaps without ever having been followed. What they
    /// counted is still sent.
    fn follow(&mut self, flows: Counted, ended: Counted) {
        for (name, books) in ended {
            let followed = |destination: &Destination| destination.books.iter().any(|known| Arc::ptr_eq(known, &books));
            if !self.destinations.iter().any(followed) {
                self.destination(name).books.push(books);
            }
        }
        for destination in &mut self.destinations {
            for books in std::mem::take(&mut destination.books) {
                if flows.iter().any(|(name, known)| *name == destination.name && Arc::ptr_eq(known, &books)) {
                    destination.books.push(books);
                } else {
                    destination.untold.add(&books.answered.take());
                    destination.ended = destination.ended.plus(Counters::of(&[books]));
                }
            }
        }
        for (name, books) in flows {
            let destination = self.destination(name);
            if !destination.books.iter().any(|known| Arc::ptr_eq(known, &books)) {
                destination.books.push(books);
            }
        }
    }

    /// The destination of this name, which may be a new one.
    fn destination(&mut self, name: String) -> &mut Destination {
        let known = self.destinations.iter().position(|destination| destination.name == name);
        let place = known.unwrap_or_else(|| {
            let (books, ended, taken, untold) = Default::default();
            self.destinations.push(Destination { name, books, ended, taken, untold });
            self.destinations.len() - 1
        });
        &mut self.destinations[place]
    }

    /// Sends what is new, `every` period and once more when `stop` says so; then ends. `flows` says which run
    /// now, and which have ended since it was last asked.
    pub async fn keep_sending(
        mut self,
        to: CloudWatch,
        every: Duration,
        mut stop: watch::Receiver<bool>,
        flows: impl Fn() -> (Counted, Counted),
    ) {
        let mut condition = Condition::default();
        loop {
            let stopping = tokio::select! {
                () = tokio::time::sleep(condition.pause(every)) => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            // A stop is not the time to find out whether it works again.
            if stopping && condition.is_failing() {
                return;
            }
            let (running, ended) = flows();
            self.follow(running, ended);
            match self.send(&to, clock::now_ms()).await {
                Ok(()) => {
                    if condition.succeeded() {
                        tracing::info!("CloudWatch takes metrics again");
                    }
                }
                Err(refusal) => {
                    if condition.failed(&refusal.code) {
                        tracing::warn!(
                            message_id = ids::CLOUDWATCH_REFUSES,
                            reason = %refusal,
                            "metrics cannot be sent to CloudWatch; delivery goes on, and they are tried again now and then"
                        );
                    }
                }
            }
            if stopping {
                return;
            }
        }
    }

    /// Sends what is new at `now`, in milliseconds since 1970.
    async fn send(&mut self, to: &CloudWatch, now: u64) -> Result<(), NotTaken> {
        let (namespace, instance) = (&self.namespace, self.instance.as_deref());
        for destinations in self.destinations.chunks_mut(DESTINATIONS_PER_CALL) {
            let counted: Vec<Counters> = destinations.iter().map(Destination::counted).collect();
            let mut form = form::begin(namespace);
            let mut number = 0;
            for (destination, counters) in destinations.iter_mut().zip(&counted) {
                for books in &destination.books {
                    destination.untold.add(&books.answered.take());
                }
                let Destination { untold, taken, .. } = &*destination;
                for datum in data::data(untold, taken, counters, Lag::of(&destination.books, now)) {
                    number += 1;
                    form::add(&mut form, number, &datum, datum.dimension(&destination.name), instance);
                }
            }
            to.put(form).await?;
            // Only now: what was not taken is part of what is sent next.
            for (destination, counters) in destinations.iter_mut().zip(counted) {
                destination.taken = counters;
                destination.untold = Calls::default();
            }
        }
        // Its last numbers were sent; that nothing more comes says that no flow feeds it.
        self.destinations.retain(|destination| !destination.books.is_empty());
        Ok(())
    }
}

impl Destination {
    fn counted(&self) -> Counters {
        self.ended.plus(Counters::of(&self.books))
    }
}
