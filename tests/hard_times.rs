//! A machine in trouble: no room, no right to write, a damaged checkpoint, no descriptors, no file events.
//! Promises for each a clear line in the log, nothing lost, and that all is well by itself once the cause is gone.
//! Leaves what the service does wrong to the delivery's suites. Parts that this machine does not allow say `SKIPPED`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/disk.rs"]
mod disk;

use disk::SmallDisk;
use host::{Agent, Host, append, is_root, say, skipped, until};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const STREAM: &str = "hard";

/// How long the search for content that seems to be gone takes, and more.
const SEARCH: Duration = Duration::from_secs(12);

fn line(number: usize) -> String {
    format!("line {number}\n")
}

/// Which lines arrived, and how many of them more than once.
fn arrived(host: &Host) -> (BTreeSet<usize>, usize) {
    let payload = host.payload(STREAM);
    let text = std::str::from_utf8(&payload).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let mut lines = BTreeSet::new();
    let mut duplicates = 0;
    for line in text.lines() {
        let number = line.strip_prefix("line ").and_then(|number| number.parse().ok());
        duplicates += usize::from(!lines.insert(number.unwrap_or_else(|| panic!("nobody wrote `{line}`"))));
    }
    (lines, duplicates)
}

/// Waits for the lines `0..count`.
#[track_caller]
fn all_arrive(host: &Host, count: usize) {
    until(&format!("all of {count} lines"), || arrived(host).0.len() >= count);
    assert!(arrived(host).0.into_iter().eq(0..count));
}

/// Waits for them and for nothing twice.
#[track_caller]
fn all_arrive_once(host: &Host, count: usize) {
    all_arrive(host, count);
    assert_eq!(arrived(host).1, 0, "lines that arrived twice");
}

/// What is said must not frighten without reason.
#[track_caller]
fn nothing_was_called_destroyed(agent: &Agent) {
    assert!(agent.logged("destroyed").is_empty(), "{:?}", agent.logged("destroyed"));
}

/// A host whose agent keeps its state on the small disk.
fn host_on(disk: &SmallDisk, more: serde_json::Value) -> Host {
    let state = disk.state().display().to_string();
    Host::new().top("stateDirectory", json!(state)).flow("*.log", STREAM, more)
}

#[test]
fn on_a_full_disk_delivery_goes_on_and_positions_are_saved_once_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let host = host_on(&disk, json!({}));
    let mut agent = host.run();
    append(&host.log("a.log"), &line(0));
    all_arrive_once(&host, 1);
    let filler = disk.fill();
    let mut count = 1;
    until("saving fails", || {
        append(&host.log("a.log"), &line(count));
        count += 1;
        all_arrive_once(&host, count);
        !agent.logged("cannot save positions").is_empty()
    });
    let told = agent.wait_for("cannot save positions");
    assert!(told["reason"].as_str().unwrap().contains("full"), "{told}");
    std::fs::remove_file(filler).unwrap();
    agent.wait_for("positions are saved again");
    assert_eq!(agent.stop(), 0);
    assert_eq!(agent.logged("cannot save positions").len(), 1, "once, however often it is tried");
    append(&host.log("a.log"), &line(count));
    let mut agent = host.run();
    all_arrive_once(&host, count + 1);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_stop_on_a_full_disk_ends_with_74_and_the_next_start_with_room_sends_some_again() {
    let Some(disk) = SmallDisk::mount() else { return };
    let host = host_on(&disk, json!({}));
    let mut agent = host.run();
    append(&host.log("a.log"), &line(0));
    all_arrive_once(&host, 1);
    let filler = disk.fill();
    // A row or two fit into the room that the log of the database has left.
    (1..=200).for_each(|number| append(&host.log(&format!("{number}.log")), &line(number)));
    all_arrive_once(&host, 201);
    agent.wait_for("cannot save positions");
    assert_eq!(agent.stop(), 74, "{}", agent.log_text());
    assert_eq!(agent.logged("after the next start some records are sent again").len(), 1);
    // Whether it can start without room depends on what SQLite finds; that it does no harm does not.
    let mut cramped = host.start();
    until("it runs or ends", || !cramped.is_running() || !cramped.logged("running").is_empty());
    if cramped.is_running() {
        cramped.kill();
    } else {
        assert_eq!(cramped.exit_code(), 73, "{}", cramped.log_text());
    }
    std::fs::remove_file(filler).unwrap();
    let mut agent = host.run();
    append(&host.log("a.log"), &line(201));
    all_arrive(&host, 202);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_record_that_no_quarantine_has_room_for_is_held_until_one_has() {
    let Some(disk) = SmallDisk::mount() else { return };
    let host = host_on(&disk, json!({"aggregatedRecordSizeBytes": 0}));
    let poison = Some(b"poison".to_vec());
    host.lake.faults().set(local_lake::FaultPlan { poison, ..Default::default() }).unwrap();
    let mut agent = host.run();
    append(&host.log("a.log"), &line(0));
    all_arrive_once(&host, 1);
    let filler = disk.fill();
    append(&host.log("a.log"), "poison\n");
    // A record is blamed once another one was accepted.
    append(&host.log("a.log"), &line(1));
    all_arrive_once(&host, 2);
    let told = agent.wait_for("cannot be kept in the quarantine");
    assert_eq!((&told["level"], &told["stream"]), (&json!("ERROR"), &json!(STREAM)));
    std::fs::remove_file(filler).unwrap();
    agent.wait_for("they are kept: see");
    assert_eq!(agent.stop(), 0);
    let listed = host.program().args(["quarantine", "list", "--config"]).arg(host.configure()).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("a.log"), "{listed}");
}

/// Forbids or allows all writing to these files, also to those who have them open. Whether that could be done.
fn immutable(files: &[PathBuf], on: bool) -> bool {
    let mut chattr = Command::new("chattr");
    chattr.arg(if on { "+i" } else { "-i" }).args(files).stdout(Stdio::null()).stderr(Stdio::null());
    chattr.status().is_ok_and(|status| status.success())
}

#[test]
fn a_state_folder_that_becomes_read_only_under_the_agent_delays_saving_and_nothing_else() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let mut agent = host.run();
    append(&host.log("a.log"), &line(0));
    all_arrive_once(&host, 1);
    let files = ["checkpoint.db", "checkpoint.db-wal"].map(|name| host.state().join(name));
    if !is_root() || !immutable(&files, true) {
        skipped("a state folder that becomes read-only under the agent: needs root and chattr");
        return;
    }
    let mut count = 1;
    until("saving fails", || {
        append(&host.log("a.log"), &line(count));
        count += 1;
        all_arrive_once(&host, count);
        !agent.logged("cannot save positions").is_empty()
    });
    assert!(immutable(&files, false));
    agent.wait_for("positions are saved again");
    assert_eq!(agent.stop(), 0);
    append(&host.log("a.log"), &line(count));
    let mut agent = host.run();
    all_arrive_once(&host, count + 1);
    assert_eq!(agent.stop(), 0);
}

/// Removes or damages the checkpoint of an agent that does not run.
type Harm = fn(&Path);

fn overwritten(database: &Path) {
    std::fs::write(database, "no database, only some text, and not even long").unwrap();
}

fn cut_in_half(database: &Path) {
    let file = File::options().write(true).open(database).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn scribbled_over(database: &Path) {
    let mut file = File::options().write(true).open(database).unwrap();
    let length = file.metadata().unwrap().len();
    let mut random = fastrand::Rng::with_seed(7);
    for page in 1..length / 1024 {
        file.seek(SeekFrom::Start(page * 1024)).unwrap();
        file.write_all(&std::iter::repeat_with(|| random.u8(..)).take(1024).collect::<Vec<_>>()).unwrap();
    }
}

fn emptied(database: &Path) {
    File::create(database).unwrap();
}

fn removed(database: &Path) {
    std::fs::remove_file(database).unwrap();
}

#[test]
fn a_damaged_or_missing_checkpoint_is_told_and_costs_duplicates_only() {
    let harms: [(&str, Harm, &str); 5] = [
        ("overwritten", overwritten, "are damaged"),
        ("cut in half", cut_in_half, "are damaged"),
        ("scribbled over", scribbled_over, "are damaged"),
        ("emptied", emptied, "are gone"),
        ("removed", removed, "are gone"),
    ];
    for (name, harm, words) in harms {
        let host = Host::new().flow("*.log", STREAM, json!({"initialPosition": "END_OF_FILE"}));
        let mut agent = host.run();
        (0..20).for_each(|number| append(&host.log("a.log"), &line(number)));
        all_arrive_once(&host, 20);
        assert_eq!(agent.stop(), 0);
        harm(&host.state().join("checkpoint.db"));
        append(&host.log("a.log"), &line(20));
        append(&host.log("b.log"), &line(21));
        let mut agent = host.run();
        let told = agent.wait_for(words);
        assert!(
            told["level"] == "ERROR" && told["file"].as_str().unwrap().ends_with("checkpoint.db"),
            "{name}: {told}"
        );
        all_arrive(&host, 22);
        assert_eq!(agent.stop(), 0, "{name}");
        let (_, duplicates) = arrived(&host);
        assert_eq!(duplicates, 20, "{name}: all was sent again, and once");
        let mut agent = host.run();
        append(&host.log("b.log"), &line(22));
        all_arrive(&host, 23);
        assert_eq!(agent.stop(), 0, "{name}");
        assert_eq!(arrived(&host).1, duplicates, "{name}: positions are kept again");
        assert!(agent.logged(words).is_empty(), "{name}: told once");
    }
}

#[test]
fn a_checkpoint_that_is_removed_under_the_agent_is_told_and_costs_duplicates_only() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let agent = host.run();
    append(&host.log("a.log"), &line(0));
    all_arrive_once(&host, 1);
    for entry in std::fs::read_dir(host.state()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("checkpoint.db") {
            std::fs::remove_file(path).unwrap();
        }
    }
    append(&host.log("a.log"), &line(1));
    all_arrive_once(&host, 2);
    let told = agent.wait_for("cannot save positions");
    assert!(told["reason"].as_str().unwrap().contains("removed or replaced"), "{told}");
    agent.kill();
    append(&host.log("a.log"), &line(2));
    let mut agent = host.run();
    agent.wait_for("are gone");
    all_arrive(&host, 3);
    assert_eq!(agent.stop(), 0);
}

/// Sets how many descriptors the agent may have from now on.
fn allow_descriptors(agent: &Agent, most: u64) {
    let pid = Pid::from_raw(i32::try_from(agent.pid()).unwrap()).unwrap();
    let before = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(most), maximum: Some(4096) });
    before.unwrap();
}

#[test]
fn without_descriptors_files_wait_and_are_read_when_there_are_some() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let mut agent = host.run();
    let mut count = 0;
    let mut write = |file: usize| {
        append(&host.log(&format!("{file}.log")), &line(count));
        count += 1;
        count
    };
    for file in 0..10 {
        write(file);
    }
    all_arrive_once(&host, 10);
    allow_descriptors(&agent, 3);
    // Files that are known and files that are new; one is rotated meanwhile.
    for file in 0..20 {
        write(file);
    }
    let told = agent.wait_for("no file or folder can be opened");
    assert!(told["message"].as_str().unwrap().contains("LimitNOFILE"), "{told}");
    std::fs::rename(host.log("3.log"), host.log("3.log.1")).unwrap();
    for file in 0..20 {
        write(file);
    }
    // Longer than anything that seems to be gone is looked for.
    let until_then = Instant::now() + SEARCH;
    until("enough time has passed", || Instant::now() > until_then);
    let written = write(20);
    allow_descriptors(&agent, 1024);
    agent.wait_for("files can be opened again");
    all_arrive_once(&host, written);
    nothing_was_called_destroyed(&agent);
    assert_eq!(agent.logged("no file or folder can be opened").len(), 1);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_few_descriptors_are_enough_for_many_files() {
    let host = Host::new().through(&["sh", "-c", "ulimit -n 32; exec \"$@\"", "sh"]).flow("*.log", STREAM, json!({}));
    let files = 400;
    (0..files).for_each(|number| append(&host.log(&format!("{number}.log")), &line(number)));
    let mut agent = host.run();
    all_arrive_once(&host, files);
    (0..files).for_each(|number| append(&host.log(&format!("{number}.log")), &line(files + number)));
    all_arrive_once(&host, 2 * files);
    nothing_was_called_destroyed(&agent);
    assert_eq!(agent.stop(), 0);
}

/// The words that run an agent in a user namespace of its own, in which `limit` (below `/proc/sys/user`) is `few` until
/// the file `enough` exists. `None` where that is not allowed.
fn short_of(limit: &str, few: u32, enough: &Path) -> Option<Vec<String>> {
    let path = format!("/proc/sys/user/{limit}");
    let script = format!(
        "echo {few} > {path} || exit 99; (while [ ! -e '{}' ]; do sleep 0.1; done; echo 1000 > {path}) & exec \"$@\"",
        enough.display()
    );
    let try_script = format!("echo {few} > {path}");
    let words = |script: &str| ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"].map(str::to_owned);
    let [program, arguments @ ..] = words(&try_script);
    let tried = Command::new(program).args(arguments).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        skipped(&format!("{limit} reached: needs user namespaces"));
        return None;
    }
    Some(words(&script).into())
}

fn out_of_events(limit: &str, few: u32) {
    let folder = tempfile::tempdir().unwrap();
    let enough = folder.path().join("enough");
    let Some(words) = short_of(limit, few, &enough) else { return };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let host = Host::new().through(&words).flow("*/*.log", STREAM, json!({}));
    let mut count = 0;
    let mut write = |name: &str| {
        append(&host.log(name), &line(count));
        count += 1;
        count
    };
    write("a/1.log");
    write("b/1.log");
    let mut agent = host.run();
    let told = agent.wait_for("no file events here");
    assert!(told["message"].as_str().unwrap().contains("fs.inotify.max_user"), "{told}");
    all_arrive_once(&host, 2);
    // Files grow, folders come, files are rotated: all seen without events.
    for folder in ["a", "b", "c", "d"] {
        let log = format!("{folder}/1.log");
        let written = write(&log);
        all_arrive_once(&host, written);
        write(&log);
        std::fs::rename(host.log(&log), host.log(&format!("{log}.1"))).unwrap();
        let written = write(&log);
        all_arrive_once(&host, written);
    }
    File::create(enough).unwrap();
    agent.wait_for("file events are back for all folders");
    let written = write("c/2.log");
    all_arrive_once(&host, written);
    assert_eq!(agent.logged("no file events here").len(), 1);
    nothing_was_called_destroyed(&agent);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn without_a_place_for_file_events_folders_are_looked_at_instead() {
    out_of_events("max_inotify_instances", 0);
}

#[test]
fn without_enough_watches_the_other_folders_are_looked_at_instead() {
    out_of_events("max_inotify_watches", 2);
}

#[test]
fn after_more_file_events_than_the_kernel_keeps_everything_is_found() {
    let most: usize =
        std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    if most > 200_000 {
        skipped("an overflow of file events: fs.inotify.max_queued_events is too high to reach it");
        return;
    }
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let mut agent = host.run();
    append(&host.log("a.log"), &line(0));
    append(&host.log("b.log"), &line(1));
    all_arrive_once(&host, 2);
    agent.signal(Signal::STOP);
    let mut count = 2;
    let mut write = |path: PathBuf| {
        append(&path, &line(count));
        count += 1;
        count
    };
    // Two files in turn, for the same event twice in a row is kept once.
    for round in 0..most / 2 + 100 {
        for name in ["a.log", "b.log"] {
            if round % 1000 == 0 {
                write(host.log(name));
            } else {
                let file = File::options().append(true).open(host.log(name)).unwrap();
                file.set_times(std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH)).unwrap();
            }
        }
    }
    // What happens from here on no event tells.
    write(host.log("a.log"));
    std::fs::rename(host.log("a.log"), host.log("a.log.1")).unwrap();
    write(host.log("a.log"));
    std::fs::rename(host.log("b.log"), host.log("b.log.1")).unwrap();
    write(host.log("b.log.1"));
    let written = write(host.log("c.log"));
    agent.signal(Signal::CONT);
    all_arrive_once(&host, written);
    nothing_was_called_destroyed(&agent);
    let heard = write(host.log("d.log"));
    all_arrive_once(&host, heard);
    assert_eq!(agent.stop(), 0);
    say(&format!("{most} file events were kept, and more were made"));
}

#[test]
fn a_log_folder_may_come_go_and_come_again() {
    let host = Host::new().flow("app/*/today/*.log", STREAM, json!({}));
    let mut agent = host.run();
    append(&host.log("app/one/today/a.log"), &line(0));
    all_arrive_once(&host, 1);
    std::fs::remove_dir_all(host.log("app")).unwrap();
    append(&host.log("app/one/today/a.log"), &line(1));
    all_arrive_once(&host, 2);
    std::fs::rename(host.log("app/one/today"), host.log("app/one/yesterday")).unwrap();
    append(&host.log("app/one/yesterday/a.log"), &line(2));
    append(&host.log("app/one/today/a.log"), &line(3));
    append(&host.log("app/two/today/a.log"), &line(4));
    all_arrive_once(&host, 5);
    nothing_was_called_destroyed(&agent);
    assert_eq!(agent.stop(), 0);
}
