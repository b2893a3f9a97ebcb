//! The local socket: how commands on this machine ask the running agent.
//! Promises that only the agent's user and root are answered, that questions, connections and time are bounded, and that a
//! client which hangs or floods delays nobody but itself. Leaves the answers to `app`.
//!
//! A client connects, writes one line of JSON, and reads lines of JSON until the agent closes the connection.

/// The end of the commands.
mod client;
/// What can be asked.
mod question;
/// The end of the agent.
mod server;
/// Bytes in JSON.
mod wire;

pub use client::{Answers, ask};
pub use question::{About, Ask, Call, FileBalance, Key, Known, Place, Question, word_of};
pub use server::{Lines, Respond, Server};
pub use wire::{Bytes, PathText};

use std::path::{Path, PathBuf};

/// The name of the socket in its folder.
pub const NAME: &str = "agent.sock";
/// Where the unit of the package has systemd make a folder for it.
pub const RUNTIME_FOLDER: &str = "/run/datalake-agent";
/// What systemd says about that folder.
const RUNTIME_VARIABLE: &str = "RUNTIME_DIRECTORY";

/// Where the agent that uses this state folder listens: where systemd has made a folder for it, else in the state folder.
#[must_use]
pub fn places_to_listen(state: &Path, variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Vec<PathBuf> {
    let given = variable(RUNTIME_VARIABLE).and_then(|value| std::env::split_paths(&value).next());
    let given = given.filter(|folder| folder.is_absolute());
    given.into_iter().chain([state.to_owned()]).map(|folder| folder.join(NAME)).collect()
}

/// Where a command looks for it.
#[must_use]
pub fn places_to_ask(state: &Path, variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Vec<PathBuf> {
    let mut places = places_to_listen(state, variable);
    places.push(Path::new(RUNTIME_FOLDER).join(NAME));
    places.dedup();
    places
}

#[cfg(test)]
mod tests;
