//! The packer's side of lines that are a record each: a whole run at once, under one claim.
//! Promises the same records as lines put in one by one, at a fraction of the cost.
//! Leaves records with keys, compressed ones and those of many lines to the packer's usual way.

use super::{Mode, Packer, Record};
use datalake_base::record::Claim;
use std::time::Instant;

impl Packer {
    /// How many bytes of whole lines it takes that are all to be records of their own, for [`Packer::append_each`]; 0
    /// also where records are not as plain as that.
    #[must_use]
    pub fn space_for_each(&self) -> usize {
        let plain = matches!(self.mode, Mode::Each);
        if plain && self.count < self.settings.max_records { self.settings.max_bytes - self.payload } else { 0 }
    }

    /// Adds as many of these lines as it takes records, each as one, and returns how many bytes they are. Every line ends
    /// in a newline and is not longer than a record may be. `claim` is asked for one claim for all of them, with a part
    /// for each; it is given how many lines and bytes they are.
    ///
    /// # Panics
    /// When they are none, or more than [`Packer::space_for_each`].
    pub fn append_each(&mut self, lines: &[u8], read_at: Instant, claim: impl FnOnce(usize, usize) -> Claim) -> usize {
        assert!(!lines.is_empty() && lines.len() <= self.space_for_each(), "lines were put where no space is");
        assert!(self.open.bytes == 0, "a record is open");
        let most = self.settings.max_records - self.count;
        let claims_end = self.claims.len() + 1;
        if self.records.is_empty() {
            // As many as the last batch had: growing step by step copies each several times.
            self.records.reserve_exact(self.usual_records);
        }
        let (mut start, mut count) = (0, 0);
        for newline in memchr::memchr_iter(b'\n', lines).take(most) {
            let line = &lines[start..=newline];
            self.body.whole_record(line);
            let wire = self.body.last_record();
            self.records.push(Record {
                wire_start: wire.start,
                wire_end: wire.end,
                parts: 1,
                payload: line.len(),
                billed: self.settings.form.billed(line.len()),
                input: line.len() as u64,
                lines: 1,
                attempts: 0,
                claims_end,
                joined: count > 0,
                taken: false,
            });
            count += 1;
            start = newline + 1;
        }
        let claim = claim(count, start);
        assert!(claim.parts() as usize == count, "each record settles a part");
        self.claims.push(Some(claim));
        self.open.claims_from = claims_end;
        self.count += count;
        self.payload += start;
        self.age(read_at);
        start
    }
}
