//! The JSON body of a call, written once into memory that is used again for the next call.
//! Promises that head and body lie side by side, so that a request is one write.
//! Leaves the limits of a call to the program, which asks how much is in it.

use base64_simd::{AsOut, STANDARD};

/// Room kept before the body for the request's head.
const HEAD_BYTES: usize = 1024;

/// One call: `{"DeliveryStreamName":"…","Records":[{"Data":"…"},…]}`, or that of Kinesis with a partition key a record.
pub(crate) struct Body {
    /// Zeroed once; grows to the largest call and stays.
    bytes: Vec<u8>,
    /// Everything before this belongs to the stream, not to the records.
    records_start: usize,
    end: usize,
    /// Records in it.
    pub(crate) records: usize,
    /// Their bytes before base64.
    pub(crate) payload: usize,
}

impl Body {
    /// `member` is what names the stream.
    pub(crate) fn new(member: &str, stream: &str, call_bytes: usize, call_records: usize) -> Self {
        let prefix = format!("{{\"{member}\":\"{stream}\",\"Records\":[");
        // Per record: `{"Data":"` + padding + `"},`, and a key of up to 32 bytes.
        let most = HEAD_BYTES + prefix.len() + call_bytes.div_ceil(3) * 4 + call_records * 80 + 2;
        let mut bytes = vec![0; most];
        let records_start = HEAD_BYTES + prefix.len();
        bytes[HEAD_BYTES..records_start].copy_from_slice(prefix.as_bytes());
        Self { bytes, records_start, end: records_start, records: 0, payload: 0 }
    }

    /// One more record.
    pub(crate) fn push(&mut self, data: &[u8]) {
        if self.records > 0 {
            self.write(b",");
        }
        self.write(b"{\"Data\":\"");
        let room = &mut self.bytes[self.end..];
        self.end += STANDARD.encode(data, room.as_out()).len();
        self.write(b"\"}");
        self.records += 1;
        self.payload += data.len();
    }

    /// One more record of Kinesis.
    pub(crate) fn push_keyed(&mut self, data: &[u8], key: &str) {
        self.push(data);
        self.end -= 1;
        self.write(b",\"PartitionKey\":\"");
        self.write(key.as_bytes());
        self.write(b"\"}");
        self.payload += key.len();
    }

    /// Ends the body and hands it out for hashing.
    pub(crate) fn seal(&mut self) -> &[u8] {
        self.write(b"]}");
        &self.bytes[HEAD_BYTES..self.end]
    }

    /// The sealed body with its head before it, in one piece.
    pub(crate) fn with_head(&mut self, head: &[u8]) -> &[u8] {
        let start = HEAD_BYTES - head.len();
        self.bytes[start..HEAD_BYTES].copy_from_slice(head);
        &self.bytes[start..self.end]
    }

    /// Forgets the records.
    pub(crate) fn clear(&mut self) {
        self.end = self.records_start;
        self.records = 0;
        self.payload = 0;
    }

    fn write(&mut self, text: &[u8]) {
        self.bytes[self.end..self.end + text.len()].copy_from_slice(text);
        self.end += text.len();
    }
}
