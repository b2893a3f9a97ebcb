//! Binary protobuf messages as proto3 JSON, by the plan.
//! Promises one line of valid JSON for any message of the type, with proto field names, without defaults, 64-bit
//! integers unquoted; for any other bytes a refusal, never a panic. Fields that the plan does not have are stepped over.
//! Leaves making the line canonical to the step that does so for every record.

use crate::plan::{Field, Kind, Message, Plan, Scalar, Shape};
use crate::time::{self, Moment};
use datalake_base::json::text::escape_utf8;
use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

/// Values of `google.protobuf.Value` may be nested so deeply.
const DEEPEST: usize = 100;
const INFALLIBLE: &str = "a vector takes what is written";

/// Why bytes are no message of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts are the documentation")]
pub enum NotAMessage {
    #[error("the bytes break off or are no protobuf")]
    Broken,
    #[error("a text is not UTF-8")]
    NotText,
    #[error("a time or duration is out of range")]
    OutOfRange,
    #[error("values are nested deeper than {DEEPEST} levels")]
    TooDeep,
}

use NotAMessage::{Broken, NotText, OutOfRange, TooDeep};

type Read<T> = Result<T, NotAMessage>;

/// Makes JSON of the binary rows of one table.
#[derive(Clone, Debug)]
pub struct Decoder {
    plan: Arc<Plan>,
    root: usize,
}

/// What is on the wire behind a tag.
#[derive(Clone, Copy, Debug)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    Group(&'a [u8]),
}

/// Reads tags and what is behind them.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Read<u64> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Broken)?;
            self.rest = rest;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Broken)
    }

    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Broken)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Broken)
    }

    /// The next field: its number and value; nothing at the end.
    fn next(&mut self) -> Read<Option<(u32, Wire<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number)).ok_or(Broken)?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Broken)?;
                Wire::Bytes(self.take(length)?)
            }
            3 => Wire::Group(self.group(number)?),
            5 => Wire::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(Broken),
        };
        Ok(Some((number, wire)))
    }

    /// The inside of a group, behind whose end reading goes on. Groups inside it are stepped over without recursion.
    fn group(&mut self, number: u32) -> Read<&'a [u8]> {
        let start = self.rest;
        let mut open = vec![number];
        loop {
            let before = start.len() - self.rest.len();
            let tag = self.varint()?;
            let number = u32::try_from(tag >> 3).map_err(|_| Broken)?;
            match tag & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => {
                    let length = usize::try_from(self.varint()?).map_err(|_| Broken)?;
                    self.take(length)?;
                }
                3 if open.len() < DEEPEST => open.push(number),
                4 if open.pop() == Some(number) => {
                    if open.is_empty() {
                        return Ok(&start[..before]);
                    }
                }
                5 => drop(self.take(4)?),
                _ => return Err(Broken),
            }
        }
    }
}

impl Decoder {
    /// For a table of a plan; `None` when the plan has none of this name.
    #[must_use]
    pub fn new(plan: Arc<Plan>, table: &str) -> Option<Self> {
        let root = plan.tables.get(table)?.message;
        Some(Self { plan, root })
    }

    /// Appends the message as one JSON object, without a newline. On a refusal nothing is appended.
    ///
    /// # Errors
    /// When the bytes are no message of the table.
    pub fn decode(&self, message: &[u8], out: &mut Vec<u8>) -> Read<()> {
        let start = out.len();
        let done = self.message(&self.plan.messages[self.root], message, out);
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    fn message(&self, message: &Message, bytes: &[u8], out: &mut Vec<u8>) -> Read<()> {
        // Which field each value on the wire belongs to; of a `oneof` only the last one counts.
        let (mut found, mut reader): (Vec<(usize, Wire<'_>)>, _) = (Vec::new(), Reader { rest: bytes });
        while let Some((number, wire)) = reader.next()? {
            let Some(index) = message.fields.iter().position(|field| field.number == number) else { continue };
            if let Some(group) = message.fields[index].oneof {
                found.retain(|(other, _)| *other == index || message.fields[*other].oneof != Some(group));
            }
            found.push((index, wire));
        }
        found.sort_by_key(|(index, _)| *index);
        out.push(b'{');
        let mut first = true;
        for values in found.chunk_by(|left, right| left.0 == right.0) {
            let field = &message.fields[values[0].0];
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            write!(out, "\"{}\":", field.name).expect(INFALLIBLE);
            self.field(field, values, out)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn field(&self, field: &Field, values: &[(usize, Wire<'_>)], out: &mut Vec<u8>) -> Read<()> {
        match field.shape {
            Shape::One => {
                let last = values.last().ok_or(Broken)?.1;
                // The parts of a message that came in several are read as if they were one.
                let is_message = !matches!(field.kind, Kind::Scalar(_) | Kind::Enum(_) | Kind::Null);
                if !is_message || values.len() == 1 {
                    return self.single(field.kind, last, out, 0);
                }
                let mut joined = Vec::new();
                for (_, wire) in values {
                    match wire {
                        Wire::Bytes(part) | Wire::Group(part) => joined.extend_from_slice(part),
                        _ => return Err(Broken),
                    }
                }
                let whole = if matches!(last, Wire::Group(_)) { Wire::Group(&joined) } else { Wire::Bytes(&joined) };
                self.single(field.kind, whole, out, 0)
            }
            Shape::List => {
                out.push(b'[');
                for (_, wire) in values {
                    match (field.kind, wire) {
                        (Kind::Scalar(scalar), Wire::Bytes(packed)) if is_packable(scalar) => {
                            self.packed(field.kind, scalar, packed, out)?;
                        }
                        (Kind::Enum(_) | Kind::Null, Wire::Bytes(packed)) => {
                            self.packed(field.kind, Scalar::Int32, packed, out)?;
                        }
                        (kind, wire) => {
                            self.single(kind, *wire, out, 0)?;
                            out.push(b',');
                        }
                    }
                }
                close(out, b',', b']');
                Ok(())
            }
            Shape::Map(key) => self.map(key, field.kind, values, out),
        }
    }

    fn packed(&self, kind: Kind, scalar: Scalar, packed: &[u8], out: &mut Vec<u8>) -> Read<()> {
        let mut reader = Reader { rest: packed };
        while !reader.rest.is_empty() {
            let wire = match scalar {
                Scalar::Double | Scalar::Fixed64 | Scalar::Sfixed64 => {
                    Wire::Fixed64(u64::from_le_bytes(reader.fixed()?))
                }
                Scalar::Float | Scalar::Fixed32 | Scalar::Sfixed32 => {
                    Wire::Fixed32(u32::from_le_bytes(reader.fixed()?))
                }
                _ => Wire::Varint(reader.varint()?),
            };
            self.single(kind, wire, out, 0)?;
            out.push(b',');
        }
        Ok(())
    }

    /// Of equal keys the last counts.
    fn map(&self, key: Scalar, kind: Kind, values: &[(usize, Wire<'_>)], out: &mut Vec<u8>) -> Read<()> {
        let mut entries = Vec::with_capacity(values.len());
        for (_, wire) in values {
            let Wire::Bytes(entry) = wire else { return Err(Broken) };
            let (mut reader, mut name, mut value) = (Reader { rest: entry }, None, None);
            while let Some((number, wire)) = reader.next()? {
                match number {
                    1 => name = Some(wire),
                    2 => value = Some(wire),
                    _ => {}
                }
            }
            let mut text = Vec::new();
            match name {
                Some(wire) => scalar(key, wire, &mut text)?,
                None => text.extend_from_slice(match key {
                    Scalar::String => b"\"\"",
                    Scalar::Bool => b"false",
                    _ => b"0",
                }),
            }
            if text.first() != Some(&b'"') {
                text.insert(0, b'"');
                text.push(b'"');
            }
            entries.push((text, value));
        }
        let mut seen = HashSet::new();
        let mut last: Vec<_> = entries.iter().rev().filter(|(name, _)| seen.insert(name)).collect();
        last.reverse();
        out.push(b'{');
        for (name, value) in last {
            out.extend_from_slice(name);
            out.push(b':');
            match (value, kind) {
                (Some(wire), kind) => self.single(kind, *wire, out, 0)?,
                (None, Kind::Scalar(Scalar::String | Scalar::Bytes)) => out.extend_from_slice(b"\"\""),
                (None, Kind::Scalar(Scalar::Bool)) => out.extend_from_slice(b"false"),
                (None, Kind::Scalar(_) | Kind::Enum(_)) => {
                    self.single(kind, Wire::Varint(0), out, 0).or_else(|_| {
                        out.push(b'0');
                        Ok(())
                    })?
                }
                (None, Kind::Null) => out.extend_from_slice(b"null"),
                (None, kind) => self.single(kind, Wire::Bytes(b""), out, 0)?,
            }
            out.push(b',');
        }
        close(out, b',', b'}');
        Ok(())
    }

    fn single(&self, kind: Kind, wire: Wire<'_>, out: &mut Vec<u8>, depth: usize) -> Read<()> {
        match (kind, wire) {
            (Kind::Scalar(kind), wire) => scalar(kind, wire, out),
            (Kind::Enum(which), Wire::Varint(value)) => {
                let number = value as i32;
                match self.plan.enums[which].name_of(number) {
                    Some(name) => write!(out, "\"{name}\"").expect(INFALLIBLE),
                    None => write!(out, "{number}").expect(INFALLIBLE),
                }
                Ok(())
            }
            (Kind::Null, Wire::Varint(_)) => {
                out.extend_from_slice(b"null");
                Ok(())
            }
            (Kind::Group(inner), Wire::Group(bytes)) | (Kind::Message(inner), Wire::Bytes(bytes)) => {
                self.message(&self.plan.messages[inner], bytes, out)
            }
            (Kind::Wrapper(kind), Wire::Bytes(bytes)) => {
                let mut value = None;
                let mut reader = Reader { rest: bytes };
                while let Some((number, wire)) = reader.next()? {
                    value = (number == 1).then_some(wire).or(value);
                }
                match (value, kind) {
                    (Some(wire), kind) => scalar(kind, wire, out)?,
                    (None, Scalar::String | Scalar::Bytes) => out.extend_from_slice(b"\"\""),
                    (None, Scalar::Bool) => out.extend_from_slice(b"false"),
                    (None, _) => out.push(b'0'),
                }
                Ok(())
            }
            (Kind::Timestamp, Wire::Bytes(bytes)) => {
                let (seconds, nanos) = seconds_and_nanos(bytes)?;
                out.push(b'"');
                Moment::new(seconds, nanos).ok_or(OutOfRange)?.write_short(out);
                out.push(b'"');
                Ok(())
            }
            (Kind::Duration, Wire::Bytes(bytes)) => {
                let (seconds, nanos) = seconds_and_nanos(bytes)?;
                out.push(b'"');
                time::write_duration(seconds, nanos, out).ok_or(OutOfRange)?;
                out.push(b'"');
                Ok(())
            }
            (Kind::FieldMask, Wire::Bytes(bytes)) => field_mask(bytes, out),
            (Kind::Struct, Wire::Bytes(bytes)) => self.structure(bytes, out, depth),
            (Kind::ListValue, Wire::Bytes(bytes)) => self.values(bytes, out, depth),
            (Kind::Value, Wire::Bytes(bytes)) => self.value(bytes, out, depth),
            (Kind::Any, Wire::Bytes(bytes)) => any(bytes, out),
            _ => Err(Broken),
        }
    }

    fn structure(&self, bytes: &[u8], out: &mut Vec<u8>, depth: usize) -> Read<()> {
        let (mut found, mut reader) = (Vec::new(), Reader { rest: bytes });
        while let Some((number, wire)) = reader.next()? {
            if number == 1 {
                found.push((0, wire));
            }
        }
        // A value is a message like any other, so a struct is a map of them.
        if depth > DEEPEST {
            return Err(TooDeep);
        }
        let mut inner = Vec::new();
        let mut names = HashSet::new();
        let mut entries = Vec::new();
        for (_, wire) in &found {
            let Wire::Bytes(entry) = wire else { return Err(Broken) };
            let (mut reader, mut name, mut value) = (Reader { rest: entry }, None, None);
            while let Some((number, wire)) = reader.next()? {
                match number {
                    1 => name = Some(wire),
                    2 => value = Some(wire),
                    _ => {}
                }
            }
            let mut text = Vec::new();
            scalar(Scalar::String, name.unwrap_or(Wire::Bytes(b"")), &mut text)?;
            entries.push((text, value.unwrap_or(Wire::Bytes(b""))));
        }
        for (name, value) in entries.iter().rev() {
            if names.insert(name) {
                inner.push((name, value));
            }
        }
        out.push(b'{');
        for (name, value) in inner.into_iter().rev() {
            out.extend_from_slice(name);
            out.push(b':');
            let Wire::Bytes(value) = value else { return Err(Broken) };
            self.value(value, out, depth + 1)?;
            out.push(b',');
        }
        close(out, b',', b'}');
        Ok(())
    }

    fn values(&self, bytes: &[u8], out: &mut Vec<u8>, depth: usize) -> Read<()> {
        out.push(b'[');
        let mut reader = Reader { rest: bytes };
        while let Some((number, wire)) = reader.next()? {
            if let (1, Wire::Bytes(value)) = (number, wire) {
                self.value(value, out, depth + 1)?;
                out.push(b',');
            }
        }
        close(out, b',', b']');
        Ok(())
    }

    fn value(&self, bytes: &[u8], out: &mut Vec<u8>, depth: usize) -> Read<()> {
        if depth > DEEPEST {
            return Err(TooDeep);
        }
        let (mut last, mut reader) = (None, Reader { rest: bytes });
        while let Some((number, wire)) = reader.next()? {
            if (1..=6).contains(&number) {
                last = Some((number, wire));
            }
        }
        match last {
            None | Some((1, _)) => out.extend_from_slice(b"null"),
            Some((2, wire)) => scalar(Scalar::Double, wire, out)?,
            Some((3, wire)) => scalar(Scalar::String, wire, out)?,
            Some((4, wire)) => scalar(Scalar::Bool, wire, out)?,
            Some((5, Wire::Bytes(inner))) => self.structure(inner, out, depth + 1)?,
            Some((6, Wire::Bytes(inner))) => self.values(inner, out, depth + 1)?,
            Some(_) => return Err(Broken),
        }
        Ok(())
    }
}

/// Ends a list: takes back the separator behind its last member, if there is one.
fn close(out: &mut Vec<u8>, separator: u8, bracket: u8) {
    if out.last() == Some(&separator) {
        out.pop();
    }
    out.push(bracket);
}

const fn is_packable(scalar: Scalar) -> bool {
    !matches!(scalar, Scalar::String | Scalar::Bytes)
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn scalar(kind: Scalar, wire: Wire<'_>, out: &mut Vec<u8>) -> Read<()> {
    let mut integer = |value: i128| write!(out, "{value}").expect(INFALLIBLE);
    match (kind, wire) {
        (Scalar::Int32, Wire::Varint(value)) => integer(i128::from(value as i32)),
        (Scalar::Sint32, Wire::Varint(value)) => integer(i128::from(unzigzag(u64::from(value as u32)) as i32)),
        (Scalar::Sfixed32, Wire::Fixed32(value)) => integer(i128::from(value as i32)),
        (Scalar::Uint32, Wire::Varint(value)) => integer(i128::from(value as u32)),
        (Scalar::Fixed32, Wire::Fixed32(value)) => integer(i128::from(value)),
        (Scalar::Int64, Wire::Varint(value)) => integer(i128::from(value as i64)),
        (Scalar::Sint64, Wire::Varint(value)) => integer(i128::from(unzigzag(value))),
        (Scalar::Sfixed64, Wire::Fixed64(value)) => integer(i128::from(value as i64)),
        (Scalar::Uint64, Wire::Varint(value)) | (Scalar::Fixed64, Wire::Fixed64(value)) => integer(i128::from(value)),
        (Scalar::Bool, Wire::Varint(value)) => out.extend_from_slice(if value == 0 { b"false" } else { b"true" }),
        (Scalar::Double, Wire::Fixed64(bits)) => {
            let value = f64::from_bits(bits);
            if !not_a_number(value, out) {
                // Rust's shortest form; an exponent where it would be long.
                match value.abs() {
                    0.0 | 1e-5..1e17 => write!(out, "{value}").expect(INFALLIBLE),
                    _ => write!(out, "{value:e}").expect(INFALLIBLE),
                }
            }
        }
        (Scalar::Float, Wire::Fixed32(bits)) => {
            let value = f32::from_bits(bits);
            if !not_a_number(f64::from(value), out) {
                match value.abs() {
                    0.0 | 1e-5..1e9 => write!(out, "{value}").expect(INFALLIBLE),
                    _ => write!(out, "{value:e}").expect(INFALLIBLE),
                }
            }
        }
        (Scalar::String, Wire::Bytes(bytes)) => {
            std::str::from_utf8(bytes).map_err(|_| NotText)?;
            out.push(b'"');
            escape_utf8(out, bytes);
            out.push(b'"');
        }
        (Scalar::Bytes, Wire::Bytes(bytes)) => {
            out.push(b'"');
            out.extend_from_slice(base64_simd::STANDARD.encode_to_string(bytes).as_bytes());
            out.push(b'"');
        }
        _ => return Err(Broken),
    }
    Ok(())
}

/// Writes what is no number of JSON, as protobuf does.
fn not_a_number(value: f64, out: &mut Vec<u8>) -> bool {
    let text: &[u8] = match value {
        _ if value.is_nan() => b"\"NaN\"",
        f64::INFINITY => b"\"Infinity\"",
        f64::NEG_INFINITY => b"\"-Infinity\"",
        _ => return false,
    };
    out.extend_from_slice(text);
    true
}

fn seconds_and_nanos(bytes: &[u8]) -> Read<(i64, i32)> {
    let (mut seconds, mut nanos, mut reader) = (0, 0, Reader { rest: bytes });
    while let Some((number, wire)) = reader.next()? {
        match (number, wire) {
            (1, Wire::Varint(value)) => seconds = value as i64,
            (2, Wire::Varint(value)) => nanos = value as i32,
            (1 | 2, _) => return Err(Broken),
            _ => {}
        }
    }
    Ok((seconds, nanos))
}

/// Paths in camel case, joined by commas.
fn field_mask(bytes: &[u8], out: &mut Vec<u8>) -> Read<()> {
    let (mut text, mut reader) = (String::new(), Reader { rest: bytes });
    while let Some((number, wire)) = reader.next()? {
        let (1, Wire::Bytes(path)) = (number, wire) else { continue };
        if !text.is_empty() {
            text.push(',');
        }
        let mut upper = false;
        for character in std::str::from_utf8(path).map_err(|_| NotText)?.chars() {
            match character {
                '_' => upper = true,
                _ if std::mem::take(&mut upper) => text.push(character.to_ascii_uppercase()),
                _ => text.push(character),
            }
        }
    }
    out.push(b'"');
    escape_utf8(out, text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// What an Any holds is of a type that the plan does not have: its bytes stand as base64.
fn any(bytes: &[u8], out: &mut Vec<u8>) -> Read<()> {
    let (mut url, mut value, mut reader): (&[u8], &[u8], _) = (b"", b"", Reader { rest: bytes });
    while let Some((number, wire)) = reader.next()? {
        match (number, wire) {
            (1, Wire::Bytes(text)) => url = text,
            (2, Wire::Bytes(inner)) => value = inner,
            _ => {}
        }
    }
    std::str::from_utf8(url).map_err(|_| NotText)?;
    out.extend_from_slice(b"{\"@type\":\"");
    escape_utf8(out, url);
    write!(out, "\",\"value\":\"{}\"}}", base64_simd::STANDARD.encode_to_string(value)).expect(INFALLIBLE);
    Ok(())
}

#[cfg(test)]
mod tests;
