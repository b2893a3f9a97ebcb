//! What became of a record, and why, in a form that costs nothing to make.
//! Promises that a reason is a plain value, so that refusing a million records allocates nothing.
//! Leaves counting, keeping and telling to the flow.

use std::fmt;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// What is to be sent was appended to the output.
    Kept,
    /// A step failed; the record was appended as it came in, because `onFailure` is `raw`.
    KeptRaw(Reason),
    /// Nothing is to be sent: it is filtered.
    Dropped(Reason),
    /// Nothing can be sent: the record, as it came in, belongs into quarantine.
    Failed(Reason),
}

/// Which step stopped a record, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason {
    step: u16,
    cause: Cause,
}

impl Reason {
    pub(super) const fn new(step: usize, cause: Cause) -> Self {
        Self { step: step as u16, cause }
    }

    /// Which step it was, counted from 0 in the order of the options.
    #[must_use]
    pub const fn step(self) -> usize {
        self.step as usize
    }

    /// Whether the step could not work on the record, as opposed to not wanting it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(
            self.cause,
            Cause::NotIncluded
                | Cause::Excluded { .. }
                | Cause::TestFailed { .. }
                | Cause::TestHeld { .. }
                | Cause::NoResult
        )
    }

    /// What was wrong.
    #[must_use]
    pub const fn cause(self) -> Cause {
        self.cause
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "step {}: {}", self.step + 1, self.cause)
    }
}

/// Why a step did not hand on a record. Places are bytes from the beginning of what the step was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// A built-in format does not fit.
    #[error("the line is not {format}: {expected} was expected at byte {at}")]
    NotTheFormat {
        /// The format's name.
        format: &'static str,
        /// What should have been there.
        expected: &'static str,
        /// Where.
        at: usize,
    },
    /// `matchPattern` does not match the whole line.
    #[error("the line does not match `matchPattern` from its beginning to its end")]
    NoMatch,
    /// The pattern tries too many ways on this record.
    #[error("the pattern takes more steps than allowed on this record")]
    TooManySteps,
    /// The record is no JSON.
    #[error("the record is not valid JSON at byte {at}")]
    NotJson {
        /// Where it stops being valid.
        at: usize,
    },
    /// It is JSON, but no object.
    #[error("the record is not a JSON object")]
    NotAnObject,
    /// It is nested deeper than is looked at.
    #[error("the JSON is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// It is no row of the table.
    #[error("not a row of the table at byte {at}: {why}")]
    NotOfTheSchema {
        /// Where.
        at: usize,
        /// Why.
        why: datalake_schema::Refusal,
    },
    /// It is not text.
    #[error("the record is not valid UTF-8")]
    NotText,
    /// A field that the step works on is not there.
    #[error("the field that the step reads is missing")]
    NoSuchField,
    /// A field is no point in time in the format that was given.
    #[error("the field is no timestamp of the format that was given, from its byte {at} on")]
    NotATime {
        /// Where in the text of the field.
        at: usize,
    },
    /// A field has the format, but names no moment.
    #[error("the field names a day or time that does not exist, or a year beyond 9999")]
    NoSuchTime,
    /// A replaced stretch held quotes or braces.
    #[error("after the replacement the record would no longer be valid JSON")]
    ReplacementBreaksJson,
    /// The path of the file does not match `pathPattern`.
    #[error("the path of the file does not match `pathPattern`")]
    PathDoesNotMatch,
    /// What comes out is longer than a record may be.
    #[error("the result is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A program gave an error for this record.
    #[error("the program ended with an error")]
    ProgramFailed,
    /// A program gave more than it may.
    #[error("the program gave more than {limit} results")]
    TooManyResults {
        /// The limit.
        limit: usize,
    },
    /// A program gave nothing, which is how it drops a record.
    #[error("the program gave no result")]
    NoResult,
    /// `include` does not match.
    #[error("no pattern of `include` matches")]
    NotIncluded,
    /// `exclude` matches.
    #[error("pattern {which} of `exclude` matches")]
    Excluded {
        /// Which one, counted from 1.
        which: u16,
    },
    /// A test of `keepWhen` does not hold.
    #[error("test {which} of `keepWhen` does not hold")]
    TestFailed {
        /// Which one, counted from 1.
        which: u16,
    },
    /// A test of `dropWhen` holds.
    #[error("test {which} of `dropWhen` holds")]
    TestHeld {
        /// Which one, counted from 1.
        which: u16,
    },
}
