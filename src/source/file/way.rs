//! Whether the agent would open a file, for people: by the patterns of a flow, by its rules about links, by the system.
//! Promises the answer that the tailer would find at this moment, as far as this process may look.
//! Leaves the rights of other users to `access`.

use super::Settings;
use super::discover::Pattern;
use super::walk::{Trouble, Walker};
use std::path::{Path, PathBuf};

/// What the patterns of a flow say about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// This one matches.
    Reads(String),
    /// The first matches, and so does the second, which excludes it.
    Excluded(String, String),
    /// None matches; it may be a rotation of this path, which one matches.
    Rotation(PathBuf),
    /// None does.
    No,
}

/// What there is at the end of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A regular file; the links led through these places.
    Open(Vec<PathBuf>),
    /// Nothing.
    Missing,
    /// A folder, a FIFO, a device.
    NoFile,
    /// The rules about links refuse it.
    Refused(String),
    /// The system refuses it, to this process.
    Denied(String),
}

/// What the patterns say.
#[must_use]
pub fn matched(settings: &Settings, path: &Path) -> Match {
    let first = |patterns: &[Pattern]| {
        patterns.iter().find(|pattern| pattern.matches(path)).map(|pattern| pattern.as_str().to_owned())
    };
    match (first(&settings.include), first(&settings.exclude)) {
        (Some(pattern), Some(exclude)) => Match::Excluded(pattern, exclude),
        (Some(pattern), None) => Match::Reads(pattern),
        (None, _) => settings.rotation_of(path).map_or(Match::No, Match::Rotation),
    }
}

/// What opening it comes to.
#[must_use]
pub fn way(settings: &Settings, path: &Path) -> Way {
    let walker = Walker { follow: settings.follow_links, own: settings.own.clone() };
    match walker.open(path) {
        Ok((_, found)) => Way::Open(found.hops),
        Err(Trouble::Denied(error)) => Way::Denied(error.to_string()),
        Err(Trouble::Refused(refusal)) => Way::Refused(refusal.to_string()),
        Err(Trouble::Other) => Way::NoFile,
        Err(Trouble::Elsewhere) => Way::Missing,
    }
}
