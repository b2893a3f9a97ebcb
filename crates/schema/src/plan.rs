//! The plan: what `.proto` files say about tables, in the form that a record is checked by.
//! Promises that a plan which was read is whole: indices lead somewhere, messages hold only earlier ones (so nothing
//! recurses), names are those of protobuf and differ.
//! Leaves making plans to `datalake schema compile`.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// What the file begins with; another format has another number.
pub const FORMAT: &str = "datalake-plan-1";

/// A plan file is smaller than this, or it is none.
pub const LARGEST_FILE: usize = 16 << 20;

/// Messages may be nested so deeply; the lake's readers give up earlier.
pub const DEEPEST: usize = 64;

/// Tables and what they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: String,
    /// By name.
    pub tables: BTreeMap<String, Table>,
    /// Those that a message holds stand before it.
    pub messages: Vec<Message>,
    /// All enums.
    pub enums: Vec<Enum>,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Table {
    /// Which message its rows are.
    pub message: usize,
    /// Digits behind the point of a second: 3, 6 or 9. Always the same number, so that texts sort as times.
    #[serde(default = "three")]
    pub timestamp_digits: u8,
}

const fn three() -> u8 {
    3
}

/// One message type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Message {
    /// Its full name.
    pub name: String,
    /// As declared.
    pub fields: Vec<Field>,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Field {
    /// As in the `.proto`; the column's name.
    pub name: String,
    /// As proto3 JSON writes it.
    pub json_name: String,
    /// On the wire.
    pub number: u32,
    /// What it holds; of a map its values.
    pub kind: Kind,
    /// How many.
    #[serde(default, skip_serializing_if = "Shape::is_one")]
    pub shape: Shape,
    /// Whether unset differs from the default, so that the default is not written.
    #[serde(default, skip_serializing_if = "is_false")]
    pub presence: bool,
    /// Which `oneof` of the message it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oneof: Option<u16>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// How many values a field holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// One, or none.
    #[default]
    One,
    /// A list.
    List,
    /// A map with keys of this kind.
    Map(Scalar),
}

impl Shape {
    const fn is_one(&self) -> bool {
        matches!(self, Self::One)
    }
}

/// What protobuf has built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names of protobuf")]
pub enum Scalar {
    Double,
    Float,
    Int32,
    Sint32,
    Sfixed32,
    Uint32,
    Fixed32,
    Int64,
    Sint64,
    Sfixed64,
    Uint64,
    Fixed64,
    Bool,
    String,
    Bytes,
}

impl Scalar {
    const fn may_be_key(self) -> bool {
        !matches!(self, Self::Double | Self::Float | Self::Bytes)
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A built-in type.
    Scalar(Scalar),
    /// `google.protobuf.StringValue` and so on: the same, or null.
    Wrapper(Scalar),
    /// Which enum.
    Enum(usize),
    /// `google.protobuf.NullValue`.
    Null,
    /// Which message.
    Message(usize),
    /// The same, as proto2 groups are on the wire.
    Group(usize),
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Duration`.
    Duration,
    /// `google.protobuf.FieldMask`.
    FieldMask,
    /// `google.protobuf.Struct`.
    Struct,
    /// `google.protobuf.ListValue`.
    ListValue,
    /// `google.protobuf.Value`.
    Value,
    /// `google.protobuf.Any`.
    Any,
}

/// One enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enum {
    /// Its full name.
    pub name: String,
    /// Names and numbers, the name that a number is written with first.
    pub values: Vec<(String, i32)>,
}

impl Enum {
    /// The name of a number.
    #[must_use]
    pub fn name_of(&self, number: i32) -> Option<&str> {
        self.values.iter().find(|(_, known)| *known == number).map(|(name, _)| name.as_str())
    }
}

/// Why a file is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlan {
    /// It is no plan at all.
    #[error("this is no plan: {reason}")]
    NotAPlan {
        /// Why not.
        reason: String,
    },
    /// It is one of another version.
    #[error("the plan has the format {found:?}, this program reads {FORMAT:?}")]
    OtherFormat {
        /// What it says.
        found: String,
    },
    /// Its parts do not fit together.
    #[error("the plan is damaged: {what}")]
    Damaged {
        /// Where.
        what: String,
    },
}

impl Plan {
    /// Reads a plan file.
    ///
    /// # Errors
    /// When it is none, or not whole.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPlan> {
        if bytes.len() > LARGEST_FILE {
            return Err(BadPlan::NotAPlan { reason: format!("it is larger than {} MiB", LARGEST_FILE >> 20) });
        }
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let not_a_plan = |error: serde_json::Error| BadPlan::NotAPlan { reason: error.to_string() };
        let head: Head = serde_json::from_slice(bytes).map_err(not_a_plan)?;
        if head.format != FORMAT {
            return Err(BadPlan::OtherFormat { found: head.format.chars().take(40).collect() });
        }
        let plan: Self = serde_json::from_slice(bytes).map_err(not_a_plan)?;
        plan.check().map_err(|what| BadPlan::Damaged { what })?;
        Ok(plan)
    }

    /// The file of the plan: the same bytes for the same plan.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a plan has texts as keys");
        bytes.push(b'\n');
        bytes
    }

    /// The message of a table's rows.
    #[must_use]
    pub fn message_of(&self, table: &Table) -> &Message {
        &self.messages[table.message]
    }

    fn check(&self) -> Result<(), String> {
        let mut depths = Vec::with_capacity(self.messages.len());
        for (index, message) in self.messages.iter().enumerate() {
            let depth = self.check_message(index, message, &depths)?;
            depths.push(depth);
        }
        for (name, table) in &self.tables {
            if table.message >= self.messages.len() {
                return Err(format!("the table `{name}` has no message"));
            }
            if !matches!(table.timestamp_digits, 3 | 6 | 9) {
                return Err(format!("the table `{name}` has {} timestamp digits", table.timestamp_digits));
            }
        }
        match self.enums.iter().find(|known| known.values.is_empty()) {
            Some(known) => Err(format!("the enum `{}` has no values", known.name)),
            None => Ok(()),
        }
    }

    /// How deep it is; `depths` are those of the messages before it.
    fn check_message(&self, index: usize, message: &Message, depths: &[usize]) -> Result<usize, String> {
        let of = |what: &str| format!("`{}` {what}", message.name);
        let (mut names, mut numbers, mut depth) = (HashSet::new(), HashSet::new(), 1);
        if message.fields.is_empty() || message.fields.len() > usize::from(u16::MAX) {
            return Err(of("has no fields, or too many"));
        }
        for field in &message.fields {
            if !is_name(&field.name) || field.json_name.is_empty() || field.json_name.chars().any(char::is_control) {
                return Err(of("has a field whose name is none"));
            }
            let differs =
                names.insert(&field.name) && (field.json_name == field.name || names.insert(&field.json_name));
            if !differs || !numbers.insert(field.number) {
                return Err(of(&format!("has the field `{}` twice", field.name)));
            }
            if let Shape::Map(key) = field.shape
                && !key.may_be_key()
            {
                return Err(of(&format!("has the map `{}` with keys that are none", field.name)));
            }
            match field.kind {
                Kind::Message(inner) | Kind::Group(inner) if inner >= index => {
                    return Err(of("holds a message that does not stand before it"));
                }
                Kind::Message(inner) | Kind::Group(inner) => depth = depth.max(depths[inner] + 1),
                Kind::Enum(inner) if inner >= self.enums.len() => return Err(of("holds an enum that is not there")),
                _ => {}
            }
        }
        if depth > DEEPEST { Err(of(&format!("is nested deeper than {DEEPEST}"))) } else { Ok(depth) }
    }
}

/// Whether it is an identifier of protobuf.
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.as_bytes()[0].is_ascii_digit()
}
