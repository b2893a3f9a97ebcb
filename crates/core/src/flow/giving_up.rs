//! Records that are given up on purpose: refused by the service for good, or unfit for an option.
//! Promises that their claims are settled only after the quarantine has them, and that it is tried again until then.
//! Leaves finding them to answers and processing, and keeping them to the shell.

use super::{Action, BatchId, Core, Notice, Stream};
use crate::batch::{Extent, Sealed};
use crate::deliver::{Fault, GivenUp, Meaning, retry};
use datalake_base::record::{Claim, Origin};
use datalake_process::Reason;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Records that are given up are logged at most this often, however many there are.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(60);

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

/// Refused records that were kept, as far as the operator does not know of them.
#[derive(Debug, Default)]
pub(super) struct Refused {
    reason: Option<String>,
    records: u64,
    lines: u64,
    bytes: u64,
    reported_at: Option<Instant>,
}

impl Refused {
    /// When the operator is to know.
    pub(super) fn tell_at(&self) -> Option<Instant> {
        self.reported_at.filter(|_| self.reason.is_some()).map(|reported_at| reported_at + TELL_EVERY)
    }
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
                if std::mem::take(&mut self.quarantine_fails) {
                    actions.push(Action::Notice(Notice::QuarantineWorks));
                }
                match record.held {
                    Held::Refused(sealed, fault) => self.refused_is_kept(sealed, &fault),
                    Held::Unprocessed(failed) => self.failed_are_kept(failed),
                }
            }
            Err(reason) => {
                record.attempts += 1;
                if !std::mem::replace(&mut self.quarantine_fails, true) {
                    actions.push(Action::Notice(Notice::QuarantineFailed { reason }));
                }
                let wait = retry::delay(Meaning::Hold, record.attempts, self.random.u64(..));
                record.due = Some(now + wait);
                self.giving_up.insert(id, record);
            }
        }
    }

    fn refused_is_kept(&mut self, mut sealed: Sealed, fault: &Fault) {
        let input = sealed.input();
        self.tally.quarantined += input;
        self.tally.quarantined_records += 1;
        self.refused.reason.get_or_insert_with(|| fault.to_string());
        self.refused.records += 1;
        self.refused.lines += sealed.records().iter().map(|record| record.lines as u64).sum::<u64>();
        self.refused.bytes += input;
        let claims: Vec<Claim> = sealed.take_all_claims().collect();
        claims.iter().for_each(|claim| self.ledger.note_quarantined(claim));
        self.settle(claims);
        self.recycle(sealed);
    }

    /// Tells about refused records: the first at once, then in sums; all of them at the end, when there is no time.
    pub(super) fn tell_refused(&mut self, now: Option<Instant>, actions: &mut Vec<Action>) {
        if let (Some(now), Some(reported_at)) = (now, self.refused.reported_at)
            && now < reported_at + TELL_EVERY
        {
            return;
        }
        let Some(reason) = self.refused.reason.take() else { return };
        let Refused { records, lines, bytes, .. } = std::mem::take(&mut self.refused);
        self.refused.reported_at = now;
        actions.push(Action::Notice(Notice::Quarantined { reason, records, lines, bytes }));
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
