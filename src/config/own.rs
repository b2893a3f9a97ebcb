//! Which files are the agent's own, so that none of them is read as a log.
//! Promises to name what the configuration, the environment and the state folder make it read or write.
//! Leaves recognising them under other names to the source.

use super::Plan;
use crate::source::file::OwnFiles;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Variables that name a file with credentials.
const CREDENTIALS: [&str; 4] = [
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
/// Files beside the main one that hold what it may hold.
const BESIDE: [&str; 1] = ["agent.env"];

/// All of them, as the environment is.
pub(super) fn files(main: &Path, plan: &Plan, variable: impl Fn(&str) -> Option<OsString>) -> OwnFiles {
    let folder = main.parent().unwrap_or(Path::new(""));
    let mut files = vec![main.to_owned()];
    files.extend(BESIDE.iter().map(|name| folder.join(name)));
    files.extend(copies(main));
    files.extend(CREDENTIALS.iter().filter_map(|name| variable(name)).map(PathBuf::from));
    if let Some(home) = variable("HOME") {
        files.extend(["credentials", "config"].map(|name| Path::new(&home).join(".aws").join(name)));
    }
    for mqtt in plan.flows.iter().filter_map(|flow| flow.mqtt.as_ref()) {
        files.extend([&mqtt.password_file, &mqtt.token_file, &mqtt.private_key_file].into_iter().flatten().cloned());
    }
    let mut folders = vec![plan.state_directory.clone(), folder.join("agent.d")];
    folders.extend(variable("CREDENTIALS_DIRECTORY").map(PathBuf::from));
    OwnFiles::new(files, folders)
}

/// What editors and package managers leave beside the main file: it may hold the same keys.
fn copies(main: &Path) -> Vec<PathBuf> {
    let name = main.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_copy = |path: &PathBuf| {
        let other = path.file_name().unwrap_or_default().to_string_lossy();
        other.trim_start_matches(['.', '#']).starts_with(&name)
    };
    let folder = main.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_copy).take(100).collect()
}
