//! Records that are given up on purpose: refused by the service for good, or unfit for an option.
//! Promises that their receipts are settled only after the quarantine has them, and that it is tried again until then.
//! Leaves finding them to answers and processing, and keeping them to the shell.

use super::{Action, BatchId, Core, Notice, Stream};
use crate::batch::{Claim, Extent, Sealed};
use crate::deliver::{Fault, GivenUp, Meaning, retry};
use datalake_base::record::Origin;
use datalake_process::Reason;
use std::collections::BTreeMap;
use std::time::Instant;

/// Records that the quarantine is to keep; tried again when that fails.
#[derive(Debug)]
pub(super) struct Quarantining {
    pub(super) held: Held,
    pub(super) attempts: u32,
    /// When to try again; `None` while the quarantine is at it.
    pub(super) due: Option<Instant>,
}

/// What is held until the quarantine has it.
#[derive(Debug)]
pub(super) enum Held {
    /// A batch of one record that the service refuses for good.
    Refused(Sealed, Fault),
    /// Records that an option could not work on.
    Unprocessed(Vec<Failure>),
}

/// A record that an option could not work on.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) claim: Claim,
    /// As it came in.
    pub(super) payload: Vec<u8>,
    /// Bytes of input that it stands for.
    pub(super) input: u64,
    pub(super) reason: Reason,
}

impl Core {
    pub(super) fn quarantined(
        &mut self,
        id: BatchId,
        kept: Result<(), String>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let mut record = self.giving_up.remove(&id).expect("the quarantine answers for what it was given");
        match kept {
            Ok(()) => {
                if record.attempts > 0 {
                    actions.push(Action::Notice(Notice::QuarantineWorks));
                }
                match record.held {
                    Held::Refused(sealed, fault) => self.refused_is_kept(sealed, &fault, actions),
                    Held::Unprocessed(failed) => self.failed_are_kept(failed),
                }
            }
            Err(reason) => {
                record.attempts += 1;
                if record.attempts == 1 {
                    actions.push(Action::Notice(Notice::QuarantineFailed { reason }));
                }
                let wait = retry::delay(Meaning::Hold, record.attempts, self.random.u64(..));
                record.due = Some(now + wait);
                self.giving_up.insert(id, record);
            }
        }
    }

    fn refused_is_kept(&mut self, mut sealed: Sealed, fault: &Fault, actions: &mut Vec<Action>) {
        let input = sealed.input();
        let lines = sealed.records().iter().map(|record| record.lines).sum();
        self.tally.quarantined += input;
        self.tally.quarantined_records += 1;
        actions.push(Action::Notice(Notice::Quarantined { reason: fault.to_string(), lines, bytes: input }));
        let claims = sealed.take_all_claims();
        self.settle(claims);
        self.recycle(sealed);
    }

    /// Offers records to the quarantine again that it could not keep.
    pub(super) fn retry_quarantine(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for (id, record) in &mut self.giving_up {
            if record.due.is_some_and(|due| due <= now) {
                record.due = None;
                actions.push(Action::Quarantine(*id, record.held.given_up(&self.origins)));
            }
        }
    }
}

impl Held {
    /// Memory that it holds beyond what is set aside for it, in bytes.
    pub(super) const fn memory(&self) -> usize {
        match self {
            Self::Refused(sealed, _) => sealed.memory(),
            Self::Unprocessed(_) => 0,
        }
    }

    /// What the quarantine is to keep.
    pub(super) fn given_up(&self, origins: &BTreeMap<Origin, Stream>) -> Vec<GivenUp> {
        let extent = |held: &Extent| (origins[&held.origin].info.clone(), held.start, held.end);
        match self {
            Self::Refused(sealed, fault) => vec![GivenUp {
                payload: sealed.payload_of(0),
                partition_key: sealed.partition_key_of(0),
                lines: sealed.records()[0].lines,
                extents: sealed.extents_of(0).iter().map(extent).collect(),
                fault: fault.clone(),
                unprocessed: false,
            }],
            Self::Unprocessed(failed) => failed
                .iter()
                .map(|failure| GivenUp {
                    payload: failure.payload.clone(),
                    partition_key: None,
                    lines: 1,
                    extents: vec![extent(&failure.extent())],
                    fault: failure.fault(),
                    unprocessed: true,
                })
                .collect(),
        }
    }
}

impl Failure {
    const fn extent(&self) -> Extent {
        Extent { origin: self.claim.origin(), start: self.claim.start, end: self.claim.end }
    }

    fn fault(&self) -> Fault {
        let message = self.reason.to_string();
        Fault { meaning: Meaning::Poison, code: "processing".to_owned(), message }
    }
}
