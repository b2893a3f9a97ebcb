//! `.proto` files compiled into a plan.
//! Promises that each fault of each file is reported where it stands, those that only a lake has included: recursion, empty
//! messages, names that readers cannot distinguish.
//! Leaves the grammar of protobuf to protox.

use super::{Schema, columns};
use crate::Exit;
use crate::config::{Lake, PARTITION, Table};
use datalake_report::report::{At, Kind as FaultKind, Place, Report};
use datalake_schema::plan::{Enum, FORMAT, Field, Kind, Message, Plan, Scalar, Shape, Table as PlanTable};
use miette::Diagnostic;
use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind as ProtoKind, MessageDescriptor,
};
use protox::Compiler;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Maximum number of files that are read.
const MOST_FILES: usize = 10_000;
/// A file is read whole.
const LARGEST_FILE: u64 = 16 << 20;
/// The longest type of a column, and the longest name, that Glue takes.
const LONGEST_TYPE: usize = 131_072;
const LONGEST_NAME: usize = 255;
/// The types of all columns of a table; Glue takes tables of about 1 MB, compressed.
const LONGEST_TABLE: usize = 4 << 20;
/// Messages in messages: as deep as protobuf's own readers of JSON go, and no reader of tables has trouble with.
const DEEPEST: usize = 64;

/// Compiles the schema of a lake.
///
/// # Errors
/// A report of everything that is wrong with any file.
pub fn compile(lake: &Lake) -> Result<Schema, Exit> {
    let mut report = lake.report.clone();
    let mut sources = Sources::default();
    let pool = pool(lake, &mut sources, &mut report);
    let schema = pool.map(|pool| {
        let mut making = Making::new(&sources, &mut report);
        making.tables(lake, &pool);
        making.finish()
    });
    report.sort();
    match schema {
        Some(schema) if report.errors() == 0 => Ok(schema),
        _ => Err(Exit::Faults(report)),
    }
}

/// The files that were read: by protobuf's name of each, its number in the report and its text.
#[derive(Default)]
struct Sources(HashMap<String, (usize, Arc<str>)>);

impl Sources {
    fn add(&mut self, name: &str, path: &Path, report: &mut Report) -> usize {
        if let Some((file, _)) = self.0.get(name) {
            return *file;
        }
        let bytes = std::fs::read(path).unwrap_or_default();
        let text: Arc<str> = String::from_utf8_lossy(&bytes).into();
        let file = report.add_source(&path.display().to_string(), text.clone());
        self.0.insert(name.to_owned(), (file, text));
        file
    }

    /// A place in a file, from bytes.
    fn bytes(&self, name: &str, start: usize, length: usize) -> Option<Place> {
        let (file, text) = self.0.get(name)?;
        let border = |mut at: usize| {
            at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = border(start);
        Some(Place { file: *file, start, end: border(start + length).max(start) })
    }

    /// The same from a span of `SourceCodeInfo`: line, column, (end line,) end column, from 0.
    fn span(&self, name: &str, span: &[i32]) -> Option<Place> {
        let (_, text) = self.0.get(name)?;
        let part = |place: usize| span.get(place).and_then(|part| usize::try_from(*part).ok());
        let (line, column) = (part(0)?, part(1)?);
        let start = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>() + column;
        let length = if span.len() == 3 { part(2)?.saturating_sub(column) } else { 1 };
        self.bytes(name, start, length)
    }
}

/// All `.proto` files, compiled; `None` and faults where one cannot be.
fn pool(lake: &Lake, sources: &mut Sources, report: &mut Report) -> Option<DescriptorPool> {
    let (mut files, mut includes) = (Vec::new(), Vec::new());
    for (path, at) in &lake.protos {
        let before = files.len();
        if path.is_dir() {
            includes.push(path.clone());
            list(path, &mut files);
        } else if path.is_file() {
            includes.push(path.parent().unwrap_or(Path::new(".")).to_owned());
            files.push(path.clone());
        } else {
            let message = format!("there is no file or folder {}", path.display());
            report.add(FaultKind::Unreadable, at, message, "paths are relative to lake.json");
            continue;
        }
        if files.len() == before {
            let message = format!("there is no .proto file in {}", path.display());
            report.add(FaultKind::Empty, at, message, "put the schema there, or name another folder");
        }
    }
    let mut compiler = match Compiler::new(&includes) {
        Ok(compiler) => compiler,
        Err(error) => {
            let file = report.add_source("protos", "".into());
            report.add_to_file(FaultKind::Unreadable, file, error.to_string(), "check `protos` in lake.json");
            return None;
        }
    };
    compiler.include_source_info(true).include_imports(true);
    for path in files.iter().take(MOST_FILES) {
        let name = includes.iter().find_map(|include| path.strip_prefix(include).ok()).unwrap_or(path);
        if path.metadata().is_ok_and(|metadata| metadata.len() > LARGEST_FILE) {
            let file = report.add_source(&path.display().to_string(), "".into());
            let message = format!("the file has more than {} MiB, which no schema has", LARGEST_FILE >> 20);
            report.add_to_file(FaultKind::TooLarge, file, message, "name the folder of the schema in `protos`");
            continue;
        }
        sources.add(&name.display().to_string(), path, report);
        if let Err(error) = compiler.open_file(path) {
            tell(&error, &name.display().to_string(), sources, &includes, report);
        }
    }
    if report.errors() > 0 {
        return None;
    }
    for file in compiler.files() {
        if let Some(path) = file.path() {
            sources.add(file.name(), path, report);
        }
    }
    // The pool of the compiler has no source info; that of the set has.
    let set = compiler.encode_file_descriptor_set();
    DescriptorPool::decode(set.as_slice()).ok()
}

/// All `.proto` files below a folder, in the order of their names.
fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if files.len() >= MOST_FILES || hidden {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            list(&path, files);
        } else if path.is_file() && path.extension().is_some_and(|ending| ending == "proto") {
            files.push(path);
        }
    }
}

/// Adds what protox says, with its place.
fn tell(error: &protox::Error, otherwise: &str, sources: &mut Sources, includes: &[PathBuf], report: &mut Report) {
    let name = error.file().unwrap_or(otherwise).to_owned();
    if let Some(path) = includes.iter().map(|include| include.join(&name)).find(|path| path.is_file()) {
        sources.add(&name, &path, report);
    }
    add(error, &name, sources, report);
    for related in error.related().into_iter().flatten() {
        add(related, &name, sources, report);
    }
}

fn add(error: &dyn Diagnostic, name: &str, sources: &Sources, report: &mut Report) {
    let message = error.to_string();
    let help = match error.help() {
        Some(help) => help.to_string(),
        None if message.contains("'edition'") => {
            "editions are not supported yet by the compiler in this program; write `syntax = \"proto3\";`".to_owned()
        }
        None if sources.0.get(name).is_some_and(|(_, text)| text.starts_with('\u{feff}')) => {
            "the file begins with a byte order mark, which nobody sees; save it as UTF-8 without one".to_owned()
        }
        None => "see the language guide of Protocol Buffers".to_owned(),
    };
    // Of several labels, the last is where the second of two things stands.
    let label = error.labels().and_then(|labels| labels.last());
    let place = label.and_then(|label| sources.bytes(name, label.offset(), label.len()));
    if let Some(place) = place.or_else(|| sources.bytes(name, 0, 0)) {
        let at = At { place, path: String::new() };
        let again = report.faults().iter().any(|fault| fault.place == Some(place) && fault.message == message);
        if !again {
            report.add(FaultKind::Syntax, &at, message, help);
        }
    } else {
        let file = report.add_source(name, "".into());
        report.add_to_file(FaultKind::Syntax, file, message, help);
    }
}

/// How large a message is as a type of a column. Messages share others, so the text may be exponentially longer than
/// the schema: it is counted before it is written.
#[derive(Clone, Copy, Default)]
struct Extent {
    /// Levels of messages, this one included.
    height: usize,
    /// Characters of the fields in Hive's words.
    length: usize,
}

/// Where what stands in a file, by the path of `SourceCodeInfo`: its number there.
type Locations = HashMap<Vec<i32>, usize>;

/// A plan in the making.
struct Making<'a> {
    sources: &'a Sources,
    report: &'a mut Report,
    plan: Plan,
    comments: BTreeMap<String, String>,
    /// Of messages and enums that are in the plan; `None` of messages that were refused.
    messages: HashMap<String, Option<usize>>,
    enums: HashMap<String, usize>,
    /// Of the messages of the plan, in its order.
    extents: Vec<Extent>,
    /// Of files that were asked for.
    locations: HashMap<String, Locations>,
    /// The messages that hold the one at hand: their names, and the fields that lead down.
    path: Vec<(String, String)>,
}

impl<'a> Making<'a> {
    fn new(sources: &'a Sources, report: &'a mut Report) -> Self {
        let plan = Plan { format: FORMAT.into(), tables: BTreeMap::new(), messages: Vec::new(), enums: Vec::new() };
        let (messages, enums) = (HashMap::new(), HashMap::new());
        let (extents, locations) = (Vec::new(), HashMap::new());
        Self { sources, report, plan, comments: BTreeMap::new(), messages, enums, extents, locations, path: Vec::new() }
    }

    fn finish(self) -> Schema {
        Schema { plan: self.plan, comments: self.comments }
    }

    fn tables(&mut self, lake: &Lake, pool: &DescriptorPool) {
        for table in lake.tables.values() {
            let Some(message) = pool.get_message_by_name(&table.message) else {
                self.no_such_message(table, pool);
                continue;
            };
            self.no_column_is_the_partition(&message);
            let Some(index) = self.message(&message) else { continue };
            self.types_fit(&message, table, index);
            let table_plan = PlanTable { message: index, timestamp_digits: table.timestamp_digits };
            self.plan.tables.insert(table.name.clone(), table_plan);
        }
    }

    fn no_such_message(&mut self, table: &Table, pool: &DescriptorPool) {
        let names: Vec<String> = pool
            .all_messages()
            .filter(|message| !message.is_map_entry() && !message.full_name().starts_with("google.protobuf."))
            .map(|message| message.full_name().to_owned())
            .collect();
        let same_end = names.iter().find(|name| name.rsplit('.').next() == table.message.rsplit('.').next());
        let near = same_end
            .map(String::as_str)
            .or_else(|| datalake_base::nearest::nearest(&table.message, names.iter().map(String::as_str)));
        let help = match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if names.is_empty() => "the files of `protos` have no message at all".to_owned(),
            None => format!("known are {}", names.iter().take(20).cloned().collect::<Vec<_>>().join(", ")),
        };
        let message = format!("there is no message `{}` in the schema", table.message);
        self.report.add(FaultKind::UnknownChoice, &table.message_at, message, help);
    }

    fn no_column_is_the_partition(&mut self, message: &MessageDescriptor) {
        for field in message.fields().filter(|field| field.name().eq_ignore_ascii_case(PARTITION)) {
            let what = format!("the column `{}` has the name of the partition", field.name());
            self.refuse(&field, FaultKind::Conflict, what, "rename the field; `dt` is the hour of the object");
        }
    }

    fn types_fit(&mut self, message: &MessageDescriptor, table: &Table, index: usize) {
        let mut whole = 0_usize;
        for field in &self.plan.messages[index].fields.clone() {
            let length = self.extent(field).length;
            whole = whole.saturating_add(length);
            if length > LONGEST_TYPE
                && let Some(descriptor) = message.get_field(field.number)
            {
                let what = format!("the type of `{}.{}` has {length} characters", table.name, field.name);
                self.refuse(&descriptor, FaultKind::OutOfRange, what, "Glue takes 131,072; nest less");
            }
        }
        if whole > LONGEST_TABLE {
            let what = format!("the types of the columns of `{}` have {whole} characters", table.name);
            let help = "Glue takes tables of about 1 MB; make several messages of it";
            self.report.add(FaultKind::OutOfRange, &table.message_at, what, help);
        }
    }

    /// How large a field is, with its name.
    fn extent(&self, field: &Field) -> Extent {
        let (Kind::Message(inner) | Kind::Group(inner)) = field.kind else {
            let length = columns::hive(&self.plan, field).len() + field.name.len() + 2;
            return Extent { height: 0, length };
        };
        let Extent { height, length } = self.extents[inner];
        // `map<decimal(20,0),struct<…>>` is the longest that stands around it.
        Extent { height, length: length.saturating_add(field.name.len() + 32) }
    }

    fn refuse(&mut self, field: &FieldDescriptor, kind: FaultKind, message: String, help: &str) {
        let file = field.parent_file();
        let path = [field.path(), &[1]].concat();
        self.refuse_at(file.name(), file.file_descriptor_proto(), &path, kind, message, help);
    }

    fn refuse_at(
        &mut self,
        name: &str,
        file: &prost_reflect::prost_types::FileDescriptorProto,
        path: &[i32],
        kind: FaultKind,
        message: String,
        help: &str,
    ) {
        let span = self.location(name, file, path).map(|location| location.span.clone());
        let place = span.and_then(|span| self.sources.span(name, &span)).or_else(|| self.sources.bytes(name, 0, 0));
        match place {
            Some(place) => self.report.add(kind, &At { place, path: String::new() }, message, help),
            None => {
                let file = self.report.add_source(name, "".into());
                self.report.add_to_file(kind, file, message, help);
            }
        }
    }

    /// Where something stands in a file.
    fn location<'f>(
        &mut self,
        name: &str,
        file: &'f prost_reflect::prost_types::FileDescriptorProto,
        path: &[i32],
    ) -> Option<&'f prost_reflect::prost_types::source_code_info::Location> {
        let all = &file.source_code_info.as_ref()?.location;
        let known = self.locations.entry(name.to_owned()).or_insert_with(|| {
            let mut known = Locations::new();
            for (number, location) in all.iter().enumerate() {
                known.entry(location.path.clone()).or_insert(number);
            }
            known
        });
        all.get(*known.get(path)?)
    }

    /// The place of a message in the plan, after those that it holds.
    fn message(&mut self, message: &MessageDescriptor) -> Option<usize> {
        let name = message.full_name().to_owned();
        if let Some(known) = self.messages.get(&name) {
            return *known;
        }
        if message.fields().len() == 0 {
            let file = message.parent_file();
            let path = [message.path(), &[1]].concat();
            let what = format!("the message `{name}` has no fields, and no reader has an empty struct");
            let help = "give it a field, or write a bool where it only says that something is there";
            self.refuse_at(file.name(), file.file_descriptor_proto(), &path, FaultKind::Empty, what, help);
            self.messages.insert(name, None);
            return None;
        }
        let (mut fields, mut whole) = (Vec::new(), true);
        let mut lower: HashMap<String, String> = HashMap::new();
        for field in message.fields() {
            if let Some(other) = lower.insert(field.name().to_ascii_lowercase(), field.name().to_owned()) {
                let what = format!("`{}` and `{other}` are one name to Athena", field.name());
                self.refuse(&field, FaultKind::DuplicateKey, what, "write names in lower_snake_case");
            }
            if field.name().len() > LONGEST_NAME {
                let what = format!("the name has {} characters", field.name().len());
                self.refuse(&field, FaultKind::BadName, what, "Glue takes 255");
            }
            self.comment(&field);
            match self.field(&name, &field) {
                Some(field) => fields.push(field),
                None => whole = false,
            }
        }
        let index = whole.then(|| {
            let mut extent = Extent { height: 1, length: 0 };
            for inner in fields.iter().map(|field| self.extent(field)) {
                extent.height = extent.height.max(inner.height + 1);
                extent.length = extent.length.saturating_add(inner.length);
            }
            self.extents.push(extent);
            self.plan.messages.push(Message { name: name.clone(), fields });
            self.plan.messages.len() - 1
        });
        self.messages.insert(name, index);
        index
    }

    fn comment(&mut self, field: &FieldDescriptor) {
        let file = field.parent_file();
        let location = self.location(file.name(), file.file_descriptor_proto(), field.path());
        let Some(location) = location else { return };
        let text = location.leading_comments.as_deref().or(location.trailing_comments.as_deref()).unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            // Glue takes 255 bytes.
            let end = (0..=text.len().min(250)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            self.comments.insert(field.full_name().to_owned(), text[..end].to_owned());
        }
    }

    fn field(&mut self, message: &str, field: &FieldDescriptor) -> Option<Field> {
        let (shape, holder) = if field.is_map() {
            let entry = field.kind().as_message().cloned()?;
            (Shape::Map(scalar(&entry.map_entry_key_field().kind())?), entry.map_entry_value_field())
        } else if field.cardinality() == Cardinality::Repeated {
            (Shape::List, field.clone())
        } else {
            (Shape::One, field.clone())
        };
        let kind = self.kind(message, field, &holder)?;
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let number = |name: &str| field.parent_message().oneofs().position(|oneof| oneof.name() == name);
        Some(Field {
            name: field.name().to_owned(),
            json_name: field.json_name().to_owned(),
            number: field.number(),
            kind,
            shape,
            presence: shape == Shape::One && field.supports_presence(),
            oneof: oneof.and_then(|oneof| number(oneof.name())).and_then(|number| u16::try_from(number).ok()),
        })
    }

    /// What a field holds; `field` is the one that is refused, `holder` the one that says it.
    fn kind(&mut self, message: &str, field: &FieldDescriptor, holder: &FieldDescriptor) -> Option<Kind> {
        let inner = match holder.kind() {
            ProtoKind::Enum(inner) if inner.full_name() == "google.protobuf.NullValue" => return Some(Kind::Null),
            ProtoKind::Enum(inner) => return Some(Kind::Enum(self.enumeration(&inner))),
            ProtoKind::Message(inner) => inner,
            other => return scalar(&other).map(Kind::Scalar),
        };
        let known = match inner.full_name() {
            "google.protobuf.Timestamp" => Kind::Timestamp,
            "google.protobuf.Duration" => Kind::Duration,
            "google.protobuf.FieldMask" => Kind::FieldMask,
            "google.protobuf.Struct" => Kind::Struct,
            "google.protobuf.ListValue" => Kind::ListValue,
            "google.protobuf.Value" => Kind::Value,
            "google.protobuf.Any" => Kind::Any,
            "google.protobuf.DoubleValue" => Kind::Wrapper(Scalar::Double),
            "google.protobuf.FloatValue" => Kind::Wrapper(Scalar::Float),
            "google.protobuf.Int64Value" => Kind::Wrapper(Scalar::Int64),
            "google.protobuf.UInt64Value" => Kind::Wrapper(Scalar::Uint64),
            "google.protobuf.Int32Value" => Kind::Wrapper(Scalar::Int32),
            "google.protobuf.UInt32Value" => Kind::Wrapper(Scalar::Uint32),
            "google.protobuf.BoolValue" => Kind::Wrapper(Scalar::Bool),
            "google.protobuf.StringValue" => Kind::Wrapper(Scalar::String),
            "google.protobuf.BytesValue" => Kind::Wrapper(Scalar::Bytes),
            "google.protobuf.Empty" => {
                let what = format!("`{}` is an Empty, and no reader has an empty struct", field.full_name());
                self.refuse(field, FaultKind::Empty, what, "write a bool where it only says that something is there");
                return None;
            }
            _ => return self.inner(message, field, holder, &inner),
        };
        Some(known)
    }

    fn inner(
        &mut self,
        message: &str,
        field: &FieldDescriptor,
        holder: &FieldDescriptor,
        inner: &MessageDescriptor,
    ) -> Option<Kind> {
        self.path.push((message.to_owned(), field.name().to_owned()));
        if let Some(place) = self.path.iter().position(|(name, _)| name == inner.full_name()) {
            let names: Vec<&str> = self.path[place..].iter().map(|(name, _)| name.as_str()).collect();
            let what = format!("the message holds itself: {} -> {}", names.join(" -> "), inner.full_name());
            let help = "no reader has endless structs: use google.protobuf.Struct for what nests freely";
            self.refuse(field, FaultKind::NotSupported, what, help);
            self.path.pop();
            return None;
        }
        // Refused before it is gone into: a schema may be deeper than the stack.
        let depth = self.path.len();
        let index = if depth < DEEPEST { self.message(inner) } else { None };
        self.path.pop();
        let known = index.map_or(0, |index| self.extents[index].height);
        if depth >= DEEPEST || depth + known > DEEPEST {
            let what = format!("messages are nested more than {DEEPEST} deep here");
            let help = "use google.protobuf.Struct for what nests freely";
            self.refuse(field, FaultKind::NotSupported, what, help);
            return None;
        }
        index.map(|index| if holder.is_group() { Kind::Group(index) } else { Kind::Message(index) })
    }

    fn enumeration(&mut self, inner: &EnumDescriptor) -> usize {
        if let Some(known) = self.enums.get(inner.full_name()) {
            return *known;
        }
        // In the order of the file: of several names of one number, the first is written.
        let declared = &inner.enum_descriptor_proto().value;
        let values = declared.iter().map(|value| (value.name().to_owned(), value.number())).collect();
        self.plan.enums.push(Enum { name: inner.full_name().to_owned(), values });
        self.enums.insert(inner.full_name().to_owned(), self.plan.enums.len() - 1);
        self.plan.enums.len() - 1
    }
}

fn scalar(kind: &ProtoKind) -> Option<Scalar> {
    Some(match kind {
        ProtoKind::Double => Scalar::Double,
        ProtoKind::Float => Scalar::Float,
        ProtoKind::Int32 => Scalar::Int32,
        ProtoKind::Sint32 => Scalar::Sint32,
        ProtoKind::Sfixed32 => Scalar::Sfixed32,
        ProtoKind::Uint32 => Scalar::Uint32,
        ProtoKind::Fixed32 => Scalar::Fixed32,
        ProtoKind::Int64 => Scalar::Int64,
        ProtoKind::Sint64 => Scalar::Sint64,
        ProtoKind::Sfixed64 => Scalar::Sfixed64,
        ProtoKind::Uint64 => Scalar::Uint64,
        ProtoKind::Fixed64 => Scalar::Fixed64,
        ProtoKind::Bool => Scalar::Bool,
        ProtoKind::String => Scalar::String,
        ProtoKind::Bytes => Scalar::Bytes,
        ProtoKind::Message(_) | ProtoKind::Enum(_) => return None,
    })
}
