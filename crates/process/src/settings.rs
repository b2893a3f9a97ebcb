//! The options of a flow as they are written, made into settings.
//! Promises that every fault of every option is found at once, each with its place, what is wrong and what would do,
//! and that settings which were made can run.
//! Leaves where in a file the options stand to the configuration.

/// What every option of ours beyond the original's means.
mod more;
/// What the original's options mean.
mod original;
/// The keys of one option, read one by one.
mod reader;
/// What SCHEMA means.
mod schema;

use super::java::Pattern;
use super::{NotReady, Surroundings, Work};
use datalake_base::nearest::nearest;
use datalake_schema::Decoder;
use reader::Reader;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is done with each record of a flow: steps, each on what the one before it left.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub(super) steps: Vec<Step>,
}

/// What is wrong with the options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}; {help}")]
pub struct StepError {
    /// Where, as a JSON pointer from the list of options: `/0/customFieldNames`.
    pub path: String,
    /// Whether the name of the key is wrong, not its value.
    pub at_name: bool,
    /// What is wrong.
    pub message: String,
    /// What would do.
    pub help: String,
}

/// What becomes of a record that a step cannot work on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It is kept in the quarantine, as it came in.
    #[default]
    Quarantine,
    /// It is sent as it came in.
    Raw,
    /// It is dropped and counted.
    Drop,
}

type Start = dyn Fn(&Surroundings) -> Result<Box<dyn Work>, NotReady> + Send + Sync;

/// One step.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) on_failure: OnFailure,
    /// The environment variables that it cannot start without.
    variables: Vec<String>,
    /// How long what the machine says about itself stays true, where it is added.
    instance: Option<Duration>,
    /// Its patterns, with their places.
    patterns: Vec<(String, Pattern)>,
    /// What it takes for each byte of a record beside its patterns, in nanoseconds.
    cost: u64,
    pub(super) start: Arc<Start>,
    /// How binary messages become records of this step.
    decoder: Option<Decoder>,
}

impl fmt::Debug for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct(self.name).field("on_failure", &self.on_failure).finish_non_exhaustive()
    }
}

impl Step {
    /// A step that starts the same way everywhere.
    fn plain<W: Work + 'static>(name: &'static str, start: impl Fn() -> W + Send + Sync + 'static) -> Self {
        Self::with_surroundings(name, move |_| Ok(start()))
    }

    fn with_surroundings<W: Work + 'static>(
        name: &'static str,
        start: impl Fn(&Surroundings) -> Result<W, NotReady> + Send + Sync + 'static,
    ) -> Self {
        let start: Arc<Start> = Arc::new(move |surroundings| Ok(Box::new(start(surroundings)?) as Box<dyn Work>));
        Self {
            name,
            on_failure: OnFailure::default(),
            variables: Vec::new(),
            instance: None,
            patterns: Vec::new(),
            cost: USUAL_COST,
            start,
            decoder: None,
        }
    }
}

/// What a step without patterns takes for each byte of a record, in nanoseconds.
const USUAL_COST: u64 = 5;

/// Gives the bytes of a file, or the reason why it cannot.
pub type ReadFile = dyn Fn(&str) -> Result<Vec<u8>, String>;

/// Makes the step of one option; `None` where a fault was reported.
type Parse = fn(&mut Reader<'_>) -> Option<Step>;

const OPTIONS: [(&str, Parse); 16] = [
    ("SINGLELINE", original::singleline),
    ("CSVTOJSON", original::csv),
    ("LOGTOJSON", original::log),
    ("ADDMETADATA", original::metadata),
    ("ADDEC2METADATA", original::instance),
    ("ADDBRACKETS", original::brackets),
    ("USINGPLUGGIN", original::plugin),
    ("FILTER", more::filter),
    ("REDACT", more::redact),
    ("ADDFIELDS", more::add_fields),
    ("RENAMEFIELDS", more::rename_fields),
    ("REMOVEFIELDS", more::remove_fields),
    ("TIMESTAMP", more::timestamp),
    ("ADDPROVENANCE", more::provenance),
    ("JQ", more::jq),
    ("SCHEMA", schema::schema),
];

/// The words of `onFailure`, in an option and in a flow.
const ON_FAILURE: [(&str, OnFailure); 3] =
    [("quarantine", OnFailure::Quarantine), ("raw", OnFailure::Raw), ("drop", OnFailure::Drop)];

impl OnFailure {
    /// What one of the words `"quarantine"`, `"raw"` and `"drop"` means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        ON_FAILURE.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning)
    }
}

impl Settings {
    /// The names of all options.
    pub const OPTION_NAMES: [&str; OPTIONS.len()] = {
        let mut names = [""; OPTIONS.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = OPTIONS[index].0;
            index += 1;
        }
        names
    };

    /// The settings that a list of option objects (`dataProcessingOptions`) asks for.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the list.
    pub fn parse(value: &Value) -> Result<Self, Vec<StepError>> {
        Self::parse_with(value, OnFailure::default())
    }

    /// The same; `on_failure` holds for options that do not say themselves what becomes of records they cannot work on.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the list.
    pub fn parse_with(value: &Value, on_failure: OnFailure) -> Result<Self, Vec<StepError>> {
        Self::parse_reading(value, on_failure, &|_| Err("files are not read here".to_owned()))
    }

    /// The same; `read` gives the bytes of a file that an option names, or the reason why it cannot.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the list.
    pub fn parse_reading(value: &Value, on_failure: OnFailure, read: &ReadFile) -> Result<Self, Vec<StepError>> {
        let mut errors = Vec::new();
        let Value::Array(options) = value else {
            let help = if value.is_object() {
                "put the option into brackets: [{…}] (the Kinesis Agent ignored it without a word)"
            } else {
                "write a list of option objects: [{\"optionName\": …}]"
            };
            return Err(vec![StepError {
                path: String::new(),
                at_name: false,
                message: "this is not a list".to_owned(),
                help: help.to_owned(),
            }]);
        };
        if options.len() > usize::from(u16::MAX) {
            let (message, help) = ("there are more than 65,535 options".to_owned(), "leave some out".to_owned());
            return Err(vec![StepError { path: String::new(), at_name: false, message, help }]);
        }
        let steps: Vec<_> = options
            .iter()
            .enumerate()
            .map(|(index, option)| step(index, option, on_failure, read, &mut errors))
            .collect();
        let steps: Vec<Step> = steps.into_iter().flatten().collect();
        if errors.is_empty() && steps.iter().any(|step| step.name == "REDACT") {
            for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.on_failure == OnFailure::Raw) {
                errors.push(StepError {
                    path: format!("/{index}/onFailure"),
                    at_name: false,
                    message: format!("a record that {} cannot work on would be sent unredacted", step.name),
                    help: "write \"quarantine\" or \"drop\" beside REDACT".to_owned(),
                });
            }
        }
        if errors.is_empty() { Ok(Self { steps }) } else { Err(errors) }
    }

    /// Whether records pass as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The environment variables whose values [`super::Surroundings`] is to hold, as far as they are set.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flat_map(|step| step.variables.iter().map(String::as_str))
    }

    /// Whether a step adds what the machine says about itself, and how long that stays true.
    #[must_use]
    pub fn instance(&self) -> Option<Duration> {
        self.steps.iter().filter_map(|step| step.instance).min()
    }

    /// What may take long in records that somebody made for that: patterns that may look through the rest of a record
    /// again and again. Such a record goes where `onFailure` says.
    pub fn warnings(&self) -> impl Iterator<Item = StepError> {
        let patterns = self.steps.iter().flat_map(|step| &step.patterns);
        patterns.filter_map(|(path, pattern)| {
            let part = pattern.slow_part()?;
            let message = format!(
                "the part `{part}` of this pattern may look through the rest of a record again and again; a record that \
                 takes more steps than its length allows goes where `onFailure` says"
            );
            let help = "give the part an end, such as `[^;]*;` for `.*;`, or a limit, such as `{0,200}`".to_owned();
            Some(StepError { path: path.clone(), at_name: false, message, help })
        })
    }

    /// The patterns that are too large for records of this length.
    pub fn too_large_for(&self, longest_record: usize) -> impl Iterator<Item = StepError> {
        let patterns = self.steps.iter().flat_map(|step| &step.patterns);
        patterns.filter(move |(_, pattern)| pattern.is_too_large_for(longest_record)).map(move |(path, _)| StepError {
            path: path.clone(),
            at_name: false,
            message: format!("this pattern is too large for records of up to {longest_record} bytes"),
            help: "repeat less, or smaller parts; or let records be shorter".to_owned(),
        })
    }

    /// Nanoseconds that a record may take for each of its bytes, in the worst case: how work is shared out.
    pub(super) fn cost(&self) -> u64 {
        let cost = |step: &Step| {
            step.patterns.iter().fold(step.cost, |cost, (_, pattern)| cost.saturating_add(pattern.cost()))
        };
        self.steps.iter().fold(0, |sum: u64, step| sum.saturating_add(cost(step)))
    }

    /// How binary messages become records that the first step takes, where that is SCHEMA.
    #[must_use]
    pub fn decoder(&self) -> Option<&Decoder> {
        self.steps.first().and_then(|step| step.decoder.as_ref())
    }

    /// The names of the steps, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().map(|step| step.name)
    }

    /// The name of a step, as a [`super::Reason`] counts them.
    #[must_use]
    pub fn name(&self, step: usize) -> &'static str {
        self.steps.get(step).map_or("", |step| step.name)
    }
}

fn step(
    index: usize,
    option: &Value,
    otherwise: OnFailure,
    read: &ReadFile,
    errors: &mut Vec<StepError>,
) -> Option<Step> {
    let before = errors.len();
    let mut reader = Reader::new(index, option, read, errors)?;
    let name = reader.required_text("optionName", "name one of the options, such as \"LOGTOJSON\"")?;
    let Some((_, parse)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
        let known = OPTIONS.map(|(name, _)| name);
        let help = match nearest(&name, known) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("known are {}", known.join(", ")),
        };
        reader.error("optionName", format!("there is no option `{name}`"), help);
        return None;
    };
    let on_failure = reader.choice("onFailure", &ON_FAILURE).unwrap_or(otherwise);
    let step = parse(&mut reader);
    let patterns = reader.finish();
    let step = step.map(|step| Step { on_failure, patterns, ..step });
    if errors.len() == before { step } else { None }
}
