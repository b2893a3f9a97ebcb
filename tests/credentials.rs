//! As whom the agent calls: roles, containers, instances, against endpoints on loopback that answer as AWS documents it.
//! Promises that the real SDK fetches, uses and renews credentials, and that a refusal holds lines and loses none.
//! Leaves signatures and refused keys to `service_wire`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/authority.rs"]
mod authority;
#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use authority::{Authority, EXTERNAL_ID, KEY};
use host::{Host, until};
use local_lake::{Lake, Mode};
use serde_json::json;
use std::time::Duration;

const ROLE: &str = "arn:aws:iam::111122223333:role/logs";
const OTHER_ROLE: &str = "arn:aws:iam::444455556666:role/logs";

/// A lake that takes calls signed with the keys of the role alone.
fn of_the_role() -> Lake {
    Lake::builder().mode(Mode::Collect).credentials(KEY.0, KEY.1).start_blocking().unwrap()
}

#[test]
fn a_role_is_assumed_with_the_keys_of_the_file_and_its_external_id() {
    let authority = Authority::start();
    let host = Host::with(of_the_role())
        .top("sts.endpoint", json!(authority.endpoint()))
        .top("awsAccessKeyId", json!("AKIAFILE"))
        .top("awsSecretAccessKey", json!("secretOfTheFile"))
        .top("assumeRoleARN", json!(ROLE))
        .top("assumeRoleExternalId", json!(EXTERNAL_ID))
        .flow("app.log", "logs", json!({}));
    std::fs::write(host.log("app.log"), "one\n").unwrap();
    // Written anew by each start, with the permissions that it has.
    let config = host.configure();
    std::fs::set_permissions(config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut agent = host.run();
    host.arrived("logs", 4);
    assert_eq!((authority.roles(), authority.callers()), (vec![ROLE.to_owned()], vec!["AKIAFILE".to_owned()]));
    assert_eq!(agent.stop(), 0);
    assert!(!agent.log_text().contains("secretOf"), "a secret is in the log");
}

#[test]
fn a_role_that_is_denied_holds_lines_until_it_is_allowed() {
    let authority = Authority::start();
    authority.change(|state| state.denies = true);
    let host = Host::with(of_the_role())
        .top("sts.endpoint", json!(authority.endpoint()))
        .top("assumeRoleARN", json!(ROLE))
        .top("assumeRoleExternalId", json!(EXTERNAL_ID))
        .flow("app.log", "logs", json!({}));
    std::fs::write(host.log("app.log"), "one\ntwo\n").unwrap();
    let mut agent = host.run();
    until("the denial is in the log", || agent.log_text().contains("sts:AssumeRole"));
    assert!(host.payload("logs").is_empty());
    authority.change(|state| state.denies = false);
    assert_eq!(host.arrived("logs", 8), b"one\ntwo\n");
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_role_that_expires_is_assumed_again() {
    let authority = Authority::start();
    authority.change(|state| state.holds = Duration::from_secs(2));
    let host = Host::with(of_the_role())
        .top("sts.endpoint", json!(authority.endpoint()))
        .top("assumeRoleARN", json!(ROLE))
        .top("assumeRoleExternalId", json!(EXTERNAL_ID))
        .flow("app.log", "logs", json!({}));
    let log = host.log("app.log");
    std::fs::write(&log, "").unwrap();
    let mut agent = host.run();
    let mut written = 0;
    until("assumed three times", || {
        use std::io::Write;
        std::fs::File::options().append(true).open(&log).unwrap().write_all(b"line\n").unwrap();
        written += 5;
        authority.roles().len() >= 3
    });
    assert_eq!(host.arrived("logs", written).len(), written);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn flows_with_roles_of_their_own_call_as_them_and_those_with_one_role_share_it() {
    let authority = Authority::start();
    let own = |role: &str| json!({"assumeRoleARN": role, "assumeRoleExternalId": EXTERNAL_ID});
    let host = Host::new()
        .top("sts.endpoint", json!(authority.endpoint()))
        .flow("a.log", "a", own(ROLE))
        .flow("b.log", "b", own(OTHER_ROLE))
        .flow("c.log", "c", own(ROLE))
        .flow("d.log", "d", json!({}))
        // The same stream in another account is another stream.
        .flow("a.log", "d", own(OTHER_ROLE));
    for name in ["a", "b", "c", "d"] {
        std::fs::write(host.log(&format!("{name}.log")), format!("{name}\n")).unwrap();
    }
    let mut agent = host.run();
    for (stream, bytes) in [("a", 2), ("b", 2), ("c", 2), ("d", 4)] {
        assert_eq!(host.arrived(stream, bytes).len(), bytes, "{stream}");
    }
    let mut roles = authority.roles();
    roles.sort();
    assert_eq!(roles, [ROLE, OTHER_ROLE], "one session for each");
    assert_eq!(agent.stop(), 0);
}

#[test]
fn the_endpoint_of_a_container_and_the_metadata_of_an_instance_give_credentials() {
    let authority = Authority::start();
    let container = format!("{}/container", authority.endpoint());
    for (variables, path) in [
        (vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str())], "/container"),
        (
            vec![("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &authority.endpoint())],
            "/latest/api/token",
        ),
    ] {
        let mut host = Host::with(of_the_role()).flow("app.log", "logs", json!({}));
        let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
        let all = none.into_iter().chain(variables);
        host.environment.extend(all.map(|(name, value)| (name.to_owned(), value.to_owned())));
        std::fs::write(host.log("app.log"), "one\n").unwrap();
        let mut agent = host.run();
        host.arrived("logs", 4);
        assert!(authority.paths().iter().any(|asked| asked == path), "{path} was not asked for");
        assert_eq!(agent.stop(), 0);
    }
}

/// The SDK logged its warnings at each attempt, one of them with the error in the form for debugging.
#[test]
fn trouble_with_credentials_is_one_line_of_ours_however_often_they_are_asked_for() {
    let authority = Authority::start();
    for (name, text, variables, words) in [
        (
            "a damaged profile",
            "[default\nrole_arn\n",
            vec![("AWS_EC2_METADATA_DISABLED", "true".to_owned())],
            "on line 1",
        ),
        (
            "an instance without a role",
            "",
            vec![
                ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("{}/nothing", authority.endpoint())),
            ],
            "IMDS",
        ),
        (
            "a program that fails",
            "[default]\ncredential_process = /bin/false\n",
            vec![("AWS_EC2_METADATA_DISABLED", "true".to_owned())],
            "exit status: 1",
        ),
    ] {
        let mut host = Host::new().flow("app.log", "logs", json!({}));
        let profile = host.root().join("profile");
        std::fs::write(&profile, text).unwrap();
        let profile = profile.to_str().unwrap().to_owned();
        let none = [("AWS_ACCESS_KEY_ID", String::new()), ("AWS_SECRET_ACCESS_KEY", String::new())];
        let files = [("AWS_CONFIG_FILE", profile)];
        let all = none.into_iter().chain(files).chain(variables);
        host.environment.extend(all.map(|(name, value)| (name.to_owned(), value)));
        std::fs::write(host.log("app.log"), "one\n").unwrap();
        let mut agent = host.run();
        let paused = agent.wait_for("flow paused");
        let reason = paused["reason"].as_str().unwrap();
        assert!(reason.contains(words) && reason.len() < 1_500, "{name}: {reason}");
        assert!(
            !reason.contains('\n') && !reason.contains("Error {") && !reason.contains("Error("),
            "{name}: {reason}"
        );
        // Long enough for a second attempt; what is asserted does not depend on whether there was one.
        std::thread::sleep(Duration::from_secs(6));
        assert_eq!(agent.stop(), 0);
        assert_eq!(agent.logged("flow paused").len(), 1, "{name}: {}", agent.log_text());
        for line in agent.log_lines() {
            assert!(line["target"].as_str().unwrap().starts_with("datalake_"), "{name}: {line}");
        }
    }
}
