//! Constant texts with holes for what is known only at run time: the host, its environment, the path of the file.
//! Promises that what the environment holds is filled in once at start and that what the path says is worked out once
//! a file; a text without holes is itself.
//! Leaves where the text goes to the steps.

use super::java::{Groups, Pattern};
use super::json::print::{self, Format};
use super::json::{escape, quoted};
use super::{Cause, NotReady, Place, Surroundings};
use datalake_base::nearest::nearest;
use datalake_base::record::FileKey;
use serde_json::Value;
use std::path::PathBuf;

/// What a hole may name.
const KINDS: [&str; 4] = ["env", "path", "host", "file"];

/// What is known of a place only at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hole {
    /// An environment variable, and what stands for it where it is not set.
    Variable(String, Option<String>),
    /// A group of `pathPattern`.
    Group(usize),
    /// The name of the host.
    Host,
    /// The path of the file.
    File,
}

/// A piece of JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Hole(Hole),
}

/// JSON with holes inside its strings.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// The JSON text of `value`, laid out `depth` objects deep.
    pub(super) fn new(
        value: &Value,
        path_pattern: Option<&Pattern>,
        format: Format,
        depth: usize,
    ) -> Result<Self, String> {
        // Holes are cut out of strings first and put back into the written text, where nothing can be mistaken for them.
        let mut holes = Vec::new();
        let marked = mark(value, path_pattern, &mut holes)?;
        let text = print::constant(&marked, format, depth);
        let mut pieces = Vec::new();
        let mut rest = text.as_slice();
        for hole in holes {
            let place = memchr::memmem::find(rest, MARK.as_bytes()).expect("each hole left a mark");
            pieces.push(Piece::Text(rest[..place].to_vec()));
            pieces.push(Piece::Hole(hole));
            rest = &rest[place + MARK.len()..];
        }
        pieces.push(Piece::Text(rest.to_vec()));
        Ok(Self { pieces })
    }

    /// The environment variables that must be known before it can be filled in.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(Hole::Variable(name, _)) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Fills in what does not change from file to file.
    pub(super) fn settle(&self, surroundings: &Surroundings) -> Result<Self, NotReady> {
        let mut pieces: Vec<Piece> = Vec::new();
        for piece in &self.pieces {
            let text = match piece {
                Piece::Text(text) => text.clone(),
                Piece::Hole(Hole::Host) => inside(&surroundings.host),
                Piece::Hole(Hole::Variable(name, fallback)) => inside(
                    surroundings
                        .variables
                        .get(name)
                        .or(fallback.as_ref())
                        .ok_or_else(|| NotReady::MissingVariable { name: name.clone() })?,
                ),
                Piece::Hole(_) => {
                    pieces.push(piece.clone());
                    continue;
                }
            };
            match pieces.last_mut() {
                Some(Piece::Text(before)) => before.extend_from_slice(&text),
                _ => pieces.push(Piece::Text(text)),
            }
        }
        Ok(Self { pieces })
    }

    /// Appends the text, for a file whose path matched with these groups.
    pub(super) fn fill(&self, place: &Place<'_>, groups: Option<&Groups>, out: &mut Vec<u8>) {
        let path = place.path.to_string_lossy();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Hole(Hole::File) => escape(out, path.as_bytes()),
                Piece::Hole(Hole::Group(group)) => {
                    let found = groups.and_then(|groups| groups.get(*group));
                    escape(out, found.map_or(b"", |(start, end)| &path.as_bytes()[start..end]));
                }
                Piece::Hole(_) => {}
            }
        }
    }
}

/// The inside of a JSON string.
fn inside(text: &str) -> Vec<u8> {
    let quoted = quoted(text);
    quoted[1..quoted.len() - 1].to_vec()
}

/// Stands for a hole while the text is laid out. No configuration can hold it: it is no character of any script.
const MARK: &str = "\u{10FFFE}\u{10FFFF}";

fn mark(value: &Value, pattern: Option<&Pattern>, holes: &mut Vec<Hole>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(mark_text(text, pattern, holes)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| mark(item, pattern, holes)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let marked = members.iter().map(|(name, value)| Ok((name.clone(), mark(value, pattern, holes)?)));
            Value::Object(marked.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

/// `${env:NAME}`, `${env:NAME:-fallback}`, `${path:group}`, `${host}` and `${file}` become marks; `$${` is `${`.
/// Anything else stays as it is, because the Kinesis Agent knows no holes.
fn mark_text(text: &str, pattern: Option<&Pattern>, holes: &mut Vec<Hole>) -> Result<String, String> {
    if text.contains(MARK) {
        return Err("it holds characters that no script has".to_owned());
    }
    let (mut out, mut rest) = (String::new(), text);
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
            continue;
        }
        let closed = rest.strip_prefix("${").and_then(|after| after.split_once('}'));
        match closed.map(|(name, after)| (hole(name, pattern), after)) {
            Some((Ok(Some(hole)), after)) => {
                holes.push(hole);
                out.push_str(MARK);
                rest = after;
            }
            Some((Err(error), _)) => return Err(error),
            _ => {
                out.push('$');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn hole(text: &str, pattern: Option<&Pattern>) -> Result<Option<Hole>, String> {
    let (kind, name) = match text.split_once(':') {
        Some((kind, name)) => (kind, Some(name)),
        None => (text, None),
    };
    match (kind, name) {
        ("host", None) => Ok(Some(Hole::Host)),
        ("file", None) => Ok(Some(Hole::File)),
        ("env", Some(name)) => {
            let (name, fallback) = match name.split_once(":-") {
                Some((name, fallback)) => (name, Some(fallback.to_owned())),
                None => (name, None),
            };
            if name.is_empty() {
                return Err("`${env:}` names no variable".to_owned());
            }
            Ok(Some(Hole::Variable(name.to_owned(), fallback)))
        }
        ("path", Some(name)) => {
            let pattern = pattern.ok_or("`${path:…}` needs a `pathPattern` whose groups it can name")?;
            let number = name.parse().ok().filter(|number| (1..=pattern.groups()).contains(number));
            let group = number.or_else(|| pattern.group_named(name));
            group.map(|group| Some(Hole::Group(group))).ok_or(format!("`pathPattern` has no group `{name}`"))
        }
        (kind, Some(_)) => match nearest(kind, KINDS) {
            Some(near) => Err(format!("`${{{text}}}` is unknown; did you mean `{near}`? A literal is `$${{{text}}}`")),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

/// What was worked out for the file last seen, so that it is worked out once a file.
#[derive(Debug)]
pub(super) struct PerFile<T> {
    file: FileKey,
    generation: Option<u64>,
    path: PathBuf,
    held: Option<T>,
}

impl<T> Default for PerFile<T> {
    fn default() -> Self {
        Self { file: FileKey::default(), generation: None, path: PathBuf::new(), held: None }
    }
}

impl<T> PerFile<T> {
    /// The value for this file.
    pub(super) fn get(&mut self, place: &Place<'_>, make: impl FnOnce() -> Result<T, Cause>) -> Result<&T, Cause> {
        // As bytes: comparing paths part by part would cost more than the rest of the step.
        let same = self.file == place.file
            && self.generation == place.generation
            && self.path.as_os_str() == place.path.as_os_str();
        if !same || self.held.is_none() {
            self.held = None;
            self.held = Some(make()?);
            self.file = place.file;
            self.generation = place.generation;
            self.path.clear();
            self.path.push(place.path);
        }
        Ok(self.held.as_ref().expect("it was just made"))
    }
}

/// A `pathPattern` and the groups of the path last matched.
pub(super) fn path_groups(pattern: Option<&mut Pattern>, place: &Place<'_>) -> Result<Option<Groups>, Cause> {
    let Some(pattern) = pattern else { return Ok(None) };
    let mut groups = pattern.room();
    if pattern.captures(&place.path.to_string_lossy(), &mut groups)? {
        Ok(Some(groups))
    } else {
        Err(Cause::PathDoesNotMatch)
    }
}
