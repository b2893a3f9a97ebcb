//! Counts every line that the service accepted, beside and outside of the agent.
//! Promises that no accepted line is overlooked, and that a line that nobody wrote fails the test.
//! Leaves which lines must be there to the writers.

use local_lake::Lake;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One accepted line.
#[derive(Clone, Copy, Debug)]
struct Line {
    writer: usize,
    /// Of the writer's file.
    generation: u64,
    number: u64,
    at: Instant,
    call: u64,
    /// Which run of the agent sent it.
    life: usize,
}

/// The count.
pub(crate) struct Sink {
    stream: String,
    state: Mutex<State>,
}

struct State {
    lines: Vec<Line>,
    /// How often each line arrived, by writer and number.
    counts: Vec<Vec<u32>>,
    /// Records of the lake that are counted already.
    records: usize,
    /// The newest call that was looked at.
    last_call: u64,
    /// Calls whose answer did not get through.
    lost: BTreeSet<u64>,
    /// The first connection of each life.
    lives: Vec<u64>,
    /// From this life on the order is open.
    disorder_from: usize,
}

/// A line as writers write it: `W<writer>:<number>:<generation>:<padding>`.
pub(crate) fn line(writer: usize, number: u64, generation: u64, padding: usize) -> String {
    format!("W{writer}:{number}:{generation}:{:x>padding$}\n", "")
}

fn parse(line: &[u8]) -> Option<(usize, u64, u64)> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix('W')?;
    let mut fields = text.split(':');
    let parsed = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let padding = fields.next()?;
    (padding.bytes().all(|byte| byte == b'x') && fields.next().is_none()).then_some(parsed)
}

impl Sink {
    pub(crate) fn new(stream: &str, writers: usize) -> Self {
        let state = State {
            lines: Vec::new(),
            counts: vec![Vec::new(); writers],
            records: 0,
            last_call: 0,
            lost: BTreeSet::new(),
            lives: Vec::new(),
            disorder_from: usize::MAX,
        };
        Self { stream: stream.to_owned(), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections from here on belong to the next run of the agent.
    pub(crate) fn new_life(&self, lake: &Lake) {
        let first = lake.stats().connections + 1;
        self.lock().lives.push(first);
    }

    /// How many lines arrived again whose call was not the last one of its life: with one call at a time, its answer had
    /// been read when the next one was sent.
    pub(crate) fn repeated_though_answered(&self) -> u64 {
        let state = self.lock();
        let mut last: BTreeMap<usize, u64> = BTreeMap::new();
        for line in &state.lines {
            let call = last.entry(line.life).or_default();
            *call = line.call.max(*call);
        }
        let mut newest: BTreeMap<(usize, u64), &Line> = BTreeMap::new();
        let repeated = state.lines.iter().filter_map(|line| newest.insert((line.writer, line.number), line));
        repeated.filter(|before| last.get(&before.life) != Some(&before.call)).count() as u64
    }

    /// From the next life on lines may arrive in any order.
    pub(crate) fn expect_disorder(&self) {
        let mut state = self.lock();
        state.disorder_from = state.lives.len();
    }

    /// Counts what arrived for so long, in small steps, so that writers know what is delivered.
    pub(crate) fn watch_for(&self, lake: &Lake, time: Duration) {
        let until = Instant::now() + time;
        loop {
            self.update(lake);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Counts what arrived since the last time.
    pub(crate) fn update(&self, lake: &Lake) {
        let arrived = lake.arrived(&self.stream);
        let calls = lake.calls();
        let mut state = self.lock();
        let state = &mut *state;
        for record in &arrived[state.records..] {
            assert!(record.data.ends_with(b"\n"), "a record ends within a line: {:?}", record.data);
            let life = state.lives.partition_point(|first| *first <= record.connection);
            for text in record.data.split_inclusive(|byte| *byte == b'\n') {
                let Some((writer, number, generation)) = parse(text.strip_suffix(b"\n").unwrap_or(text)) else {
                    panic!("a line that nobody wrote: {:?}", String::from_utf8_lossy(text));
                };
                let counts = &mut state.counts[writer];
                let index = usize::try_from(number).unwrap();
                if counts.len() <= index {
                    counts.resize(index + 1, 0);
                }
                counts[index] += 1;
                state.lines.push(Line { writer, generation, number, at: record.at, call: record.call, life });
            }
        }
        state.records = arrived.len();
        for call in calls.iter().filter(|call| call.call > state.last_call) {
            if call.answer == "AnswerLost" {
                state.lost.insert(call.call);
            }
        }
        state.last_call = calls.last().map_or(state.last_call, |call| call.call.max(state.last_call));
    }

    /// Whether all these lines of the writer have arrived.
    pub(crate) fn has_all(&self, writer: usize, numbers: std::ops::Range<u64>) -> bool {
        let state = self.lock();
        let mut numbers = numbers;
        numbers.all(|number| state.counts[writer].get(usize::try_from(number).unwrap()).is_some_and(|count| *count > 0))
    }

    /// How many of the lines that were written have not arrived.
    pub(crate) fn missing(&self, written: &[u64]) -> usize {
        self.all_missing(written).len()
    }

    fn all_missing(&self, written: &[u64]) -> Vec<(usize, u64)> {
        let state = self.lock();
        let mut missing = Vec::new();
        for (writer, written) in written.iter().enumerate() {
            let counts = &state.counts[writer];
            assert!(
                counts.len() as u64 <= *written,
                "writer {writer} wrote {written} lines, {} is there",
                counts.len()
            );
            let here = |number: &u64| counts.get(usize::try_from(*number).unwrap()).is_some_and(|count| *count > 0);
            missing.extend((0..*written).filter(|number| !here(number)).map(|number| (writer, number)));
        }
        missing
    }

    /// The gaps, in words.
    pub(crate) fn describe_missing(&self, written: &[u64]) -> String {
        let mut gaps: Vec<(usize, u64, u64)> = Vec::new();
        for (writer, number) in self.all_missing(written) {
            match gaps.last_mut() {
                Some((of, _, last)) if *of == writer && *last + 1 == number => *last = number,
                _ => gaps.push((writer, number, number)),
            }
        }
        let words: Vec<String> =
            gaps.iter().take(20).map(|(writer, first, last)| format!("W{writer}:{first}..={last}")).collect();
        format!("{} gaps: {}", gaps.len(), words.join(", "))
    }

    /// How many lines arrived, each counted once.
    pub(crate) fn distinct(&self) -> u64 {
        self.lock().counts.iter().flatten().filter(|count| **count > 0).count() as u64
    }

    /// How many lines arrived more than once, each counted as often as it was too much.
    pub(crate) fn duplicates(&self) -> u64 {
        let state = self.lock();
        state.counts.iter().flatten().map(|count| u64::from(count.saturating_sub(1))).sum()
    }

    /// How many lines were in calls whose answer was lost.
    pub(crate) fn answers_lost(&self) -> u64 {
        let state = self.lock();
        state.lines.iter().filter(|line| state.lost.contains(&line.call)).count() as u64
    }

    /// How many distinct lines arrived that lie behind the contiguous prefix of what had been accepted and answered at
    /// that time.
    pub(crate) fn accepted_beyond(&self, known: Instant) -> u64 {
        let state = self.lock();
        let mut before: Vec<BTreeSet<u64>> = vec![BTreeSet::new(); state.counts.len()];
        for line in state.lines.iter().filter(|line| line.at <= known && !state.lost.contains(&line.call)) {
            before[line.writer].insert(line.number);
        }
        let mut beyond = 0;
        for (writer, before) in before.iter().enumerate() {
            let prefix = (0..).zip(before).take_while(|(index, number)| index == *number).count();
            beyond += state.counts[writer].iter().skip(prefix).filter(|count| **count > 0).count() as u64;
        }
        beyond
    }

    /// Within each run of the agent without faults, the lines of each file arrived in the order they were written.
    #[track_caller]
    pub(crate) fn assert_order(&self, what: &str) {
        let state = self.lock();
        let mut newest: BTreeMap<(usize, usize, u64), u64> = BTreeMap::new();
        for line in state.lines.iter().filter(|line| line.life <= state.disorder_from) {
            let before = newest.insert((line.life, line.writer, line.generation), line.number);
            assert!(
                before.is_none_or(|before| before < line.number),
                "{what}: in life {} line {} of writer {} came after {before:?}",
                line.life,
                line.number,
                line.writer
            );
        }
    }
}
