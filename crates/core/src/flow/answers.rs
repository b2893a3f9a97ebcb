//! What a flow does with an answer: the delivery table, case by case.
//!
//! | answer | what becomes of the records |
//! |---|---|
//! | accepted | settled |
//! | some refused in a 200 | the refused ones go, still encoded, into a later batch; the others are settled |
//! | slow down | the same call again, later and at a slower pace |
//! | unknown, not sent, hold | the same call again, later |
//! | suspect, poison | two halves, until a record is alone; what becomes of that says `search` |

use super::{Action, Again, BatchId, Condition, Core, Outbound};
use crate::batch::Sealed;
use crate::deliver::pace::Amounts;
use crate::deliver::{Answer, Fault, Meaning, Outcome, retry};
use datalake_base::accounting::{Calls, Spread};
use datalake_base::record::{Claim, Origin};
use datalake_base::units::counted;
use std::collections::VecDeque;
use std::time::Instant;

impl Core {
    /// What the pace counts of a call.
    pub(super) fn amounts(sealed: &Sealed) -> Amounts {
        Amounts { bytes: sealed.payload() as u64, records: sealed.count() as u64 }
    }

    pub(super) fn answered(&mut self, id: BatchId, answer: Answer, now: Instant, actions: &mut Vec<Action>) {
        let outbound = self.in_flight.remove(&id).expect("an answer is to a call under way");
        self.tally.calls += 1;
        self.last_active = now;
        let (attempts, refused) = (outbound.sealed.count(), refused_one_by_one(&answer, outbound.sealed.count()));
        let before = self.tally;
        match answer {
            Answer::Accepted => {
                self.pace.succeeded(Self::amounts(&outbound.sealed), now);
                self.search.accepted(id);
                self.blocked = false;
                self.enter(Condition::Flowing, now, actions);
                self.deliver_all(outbound.sealed);
            }
            Answer::PerRecord(outcomes) if outcomes.len() == outbound.sealed.count() => {
                if outcomes.contains(&Outcome::Delivered) {
                    self.search.accepted(id);
                }
                self.blocked = false;
                self.sort_out(outbound.sealed, &outcomes, now, actions);
            }
            Answer::PerRecord(outcomes) => {
                let message = format!(
                    "the answer has {} for {}; the call is sent again",
                    counted(outcomes.len(), "outcome"),
                    counted(outbound.sealed.count(), "record")
                );
                let fault = Fault { meaning: Meaning::Unknown, code: "malformed answer".to_owned(), message };
                self.failed(outbound, fault, now, actions);
            }
            Answer::Failed(fault) => self.failed(outbound, fault, now, actions),
        }
        self.answered.add(&Calls {
            attempts: Spread::of(attempts as u64),
            accepted: Spread::of(self.tally.records - before.records),
            refused: refused.map_or_else(Spread::default, |refused| Spread::of(refused as u64)),
            payload: Spread::of(self.tally.payload - before.payload),
            failed: Spread::of(u64::from(refused.is_none())),
        });
    }

    /// Puts refused records whose time has come into the open batch, with whatever fresh neighbours it has.
    pub(super) fn readopt(&mut self, now: Instant) {
        let mut index = 0;
        while index < self.again.len() && self.may_pack() {
            if self.again[index].due > now {
                index += 1;
                continue;
            }
            let mut again = self.again.swap_remove(index);
            self.seal_open_record();
            while let Some(record) = again.indexes.front().copied() {
                if self.holds_a_call() || !self.packer.adopt(&mut again.sealed, record) {
                    self.seal_batch();
                    break;
                }
                again.indexes.pop_front();
            }
            if again.indexes.is_empty() {
                self.recycle(again.sealed);
                // They have waited long enough: not for the age of the batch too.
                self.seal_batch();
            } else {
                self.again.push(again);
            }
        }
    }

    fn failed(&mut self, mut outbound: Outbound, fault: Fault, now: Instant, actions: &mut Vec<Action>) {
        match fault.meaning {
            Meaning::Suspect | Meaning::Poison => return self.refused(outbound, fault, now, actions),
            Meaning::SlowDown => {
                let call = Self::amounts(&outbound.sealed);
                self.pace.throttled(call, call.records, now);
            }
            Meaning::Unknown | Meaning::NotSent | Meaning::Hold => {}
        }
        self.blocked = fault.meaning == Meaning::Hold;
        self.enter(Condition::from_fault(&fault), now, actions);
        outbound.attempts = outbound.attempts.saturating_add(1);
        self.tally.retried += outbound.sealed.count() as u64;
        if fault.meaning.may_be_stored() {
            self.tally.possibly_duplicated += outbound.sealed.count() as u64;
        }
        let wait = retry::delay(fault.meaning, outbound.attempts, self.random.u64(..));
        outbound.not_before = Some(now + wait);
        // To the front: the order of lines is kept, and what comes after would most likely fail as well.
        if outbound.suspicion.is_some() {
            self.search.put_back(outbound);
        } else {
            self.ready.push_front(outbound);
        }
    }

    fn sort_out(&mut self, mut sealed: Sealed, outcomes: &[Outcome], now: Instant, actions: &mut Vec<Action>) {
        let (mut refused, mut first_outcome) = (VecDeque::new(), 0);
        let call = Self::amounts(&sealed);
        let throttles = |outcome: &&Outcome| matches!(outcome, Outcome::Again { throttled: true, .. });
        let throttled = outcomes.iter().filter(throttles).count() as u64;
        let mut complaint = None;
        for index in 0..sealed.records().len() {
            let parts = sealed.records()[index].parts;
            let again = outcomes[first_outcome..first_outcome + parts].iter().find_map(|outcome| match outcome {
                Outcome::Delivered => None,
                Outcome::Again { code, .. } => Some(code),
            });
            first_outcome += parts;
            if let Some(code) = again {
                complaint.get_or_insert_with(|| code.clone());
                sealed.count_attempt(index);
                refused.push_back(index);
            } else {
                self.count_delivered(&sealed.records()[index]);
                let claims = sealed.take_claims(index);
                self.settle(claims);
            }
        }
        let Some(reason) = complaint else {
            self.pace.succeeded(call, now);
            self.enter(Condition::Flowing, now, actions);
            return self.recycle(sealed);
        };
        if throttled > 0 {
            self.pace.throttled(call, throttled, now);
            self.enter(Condition::Throttled { reason }, now, actions);
        } else {
            self.enter(Condition::Failing { reason }, now, actions);
        }
        self.tally.retried += refused.len() as u64;
        let attempts = refused.iter().map(|index| sealed.records()[*index].attempts).max().unwrap_or(1);
        // Throttled records wait no longer than others: the pace sees to it that they come more slowly.
        let due = now + retry::delay(Meaning::Unknown, attempts, self.random.u64(..));
        if self.settings.batch.form.is_ordered() {
            // Nothing may pass them: whatever has their keys is behind them, and no other call is under way.
            let (sealed, attempts) = (sealed.only(refused.make_contiguous()), attempts);
            return self.ready.push_front(Outbound { attempts, not_before: Some(due), ..Outbound::new(sealed) });
        }
        self.again.push(Again { sealed, indexes: refused, due });
    }

    fn deliver_all(&mut self, mut sealed: Sealed) {
        for record in sealed.records() {
            self.count_delivered(record);
        }
        let claims = sealed.take_all_claims();
        self.settle(claims);
        self.recycle(sealed);
    }

    fn count_delivered(&mut self, record: &crate::batch::Record) {
        self.tally.delivered += record.input;
        self.tally.lines += record.lines as u64;
        self.tally.records += record.parts as u64;
        self.tally.payload += record.payload as u64;
        self.tally.billed += record.billed;
    }

    pub(super) fn settle(&mut self, claims: impl IntoIterator<Item = Claim>) {
        // Most claims of a batch are of one origin: what follows from them is done once for all.
        let mut last: Option<(Origin, bool)> = None;
        for claim in claims {
            let origin = claim.origin();
            if let Some((before, moved)) = last.take_if(|(before, _)| *before != origin) {
                self.settled(before, moved);
            }
            let moved = self.ledger.settle(claim).is_some();
            last = Some((origin, moved || last.is_some_and(|(_, moved)| moved)));
        }
        if let Some((origin, moved)) = last {
            self.settled(origin, moved);
        }
    }

    fn settled(&mut self, origin: Origin, moved: bool) {
        if moved {
            self.commit(origin);
        }
        self.close_if_settled(origin);
    }

    pub(super) fn recycle(&mut self, sealed: Sealed) {
        if let Some(buffer) = sealed.into_buffer() {
            self.packer.reuse(buffer);
        }
    }
}

/// Records that the service refused in a call that it accepted; `None` where the call of this many failed as a whole.
fn refused_one_by_one(answer: &Answer, records: usize) -> Option<usize> {
    match answer {
        Answer::Accepted => Some(0),
        Answer::PerRecord(outcomes) if outcomes.len() == records => {
            Some(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Again { .. })).count())
        }
        Answer::PerRecord(_) | Answer::Failed(_) => None,
    }
}
