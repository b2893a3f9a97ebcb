//! Reactions on this machine: rules of `lake.json` on new objects below the folder of the lake.
//! Promises one result for each object and rule, whenever the program is killed, and no byte written without news; that
//! a rule which fails is tried again and holds up no other one.
//! Leaves identities and keys of results to the crate that a Lambda has them from too, and pictures to `chart`.

/// What is remembered besides the results themselves.
pub mod journal;
/// New objects of a table.
pub mod table;
/// One result.
mod work;

use crate::config::{Action, Lake, Reaction};
use crate::engine::duckdb::DuckDb;
use crate::schema::Schema;
use crate::sql::lint;
use crate::{Exit, files};
use datalake_base::shown::shown;
use datalake_react::{Hour, Identity, Version, hour, order};
use journal::{Failure, Journal, Lock};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use table::Table;

/// How often each table is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// A trigger that failed waits so long, and twice as long after each further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// After this many failures in a row the fault is not in one object: the others wait too.
const IN_A_ROW: u32 = 3;

/// What a line for the operator goes to.
pub type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// A rule, ready to run.
#[derive(Debug)]
struct Rule<'a> {
    reaction: &'a Reaction,
    /// As it stands in the file.
    query: String,
    version: Version,
}

/// One object that a rule has not answered yet.
#[derive(Clone, Debug)]
struct Trigger {
    /// Its key.
    key: String,
    /// Its partition, as it is.
    partition: String,
    identity: Identity,
}

/// What a rule waits for.
#[derive(Clone, Copy, Debug)]
struct Retry {
    tries: u32,
    next: Instant,
}

/// What one rule knows from look to look.
#[derive(Debug)]
struct State {
    table: Table,
    /// Answered; the result was there once.
    settled: HashSet<Identity>,
    retries: HashMap<Identity, Retry>,
    /// Set when the fault is not in one object.
    pause: Option<Instant>,
    pauses: u32,
}

/// All rules, and what they share.
#[derive(Debug)]
pub struct Runner<'a> {
    lake: &'a Lake,
    schema: &'a Schema,
    duckdb: DuckDb,
    /// Each behind those that lead to it.
    rules: Vec<Rule<'a>>,
    journal: Mutex<Journal>,
    failures: Mutex<BTreeMap<String, Failure>>,
    _lock: Lock,
}

/// How a look at one rule ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Results written, programs run.
    pub done: u64,
    /// Triggers that failed.
    pub failed: u64,
}

fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text of a rule's query, looked through.
///
/// # Errors
/// When it cannot be read, or is refused.
pub fn read_query(reaction: &Reaction) -> Result<String, Exit> {
    let path = &reaction.query;
    let text = files::text(path).map_err(|error| {
        format!("the query of `{}`, {}, cannot be read: {error}", reaction.name, shown(path.as_path()))
    })?;
    let query = lint::check(&path.display().to_string(), &text).map_err(Exit::Faults)?;
    hour::bind(query, Hour::of_millis(0)).map_err(|error| format!("{}: {error}", shown(path.as_path())))?;
    Ok(query.to_owned())
}

impl<'a> Runner<'a> {
    /// Reads queries and journal; nothing is run yet.
    ///
    /// # Errors
    /// A query that cannot be read or is refused, another program at work on the same lake, a journal that cannot be written.
    pub fn new(lake: &'a Lake, schema: &'a Schema, duckdb: DuckDb) -> Result<Self, Exit> {
        let edges: Vec<order::Edge<'_>> =
            lake.reactions.iter().map(|reaction| order::Edge { on: &reaction.on, into: reaction.writes() }).collect();
        let sorted = order::sorted(&edges)
            .map_err(|circle| format!("the reactions lead in a circle: {}", circle.join(" -> ")))?;
        let mut rules = Vec::new();
        let here = sorted.into_iter().map(|index| &lake.reactions[index]).filter(|reaction| reaction.is_local());
        for reaction in here {
            let query = read_query(reaction)?;
            rules.push(Rule { reaction, version: reaction.version(&query), query });
        }
        let lock = Lock::take(&lake.root)?;
        journal::sweep(&lake.root);
        // What failed for a program that has ended fails again, or does not.
        journal::write_failures(&lake.root, &BTreeMap::new());
        let journal = Mutex::new(Journal::open(&lake.root)?);
        Ok(Self { lake, schema, duckdb, rules, journal, failures: Mutex::default(), _lock: lock })
    }

    /// Answers what waits now, each rule once, and ends.
    ///
    /// # Errors
    /// When a table cannot be listed.
    pub fn once(&self, say: Say<'_>) -> Result<Round, Exit> {
        let mut all = Round::default();
        for rule in &self.rules {
            let round = self.round(rule, &mut self.state(rule), say)?;
            all = Round { done: all.done + round.done, failed: all.failed + round.failed };
        }
        Ok(all)
    }

    /// Answers what comes, for ever; each rule on a thread of its own, so that none waits for another one.
    pub fn forever(&self, say: Say<'_>) {
        std::thread::scope(|scope| {
            for rule in &self.rules {
                scope.spawn(move || {
                    let mut state = self.state(rule);
                    loop {
                        if let Err(exit) = self.round(rule, &mut state, say) {
                            self.failed(rule, &exit.to_string(), 1, LOOK, say);
                        }
                        std::thread::sleep(LOOK);
                    }
                });
            }
        });
    }

    fn state(&self, rule: &Rule<'_>) -> State {
        let prefix = &self.lake.tables[&rule.reaction.on].prefix;
        State {
            table: Table::new(&self.lake.root, prefix),
            settled: HashSet::new(),
            retries: HashMap::new(),
            pause: None,
            pauses: 0,
        }
    }

    /// One look at a rule.
    fn round(&self, rule: &Rule<'_>, state: &mut State, say: Say<'_>) -> Result<Round, Exit> {
        if state.pause.is_some_and(|until| Instant::now() < until) {
            return Ok(Round::default());
        }
        let waiting = self.waiting(rule, state)?;
        if waiting.is_empty() {
            if state.retries.is_empty() && own(&self.failures).contains_key(&rule.reaction.name) {
                self.recovered(rule);
            }
            return Ok(Round::default());
        }
        if let Action::Chart(_) = rule.reaction.action {
            return Ok(self.draw(rule, state, &waiting, say));
        }
        let (mut round, mut in_a_row) = (Round::default(), 0);
        for trigger in waiting {
            match self.answer(rule, &trigger) {
                Ok(words) => {
                    say(&format!("{}: {} -> {words}", rule.reaction.name, shown(trigger.key.as_str())));
                    state.settled.insert(trigger.identity);
                    state.retries.remove(&trigger.identity);
                    (round.done, in_a_row, state.pauses) = (round.done + 1, 0, 0);
                }
                Err(reason) => {
                    let tries = state.retries.get(&trigger.identity).map_or(0, |retry| retry.tries) + 1;
                    let pause = pause(tries);
                    state.retries.insert(trigger.identity, Retry { tries, next: Instant::now() + pause });
                    let reason = format!("{}: {reason}", shown(trigger.key.as_str()));
                    self.failed(rule, &reason, tries, pause, say);
                    (round.failed, in_a_row) = (round.failed + 1, in_a_row + 1);
                    if in_a_row == IN_A_ROW {
                        state.pauses += 1;
                        state.pause = Some(Instant::now() + self::pause(state.pauses));
                        break;
                    }
                }
            }
        }
        if round.failed == 0 && state.retries.is_empty() {
            self.recovered(rule);
        }
        Ok(round)
    }

    /// All triggers at once: the picture shows what there is now, and later ones would show the same.
    fn draw(&self, rule: &Rule<'_>, state: &mut State, waiting: &[Trigger], say: Say<'_>) -> Round {
        match work::draw(self.lake, self.schema, &self.duckdb, rule.reaction, &rule.query, state.table.newest()) {
            Ok(words) => {
                let identities: Vec<Identity> = waiting.iter().map(|trigger| trigger.identity).collect();
                if let Err(exit) = own(&self.journal).done(&rule.reaction.name, &identities) {
                    self.failed(rule, &exit.to_string(), 1, LOOK, say);
                    return Round { done: 0, failed: 1 };
                }
                say(&format!("{}: {} new -> {words}", rule.reaction.name, waiting.len()));
                state.settled.extend(identities);
                (state.pause, state.pauses) = (None, 0);
                self.recovered(rule);
                Round { done: 1, failed: 0 }
            }
            Err(reason) => {
                state.pauses += 1;
                let pause = pause(state.pauses);
                state.pause = Some(Instant::now() + pause);
                self.failed(rule, &reason, state.pauses, pause, say);
                Round { done: 0, failed: 1 }
            }
        }
    }

    fn answer(&self, rule: &Rule<'_>, trigger: &Trigger) -> Result<String, String> {
        let context = work::Context { lake: self.lake, schema: self.schema, duckdb: &self.duckdb };
        let hour = Hour::parse(&trigger.partition).map_err(|error| error.to_string())?;
        let words = work::answer(&context, rule.reaction, &rule.query, &trigger.key, hour, &trigger.identity)?;
        if work::result_key(self.lake, rule.reaction, &hour, &trigger.identity).is_none() {
            own(&self.journal).done(&rule.reaction.name, &[trigger.identity]).map_err(|exit| exit.to_string())?;
        }
        Ok(words)
    }

    /// The triggers of a rule that are not answered and whose time has come; those that failed last.
    fn waiting(&self, rule: &Rule<'_>, state: &mut State) -> Result<Vec<Trigger>, Exit> {
        let mut waiting = Vec::new();
        let now = Instant::now();
        let redraw = match &rule.reaction.action {
            Action::Chart(picture) => !self.lake.root.join(&picture.to).exists(),
            _ => false,
        };
        state.table.look()?;
        for object in state.table.objects() {
            let early = |from: Hour| Hour::parse(&object.partition).is_ok_and(|hour| hour < from);
            if rule.reaction.from.is_some_and(early) {
                continue;
            }
            let Some(key) = object.path.to_str() else { continue };
            // Gone since it was listed, or not to be read yet: the next look has it again.
            let Ok(etag) = own(&self.journal).etag(&self.lake.root, object) else { continue };
            let identity = Identity::of(&rule.reaction.name, &rule.version, key, &etag);
            if !redraw && (state.settled.contains(&identity) || self.is_answered(rule, &object.partition, &identity)) {
                state.settled.insert(identity);
                continue;
            }
            if state.retries.get(&identity).is_none_or(|retry| retry.next <= now) {
                waiting.push(Trigger { key: key.to_owned(), partition: object.partition.clone(), identity });
            }
        }
        let tries = |trigger: &Trigger| state.retries.get(&trigger.identity).map_or(0, |retry| retry.tries);
        waiting.sort_by_key(tries);
        Ok(waiting)
    }

    /// Whether the result is there, or the journal has it where there is no result to be there.
    fn is_answered(&self, rule: &Rule<'_>, partition: &str, identity: &Identity) -> bool {
        let key =
            Hour::parse(partition).ok().and_then(|hour| work::result_key(self.lake, rule.reaction, &hour, identity));
        match key {
            Some(key) => self.lake.root.join(key).exists(),
            None => own(&self.journal).is_done(&rule.reaction.name, identity),
        }
    }

    fn failed(&self, rule: &Rule<'_>, reason: &str, tries: u32, pause: Duration, say: Say<'_>) {
        let name = &rule.reaction.name;
        let mut failures = own(&self.failures);
        let known = failures.get(name).is_some_and(|known| known.reason == reason);
        failures.insert(name.clone(), Failure { reason: reason.to_owned(), tries });
        journal::write_failures(&self.lake.root, &failures);
        drop(failures);
        if !known {
            say(&format!("{name}: FAILED, again in {} s: {reason}", pause.as_secs().max(1)));
        }
    }

    fn recovered(&self, rule: &Rule<'_>) {
        let mut failures = own(&self.failures);
        if failures.remove(&rule.reaction.name).is_some() || failures.is_empty() {
            journal::write_failures(&self.lake.root, &failures);
        }
    }

    /// How many rules there are.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.rules.len()
    }
}

fn pause(tries: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

/// What waits of a rule, for those who look; reads no object. One that was never hashed was never answered.
///
/// # Errors
/// When the query cannot be read.
pub fn backlog(lake: &Lake, reaction: &Reaction, table: &Table, journal: &Journal) -> Result<u64, Exit> {
    let version = reaction.version(&read_query(reaction)?);
    let mut waits = 0;
    for object in table.objects() {
        let hour = Hour::parse(&object.partition).ok();
        if let (Some(hour), Some(from)) = (hour, reaction.from)
            && hour < from
        {
            continue;
        }
        let Some(key) = object.path.to_str() else { continue };
        let Some(etag) = journal.known_etag(object) else {
            waits += 1;
            continue;
        };
        let identity = Identity::of(&reaction.name, &version, key, etag);
        let answered = match hour.and_then(|hour| work::result_key(lake, reaction, &hour, &identity)) {
            Some(key) => lake.root.join(key).exists(),
            None => journal.is_done(&reaction.name, &identity),
        };
        waits += u64::from(!answered);
    }
    Ok(waits)
}

/// How a rule stands, for those who look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Objects that are not answered; nothing where that cannot be known.
    pub waits: Option<u64>,
    /// Why they wait; a dash where none does.
    pub why: String,
}

/// How each rule of lake.json stands. Writes nothing and reads no object.
#[must_use]
pub fn standings(lake: &Lake) -> Vec<Standing> {
    let running = Lock::is_taken(&lake.root);
    let failures = journal::failures(&lake.root);
    let journal = Journal::look(&lake.root);
    let standing = |reaction: &Reaction| {
        if !reaction.is_local() {
            return Standing { waits: Some(0), why: "a function on AWS does it; there is no `run`".to_owned() };
        }
        let mut table = Table::new(&lake.root, &lake.tables[&reaction.on].prefix);
        match table.look().and_then(|()| backlog(lake, reaction, &table, &journal)) {
            Err(exit) => Standing { waits: None, why: exit.to_string() },
            Ok(0) => Standing { waits: Some(0), why: "-".to_owned() },
            Ok(waits) => {
                let why = match (failures.get(&reaction.name), running) {
                    (Some(failure), true) => format!("failed {} times, tried again: {}", failure.tries, failure.reason),
                    (Some(failure), false) => format!("failed: {}; `datalake react` is not running", failure.reason),
                    (None, true) => "`datalake react` is at work".to_owned(),
                    (None, false) => "`datalake react` is not running".to_owned(),
                };
                Standing { waits: Some(waits), why }
            }
        }
    };
    lake.reactions.iter().map(standing).collect()
}
