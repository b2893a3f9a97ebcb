//! What goes wrong on purpose: by chance from a seed, by script one call at a time, or standing until taken back.
//! Promises that the same seed and the same order of calls give the same faults.
//! Leaves carrying them out to `server`, and the meaning of a rate to `limits`.

/// Faults by chance.
mod plan;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use plan::{BadPlan, FaultPlan};

use crate::limits::{Buckets, RateLimit};
use crate::service::{RecordFailure, Refusal, Service};

/// What is done to one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Nothing: the call is answered as the service would, whatever the chances say.
    None,
    /// HTTP 500 `ServiceUnavailableException`, "Slow down."; nothing is stored.
    Throttle,
    /// These records fail with `ServiceUnavailableException` inside a 200, the others are stored.
    Partial {
        /// Positions in the call, from 0; those beyond its end are passed over.
        indices: Vec<usize>,
    },
    /// These records fail with `InternalFailure` inside a 200, the others are stored.
    PartialInternal {
        /// Positions in the call, from 0; those beyond its end are passed over.
        indices: Vec<usize>,
    },
    /// Each record fails with this chance inside a 200, half of them with either code; the others are stored.
    PartialShare {
        /// 0 to 1.
        share: f64,
    },
    /// The connection is reset before the body is read; nothing is stored.
    Reset,
    /// The records are stored, then the connection is closed without an answer.
    AnswerLost,
    /// The records are stored and the answer comes so much later.
    Delay(Duration),
    /// HTTP 500 `InternalFailure`; nothing is stored.
    InternalFailure,
    /// HTTP 502 as from a proxy in between; nothing is stored.
    BadGateway,
    /// HTTP 503 as from a proxy in between; nothing is stored.
    Unavailable,
    /// HTTP 413 as from a proxy in between that takes smaller calls only; nothing is stored.
    TooLarge,
    /// The body is read and no answer ever comes; nothing is stored.
    Hang,
    /// HTTP 400 `AccessDeniedException`.
    AccessDenied,
    /// HTTP 400 `ResourceNotFoundException`.
    ResourceNotFound,
    /// HTTP 400 `ExpiredTokenException`.
    ExpiredToken,
    /// HTTP 400 `InvalidKMSResourceException`.
    InvalidKms,
    /// HTTP 400 `InvalidArgumentException`, whatever the records hold.
    InvalidArgument,
    /// HTTP 400 `ThrottlingException`, the throttle of AWS in general.
    Throttling,
}

impl Fault {
    /// The refusal of the whole call, for the faults that are one.
    pub(crate) fn refusal(&self, stream: &str, service: Service) -> Option<Refusal> {
        let refusal = match self {
            Self::Throttle if service == Service::Kinesis => {
                Refusal::new(400, "ProvisionedThroughputExceededException", "Rate exceeded for the stream")
            }
            Self::Throttle => Refusal::new(500, "ServiceUnavailableException", "Slow down."),
            Self::InternalFailure if service == Service::Kinesis => {
                Refusal::new(500, "InternalFailureException", "Internal Service Failure")
            }
            Self::InternalFailure => Refusal::new(500, "InternalFailure", "Internal Service Failure"),
            Self::BadGateway => Refusal::new(502, "", "Bad Gateway"),
            Self::Unavailable => Refusal::new(503, "", "Service Unavailable"),
            Self::TooLarge => Refusal::new(413, "", "Request Entity Too Large"),
            Self::AccessDenied if service == Service::Kinesis => Refusal::new(
                400,
                "AccessDeniedException",
                format!("User: arn:aws:iam::123456789012:user/local is not authorized on resource: stream/{stream}"),
            ),
            Self::AccessDenied => Refusal::new(
                400,
                "AccessDeniedException",
                format!(
                    "User: arn:aws:iam::123456789012:user/local is not authorized to perform: firehose:PutRecordBatch on \
                     resource: arn:aws:firehose:us-east-1:123456789012:deliverystream/{stream} because no identity-based \
                     policy allows the firehose:PutRecordBatch action"
                ),
            ),
            Self::ResourceNotFound => not_found(stream, service),
            Self::ExpiredToken => {
                Refusal::new(400, "ExpiredTokenException", "The security token included in the request is expired")
            }
            Self::InvalidKms if service == Service::Kinesis => {
                Refusal::new(400, "KMSDisabledException", "The KMS key of the stream is disabled.")
            }
            Self::InvalidKms => {
                Refusal::new(400, "InvalidKMSResourceException", "The KMS key of the stream is disabled.")
            }
            Self::InvalidArgument => Refusal::invalid_argument("Invalid argument"),
            Self::Throttling => Refusal::new(400, "ThrottlingException", "Rate exceeded"),
            Self::None
            | Self::Partial { .. }
            | Self::PartialInternal { .. }
            | Self::PartialShare { .. }
            | Self::Reset
            | Self::AnswerLost
            | Self::Delay(_)
            | Self::Hang => return None,
        };
        Some(refusal)
    }

    /// Which records of a call of `count` fail.
    pub(crate) fn failures(&self, count: usize, random: &mut fastrand::Rng) -> Vec<Option<RecordFailure>> {
        let mut failures = vec![None; count];
        match self {
            Self::Partial { indices } => mark(&mut failures, indices, RecordFailure::Throttled),
            Self::PartialInternal { indices } => mark(&mut failures, indices, RecordFailure::Internal),
            Self::PartialShare { share } => {
                for failure in &mut failures {
                    if random.f64() < *share {
                        *failure = Some(if random.bool() { RecordFailure::Throttled } else { RecordFailure::Internal });
                    }
                }
            }
            _ => {}
        }
        failures
    }
}

fn mark(failures: &mut [Option<RecordFailure>], indices: &[usize], with: RecordFailure) {
    for index in indices {
        if let Some(failure) = failures.get_mut(*index) {
            *failure = Some(with);
        }
    }
}

/// The refusal for a stream that does not exist.
pub(crate) fn not_found(stream: &str, service: Service) -> Refusal {
    let kind = if service == Service::Kinesis { "Stream" } else { "Firehose" };
    Refusal::new(400, "ResourceNotFoundException", format!("{kind} {stream} under account 123456789012 not found."))
}

/// What was decided for one call before it is read.
#[derive(Debug)]
pub(crate) struct Decision {
    /// Number of the call, from 1.
    pub(crate) call: u64,
    /// What is done to it.
    pub(crate) fault: Fault,
    /// How late its answer is.
    pub(crate) delay: Duration,
    /// This call's own dice.
    pub(crate) random: fastrand::Rng,
    /// Bytes no record may hold.
    pub(crate) poison: Option<Arc<[u8]>>,
}

/// The faults of a running lake; every clone steers the same lake.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    plan: FaultPlan,
    poison: Option<Arc<[u8]>>,
    calls: u64,
    script: VecDeque<Fault>,
    standing: Option<Fault>,
    describing: Option<Fault>,
    by_stream: HashMap<String, Fault>,
    buckets: HashMap<String, Buckets>,
}

impl Faults {
    /// Rolls by `plan` from now on.
    ///
    /// # Errors
    /// [`BadPlan`]; the plan before stays.
    pub fn set(&self, plan: FaultPlan) -> Result<(), BadPlan> {
        plan.check()?;
        let mut state = self.lock();
        state.poison = plan.poison.as_deref().map(Arc::from);
        state.buckets.clear();
        state.plan = plan;
        Ok(())
    }

    /// The plan that is rolled.
    #[must_use]
    pub fn plan(&self) -> FaultPlan {
        self.lock().plan.clone()
    }

    /// Dictates what happens to the next calls, one entry each, behind what was dictated before. A dictated call is
    /// taken out of chance altogether. Counted are calls of a known operation, in the order their heads arrive.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().script.extend(faults);
    }

    /// How many dictated entries no call has met yet.
    #[must_use]
    pub fn dictated(&self) -> usize {
        self.lock().script.len()
    }

    /// The same for every call without a dictated entry, until `None` takes it back.
    pub fn always(&self, fault: Option<Fault>) {
        self.lock().standing = fault;
    }

    /// The same for every call to one stream, until `None` takes it back; seen after the body is read.
    pub fn always_for(&self, stream: &str, fault: Option<Fault>) {
        let by_stream = &mut self.lock().by_stream;
        match fault {
            Some(fault) => drop(by_stream.insert(stream.to_owned(), fault)),
            None => drop(by_stream.remove(stream)),
        }
    }

    /// What happens to every question about streams, until `None` takes it back; only a refusal of the whole call can.
    /// Nothing else here happens to it.
    pub fn describing(&self, fault: Option<Fault>) {
        self.lock().describing = fault;
    }

    /// The fault of the next question about streams.
    pub(crate) fn of_description(&self) -> Option<Fault> {
        self.lock().describing.clone()
    }

    /// No faults any more: no chances, nothing dictated, nothing standing. The seed stays.
    pub fn clear(&self) {
        let mut state = self.lock();
        let (seed, calls) = (state.plan.seed, state.calls);
        *state = State { calls, plan: FaultPlan { seed, ..FaultPlan::default() }, ..State::default() };
    }

    /// Decides about the next call.
    pub(crate) fn draw(&self) -> Decision {
        let mut state = self.lock();
        state.calls += 1;
        let call = state.calls;
        // The golden ratio spreads neighbouring calls over the seeds.
        let mut random = fastrand::Rng::with_seed(state.plan.seed ^ call.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let rolled = state.plan.roll(&mut random);
        let (fault, delay) = match state.script.pop_front().or_else(|| state.standing.clone()) {
            Some(Fault::Delay(delay)) => (Fault::None, delay),
            Some(fault) => (fault, Duration::ZERO),
            None => rolled,
        };
        Decision { call, fault, delay, random, poison: state.poison.clone() }
    }

    /// What stands for a stream.
    pub(crate) fn standing_for(&self, stream: &str) -> Option<Fault> {
        self.lock().by_stream.get(stream).cloned()
    }

    /// Marks what the stream's rate does not take.
    ///
    /// # Errors
    /// The throttle of the whole call, when there are too many calls.
    pub(crate) fn limit(
        &self,
        stream: &str,
        sizes: &[usize],
        failures: &mut [Option<RecordFailure>],
        now: Instant,
    ) -> Result<(), Refusal> {
        let mut state = self.lock();
        let limit = state.plan.rate;
        if limit == RateLimit::default() {
            return Ok(());
        }
        let buckets = state.buckets.entry(stream.to_owned()).or_insert_with(|| Buckets::new(&limit, now));
        buckets.refill(&limit, now);
        if !buckets.take_call(&limit) {
            return Err(Refusal::new(500, "ServiceUnavailableException", "Slow down."));
        }
        for (failure, size) in failures.iter_mut().zip(sizes) {
            if failure.is_none() && !buckets.take_record(&limit, *size) {
                *failure = Some(RecordFailure::Throttled);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_chance() -> FaultPlan {
        FaultPlan {
            seed: 42,
            throttle: 0.1,
            partial: 0.2,
            partial_share: 0.5,
            reset: 0.1,
            answer_lost: 0.1,
            hang: 0.05,
            latency: Some((Duration::from_millis(1), Duration::from_millis(9))),
            ..FaultPlan::default()
        }
    }

    fn rolls(plan: FaultPlan, count: usize) -> Vec<(Fault, Duration)> {
        let faults = Faults::default();
        faults.set(plan).unwrap();
        (0..count).map(|_| faults.draw()).map(|decision| (decision.fault, decision.delay)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
        assert_eq!(rolls(every_chance(), 200), rolls(every_chance(), 200));
        assert_ne!(rolls(every_chance(), 200), rolls(FaultPlan { seed: 43, ..every_chance() }, 200));
    }

    #[test]
    fn each_fault_comes_about_as_often_as_its_chance_says() {
        let rolled = rolls(every_chance(), 20_000);
        let share = |wanted: &dyn Fn(&Fault) -> bool| {
            rolled.iter().filter(|(fault, _)| wanted(fault)).count() as f64 / rolled.len() as f64
        };
        for (chance, seen) in [
            (0.1, share(&|fault| *fault == Fault::Throttle)),
            (0.2, share(&|fault| matches!(fault, Fault::PartialShare { .. }))),
            (0.05, share(&|fault| *fault == Fault::Hang)),
            (0.45, share(&|fault| *fault == Fault::None)),
            (0.0, share(&|fault| *fault == Fault::ExpiredToken)),
        ] {
            assert!((chance - seen).abs() < 0.02, "chance {chance}, seen {seen}");
        }
        let latency = Duration::from_millis(1)..=Duration::from_millis(9);
        assert!(rolled.iter().all(|(_, delay)| latency.contains(delay)));
    }

    #[test]
    fn a_dictated_call_is_out_of_chance_and_what_stands_comes_after() {
        let faults = Faults::default();
        faults.set(FaultPlan { throttle: 1.0, ..FaultPlan::default() }).unwrap();
        faults.always(Some(Fault::Hang));
        faults.next([Fault::None, Fault::Delay(Duration::from_secs(1))]);
        assert_eq!(faults.dictated(), 2);
        let drawn: Vec<_> = (0..3).map(|_| faults.draw()).collect();
        assert_eq!(drawn[0].fault, Fault::None);
        assert_eq!((&drawn[1].fault, drawn[1].delay), (&Fault::None, Duration::from_secs(1)));
        assert_eq!(drawn[2].fault, Fault::Hang);
        faults.always(None);
        assert_eq!(faults.draw().fault, Fault::Throttle);
        faults.clear();
        assert_eq!(faults.draw().fault, Fault::None);
        assert_eq!(faults.draw().call, 6);
    }

    #[test]
    fn partial_faults_fail_the_records_they_name_and_no_others() {
        let mut random = fastrand::Rng::with_seed(3);
        let failed = |fault: Fault, random: &mut fastrand::Rng| fault.failures(3, random);
        assert_eq!(
            failed(Fault::Partial { indices: vec![2, 9] }, &mut random),
            [None, None, Some(RecordFailure::Throttled)]
        );
        assert_eq!(
            failed(Fault::PartialInternal { indices: vec![0] }, &mut random),
            [Some(RecordFailure::Internal), None, None]
        );
        assert_eq!(failed(Fault::PartialShare { share: 0.0 }, &mut random), [None; 3]);
        assert!(failed(Fault::PartialShare { share: 1.0 }, &mut random).iter().all(Option::is_some));
    }

    #[test]
    fn a_plan_that_cannot_be_rolled_is_refused_and_the_old_one_stays() {
        let faults = Faults::default();
        let refused = |plan: FaultPlan| faults.set(plan).unwrap_err();
        assert!(matches!(
            refused(FaultPlan { reset: 1.5, ..FaultPlan::default() }),
            BadPlan::Chance { fault: "reset", .. }
        ));
        assert!(matches!(
            refused(FaultPlan { hang: f64::NAN, ..FaultPlan::default() }),
            BadPlan::Chance { fault: "hang", .. }
        ));
        assert!(matches!(refused(FaultPlan { reset: 0.6, hang: 0.6, ..FaultPlan::default() }), BadPlan::Sum { .. }));
        assert_eq!(refused(FaultPlan { poison: Some(Vec::new()), ..FaultPlan::default() }), BadPlan::Poison);
        let rate = RateLimit { bytes_per_second: Some(0.0), ..RateLimit::default() };
        assert!(matches!(refused(FaultPlan { rate, ..FaultPlan::default() }), BadPlan::Rate { .. }));
        assert_eq!(faults.plan(), FaultPlan::default());
    }

    #[test]
    fn the_rate_of_a_stream_fails_records_one_by_one() {
        let faults = Faults::default();
        let rate = RateLimit { bytes_per_second: Some(100.0), ..RateLimit::default() };
        faults.set(FaultPlan { rate, ..FaultPlan::default() }).unwrap();
        let now = Instant::now();
        let mut failures = [None, None, None];
        faults.limit("a", &[60, 60, 60], &mut failures, now).unwrap();
        assert_eq!(failures, [None, None, Some(RecordFailure::Throttled)]);
        let mut other = [None];
        faults.limit("b", &[60], &mut other, now).unwrap();
        assert_eq!(other, [None], "each stream has its own rate");
    }
}
