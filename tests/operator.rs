//! What the operator sees and sends: the log and those who do not read it, signals, exit codes, what stays private.
//! Promises that nobody who reads a log, or does not, holds up the agent, and that nothing it prints steers a terminal.
//! Leaves what each command says to the suites of the commands.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use datalake_base::shown::steers;
use host::{Agent, HOSTILE, Host, PATIENCE, append, holds_within, is_root, skipped, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};

const STREAM: &str = "logs";

fn output(host: &Host, arguments: &[&str]) -> Output {
    host.program().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails on anything that a terminal would obey or that hides from its reader.
#[track_caller]
fn is_safe(what: &str, printed: &[u8]) {
    let printed = std::str::from_utf8(printed).unwrap_or_else(|error| panic!("{what}: {error}: {}", text(printed)));
    let raw: Vec<char> = printed.chars().filter(|c| steers(*c) && *c != '\n' && *c != '\t').collect();
    assert!(raw.is_empty(), "{what} prints {raw:?} raw: {printed}");
    assert!(!printed.lines().any(|line| line.starts_with("2026 ERROR forged")), "{what} lets a name forge a line");
}

/// Debug lines, one for each file at least: more than a pipe holds.
fn many_files(host: &Host) -> String {
    let mut expected = String::new();
    for number in 0..300 {
        let line = format!("line of file {number:03}\n");
        append(
            &host.log(&format!("file-with-a-rather-long-name-so-that-its-lines-fill-the-pipe-{number:03}.log")),
            &line,
        );
        expected.push_str(&line);
    }
    expected
}

/// Everything arrives, each once, in whatever order.
#[track_caller]
fn arrives(host: &Host, expected: &str) {
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&text(&host.arrived(STREAM, expected.len()))), sorted(expected));
}

/// stderr was a pipe that nobody read: nothing was shipped any more, and SIGTERM was not obeyed.
#[test]
fn a_log_that_nobody_reads_stops_neither_delivery_nor_the_stop() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let (unread, log) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&log, 4096).unwrap();
    let expected = many_files(&host);
    let config = host.configure();
    let arguments = ["run", "--config", config.to_str().unwrap(), "--log-level", "trace", "--log-format", "text"];
    let mut agent = host.start_to(&arguments, Stdio::null(), log);
    arrives(&host, &expected);
    append(&host.log("late.log"), "a late line\n");
    arrives(&host, &format!("{expected}a late line\n"));
    assert_eq!(agent.stop(), 0);
    drop(unread);
}

#[test]
fn a_full_disk_under_the_log_stops_nothing() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let full = File::options().write(true).open("/dev/full").unwrap();
    let expected = many_files(&host);
    let config = host.configure();
    let arguments = ["run", "--config", config.to_str().unwrap(), "--log-level", "debug", "--log-format", "json"];
    let mut agent = host.start_to(&arguments, Stdio::null(), full);
    arrives(&host, &expected);
    assert_eq!(agent.stop(), 0);
}

/// QUIT, USR1 and USR2 ended the process without a word.
#[test]
fn signals_that_mean_nothing_are_answered_by_a_line_and_quit_drains_like_a_stop() {
    let host = Host::new().flow("*.log", STREAM, json!({"maxBufferAgeMillis": 900_000}));
    let mut agent = host.run();
    append(&host.log("a.log"), "held until the stop\n");
    for (signal, name) in [
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::IO, "SIGIO"),
        (Signal::PROF, "SIGPROF"),
        (Signal::POWER, "SIGPWR"),
    ] {
        agent.signal(signal);
        let spoken_of = || agent.logged("has no meaning here").iter().any(|line| line["signal"] == name);
        assert!(holds_within(PATIENCE, spoken_of), "{name} is not spoken of: {}", agent.log_text());
    }
    assert!(agent.is_running());
    agent.signal(Signal::QUIT);
    assert_eq!(agent.exit_code(), 0);
    assert_eq!(text(&host.payload(STREAM)), "held until the stop\n");
}

#[test]
fn before_an_abort_the_states_of_the_flows_are_in_the_log() {
    let host = Host::new().flow("*.log", STREAM, json!({"name": "orders"}));
    append(&host.log("a.log"), "line\n");
    let mut agent = host.run();
    host.arrived(STREAM, 5);
    agent.signal(Signal::ABORT);
    assert_eq!(agent.wait().signal(), Some(6));
    let states = agent.logged("state of the flow");
    assert_eq!((states.len(), &states[0]["flow"], &states[0]["read"]), (1, &json!("orders"), &json!(5)));
}

/// `check >/dev/full` ended with 0; other commands ended with 74 when their reader hung up.
#[test]
fn a_device_that_takes_nothing_is_an_error_and_a_reader_who_hangs_up_is_none() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    append(&host.log("a.log"), &"line\n".repeat(10_000));
    let config = host.configure();
    let config = config.to_str().unwrap();
    let log = host.log("a.log");
    let commands: [&[&str]; 12] = [
        &["check", "--config", config],
        &["positions", "list", "--config", config],
        &["quarantine", "list", "--config", config],
        &["quarantine", "summary", "--config", config],
        &["quarantine", "drop", "--config", config],
        &["quarantine", "replay", "--config", config],
        &["estimate", "--config", config],
        &["iam-policy", "--config", config],
        &["doctor", "--config", config],
        &["preview", "--config", config, "--records", "10000", log.to_str().unwrap()],
        &["--help"],
        &["--version"],
    ];
    for arguments in commands {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = host.program().args(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(ended.status.code(), Some(74), "{arguments:?} into a full device");
        // It ended with 74 and not a word, or blamed the options of the flow.
        let said = text(&ended.stderr);
        assert!(said.contains("the output cannot be written") && !said.contains("options"), "{arguments:?}: {said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = host.program().args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{arguments:?} without a reader: {}", text(&ended.stderr));
        assert_eq!(text(&ended.stderr), "", "{arguments:?}");
    }
}

/// A FIFO as configuration hung `check` for ever.
#[test]
fn a_configuration_that_is_no_file_or_has_no_end_is_refused_at_once_by_every_command() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let fifo = host.root().join("fifo");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o666));
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    let endless = host.root().join("endless");
    File::create(&endless).unwrap().set_len(1 << 40).unwrap();
    let nested = host.root().join("nested.json");
    let pattern = format!("/{}x{}", "{a,".repeat(126), "}".repeat(126));
    let flow = json!({"filePattern": pattern, "deliveryStream": "x"});
    std::fs::write(&nested, json!({"flows": [flow]}).to_string()).unwrap();
    for path in [fifo.as_path(), Path::new("/dev/zero"), host.root(), &endless, &nested] {
        let path = path.to_str().unwrap();
        let commands: [&[&str]; 9] = [
            &["check", "--config", path],
            &["run", "--config", path],
            &["quarantine", "list", "--config", path],
            &["preview", "--config", path, "/dev/null"],
            &["status", "--config", path],
            &["shipped", "--config", path, "/dev/null"],
            &["explain", "--config", path, "/dev/null"],
            &["positions", "list", "--config", path],
            &["tap", "--config", path, "x"],
        ];
        for arguments in commands {
            let refused = output(&host, arguments);
            let said = text(&refused.stderr) + &text(&refused.stdout);
            assert_eq!(refused.status.code(), Some(78), "{arguments:?}: {said}");
            assert!(said.contains(path), "{arguments:?} does not name it: {said}");
        }
    }
}

/// `--log-level verbose` turned the whole log off.
#[test]
fn a_typo_in_the_log_level_ends_with_64_on_the_command_line_and_is_a_warning_in_the_environment() {
    let mut host = Host::new().flow("*.log", STREAM, json!({}));
    let config = host.configure();
    let refused = output(&host, &["run", "--config", config.to_str().unwrap(), "--log-level", "debg"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(text(&refused.stderr).contains("did you mean `debug`?"), "{}", text(&refused.stderr));
    host.environment.push(("DATALAKE_LOG".to_owned(), "verbose".to_owned()));
    let mut agent = host.run();
    agent.wait_for("did you mean `debug`?");
    assert_eq!(agent.stop(), 0);
}

/// How many lines say that a file whose path ends so is the agent's own.
fn refused_as_own(agent: &Agent, name: &str) -> usize {
    let is_own = |line: &Value| line["reason"].as_str().unwrap().contains("is a file of the agent itself");
    let lines = agent.logged("the file is not read");
    lines.iter().filter(|line| is_own(line) && line["file"].as_str().unwrap().ends_with(name)).count()
}

/// A link to the agent's own configuration was shipped, with the keys in it; a link to its own log fed itself.
#[test]
fn own_files_are_never_read_as_logs_by_whatever_name() {
    let host = Host::new().flow("*.log", STREAM, json!({})).flow("sub/*", STREAM, json!({}));
    let everything_of_ours = format!("{}/**", host.state().display());
    let host = host.flow(&everything_of_ours, STREAM, json!({}));
    let config = host.configure();
    for (name, target) in [
        ("config.log", config.clone()),
        ("own.log", host.root().join("agent.log")),
        ("database.log", host.state().join("checkpoint.db")),
    ] {
        symlink(target, host.log(name)).unwrap();
    }
    std::fs::hard_link(&config, host.log("hard.log")).unwrap();
    symlink(host.state(), host.log("sub")).unwrap();
    append(&host.log("app.log"), "a line of an application\n");
    let mut agent = host.run();
    until("the application's line", || text(&host.payload(STREAM)).contains("a line of an application"));
    for name in ["config.log", "own.log", "hard.log"] {
        let reported = || refused_as_own(&agent, name) > 0;
        assert!(holds_within(PATIENCE, reported), "{name} is not spoken of: {}", agent.log_text());
    }
    append(&host.log("app.log"), "and another\n");
    until("another line", || text(&host.payload(STREAM)).contains("and another"));
    assert_eq!(agent.stop(), 0);
    assert_eq!(text(&host.payload(STREAM)), "a line of an application\nand another\n");
    assert_eq!(refused_as_own(&agent, "own.log"), 1);
}

/// State and quarantine were readable for everybody, under umask 0 even writable, and a core dump held the keys.
#[test]
fn what_the_agent_keeps_is_its_own_whatever_the_umask() {
    let host = Host::new()
        .through(&["sh", "-c", "umask 0; ulimit -c unlimited 2>/dev/null; exec \"$@\"", "sh"])
        .unprivileged()
        .flow("*.log", STREAM, json!({"aggregatedRecordSizeBytes": 0}));
    std::fs::set_permissions(host.state(), PermissionsExt::from_mode(0o755)).unwrap();
    let poison = Some(b"poison".to_vec());
    host.lake.faults().set(local_lake::FaultPlan { poison, ..Default::default() }).unwrap();
    append(&host.log("a.log"), "before\npoison\nafter\n");
    let mut agent = host.run();
    agent.wait_for("the service rejects records for good");
    until("the checkpoint", || host.state().join("checkpoint.db-wal").exists());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.contains(" 0 "), "{core}");
    if is_root() {
        let owner = std::fs::metadata(format!("/proc/{}/environ", agent.pid())).unwrap().uid();
        assert_eq!(owner, 0, "the process of another user is dumpable");
    } else {
        skipped("only root can see whether the process of another user is dumpable");
    }
    let mut seen = Vec::new();
    let mut folders = vec![host.state()];
    while let Some(folder) = folders.pop() {
        let mut paths = vec![folder.clone()];
        paths.extend(std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()));
        for path in paths {
            let metadata = path.metadata().unwrap();
            assert_eq!(metadata.mode() & 0o077, 0, "{}: {:o}", path.display(), metadata.mode());
            if metadata.is_dir() && path != folder {
                folders.push(path.clone());
            }
            seen.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    for name in ["checkpoint.db", "checkpoint.db-wal", "checkpoint.db-shm", "lock", "quarantine", STREAM] {
        assert!(seen.iter().any(|seen| seen == name), "{name} is not there: {seen:?}");
    }
    assert!(seen.iter().any(|seen| seen.ends_with(".jsonl")), "{seen:?}");
    assert_eq!(agent.logged("could be read by other users").len(), 1);
    assert_eq!(agent.stop(), 0);
}

/// At `trace` the SDK prints what it signs, session token and all.
#[test]
fn no_secret_is_in_the_log_at_any_level() {
    let secrets = ["AKIDSECRETIDOFTEST", "sEcReTkEyOfTeSt0123456789", "sEsSiOnToKeNoFtEsT9876543210"];
    let mut host = Host::new().flow("*.log", STREAM, json!({}));
    for (name, value) in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].into_iter().zip(secrets) {
        host.environment.push((name.to_owned(), value.to_owned()));
    }
    let libraries = [
        "aws_sigv4",
        "aws_config",
        "aws_smithy_runtime",
        "aws_smithy_http_client",
        "aws_smithy_runtime_api",
        "aws_runtime",
        "aws_credential_types",
        "hyper",
        "hyper_util",
        "h2",
        "rustls",
        "aws_sdk_firehose",
    ];
    let levels: Vec<String> = libraries.iter().map(|library| format!("{library}=trace")).collect();
    host.environment.push(("DATALAKE_LOG".to_owned(), format!("trace,{}", levels.join(","))));
    append(&host.log("a.log"), "line\n");
    let mut agent = host.run();
    host.arrived(STREAM, 5);
    assert_eq!(agent.stop(), 0);
    let log = agent.log_text();
    assert!(log.contains("\"DEBUG\"") || log.contains("\"TRACE\""), "nothing was logged at these levels: {log}");
    for secret in &secrets[1..] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn no_command_prints_a_raw_control_whatever_a_file_is_called() {
    let host = Host::new().unprivileged().flow("*/*.log", STREAM, json!({"aggregatedRecordSizeBytes": 0})).flow(
        "/x/\u{1b}]0;\u{202e}\n*.log",
        "other",
        json!({}),
    );
    let hostile = host.log("sub").join(OsStr::from_bytes(HOSTILE));
    append(&hostile, "before\npoison \u{1b}[2J\u{9b}31m\u{202e}\nafter\n");
    let denied = host.log("sub").join(OsStr::from_bytes(&[b"denied ", HOSTILE].concat()));
    append(&denied, "denied\n");
    std::fs::set_permissions(&denied, PermissionsExt::from_mode(0o0)).unwrap();
    let poison = Some(b"poison".to_vec());
    host.lake.faults().set(local_lake::FaultPlan { poison, ..Default::default() }).unwrap();
    let config = host.configure();
    let config = config.to_str().unwrap();
    for format in ["json", "text", "journal"] {
        let before = std::fs::metadata(host.root().join("agent.log")).map_or(0, |metadata| metadata.len());
        let mut agent = host.start_with(&["run", "--config", config, "--log-format", format, "--log-level", "debug"]);
        let log = || std::fs::read(host.root().join("agent.log")).unwrap()[before as usize..].to_vec();
        until("the running agent", || text(&log()).contains("cannot be read") && text(&log()).contains("running"));
        if format == "json" {
            agent.wait_for("the service rejects records for good");
        }
        assert_eq!(agent.stop(), 0);
        is_safe(format, &log());
    }
    let hostile = hostile.as_os_str();
    let typed = OsStr::new("x\n2026 ERROR forged\u{1b}[2J\u{202e}");
    for arguments in [
        vec![OsStr::new("check"), OsStr::new("--config"), OsStr::new(config)],
        vec![OsStr::new("check"), OsStr::new("--config"), hostile],
        vec![OsStr::new("quarantine"), OsStr::new("list"), OsStr::new("--config"), OsStr::new(config)],
        vec![
            OsStr::new("quarantine"),
            OsStr::new("list"),
            OsStr::new("--json"),
            OsStr::new("--config"),
            OsStr::new(config),
        ],
        vec![OsStr::new("quarantine"), OsStr::new("summary"), OsStr::new("--config"), OsStr::new(config)],
        vec![
            OsStr::new("quarantine"),
            OsStr::new("export"),
            OsStr::new("--json"),
            OsStr::new("--config"),
            OsStr::new(config),
        ],
        vec![OsStr::new("quarantine"), OsStr::new("export"), OsStr::new("--config"), OsStr::new(config), hostile],
        vec![
            OsStr::new("quarantine"),
            OsStr::new("drop"),
            OsStr::new("--config"),
            OsStr::new(config),
            OsStr::new("--code"),
            typed,
        ],
        vec![
            OsStr::new("preview"),
            OsStr::new("--config"),
            OsStr::new(config),
            hostile,
            OsStr::new("--expect"),
            hostile,
        ],
        vec![OsStr::new("quarantine"), OsStr::new("replay"), OsStr::new("--config"), OsStr::new(config)],
        vec![OsStr::new("estimate"), OsStr::new("--config"), OsStr::new(config)],
        vec![OsStr::new("estimate"), OsStr::new("--config"), OsStr::new(config), hostile],
        vec![OsStr::new("estimate"), OsStr::new("--json"), OsStr::new("--config"), OsStr::new(config), hostile],
        vec![OsStr::new("estimate"), OsStr::new("--config"), OsStr::new(config), typed],
        vec![OsStr::new("doctor"), OsStr::new("--config"), OsStr::new(config)],
        vec![OsStr::new("doctor"), OsStr::new("--config"), hostile],
        vec![OsStr::new("iam-policy"), OsStr::new("--config"), OsStr::new(config), OsStr::new("--role"), typed],
        vec![
            OsStr::new("preview"),
            OsStr::new("--config"),
            OsStr::new(config),
            OsStr::new("--flow"),
            OsStr::new(STREAM),
            hostile,
        ],
        vec![OsStr::new("preview"), OsStr::new("--config"), OsStr::new(config), OsStr::new("--flow"), hostile, hostile],
        vec![OsStr::new("preview"), OsStr::new("--config"), OsStr::new(config), denied.as_os_str()],
        vec![OsStr::new("migrate"), OsStr::new("--from"), hostile],
        vec![OsStr::new("run"), OsStr::new("--config"), hostile],
        vec![OsStr::new("run"), OsStr::new("--log-level"), hostile],
        vec![OsStr::new("run"), OsStr::new("--log-format"), hostile],
        vec![OsStr::new("run"), OsStr::new("--log-level"), typed],
        vec![OsStr::new("run"), OsStr::new("--log-format"), typed],
        vec![OsStr::new("preview"), OsStr::new("--config"), OsStr::new(config), OsStr::new("--flow"), typed, hostile],
        vec![hostile],
        vec![typed],
    ] {
        let output = host.program().args(&arguments).output().unwrap();
        is_safe(&format!("{arguments:?}"), &output.stdout);
        is_safe(&format!("{arguments:?} (complaints)"), &output.stderr);
        assert!(!(output.stdout.is_empty() && output.stderr.is_empty()), "{arguments:?} says nothing");
    }
    let listed = output(&host, &["quarantine", "list", "--config", config]);
    assert!(text(&listed.stdout).contains(r"a\n2026 ERROR forged\x1b[2J\x07\u{9b}31m\u{202e}\u{2028}\x7f\xff.log"));
}

#[test]
fn the_command_line_helps_those_who_mistype_and_those_who_ask() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    let config = host.configure();
    let config = config.to_str().unwrap();
    for (arguments, meant) in [
        (&["chek"][..], "check"),
        (&["quarantine", "lst"], "list"),
        (&["check", "--deny-warning"], "--deny-warnings"),
        (&["run", "--log-levl", "info"], "--log-level"),
    ] {
        let refused = output(&host, arguments);
        assert_eq!(refused.status.code(), Some(64), "{arguments:?}");
        let said = text(&refused.stderr);
        assert!(said.contains(meant) && said.contains("Usage: datalake-agent"), "{arguments:?}: {said}");
    }
    for arguments in [&["help"][..], &["--help"]] {
        let help = text(&output(&host, arguments).stdout);
        for words in ["Exit codes:", "Examples:", "Files:", "DATALAKE_CONFIG", "NO_COLOR", "64  the command line"] {
            assert!(help.contains(words), "{arguments:?} does not say {words}: {help}");
        }
    }
    assert!(text(&output(&host, &["help", "check"]).stdout).contains("--deny-warnings"));
    let version = text(&output(&host, &["--version"]).stdout);
    for words in ["datalake-agent 0", "commit:", "date:", "target:", "features:"] {
        assert!(version.contains(words), "{version}");
    }
    // Anywhere, and from the environment.
    for arguments in [&["--config", config, "check"][..], &["check", "--config", config], &["check", config]] {
        let checked = output(&host, arguments);
        assert_eq!(checked.status.code(), Some(0), "{arguments:?}: {}", text(&checked.stdout));
    }
    let checked = host.program().arg("check").env("DATALAKE_CONFIG", config).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stdout));
    let missing = output(&host, &["check"]);
    assert_eq!(missing.status.code(), Some(78), "the usual place is empty here");
    assert!(text(&output(&host, &["man"]).stdout).contains(".TH"));
    assert!(text(&output(&host, &["completions", "bash"]).stdout).contains("datalake-agent"));
}

#[test]
fn an_estimate_can_measure_what_is_written_while_it_watches() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    append(&host.log("a.log"), &"before\n".repeat(1000));
    let config = host.configure();
    let arguments = ["estimate", "--config", config.to_str().unwrap(), "--json", "--minutes", "0.05", STREAM];
    let mut command = host.program();
    let mut watching = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    // Nobody knows when it begins to watch: lines come until it has ended.
    let mut written = 0;
    while watching.try_wait().unwrap().is_none() {
        append(&host.log(if written % 2 == 0 { "a.log" } else { "new.log" }), &format!("line {written}\n"));
        written += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let ended = watching.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    let value: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let found = &value["estimates"][0];
    let records = found["records"].as_u64().unwrap();
    assert!((1..=written).contains(&records), "{written} {found}");
    assert_eq!((&found["rateBy"], &found["flow"]), (&json!("measured"), &json!(STREAM)));
    let usd = |way: usize| found["ways"][way]["monthlyUsd"].as_f64().unwrap();
    assert!(usd(0) > usd(1) && usd(1) > 0.0, "{found}");
    assert_eq!(host.lake.stats().calls, 0);
}

#[test]
fn check_says_what_matches_now_and_what_keeps_the_agent_from_reading_it() {
    let host = Host::new().unprivileged().flow("app/*.log", STREAM, json!({})).flow("none/*.log", "other", json!({}));
    append(&host.log("app/a.log"), "line\n");
    append(&host.log("app/closed.log"), "line\n");
    std::fs::set_permissions(host.log("app/closed.log"), PermissionsExt::from_mode(0o600)).unwrap();
    symlink(host.configure(), host.log("app/own.log")).unwrap();
    let config = host.configure();
    let config = config.to_str().unwrap();
    let checked = output(&host, &["check", config]);
    let shown = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(0), "{shown}");
    for words in
        ["2 files, 10 B; the newest is", "warning[no-folder]", "none` is not there", "warning[own-file]", "own.log"]
    {
        assert!(shown.contains(words), "{words} is missing: {shown}");
    }
    if is_root() {
        for words in ["warning[unreadable]", "closed.log", "mode 0600, owner root:root", "setfacl -m u:nobody:r"] {
            assert!(shown.contains(words), "{words} is missing: {shown}");
        }
    } else {
        skipped("as its owner the agent may read what this test closes");
    }
    assert_eq!(output(&host, &["check", config, "--deny-warnings"]).status.code(), Some(78));
    let object = output(&host, &["check", config, "--json"]);
    let object: serde_json::Value = serde_json::from_slice(&object.stdout).unwrap();
    assert_eq!((&object["good"], &object["flows"][0]["files"]["count"]), (&json!(true), &json!(2)));
    let codes: Vec<&str> =
        object["faults"].as_array().unwrap().iter().map(|fault| fault["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"no-folder") && codes.contains(&"own-file"), "{codes:?}");
    // The running agent is named, and checking beside it changes nothing.
    let mut agent = host.run();
    let beside = text(&output(&host, &["check", config]).stdout);
    assert!(beside.contains(&format!("in use by the running agent, pid {}", agent.pid())), "{beside}");
    assert_eq!(agent.stop(), 0);
}

/// A checkpoint was never looked at: `check` said where reading begins at the very first start, also where it goes on.
#[test]
fn check_says_where_reading_goes_on_and_leaves_the_checkpoint_alone() {
    let host = Host::new().flow("*.log", STREAM, json!({}));
    append(&host.log("a.log"), "line\n");
    let config = host.configure();
    let check = |more: &[&str]| {
        let output = host.program().args(["check", config.to_str().unwrap()]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        text(&output.stdout)
    };
    let first = check(&[]);
    assert!(!first.contains("goes on") && first.contains("begins    at the beginning of every file"), "{first}");
    let mut agent = host.run();
    host.arrived(STREAM, 5);
    until("the position is saved", || check(&[]).contains("the newest was read to its end, byte 5"));
    assert_eq!(agent.stop(), 0);
    append(&host.log("a.log"), "and more\n");
    append(&host.log("b.log"), "new\n");
    let stamps = || {
        let entries = std::fs::read_dir(host.state()).unwrap().map(|entry| entry.unwrap());
        let mut stamps: Vec<_> = entries
            .map(|entry| {
                (entry.file_name(), entry.metadata().unwrap().len(), entry.metadata().unwrap().modified().unwrap())
            })
            .collect();
        stamps.sort();
        stamps
    };
    let before = stamps();
    let shown = check(&[]);
    for words in [
        "goes on   at the saved positions of 1 of 2 files",
        "begins    at the beginning of files without a saved position: the pattern ran before",
    ] {
        assert!(shown.contains(words), "{words} is missing: {shown}");
    }
    let object: Value = serde_json::from_str(&check(&["--json"])).unwrap();
    let positions = &object["flows"][0]["positions"];
    assert_eq!((&positions["files"], &positions["started"]), (&json!(1), &json!(true)), "{positions}");
    assert_eq!(stamps(), before, "check changed the state folder");
    std::fs::write(host.state().join("checkpoint.db"), "no database at all, but long enough to be taken for one")
        .unwrap();
    let damaged = check(&[]);
    assert!(damaged.contains("warning[positions]") && damaged.contains("read again from their beginning"), "{damaged}");
}

#[test]
fn at_the_start_each_flow_says_where_it_sends_and_where_it_begins() {
    let host = Host::new().flow("app/*.log", STREAM, json!({"name": "app", "initialPosition": "END_OF_FILE"})).flow(
        "none/*.log",
        "other",
        json!({"name": "none"}),
    );
    append(&host.log("app/a.log"), "before\n");
    append(&host.log("app/b.log"), "before\n");
    let mut agent = host.run();
    agent.wait_for("flow app → Firehose logs in eu-west-1: 2 files, new, read from their end (initialPosition)");
    agent.wait_for("flow none → Firehose other in eu-west-1: no file matches yet");
    append(&host.log("app/a.log"), "after\n");
    agent.wait_for("the service accepts records of this flow");
    assert_eq!(agent.stop(), 0);
    append(&host.log("app/c.log"), "later\n");
    let mut agent = host.run();
    agent.wait_for("flow app → Firehose logs in eu-west-1: 3 files, 1 of them new, read from their beginning");
    until("the new file", || text(&host.payload(STREAM)) == "after\nlater\n");
    assert_eq!(agent.stop(), 0);
    let mut agent = host.run();
    agent.wait_for("flow app → Firehose logs in eu-west-1: 3 files, read on from the saved positions");
    assert_eq!(agent.stop(), 0);
}

/// Without a region the agent sent everything to us-east-1.
#[test]
fn no_region_ends_with_78_where_no_source_names_one_and_waits_where_the_instance_does_not_answer() {
    let host = Host::new();
    let path = host.root().join("no-region.json");
    let flow = host.flow_json("*.log", STREAM, json!({}));
    let state = host.state().display().to_string();
    std::fs::write(&path, json!({"stateDirectory": state, "flows": [flow]}).to_string()).unwrap();
    let arguments = ["run", "--config", path.to_str().unwrap(), "--log-format", "json"];
    let refused = output(&host, &arguments);
    assert_eq!(refused.status.code(), Some(78), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("no region is known"), "{}", text(&refused.stderr));
    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut host = host;
    host.environment.push(("AWS_EC2_METADATA_DISABLED".to_owned(), "false".to_owned()));
    let address = format!("http://{}", silent.local_addr().unwrap());
    host.environment.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), address));
    let mut agent = host.start_with(&arguments);
    agent.wait_for("the instance metadata does not answer");
    assert!(agent.is_running());
    assert_eq!(agent.stop(), 0);
}
