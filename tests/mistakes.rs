//! The mistakes that are made most, and the one message each is answered with: what is wrong, where, and what to do.
//! Promises that each is made with the real program, and that a message changes only with its file in `tests/mistakes`
//! (`BLESS=1` writes them). Leaves all faults of a configuration at once to `config_faults`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/answers.rs"]
mod answers;
#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/disk.rs"]
mod disk;
#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;
#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/proxy.rs"]
mod proxy;

use answers::{Answers, Said};
use disk::SmallDisk;
use host::{Agent, Host, is_root, skipped};
use local_lake::{Fault, Lake, Mode};
use proxy::{Act, Proxy};
use regex::Regex;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const STREAM: &str = "logs";

/// Holds a message against its file.
#[track_caller]
fn answered_with(name: &str, host: &Host, message: &str) {
    let found = normalised(host, message);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes").join(format!("{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == found, "{} differs; review and run with BLESS=1. Found:\n{found}", path.display());
}

/// The message without what differs from run to run and from machine to machine.
fn normalised(host: &Host, message: &str) -> String {
    let mut text = message.replace(host.root().to_str().unwrap(), "/ROOT");
    for (pattern, replaced) in [
        (r"\x1b\[[0-9;]*m", ""),
        (r"/[A-Za-z0-9_./-]*/\.tmp[A-Za-z0-9]+", "/DISK"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"pid \d+", "pid PID"),
        (r"(?m)^(datalake-agent )\d+\.\d+.*$", "$1VERSION"),
        // What libraries and the C library say differs with their versions.
        (
            r"(?:Temporary failure in name resolution|Name or service not known|No address associated with hostname)",
            "NO SUCH NAME",
        ),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, replaced).into_owned();
    }
    text.trim_end().to_owned() + "\n"
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A configuration as it was written, in the usual place of the host.
fn written(host: &Host, configuration: &str) -> PathBuf {
    let path = host.root().join("agent.json");
    std::fs::write(&path, configuration).unwrap();
    path
}

/// What `check` says of a configuration; that it is one message.
#[track_caller]
fn checked(host: &Host, config: &Path) -> String {
    let output = host.program().args(["check", config.to_str().unwrap()]).output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    let said = said.split("configuration is good").next().unwrap().to_owned();
    let messages = said.lines().filter(|line| line.starts_with("error") || line.starts_with("warning")).count();
    let of_report = said.lines().filter(|line| line.trim_start().starts_with("= help")).count();
    assert!(messages == 1 && of_report <= 1, "{messages} messages: {said}");
    format!("exit code {}\n{said}", output.status.code().unwrap())
}

/// A configuration with one flow of these keys, and these keys beside it.
fn one_flow(host: &Host, flow: &str, top: &str) -> PathBuf {
    let state = host.state().display().to_string();
    let log = host.log("*.log").display().to_string();
    std::fs::write(host.log("a.log"), "line\n").unwrap();
    let flow = flow.replace("LOGS", log.trim_end_matches("/*.log"));
    let text = format!(
        "{{\n  \"region\": \"eu-west-1\",\n  \"stateDirectory\": \"{state}\",{top}\n  \"flows\": [{{\n    {flow}\n  }}]\n}}\n"
    );
    written(host, &text)
}

/// A log line as people read it, without its time.
fn line_of(line: &Value) -> String {
    let mut shown = format!("{} {}\n", line["level"].as_str().unwrap(), line["message"].as_str().unwrap());
    for (key, value) in line.as_object().unwrap() {
        if !["level", "message", "timestamp", "target"].contains(&key.as_str()) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            shown += &format!("  {key}: {value}\n");
        }
    }
    shown
}

/// All warnings and errors of this life of the agent.
fn complaints(agent: &Agent) -> Vec<Value> {
    let mut lines = agent.log_lines();
    lines.retain(|line| line["level"] == "WARN" || line["level"] == "ERROR");
    lines
}

/// Runs the agent until its log says something of this kind, and stops it: the only complaint until then.
#[track_caller]
fn logged(host: &Host, words: &str) -> String {
    std::fs::write(host.log("a.log"), "line\n").unwrap();
    let agent = host.start();
    let said = one_line(&agent, words);
    agent.kill();
    said
}

/// The line with these words. Nothing may be complained of before it; what comes after it depends on when one looks.
#[track_caller]
fn one_line(agent: &Agent, words: &str) -> String {
    agent.wait_for(words);
    let mut complaints = complaints(agent);
    let last = complaints.iter().position(|line| line.to_string().contains(words)).unwrap();
    complaints.truncate(last + 1);
    let shown: String = complaints.iter().map(line_of).collect();
    assert_eq!(complaints.len(), 1, "{shown}");
    shown
}

/// Runs the agent, which ends by itself: its exit code, and all it says.
#[track_caller]
fn ended(host: &Host, config: &Path) -> String {
    let arguments = ["run", "--config", config.to_str().unwrap(), "--log-format", "json"];
    let mut agent = host.start_with(&arguments);
    let code = agent.exit_code();
    let plain: String =
        agent.log_text().lines().filter(|line| !line.starts_with('{')).map(|line| format!("{line}\n")).collect();
    let complaints = complaints(&agent);
    assert!(complaints.len() + usize::from(!plain.is_empty()) == 1, "{plain}{complaints:?}");
    format!("exit code {code}\n{plain}{}", complaints.iter().map(line_of).collect::<String>())
}

fn host() -> Host {
    Host::new().top("shutdownTimeoutMillis", json!(100))
}

fn sending() -> Host {
    host().flow("*.log", STREAM, json!({}))
}

// What is written wrong.

#[test]
fn mistakes_in_the_configuration_are_shown_where_they_stand() {
    // Each key on a line of its own: what is shown of a line must not depend on where the host lies.
    const FLOW: &str = "\"filePattern\": \"LOGS/*.log\",\n    \"deliveryStream\": \"logs\"";
    let with = |more: &str| format!("{FLOW},\n    {more}");
    for (name, flow, top) in [
        ("wrong_type", with("\"compression\": true"), ""),
        ("mistyped_key", "\"filePatern\": \"/var/log/*.log\", \"deliveryStream\": \"logs\"".to_owned(), ""),
        ("bad_regex", with("\"multiLineStartPattern\": \"^(\\\\d{4}\""), ""),
        ("size_out_of_range", with("\"maxBufferSizeBytes\": \"64MiB\""), ""),
        ("age_out_of_range", with("\"maxBufferAgeMillis\": 5"), ""),
        ("both_streams", with("\"kinesisStream\": \"logs\""), ""),
        ("no_stream", "\"filePattern\": \"LOGS/*.log\"".to_owned(), ""),
        ("relative_pattern", "\"filePattern\": \"app/*.log\", \"deliveryStream\": \"logs\"".to_owned(), ""),
        ("bad_stream_name", FLOW.replace("\"logs\"", "\"my logs\""), ""),
        ("mistyped_option", with("\"dataProcessingOptions\": [{\"optionName\": \"LOGTOJSN\"}]"), ""),
        ("missing_variable", FLOW.replace("\"logs\"", "\"logs-${STAGE}\""), ""),
        ("half_a_key", FLOW.to_owned(), "\n  \"awsAccessKeyId\": \"AKIDEXAMPLE\","),
    ] {
        let host = host();
        let config = one_flow(&host, &flow, top);
        answered_with(name, &host, &checked(&host, &config));
    }
}

#[test]
fn mistakes_of_json_are_shown_where_they_stand() {
    let flow = |text: &str| format!("{{\n  \"region\": \"eu-west-1\",\n  \"flows\": [{text}]\n}}\n");
    for (name, configuration) in [
        ("missing_comma", flow("{\"filePattern\": \"/var/log/*.log\"\n    \"deliveryStream\": \"logs\"}")),
        ("extra_comma", flow("{\"filePattern\": \"/var/log/*.log\",, \"deliveryStream\": \"logs\"}")),
        (
            "missing_bracket",
            "{\"flows\": [{\"filePattern\": \"/var/log/*.log\", \"deliveryStream\": \"logs\"}\n".to_owned(),
        ),
    ] {
        let host = host();
        let config = written(&host, &configuration);
        answered_with(name, &host, &checked(&host, &config));
    }
}

#[test]
fn a_region_that_resembles_another_is_asked_about() {
    let host = host();
    let config = one_flow(&host, "\"filePattern\": \"LOGS/*.log\", \"deliveryStream\": \"logs\"", "");
    let text = std::fs::read_to_string(&config).unwrap().replace("eu-west-1", "eu-cental-1");
    let config = written(&host, &text);
    answered_with("mistyped_region", &host, &checked(&host, &config));
}

#[test]
fn patterns_that_match_nothing_say_why() {
    for (name, pattern) in [
        ("no_file_matches", "LOGS/*.txt"),
        ("folder_missing", "LOGS/none/*.log"),
        ("pattern_names_a_folder", "LOGS"),
        ("brackets_taken_for_a_class", "LOGS/[prod]-app.log"),
    ] {
        let host = host();
        let config = one_flow(&host, &format!("\"filePattern\": \"{pattern}\", \"deliveryStream\": \"logs\""), "");
        answered_with(name, &host, &checked(&host, &config));
    }
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let host = host();
    answered_with("no_configuration", &host, &checked(&host, &host.root().join("agent.json")));
}

#[test]
fn a_mistyped_command_finds_the_one_that_was_meant() {
    let host = host();
    for (name, arguments) in [
        ("mistyped_command", &["chek"][..]),
        ("mistyped_option_of_a_command", &["check", "--deny-warning"]),
        ("mistyped_log_level", &["run", "--log-level", "debg"]),
    ] {
        let output = host.program().args(arguments).output().unwrap();
        let said =
            format!("exit code {}\n{}{}", output.status.code().unwrap(), text(&output.stdout), text(&output.stderr));
        answered_with(name, &host, &said);
    }
}

// What the service says.

#[test]
fn an_unknown_stream_is_named_with_its_region_and_endpoint() {
    let lake = Lake::builder().mode(Mode::Collect).streams(["other"]).start_blocking().unwrap();
    let host = Host::with(lake).top("shutdownTimeoutMillis", json!(100)).flow("*.log", STREAM, json!({}));
    answered_with("unknown_stream", &host, &logged(&host, "flow paused"));
}

#[test]
fn a_refusal_says_what_would_have_to_be_allowed_or_renewed() {
    for (name, fault) in [
        ("denied", Fault::AccessDenied),
        ("expired_credentials", Fault::ExpiredToken),
        ("kms_key_disabled", Fault::InvalidKms),
    ] {
        let host = sending();
        host.lake.faults().always(Some(fault));
        answered_with(name, &host, &logged(&host, "flow paused"));
    }
}

#[test]
fn a_clock_that_is_wrong_is_named_with_the_difference() {
    // As the service does it: a signature of another day is refused, one of its own day is not.
    let service = Answers::with(|asked| {
        if asked.signed.starts_with("20150101T") {
            return Said::stored();
        }
        Said::error(403, "InvalidSignatureException", "Signature not yet current").at("Thu, 01 Jan 2015 00:00:00 GMT")
    });
    let host = sending().top("firehose.endpoint", json!(service.endpoint()));
    std::fs::write(host.log("a.log"), "line\n").unwrap();
    let mut agent = host.start();
    let said = one_line(&agent, "calls fail");
    agent.wait_for("the service accepts records of this flow");
    assert_eq!(agent.stop(), 0);
    // The difference grows with the years.
    let said = Regex::new(r"is \d+ s ahead of").unwrap().replace_all(&said, "is N s ahead of").into_owned();
    answered_with("clock_skew", &host, &said);
}

#[test]
fn credentials_that_are_missing_are_named_with_the_sources_there_are() {
    for (name, variables) in [("no_credentials", &[][..]), ("profile_missing", &[("AWS_PROFILE", "prod")])] {
        let mut host = sending();
        let folder = host.root().join("aws");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("config"), "[profile test]\nregion = eu-west-1\n").unwrap();
        std::fs::write(folder.join("credentials"), "").unwrap();
        let file = |name: &str| folder.join(name).display().to_string();
        let none = [("AWS_ACCESS_KEY_ID", String::new()), ("AWS_SECRET_ACCESS_KEY", String::new())];
        let files = [("AWS_CONFIG_FILE", file("config")), ("AWS_SHARED_CREDENTIALS_FILE", file("credentials"))];
        let given = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let all = none.into_iter().chain(files).chain(given);
        host.environment.extend(all.map(|(name, value)| (name.to_owned(), value)));
        answered_with(name, &host, &logged(&host, "flow paused"));
    }
}

#[test]
fn a_region_that_nobody_names_ends_the_start() {
    let host = host();
    let flow = host.flow_json("*.log", STREAM, json!({}));
    let config = written(&host, &json!({"stateDirectory": host.state(), "flows": [flow]}).to_string());
    answered_with("no_region", &host, &ended(&host, &config));
}

// What lies between.

#[test]
fn a_port_that_nobody_listens_on_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = sending().top("firehose.endpoint", json!(format!("http://{port}")));
    answered_with("port_blocked", &host, &logged(&host, "calls fail"));
}

#[test]
fn a_name_that_no_dns_knows_is_named() {
    let host = sending().top("firehose.endpoint", json!("https://firehose.lake.invalid"));
    answered_with("dns_name_unknown", &host, &logged(&host, "flow paused"));
}

#[test]
fn a_proxy_that_refuses_is_named_with_the_variable() {
    for (name, status) in
        [("proxy_refuses", "403 Forbidden"), ("proxy_wants_credentials", "407 Proxy Authentication Required")]
    {
        let mut host = sending().top("firehose.endpoint", json!("https://firehose.lake.test"));
        let proxy = Proxy::to(host.lake.address(), Act::Refuse(status));
        host.environment.push(("HTTPS_PROXY".to_owned(), format!("http://me:hush@{}", proxy.address())));
        let said = logged(&host, "flow paused");
        assert!(!said.contains("hush"), "{said}");
        answered_with(name, &host, &said);
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_named() {
    let lake = Lake::builder().mode(Mode::Collect).tls(true).start_blocking().unwrap();
    let host = Host::with(lake).top("shutdownTimeoutMillis", json!(100)).flow("*.log", STREAM, json!({}));
    answered_with("certificate_unknown", &host, &logged(&host, "flow paused"));
}

// What the machine says.

#[test]
fn a_file_and_a_folder_that_are_closed_are_named_with_the_ways_out() {
    if !is_root() {
        return skipped("as their owner the agent may read what this test closes");
    }
    for (name, closed, mode) in [("unreadable_file", "app/a.log", 0o600), ("unreadable_folder", "app", 0o700)] {
        let host = host().unprivileged().flow("app/*.log", STREAM, json!({}));
        std::fs::create_dir(host.log("app")).unwrap();
        std::fs::write(host.log("app/a.log"), "line\n").unwrap();
        std::fs::set_permissions(host.log(closed), PermissionsExt::from_mode(mode)).unwrap();
        let config = host.configure();
        answered_with(&format!("{name}_checked"), &host, &checked(&host, &config));
        let agent = host.run();
        let words = if name == "unreadable_file" { "the file cannot be read" } else { "the folder cannot be listed" };
        answered_with(name, &host, &one_line(&agent, words));
        agent.kill();
    }
}

#[test]
fn a_disk_that_is_full_at_the_start_is_named() {
    let Some(disk) = SmallDisk::mount() else { return };
    let host = sending().top("stateDirectory", json!(disk.state()));
    disk.fill();
    let config = host.configure();
    answered_with("full_disk", &host, &ended(&host, &config));
}

#[test]
fn a_second_agent_on_the_same_state_names_the_one_that_has_it() {
    let host = sending();
    let mut first = host.run();
    let config = host.configure();
    answered_with("second_instance", &host, &ended(&host, &config));
    assert!(first.is_running());
    assert_eq!(first.stop(), 0);
}

#[test]
fn a_state_folder_of_another_user_is_named() {
    if !is_root() {
        return skipped("only root can make a folder of another user");
    }
    let host = host().unprivileged().flow("*.log", STREAM, json!({}));
    std::os::unix::fs::chown(host.state(), Some(0), Some(0)).unwrap();
    std::fs::set_permissions(host.state(), PermissionsExt::from_mode(0o700)).unwrap();
    let config = host.configure();
    answered_with("state_folder_of_another_user", &host, &ended(&host, &config));
}
