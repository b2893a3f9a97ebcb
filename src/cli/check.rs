//! `datalake-agent check`: says whether a configuration can run, and what it would do on this machine.
//! Promises to touch nothing but the files it reads, to call nobody, and to say the same as a start would.
//! Leaves the judgement to `config` and, of certificates, to the delivery.

/// What the agent would do, flow by flow.
mod describe;
/// What the machine adds: files, rights, the state folder.
pub(super) mod machine;
/// Where reading goes on.
mod positions;
/// The service as systemd runs it.
mod service;

use super::output::json_lines;
use crate::app;
use crate::config::report::{Fault, Severity};
use crate::config::{self, Plan, Report};
use crate::exit::Exit;
use datalake_base::shown::shown;
use datalake_base::units::counted;
use machine::{Finding, Findings};
use serde_json::{Value, json};
use service::Service;
use std::fmt::Write as _;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Set where the environment is that of the service already.
const AS_SERVICE: &str = "DATALAKE_CHECK_AS_SERVICE";
/// Variables of the caller that are kept.
const KEPT: [&str; 5] = ["PATH", "LANG", "LC_ALL", "TERM", "NO_COLOR"];

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The configuration.
    pub config: &'a Path,
    /// Warnings are errors.
    pub deny_warnings: bool,
    /// As one JSON object.
    pub json: bool,
}

/// Goes on in the environment that systemd gives the service, where this is its configuration: proxy, profile and region
/// are those that count. Returns where that is not so, or is so already.
pub fn enter_environment_of_service(config: &Path) {
    let Some(service) = of_config(config) else { return };
    if service.environment.is_empty() || std::env::var_os(AS_SERVICE).is_some() {
        return;
    }
    let mut command = Command::new("/proc/self/exe");
    command.args(std::env::args_os().skip(1)).env_clear();
    command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs(service.home.as_ref().map(|home| ("HOME", home)));
    command.envs(service.variables()).env("DATALAKE_CONFIG", config).env(AS_SERVICE, "1");
    // Only comes back when it fails; then the environment is that of the caller.
    let _failed = command.exec();
}

/// The installed service, if it is started with this configuration.
pub(super) fn of_config(config: &Path) -> Option<Service> {
    let service = Service::installed(Path::new("/"))?;
    let same = config == service.config || config.canonicalize().ok()? == service.config.canonicalize().ok()?;
    same.then_some(service)
}

/// Judges the file and its fragments, and writes the verdict. A reader that hangs up does not change it.
#[must_use]
pub fn check(request: Request<'_>, out: &mut dyn Write) -> Exit {
    let (text, exit) = match config::load(request.config) {
        Ok(plan) => {
            let service = of_config(request.config);
            let refused = app::prove_certificates(&plan.session).err().map(|error| error.to_string());
            let findings = machine::look(&plan, service.as_ref());
            let warnings = plan.warnings.warnings() + findings.all.len();
            let denied = request.deny_warnings && warnings > 0;
            let exit = if refused.is_some() || denied { Exit::Configuration } else { Exit::Success };
            let text = match request.json {
                true => as_json(&plan.warnings, Some((&plan, &findings)), refused.as_deref(), exit),
                false => in_words(&plan, &findings, refused.as_deref(), denied),
            };
            (plan.warnings.without_values(text), exit)
        }
        Err(report) if request.json => (as_json(&report, None, None, Exit::Configuration), Exit::Configuration),
        Err(report) => (report.to_string(), Exit::Configuration),
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
    exit
}

fn in_words(plan: &Plan, findings: &Findings, refused: Option<&str>, denied: bool) -> String {
    let mut text = plan.warnings.to_string();
    for Finding { code, message, help } in &findings.all {
        write!(text, "warning[{code}]: {}\n = help: {}\n\n", shown(message), shown(help)).ok();
    }
    if let Some(reason) = refused {
        writeln!(text, "error: {}", shown(reason)).ok();
        return text;
    }
    if denied {
        let count = plan.warnings.warnings() + findings.all.len();
        writeln!(text, "error: {}, and --deny-warnings is given", counted(count, "warning")).ok();
        return text;
    }
    text + &describe::describe(plan, findings)
}

/// A fault for a program.
fn fault_json(report: &Report, fault: &Fault) -> Value {
    let severity = match fault.kind.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (line, column) = report.line_and_column(fault).unzip();
    json!({
        "severity": severity, "code": fault.kind.code(), "file": report.file_of(fault), "line": line, "column": column,
        "path": fault.path, "message": fault.message, "help": fault.help,
    })
}

/// Everything for a program.
fn as_json(report: &Report, plan: Option<(&Plan, &Findings)>, refused: Option<&str>, exit: Exit) -> String {
    let mut faults: Vec<Value> = report.faults().iter().map(|fault| fault_json(report, fault)).collect();
    faults.extend(refused.map(|reason| json!({"severity": "error", "code": "certificates", "message": reason})));
    let mut object = json!({"good": exit == Exit::Success, "exitCode": exit.code()});
    if let Some((plan, findings)) = plan {
        faults.extend(findings.all.iter().map(|Finding { code, message, help }| {
            json!({"severity": "warning", "code": code, "message": message, "help": help})
        }));
        object["stateDirectory"] = json!(shown(&plan.state_directory).to_string());
        object["region"] = json!(plan.session.region);
        object["credentials"] = json!(findings.credentials);
        object["user"] = json!(findings.user);
        object["flows"] = (0..)
            .zip(plan.flows.iter().zip(&findings.flows))
            .map(|(number, (flow, found))| describe::flow_json(flow, found, findings.positions_of(number)))
            .collect();
    }
    object["faults"] = Value::Array(faults);
    json_lines(&object, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn checked_as(text: &str, deny_warnings: bool, json: bool) -> (Exit, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.json");
        std::fs::write(&path, text.replace("LOGS", folder.path().to_str().unwrap())).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(folder.path().join("a.log"), "line\n").unwrap();
        let mut out = Vec::new();
        let exit = check(Request { config: &path, deny_warnings, json }, &mut out);
        (exit, String::from_utf8(out).unwrap())
    }

    fn checked(text: &str) -> (Exit, String) {
        checked_as(text, false, false)
    }

    const GOOD: &str = r#"{"region": "eu-central-1", "awsAccessKeyId": "A", "awsSecretAccessKey": "B", "stateDirectory": "LOGS/state",
        "flows": [{"filePattern": "LOGS/*.log", "deliveryStream": "raw", "compression": "gzip"}]}"#;

    #[test]
    fn a_good_file_is_described_with_what_it_matches_now() {
        let (exit, out) = checked(GOOD);
        assert_eq!(exit, Exit::Success, "{out}");
        for words in [
            "configuration is good: 1 flow\n",
            "gzip level 1",
            "/state",
            "1 file, 5 B; the newest is ",
            "a.log, written ",
            "begins    at the end of the files that are there at the first start (initialPosition)",
            "keys of the configuration",
            "eu-central-1",
        ] {
            assert!(out.contains(words), "{words} is missing in {out}");
        }
    }

    #[test]
    fn for_a_program_it_is_one_object() {
        let (exit, out) = checked_as(GOOD, false, true);
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((exit, &value["good"], &value["exitCode"]), (Exit::Success, &json!(true), &json!(0)));
        let flow = &value["flows"][0];
        assert_eq!(
            (&flow["name"], &flow["files"]["count"], &flow["files"]["bytes"]),
            (&json!("raw"), &json!(1), &json!(5))
        );
        assert!(!out.contains("\"B\""), "a secret is printed: {out}");
        let (exit, out) = checked_as("{\n  \"flow\": []\n}", false, true);
        let value: Value = serde_json::from_str(&out).unwrap();
        let fault = &value["faults"][0];
        assert_eq!(
            (exit, &fault["code"], &fault["line"], &fault["column"]),
            (Exit::Configuration, &json!("unknown-key"), &json!(2), &json!(3))
        );
    }

    #[test]
    fn options_are_named_in_their_order() {
        let (exit, out) = checked(
            r#"{"flows": [{"filePattern": "/a", "deliveryStream": "raw", "dataProcessingOptions": [
                {"optionName": "SINGLELINE"}, {"optionName": "ADDMETADATA", "metadata": "${env:STAGE}"}]}]}"#,
        );
        assert_eq!(exit, Exit::Success, "{out}");
        assert!(out.contains("options   SINGLELINE, ADDMETADATA\n"), "{out}");
        assert!(out.contains("reads     STAGE from the environment of the agent\n"), "{out}");
    }

    #[test]
    fn warnings_are_shown_and_fail_only_where_they_are_denied() {
        let text = GOOD.replacen('{', r#"{"maxSendingThreads": 5,"#, 1);
        let (exit, out) = checked(&text);
        assert_eq!(exit, Exit::Success);
        assert!(out.contains("warning[no-effect]") && out.contains("configuration is good"), "{out}");
        let (exit, out) = checked_as(&text, true, false);
        assert_eq!(exit, Exit::Configuration);
        assert!(out.contains("error: 1 warning, and --deny-warnings is given"), "{out}");
        assert_eq!(checked_as(GOOD, true, false).0, Exit::Success);
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_warned_of_with_the_reason() {
        for (pattern, code, words) in [
            ("LOGS/none/*.log", "no-folder", "/none` is not there"),
            ("LOGS", "is-folder", "names a folder"),
            ("LOGS/*.txt", "no-match", "matches no file now"),
            ("LOGS/[prod]-*.log", "brackets", "stands for one of the characters p, r, o, d"),
        ] {
            let (exit, out) = checked(&GOOD.replace("LOGS/*.log", pattern));
            assert_eq!(exit, Exit::Success, "{out}");
            assert!(out.contains(&format!("warning[{code}]")) && out.contains(words), "{pattern}: {out}");
        }
    }

    #[test]
    fn own_files_that_match_are_listed() {
        let (_, out) = checked(&GOOD.replace("*.log", "*"));
        assert!(out.contains("warning[own-file]") && out.contains("agent.json"), "{out}");
    }

    #[test]
    fn a_faulty_file_is_reported_with_line_and_column() {
        let (exit, out) = checked("{\n  \"flow\": []\n}");
        assert_eq!(exit, Exit::Configuration);
        assert!(out.contains("agent.json:2:3") && out.contains("did you mean `flows`?"), "{out}");
    }

    #[test]
    fn a_reader_that_hangs_up_does_not_change_the_verdict() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let request = Request { config: Path::new("/nonexistent/agent.json"), deny_warnings: false, json: false };
        assert_eq!(check(request, &mut Gone), Exit::Configuration);
    }
}
