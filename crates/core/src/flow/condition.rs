//! How a flow stands with the service, in words, so that the log has one line per change and not one per call.
//! Promises that entering and leaving a condition is told once.
//! Leaves writing the log to the shell.

use super::Core;
use crate::deliver::{Fault, Meaning};

/// How a flow stands with the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Calls are accepted, or none was made yet.
    #[default]
    Flowing,
    /// The service throttles the stream; the flow keeps to a slower pace.
    Throttled {
        /// What the service said.
        reason: String,
    },
    /// Calls fail and are tried again.
    Failing {
        /// The last failure.
        reason: String,
    },
    /// Only a person can mend it; the flow holds and tries again slowly.
    Holding {
        /// What is wrong and what to do.
        reason: String,
    },
}

/// What the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The condition changed to this one.
    Changed(Condition),
    /// A record was given up on purpose and kept.
    Quarantined {
        /// The service's reason.
        reason: String,
        /// Lines in the record.
        lines: usize,
        /// Bytes of input in it.
        bytes: u64,
    },
    /// Options could not work on records, of which this is the first since the last notice.
    Unprocessed {
        /// Why the first of them.
        reason: String,
        /// So many are kept in the quarantine.
        quarantined: u64,
        /// So many are sent as they are.
        raw: u64,
        /// So many are dropped.
        dropped: u64,
    },
    /// A record that was to be given up could not be kept; the flow holds it and tries again.
    QuarantineFailed {
        /// What is wrong.
        reason: String,
    },
    /// What could not be kept before is kept now.
    QuarantineWorks,
}

impl Condition {
    /// The condition that a failed call means.
    pub(super) fn from_fault(fault: &Fault) -> Self {
        let reason = fault.to_string();
        match fault.meaning {
            Meaning::SlowDown => Self::Throttled { reason },
            Meaning::Unknown | Meaning::NotSent => Self::Failing { reason },
            Meaning::Hold => Self::Holding { reason },
            Meaning::Poison => Self::Flowing,
        }
    }

    /// Whether both would be told the operator in the same words but for the numbers in the reason.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Core {
    /// Enters a condition; a notice where it is another than before.
    pub(super) fn enter(&mut self, condition: Condition, actions: &mut Vec<super::Action>) {
        // A hold for another reason is news; another timeout is not.
        let news = !self.condition.is_like(&condition)
            || matches!(condition, Condition::Holding { .. }) && self.condition != condition;
        if news {
            actions.push(super::Action::Notice(Notice::Changed(condition.clone())));
        }
        self.condition = condition;
    }
}
