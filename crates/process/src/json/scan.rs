//! JSON values looked through, with the causes that steps fail with.
//! Promises what the scanner promises, and adds nothing but the words of this crate.
//! Leaves the grammar to the scanner.

use crate::Cause;
use datalake_base::json::{self, Fault};
pub(crate) use datalake_base::json::{DEPTH, Member, blanks, special};

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Syntax { at } => Self::NotJson { at },
            Fault::TooDeep { limit } => Self::TooDeep { limit },
            Fault::NotText => Self::NotText,
            Fault::NotAnObject => Self::NotAnObject,
        }
    }
}

#[inline]
pub(crate) fn string(text: &[u8], at: usize) -> Result<usize, Cause> {
    Ok(json::string(text, at)?)
}

#[inline]
pub(crate) fn value(text: &[u8], at: usize, depth: usize) -> Result<usize, Cause> {
    Ok(json::value(text, at, depth)?)
}

#[inline]
pub(crate) fn document(text: &[u8]) -> Result<(usize, usize), Cause> {
    Ok(json::document(text)?)
}

#[inline]
pub(crate) fn object(text: &[u8]) -> Result<(usize, usize), Cause> {
    Ok(json::object(text)?)
}

/// See [`json::Members`].
#[derive(Debug)]
pub(crate) struct Members(json::Members);

impl Members {
    #[inline]
    pub(crate) fn new(at: usize) -> Self {
        Self(json::Members::new(at))
    }

    #[inline]
    pub(crate) fn next(&mut self, text: &[u8]) -> Result<Result<Member, usize>, Cause> {
        Ok(self.0.next(text)?)
    }

    #[inline]
    pub(crate) fn ended(&mut self, at: usize) {
        self.0.ended(at);
    }
}
