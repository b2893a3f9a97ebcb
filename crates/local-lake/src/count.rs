//! Counting a put without understanding it: the sizes of its records, found as the body streams past.
//! Promises the same stream and sizes as `protocol::parse` for every well-formed body, at the cost of a search for quotes.
//! Leaves refusing malformed JSON and bad base64 to the modes that decode.

use crate::protocol::Operation;
use crate::service::Refusal;

/// Longest string kept: member names and the name of a stream, with room to see that it is too long.
const KEPT: usize = 80;

/// Where the scanner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Outside a string.
    Between,
    /// Inside a string.
    Inside,
    /// Inside a string, behind a backslash.
    Escape,
}

/// Whose value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Data,
    Key,
    Stream,
    Other,
}

/// What a scanned body held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The stream's name, not yet checked.
    pub(crate) stream: String,
    /// Bytes of each record before base64.
    pub(crate) sizes: Vec<usize>,
    /// Bytes of each partition key.
    pub(crate) key_sizes: Vec<usize>,
}

/// A scanner over one body, fed piece by piece; keeps `KEPT` bytes and one number a record.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    place: Place,
    member: Member,
    /// A colon was seen and its value was not.
    value: bool,
    /// Bytes of the string so far.
    length: usize,
    /// The string's first bytes.
    kept: [u8; KEPT],
    /// The string's last two bytes: they say how much padding there is.
    tail: [u8; 2],
    stream: Option<String>,
    sizes: Vec<usize>,
    key_sizes: Vec<usize>,
    /// What was wrong first.
    wrong: Option<&'static str>,
}

impl Scanner {
    /// At the beginning of a body.
    pub(crate) fn new() -> Self {
        Self {
            place: Place::Between,
            member: Member::Other,
            value: false,
            length: 0,
            kept: [0; KEPT],
            tail: [0; 2],
            stream: None,
            sizes: Vec::new(),
            key_sizes: Vec::new(),
            wrong: None,
        }
    }

    /// The next piece of the body.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            match self.place {
                Place::Between => piece = self.between(piece),
                Place::Inside => match memchr::memchr2(b'"', b'\\', piece) {
                    Some(at) => {
                        self.keep(&piece[..at]);
                        if piece[at] == b'"' {
                            self.place = Place::Between;
                            self.end_string();
                        } else {
                            self.place = Place::Escape;
                        }
                        piece = &piece[at + 1..];
                    }
                    None => {
                        self.keep(piece);
                        return;
                    }
                },
                Place::Escape => {
                    // Base64 holds one character that some encoders escape: the slash.
                    if piece[0] == b'/' {
                        self.keep(b"/");
                    } else {
                        self.wrong = self.wrong.or(Some("the counting mode reads no escape but \\/"));
                    }
                    self.place = Place::Inside;
                    piece = &piece[1..];
                }
            }
        }
    }

    /// The body is over.
    ///
    /// # Errors
    /// `SerializationException` when it ended inside a string, a `Data` has an impossible length, or no stream was named;
    /// `ValidationException` when there is no record.
    pub(crate) fn finish(self, operation: Operation) -> Result<Counted, Refusal> {
        if let Some(wrong) = self.wrong {
            return Err(Refusal::serialization(wrong));
        }
        if self.place != Place::Between {
            return Err(Refusal::serialization("the body ends inside a string"));
        }
        let Some(stream) = self.stream else {
            return Err(Refusal::serialization("DeliveryStreamName is missing"));
        };
        if operation == Operation::PutRecord && self.sizes.len() != 1 {
            return Err(Refusal::serialization("PutRecord takes one record"));
        }
        if operation == Operation::PutRecords && self.key_sizes.len() != self.sizes.len() {
            return Err(Refusal::validation(
                "Value null at 'records.1.member.partitionKey' failed to satisfy constraint",
            ));
        }
        Ok(Counted { stream, sizes: self.sizes, key_sizes: self.key_sizes })
    }

    /// Outside a string, up to the next quote.
    fn between<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                b'"' => {
                    self.place = Place::Inside;
                    self.length = 0;
                    return &piece[at + 1..];
                }
                b':' => self.value = true,
                b',' | b'{' | b'[' | b'}' | b']' => self.value = false,
                _ => {}
            }
        }
        &[]
    }

    /// More of a string.
    fn keep(&mut self, part: &[u8]) {
        if self.length < KEPT {
            let room = part.len().min(KEPT - self.length);
            self.kept[self.length..self.length + room].copy_from_slice(&part[..room]);
        }
        self.length += part.len();
        match part {
            [.., before, last] => self.tail = [*before, *last],
            [last] => self.tail = [self.tail[1], *last],
            [] => {}
        }
    }

    /// A string is complete: a member's name, or a value.
    fn end_string(&mut self) {
        let kept = &self.kept[..self.length.min(KEPT)];
        if !self.value {
            self.member = match kept {
                b"Data" => Member::Data,
                b"PartitionKey" => Member::Key,
                b"DeliveryStreamName" | b"StreamName" => Member::Stream,
                _ => Member::Other,
            };
            return;
        }
        self.value = false;
        match self.member {
            Member::Data if self.length.is_multiple_of(4) => {
                let padding = match self.tail {
                    _ if self.length == 0 => 0,
                    [b'=', b'='] => 2,
                    [_, b'='] => 1,
                    _ => 0,
                };
                self.sizes.push(self.length / 4 * 3 - padding);
            }
            Member::Data => self.wrong = self.wrong.or(Some("Data is not base64")),
            Member::Key => self.key_sizes.push(self.length),
            Member::Stream => self.stream = Some(String::from_utf8_lossy(kept).into_owned()),
            Member::Other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol;

    fn scan(body: &[u8], step: usize) -> Result<Counted, Refusal> {
        let mut scanner = Scanner::new();
        body.chunks(step).for_each(|piece| scanner.feed(piece));
        scanner.finish(Operation::PutRecordBatch)
    }

    #[test]
    fn counting_agrees_with_decoding_however_the_body_is_cut() {
        let mut random = fastrand::Rng::with_seed(11);
        for round in 0..60 {
            let records: Vec<Vec<u8>> =
                (0..random.usize(1..12)).map(|_| (0..random.usize(0..300)).map(|_| random.u8(..)).collect()).collect();
            let entries: Vec<String> = records
                .iter()
                .map(|record| {
                    let mut data = base64_simd::STANDARD.encode_to_string(record);
                    if random.bool() {
                        data = data.replace('/', "\\/");
                    }
                    if random.bool() {
                        format!("{{\"Data\":\"{data}\"}}")
                    } else {
                        format!("{{ \"Data\" : \"{data}\" }}")
                    }
                })
                .collect();
            let body = format!("{{\"Records\":[{}],\"DeliveryStreamName\":\"DeliveryStreamName\"}}", entries.join(","));
            let put = protocol::parse(Operation::PutRecordBatch, body.as_bytes(), Vec::new()).unwrap();
            for step in [1, 2, 3, 7, 64, body.len()] {
                let counted = scan(body.as_bytes(), step).unwrap();
                assert_eq!((&counted.stream, &counted.sizes), (&put.stream, &put.sizes), "round {round}, step {step}");
            }
        }
    }

    #[test]
    fn a_member_that_is_no_string_does_not_lend_its_colon_to_the_next() {
        let body = br#"{"Other":1,"Data":{"Records":[]},"DeliveryStreamName":"s","Records":[{"Data":"YQ=="}]}"#;
        assert_eq!(scan(body, 5).unwrap(), Counted { stream: "s".into(), sizes: vec![1], key_sizes: Vec::new() });
    }

    #[test]
    fn a_body_cut_short_or_without_a_stream_is_refused() {
        for body in
            [&br#"{"DeliveryStreamName":"s","Records":[{"Data":"YQ"#[..], b"", br#"{"Records":[{"Data":"YQ=="}]}"#]
        {
            assert_eq!(scan(body, 9).unwrap_err().code, "SerializationException");
        }
        let odd = br#"{"DeliveryStreamName":"s","Records":[{"Data":"YQ="}]}"#;
        assert_eq!(scan(odd, 9).unwrap_err().code, "SerializationException");
    }

    #[test]
    fn an_endless_name_is_not_kept() {
        let body = format!("{{\"DeliveryStreamName\":\"{}\",\"Records\":[]}}", "n".repeat(100_000));
        assert_eq!(scan(body.as_bytes(), 1000).unwrap().stream.len(), KEPT);
    }
}
