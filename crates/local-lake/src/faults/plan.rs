//! Faults by chance: how often each comes, and the throw of the dice for one call.
//! Promises that a plan that was checked can be rolled, and that a throw reads the dice in one fixed order.
//! Leaves whose turn it is, dice or script, to `faults`.

use std::time::Duration;

use super::Fault;
use crate::limits::RateLimit;

/// The chances of each fault, each from 0 to 1 per call and together at most 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// Where the dice start.
    pub seed: u64,
    /// [`Fault::Throttle`].
    pub throttle: f64,
    /// [`Fault::PartialShare`] with [`FaultPlan::partial_share`].
    pub partial: f64,
    /// Chance of each record of such a call to fail.
    pub partial_share: f64,
    /// [`Fault::Reset`].
    pub reset: f64,
    /// [`Fault::AnswerLost`].
    pub answer_lost: f64,
    /// [`Fault::InternalFailure`].
    pub internal_failure: f64,
    /// [`Fault::BadGateway`].
    pub bad_gateway: f64,
    /// [`Fault::Unavailable`].
    pub unavailable: f64,
    /// [`Fault::Hang`].
    pub hang: f64,
    /// [`Fault::AccessDenied`].
    pub access_denied: f64,
    /// [`Fault::ResourceNotFound`].
    pub resource_not_found: f64,
    /// [`Fault::ExpiredToken`].
    pub expired_token: f64,
    /// [`Fault::InvalidKms`].
    pub invalid_kms: f64,
    /// Every answer is so much later: shortest and longest.
    pub latency: Option<(Duration, Duration)>,
    /// A call with a record that holds these bytes is refused as a whole with `InvalidArgumentException`.
    pub poison: Option<Vec<u8>>,
    /// What each stream takes a second.
    pub rate: RateLimit,
}

/// A plan that cannot be rolled.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum BadPlan {
    /// Not a chance.
    #[error("the chance of {fault} is {chance}; give a number from 0 to 1")]
    Chance {
        /// Which.
        fault: &'static str,
        /// As given.
        chance: f64,
    },
    /// More than certainty.
    #[error("the chances add up to {sum}; give at most 1 in all")]
    Sum {
        /// As given.
        sum: f64,
    },
    /// Shortest above longest.
    #[error("the shortest latency is above the longest")]
    Latency,
    /// Every record holds it.
    #[error("the poison is empty; give at least one byte")]
    Poison,
    /// Not a rate.
    #[error("a rate is {rate}; give a number above 0")]
    Rate {
        /// As given.
        rate: f64,
    },
}

impl FaultPlan {
    /// The chances with their names and what they lead to, in the order the dice are read.
    fn chances(&self) -> [(&'static str, f64, Fault); 12] {
        [
            ("throttle", self.throttle, Fault::Throttle),
            ("partial", self.partial, Fault::PartialShare { share: self.partial_share }),
            ("reset", self.reset, Fault::Reset),
            ("answer_lost", self.answer_lost, Fault::AnswerLost),
            ("internal_failure", self.internal_failure, Fault::InternalFailure),
            ("bad_gateway", self.bad_gateway, Fault::BadGateway),
            ("unavailable", self.unavailable, Fault::Unavailable),
            ("hang", self.hang, Fault::Hang),
            ("access_denied", self.access_denied, Fault::AccessDenied),
            ("resource_not_found", self.resource_not_found, Fault::ResourceNotFound),
            ("expired_token", self.expired_token, Fault::ExpiredToken),
            ("invalid_kms", self.invalid_kms, Fault::InvalidKms),
        ]
    }

    /// Whether the plan can be rolled.
    ///
    /// # Errors
    /// Names the first number that cannot be meant.
    pub fn check(&self) -> Result<(), BadPlan> {
        let mut sum = 0.0;
        let share = [("partial_share", self.partial_share, Fault::None)];
        for (fault, chance, _) in self.chances().into_iter().chain(share) {
            if !(0.0..=1.0).contains(&chance) {
                return Err(BadPlan::Chance { fault, chance });
            }
            sum += if fault == "partial_share" { 0.0 } else { chance };
        }
        if sum > 1.0 + 1e-9 {
            return Err(BadPlan::Sum { sum });
        }
        if self.latency.is_some_and(|(shortest, longest)| shortest > longest) {
            return Err(BadPlan::Latency);
        }
        if self.poison.as_ref().is_some_and(Vec::is_empty) {
            return Err(BadPlan::Poison);
        }
        let rates = [self.rate.bytes_per_second, self.rate.records_per_second, self.rate.calls_per_second];
        match rates.into_iter().flatten().find(|rate| !(rate.is_finite() && *rate > 0.0)) {
            Some(rate) => Err(BadPlan::Rate { rate }),
            None => Ok(()),
        }
    }

    /// What the dice say for call `call`, and how late its answer is.
    pub(super) fn roll(&self, random: &mut fastrand::Rng) -> (Fault, Duration) {
        let mut left = random.f64();
        let delay = self
            .latency
            .map_or(Duration::ZERO, |(shortest, longest)| shortest + (longest - shortest).mul_f64(random.f64()));
        for (_, chance, fault) in self.chances() {
            if left < chance {
                return (fault, delay);
            }
            left -= chance;
        }
        (Fault::None, delay)
    }
}
