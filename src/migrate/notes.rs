//! What is to be said about moving over: what differs, what was dropped, what cannot be moved.
//! Promises that a note names its place and says what becomes of it.
//! Leaves finding them to the translation and the placing.

use std::fmt;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It cannot be moved; a person must decide.
    Blocks,
    /// The agent will behave in another way than the Kinesis Agent did.
    Differs,
    /// The behaviour stays as it was.
    Same,
}

impl Weight {
    /// As it is printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Blocks => "cannot move",
            Self::Differs => "differs",
            Self::Same => "same",
        }
    }
}

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub weight: Weight,
    /// Where: `agent.json: flows[0].maxBufferAgeMillis`, or a file.
    pub place: String,
    /// What is there and what becomes of it.
    pub words: String,
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:11}  {}: {}", self.weight.word(), self.place, self.words)
    }
}

/// All that is to be said, in order.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    notes: Vec<Note>,
}

impl Notes {
    pub(super) fn add(&mut self, weight: Weight, place: impl Into<String>, words: impl Into<String>) {
        self.notes.push(Note { weight, place: place.into(), words: words.into() });
    }

    pub(super) fn blocks(&mut self, place: impl Into<String>, words: impl Into<String>) {
        self.add(Weight::Blocks, place, words);
    }

    pub(super) fn differs(&mut self, place: impl Into<String>, words: impl Into<String>) {
        self.add(Weight::Differs, place, words);
    }

    pub(super) fn same(&mut self, place: impl Into<String>, words: impl Into<String>) {
        self.add(Weight::Same, place, words);
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Note] {
        &self.notes
    }

    /// Whether something cannot be moved.
    #[must_use]
    pub fn any_blocks(&self) -> bool {
        self.notes.iter().any(|note| note.weight == Weight::Blocks)
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.notes.extend(others.notes);
    }
}
