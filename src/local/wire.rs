//! Bytes in JSON: paths as text where they are text, and as hexadecimal digits beside it where they are not.
//! Promises that a path comes out as it went in, and that its text is safe to print.
//! Leaves printing to the commands.

use datalake_base::shown::shown;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Any bytes, as hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    fn text(&self) -> String {
        let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
        // On the thread of the flows, and 128 KiB in the answer to a tap.
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let (pairs, rest) = digits.as_chunks::<2>();
        let value = |digit: u8| char::from(digit).to_digit(16);
        let byte = |pair: &[u8; 2]| u8::try_from(value(pair[0])? * 16 + value(pair[1])?).ok();
        if rest.is_empty() { pairs.iter().map(byte).collect::<Option<Vec<u8>>>().map(Self) } else { None }
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a row of hexadecimal digits"))
    }
}

/// A path: text where it is UTF-8, else `{"text": …, "hex": …}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathText(pub PathBuf);

impl From<&Path> for PathText {
    fn from(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl From<PathBuf> for PathText {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Both { text: String, hex: Bytes },
}

impl Serialize for PathText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let form = match self.0.to_str() {
            Some(text) => Form::Text(text.to_owned()),
            None => Form::Both { text: shown(&self.0).to_string(), hex: Bytes(self.0.as_os_str().as_bytes().to_vec()) },
        };
        form.serialize(to)
    }
}

impl<'de> Deserialize<'de> for PathText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(match Form::deserialize(from)? {
            Form::Text(text) => text.into(),
            Form::Both { hex, .. } => OsString::from_vec(hex.0).into(),
        }))
    }
}
