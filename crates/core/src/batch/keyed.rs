//! The packer's side of records with partition keys.
//! Promises that lines of two keys never share a record.
//! Leaves keys and aggregates to `kinesis`.

use super::kinesis::{Filled, Keyed, Most};
use super::{Lines, Mode, Packer, Sealed, Space};

impl Packer {
    /// Whether there is space for these lines.
    pub(super) fn takes(&self, lines: &Lines<'_>) -> bool {
        match self.keyed() {
            None => lines.bytes.len() <= self.space().bytes,
            Some(keyed) => keyed.cost(lines) <= self.keyed_room(keyed, false),
        }
    }

    pub(super) fn keyed_room(&self, keyed: &Keyed, packing: bool) -> usize {
        let filled = Filled { count: self.count, payload: self.payload, open: self.open.bytes };
        // A line longer than a packed record should be is a record of its own.
        let own = !packing && self.open.bytes == 0;
        let most = self.settings.form.record_bytes().min(self.settings.max_bytes);
        let batch = Most { records: self.settings.max_records, bytes: self.settings.max_bytes };
        keyed.room(filled, if own { most } else { self.record_limit }, batch)
    }

    pub(super) fn keyed_space(&self, keyed: &Keyed, packing: bool) -> Space {
        let lines = if packing { self.line_limit - self.open.lines } else { 1 };
        keyed.space(self.keyed_room(keyed, packing), lines)
    }

    /// Adds lines under their key. The open record ends where the key is another, and so does an ordered batch that
    /// holds the key already; that one is returned.
    pub(super) fn append_keyed(&mut self, lines: &Lines<'_>) -> Option<Sealed> {
        let mut before = None;
        let open = self.open.bytes > 0;
        if self.keyed_mut().expect("asked by append").choose(lines, open) {
            let overflow = self.seal_record();
            assert!(overflow.is_none(), "nothing is compressed");
            if self.keyed().expect("asked by append").is_taken() {
                before = self.take_batch();
            }
            let Mode::Keyed(keyed) = &mut self.mode else { unreachable!("asked by append") };
            keyed.begin(self.body.close_mut());
        }
        let Mode::Keyed(keyed) = &mut self.mode else { unreachable!("asked by append") };
        if keyed.settings().kpl {
            self.open.bytes = keyed.push(lines);
            return before;
        }
        if self.line_limit == 1 {
            self.body.whole_record(lines.bytes);
        } else {
            if self.open.bytes == 0 {
                self.body.begin_record();
            }
            self.body.write(lines.bytes);
        }
        self.open.bytes += lines.bytes.len();
        before
    }

    pub(super) fn memory_keyed_with(&self, keyed: &Keyed, bytes: usize) -> usize {
        let framed = keyed.framed(bytes);
        let each_alone = self.line_limit == 1 || keyed.settings().partition_key.differs_by_line();
        let records = if each_alone { bytes.min(self.settings.max_records) } else { 2 + framed / self.record_limit };
        let aggregate = if keyed.settings().kpl { self.open.bytes + framed } else { 0 };
        let gathered = keyed.memory_with(aggregate.min(self.settings.form.record_bytes()));
        self.body.memory_with(framed + aggregate, records) + self.open.raw.capacity() + gathered
    }
}
