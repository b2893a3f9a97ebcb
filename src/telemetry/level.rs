//! Which lines are logged: `--log-level` and `$DATALAKE_LOG`.
//! Promises that a word which is no level never turns the log off, and that the libraries below us never log what they are
//! given at the level at which they print keys. Leaves writing to the queue.

use datalake_base::nearest::nearest;
use datalake_base::shown::shown;
use std::str::FromStr;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The beginning of the targets of our own crates.
const OURS: &str = "datalake_";
/// What libraries log where nobody asked for them by name: nothing. What they have to say for the operator is in the reasons
/// that the agent logs itself.
const LIBRARIES: LevelFilter = LevelFilter::OFF;
/// And what they log at most: at `trace` the SDK prints signed headers and the answers that hold temporary keys.
pub(super) const MOST_OF_LIBRARIES: LevelFilter = LevelFilter::DEBUG;
/// The levels as they are known, and what each means.
const LEVELS: [(&str, LevelFilter); 7] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("warning", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// Not a level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no log level{}; give one of error, warn, info, debug, trace, or such as \
     `warn,datalake_agent::source=debug`", shown(part), suggestion.map_or_else(String::new, |word| format!(" (did you mean `{word}`?)"))
)]
pub struct BadLevel {
    /// The part that is none.
    pub part: String,
    /// The level that may have been meant.
    pub suggestion: Option<&'static str>,
}

/// What is logged.
#[derive(Clone, Debug)]
pub(super) struct Levels(Targets);

impl Default for Levels {
    /// `info`.
    fn default() -> Self {
        Self::of(LevelFilter::INFO, &[])
    }
}

impl Levels {
    fn of(bare: LevelFilter, modules: &[(&str, LevelFilter)]) -> Self {
        let mut targets = Targets::new().with_default(LIBRARIES).with_target(OURS, bare);
        for (target, level) in modules {
            let most = if target.starts_with(OURS) { LevelFilter::TRACE } else { MOST_OF_LIBRARIES };
            targets = targets.with_target(*target, (*level).min(most));
        }
        Self(targets)
    }

    /// For the layer.
    pub(super) fn into_targets(self) -> Targets {
        self.0
    }
}

impl FromStr for Levels {
    type Err = BadLevel;

    /// Parts between commas: a level, `MODULE=LEVEL`, or a module alone, which means all of it.
    fn from_str(text: &str) -> Result<Self, BadLevel> {
        let (mut bare, mut modules) = (None, Vec::new());
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((module, word)) if is_module(module.trim()) => modules.push((module.trim(), level(part, word)?)),
                None if is_module(part) && (part.contains("::") || part.starts_with(OURS)) => {
                    modules.push((part, LevelFilter::TRACE));
                }
                // A lone word without `::` would be a module to others; here it is a level, or a typo.
                _ => bare = Some(level(part, part)?),
            }
        }
        let otherwise = if modules.is_empty() { LevelFilter::INFO } else { LevelFilter::OFF };
        Ok(Self::of(bare.unwrap_or(otherwise), &modules))
    }
}

fn is_module(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-'))
}

fn level(part: &str, word: &str) -> Result<LevelFilter, BadLevel> {
    let word = word.trim().to_ascii_lowercase();
    let known = LEVELS.iter().find(|(name, _)| *name == word);
    known.map(|(_, level)| *level).ok_or_else(|| BadLevel { part: part.to_owned(), suggestion: meant(&word) })
}

/// The level that a word may stand for.
fn meant(word: &str) -> Option<&'static str> {
    match word {
        "verbose" | "all" => return Some("debug"),
        "fatal" | "critical" | "crit" | "alert" | "emerg" | "severe" => return Some("error"),
        "notice" | "information" | "default" => return Some("info"),
        "none" | "quiet" | "silent" => return Some("off"),
        _ => {}
    }
    nearest(word, LEVELS.map(|(name, _)| name))
}

/// Whether an event of this target may be logged at all.
pub(super) fn is_permitted(target: &str, level: Level) -> bool {
    target.starts_with(OURS) || level <= MOST_OF_LIBRARIES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(text: &str, target: &str, level: Level) -> bool {
        text.parse::<Levels>().unwrap().into_targets().would_enable(target, &level)
    }

    #[test]
    fn a_level_alone_speaks_of_the_agent_and_of_no_library() {
        for (text, most) in [
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("warning", Level::WARN),
            ("WARNING", Level::WARN),
            ("Info", Level::INFO),
            ("", Level::INFO),
            ("  debug ", Level::DEBUG),
            ("trace", Level::TRACE),
        ] {
            for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
                assert_eq!(enabled(text, "datalake_agent::flow", level), level <= most, "{text} {level}");
                assert_eq!(enabled(text, "datalake_core::batch", level), level <= most, "{text} {level}");
                assert!(!enabled(text, "hyper::proto", level), "{text} {level}");
            }
        }
    }

    #[test]
    fn modules_have_levels_of_their_own() {
        let text = "warn, datalake_agent::source=DEBUG,hyper=info,datalake_agent::deliver";
        assert!(enabled(text, "datalake_agent::source::file", Level::DEBUG));
        assert!(
            !enabled(text, "datalake_agent::flow", Level::INFO) && enabled(text, "datalake_agent::flow", Level::WARN)
        );
        assert!(enabled(text, "hyper::proto", Level::INFO) && !enabled(text, "hyper::proto", Level::DEBUG));
        assert!(enabled(text, "datalake_agent::deliver::wire", Level::TRACE));
        let alone = "datalake_agent::source=trace";
        assert!(
            enabled(alone, "datalake_agent::source", Level::TRACE)
                && !enabled(alone, "datalake_agent::flow", Level::ERROR)
        );
    }

    /// `--log-level verbose` was taken for the name of a module, so nothing was logged at all.
    #[test]
    fn a_word_that_is_no_level_is_refused_with_the_one_that_was_meant() {
        for (text, part, suggestion) in [
            ("debg", "debg", Some("debug")),
            ("verbose", "verbose", Some("debug")),
            ("warnign", "warnign", Some("warning")),
            ("info,datalake_agent::source=loud", "datalake_agent::source=loud", None),
            ("datalake_agent=inof", "datalake_agent=inof", Some("info")),
            ("=info", "=info", Some("info")),
            ("a b=info", "a b=info", None),
            ("17", "17", None),
        ] {
            let refusal = text.parse::<Levels>().unwrap_err();
            assert_eq!((refusal.part.as_str(), refusal.suggestion), (part, suggestion), "{text}");
            assert!(refusal.to_string().contains("error, warn, info"), "{refusal}");
        }
    }

    /// At `trace` the SDK prints the canonical request with its session token, and answers of STS as a whole.
    #[test]
    fn libraries_never_log_at_trace_whatever_is_asked_for() {
        for text in ["trace", "trace,aws_sigv4=trace", "aws_smithy_runtime::client=trace,hyper=trace"] {
            for target in ["aws_sigv4::http_request", "aws_smithy_runtime::client", "rustls::client"] {
                assert!(!enabled(text, target, Level::TRACE), "{text} {target}");
            }
        }
        assert!(!is_permitted("aws_sigv4", Level::TRACE) && is_permitted("datalake_agent", Level::TRACE));
    }
}
