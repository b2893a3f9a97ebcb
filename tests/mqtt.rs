//! MQTT topics into the lake, with a real mosquitto: every quality, TLS with certificates, kills of both sides under load.
//! Promises that what the broker took from a publisher arrives, counted from outside of the agent.
//! Leaves what a real broker will not do on demand to `mqtt_scripted`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/broker.rs"]
mod broker;

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/disk.rs"]
mod disk;

use broker::{Mosquitto, Publisher};
use disk::SmallDisk;
use host::{Agent, Host, holds_within, say, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const STREAM: &str = "messages";

/// A machine with one flow that receives.
fn host(broker: &str, mqtt: Value) -> Host {
    let mut object = json!({"broker": broker, "topics": "devices/{device_id}/ping", "clientId": "agent"});
    for (key, value) in mqtt.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    Host::new().whole_flow(json!({"mqtt": object, "deliveryStream": STREAM, "maxBufferAgeMillis": 50}))
}

fn message(number: u64) -> (String, Vec<u8>) {
    (format!("devices/d{}/ping", number % 7), format!("{{ \"n\": {number} }}").into_bytes())
}

fn messages(numbers: std::ops::Range<u64>) -> Vec<(String, Vec<u8>)> {
    numbers.map(message).collect()
}

/// How often each number arrived.
fn arrived(host: &Host) -> BTreeMap<u64, u64> {
    let payload = host.payload(STREAM);
    assert!(payload.is_empty() || payload.ends_with(b"\n"), "a record ends within a line");
    let mut counts = BTreeMap::new();
    for line in std::str::from_utf8(&payload).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let number = line["payload"]["n"].as_u64().unwrap_or_else(|| panic!("nobody published {line}"));
        assert_eq!(line["topic"], format!("devices/d{}/ping", number % 7));
        assert_eq!(line["device_id"], format!("d{}", number % 7));
        assert!(line["receivedAt"].as_str().unwrap().ends_with('Z'), "{line}");
        *counts.entry(number).or_default() += 1;
    }
    counts
}

#[track_caller]
fn all_arrive(host: &Host, count: u64) {
    let complete = holds_within(host::PATIENCE, || arrived(host).len() as u64 >= count);
    let there = arrived(host);
    let missing: Vec<u64> = (0..count).filter(|number| !there.contains_key(number)).collect();
    assert!(complete, "of {count} messages never came: {missing:?}");
    assert!(arrived(host).into_keys().eq(0..count));
}

#[track_caller]
fn all_arrive_once(host: &Host, count: u64) {
    all_arrive(host, count);
    let twice: Vec<u64> = arrived(host).into_iter().filter(|(_, times)| *times > 1).map(|(number, _)| number).collect();
    assert!(twice.is_empty(), "arrived more than once: {twice:?}");
}

fn subscribed(agent: &Agent) {
    agent.wait_for("subscribed");
}

/// The files of the spool.
fn segments(host: &Host) -> usize {
    let folder = host.state().join("spool").join(STREAM);
    let names = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|ending| ending == "ndjson")).count()
}

#[test]
fn messages_of_every_quality_and_both_versions_arrive_once_with_their_envelope() {
    let Some(broker) = Mosquitto::start("") else { return };
    for version in ["5", "3.1.1"] {
        for quality in 0..3_u8 {
            let client = format!("agent-{version}-{quality}");
            let host = host(&broker.address(), json!({"version": version, "qos": quality, "clientId": client}));
            let mut agent = host.run();
            subscribed(&agent);
            Publisher::new(broker.port).publish(quality, &messages(0..500));
            all_arrive_once(&host, 500);
            let first: Value =
                serde_json::from_slice(host.payload(STREAM).split(|byte| *byte == b'\n').next().unwrap()).unwrap();
            assert_eq!((&first["qos"], &first["retained"]), (&json!(quality), &json!(false)));
            assert!(first["messageId"].is_string());
            assert_eq!(agent.stop(), 0);
        }
    }
}

/// `message Ping { string device_id = 1; double level = 2; bool charging = 3; uint64 n = 4; }`
const PLAN: &str = r#"{"format": "datalake-plan-1", "tables": {"ping": {"message": 0}}, "enums": [], "messages": [
    {"name": "Ping", "fields": [
        {"name": "device_id", "jsonName": "deviceId", "number": 1, "kind": {"scalar": "string"}},
        {"name": "level", "jsonName": "level", "number": 2, "kind": {"scalar": "double"}},
        {"name": "charging", "jsonName": "charging", "number": 3, "kind": {"scalar": "bool"}},
        {"name": "n", "jsonName": "n", "number": 4, "kind": {"scalar": "uint64"}}]}]}"#;

/// A message on the wire; numbers below 128 are one byte.
fn binary(number: u8) -> Vec<u8> {
    let mut bytes = b"\x11".to_vec();
    bytes.extend_from_slice(&(f64::from(number) + 0.5).to_le_bytes());
    // A newline, a zero and what begins like gzip are bytes as any others here.
    bytes.extend_from_slice(&[0x20, number]);
    bytes
}

/// Devices that save bytes send no JSON, and the agent makes rows of it; what is no message is kept, not sent and not lost.
#[test]
fn binary_messages_become_canonical_lines_and_what_is_none_is_quarantined() {
    let Some(broker) = Mosquitto::start("") else { return };
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("lake.plan.json");
    std::fs::write(&plan, PLAN).unwrap();
    let host = Host::new().whole_flow(json!({
        "mqtt": {"broker": broker.address(), "topics": "devices/{device_id}/ping", "clientId": "agent", "payloadFormat": "protobuf"},
        "dataProcessingOptions": [{"optionName": "SCHEMA", "plan": plan, "table": "ping"}],
        "deliveryStream": STREAM, "maxBufferAgeMillis": 50,
    }));
    let mut agent = host.run();
    subscribed(&agent);
    let mut messages: Vec<(String, Vec<u8>)> =
        (0..100).map(|n| (format!("devices/d{}/ping", n % 7), binary(n))).collect();
    messages.insert(50, ("devices/d1/ping".to_owned(), b"{\"no\": \"message\"}".to_vec()));
    Publisher::new(broker.port).publish(1, &messages);
    let lines = || String::from_utf8(host.payload(STREAM)).unwrap();
    assert!(holds_within(host::PATIENCE, || lines().lines().count() >= 100), "{}", lines());
    let mut found: Vec<String> = lines().lines().map(str::to_owned).collect();
    found.sort();
    let line = |n: u8| format!("{{\"device_id\":\"d{}\",\"level\":{n}.5,\"charging\":false,\"n\":{n}}}", n % 7);
    let mut expected: Vec<String> = (0..100).map(line).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(agent.stop(), 0);
    let config = host.configure();
    let listed = host.program().args(["quarantine", "list", "--config", config.to_str().unwrap()]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("mqtt:devices/"), "{listed}");
}

#[test]
fn what_was_published_while_the_agent_was_away_arrives_and_a_clean_restart_sends_nothing_twice() {
    let Some(broker) = Mosquitto::start("") else { return };
    let host = host(&broker.address(), json!({}));
    let mut publisher = Publisher::new(broker.port);
    let mut agent = host.run();
    subscribed(&agent);
    for round in 0..5 {
        publisher.publish(1, &messages(round * 400..round * 400 + 200));
        // It stops in the middle of them.
        assert_eq!(agent.stop(), 0);
        publisher.publish(1, &messages(round * 400 + 200..round * 400 + 400));
        agent = host.run();
        subscribed(&agent);
    }
    all_arrive_once(&host, 2000);
    assert_eq!(agent.stop(), 0);
    assert!(agent.logged("destroyed").is_empty());
}

/// Publishes until it is stopped, and returns how many. A message counts as published once the broker has answered for it
/// and saved it: mosquitto answers first, and forgets what it has not saved when it is killed. Then the publisher, like
/// any that must be sure, sends it again.
fn publish_until(stop: &AtomicBool, kills: &AtomicU64, port: u16, store: &broker::Store) -> u64 {
    let (mut publisher, mut next) = (Publisher::new(port), 0);
    while !stop.load(Ordering::Relaxed) {
        let before = kills.load(Ordering::SeqCst);
        publisher.publish(1, &messages(next..next + 50));
        let last = store.save();
        store.ask();
        until("the broker saves, or is killed", || store.save() != last || kills.load(Ordering::SeqCst) > before);
        // What was saved in the moment of a kill may be of the next life; to be sure, it is sent once more.
        if kills.load(Ordering::SeqCst) == before {
            next += 50;
        }
    }
    next
}

/// Kills the agent, the broker or both again and again while messages are published.
fn killed_under_load(kills: &[(bool, bool)]) {
    let Some(mut broker) = Mosquitto::start("") else { return };
    let rounds: u64 = std::env::var("KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(8);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    say(&format!("SEED={seed} KILL_ROUNDS={rounds}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let host = host(&broker.address(), json!({}));
    let agent = host.run();
    subscribed(&agent);
    // A session that was never saved is none after a kill, and what comes before it is made anew has no receiver.
    let last = broker.store().save();
    broker.store().ask();
    until("the broker saves the session", || broker.store().save() != last);
    let mut agent = Some(agent);
    let (stop, broker_kills) = (AtomicBool::new(false), AtomicU64::new(0));
    let (port, store) = (broker.port, broker.store());
    let published = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publish_until(&stop, &broker_kills, port, &store));
        for round in 0..rounds {
            std::thread::sleep(Duration::from_millis(random.u64(50..400)));
            let (kill_agent, kill_broker) = kills[random.usize(..kills.len())];
            if kill_agent {
                agent.take().unwrap().kill();
            }
            if kill_broker {
                // Counted on both sides, so that no batch is taken for saved because the next life saves.
                broker_kills.fetch_add(1, Ordering::SeqCst);
                broker.kill();
                broker_kills.fetch_add(1, Ordering::SeqCst);
                broker.go();
            }
            if agent.is_none() {
                agent = Some(host.start());
            }
            let (agent, some) = (agent.as_mut().unwrap(), arrived(&host).len());
            let moves = holds_within(host::PATIENCE, || arrived(&host).len() > some);
            assert!(moves && agent.is_running(), "round {round}: nothing more arrives");
        }
        stop.store(true, Ordering::Relaxed);
        publishing.join().unwrap()
    });
    // The last batch may be one that did not count.
    let complete = holds_within(host::PATIENCE, || arrived(&host).range(..published).count() as u64 == published);
    let there = arrived(&host);
    let missing: Vec<u64> = (0..published).filter(|number| !there.contains_key(number)).collect();
    assert!(complete, "of {published} messages never came: {missing:?}");
    let duplicates: u64 = there.values().map(|times| times - 1).sum();
    say(&format!("{published} messages, {duplicates} duplicates"));
    assert_eq!(agent.unwrap().stop(), 0);
}

#[test]
fn nothing_is_lost_when_the_agent_is_killed_again_and_again_under_load() {
    killed_under_load(&[(true, false)]);
}

#[test]
fn nothing_is_lost_when_agent_and_broker_are_killed_again_and_again_under_load() {
    killed_under_load(&[(true, false), (false, true), (true, true)]);
}

#[test]
fn segments_are_deleted_once_their_messages_are_in_the_lake() {
    let Some(broker) = Mosquitto::start("") else { return };
    // Room for all of them, for they may come faster than they are delivered.
    let host = host(&broker.address(), json!({"maxSpoolBytes": "24MiB"}));
    let mut agent = host.run();
    subscribed(&agent);
    // Four segments of 6 MiB.
    let big = |number: u64| {
        let (topic, _) = message(number);
        (topic, format!("{{\"n\":{number},\"x\":\"{}\"}}", "y".repeat(100_000)).into_bytes())
    };
    Publisher::new(broker.port).publish(1, &(0..200).map(big).collect::<Vec<_>>());
    all_arrive_once(&host, 200);
    until("settled segments are deleted", || segments(&host) <= 1);
    assert_eq!(agent.stop(), 0);
    assert!(agent.logged("destroyed").is_empty() && agent.logged("cannot be spooled").is_empty());
}

#[test]
fn a_full_spool_stops_acknowledging_says_so_once_and_goes_on_when_there_is_room() {
    let Some(broker) = Mosquitto::start("") else { return };
    let host = host(&broker.address(), json!({"maxSpoolBytes": "16MiB"}));
    host.lake.faults().always(Some(local_lake::Fault::BadGateway));
    let mut agent = host.run();
    subscribed(&agent);
    let big = |number: u64| {
        let (topic, _) = message(number);
        (topic, format!("{{\"n\":{number},\"x\":\"{}\"}}", "y".repeat(100_000)).into_bytes())
    };
    Publisher::new(broker.port).publish(1, &(0..300).map(big).collect::<Vec<_>>());
    let told = agent.wait_for("messages cannot be spooled");
    assert!(told["reason"].as_str().unwrap().contains("maxSpoolBytes"), "{told}");
    // QoS 0 does not fit, and is not waited for.
    Publisher::new(broker.port).publish(0, &(300..310).map(big).collect::<Vec<_>>());
    host.lake.faults().always(None);
    agent.wait_for("messages are spooled and acknowledged again");
    until("all of 300 messages", || arrived(&host).into_keys().filter(|number| *number < 300).count() == 300);
    // Once for each change: it may fill up again while the broker hands over what it kept.
    let (full, again) = ("messages cannot be spooled", "messages are spooled and acknowledged again");
    until("it is well again", || agent.logged(full).len() == agent.logged(again).len());
    assert!(agent.logged(full).len() <= 3, "{:?}", agent.logged(full));
    assert_eq!(agent.stop(), 0);
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged_and_nothing_lost_even_if_the_agent_is_killed_there() {
    let Some(disk) = SmallDisk::mount() else { return };
    let Some(broker) = Mosquitto::start("") else { return };
    let host = host(&broker.address(), json!({})).top("stateDirectory", json!(disk.state().display().to_string()));
    let mut agent = host.run();
    subscribed(&agent);
    let mut publisher = Publisher::new(broker.port);
    publisher.publish(1, &messages(0..10));
    all_arrive_once(&host, 10);
    for round in 0..4 {
        let filler = disk.fill();
        // More than fits into what is left of the spool's last page: some line is torn.
        publisher.publish(1, &messages(10 + round * 100..110 + round * 100));
        let full = |agent: &Agent| agent.logged("messages cannot be spooled").pop();
        until("it says so", || full(&agent).is_some_and(|told| told["reason"].as_str().unwrap().contains("spool")));
        let told = full(&agent).unwrap();
        assert!(told["reason"].as_str().unwrap().contains("No space left"), "{told}");
        if round % 2 == 0 {
            agent.kill();
            std::fs::remove_file(filler).unwrap();
            agent = host.start();
        } else {
            std::fs::remove_file(filler).unwrap();
            agent.wait_for("messages are spooled and acknowledged again");
        }
        all_arrive(&host, 110 + round * 100);
        assert_eq!(agent.stop(), 0);
        agent = host.run();
    }
    assert_eq!(agent.stop(), 0);
}

/// An authority, and certificates that it signed, as PEM files in the folder.
fn certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, foreign) = (authority("ours"), authority("foreign"));
    write("ca.pem", ours.pem());
    write("foreign-ca.pem", foreign.pem());
    for (name, issuer) in [("server", &ours), ("client", &ours), ("stranger", &foreign)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        write(&format!("{name}.pem"), params.signed_by(&key, issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

#[test]
fn tls_and_mutual_tls_work_and_foreign_certificates_are_refused_on_either_side() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (tls, mutual) = (broker::free_port(), broker::free_port());
    let listener = |port: u16| {
        let (ca, certificate, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
        format!("listener {port} 127.0.0.1\ncafile {ca}\ncertfile {certificate}\nkeyfile {key}\n")
    };
    let more = format!(
        "{}allow_anonymous true\n{}require_certificate true\nuse_identity_as_username true\nallow_anonymous false",
        listener(tls),
        listener(mutual)
    );
    let Some(broker) = Mosquitto::start(&more) else { return };
    let certified = |name: &str| {
        json!({"caFile": file("ca.pem"), "certificateFile": file(&format!("{name}.pem")),
            "privateKeyFile": file(&format!("{name}.key"))})
    };
    for (port, mqtt) in [(tls, json!({"caFile": file("ca.pem")})), (mutual, certified("client"))] {
        let host = host(&format!("mqtts://localhost:{port}"), mqtt);
        let mut agent = host.run();
        subscribed(&agent);
        Publisher::new(broker.port).publish(1, &messages(0..100));
        all_arrive_once(&host, 100);
        assert_eq!(agent.stop(), 0);
    }
    let foreign = json!({"caFile": file("foreign-ca.pem")});
    for (port, mqtt) in [(tls, foreign), (mutual, certified("stranger")), (mutual, json!({"caFile": file("ca.pem")}))] {
        let host = host(&format!("mqtts://localhost:{port}"), mqtt);
        let mut agent = host.run();
        let told = agent.wait_for("no connection to the broker");
        assert!(agent.logged("subscribed").is_empty(), "{told}");
        assert_eq!(agent.stop(), 0);
    }
}

#[test]
fn a_password_comes_from_a_file_or_a_systemd_credential_and_never_shows() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_) = Mosquitto::start("") else { return };
    let hashed = folder.path().join("passwords");
    std::fs::write(&hashed, "agent:swordfish-7\n").unwrap();
    let made = std::process::Command::new("mosquitto_passwd").arg("-U").arg(&hashed).status();
    if !made.is_ok_and(|status| status.success()) {
        host::skipped("passwords: there is no mosquitto_passwd");
        return;
    }
    let port = broker::free_port();
    let more = format!("listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}", hashed.display());
    let Some(broker) = Mosquitto::start(&more) else { return };
    std::fs::write(folder.path().join("secret"), "swordfish-7\n").unwrap();
    let absolute = folder.path().join("secret").display().to_string();
    for password in [absolute.as_str(), "secret"] {
        let mqtt = json!({"username": "agent", "passwordFile": password});
        let mut host = host(&format!("mqtt://127.0.0.1:{port}"), mqtt);
        host.environment.push(("CREDENTIALS_DIRECTORY".to_owned(), folder.path().display().to_string()));
        host.environment.push(("DATALAKE_LOG".to_owned(), "trace".to_owned()));
        let mut agent = host.run();
        subscribed(&agent);
        Publisher::new(broker.port).publish(1, &messages(0..10));
        all_arrive_once(&host, 10);
        assert_eq!(agent.stop(), 0);
        assert!(!agent.log_text().contains("swordfish"));
    }
    std::fs::write(folder.path().join("secret"), "wrong").unwrap();
    let host = host(&format!("mqtt://127.0.0.1:{port}"), json!({"username": "agent", "passwordFile": absolute}));
    let mut agent = host.run();
    let told = agent.wait_for("no connection to the broker");
    assert!(
        told["reason"].as_str().unwrap().contains("passwordFile")
            || told["reason"].as_str().unwrap().contains("authorized"),
        "{told}"
    );
    // Corrected while it runs.
    std::fs::write(folder.path().join("secret"), "swordfish-7").unwrap();
    subscribed(&agent);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn several_connections_share_a_subscription_and_nothing_comes_twice() {
    let Some(broker) = Mosquitto::start("") else { return };
    let host = host(&broker.address(), json!({"topics": "$share/lake/devices/{device_id}/ping", "connections": 3}));
    let mut agent = host.run();
    until("three connections", || agent.logged("subscribed").len() == 3);
    Publisher::new(broker.port).publish(1, &messages(0..3000));
    all_arrive_once(&host, 3000);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn reloads_while_messages_are_published_lose_none_and_repeat_none() {
    let Some(broker) = Mosquitto::start("") else { return };
    let host = host(&broker.address(), json!({}));
    let mut agent = host.run();
    subscribed(&agent);
    let (stop, port) = (AtomicBool::new(false), broker.port);
    let published = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let (mut publisher, mut next) = (Publisher::new(port), 0);
            while !stop.load(Ordering::Relaxed) {
                publisher.publish(1, &messages(next..next + 20));
                next += 20;
                std::thread::sleep(Duration::from_millis(2));
            }
            next
        });
        for round in 0..6 {
            let config = host.configure();
            let mut written: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
            written["flows"][0]["mqtt"]["keepAliveSeconds"] = json!(30 + round);
            std::fs::write(&config, written.to_string()).unwrap();
            let done = host.program().args(["reload", "--config", config.to_str().unwrap()]).output().unwrap();
            let said = String::from_utf8_lossy(&done.stdout).into_owned();
            assert!(done.status.success() && said.contains("changed    messages\n"), "{said}{:?}", done.stderr);
        }
        stop.store(true, Ordering::Relaxed);
        publishing.join().unwrap()
    });
    assert_eq!(agent.logged("subscribed").len(), 7, "each reload signs in again, in the session that goes on");
    all_arrive_once(&host, published);
    say(&format!("{published} messages over 6 reloads, each once"));
    assert_eq!(agent.stop(), 0);
}

#[test]
fn changed_topics_are_subscribed_and_removed_ones_taken_back_in_a_session_that_goes_on() {
    let Some(broker) = Mosquitto::start("") else { return };
    let before = host(&broker.address(), json!({"topics": ["devices/{device_id}/ping", "old/#"]}));
    let mut agent = before.run();
    subscribed(&agent);
    assert_eq!(agent.stop(), 0);
    let after = before.without_flows().whole_flow(json!({
        "mqtt": {"broker": broker.address(), "clientId": "agent", "topics": ["devices/{device_id}/+"]},
        "deliveryStream": STREAM, "maxBufferAgeMillis": 50,
    }));
    let mut agent = after.run();
    subscribed(&agent);
    let mut publisher = Publisher::new(broker.port);
    publisher.publish(1, &[("old/x".to_owned(), b"{}".to_vec())]);
    publisher.publish(1, &messages(0..50));
    all_arrive(&after, 50);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn retained_messages_do_not_come_again_when_a_session_goes_on() {
    let Some(broker) = Mosquitto::start("") else { return };
    for version in ["5", "3.1.1"] {
        let host = host(&broker.address(), json!({"version": version, "clientId": version}));
        let mut publisher = Publisher::new(broker.port);
        publisher.retain = true;
        publisher.publish(1, &messages(0..7));
        // New to the subscription, so these are sent.
        let mut agent = host.run();
        all_arrive_once(&host, 7);
        for next in 7..10 {
            assert_eq!(agent.stop(), 0);
            agent = host.run();
            subscribed(&agent);
            publisher.publish(1, &messages(next..next + 1));
            // It comes behind those that must not come.
            all_arrive_once(&host, next + 1);
        }
        assert_eq!(agent.stop(), 0);
    }
}

#[test]
fn a_subscription_that_the_broker_lost_from_a_session_that_it_kept_is_asked_for_again() {
    // It saves when it is asked to, and not of itself.
    let Some(mut broker) = Mosquitto::start("autosave_interval 0") else { return };
    let before = host(&broker.address(), json!({"topics": "old/#"}));
    let mut agent = before.run();
    subscribed(&agent);
    let (store, saved) = (broker.store(), broker.store().save());
    store.ask();
    until("the session is saved", || store.save() != saved);
    assert_eq!(agent.stop(), 0);
    let after = before.without_flows().whole_flow(json!({
        "mqtt": {"broker": broker.address(), "clientId": "agent", "topics": ["old/#", "devices/{device_id}/ping"]},
        "deliveryStream": STREAM, "maxBufferAgeMillis": 50,
    }));
    let mut agent = after.run();
    subscribed(&agent);
    broker.kill();
    agent.wait_for("no connection to the broker");
    broker.go();
    until("it is connected again", || agent.logged("subscribed").len() == 2);
    assert_eq!(agent.logged("subscribed")[1]["session"], "continued");
    Publisher::new(broker.port).publish(1, &messages(0..50));
    all_arrive(&after, 50);
    assert_eq!(agent.stop(), 0);
}

/// mosquitto keeps sessions over a clean restart, says so, and has dropped their shared subscriptions. In 3.1.1 the agent
/// believed it and was silent for ever.
#[test]
fn a_shared_subscription_receives_again_after_a_clean_restart_of_the_broker() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    for version in ["5", "3.1.1"] {
        // A group for each, or the session of the first would take its part of the second's messages.
        let topics = format!("$share/{version}/devices/{{device_id}}/ping");
        let host = host(&broker.address(), json!({"version": version, "clientId": version, "topics": topics}));
        let mut agent = host.run();
        subscribed(&agent);
        Publisher::new(broker.port).publish(1, &messages(0..10));
        all_arrive_once(&host, 10);
        broker.restart();
        until("it is connected again", || agent.logged("subscribed").len() == 2);
        assert_eq!(agent.logged("subscribed")[1]["session"], "continued");
        Publisher::new(broker.port).publish(1, &messages(10..60));
        // What the broker had no answer for when it was stopped comes again.
        all_arrive(&host, 60);
        assert_eq!(agent.stop(), 0);
    }
}

#[test]
fn retained_messages_of_a_shared_subscription_come_once_however_often_agent_and_broker_are_restarted() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    let host = host(&broker.address(), json!({"topics": "$share/lake/devices/{device_id}/ping", "connections": 3}));
    let publish = |broker: &Mosquitto, numbers| {
        let mut publisher = Publisher::new(broker.port);
        publisher.retain = true;
        publisher.publish(1, &messages(numbers));
    };
    publish(&broker, 0..7);
    let mut agent = host.run();
    all_arrive_once(&host, 7);
    for next in 7..11 {
        // Everything is answered before the broker is stopped, so nothing may come again.
        assert_eq!(agent.stop(), 0);
        if next % 2 == 0 {
            broker.restart();
        }
        agent = host.run();
        until("three connections", || agent.logged("subscribed").len() == 3);
        publish(&broker, next..next + 1);
        // It comes behind those that must not come.
        all_arrive_once(&host, next + 1);
    }
    assert_eq!(agent.stop(), 0);
}
