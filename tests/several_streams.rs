//! One flow that feeds several delivery streams: the real agent against three of them.
//! Promises that a name stays with its stream over rotation, restarts and SIGKILL, that the lines of a file keep their order,
//! that every line arrives, and that none comes twice unless the agent was killed.
//! Leaves which stream a path is for to the unit tests of `share`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use host::{Host, say, until};
use local_lake::{FaultPlan, Lake, Mode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;

const STREAMS: [&str; 3] = ["logs-a", "logs-b", "logs-c"];
const FILES: usize = 24;

/// The lines that are written, by name; each says its number, and how often the name was rotated before.
#[derive(Default)]
struct Writer {
    written: [u64; FILES],
    rotated: [u64; FILES],
}

impl Writer {
    fn name(file: usize) -> String {
        format!("app-{file:02}.log")
    }

    fn write(&mut self, host: &Host, file: usize, lines: u64) {
        let path = host.log(&Self::name(file));
        let mut opened = OpenOptions::new().append(true).create(true).open(path).unwrap();
        let mut text = String::new();
        for number in self.written[file]..self.written[file] + lines {
            text += &format!("{file} {number} {} {}\n", self.rotated[file], "some words of a log line ".repeat(3));
        }
        opened.write_all(text.as_bytes()).unwrap();
        self.written[file] += lines;
    }

    /// As logrotate does it, without ever deleting.
    fn rotate(&mut self, host: &Host, file: usize) {
        self.rotated[file] += 1;
        let name = Self::name(file);
        let numbered = |number: usize| host.log(&if number == 0 { name.clone() } else { format!("{name}.{number}") });
        let free = (1..).find(|number| !numbered(*number).exists()).unwrap();
        for number in (0..free).rev() {
            std::fs::rename(numbered(number), numbered(number + 1)).unwrap();
        }
    }
}

/// What arrived under each name: by stream, number and rotation of each line in their order.
type Arrived = BTreeMap<usize, BTreeMap<String, Vec<(u64, u64)>>>;

fn arrived(host: &Host, streams: &[&str]) -> Arrived {
    let mut files = Arrived::new();
    for stream in streams {
        for line in String::from_utf8(host.payload(stream)).unwrap().lines() {
            let mut words = line.split(' ');
            let mut number = || words.next().unwrap().parse::<u64>().unwrap();
            let (file, number, rotated) = (usize::try_from(number()).unwrap(), number(), number());
            files.entry(file).or_default().entry((*stream).to_owned()).or_default().push((number, rotated));
        }
    }
    files
}

fn has_all(files: &Arrived, writer: &Writer) -> bool {
    (0..FILES).all(|file| {
        let lines = files.get(&file).into_iter().flat_map(BTreeMap::values).flatten();
        let seen: BTreeSet<u64> = lines.map(|(number, _)| *number).collect();
        seen.len() as u64 == writer.written[file]
    })
}

/// Every line has come, each name's by one stream, and those of one file in their order, not counting what came again;
/// returns how many lines came again.
#[track_caller]
fn all_came(host: &Host, writer: &Writer) -> usize {
    until("every line of every file", || has_all(&arrived(host, &STREAMS), writer));
    let mut again = 0;
    for (file, streams) in arrived(host, &STREAMS) {
        assert_eq!(streams.len(), 1, "file {file} went to several streams: {:?}", streams.keys());
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (number, rotated) in streams.into_values().flatten() {
            if !seen.insert(number) {
                again += 1;
            } else if let Some(before) = last.insert(rotated, number) {
                assert_eq!(number, before + 1, "file {file}: a line was overtaken");
            }
        }
    }
    again
}

fn host(lake: Lake, more: Value) -> Host {
    let host = Host::with(lake);
    let mut flow = host.flow_json("*.log", "", more);
    flow.as_object_mut().unwrap().remove("deliveryStream");
    host.whole_flow(flow)
}

fn lake(plan: FaultPlan) -> Lake {
    Lake::builder().mode(Mode::Collect).faults(plan).start_blocking().unwrap()
}

#[test]
fn files_spread_over_three_streams_and_each_stays_with_its_own_over_rotation_and_restart() {
    let host = host(lake(FaultPlan::default()), json!({"deliveryStreams": STREAMS}));
    let mut writer = Writer::default();
    (0..FILES).for_each(|file| writer.write(&host, file, 20));
    let mut agent = host.run();
    all_came(&host, &writer);
    let of_each = STREAMS.map(|stream| arrived(&host, &[stream]).len());
    // Which stream a file goes to depends on its path, which is another in each run: of 24 files, one stream may have few.
    assert!(of_each.iter().all(|files| *files > 0), "files of each stream: {of_each:?}");
    // While it runs, and while it does not.
    for _ in 0..2 {
        (0..FILES).for_each(|file| {
            writer.write(&host, file, 5);
            writer.rotate(&host, file);
            writer.write(&host, file, 5);
        });
        all_came(&host, &writer);
    }
    assert_eq!(agent.stop(), 0);
    (0..FILES).for_each(|file| {
        writer.write(&host, file, 5);
        writer.rotate(&host, file);
        writer.write(&host, file, 5);
    });
    let mut agent = host.run();
    assert_eq!(all_came(&host, &writer), 0, "nothing comes twice after clean stops");
    assert_eq!(agent.stop(), 0);
}

#[test]
fn sigkill_in_the_middle_loses_no_line_of_any_stream() {
    let seed =
        std::env::var("SEVERAL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    say(&format!("SEVERAL_SEED={seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let plan = FaultPlan { seed, throttle: 0.1, answer_lost: 0.1, ..FaultPlan::default() };
    // Calls fail as a whole: single records that are refused are sent again behind others.
    let host = host(lake(plan), json!({"deliveryStreams": STREAMS}));
    let mut writer = Writer::default();
    for _ in 0..6 {
        let agent = host.run();
        for _ in 0..random.usize(20..80) {
            let file = random.usize(..FILES);
            writer.write(&host, file, random.u64(1..60));
            if random.u8(..10) == 0 {
                writer.rotate(&host, file);
                writer.write(&host, file, 1);
            }
            std::thread::sleep(std::time::Duration::from_millis(random.u64(..4)));
        }
        agent.kill();
    }
    host.lake.faults().set(FaultPlan::default()).unwrap();
    let mut agent = host.run();
    let twice = all_came(&host, &writer);
    say(&format!("{} lines, {twice} of them twice", writer.written.iter().sum::<u64>()));
    assert_eq!(agent.stop(), 0);
}

/// From one stream to several, and to one more: positions are kept, and files that change streams go on where they were.
#[test]
fn a_stream_that_is_added_loses_nothing_and_repeats_nothing() {
    let mut writer = Writer::default();
    let mut host = Host::with(lake(FaultPlan::default()));
    (0..FILES).for_each(|file| writer.write(&host, file, 20));
    for streams in 0..=STREAMS.len() {
        let mut flow = host.flow_json("*.log", STREAMS[0], json!({}));
        if streams > 0 {
            flow.as_object_mut().unwrap().remove("deliveryStream");
            flow["deliveryStreams"] = json!(STREAMS[..streams]);
        }
        host = host.without_flows().whole_flow(flow);
        let mut agent = host.run();
        (0..FILES).for_each(|file| writer.write(&host, file, 10));
        until("every line", || has_all(&arrived(&host, &STREAMS), &writer));
        assert_eq!(agent.stop(), 0);
    }
    for (file, streams) in arrived(&host, &STREAMS) {
        let mut numbers: Vec<u64> = streams.into_values().flatten().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..writer.written[file]).collect::<Vec<_>>(), "file {file}");
    }
}
