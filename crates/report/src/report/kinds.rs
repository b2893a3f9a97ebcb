//! The kinds of faults.
//! Promises that each has a code that stays, and says whether the agent can run in spite of it.
//! Leaves the words to the code that finds the fault.

macro_rules! kinds {
    ($($(#[doc = $words:literal])+ $kind:ident $code:literal $severity:ident,)+) => {
        /// The kinds of faults; the code in brackets is stable, so that a text search finds it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($(#[doc = $words])+ $kind,)+ }

        impl Kind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The stable code of the kind.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$kind => $code,)+ }
            }

            /// Whether the agent can run in spite of it.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$kind => Severity::$severity,)+ }
            }
        }
    };
}

kinds! {
    /// A file or folder cannot be read.
    Unreadable "unreadable" Error,
    /// The file is larger than any sensible configuration.
    TooLarge "too-large" Error,
    /// The file is not UTF-8 text.
    NotUtf8 "not-utf8" Error,
    /// The text is not JSON.
    Syntax "syntax" Error,
    /// A comma stands before a closing bracket.
    TrailingComma "trailing-comma" Error,
    /// Lists and objects are nested too deeply.
    TooDeep "too-deep" Error,
    /// A key stands twice in one object.
    DuplicateKey "duplicate-key" Error,
    /// Nobody knows the key.
    UnknownKey "unknown-key" Error,
    /// The key is known, but not here.
    WrongPlace "wrong-place" Error,
    /// The Kinesis Agent has the key; this version does not.
    NotSupported "not-supported" Error,
    /// The key has another name here.
    Renamed "renamed" Error,
    /// A key that is needed is not there.
    Missing "missing" Error,
    /// The value is of another type.
    WrongType "wrong-type" Error,
    /// The value is no whole number, or no size.
    BadNumber "bad-number" Error,
    /// The number is too small or too large.
    OutOfRange "out-of-range" Error,
    /// The value is none of those allowed.
    UnknownChoice "unknown-choice" Error,
    /// An empty text or list where something is needed.
    Empty "empty" Error,
    /// A name breaks the rule for names.
    BadName "bad-name" Error,
    /// A variable of the environment is not set, or its name is none.
    BadVariable "bad-variable" Error,
    /// A path is not absolute, or holds a NUL.
    BadPath "bad-path" Error,
    /// A path pattern does not compile.
    BadPattern "bad-pattern" Error,
    /// A regular expression does not compile.
    BadRegex "bad-regex" Error,
    /// An option of the processing of records cannot work.
    BadOption "bad-option" Error,
    /// An endpoint is no address.
    BadEndpoint "bad-endpoint" Error,
    /// Two flows do the same, or have the same name.
    DuplicateFlow "duplicate-flow" Error,
    /// There is nothing to do.
    NoFlows "no-flows" Error,
    /// Two values exclude each other.
    Conflict "conflict" Error,
    /// The flows cannot work within the memory given.
    Memory "memory" Error,
    /// Everybody on the machine can read a secret.
    Exposed "exposed" Error,
    /// The key is allowed, and does nothing.
    NoEffect "no-effect" Warning,
    /// Log lines cross a network unencrypted.
    PlainHttp "plain-http" Warning,
    /// A pattern may take more steps on a record than it is allowed.
    SlowPattern "slow-pattern" Warning,
    /// A region resembles one of AWS and is none of them.
    UnknownRegion "unknown-region" Warning,
    /// A message that is let in may be longer than a record.
    LongMessages "long-messages" Warning,
    /// A file in the folder of fragments is not read.
    NotRead "not-read" Warning,
}

/// Whether the agent can run in spite of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but perhaps not as meant.
    Warning,
}
