//! The exit codes, after sysexits.h; documented for operators in the README.
//! Promises that every way to end has one code and one meaning.
//! Leaves saying why to whoever ends.

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or stopped as asked.
    Success,
    /// `status`: a flow needs the operator. `shipped`: not everything was accepted yet.
    NotYet,
    /// `shipped` and others: the agent does not know this file, or never sends it.
    Unknown,
    /// `status`: no agent runs.
    NotRunning,
    /// The command line is wrong.
    Usage,
    /// What was compared differs.
    Differs,
    /// `doctor`: something that the agent needs does not work.
    Unavailable,
    /// A bug of ours; systemd starts the agent again.
    Software,
    /// The state folder cannot be made or used, or another agent holds it.
    CannotCreate,
    /// The last checkpoint could not be written: after the next start some records are sent again. Or a command could not
    /// read its input or write its output.
    InputOutput,
    /// `run --once`: not everything was accepted; the log says what was not, and another run goes on there. Or records stay in
    /// the quarantine after a replay, or would not be sent.
    NotDelivered,
    /// The configuration is wrong.
    Configuration,
}

impl Exit {
    /// The number the operating system sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::NotYet => 1,
            Self::Unknown => 2,
            Self::NotRunning => 3,
            Self::Usage => 64,
            Self::Differs => 65,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::CannotCreate => 73,
            Self::InputOutput => 74,
            Self::NotDelivered => 75,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
