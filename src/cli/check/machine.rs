//! What this machine adds to a configuration that can run: files that match, rights, the state folder, credentials.
//! Promises to open nothing but folders, lists and the checkpoint, to change nothing, and to say what would do about each thing it finds.
//! Leaves showing it to the check.

use super::positions::{self, Positions};
use super::service::Service;
use crate::checkpoint;
use crate::config::{FlowPlan, Plan};
use crate::source::file::access::{self, User};
use crate::source::file::survey::{Miss, Survey, survey};
use datalake_base::shown::shown;
use datalake_base::units::{ByteSize, counted};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Less room than this for positions, quarantine and spools is worth a warning.
const LITTLE_ROOM: u64 = 64 << 20;
/// Own files that match are named up to this number.
const MOST_NAMED: usize = 3;

/// Something that keeps the agent from doing what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Finding {
    /// Stable, for text searches.
    pub(in crate::cli) code: &'static str,
    pub(in crate::cli) message: String,
    pub(in crate::cli) help: String,
}

/// All that was found.
#[derive(Debug)]
pub(in crate::cli) struct Findings {
    pub(in crate::cli) all: Vec<Finding>,
    /// For each flow of the plan, what its patterns match.
    pub(in crate::cli) flows: Vec<Survey>,
    /// For each flow of the plan, where reading goes on; nothing where that may not be seen.
    pub(in crate::cli) positions: Option<Vec<Positions>>,
    /// As whom it was looked at.
    pub(in crate::cli) user: String,
    /// The number of that user.
    pub(in crate::cli) uid: u32,
    /// Where the environment of the service comes from, and the names in it.
    pub(in crate::cli) environment: Option<String>,
    /// The state folder in words.
    pub(in crate::cli) state: String,
    /// Where credentials come from.
    pub(in crate::cli) credentials: String,
    /// Where the region comes from.
    pub(in crate::cli) region: String,
}

impl Findings {
    /// What is known of the files of this flow of the plan.
    pub(super) fn positions_of(&self, flow: usize) -> Option<&Positions> {
        self.positions.as_ref()?.get(flow)
    }
}

/// Looks, as the user of the service if there is one, else as the user of this process.
pub(in crate::cli) fn look(plan: &Plan, service: Option<&Service>) -> Findings {
    let service_user = service.and_then(|service| Some((service, service.user.clone()?)));
    let (user, name, whose) = match &service_user {
        Some((service, user)) => (user.clone(), service.name.clone(), "the installed service"),
        None => (User::of_process(), access::user_of_process(), "this process"),
    };
    let reader = match service {
        Some(service) if service.reads_everything => User { uid: 0, groups: Vec::new() },
        _ => user.clone(),
    };
    let mut all = Vec::new();
    let mut flows = Vec::new();
    for flow in &plan.flows {
        let found = survey(&flow.source.include, &flow.source.exclude, &flow.source.own, &reader);
        if flow.mqtt.is_none() {
            judge(flow, &found, &name, &mut all);
            hidden(flow, service, &mut all);
        }
        flows.push(found);
    }
    let positions = positions::look(plan, &flows).unwrap_or_else(|(message, help)| {
        all.push(Finding { code: "positions", message, help });
        None
    });
    let state = state(&plan.state_directory, &user, &name, &mut all);
    let environment = service.filter(|service| !service.environment.is_empty()).map(|service| {
        let files: Vec<String> = service.environment.iter().map(|path| shown(path).to_string()).collect();
        let names: Vec<String> = service.variables().into_keys().collect();
        format!("{}: {}", files.join(", "), names.join(", "))
    });
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let credentials = credentials(plan, variable);
    let region = region(plan, variable);
    Findings {
        all,
        flows,
        positions,
        user: format!("{name} ({whose})"),
        uid: user.uid,
        environment,
        state,
        credentials,
        region,
    }
}

fn judge(flow: &FlowPlan, found: &Survey, user: &str, all: &mut Vec<Finding>) {
    let name = &flow.name;
    let mut add = |code, message: String, help: String| all.push(Finding { code, message, help });
    for (pattern, miss) in &found.misses {
        let text = pattern.as_str();
        match (miss, brackets(text)) {
            (Miss::IsFolder(path), _) => add(
                "is-folder",
                format!("`{text}` of flow `{name}` names a folder, so it matches no file"),
                format!("write `{}/*.log` for the files in it", shown(path)),
            ),
            (_, Some(class)) => {
                let letters: Vec<String> = class.chars().map(String::from).collect();
                add(
                    "brackets",
                    format!(
                        "`[{class}]` in `{text}` of flow `{name}` stands for one of the characters {}",
                        letters.join(", ")
                    ),
                    format!("write `[[]{class}]` where a name has brackets; the pattern matches no file now"),
                );
            }
            (Miss::NoFolder(path), None) => add(
                "no-folder",
                format!("`{text}` of flow `{name}` matches no file: `{}` is not there", shown(path)),
                "correct the pattern, or create the folder; it is watched for".to_owned(),
            ),
            (Miss::NoFile, None) => add(
                "no-match",
                format!("`{text}` of flow `{name}` matches no file now"),
                "correct the pattern, unless the files are still to come; they are read when they do".to_owned(),
            ),
        }
    }
    for obstacle in &found.closed {
        let kind = if obstacle.is_folder { "the folder" } else { "" };
        let what = format!("{kind} `{}` ({})", shown(&obstacle.path), obstacle.rights());
        add(
            "unreadable",
            format!("the user {user} cannot read {} of flow `{name}`", what.trim_start()),
            obstacle.cures(user),
        );
    }
    for path in found.own.iter().take(MOST_NAMED) {
        add(
            "own-file",
            format!("`{}`, which flow `{name}` matches, is a file of the agent itself and is not read", shown(path)),
            "exclude it from the pattern".to_owned(),
        );
    }
    if found.own.len() > MOST_NAMED {
        let more = found.own.len() - MOST_NAMED;
        add(
            "own-file",
            format!("flow `{name}` matches {} of the agent itself besides", counted(more, "file")),
            "exclude them".to_owned(),
        );
    }
}

/// The letters of a class that looks like a word in brackets.
fn brackets(pattern: &str) -> Option<&str> {
    pattern.split('[').skip(1).find_map(|rest| {
        let (class, _) = rest.split_once(']')?;
        (class.len() >= 3 && class.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(class)
    })
}

/// Folders that the unit hides.
fn hidden(flow: &FlowPlan, service: Option<&Service>, all: &mut Vec<Finding>) {
    let Some(service) = service else { return };
    for pattern in &flow.source.include {
        let Some(drop_in) = service.shows(Path::new(pattern.as_str())) else { continue };
        all.push(Finding {
            code: "hidden",
            message: format!(
                "the service does not see `{}` of flow `{}`: its unit hides the folder",
                pattern.as_str(),
                flow.name
            ),
            help: format!("install the drop-in {drop_in} (docs/operations.md)"),
        });
    }
}

/// The state folder in words; what is wrong with it as a finding.
fn state(folder: &Path, user: &User, name: &str, all: &mut Vec<Finding>) -> String {
    let path = shown(folder);
    let Ok(metadata) = folder.metadata() else {
        return format!("{path} (not there yet; it is made at the start)");
    };
    let mut add = |code, message: String, help: String| all.push(Finding { code, message, help });
    if !metadata.is_dir() {
        add("state-folder", format!("`stateDirectory` {path} is no folder"), "name a folder".to_owned());
        return path.to_string();
    }
    if user.uid != 0 && metadata.uid() != user.uid {
        add(
            "state-folder",
            format!("the state folder {path} belongs to another user ({}) than {name}", access::rights(&metadata)),
            format!("run `chown -R {name}: {path}`"),
        );
    }
    let room = rustix::fs::statvfs(folder).map_or(u64::MAX, |room| room.f_bavail.saturating_mul(room.f_frsize));
    if room < LITTLE_ROOM {
        let left = ByteSize::mib(room >> 20);
        add(
            "state-room",
            format!("only {left} are free for the state folder {path}"),
            "make room, or move it".to_owned(),
        );
    }
    let held = checkpoint::holder(folder)
        .ok()
        .flatten()
        .map(|holder| format!("; in use by the running agent, pid {holder}"))
        .unwrap_or_default();
    format!("{path} ({}, {} MiB free{held})", access::rights(&metadata), room >> 20)
}

/// Where credentials come from, as the SDK looks for them; nobody is asked.
fn credentials(plan: &Plan, variable: impl Fn(&str) -> Option<String>) -> String {
    let home = variable("HOME").unwrap_or_default();
    let file = variable("AWS_SHARED_CREDENTIALS_FILE").unwrap_or_else(|| format!("{home}/.aws/credentials"));
    let config = variable("AWS_CONFIG_FILE").unwrap_or_else(|| format!("{home}/.aws/config"));
    let profile = variable("AWS_PROFILE");
    let named = profile.clone().unwrap_or_else(|| "default".to_owned());
    let has_profile = [&file, &config].into_iter().find(|path| {
        let text = crate::regular::read(Path::new(path), 1 << 20)
            .map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned());
        text.is_ok_and(|text| {
            text.lines().any(|line| {
                let line = line.trim();
                line == format!("[{named}]") || line == format!("[profile {named}]")
            })
        })
    });
    let base = if plan.session.access_key.is_some() {
        "keys of the configuration".to_owned()
    } else if variable("AWS_ACCESS_KEY_ID").is_some() {
        "AWS_ACCESS_KEY_ID of the environment".to_owned()
    } else if let Some(path) = has_profile {
        format!("profile {named} of {}", shown(path))
    } else if let Some(profile) = profile {
        format!("profile {}, which neither {} nor {} has", shown(&profile), shown(&file), shown(&config))
    } else if variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        "AWS_WEB_IDENTITY_TOKEN_FILE of the environment".to_owned()
    } else if variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        .or_else(|| variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
        .is_some()
    {
        "the role of the container".to_owned()
    } else {
        "the role of the instance".to_owned()
    };
    match &plan.session.role {
        Some(role) => format!("{base}, then the role {}", shown(&role.arn)),
        None => base,
    }
}

fn region(plan: &Plan, variable: impl Fn(&str) -> Option<String>) -> String {
    let of_environment =
        ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| Some((name, variable(name)?)));
    match (&plan.session.region, of_environment) {
        (Some(region), _) => region.clone(),
        (None, Some((name, region))) => format!("{} ({name} of the environment)", shown(&region)),
        (None, None) => "from the AWS profile or the instance".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_brackets_is_told_from_a_class() {
        assert_eq!(brackets("/l/[prod]-*.log"), Some("prod"));
        for pattern in ["/l/a[0-9].log", "/l/[!abc].log", "/l/[ab].log", "/l/[[]prod].log", "/l/a.log"] {
            assert_eq!(brackets(pattern), None, "{pattern}");
        }
    }
}
