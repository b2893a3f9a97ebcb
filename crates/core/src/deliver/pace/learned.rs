//! The limit that throttling has taught: one rate, in bytes, although it may be records or calls that were too many. What a
//! call costs says `pace`.
//! Promises that hosts which share a quota come to equal rates whatever they began with, that a rate is found within a few
//! calls, and that calls of many hosts do not gather in waves.
//! Leaves the operator's limits, and measuring what is sent, to `pace`.
//!
//! A host accepts that a small share of its bytes is refused: the larger its rate, the smaller the share. The rate grows by
//! that share and shrinks by what is refused, so it stands still where both are equal. All hosts at one quota see the same
//! share refused, and therefore stand still at the same rate. See `docs/decisions/10-pace.md`.

use std::time::{Duration, Instant};

/// The rate, in bytes a second, at which everything may be refused.
const ALL_REFUSED_AT: f64 = 1_400.0;
/// At ten times the rate a tenth of the share may be refused. Less steep, hosts with large rates keep them: their calls
/// come when the debt that their last one left in the quota is paid, and meet fewer refusals than those of others.
const STEEPNESS: f64 = 1.0;
/// No more than this share, however small the rate.
const MOST_REFUSED: f64 = 0.5;
/// How much of a difference between what is refused and what may be is made good in a second's worth of bytes.
const GAIN: f64 = 0.15;
/// The same when lately everything was refused: the rate is far off.
const GREATEST_GAIN: f64 = 0.5;
/// A second's worth does not raise the rate by more than this.
const GREATEST_RAISE: f64 = 0.1;
/// Weight of the newest second's worth in the share that was refused lately.
const NEWEST: f64 = 0.25;
/// Growth speeds up once this number of refusals is overdue: there is more room than there was.
const OVERDUE: f64 = 3.0;
/// And at least this part of one is counted in a second, for a host alone at a large quota is hardly ever refused anything.
const LEAST_OVERDUE: f64 = 0.001;
/// The first rate is a guess: for this long growth goes on as if this number of refusals were overdue.
const AT_FIRST: Duration = Duration::from_secs(10);
const OVERDUE_AT_FIRST: f64 = 20.0;
/// All cuts within this time together halve the rate at most: they are about the same calls under way.
const BETWEEN_CUTS: Duration = Duration::from_secs(1);
/// And never below this part of what is accepted.
const LEAST_OF_ACCEPTED: f64 = 0.5;
/// An answer counts at most this much time.
const LONGEST_GROWTH: Duration = Duration::from_secs(5);
/// The limit is dropped when nothing was refused for this long,
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// and it is this many times the rate at the last refusal, and what is sent.
const FORGET: f64 = 2.0;
/// A call carries about as much as the rate allows in this time: many small ones show better than few large ones how much is
/// refused, and fit better beside those of others.
const CALL_TIME: Duration = Duration::from_millis(100);
/// But not less than this: records are billed rounded up.
const LEAST_CALL: u64 = 32 * 1024;
/// Pauses are made longer or shorter by up to this part of them.
const JITTER: f64 = 1.0;

/// A call is never held back for longer.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Learned {
    /// Bytes a second.
    rate: f64,
    /// The rate at the last refusal, and when that was.
    blamed: (f64, Instant),
    /// The share that was refused lately.
    refused: f64,
    /// How many refusals would have been usual since the last one.
    overdue: f64,
    answered_at: Instant,
    /// Since when cuts are counted together, and what they were counted from.
    cut_from: (Instant, f64),
    begun: Instant,
    free_at: Instant,
}

impl Learned {
    /// After the first call of which this share was refused.
    pub(super) fn new(measured: f64, share: f64, now: Instant) -> Self {
        let rate = measured * (1.0 - share).max(GREATEST_GAIN);
        let cut_from = (now, measured);
        Self {
            rate,
            blamed: (measured, now),
            refused: share,
            overdue: OVERDUE_AT_FIRST,
            begun: now,
            answered_at: now,
            cut_from,
            free_at: now,
        }
    }

    pub(super) const fn free_at(&self) -> Instant {
        self.free_at
    }

    pub(super) fn bytes_per_second(&self) -> u64 {
        self.rate as u64
    }

    pub(super) fn call_bytes(&self) -> u64 {
        ((self.rate * CALL_TIME.as_secs_f64()) as u64).max(LEAST_CALL)
    }

    /// The longest pause before jitter, in seconds.
    fn longest() -> f64 {
        LONGEST_PAUSE.as_secs_f64() / (1.0 + JITTER)
    }

    /// `random`, from 0 to 1, is the jitter: hosts that begin together drift apart.
    pub(super) fn pay(&mut self, cost: f64, random: f64, now: Instant) {
        let pause = (cost / self.rate).min(Self::longest()) * (1.0 + JITTER * (2.0 * random - 1.0));
        let free_at = self.free_at.max(now) + Duration::from_secs_f64(pause);
        self.free_at = free_at.min(now + LONGEST_PAUSE);
    }

    /// A call was answered, of which this share was refused; `accepted` is how many bytes a second were accepted lately.
    pub(super) fn answered(&mut self, cost: f64, share: f64, accepted: f64, now: Instant) {
        // For how many seconds of this pace the call stands.
        let worth = cost / self.rate;
        let elapsed = now.saturating_duration_since(self.answered_at).as_secs_f64();
        let elapsed = elapsed.min(worth.max(LONGEST_GROWTH.as_secs_f64()));
        self.answered_at = now;
        // A call below a second's worth is that part of an observation. Many small ones are believed more than one large one.
        let weight = worth.min(1.0);
        let usual = (ALL_REFUSED_AT / self.rate).powf(STEEPNESS).min(MOST_REFUSED);
        self.refused += NEWEST * weight * (share - self.refused);
        self.overdue = match share > 0.0 {
            false => self.overdue + usual.max(LEAST_OVERDUE) * weight,
            true if now < self.begun + AT_FIRST => self.overdue,
            true => 0.0,
        };
        let steady = GAIN / weight.sqrt();
        let raise = steady * usual * elapsed / worth.max(1.0) * (self.overdue / OVERDUE).max(1.0).powi(4);
        let gain = steady.max(GREATEST_GAIN * self.refused.powi(4));
        let cut = gain * share * weight;
        let mut factor = 1.0 + raise.min(GREATEST_RAISE * weight) - cut;
        if share > 0.0 {
            if now >= self.cut_from.0 + BETWEEN_CUTS {
                self.cut_from = (now, self.rate);
            }
            let least = (self.cut_from.1 * GREATEST_GAIN).max(accepted * LEAST_OF_ACCEPTED);
            factor = factor.max((least / self.rate).min(1.0));
            self.blamed = (self.rate, now);
        }
        // No slower than one such call in the longest pause: it would not be kept to.
        factor = factor.max((worth / Self::longest()).min(1.0));
        self.rate *= factor;
    }

    /// Whether the limit has grown so much without a refusal that it says nothing any more, and does not hold the flow back.
    pub(super) fn is_pointless(&self, sent: f64, now: Instant) -> bool {
        let (blamed, at) = self.blamed;
        now >= at + FORGET_AFTER && self.rate >= blamed.max(sent) * FORGET
    }
}
