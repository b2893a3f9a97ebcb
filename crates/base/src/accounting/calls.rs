//! What calls carried and what became of it: for each number how many calls, their sum, the least and the most.
//! Promises a fixed size however many calls there are, and that nothing taken is reported twice.
//! Leaves what the numbers are called to the metrics.

use std::sync::{Mutex, PoisonError};

/// A number of each of several calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Calls that had the number.
    pub samples: u64,
    /// The numbers of all of them.
    pub sum: u64,
    /// The least; 0 where there was no call.
    pub minimum: u64,
    /// The most; 0 where there was no call.
    pub maximum: u64,
}

impl Spread {
    /// That of one call.
    #[must_use]
    pub const fn of(number: u64) -> Self {
        Self { samples: 1, sum: number, minimum: number, maximum: number }
    }

    /// Adds other calls.
    pub fn add(&mut self, other: Self) {
        if self.samples == 0 || other.samples == 0 {
            // Without calls there is no least one.
            if self.samples == 0 {
                *self = other;
            }
            return;
        }
        *self = Self {
            samples: self.samples + other.samples,
            sum: self.sum + other.sum,
            minimum: self.minimum.min(other.minimum),
            maximum: self.maximum.max(other.maximum),
        };
    }
}

/// The numbers of calls that were answered, whatever the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Records in a call; one that is sent twice counts twice.
    pub attempts: Spread,
    /// Records of a call that the service accepted.
    pub accepted: Spread,
    /// Records that it refused one by one; calls that failed as a whole have no such number.
    pub refused: Spread,
    /// Bytes of the accepted records before base64 (compressed, where the flow compresses).
    pub payload: Spread,
    /// 1 for a call that failed as a whole, else 0.
    pub failed: Spread,
}

impl Calls {
    /// Adds other calls.
    pub fn add(&mut self, other: &Self) {
        let Self { attempts, accepted, refused, payload, failed } = self;
        attempts.add(other.attempts);
        accepted.add(other.accepted);
        refused.add(other.refused);
        payload.add(other.payload);
        failed.add(other.failed);
    }

    /// Whether there were none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.attempts.samples == 0
    }
}

/// Calls that one adds and another takes.
#[derive(Debug, Default)]
pub struct CallsToTell(Mutex<Calls>);

impl CallsToTell {
    /// Adds calls.
    pub fn add(&self, calls: &Calls) {
        // Most steps of a flow are not answers.
        if !calls.is_empty() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).add(calls);
        }
    }

    /// Those added since they were last taken.
    #[must_use]
    pub fn take(&self) -> Calls {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_those_of_single_calls_in_whatever_portions_they_are_added() {
        let numbers = [7, 3, 500, 0, 12];
        let expected = Spread { samples: 5, sum: 522, minimum: 0, maximum: 500 };
        for cut in 0..=numbers.len() {
            let spread = |numbers: &[u64]| {
                let mut spread = Spread::default();
                numbers.iter().for_each(|number| spread.add(Spread::of(*number)));
                spread
            };
            let mut whole = spread(&numbers[..cut]);
            whole.add(spread(&numbers[cut..]));
            assert_eq!(whole, expected, "cut at {cut}");
        }
    }

    #[test]
    fn no_call_has_no_least_number() {
        let mut spread = Spread::default();
        spread.add(Spread::default());
        assert_eq!(spread, Spread::default());
        spread.add(Spread::of(4));
        spread.add(Spread::default());
        assert_eq!(spread, Spread::of(4));
    }

    #[test]
    fn what_was_taken_is_not_taken_again() {
        let to_tell = CallsToTell::default();
        let call = Calls { attempts: Spread::of(2), failed: Spread::of(1), ..Calls::default() };
        to_tell.add(&call);
        assert_eq!(to_tell.take(), call);
        assert!(to_tell.take().is_empty());
        to_tell.add(&call);
        assert_eq!(to_tell.take(), call);
    }
}
