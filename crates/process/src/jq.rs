//! JQ: a program of jq, run on each record.
//! Promises that loops end: each round of a loop and each number of a range is a step, and steps and results are
//! counted; that nothing outside the record is read; and that what comes out is JSON, one value a line.
//! Leaves bounding the memory of one step (a text multiplied, a regular expression) to the interpreter, which cannot.

use super::json::scan;
use super::{Cause, Place, Stop, Work};
use jaq_core::load::{Arena, File, Loader, parse};
use jaq_core::{Compiler, Ctx, Error, Exn, Native, Vars, data, native};
use jaq_json::{Val, read, write};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

type Data = data::JustLut<Val>;
type Filter = jaq_core::compile::Filter<Native<Data>>;

/// What replaces the ways of the library to go round: the same, with a step counted each time.
const RANGE: &str = "def range($from; $to; $by): __range($from; $to; $by) | __step;";
const LOOPS: &str = "
    def repeat(f): def rec: __step | (f, rec); rec;
    def recurse(f): def rec: __step | (., (f | rec)); rec;
    def recurse: recurse(.[]?);
    def recurse(f; cond): recurse(f | select(cond));
    def while(cond; update): def rec: __step | if cond then ., (update | rec) else empty end; rec;
    def until(cond; update): def rec: __step | if cond then . else update | rec end; rec;
";
/// What would reach outside the record.
const OUTSIDE: [&str; 8] =
    ["now", "localtime", "halt", "env", "debug_empty", "stderr_empty", "input_line_number", "get_search_list"];

thread_local! {
    /// Steps left for the record at hand. One record is worked on at a time by a thread.
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// Counts a step; the last one is an error, which nothing that goes on counting can catch for long.
fn step<'a>(cv: jaq_core::Cv<'a, Data>) -> jaq_core::ValXs<'a, Val> {
    let left = STEPS.get();
    STEPS.set(left.saturating_sub(1));
    let result = if left == 0 { Err(Exn::from(Error::str("too many steps"))) } else { Ok(cv.1) };
    Box::new(std::iter::once(result))
}

fn refuse<'a>(_: jaq_core::Cv<'a, Data>) -> jaq_core::ValXs<'a, Val> {
    Box::new(std::iter::once(Err(Exn::from(Error::str("a program sees the record and nothing else")))))
}

/// A compiled program.
#[derive(Clone)]
pub(super) struct Program {
    filter: Arc<Filter>,
    max_results: usize,
    max_steps: usize,
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Program").finish_non_exhaustive()
    }
}

impl Program {
    pub(super) fn new(text: &str, max_results: usize, max_steps: usize) -> Result<Self, String> {
        let words = text.split(|character: char| !(character.is_alphanumeric() || character == '_'));
        for word in words {
            match word {
                "def" => return Err("it holds `def`; a definition could call itself without end".to_owned()),
                "import" | "include" | "input" | "inputs" | "env" | "ENV" | "__range" | "__step" => {
                    return Err(format!("it holds `{word}`; a program sees the record and nothing else"));
                }
                _ => {}
            }
        }
        let own = |text: &'static str| parse(text, |parser| parser.defs()).expect("these definitions are valid");
        let definitions = own(RANGE)
            .into_iter()
            .chain(jaq_core::defs())
            .chain(own(LOOPS))
            .chain(jaq_std::defs())
            .chain(jaq_json::defs());
        let functions = jaq_core::funs::<Data>().chain(jaq_std::funs()).chain(jaq_json::funs());
        let functions = functions.map(|(name, arguments, function)| match name {
            "range" => ("__range", arguments, function),
            name if OUTSIDE.contains(&name) => native::run::<Data>((name, arguments, refuse)),
            _ => (name, arguments, function),
        });
        let functions = functions.chain([native::run::<Data>(("__step", native::v(0), step))]);
        let arena = Arena::default();
        let modules = Loader::new(definitions).load(&arena, File { code: text, path: () });
        let modules = modules.map_err(|_| "it is not valid jq".to_owned())?;
        let filter = Compiler::default().with_funs(functions).compile(modules).map_err(|errors| {
            let unknown = errors.iter().flat_map(|(_, errors)| errors.iter().map(|(name, _)| format!("`{name}`")));
            format!("it names what does not exist: {}", unknown.collect::<Vec<_>>().join(", "))
        })?;
        Ok(Self { filter: Arc::new(filter), max_results, max_steps })
    }
}

#[derive(Debug)]
pub(super) struct Jq {
    program: Program,
}

impl Jq {
    pub(super) fn new(program: Program) -> Self {
        Self { program }
    }
}

impl Work for Jq {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let Program { filter, max_results, max_steps } = &self.program;
        // Looked through first: the interpreter reads a superset of JSON, to any depth.
        let (start, end) = scan::document(record)?;
        let value = read::parse_single(&record[start..end]).map_err(|_| Cause::NotJson { at: start })?;
        STEPS.set(*max_steps);
        let context = Ctx::<Data>::new(&filter.lut, Vars::new([]));
        let mut count = 0;
        for result in filter.id.run((context, value)) {
            if STEPS.get() == 0 {
                return Err(Cause::TooManySteps.into());
            }
            let value = jaq_core::unwrap_valr(result).map_err(|_| Cause::ProgramFailed)?;
            count += 1;
            if count > *max_results {
                return Err(Cause::TooManyResults { limit: *max_results }.into());
            }
            if count > 1 {
                out.push(b'\n');
            }
            let from = out.len();
            write::write(out, &write::Pp::default(), 0, &value).map_err(|_| Cause::ProgramFailed)?;
            // The interpreter knows values that JSON does not.
            scan::document(&out[from..]).map_err(|_| Cause::ProgramFailed)?;
        }
        if STEPS.get() == 0 {
            return Err(Cause::TooManySteps.into());
        }
        if count == 0 { Err(Stop::Dropped(Cause::NoResult)) } else { Ok(()) }
    }

    fn line_end<'a>(&self, _: &'a [u8]) -> &'a [u8] {
        b"\n"
    }
}
