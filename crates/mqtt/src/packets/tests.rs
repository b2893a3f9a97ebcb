use super::*;
use bytes::BytesMut;
use mqtt5::mqttbytes::QoS;
use mqtt5::mqttbytes::v5 as other;
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

/// A message as an independent implementation writes it.
fn written_by_others(quality: u8, retained: bool, duplicate: bool, topic: &str, payload: &[u8]) -> Vec<u8> {
    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(quality)];
    let properties = other::PublishProperties {
        user_properties: vec![("unit".to_owned(), "°C".to_owned()), ("empty".to_owned(), String::new())],
        content_type: Some("application/json".to_owned()),
        ..other::PublishProperties::default()
    };
    let mut publish = other::Publish::new(topic, qos, payload.to_vec(), Some(properties));
    (publish.retain, publish.dup, publish.pkid) = (retained, duplicate, if quality == 0 { 0 } else { 4711 });
    let mut bytes = BytesMut::new();
    other::Packet::Publish(publish).write(&mut bytes, None).unwrap();
    bytes.to_vec()
}

#[test]
fn a_message_that_another_implementation_wrote_is_read_whole_and_never_in_part() {
    for quality in 0..3 {
        let bytes = written_by_others(quality, true, quality > 0, "devices/ä/ping", b"{\"a\":1}");
        for end in 0..bytes.len() {
            assert!(matches!(read(&bytes[..end], Version::V5, LIMIT), Ok(Read::Partial(needed)) if needed > end));
        }
        let Ok(Read::Whole(Packet::Publish(publish), length)) = read(&bytes, Version::V5, LIMIT) else { panic!() };
        assert_eq!(length, bytes.len());
        assert_eq!(
            (publish.quality.number(), publish.retained, publish.duplicate, publish.topic, publish.payload),
            (quality, true, quality > 0, "devices/ä/ping", &b"{\"a\":1}"[..])
        );
        assert_eq!(publish.packet, if quality == 0 { 0 } else { 4711 });
        assert_eq!(publish.properties.pairs().collect::<Vec<_>>(), [("unit", "°C"), ("empty", "")]);
        assert_eq!(publish.properties.text(CONTENT_TYPE), Some("application/json"));
    }
}

#[test]
fn a_message_over_the_limit_is_known_by_its_beginning_and_stepped_over() {
    let bytes = written_by_others(1, false, false, "big/one", &vec![7; 300 * 1024]);
    assert!(matches!(read(&bytes[..8], Version::V5, 1000), Ok(Read::Partial(needed)) if needed < 20));
    let Ok(Read::TooLarge(publish, length)) = read(&bytes[..64], Version::V5, 1000) else { panic!() };
    assert_eq!((publish.topic, publish.packet, length), ("big/one", 4711, bytes.len()));
}

#[test]
fn what_is_sent_is_read_by_another_implementation_as_it_was_meant() {
    let mut out = Vec::new();
    let connection = Connect {
        version: Version::V5,
        client_id: "agent",
        keep_alive_seconds: 60,
        session_expiry_seconds: 3600,
        receive_maximum: 1000,
        username: Some("someone"),
        password: Some(b"secret"),
    };
    connect(&connection, &mut out);
    let filters = [("a/+", Retained::IfNew), ("$share/g/b", Retained::Never)].map(|(text, retained)| Filter {
        text,
        quality: Quality::ExactlyOnce,
        retained,
    });
    subscribe(Version::V5, 5, &filters, &mut out);
    unsubscribe(Version::V5, 6, &["b"], &mut out);
    acknowledge(Ack { answer: Answer::Acknowledged, packet: 513 }, &mut out);
    acknowledge(Ack { answer: Answer::Received, packet: 2 }, &mut out);
    acknowledge(Ack { answer: Answer::Complete, packet: 3 }, &mut out);
    ping(&mut out);
    disconnect(&mut out);
    dismiss(PROTOCOL_ERROR, &mut out);
    let mut bytes = BytesMut::from(&out[..]);
    let mut next = || other::Packet::read(&mut bytes, None).unwrap();
    let other::Packet::Connect(connect, _, auth) = next() else { panic!() };
    assert_eq!((connect.client_id.as_str(), connect.keep_alive, connect.clean_start), ("agent", 60, false));
    let properties = connect.properties.unwrap();
    assert_eq!((properties.session_expiry_interval, properties.receive_maximum), (Some(3600), Some(1000)));
    assert!(format!("{auth:?}").contains("someone"));
    let other::Packet::Subscribe(subscribe) = next() else { panic!() };
    assert_eq!((subscribe.pkid, subscribe.filters[0].path.as_str()), (5, "a/+"));
    assert_eq!(subscribe.filters[0].qos, QoS::ExactlyOnce);
    let rules: Vec<_> = subscribe.filters.iter().map(|filter| filter.retain_forward_rule.clone()).collect();
    assert_eq!(rules, [other::RetainForwardRule::OnNewSubscribe, other::RetainForwardRule::Never]);
    assert!(matches!(next(), other::Packet::Unsubscribe(unsubscribe) if unsubscribe.filters == ["b"]));
    assert!(matches!(next(), other::Packet::PubAck(ack) if ack.pkid == 513));
    assert!(matches!(next(), other::Packet::PubRec(ack) if ack.pkid == 2));
    assert!(matches!(next(), other::Packet::PubComp(ack) if ack.pkid == 3));
    assert!(matches!(next(), other::Packet::PingReq));
    assert!(matches!(next(), other::Packet::Disconnect(_)));
    let other::Packet::Disconnect(dismissed) = next() else { panic!() };
    assert_eq!(dismissed.reason_code, other::DisconnectReasonCode::ProtocolError);
    assert!(bytes.is_empty());
}

#[test]
fn what_a_broker_must_not_send_is_an_error_that_says_so() {
    for (bytes, expected) in [
        (&[0xc0, 0][..], Malformed::Type(12)),
        (&[0x30, 0xff, 0xff, 0xff, 0xff], Malformed::Length),
        (&[0x36, 4, 0, 1, b'a', 0], Malformed::Quality),
        (&[0x32, 6, 0, 1, b'a', 0, 0, 0], Malformed::Quality),
        (&[0x30, 5, 0, 9, b'a', b'b', b'c'], Malformed::Short),
        (&[0x30, 5, 0, 2, 0xff, 0xfe, 0], Malformed::Text),
        (&[0x30, 4, 0, 2, b'a', 0], Malformed::Nul),
        (&[0x30, 4, 0, 2, b'/', b'#'], Malformed::Wildcard),
        (&[0x30, 4, 0, 2, b'+', b'/'], Malformed::Wildcard),
        (&[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 1], Malformed::Alias),
        (&[0x30, 3, 0, 0, 0], Malformed::Alias),
        (&[0x90, 0xff, 0xff, 0x7f, 0], Malformed::TooLarge),
    ] {
        assert_eq!(read(bytes, Version::V5, LIMIT), Err(expected), "{bytes:x?}");
    }
    // A long one is refused by its beginning alone.
    assert_eq!(read(&[0x30, 0x80, 0x80, 1, 0, 1, b'#', 0, 0], Version::V5, 100), Err(Malformed::Wildcard));
    assert_eq!(topic(&[0x30, 4, 0, 2, b'/', b'#']), Some(&b"/#"[..]));
    // 3.1.1 has no DISCONNECT from the broker.
    assert_eq!(read(&[0xe0, 0], Version::V311, LIMIT), Err(Malformed::Type(14)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn no_bytes_bring_the_reader_down(bytes in prop::collection::vec(any::<u8>(), 0..200), v5: bool, limit in 0..300_usize) {
        let version = if v5 { Version::V5 } else { Version::V311 };
        match read(&bytes, version, limit) {
            Ok(Read::Whole(_, length)) => prop_assert!(length <= bytes.len() && length <= limit),
            Ok(Read::TooLarge(_, length)) => prop_assert!(length > limit),
            Ok(Read::Partial(needed)) => prop_assert!(needed > bytes.len() && needed <= limit.max(bytes.len() + 70_000)),
            Err(_) => {}
        }
    }

    #[test]
    fn a_message_changed_in_one_byte_is_read_or_refused(at in 0..60_usize, to: u8) {
        let mut bytes = written_by_others(1, false, false, "a/b", b"0123456789");
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(Read::Whole(Packet::Publish(publish), _)) = read(&bytes, Version::V5, LIMIT) {
            prop_assert!(publish.properties.pairs().count() <= 2 && !publish.topic.is_empty());
        }
    }
}
