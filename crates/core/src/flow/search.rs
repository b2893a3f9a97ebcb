//! Calls that the service refuses for their content, and the search for the record that is to blame.
//! Promises that a record is blamed only when the service names it, or when it is refused again after a call that was sent
//! since its last refusal was accepted; and that without an accepted call attempts become rare and nothing is blamed.
//! Leaves keeping a blamed record to `giving_up`, and what an answer means to deliver.

use super::giving_up::{Held, Quarantining};
use super::{Action, BatchId, Condition, Core, Outbound};
use crate::deliver::{Fault, Meaning, retry};
use std::collections::VecDeque;
use std::time::Instant;

/// Refusals in a row, nothing accepted between them, after which the search becomes slow: enough to find one record of 500
/// and to try its neighbours, few enough to be no burden for a service that refuses everything.
const QUICK_REFUSALS: u32 = 20;

/// The last refusal of a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspicion {
    /// The newest call there was then.
    refused_at: BatchId,
    /// Whether it is a single record that was refused alone.
    alone: bool,
}

/// Parts of refused calls, and what is known about them.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// To be sent, in this order; each of them has a suspicion.
    parts: VecDeque<Outbound>,
    /// The newest call of which something was accepted.
    accepted: BatchId,
    /// Refusals since then.
    refusals: u32,
    /// While everything is refused no part is sent before this, and none that was refused alone.
    paused_until: Option<Instant>,
}

impl Search {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether a single record is left, which was refused alone and needs a call of other records to compare with.
    fn needs_comparison(&self) -> bool {
        self.parts.len() == 1 && self.is_unproven(&self.parts[0])
    }

    /// Whether it was refused alone and nothing was accepted since.
    fn is_unproven(&self, part: &Outbound) -> bool {
        part.suspicion.is_some_and(|suspicion| suspicion.alone) && !self.has_evidence(part)
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &Outbound> {
        self.parts.iter()
    }

    /// Something of this call was accepted.
    pub(super) fn accepted(&mut self, id: BatchId) {
        self.accepted = self.accepted.max(id);
        self.refusals = 0;
        self.paused_until = None;
    }

    /// A part whose call failed for another reason than its content.
    pub(super) fn put_back(&mut self, part: Outbound) {
        if self.is_unproven(&part) {
            self.parts.push_back(part);
        } else {
            self.parts.push_front(part);
        }
    }

    /// Whether a call that was sent after the last refusal of the part was accepted.
    fn has_evidence(&self, part: &Outbound) -> bool {
        part.suspicion.is_some_and(|suspicion| self.accepted > suspicion.refused_at)
    }

    const fn is_slow(&self) -> bool {
        self.refusals > QUICK_REFUSALS
    }

    /// Which part comes next. While everything is refused it is the one that was longest not tried, so that each attempt
    /// tries something else.
    fn next(&self) -> Option<usize> {
        if !self.is_slow() {
            return (!self.parts.is_empty()).then_some(0);
        }
        (0..self.parts.len()).min_by_key(|index| self.parts[*index].suspicion.map(|suspicion| suspicion.refused_at))
    }
}

/// What is to be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The first batch that is ready.
    Ready,
    /// This part of a refused call.
    Part(usize),
}

impl Core {
    /// Whether lines may be taken in: nothing sealed waits, and no search needs the room. A record that needs a comparison
    /// gets one, but in an ordered flow no other may pass it.
    pub(super) fn may_pack(&self) -> bool {
        self.ready.is_empty() && (self.search.is_empty() || self.may_compare())
    }

    fn may_compare(&self) -> bool {
        !self.settings.batch.form.is_ordered() && self.search.needs_comparison()
    }

    /// What to send next, and from when on; nothing where something else must happen first.
    pub(super) fn next_call(&self, now: Instant) -> Option<(Next, Option<Instant>)> {
        if let Some(first) = self.ready.front().filter(|_| self.search.is_empty() || self.may_compare()) {
            return Some((Next::Ready, self.may_send(first, now)));
        }
        let index = self.search.next()?;
        // One at a time: another answer would not tell more.
        if self.search.is_slow() && !self.in_flight.is_empty() {
            return None;
        }
        let part = &self.search.parts[index];
        let waits = self.search.is_slow() || self.search.is_unproven(part);
        let paused = self.search.paused_until.filter(|until| waits && *until > now);
        Some((Next::Part(index), paused.or_else(|| self.may_send(part, now))))
    }

    /// Whether a retry is due later, not the pace.
    pub(super) fn waits_to_retry(&self, next: Next, now: Instant) -> bool {
        let outbound = match next {
            Next::Ready => self.ready.front(),
            Next::Part(index) => self.search.parts.get(index),
        };
        outbound.is_some_and(|outbound| outbound.held_until(now).is_some())
    }

    pub(super) fn take_next(&mut self, next: Next) -> Outbound {
        let taken = match next {
            Next::Ready => self.ready.pop_front(),
            Next::Part(index) => self.search.parts.remove(index),
        };
        taken.expect("it was looked at just now")
    }

    /// The service refuses the content of this call: halves are sent until the record is found that is to blame.
    pub(super) fn refused(&mut self, mut refused: Outbound, fault: Fault, now: Instant, actions: &mut Vec<Action>) {
        let named = fault.meaning == Meaning::Poison;
        let alone = refused.sealed.records().len() == 1;
        if alone && (named || self.search.has_evidence(&refused)) {
            return self.blame(refused, fault, actions);
        }
        self.search.refusals = self.search.refusals.saturating_add(u32::from(!named));
        let slow = self.search.is_slow();
        let suspicion = Some(Suspicion { refused_at: BatchId(self.next_batch), alone });
        if alone {
            refused.suspicion = suspicion;
            // Behind its neighbours: once one of them is accepted it is tried again.
            self.search.parts.push_back(refused);
        } else {
            let (first, second) = refused.sealed.halve();
            let part = |sealed| Outbound { suspicion, ..Outbound::new(sealed) };
            if slow {
                self.search.parts.extend([part(first), part(second)]);
            } else {
                self.search.parts.push_front(part(second));
                self.search.parts.push_front(part(first));
            }
        }
        if slow || alone {
            let pauses = self.search.refusals.saturating_sub(QUICK_REFUSALS).max(1);
            self.search.paused_until = Some(now + retry::delay(Meaning::Hold, pauses, self.random.u64(..)));
        }
        let next = self.search.next().map(|index| &self.search.parts[index]);
        let nothing_new = next.is_none_or(|part| self.search.is_unproven(part));
        let compares = self.may_compare() && !self.ready.is_empty();
        if slow || nothing_new && !compares {
            self.blocked = true;
            let reason = format!(
                "{fault}; no record is blamed, because none was accepted since: check the source, the state and the \
                 settings of the stream"
            );
            self.enter(Condition::Paused { reason }, now, actions);
        }
    }

    fn blame(&mut self, blamed: Outbound, fault: Fault, actions: &mut Vec<Action>) {
        let id = self.new_id();
        let held = Held::Refused(blamed.sealed, fault);
        actions.push(Action::Quarantine(id, held.given_up(&self.origins)));
        self.giving_up.insert(id, Quarantining { held, attempts: 0, due: None });
    }
}
