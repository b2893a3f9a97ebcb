//! What a real broker will not do on demand: lost sessions, refused subscriptions, identifiers used again, silence,
//! nonsense, and the handshakes of AWS IoT Core. The broker's side is written here, byte by byte.
//! Promises that in each case the agent says what is wrong, loses nothing and comes back by itself.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

#[path = "support/scripted.rs"]
mod scripted;

#[path = "support/durable.rs"]
mod durable;

use durable::DurableBroker;
use host::{Agent, Host, holds_within, say, until};
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use scripted::{Asked, Heard, Peer, Script};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const STREAM: &str = "scripted";

fn host(script: &Script, mqtt: Value) -> Host {
    host_for(script.port, mqtt)
}

fn host_for(port: u16, mqtt: Value) -> Host {
    let mut object = json!({
        "broker": format!("mqtt://127.0.0.1:{port}"), "topics": "t", "clientId": "agent", "envelope": false,
    });
    for (key, value) in mqtt.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    Host::new().whole_flow(json!({"mqtt": object, "deliveryStream": STREAM, "maxBufferAgeMillis": 10}))
}

/// The next connection, which is granted this quality of service.
#[track_caller]
fn granted(script: &Script, session_present: bool, quality: u8) -> Peer {
    let mut peer = script.accept();
    peer.welcome(session_present);
    peer.grant(quality);
    peer
}

/// The next connection, for which the broker has no session.
#[track_caller]
fn anew(script: &Script) -> Peer {
    granted(script, false, 1)
}

/// The next connection, for which the broker has a session.
#[track_caller]
fn again(script: &Script) -> Peer {
    granted(script, true, 2)
}

/// An agent with these settings that has connected and subscribed.
#[track_caller]
fn subscribed(script: &Script, mqtt: Value) -> (Host, Agent, Peer) {
    let quality = mqtt["qos"].as_u64().unwrap_or(1);
    let host = host(script, mqtt);
    let agent = host.run();
    let peer = granted(script, false, u8::try_from(quality).unwrap());
    (host, agent, peer)
}

fn lines(host: &Host) -> Vec<String> {
    String::from_utf8(host.payload(STREAM)).unwrap().lines().map(str::to_owned).collect()
}

/// The agent is stopped, says goodbye, and the broker hangs up.
#[track_caller]
fn leave(agent: &mut Agent, mut peer: Peer) {
    agent.signal(Signal::TERM);
    while peer.hear() != Heard::Disconnect {}
    drop(peer);
    assert_eq!(agent.exit_code(), 0);
}

#[track_caller]
fn arrive(host: &Host, expected: &[&str]) {
    until(&format!("{expected:?}"), || lines(host).len() >= expected.len());
    assert_eq!(lines(host), expected);
}

#[test]
fn with_and_without_a_session_it_subscribes_again_and_in_3_1_1_only_without() {
    for version in ["5", "3.1.1"] {
        let script = Script::start();
        let host = host(&script, json!({"version": version}));
        let mut agent = host.run();
        let accept = |session_present: bool| {
            let mut peer = script.accept().speaking(version);
            peer.welcome(session_present);
            if version == "5" || !session_present {
                peer.grant(1);
            }
            peer
        };
        drop(accept(false));
        agent.wait_for("no connection to the broker");
        let mut peer = accept(true);
        // Nothing more is asked for: the next thing that it says answers a message.
        peer.publish(1, 9, false, "t", b"1");
        assert_eq!(peer.hear(), Heard::Acknowledged(9));
        drop(peer);
        let mut peer = accept(false);
        peer.publish(1, 9, false, "t", b"2");
        assert_eq!(peer.hear(), Heard::Acknowledged(9));
        arrive(&host, &["1", "2"]);
        leave(&mut agent, peer);
    }
}

/// The broker said that the session is there, which a clean one of 3.1.1 never is, and nothing was subscribed in it.
#[test]
fn a_clean_session_that_the_broker_says_to_have_kept_is_subscribed_again() {
    let script = Script::start();
    let host = host(&script, json!({"version": "3.1.1", "sessionExpirySeconds": 0}));
    let mut agent = host.run();
    let accept = |session_present: bool| {
        let mut peer = script.accept().speaking("3.1.1");
        peer.welcome(session_present);
        peer.grant(1);
        peer
    };
    drop(accept(false));
    agent.wait_for("no connection to the broker");
    let mut peer = accept(true);
    peer.publish(1, 9, false, "t", b"1");
    assert_eq!(peer.hear(), Heard::Acknowledged(9));
    leave(&mut agent, peer);
}

#[test]
fn a_refused_subscription_is_told_and_the_others_go_on() {
    let script = Script::start();
    let host = host(&script, json!({"topics": ["t", "forbidden"]}));
    let mut agent = host.run();
    let mut peer = script.accept();
    peer.welcome(false);
    let Heard::Subscribe(packet, 2) = peer.hear() else { panic!() };
    peer.subscribed(packet, &[0, 0x87]);
    let told = agent.wait_for("the broker refuses the subscription");
    assert_eq!(told["topic"], "forbidden");
    assert!(told["reason"].as_str().unwrap().contains("not authorized"), "{told}");
    assert_eq!(agent.wait_for("grants a lower quality")["topic"], "t");
    peer.publish(0, 0, false, "t", b"1");
    arrive(&host, &["1"]);
    leave(&mut agent, peer);
}

#[test]
fn a_subscription_that_stays_refused_is_told_once_and_told_again_when_it_is_granted() {
    let script = Script::start();
    let host = host(&script, json!({"topics": ["t", "forbidden"]}));
    let mut agent = host.run();
    for code in [0x87, 0x87, 0x87, 1] {
        let mut peer = script.accept();
        peer.welcome(false);
        let Heard::Subscribe(packet, 2) = peer.hear() else { panic!() };
        peer.subscribed(packet, &[1, code]);
        peer.publish(1, 1, false, "t", b"1");
        assert_eq!(peer.hear(), Heard::Acknowledged(1));
    }
    assert_eq!(agent.wait_for("grants the subscription as asked for now")["topic"], "forbidden");
    assert_eq!(agent.logged("the broker refuses the subscription").len(), 1);
    leave(&mut agent, anew(&script));
}

#[test]
fn a_broker_that_answers_pings_and_not_what_it_was_asked_for_is_left() {
    let script = Script::start();
    let host = host(&script, json!({"keepAliveSeconds": 1}));
    let mut agent = host.run();
    let mut peer = script.accept();
    peer.welcome(false);
    assert!(matches!(peer.hear(), Heard::Subscribe(..)));
    while let Some(heard) = peer.try_hear() {
        assert_eq!(heard, Heard::Ping);
        peer.try_send(&[0xd0, 0]);
    }
    let told = agent.wait_for("no connection to the broker");
    assert!(told["reason"].as_str().unwrap().contains("asked for the topics"), "{told}");
    leave(&mut agent, anew(&script));
}

#[test]
fn a_session_that_the_broker_keeps_for_less_time_is_told_once() {
    let script = Script::start();
    let host = host(&script, json!({}));
    let mut agent = host.run();
    for _ in 0..2 {
        let mut peer = script.accept();
        assert!(matches!(peer.hear(), Heard::Connect(_)));
        peer.send(&[0x20, 8, 0, 0, 5, 0x11, 0, 0, 0, 60]);
        peer.grant(1);
        peer.publish(1, 1, false, "t", b"1");
        assert_eq!(peer.hear(), Heard::Acknowledged(1));
    }
    let told = agent.logged("for less time than `sessionExpirySeconds`");
    assert_eq!((told.len(), &told[0]["granted"]), (1, &json!("60s")), "{told:?}");
    leave(&mut agent, anew(&script));
}

#[test]
fn an_identifier_that_is_used_again_after_a_reconnect_is_acknowledged_for_the_new_message_only() {
    let script = Script::start();
    // The sync comes late: it serves whatever arrives within a second.
    let (host, mut agent, mut peer) = subscribed(&script, json!({"syncIntervalMillis": 1000}));
    peer.publish(1, 5, false, "t", b"\"old\"");
    // It is read before the connection ends, for what follows it is answered.
    peer.release(3);
    assert_eq!(peer.hear(), Heard::Complete(3));
    drop(peer);
    let mut peer = again(&script);
    peer.publish(1, 5, false, "t", b"\"new\"");
    peer.publish(1, 6, false, "t", b"\"newer\"");
    assert_eq!([peer.hear(), peer.hear()], [Heard::Acknowledged(5), Heard::Acknowledged(6)]);
    // At its answer the new message is on disk, so it is there after a kill.
    agent.kill();
    agent = host.run();
    let peer = again(&script);
    until("all three", || {
        ["\"old\"", "\"new\"", "\"newer\""].iter().all(|line| lines(&host).iter().any(|had| had == line))
    });
    leave(&mut agent, peer);
}

#[test]
fn a_message_exactly_once_that_is_sent_again_after_its_first_answer_is_not_kept_twice() {
    let script = Script::start();
    let (host, mut agent, mut peer) = subscribed(&script, json!({"qos": 2}));
    peer.publish(2, 5, false, "t", b"1");
    assert_eq!(peer.hear(), Heard::Received(5));
    drop(peer);
    let mut peer = again(&script);
    peer.publish(2, 5, true, "t", b"1");
    assert_eq!(peer.hear(), Heard::Received(5));
    peer.release(5);
    assert_eq!(peer.hear(), Heard::Complete(5));
    // The identifier is free again.
    peer.publish(2, 5, false, "t", b"2");
    assert_eq!(peer.hear(), Heard::Received(5));
    arrive(&host, &["1", "2"]);
    leave(&mut agent, peer);
}

/// Breaks connections and kills the agent while messages come, counting what the broker was answered, not time.
///
/// The broker keeps what it owes over every break, which a real one that is killed does not: mosquitto answers a
/// publisher before it saves.
fn nothing_owed_is_lost(quality: u8) {
    let rounds: u64 = std::env::var("KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(16);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    say(&format!("SEED={seed} KILL_ROUNDS={rounds} for quality {quality}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let count = rounds * 400;
    let broker = DurableBroker::start(count, quality, random.usize(20..400));
    let host = host_for(broker.port, json!({"qos": quality}));
    let mut agent = host.run();
    for round in 0..rounds {
        let goal = (broker.answered() + random.u64(0..400)).min(count);
        let reached = holds_within(host::PATIENCE, || broker.answered() >= goal);
        assert!(reached && agent.is_running(), "round {round}: {} of {count} answered", broker.answered());
        // The broker hangs up, the agent is killed, or both in either order.
        let way = random.u8(0..4);
        if way != 1 {
            broker.cut();
        }
        if way != 0 {
            agent.kill();
            agent = host.start();
        }
        if way == 3 {
            broker.cut();
        }
    }
    let expected = |host: &Host| -> BTreeMap<u64, u64> {
        let mut arrived = BTreeMap::new();
        for line in lines(host) {
            *arrived.entry(line.parse().unwrap()).or_default() += 1;
        }
        arrived
    };
    let complete = holds_within(host::PATIENCE, || expected(&host).len() as u64 >= count);
    let arrived = expected(&host);
    let missing: Vec<u64> = (0..count).filter(|number| !arrived.contains_key(number)).collect();
    assert!(complete, "answered for or owed, and never came: {missing:?}; still owed: {:?}", broker.owed());
    assert!(arrived.keys().copied().eq(0..count), "nobody sent these");
    until("nothing is owed", || broker.owed().is_empty());
    let twice: u64 = arrived.values().map(|times| times - 1).sum();
    say(&format!("{count} messages over {} connections, {twice} came again", broker.connections()));
    assert_eq!(agent.stop(), 0);
}

#[test]
fn nothing_that_the_broker_owes_at_least_once_is_lost_when_connections_break_and_the_agent_is_killed() {
    nothing_owed_is_lost(1);
}

#[test]
fn nothing_that_the_broker_owes_exactly_once_is_lost_when_connections_break_and_the_agent_is_killed() {
    nothing_owed_is_lost(2);
}

#[test]
fn nonsense_ends_the_connection_with_words_and_the_next_one_works() {
    for (bytes, words) in [
        (&[0x36, 4, 0, 1, b't', 0][..], "quality of service"),
        (&[0x30, 0xff, 0xff, 0xff, 0xff], "longer than MQTT allows"),
        (&[0x90, 3, 0, 99, 0], "what was not asked"),
        (&[0xe0, 2, 0x8e, 0], "the same `clientId`"),
        (&[0xe0, 2, 0x8b, 0], "shuts down"),
        (&[0xe0, 8, 0x9c, 6, 0x1c, 0, 3, b'b', b':', b'1'], "(use b:1)"),
        (&[0x10, 0], "comes only from clients"),
        (&[0x30, 6, 0, 1, b't', 2, 0x7f, 0], "does not know"),
    ] {
        let script = Script::start();
        let (host, mut agent, mut peer) = subscribed(&script, json!({}));
        peer.send(bytes);
        peer.ends();
        let told = agent.wait_for("no connection to the broker");
        assert!(told["reason"].as_str().unwrap().contains(words), "{told}");
        let mut peer = anew(&script);
        peer.publish(1, 1, false, "t", b"1");
        assert_eq!(peer.hear(), Heard::Acknowledged(1));
        arrive(&host, &["1"]);
        leave(&mut agent, peer);
    }
}

/// A topic that nobody subscribed was taken, counted under `(other)` and acknowledged, whatever it held.
#[test]
fn messages_of_topics_that_were_never_subscribed_end_the_connection_and_are_never_acknowledged() {
    // From a wildcard in the topic to one that only looks like ours, and what the line shows of it.
    for (topic, code, words, shown) in [
        (&b"other"[..], 0x82, "was not subscribed", "other"),
        (b"t/x", 0x82, "was not subscribed", "t/x"),
        ("t\u{1b}[2J\n\u{202e}".as_bytes(), 0x82, "was not subscribed", r"t\x1b[2J\n\u{202e}"),
        (b"#", 0x82, "wildcard", "#"),
        (b"t/+", 0x82, "wildcard", "t/+"),
        (b"t\0", 0x81, "NUL", r"t\x00"),
        (b"t\xff", 0x81, "not UTF-8", r"t\xff"),
    ] {
        for version in ["5", "3.1.1"] {
            let script = Script::start();
            let host = host(&script, json!({"version": version}));
            let mut agent = host.run();
            let accept = || {
                let mut peer = script.accept().speaking(version);
                peer.welcome(false);
                peer.grant(1);
                peer
            };
            for _ in 0..2 {
                let mut peer = accept();
                peer.publish(1, 1, false, "t", b"1");
                peer.publish_raw(1, 2, topic, b"2");
                // What came before it is right, and must not come again with every connection.
                assert_eq!(peer.try_hear(), Some(Heard::Acknowledged(1)), "{topic:?}");
                let dismissed = (version == "5").then_some(Heard::Dismissed(code));
                assert_eq!(peer.try_hear(), dismissed, "{topic:?}");
            }
            let mut peer = accept();
            peer.publish(1, 1, false, "t", b"3");
            assert_eq!(peer.hear(), Heard::Acknowledged(1));
            arrive(&host, &["1", "1", "3"]);
            let told = agent.logged("no connection to the broker");
            assert_eq!(told.len(), 1, "one line for each change: {told:?}");
            assert!(told[0]["reason"].as_str().unwrap().contains(words), "{told:?}");
            assert_eq!(told[0]["topic"], shown);
            assert!(!agent.log_text().contains('\u{1b}'));
            leave(&mut agent, peer);
        }
    }
}

#[test]
fn messages_of_a_topic_that_was_removed_are_taken_for_as_long_as_the_session_holds_them() {
    let script = Script::start();
    let before = host(&script, json!({"topics": ["t", "old"]}));
    let mut agent = before.run();
    leave(&mut agent, anew(&script));
    let broker = format!("mqtt://127.0.0.1:{}", script.port);
    let mqtt = json!({"broker": broker, "topics": "t", "clientId": "agent", "envelope": false});
    let after =
        before.without_flows().whole_flow(json!({"mqtt": mqtt, "deliveryStream": STREAM, "maxBufferAgeMillis": 10}));
    let mut agent = after.run();
    for (number, session_present) in [(1, true), (2, true)] {
        let mut peer = script.accept();
        peer.welcome(session_present);
        peer.grant(1);
        if number == 1 {
            peer.unsubscribed();
        }
        peer.publish(1, 1, false, "old", number.to_string().as_bytes());
        assert_eq!(peer.hear(), Heard::Acknowledged(1));
    }
    // A session that is new holds nothing of it.
    let mut peer = anew(&script);
    peer.publish(1, 1, false, "old", b"3");
    assert_eq!(peer.hear(), Heard::Dismissed(0x82));
    drop(peer);
    arrive(&after, &["1", "2"]);
    leave(&mut agent, anew(&script));
}

#[test]
fn what_a_broker_says_is_shown_escaped_and_cut() {
    let script = Script::start();
    let (_host, mut agent, mut peer) = subscribed(&script, json!({}));
    let mut properties = vec![0x1f, 0x40, 0];
    properties.extend_from_slice(b"\x1b[31m\n");
    properties.resize(3 + 0x4000, b'x');
    peer.disconnect(0x98, &properties);
    let told = agent.wait_for("no connection to the broker");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains(r"an administrator ended it (\x1b[31m\nxxx") && reason.len() < 1200, "{reason}");
    leave(&mut agent, again(&script));
}

#[test]
fn a_spool_that_cannot_be_opened_stops_its_own_flow_until_it_can() {
    let (script, well) = (Script::start(), Script::start());
    let flow = |name: &str, script: &Script| {
        let broker = format!("mqtt://127.0.0.1:{}", script.port);
        let mqtt = json!({"broker": broker, "topics": "t", "clientId": name, "envelope": false});
        json!({"name": name, "mqtt": mqtt, "deliveryStream": name, "maxBufferAgeMillis": 10})
    };
    let host = Host::new().whole_flow(flow(STREAM, &script)).whole_flow(flow("well", &well));
    let spool = host.state().join("spool").join(STREAM);
    std::fs::create_dir_all(spool.parent().unwrap()).unwrap();
    std::fs::write(&spool, "").unwrap();
    let mut agent = host.run();
    let told = agent.wait_for("the spool cannot be opened");
    assert_eq!(told["flow"], STREAM);
    assert!(told["reason"].as_str().unwrap().contains(&spool.display().to_string()), "{told}");
    // The other flow goes on.
    let mut other = anew(&well);
    other.publish(1, 1, false, "t", b"\"other\"");
    assert_eq!(other.hear(), Heard::Acknowledged(1));
    until("the other flow's message", || !host.payload("well").is_empty());
    std::fs::remove_file(&spool).unwrap();
    let mut peer = anew(&script);
    peer.publish(1, 1, false, "t", b"1");
    assert_eq!(peer.hear(), Heard::Acknowledged(1));
    arrive(&host, &["1"]);
    assert_eq!(agent.logged("the spool cannot be opened").len(), 1);
    assert_eq!(agent.logged("the spool is open").len(), 1);
    agent.signal(Signal::TERM);
    for mut peer in [peer, other] {
        while peer.hear() != Heard::Disconnect {}
    }
    assert_eq!(agent.exit_code(), 0);
}

#[test]
fn sessions_that_a_changed_client_id_or_fewer_connections_leave_at_the_broker_are_told() {
    let script = Script::start();
    let flow = |client_id: &str, connections: u16| {
        let broker = format!("mqtt://127.0.0.1:{}", script.port);
        let mqtt = json!({"broker": broker, "topics": "$share/g/t", "clientId": client_id, "connections": connections});
        json!({"name": STREAM, "mqtt": mqtt, "deliveryStream": STREAM, "maxBufferAgeMillis": 10})
    };
    let run = |host: &Host, connections: u16| -> Vec<String> {
        let mut agent = host.run();
        let mut peers: Vec<Peer> = (0..connections).map(|_| anew(&script)).collect();
        until("all are subscribed", || agent.logged("subscribed").len() == usize::from(connections));
        agent.signal(Signal::TERM);
        for peer in &mut peers {
            while peer.hear() != Heard::Disconnect {}
        }
        drop(peers);
        assert_eq!(agent.exit_code(), 0);
        let told = agent.logged("goes on with a session that the broker keeps");
        told.iter().map(|line| line["client_id"].as_str().unwrap().to_owned()).collect()
    };
    let host = Host::new().whole_flow(flow("first", 3));
    assert_eq!(run(&host, 3), Vec::<String>::new());
    let host = host.without_flows().whole_flow(flow("first", 1));
    assert_eq!(run(&host, 1), ["first-2", "first-3"]);
    let host = host.without_flows().whole_flow(flow("second", 1));
    assert_eq!(run(&host, 1), ["first", "first-2", "first-3"]);
}

#[test]
fn a_refusal_of_the_broker_is_told_in_its_words() {
    for (answer, words) in [
        (&[0x20, 3, 0, 0x87, 0][..], "not authorized"),
        (&[0x20, 9, 0, 0x9d, 6, 0x1c, 0, 3, b'b', b':', b'1'], "(use b:1)"),
        // A broker of 3.1.1 answers so.
        (&[0x20, 2, 0, 1], "set `version` to the other one"),
        (&[0xf0, 0], "was not asked for"),
        (&[], "closed the connection without a word while we signed in"),
    ] {
        let script = Script::start();
        let host = host(&script, json!({}));
        let mut agent = host.run();
        let mut peer = script.accept();
        assert!(matches!(peer.hear(), Heard::Connect(_)));
        peer.send(answer);
        if answer.is_empty() {
            drop(peer);
        } else {
            peer.ends();
        }
        let told = agent.wait_for("no connection to the broker");
        assert!(told["reason"].as_str().unwrap().contains(words), "{told}");
        assert_eq!(agent.stop(), 0);
    }
}

#[test]
fn a_broker_that_hangs_up_when_it_is_asked_for_topics_is_told_as_that_and_once() {
    let script = Script::start();
    let host = host(&script, json!({}));
    let mut agent = host.run();
    for _ in 0..3 {
        let mut peer = script.accept();
        peer.welcome(false);
        assert!(matches!(peer.hear(), Heard::Subscribe(..)));
    }
    let mut peer = anew(&script);
    let told = agent.logged("no connection to the broker");
    assert!(told[0]["reason"].as_str().unwrap().contains("when it was asked for the topics"), "{told:?}");
    assert_eq!(told.len(), 1);
    peer.publish(1, 1, false, "t", b"1");
    arrive(&host, &["1"]);
    leave(&mut agent, peer);
}

#[test]
fn large_messages_arrive_whole_and_those_over_the_limit_are_stepped_over_acknowledged_and_counted() {
    let script = Script::start();
    for version in ["5", "3.1.1"] {
        let host = host(&script, json!({"version": version, "maxPacketBytes": "512KiB"}));
        let mut agent = host.run();
        let mut peer = script.accept().speaking(version);
        peer.welcome(false);
        peer.grant(1);
        let large = format!("{{\"x\":\"{}\"}}", "y".repeat(300 << 10));
        peer.publish(1, 1, false, "t", large.as_bytes());
        assert_eq!(peer.hear(), Heard::Acknowledged(1));
        let too_large = vec![b'5'; 3 << 20];
        peer.publish(1, 2, false, "t", &too_large);
        peer.publish(1, 3, false, "t", b"2");
        assert_eq!([peer.hear(), peer.hear()], [Heard::Acknowledged(2), Heard::Acknowledged(3)]);
        arrive(&host, &[&large, "2"]);
        assert_eq!(agent.logged("larger than `maxPacketBytes`").len(), 1);
        leave(&mut agent, peer);
        assert!(agent.logged("no connection").is_empty());
    }
}

#[test]
fn a_connection_on_which_nobody_answers_is_given_up() {
    let script = Script::start();
    let (_host, mut agent, mut peer) = subscribed(&script, json!({"keepAliveSeconds": 1}));
    assert_eq!(peer.hear(), Heard::Ping);
    peer.send(&[0xd0, 0]);
    assert_eq!(peer.hear(), Heard::Ping);
    let told = agent.wait_for("no connection to the broker");
    assert!(told["reason"].as_str().unwrap().contains("does not answer"), "{told}");
    let peer = again(&script);
    leave(&mut agent, peer);
}

#[test]
fn a_broker_that_wants_to_hear_more_often_is_pinged_as_often_as_it_says() {
    let script = Script::start();
    // By itself it would say nothing for minutes.
    let host = host(&script, json!({"keepAliveSeconds": 600}));
    let mut agent = host.run();
    let mut peer = script.accept();
    assert!(matches!(peer.hear(), Heard::Connect(_)));
    peer.send(&[0x20, 6, 0, 0, 3, 0x13, 0, 1]);
    peer.grant(1);
    for _ in 0..2 {
        assert_eq!(peer.hear(), Heard::Ping);
        peer.send(&[0xd0, 0]);
    }
    leave(&mut agent, peer);
}

#[test]
fn it_pings_while_the_service_takes_nothing_and_the_spool_is_full() {
    let script = Script::start();
    let host = host(&script, json!({"keepAliveSeconds": 1, "maxSpoolBytes": "16MiB"}));
    host.lake.faults().always(Some(local_lake::Fault::BadGateway));
    let mut agent = host.run();
    let mut peer = anew(&script);
    let large = format!("\"{}\"", "y".repeat(500 << 10));
    let mut acknowledged = 0;
    for packet in 1..=40 {
        peer.publish(1, packet, false, "t", large.as_bytes());
    }
    let (mut pings, mut full) = (0, false);
    while pings < 3 {
        match peer.hear() {
            Heard::Acknowledged(packet) => {
                assert_eq!(packet, acknowledged + 1);
                acknowledged += 1;
            }
            Heard::Ping => {
                full |= !agent.logged("messages cannot be spooled").is_empty();
                pings += u16::from(full);
                peer.send(&[0xd0, 0]);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((20..40).contains(&acknowledged), "{acknowledged}");
    host.lake.faults().always(None);
    // A stop would leave in the spool what it has no time for; here all of it is waited for.
    while acknowledged < 40 || lines(&host).len() < 40 {
        match peer.hear() {
            Heard::Acknowledged(packet) => {
                assert_eq!(packet, acknowledged + 1);
                acknowledged += 1;
            }
            Heard::Ping => peer.send(&[0xd0, 0]),
            other => panic!("{other:?}"),
        }
    }
    leave(&mut agent, peer);
    assert_eq!(lines(&host).len(), 40);
}

#[test]
fn what_comes_after_somebody_removed_the_spool_is_as_safe_as_before() {
    let script = Script::start();
    let (host, mut agent, mut peer) = subscribed(&script, json!({}));
    peer.publish(1, 1, false, "t", b"1");
    assert_eq!(peer.hear(), Heard::Acknowledged(1));
    arrive(&host, &["1"]);
    host.lake.faults().always(Some(local_lake::Fault::BadGateway));
    std::fs::remove_dir_all(host.state().join("spool")).unwrap();
    peer.publish(1, 2, false, "t", b"2");
    assert_eq!(peer.hear(), Heard::Acknowledged(2));
    let told = agent.wait_for("messages cannot be spooled");
    assert!(told["reason"].as_str().unwrap().contains("somebody"), "{told}");
    // At its answer it is in a file that can be found again.
    agent.kill();
    host.lake.faults().always(None);
    agent = host.run();
    let peer = again(&script);
    until("the second", || lines(&host).contains(&"2".to_owned()));
    leave(&mut agent, peer);
}

#[test]
fn messages_that_a_renamed_flow_left_behind_are_told_and_delivered_under_its_old_name() {
    let script = Script::start();
    let (host, agent, mut peer) = subscribed(&script, json!({}));
    host.lake.faults().always(Some(local_lake::Fault::BadGateway));
    peer.publish(1, 1, false, "t", b"1");
    assert_eq!(peer.hear(), Heard::Acknowledged(1));
    agent.kill();
    host.lake.faults().always(None);
    let flow = |name: &str| {
        let broker = format!("mqtt://127.0.0.1:{}", script.port);
        let mqtt = json!({"broker": broker, "topics": "t", "clientId": "agent", "envelope": false});
        json!({"name": name, "mqtt": mqtt, "deliveryStream": STREAM, "maxBufferAgeMillis": 10})
    };
    let host = host.without_flows().whole_flow(flow("renamed"));
    let mut agent = host.run();
    let told = agent.wait_for("belongs to no flow");
    assert!(told["folder"].as_str().unwrap().ends_with("spool/scripted"), "{told}");
    leave(&mut agent, again(&script));
    let host = host.without_flows().whole_flow(flow(STREAM));
    let mut agent = host.run();
    let peer = again(&script);
    arrive(&host, &["1"]);
    leave(&mut agent, peer);
    assert!(agent.logged("belongs to no flow").is_empty());
}

#[test]
fn a_stop_while_nothing_can_be_spooled_ends_and_acknowledges_nothing() {
    let script = Script::start();
    let (host, mut agent, mut peer) = subscribed(&script, json!({}));
    let spool = host.state().join("spool").join(STREAM);
    std::fs::remove_dir_all(&spool).unwrap();
    std::fs::write(&spool, "").unwrap();
    peer.publish(1, 1, false, "t", b"1");
    agent.wait_for("messages cannot be spooled");
    agent.signal(Signal::TERM);
    assert_eq!(peer.hear(), Heard::Disconnect);
    drop(peer);
    assert_eq!(agent.exit_code(), 0);
    std::fs::remove_file(&spool).unwrap();
    let mut agent = host.run();
    let mut peer = again(&script);
    peer.publish(1, 1, true, "t", b"1");
    assert_eq!(peer.hear(), Heard::Acknowledged(1));
    arrive(&host, &["1"]);
    leave(&mut agent, peer);
}

#[test]
fn a_broker_that_sends_more_than_it_may_before_the_first_answer_is_left() {
    let script = Script::start();
    let (host, mut agent, mut peer) = subscribed(&script, json!({"payloadFormat": "raw"}));
    // Nothing can be spooled meanwhile.
    let spool = host.state().join("spool").join(STREAM);
    std::fs::remove_dir_all(&spool).unwrap();
    std::fs::write(&spool, "").unwrap();
    peer.publish(1, 1, false, "t", b"before");
    agent.wait_for("messages cannot be spooled");
    // So short that the batch never fills.
    let one = [0x32, 6, 0, 1, b't', 0, 7, 0];
    let sender = std::thread::spawn(move || while peer.try_send(&one.repeat(10_000)) {});
    let told = agent.wait_for("no connection to the broker");
    assert!(told["reason"].as_str().unwrap().contains("packet identifiers"), "{told}");
    sender.join().unwrap();
    std::fs::remove_file(&spool).unwrap();
    let mut peer = anew(&script);
    peer.publish(1, 1, false, "t", b"after");
    assert_eq!(peer.hear(), Heard::Acknowledged(1));
    until("what comes after it", || lines(&host).contains(&"after".to_owned()));
    leave(&mut agent, peer);
}

#[test]
fn a_message_may_have_as_many_properties_as_fit_into_it() {
    let script = Script::start();
    let (host, mut agent, mut peer) = subscribed(&script, json!({"envelope": true, "keepAliveSeconds": 1}));
    let mut properties = Vec::new();
    for number in 0..85_000_usize {
        let letter = |place: u32| b'0' + (number / 44_usize.pow(place) % 44) as u8;
        // Never a backslash or a quote, which the line would hold as two.
        properties.extend_from_slice(&[0x26, 0, 3, letter(0), letter(1), letter(2), 0, 0]);
    }
    peer.publish_with(1, 1, "t", &properties, b"1");
    loop {
        match peer.hear() {
            Heard::Acknowledged(1) => break,
            Heard::Ping => peer.send(&[0xd0, 0]),
            other => panic!("{other:?}"),
        }
    }
    until("it", || !lines(&host).is_empty());
    let line: Value = serde_json::from_str(&lines(&host)[0]).unwrap();
    assert_eq!(line["userProperties"].as_object().unwrap().len(), 85_000);
    leave(&mut agent, peer);
}

#[test]
fn payloads_that_are_no_json_go_to_the_quarantine_and_everything_else_is_one_line() {
    let script = Script::start();
    let (host, mut agent, mut peer) = subscribed(&script, json!({}));
    let payloads: [&[u8]; 4] = [b"{\"a\": 1,\n \"b\": 2}", b"{broken", b"21 C\n", &[0xff, 0]];
    for (packet, payload) in (1..).zip(payloads) {
        peer.publish(1, packet, false, "t", payload);
        assert_eq!(peer.hear(), Heard::Acknowledged(packet));
    }
    arrive(&host, &["{\"a\":1,\"b\":2}", "{\"payload\":\"21 C\\n\"}", "{\"payload\":\"/wA=\",\"base64\":true}"]);
    let config = host.configure();
    let listed = host.program().args(["quarantine", "list", "--config", config.to_str().unwrap()]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("mqtt:t") || listed.contains("payload"), "{listed}");
    leave(&mut agent, peer);
}

/// A broker's certificate, and the settings to trust it.
fn certificate(folder: &std::path::Path) -> (rustls::ServerConfig, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let path = folder.join("ca.pem");
    std::fs::write(&path, certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (config, path.display().to_string())
}

#[test]
fn the_protocol_of_aws_iot_core_is_asked_for_in_the_tls_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, ca) = certificate(folder.path());
    config.alpn_protocols = vec![b"x-amzn-mqtt-ca".to_vec()];
    let script = Script::start();
    let broker = format!("mqtts://localhost:{}", script.port);
    let host = host(&script, json!({"broker": broker, "caFile": ca, "alpn": "x-amzn-mqtt-ca"}));
    let mut agent = host.run();
    let mut peer = script.accept_tls(Arc::new(config));
    peer.welcome(false);
    peer.grant(1);
    assert_eq!(peer.alpn(), Some(b"x-amzn-mqtt-ca".to_vec()));
    peer.publish(1, 1, false, "t", b"1");
    assert_eq!(peer.hear(), Heard::Acknowledged(1));
    arrive(&host, &["1"]);
    leave(&mut agent, peer);
}

#[test]
fn a_message_far_over_the_limit_is_stepped_over_on_a_web_socket_too() {
    let script = Script::start();
    let broker = format!("ws://127.0.0.1:{}/mqtt", script.port);
    let host = host(&script, json!({"broker": broker, "maxPacketBytes": "256KiB"}));
    let mut agent = host.run();
    let mut peer = script.accept_web_socket(&Arc::default());
    peer.welcome(false);
    peer.grant(1);
    peer.publish(1, 1, false, "t", &vec![b'5'; 20 << 20]);
    peer.publish(1, 2, false, "t", b"2");
    assert_eq!([peer.hear(), peer.hear()], [Heard::Acknowledged(1), Heard::Acknowledged(2)]);
    arrive(&host, &["2"]);
    assert!(agent.peak_memory() < 120 << 20, "it is not gathered: {} bytes", agent.peak_memory());
    leave(&mut agent, peer);
}

#[test]
fn a_web_socket_over_tls_is_opened_for_mqtt_and_its_address_signed_with_the_agents_own_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let (config, ca) = certificate(folder.path());
    let script = Script::start();
    let broker = format!("wss://localhost:{}/mqtt", script.port);
    let mut host = host(&script, json!({"broker": broker, "caFile": ca, "awsSigV4": true}));
    host.environment.push(("AWS_SESSION_TOKEN".to_owned(), "to/ken".to_owned()));
    let mut agent = host.run();
    let asked = Asked::default();
    let mut peer = script.accept_tls_web_socket(Arc::new(config), &asked);
    peer.welcome(false);
    peer.grant(1);
    peer.publish(1, 1, false, "t", b"1");
    assert_eq!(peer.hear(), Heard::Acknowledged(1));
    arrive(&host, &["1"]);
    leave(&mut agent, peer);
    let asked = asked.lock().unwrap();
    assert_eq!(asked["protocol"], "mqtt");
    let uri = &asked["uri"];
    let credential = "X-Amz-Credential=AKIDEXAMPLE%2F";
    for part in [
        "/mqtt?",
        credential,
        "%2Feu-west-1%2Fiotdevicegateway%2F",
        "X-Amz-Signature=",
        "&X-Amz-Security-Token=to%2Fken",
    ] {
        assert!(uri.contains(part), "{uri} has no {part}");
    }
    assert!(!agent.log_text().contains("X-Amz"), "the signed address is in the log");
}

#[test]
fn the_token_of_a_custom_authorizer_is_put_into_the_user_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "se&cret\n").unwrap();
    std::fs::write(folder.path().join("password"), "pass\n").unwrap();
    let script = Script::start();
    let host = host(
        &script,
        json!({"username": "me?x-amz-customauthorizer-name=lake&t={token}",
            "tokenFile": folder.path().join("token"), "passwordFile": folder.path().join("password")}),
    );
    let mut agent = host.run();
    let mut peer = script.accept();
    let Heard::Connect(body) = peer.hear() else { panic!() };
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("me?x-amz-customauthorizer-name=lake&t=se%26cret"), "{text}");
    assert!(text.ends_with("pass"));
    peer.send(&[0x20, 3, 0, 0, 0]);
    peer.grant(1);
    leave(&mut agent, peer);
    assert!(!agent.log_text().contains("cret"));
}

#[test]
fn a_secret_that_fits_into_no_packet_is_told_and_stops_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (token, password) = (folder.path().join("token"), folder.path().join("password"));
    // Not as long as that in itself, but as it is written into a user name.
    std::fs::write(&token, "+".repeat(30_000)).unwrap();
    std::fs::write(&password, "p".repeat(65_536)).unwrap();
    let script = Script::start();
    let host = host(&script, json!({"username": "me?{token}", "tokenFile": token, "passwordFile": password}));
    let agent = host.run();
    for (file, name) in [(&password, "passwordFile"), (&token, "tokenFile")] {
        let told = |told: &Value| told["reason"].as_str().is_some_and(|reason| reason.contains(name));
        until(name, || agent.logged("no connection to the broker").iter().any(told));
        let lines = agent.logged("no connection to the broker");
        let told = lines.iter().find(|line| told(line)).unwrap();
        assert!(told["reason"].as_str().unwrap().contains("65535 bytes"), "{told}");
        std::fs::write(file, "short\n").unwrap();
    }
    let mut agent = agent;
    // Those that broke off before a word was said.
    let mut peer = loop {
        let mut peer = script.accept();
        if let Some(Heard::Connect(_)) = peer.try_hear() {
            break peer;
        }
    };
    peer.send(&[0x20, 3, 0, 0, 0]);
    peer.grant(1);
    leave(&mut agent, peer);
}
