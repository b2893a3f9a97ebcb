//! Commands that ask the running agent, or see what a stopped one left: status, and whom the socket lets in.
//! Promises that each is held against the real agent and a lake, running, stopped and killed, whatever files are called.
//! Leaves the arithmetic of rates and rotations to the unit tests.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use datalake_base::shown::steers;
use host::{HOSTILE, Host, PATIENCE, append, holds_within, is_root, skipped, until};
use local_lake::FaultPlan;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

const STREAM: &str = "logs";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A command of the agent, with the configuration of the host.
fn run(host: &Host, arguments: &[&OsStr]) -> Output {
    host.program().args(arguments).arg("--config").arg(host.configured()).output().unwrap()
}

fn words<'a>(arguments: &[&'a str]) -> Vec<&'a OsStr> {
    arguments.iter().map(|word| OsStr::new(*word)).collect()
}

/// What `status --json` says, and its exit code.
#[track_caller]
fn status(host: &Host, more: &[&str]) -> (Value, i32) {
    let output = run(host, &words(&[&["status", "--json"], more].concat()));
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (value, output.status.code().unwrap())
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} is missing in {value}"))
}

/// The accounting of the first flow: it must balance.
#[track_caller]
fn balance(value: &Value) -> Figures {
    let of = |name: &str| number(value, &format!("/flows/0/accounting/{name}"));
    let names = ["read", "delivered", "pending", "filtered", "quarantined", "destroyed", "skipped"];
    let parts = of("delivered") + of("pending") + of("filtered") + of("quarantined");
    assert_eq!(of("read"), parts, "{value}");
    names.map(|name| (name.to_owned(), of(name))).into()
}

/// Figures by their names.
type Figures = BTreeMap<String, u64>;

/// The accounting of each file, which must balance, by its position; and the sums.
#[track_caller]
fn of_files(value: &Value) -> (Vec<(u64, Figures)>, Figures) {
    let (mut files, mut sums) = (Vec::new(), BTreeMap::new());
    for file in value["files"].as_array().unwrap() {
        let of = |name: &str| number(file, &format!("/accounting/{name}"));
        let names = ["read", "delivered", "pending", "filtered", "quarantined", "destroyed"];
        assert_eq!(of("read"), of("delivered") + of("pending") + of("filtered") + of("quarantined"), "{file}");
        for name in names {
            *sums.entry(name.to_owned()).or_default() += of(name);
        }
        files.push((number(file, "/position"), names.map(|name| (name.to_owned(), of(name))).into()));
    }
    (files, sums)
}

/// Names, lengths and times of change of everything below a folder.
fn state_of(folder: &Path) -> BTreeMap<PathBuf, (u64, i64)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let status = |path: PathBuf| {
        let status = path.symlink_metadata().unwrap();
        (path, (status.len(), status.mtime_nsec()))
    };
    entries.map(status).collect()
}

#[track_caller]
fn is_safe(what: &str, printed: &[u8]) {
    let printed = std::str::from_utf8(printed).unwrap_or_else(|error| panic!("{what}: {error}: {}", text(printed)));
    let raw: Vec<char> = printed.chars().filter(|c| steers(*c) && *c != '\n' && *c != '\t').collect();
    assert!(raw.is_empty(), "{what} prints {raw:?} raw: {printed}");
    assert!(!printed.lines().any(|line| line.starts_with("2026 ERROR forged")), "{what} lets a name forge a line");
}

/// Asks the socket by hand; what comes back.
fn asked(socket: &Path, question: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(question).ok();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok();
    answer
}

#[test]
fn a_running_a_stopped_and_a_killed_agent_show_the_same_accounting_and_it_balances() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app", "aggregatedRecordSizeBytes": 0}));
    let poison = Some(b"poison".to_vec());
    host.lake.faults().set(FaultPlan { poison, ..FaultPlan::default() }).unwrap();
    let (before, code) = status(&host, &[]);
    assert_eq!((before["running"].as_bool(), code, number(&before, "/flows/0/accounting/read")), (Some(false), 3, 0));
    assert!(state_of(&host.state()).is_empty(), "a look at a state folder that was never used makes nothing");

    append(&host.log("a.log"), "one\npoison\ntwo\n");
    append(&host.log("b.log"), "three\nbegun");
    let mut agent = host.run();
    let mut seen = Value::Null;
    let settled = holds_within(PATIENCE, || {
        seen = status(&host, &["--files"]).0;
        number(&seen, "/flows/0/accounting/delivered") == 14 && number(&seen, "/flows/0/accounting/quarantined") == 7
    });
    assert!(settled, "{seen}");
    let balanced = balance(&seen);
    assert_eq!((balanced["read"], balanced["pending"]), (26, 5), "{seen}");
    assert_eq!((number(&seen, "/flows/0/behindBytes"), number(&seen, "/pid")), (5, u64::from(agent.pid())));
    let files = seen["files"].as_array().unwrap();
    let file = |name: &str| files.iter().find(|file| file["path"] == host.log(name).to_str().unwrap()).unwrap();
    assert_eq!((&file("a.log")["position"], &file("a.log")["size"]), (&json!(15), &json!(15)));
    let accounting = |read: u64, delivered: u64, pending: u64, quarantined: u64| json!({"read": read, "delivered": delivered, "pending": pending, "filtered": 0, "quarantined": quarantined, "destroyed": 0});
    assert_eq!(file("a.log")["accounting"], accounting(15, 8, 0, 7));
    assert_eq!((&file("b.log")["position"], &file("b.log")["accounting"]), (&json!(6), &accounting(11, 6, 5, 0)));
    let table = text(&run(&host, &words(&["status", "--files"])).stdout);
    for words in ["app ", "→ Firehose logs", "quarantined 7 B", "unknown until two rotations were seen", "a.log"] {
        assert!(table.contains(words), "`{words}` is missing in {table}");
    }
    let row = |name: &str| table.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(
        row("FILE ").contains("DELIVERED  PENDING  QUARANTINED  CHANGED"),
        "what never happened takes no room: {table}"
    );
    assert!(row("a.log").contains(" 15 B  8 B        -        7 B "), "{table}");
    let explained = text(&run(&host, &[OsStr::new("explain"), host.log("a.log").as_os_str()]).stdout);
    assert!(
        explained.contains("read 15 B = delivered 8 B + pending 0 B + filtered 0 B + quarantined 7 B"),
        "{explained}"
    );

    assert_eq!(agent.stop(), 0);
    let folder = state_of(&host.state());
    let (stopped, code) = status(&host, &["--files"]);
    assert_eq!((stopped["running"].as_bool(), code), (Some(false), 3));
    let balanced = balance(&stopped);
    assert_eq!((balanced["delivered"], balanced["quarantined"], balanced["read"]), (14, 7, 21), "{stopped}");
    assert_eq!(number(&stopped, "/flows/0/behindBytes"), 5, "the line that was begun is read again");
    let (files, sums) = of_files(&stopped);
    assert_eq!(files.len(), 2);
    assert_eq!((sums["delivered"], sums["quarantined"], sums["pending"]), (14, 7, 0), "{stopped}");
    assert_eq!(state_of(&host.state()), folder, "a look changes nothing");

    // Another life counts on.
    append(&host.log("a.log"), "four\n");
    let agent = host.run();
    until("the next line", || balance(&status(&host, &[]).0)["delivered"] == 19);
    let kept = || {
        let connection = rusqlite::Connection::open(host.state().join("checkpoint.db")).unwrap();
        let query = "SELECT count(*) FROM contents WHERE position = 20";
        connection.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap_or(0)
    };
    until("the position in the checkpoint", || kept() == 1);
    agent.kill();
    let folder = state_of(&host.state());
    let (killed, code) = status(&host, &["--files"]);
    assert_eq!((killed["running"].as_bool(), code, balance(&killed)["delivered"]), (Some(false), 3, 19));
    assert_eq!(state_of(&host.state()), folder, "a look at what a killed agent left changes nothing");
}

/// Counters were saved every ten seconds: after a kill, up to so long of them was missing, and files had none at all.
#[test]
fn whenever_the_agent_is_killed_what_was_counted_goes_with_the_positions() {
    let filter = json!([{"optionName": "FILTER", "exclude": ["drop"]}]);
    let flow = json!({"name": "app", "aggregatedRecordSizeBytes": 0, "dataProcessingOptions": filter});
    let host = Host::new().flow("*.log", STREAM, flow);
    let poison = Some(b"poison".to_vec());
    host.lake.faults().set(FaultPlan { poison, ..FaultPlan::default() }).unwrap();
    let lines = |from: u64| {
        let kind = |number: u64| match number % 10 {
            3 => "drop",
            7 if number.is_multiple_of(3) => "poison",
            _ => "line",
        };
        (from..from + 100).fold(String::new(), |text, number| text + &format!("{} {number}\n", kind(number)))
    };
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut written, mut kills_in_between) = (0, 0);
    for _ in 0..12 {
        let agent = host.run();
        let accepted = host.payload(STREAM).len();
        for _ in 0..random.u8(1..8) {
            for name in ["a.log", "b.log", "c.log"] {
                append(&host.log(name), &lines(written));
            }
            written += 100;
            std::thread::sleep(Duration::from_millis(random.u64(0..30)));
        }
        until("something is accepted", || host.payload(STREAM).len() > accepted);
        agent.kill();
        let (killed, _) = status(&host, &["--files"]);
        let (files, sums) = of_files(&killed);
        for (position, file) in files {
            assert_eq!(file["read"], position, "SEED={seed}: {killed}");
            kills_in_between += u32::from(position > 0 && position < lines(0).len() as u64);
        }
        let flow = balance(&killed);
        for name in ["delivered", "filtered", "quarantined"] {
            assert!(
                flow[name] >= sums[name],
                "SEED={seed}: positions passed {name} bytes that no flow counted: {killed}"
            );
        }
        assert!(flow["delivered"] <= host.payload(STREAM).len() as u64, "SEED={seed}: {killed}");
    }
    let mut agent = host.run();
    let size = host.log("a.log").metadata().unwrap().len();
    let mut seen = Value::Null;
    let settled = holds_within(PATIENCE, || {
        seen = status(&host, &["--files"]).0;
        of_files(&seen).0.iter().all(|(position, _)| *position == size)
    });
    assert!(settled, "SEED={seed}: {seen}");
    assert_eq!(agent.stop(), 0);
    let text = std::fs::read_to_string(host.log("a.log")).unwrap();
    let of = |kind: &str| {
        text.split_inclusive('\n').filter(|line| line.starts_with(kind)).map(str::len).sum::<usize>() as u64
    };
    let (stopped, _) = status(&host, &["--files"]);
    for (_, file) in of_files(&stopped).0 {
        let found = (file["delivered"], file["filtered"], file["quarantined"], file["pending"]);
        assert_eq!(found, (of("line"), of("drop"), of("poison"), 0), "SEED={seed}: {stopped}");
    }
    host::say(&format!("{kills_in_between} files were in their middle when the agent was killed"));
}

#[test]
fn a_paused_flow_is_shown_with_its_reason_and_fails_the_exit_code_until_it_goes_on() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app"}));
    let unknown = FaultPlan { resource_not_found: 1.0, ..FaultPlan::default() };
    host.lake.faults().set(unknown).unwrap();
    append(&host.log("a.log"), "line\n");
    let mut agent = host.run();
    agent.wait_for("flow paused");
    let (paused, code) = status(&host, &[]);
    assert_eq!((&paused["flows"][0]["state"], code), (&json!("paused"), 1), "{paused}");
    let reason = paused["flows"][0]["reason"].as_str().unwrap();
    assert!(reason.contains(STREAM), "{reason}");
    assert!(text(&run(&host, &words(&["status"])).stdout).contains("! "), "the table marks what needs the operator");
    host.lake.faults().set(FaultPlan::default()).unwrap();
    until("the end of the pause", || status(&host, &[]).1 == 0);
    let (on, _) = status(&host, &[]);
    assert_eq!((&on["flows"][0]["reason"], &on["flows"][0]["lastError"]["reason"]), (&Value::Null, &json!(reason)));
    assert_eq!(agent.stop(), 0);
}

/// An operator with trouble had edited the configuration; then nothing could be asked any more.
#[test]
fn an_agent_that_runs_is_asked_although_its_configuration_has_become_wrong() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app"}));
    let mut agent = host.run();
    std::fs::write(host.configured(), format!("{{\"stateDirectory\": \"{}\",", host.state().display())).unwrap();
    let (seen, code) = status(&host, &[]);
    assert_eq!((seen["running"].as_bool(), seen["configurationIsWrong"].as_bool(), code), (Some(true), Some(true), 0));
    assert!(text(&run(&host, &words(&["status"])).stdout).contains("! the configuration was changed and is wrong"));
    assert_eq!(agent.stop(), 0);
    let refused = run(&host, &words(&["status"]));
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
}

/// A client can see paths and reasons, so only root and the agent's own user may.
#[test]
fn the_socket_belongs_to_the_agents_user_and_goes_when_the_agent_stops() {
    let host = Host::new().through(&["sh", "-c", "umask 0; exec \"$@\"", "sh"]).unprivileged().flow(
        "*.log",
        STREAM,
        json!({}),
    );
    let mut agent = host.run();
    let socket = host.state().join("agent.sock");
    let seen = socket.metadata().unwrap();
    assert!(seen.file_type().is_socket());
    assert_eq!(seen.mode() & 0o777, 0o600);
    assert_eq!(status(&host, &[]).1, 0);
    if is_root() {
        // Even where somebody opened the folder and the socket by hand.
        std::fs::set_permissions(host.state(), PermissionsExt::from_mode(0o777)).unwrap();
        std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o666)).unwrap();
        let mut stranger = host.program();
        stranger.uid(4711).gid(4711).args(["status", "--json", "--config"]).arg(host.configure());
        std::fs::set_permissions(host.configure(), PermissionsExt::from_mode(0o644)).unwrap();
        let refused = stranger.output().unwrap();
        assert!(!text(&refused.stdout).contains("\"running\": true"), "{refused:?}");
        assert_ne!(refused.status.code(), Some(0), "{refused:?}");
        assert!(asked(&socket, b"{\"ask\":\"status\"}\n").contains("\"running\":true"), "root is answered");
    } else {
        skipped("only root can ask as another user");
    }
    assert_eq!(agent.stop(), 0);
    assert!(!socket.exists());
}

#[test]
fn a_unit_with_a_runtime_folder_has_its_socket_there_and_is_found_by_its_state_folder() {
    let mut host = Host::new().flow("*.log", STREAM, json!({}));
    let runtime = host.root().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    host.environment.push(("RUNTIME_DIRECTORY".to_owned(), runtime.display().to_string()));
    let mut agent = host.run();
    assert!(runtime.join("agent.sock").exists() && !host.state().join("agent.sock").exists());
    assert_eq!(status(&host, &[]).1, 0);
    // The same socket is not that of an agent with another state folder.
    let other = json!({"state": "/elsewhere", "ask": "status"}).to_string() + "\n";
    assert_eq!(asked(&runtime.join("agent.sock"), other.as_bytes()), "");
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_status_that_is_watched_comes_again_and_ends_with_its_reader() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app"}));
    let mut agent = host.run();
    let mut command = host.program();
    command.args(["status", "--watch", "--json", "--config"]).arg(host.configured()).stdout(Stdio::piped());
    let mut watching = command.spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let picture: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(picture["flows"][0]["name"], "app");
    }
    drop(lines);
    let mut status = None;
    until("its end", || {
        status = watching.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
    assert_eq!(agent.stop(), 0);
}

/// Before there are credentials and a region, nothing could be asked.
#[test]
fn an_agent_that_still_waits_for_its_region_says_that_it_is_starting() {
    let mut host = Host::new().flow("*.log", STREAM, json!({"name": "app"}));
    // Nobody answers there, and nobody refuses either.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    host.environment.push(("AWS_EC2_METADATA_DISABLED".to_owned(), "false".to_owned()));
    host.environment.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), endpoint));
    let host = host.without_top("region").without_top("firehose.endpoint").without_top("kinesis.endpoint");
    let mut agent = host.start();
    agent.wait_for("asking again every");
    let (seen, code) = status(&host, &[]);
    assert_eq!((&seen["flows"][0]["state"], code), (&json!("starting"), 0), "{seen}");
    let table = text(&run(&host, &words(&["status"])).stdout);
    assert!(table.contains("not read yet: credentials, region"), "{table}");
    assert_eq!(agent.stop(), 0);
}

#[test]
fn clients_that_hang_flood_and_lie_delay_no_line_and_no_stop() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let mut agent = host.run();
    let socket = host.state().join("agent.sock");
    let hanging: Vec<UnixStream> = (0..40).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
    let flood = std::thread::spawn({
        let socket = socket.clone();
        move || {
            let end = Instant::now() + Duration::from_secs(2);
            let mut asked = 0_u32;
            while Instant::now() < end {
                if let Ok(mut stream) = UnixStream::connect(&socket) {
                    stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
                    stream.write_all(&[b'x'; 200_000]).ok();
                    asked += 1;
                }
            }
            asked
        }
    });
    let mut expected = 0;
    for number in 0..40 {
        let line = format!("line {number}\n");
        append(&host.log("a.log"), &line);
        expected += line.len();
        host.arrived(STREAM, expected);
    }
    let floods = flood.join().unwrap();
    assert!(floods > 0, "the flood never reached the socket");
    until("an answer", || status(&host, &[]).1 == 0);
    drop(hanging);
    assert_eq!(agent.stop(), 0);
    assert_eq!(host.payload(STREAM).len(), expected);
}

#[test]
fn no_command_that_asks_the_agent_prints_a_raw_control_and_json_keeps_every_name() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "app"}));
    let hostile = host.logs().join(OsStr::from_bytes(HOSTILE));
    append(&hostile, "line\n");
    let mut agent = host.run();
    host.arrived(STREAM, 5);
    for running in [true, false] {
        for arguments in [&["status"][..], &["status", "--files"], &["status", "--files", "--json"]] {
            let output = run(&host, &words(arguments));
            is_safe(&format!("{arguments:?}"), &output.stdout);
            is_safe(&format!("{arguments:?} (complaints)"), &output.stderr);
        }
        let (value, _) = status(&host, &["--files"]);
        let path = &value["files"][0]["path"];
        let hex: String = hostile.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&path["hex"], &value["running"]), (&json!(hex), &json!(running)), "{value}");
        if running {
            assert_eq!(agent.stop(), 0);
        }
    }
}
