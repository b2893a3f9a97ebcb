//! Values of each kind, checked and written in their canonical form.
//! Promises what protobuf's JSON takes: numbers also as texts, base64 of both alphabets, enums by name or number; and
//! nothing that another reader of the lake would take otherwise.
//! Leaves messages and names to the walk.

use super::{Fault, Refusal, Walk, Written, at};
use crate::plan::{Kind, Scalar};
use crate::time::{self, Moment};
use datalake_base::json::text::{escape_utf8, unescape};
use datalake_base::json::{self, Members};

/// The text of a string's inside, which begins at byte `start`.
pub(super) fn decode(inside: &[u8], start: usize, out: &mut Vec<u8>) -> Written<()> {
    out.clear();
    let mut at = 0;
    while let Some(place) = memchr::memchr(b'\\', &inside[at..]) {
        out.extend_from_slice(&inside[at..at + place]);
        at += place;
        let (used, character) = unescape(&inside[at..]);
        let character = character.ok_or(Fault::new(start + at, Refusal::LoneSurrogate))?;
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        at += used;
    }
    out.extend_from_slice(&inside[at..]);
    Ok(())
}

const fn name_of(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Double => "double",
        Scalar::Float => "float",
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => "int32",
        Scalar::Uint32 | Scalar::Fixed32 => "uint32",
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => "int64",
        Scalar::Uint64 | Scalar::Fixed64 => "uint64",
        Scalar::Bool => "bool",
        Scalar::String => "string",
        Scalar::Bytes => "bytes",
    }
}

/// Smallest, largest, and digits that always fit.
const fn range(scalar: Scalar) -> (i128, i128, usize) {
    match scalar {
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => (i32::MIN as i128, i32::MAX as i128, 9),
        Scalar::Uint32 | Scalar::Fixed32 => (0, u32::MAX as i128, 9),
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => (i64::MIN as i128, i64::MAX as i128, 18),
        _ => (0, u64::MAX as i128, 19),
    }
}

/// The whole number that a token such as `1.50e2` stands for.
fn whole(token: &[u8]) -> Option<Result<i128, ()>> {
    let negative = token.first() == Some(&b'-');
    let unsigned = &token[usize::from(negative)..];
    let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(place) => (&unsigned[..place], std::str::from_utf8(&unsigned[place + 1..]).ok()?),
        None => (unsigned, "0"),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let mut digits: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    if leading == digits.len() {
        return Some(Ok(0));
    }
    // An exponent that does not fit moves the point out of every range.
    let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { -1_000_000 } else { 1_000_000 });
    let end = (point as i64).saturating_add(exponent);
    while digits.len() as i64 > end.max(0) && digits.last() == Some(&b'0') {
        digits.pop();
    }
    if digits.len() as i64 > end {
        return None;
    }
    if end - leading as i64 > 25 {
        return Some(Err(()));
    }
    digits.resize(usize::try_from(end).ok()?, b'0');
    let value = digits[leading..]
        .iter()
        .try_fold(0_i128, |sum, digit| sum.checked_mul(10)?.checked_add(i128::from(digit - b'0')));
    Some(value.map(|value| if negative { -value } else { value }).ok_or(()))
}

impl Walk<'_> {
    pub(super) fn list(&mut self, kind: Kind, start: usize) -> Written<usize> {
        if self.text.get(start) != Some(&b'[') {
            return self.refuse(start, "a list");
        }
        self.out.push(b'[');
        let mut place = json::blanks(self.text, start + 1);
        if self.text.get(place) == Some(&b']') {
            self.out.push(b']');
            return Ok(place + 1);
        }
        self.depth += 1;
        loop {
            place = json::blanks(self.text, self.element(kind, place)?);
            match self.text.get(place) {
                Some(b',') => place = json::blanks(self.text, place + 1),
                Some(b']') => {
                    self.depth -= 1;
                    self.out.push(b']');
                    return Ok(place + 1);
                }
                _ => return Err(Fault::new(place, Refusal::Json(json::Fault::Syntax { at: place }))),
            }
            self.out.push(b',');
        }
    }

    fn element(&mut self, kind: Kind, start: usize) -> Written<usize> {
        if self.text.get(start) == Some(&b'n') && !matches!(kind, Kind::Value | Kind::Null) {
            let end = json::word(self.text, start, b"null").map_err(at(start))?;
            // What NaN has become in a line that is canonical already.
            if matches!(kind, Kind::Scalar(Scalar::Double | Scalar::Float)) {
                self.out.extend_from_slice(b"null");
                return Ok(end);
            }
            return Err(Fault::new(start, Refusal::NullInside));
        }
        self.single(kind, start)
    }

    pub(super) fn map(&mut self, key: Scalar, kind: Kind, start: usize) -> Written<usize> {
        if self.text.get(start) != Some(&b'{') {
            return self.refuse(start, "an object");
        }
        let base = self.state.keys.len();
        self.out.push(b'{');
        let mut members = Members::new(start);
        self.depth += 1;
        let end = loop {
            let member = match members.next(self.text).map_err(at(start))? {
                Ok(member) => member,
                Err(end) => break end,
            };
            if self.state.keys.len() > base {
                self.out.push(b',');
            }
            let from = self.out.len();
            self.key(key, member.start, member.name_end)?;
            let span = self.span(from, member.start)?;
            self.state.keys.push(span);
            self.out.push(b':');
            members.ended(self.element(kind, member.value)?);
        };
        self.depth -= 1;
        self.out.push(b'}');
        let keys = &mut self.state.keys[base..];
        if keys.len() > 1 {
            let text = &*self.out;
            keys.sort_unstable_by(|left, right| text[left.range()].cmp(&text[right.range()]));
            if keys.windows(2).any(|pair| text[pair[0].range()] == text[pair[1].range()]) {
                return Err(Fault::new(start, Refusal::Twice));
            }
        }
        self.state.keys.truncate(base);
        Ok(end)
    }

    /// A key, as a text whatever its kind.
    fn key(&mut self, key: Scalar, start: usize, end: usize) -> Written<()> {
        match key {
            Scalar::String => {
                self.string(start)?;
            }
            Scalar::Bool => match &self.text[start..end] {
                word @ (b"\"true\"" | b"\"false\"") => self.out.extend_from_slice(word),
                _ => return self.refuse(start, "\"true\" or \"false\"").map(|_| ()),
            },
            _ => {
                self.out.push(b'"');
                self.integer(key, start)?;
                self.out.push(b'"');
            }
        }
        Ok(())
    }

    pub(super) fn refuse(&self, start: usize, wanted: &'static str) -> Written<usize> {
        // What is no JSON at all is called so.
        json::value(self.text, start, self.depth).map_err(at(start))?;
        Err(Fault::new(start, Refusal::NotA { wanted }))
    }

    /// One value that is not null, but for the kinds that have one: where it ends.
    pub(super) fn single(&mut self, kind: Kind, start: usize) -> Written<usize> {
        match kind {
            Kind::Scalar(scalar) | Kind::Wrapper(scalar) => match scalar {
                Scalar::String => self.string(start),
                Scalar::Bool => self.boolean(start),
                Scalar::Double | Scalar::Float => self.float(scalar, start),
                Scalar::Bytes => self.bytes(start),
                _ => self.integer(scalar, start),
            },
            Kind::Enum(which) => self.enumeration(which, start),
            Kind::Message(inner) | Kind::Group(inner) => match self.text.get(start) {
                Some(b'{') => self.message(inner, start),
                _ => self.refuse(start, "an object"),
            },
            Kind::Timestamp => self.timestamp(start),
            Kind::Duration => self.duration(start),
            Kind::FieldMask => self.string(start),
            Kind::Null => match self.text.get(start) {
                Some(b'n') => {
                    let end = json::word(self.text, start, b"null").map_err(at(start))?;
                    self.out.extend_from_slice(b"null");
                    Ok(end)
                }
                _ => self.refuse(start, "null"),
            },
            Kind::Struct | Kind::Any => self.json_text(start, Some(b'{')),
            Kind::ListValue => self.json_text(start, Some(b'[')),
            Kind::Value => self.json_text(start, None),
        }
    }

    /// The inside of a string, decoded where it holds escapes, and where the string ends.
    fn text_at(&mut self, start: usize, wanted: &'static str) -> Written<(usize, bool)> {
        if self.text.get(start) != Some(&b'"') {
            return self.refuse(start, wanted).map(|end| (end, false));
        }
        let end = json::string(self.text, start + 1).map_err(at(start))?;
        let inside = &self.text[start + 1..end - 1];
        let escaped = memchr::memchr(b'\\', inside).is_some();
        if escaped {
            decode(inside, start + 1, &mut self.state.decoded)?;
        }
        Ok((end, escaped))
    }

    fn string(&mut self, start: usize) -> Written<usize> {
        let (end, escaped) = self.text_at(start, "a text")?;
        if escaped {
            self.out.push(b'"');
            escape_utf8(self.out, &self.state.decoded);
            self.out.push(b'"');
        } else {
            self.out.extend_from_slice(&self.text[start..end]);
        }
        Ok(end)
    }

    fn boolean(&mut self, start: usize) -> Written<usize> {
        let word: &[u8] = match self.text.get(start) {
            Some(b't') => b"true",
            Some(b'f') => b"false",
            _ => return self.refuse(start, "true or false"),
        };
        let end = json::word(self.text, start, word).map_err(at(start))?;
        self.out.extend_from_slice(word);
        Ok(end)
    }

    /// The token of a number, which may stand in quotes: from where to where, and where the value ends. Nothing where it
    /// is a text and no number.
    fn number_token(&mut self, start: usize, wanted: &'static str) -> Written<Option<(usize, usize, usize)>> {
        match self.text.get(start) {
            Some(b'-' | b'0'..=b'9') => {
                let end = json::number(self.text, start).map_err(at(start))?;
                Ok(Some((start, end, end)))
            }
            Some(b'"') => {
                let end = json::string(self.text, start + 1).map_err(at(start))?;
                let inner = json::number(self.text, start + 1).ok().filter(|inner| inner + 1 == end);
                Ok(inner.map(|inner| (start + 1, inner, end)))
            }
            _ => self.refuse(start, wanted).map(|_| None),
        }
    }

    fn integer(&mut self, scalar: Scalar, start: usize) -> Written<usize> {
        let name = name_of(scalar);
        let Some((from, to, end)) = self.number_token(start, "a whole number")? else {
            return Err(Fault::new(start, Refusal::NotA { wanted: "a whole number" }));
        };
        let token = &self.text[from..to];
        let (least, most, sure) = range(scalar);
        let negative = token[0] == b'-';
        let plain = token[usize::from(negative)..].iter().all(u8::is_ascii_digit);
        if plain && token.len() - usize::from(negative) <= sure && !negative {
            self.out.extend_from_slice(token);
            return Ok(end);
        }
        let out_of_range = Fault::new(start, Refusal::OutOfRange { kind: name });
        let value = match whole(token) {
            Some(Ok(value)) if (least..=most).contains(&value) => value,
            Some(_) => return Err(out_of_range),
            None => return Err(Fault::new(start, Refusal::NotWhole)),
        };
        std::io::Write::write_fmt(self.out, format_args!("{value}")).expect("a vector takes what is written");
        Ok(end)
    }

    fn float(&mut self, scalar: Scalar, start: usize) -> Written<usize> {
        let Some((from, to, end)) = self.number_token(start, "a number")? else {
            let (end, _) = self.text_at(start, "a number")?;
            if !matches!(&self.text[start + 1..end - 1], b"NaN" | b"Infinity" | b"-Infinity") {
                return Err(Fault::new(start, Refusal::NotA { wanted: "a number" }));
            }
            self.state.notes.not_numbers += 1;
            self.out.extend_from_slice(b"null");
            return Ok(end);
        };
        let token = &self.text[from..to];
        if token.len() > 20 || token.iter().any(|byte| matches!(byte, b'e' | b'E')) {
            let value = std::str::from_utf8(token).ok().and_then(|token| token.parse::<f64>().ok());
            let fits = value.is_some_and(|value| match scalar {
                Scalar::Float => (value as f32).is_finite(),
                _ => value.is_finite(),
            });
            if !fits {
                return Err(Fault::new(start, Refusal::OutOfRange { kind: name_of(scalar) }));
            }
        }
        self.out.extend_from_slice(token);
        Ok(end)
    }

    fn bytes(&mut self, start: usize) -> Written<usize> {
        let (end, escaped) = self.text_at(start, "base64")?;
        let inside = if escaped { self.state.decoded.as_slice() } else { &self.text[start + 1..end - 1] };
        let refused = Fault::new(start, Refusal::NotA { wanted: "base64" });
        if !escaped && inside.len().is_multiple_of(4) && base64_simd::STANDARD.check(inside).is_ok() {
            self.out.extend_from_slice(&self.text[start..end]);
            return Ok(end);
        }
        let unpadded = inside.len() - inside.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
        if unpadded < inside.len() && !inside.len().is_multiple_of(4) {
            return Err(refused);
        }
        let translated = inside[..unpadded].iter().map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        });
        let mut standard: Vec<u8> = translated.collect();
        // Bits that stand for nothing are cleared, as every reader drops them.
        let spare = match standard.len() % 4 {
            1 => return Err(refused),
            2 => 0b1111,
            3 => 0b11,
            _ => 0,
        };
        if let Some(last) = standard.last_mut().filter(|_| spare > 0) {
            const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let place = ALPHABET.iter().position(|known| known == last).ok_or(refused)?;
            *last = ALPHABET[place & !spare];
        }
        let decoded = base64_simd::STANDARD_NO_PAD.decode_to_vec(&standard).map_err(|_| refused)?;
        self.out.push(b'"');
        self.out.extend_from_slice(base64_simd::STANDARD.encode_to_string(&decoded).as_bytes());
        self.out.push(b'"');
        Ok(end)
    }

    fn enumeration(&mut self, which: usize, start: usize) -> Written<usize> {
        let known = &self.types.plan.enums[which];
        if self.text.get(start) == Some(&b'"') {
            let (end, escaped) = self.text_at(start, "the name of a value")?;
            let inside = if escaped { self.state.decoded.as_slice() } else { &self.text[start + 1..end - 1] };
            if let Some((name, number)) = known.values.iter().find(|(name, _)| name.as_bytes() == inside) {
                // Of several names of one number the first is written.
                let name = known.name_of(*number).unwrap_or(name);
                self.out.push(b'"');
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'"');
                return Ok(end);
            }
        }
        let written = self.out.len();
        let no_value = |fault: Fault| match fault.why {
            Refusal::NotA { .. } => Fault::new(fault.at, Refusal::NoSuchValue),
            _ => fault,
        };
        let end = self.integer(Scalar::Int32, start).map_err(no_value)?;
        let number = std::str::from_utf8(&self.out[written..]).ok().and_then(|number| number.parse().ok());
        let name = number.and_then(|number| known.name_of(number));
        if let Some(name) = name {
            self.out.truncate(written);
            self.out.push(b'"');
            self.out.extend_from_slice(name.as_bytes());
        } else {
            self.out.insert(written, b'"');
        }
        self.out.push(b'"');
        Ok(end)
    }

    fn timestamp(&mut self, start: usize) -> Written<usize> {
        let wanted = "a time such as \"2026-03-09T07:05:04.123Z\"";
        let (end, escaped) = self.text_at(start, wanted)?;
        let inside = if escaped { self.state.decoded.as_slice() } else { &self.text[start + 1..end - 1] };
        let Some(moment) = Moment::parse(inside) else {
            return Err(Fault::new(start, Refusal::NotA { wanted }));
        };
        let digits = self.types.digits;
        let is_canonical =
            !escaped && inside.len() == 21 + usize::from(digits) && inside.ends_with(b"Z") && inside[10] == b'T';
        if is_canonical {
            self.out.extend_from_slice(&self.text[start..end]);
            return Ok(end);
        }
        self.out.push(b'"');
        moment.write(digits, self.out);
        self.out.push(b'"');
        Ok(end)
    }

    fn duration(&mut self, start: usize) -> Written<usize> {
        let wanted = "a duration such as \"3.5s\"";
        let (end, escaped) = self.text_at(start, wanted)?;
        let inside = if escaped { self.state.decoded.as_slice() } else { &self.text[start + 1..end - 1] };
        self.out.push(b'"');
        let done = time::parse_duration(inside).and_then(|(whole, nanos)| time::write_duration(whole, nanos, self.out));
        done.ok_or(Fault::new(start, Refusal::NotA { wanted }))?;
        self.out.push(b'"');
        Ok(end)
    }

    /// Any JSON as a text that holds it; only what begins with `first`, where that is given, or a text that holds such
    /// already.
    fn json_text(&mut self, start: usize, first: Option<u8>) -> Written<usize> {
        let found = self.text.get(start).copied();
        if let Some(first) = first
            && found == Some(b'"')
        {
            let (end, escaped) = self.text_at(start, "JSON")?;
            let inside = if escaped { self.state.decoded.as_slice() } else { &self.text[start + 1..end - 1] };
            let holds = json::document(inside).is_ok_and(|(begin, _)| inside[begin] == first);
            if !holds {
                return Err(Fault::new(start, Refusal::NotA { wanted: "an object or list, or a text that holds one" }));
            }
            let inside = inside.to_vec();
            quote_compact(&inside, self.out);
            return Ok(end);
        }
        if first.is_some() && found != first {
            return self.refuse(start, if first == Some(b'{') { "an object" } else { "a list" });
        }
        let end = json::value(self.text, start, self.depth).map_err(at(start))?;
        quote_compact(&self.text[start..end], self.out);
        Ok(end)
    }
}

/// Valid JSON without blanks between its parts, as the text of a JSON string.
fn quote_compact(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut inside = false;
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        match byte {
            b'"' => {
                inside = !inside;
                out.extend_from_slice(b"\\\"");
            }
            b'\\' => {
                out.extend_from_slice(b"\\\\");
                // The escaped byte never ends the string.
                at += 1;
                match value.get(at) {
                    Some(b'"') => out.extend_from_slice(b"\\\""),
                    Some(b'\\') => out.extend_from_slice(b"\\\\"),
                    Some(other) => out.push(*other),
                    None => {}
                }
            }
            b' ' | b'\t' | b'\n' | b'\r' if !inside => {}
            other => out.push(*other),
        }
        at += 1;
    }
    out.push(b'"');
}
