//! What the SDK's libraries log as warnings while they are asked for something: heard, not shown.
//! Promises that none of it reaches the operator raw, and that what the libraries log below that goes where it went before.
//! Leaves folding it into a reason, and logging that, to the caller.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

use super::said;

/// The beginning of the targets of our own crates.
const OURS: &str = "datalake_";
/// The most warnings that are kept of one question.
const MOST: usize = 8;

/// Warnings of libraries, in the order in which they came, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints(Vec<Hint>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hint {
    message: String,
    error: Option<String>,
    path: Option<String>,
}

impl Hints {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The reason with what it does not say itself.
    pub(super) fn fold_into(&self, reason: String) -> String {
        let mut folded = reason;
        for Hint { message, error, path } in &self.0 {
            let message = path.as_ref().map_or_else(|| message.clone(), |path| format!("{message} {path}"));
            // The end of an error says the most; what stands before it depends on who passed it on.
            let known = |text: &str| folded.contains(&text[text.ceil_char_boundary(text.len().saturating_sub(60))..]);
            match error {
                // Who passed the error on is of no interest.
                Some(error) if known(error) => {}
                Some(error) => _ = write!(folded, "; {message}: {error}"),
                None if known(&message) => {}
                None => _ = write!(folded, "; {message}"),
            }
        }
        said::cut(&folded).into_owned()
    }
}

impl fmt::Display for Hints {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.fold_into(String::new()).trim_start_matches("; "))
    }
}

/// Lives the future, and hears the warnings of libraries meanwhile.
pub(super) async fn heard<F: Future>(future: F) -> (F::Output, Hints) {
    let hints = Arc::new(Mutex::new(Hints::default()));
    let ear = Ear { outer: dispatcher::get_default(Dispatch::clone), hints: hints.clone() };
    let output = future.with_subscriber(ear).await;
    let hints = std::mem::take(&mut *hints.lock().unwrap_or_else(PoisonError::into_inner));
    (output, hints)
}

/// The same for what looks at the AWS configuration of the machine: its warnings are logged as one line of ours, once in
/// the life of the process however many sessions look.
pub(super) async fn logged_once<F: Future>(future: F) -> F::Output {
    static LOGGED: Mutex<Vec<Hints>> = Mutex::new(Vec::new());
    let (output, hints) = heard(Box::pin(future)).await;
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    if !hints.is_empty() && logged.len() < MOST && !logged.contains(&hints) {
        let reason = hints.to_string();
        tracing::warn!(reason, "not everything in the AWS configuration of this machine is right");
        logged.push(hints);
    }
    output
}

/// Passes everything on but warnings of libraries.
struct Ear {
    outer: Dispatch,
    hints: Arc<Mutex<Hints>>,
}

fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && *metadata.level() <= Level::WARN && !metadata.target().starts_with(OURS)
}

impl Subscriber for Ear {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_warning(metadata) || self.outer.enabled(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        if !is_warning(event.metadata()) {
            return self.outer.event(event);
        }
        let mut hint = Hint::default();
        event.record(&mut Words(&mut hint));
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        if hints.0.len() < MOST && !hints.0.contains(&hint) {
            hints.0.push(hint);
        }
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.outer.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.outer.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.outer.record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        self.outer.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.outer.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.outer.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.outer.try_close(id)
    }
}

/// Reads message and error of an event; other fields are for those who debug the library.
struct Words<'a>(&'a mut Hint);

impl Words<'_> {
    fn take(&mut self, field: &Field, text: &str) {
        let text = said::cut(&without_debug(text).split_whitespace().collect::<Vec<_>>().join(" ")).into_owned();
        match field.name() {
            "message" => self.0.message = text.trim_end_matches('.').to_owned(),
            "error" | "err" => self.0.error = Some(text),
            "path" => self.0.path = Some(text),
            _ => {}
        }
    }
}

impl Visit for Words<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }
}

/// An error without its form for debugging, which the SDK writes in brackets behind it: ` (Name { … })`, ` (Name(…))`.
fn without_debug(text: &str) -> &str {
    let begins = text.match_indices(" (").find(|(at, _)| {
        let rest = &text[at + 2..];
        let name = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(0);
        rest.starts_with(|letter: char| letter.is_ascii_uppercase())
            && (rest[name..].starts_with(" {") || rest[name..].starts_with('('))
    });
    begins.map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_without_its_form_for_debugging() {
        for (text, expected) in [
            ("denied (ProviderError(ProviderError { source: x }))", "denied"),
            ("a: b (InvalidConfiguration { x: 1 })", "a: b"),
            ("no such file (os error 2)", "no such file (os error 2)"),
            ("no such file (os error 2) (CouldNotReadProfileFile { p: 1 })", "no such file (os error 2)"),
            ("plain", "plain"),
        ] {
            assert_eq!(without_debug(text), expected);
        }
    }

    #[tokio::test]
    async fn warnings_of_libraries_are_heard_and_our_own_go_where_they_went() {
        let outside = Arc::new(Mutex::new(Hints::default()));
        // What stands for the log keeps everything, whoever it comes from.
        struct All(Arc<Mutex<Hints>>);
        impl Subscriber for All {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                true
            }
            fn event(&self, event: &Event<'_>) {
                let mut hint = Hint::default();
                event.record(&mut Words(&mut hint));
                self.0.lock().unwrap().0.push(hint);
            }
            fn new_span(&self, _: &Attributes<'_>) -> Id {
                Id::from_u64(1)
            }
            fn record(&self, _: &Id, _: &Record<'_>) {}
            fn record_follows_from(&self, _: &Id, _: &Id) {}
            fn enter(&self, _: &Id) {}
            fn exit(&self, _: &Id) {}
        }
        let asked = async {
            for _ in 0..3 {
                tracing::warn!(target: "aws_config::imds", "received 404 from IMDS.");
                tracing::warn!(target: "aws_config", error = %"denied (X { y: 1 })", "provider failed");
                tokio::task::yield_now().await;
            }
            tracing::warn!(target: "datalake_agent", "ours");
            tracing::debug!(target: "aws_config", "below");
            7
        };
        let (output, hints) = heard(asked).with_subscriber(All(outside.clone())).await;
        assert_eq!(output, 7);
        assert_eq!(hints.to_string(), "received 404 from IMDS; provider failed: denied");
        assert_eq!(hints.fold_into("no keys: denied".to_owned()), "no keys: denied; received 404 from IMDS");
        let outside: Vec<String> = outside.lock().unwrap().0.iter().map(|hint| hint.message.clone()).collect();
        assert_eq!(outside, ["ours", "below"]);
    }
}
