//! How long to wait before the next attempt: full jitter under a ceiling that doubles.
//! Promises a delay for every attempt for ever, never above the cap of its meaning.
//! Leaves waiting, counting attempts and drawing random numbers to the flow.

use std::time::Duration;

use super::Meaning;

/// First ceiling for what passes by itself.
const BASE: Duration = Duration::from_millis(100);
/// Last ceiling for what passes by itself.
const CAP: Duration = Duration::from_secs(10);
/// First ceiling for what the operator must fix.
const HOLD_BASE: Duration = Duration::from_secs(5);
/// Last ceiling for what the operator must fix.
const HOLD_CAP: Duration = Duration::from_secs(60);

/// The longest wait after this many failures in a row (1 or more), before jitter.
#[must_use]
pub fn ceiling(meaning: Meaning, failures: u32) -> Duration {
    let (base, cap) = match meaning {
        Meaning::SlowDown | Meaning::Unknown | Meaning::NotSent => (BASE, CAP),
        Meaning::Hold => (HOLD_BASE, HOLD_CAP),
        // Halves of a refused batch go out at once: that is a search, not a retry.
        Meaning::Suspect | Meaning::Poison => return Duration::ZERO,
    };
    let doublings = failures.saturating_sub(1).min(16);
    base.saturating_mul(1 << doublings).min(cap)
}

/// The wait before the next attempt: `random`, any 64-bit number, scaled to between nothing and the ceiling, so that
/// a thousand agents that failed together do not come back together.
#[must_use]
pub fn delay(meaning: Meaning, failures: u32, random: u64) -> Duration {
    let ceiling = ceiling(meaning, failures).as_nanos();
    let nanos = (ceiling * u128::from(random)) >> 64;
    // At most 60 s in nanoseconds, which 64 bits hold.
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Meaning; 6] =
        [Meaning::SlowDown, Meaning::Unknown, Meaning::NotSent, Meaning::Hold, Meaning::Suspect, Meaning::Poison];

    #[test]
    fn the_ceiling_doubles_up_to_its_cap_and_stays_there_for_ever() {
        let millis = |meaning, failures| ceiling(meaning, failures).as_millis();
        assert_eq!(
            [1, 2, 3, 7, 8, u32::MAX].map(|failures| millis(Meaning::Unknown, failures)),
            [100, 200, 400, 6_400, 10_000, 10_000]
        );
        assert_eq!(
            [1, 2, 5, u32::MAX].map(|failures| millis(Meaning::Hold, failures)),
            [5_000, 10_000, 60_000, 60_000]
        );
        assert_eq!(millis(Meaning::Poison, 9), 0);
    }

    #[test]
    fn jitter_uses_the_whole_range() {
        assert_eq!(delay(Meaning::Hold, 1, 0), Duration::ZERO);
        assert_eq!(delay(Meaning::Hold, 1, u64::MAX / 2).as_millis(), 2_499);
        assert_eq!(delay(Meaning::Hold, 1, u64::MAX).as_millis(), 4_999);
    }

    proptest::proptest! {
        #[test]
        fn no_delay_is_above_its_ceiling(failures: u32, random: u64) {
            for meaning in ALL {
                proptest::prop_assert!(delay(meaning, failures, random) <= ceiling(meaning, failures));
            }
        }
    }
}
