//! Binary messages written by hand, byte for byte.

use super::*;
use crate::canonical::Canonical;
use crate::canonical::tests::plan;

fn tag(number: u32, wire: u8) -> Vec<u8> {
    varint(u64::from(number << 3) | u64::from(wire))
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn bytes(number: u32, inner: &[u8]) -> Vec<u8> {
    [tag(number, 2), varint(inner.len() as u64), inner.to_vec()].concat()
}

fn decoded(message: &[u8]) -> Read<String> {
    let mut out = Vec::new();
    Decoder::new(Arc::new(plan()), "all").unwrap().decode(message, &mut out)?;
    // What comes out is JSON that the step takes.
    Canonical::new(&plan(), "all", true).unwrap().write(&out, &mut Vec::new()).unwrap();
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn each_kind_is_read_from_the_wire() {
    let position = [tag(1, 1), 1.5_f64.to_le_bytes().to_vec(), tag(2, 5), 0.1_f32.to_le_bytes().to_vec()].concat();
    let entry = |key: &[u8], value: &[u8]| [bytes(1, key), bytes(2, value)].concat();
    for (message, json) in [
        (vec![], "{}"),
        (bytes(1, "a\"b".as_bytes()), r#"{"device_id":"a\"b"}"#),
        ([tag(3, 0), varint(u64::MAX)].concat(), r#"{"count":-1}"#),
        ([tag(5, 0), varint(u64::MAX)].concat(), r#"{"huge":18446744073709551615}"#),
        ([tag(2, 1), f64::NAN.to_le_bytes().to_vec()].concat(), r#"{"battery_level":"NaN"}"#),
        ([tag(2, 1), 1e300_f64.to_le_bytes().to_vec()].concat(), r#"{"battery_level":1e300}"#),
        (bytes(7, &[0xfb, 0xff]), r#"{"payload":"+/8="}"#),
        ([tag(8, 0), varint(1)].concat(), r#"{"state":"ON"}"#),
        ([tag(8, 0), varint(9)].concat(), r#"{"state":9}"#),
        (bytes(9, &position), r#"{"position":{"lat":1.5,"lon_deg":0.1}}"#),
        // Packed and not, mixed; zigzag.
        ([bytes(10, &[1, 2]), tag(10, 0), vec![3]].concat(), r#"{"levels":[-1,1,-2]}"#),
        ([bytes(11, &entry(b"a", b"1")), bytes(11, &entry(b"a", b"2"))].concat(), r#"{"labels":{"a":"2"}}"#),
        (bytes(11, &[]), r#"{"labels":{"":""}}"#),
        (bytes(12, &[tag(1, 0), varint(5)].concat()), r#"{"by_number":{"5":{}}}"#),
        (
            bytes(13, &[tag(1, 0), varint(1_773_039_904), tag(2, 0), varint(120_000_000)].concat()),
            r#"{"sent_at":"2026-03-09T07:05:04.120Z"}"#,
        ),
        (bytes(14, &[tag(2, 0), varint((-500_000_000_i64) as u64)].concat()), r#"{"uptime":"-0.500s"}"#),
        (bytes(19, &[bytes(1, b"a_b"), bytes(1, b"c")].concat()), r#"{"mask":"aB,c"}"#),
        (bytes(20, &[]), r#"{"maybe":0}"#),
        // The last member of a oneof counts.
        ([bytes(21, b"x"), tag(22, 0), varint(7)].concat(), r#"{"number_choice":7}"#),
        // Two parts of one message are merged.
        ([bytes(9, &position[..9]), bytes(9, &position[9..])].concat(), r#"{"position":{"lat":1.5,"lon_deg":0.1}}"#),
        // An unknown field and an unknown group are stepped over.
        (
            [tag(99, 0), varint(1), tag(98, 3), tag(1, 0), varint(1), tag(98, 4), bytes(1, b"a")].concat(),
            r#"{"device_id":"a"}"#,
        ),
        (bytes(16, &bytes(5, &bytes(1, &entry(b"k", &[tag(4, 0), varint(1)].concat())))), r#"{"anything":{"k":true}}"#),
    ] {
        assert_eq!(decoded(&message).as_deref(), Ok(json));
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let deep = (0..1000).fold(vec![], |inner, _| bytes(6, &bytes(1, &inner)));
    for message in [
        vec![0x0a],
        bytes(1, &[0xff]),
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        [tag(3, 2), vec![1, 0]].concat(),
        [tag(98, 3), tag(97, 4)].concat(),
        bytes(13, &[tag(1, 0), varint(u64::MAX / 2)].concat()),
        bytes(16, &deep),
        b"{\"device_id\":1}".to_vec(),
    ] {
        assert!(decoded(&message).is_err(), "{message:x?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_json_or_refused(message: Vec<u8>, number in 1_u32..25) {
        for message in [message.clone(), bytes(number, &message)] {
            let mut out = Vec::new();
            if Decoder::new(Arc::new(plan()), "all").unwrap().decode(&message, &mut out).is_ok() {
                proptest::prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
            } else {
                proptest::prop_assert!(out.is_empty());
            }
        }
    }
}
