//! What nobody should write and somebody will: endless lines, binary, things that are no files, odd names, crowds.
//! Promises that each of it arrives as documented, in bounded memory, and never stops any other input.
//! Leaves rotation and crashes to the other suites. `ENDLESS_MIB` sets the length of the endless line.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use host::{Agent, Host, append, say, until};
use serde_json::json;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

const STREAM: &str = "bad";
/// The files of every test that nothing is wrong with go here.
const GOOD: &str = "good";

/// A line over the limit of a record is cut here, and each piece is ended by a newline.
const PIECE: usize = 1_024_000 - 1;

/// Generous: the agent of a debug build with its budget of 64 MiB for batches, of which one flow needs a small part.
const MOST_MEMORY: u64 = 64 << 20;

fn host() -> Host {
    Host::new().flow("good/*.log", GOOD, json!({}))
}

/// Other input still gets through.
#[track_caller]
fn goes_on(host: &Host) {
    let mut expected = host.payload(GOOD);
    let line = format!("good line after {} bytes\n", expected.len());
    append(&host.log("good/good.log"), line.as_bytes());
    expected.extend_from_slice(line.as_bytes());
    until("other input gets through", || host.payload(GOOD) == expected);
}

/// Stops the agent, which must not have suffered.
#[track_caller]
fn ends_well(host: &Host, mut agent: Agent) {
    goes_on(host);
    let peak = agent.peak_memory();
    assert_eq!(agent.stop(), 0);
    assert!(peak < MOST_MEMORY, "{} MiB at the most", peak >> 20);
}

/// The line with a newline after each piece.
fn split(line: &[u8]) -> Vec<u8> {
    line.chunks(PIECE).flat_map(|piece| piece.iter().copied().chain([b'\n'])).collect()
}

#[track_caller]
fn arrives_as(host: &Host, expected: &[u8]) {
    let arrived = host.arrived(STREAM, expected.len());
    assert!(
        arrived == expected,
        "{} bytes arrived, {} were expected; they differ from byte {:?} on",
        arrived.len(),
        expected.len(),
        arrived.iter().zip(expected).position(|(one, other)| one != other)
    );
}

#[test]
fn a_line_that_does_not_end_is_split_in_bounded_memory_beside_other_input() {
    let mib = std::env::var("ENDLESS_MIB").map_or(24, |text| text.parse().unwrap());
    let host = host().flow("bad.log", STREAM, json!({}));
    let agent = host.run();
    let block: Vec<u8> = (0..1 << 20).map(|at| b'a' + (at % 26) as u8).collect();
    let mut endless = Vec::new();
    for round in 0..mib {
        append(&host.log("bad.log"), &block);
        endless.extend_from_slice(&block);
        if round % 8 == 0 {
            goes_on(&host);
        }
    }
    let whole = endless.len() / PIECE * (PIECE + 1);
    arrives_as(&host, &split(&endless)[..whole]);
    append(&host.log("bad.log"), b"\nnext\n");
    arrives_as(&host, &[split(&endless), b"next\n".to_vec()].concat());
    say(&format!("an endless line of {mib} MiB took {} MiB of memory at the most", agent.peak_memory() >> 20));
    ends_well(&host, agent);
}

#[test]
fn a_line_that_does_not_end_is_truncated_to_its_beginning() {
    let host = host().flow("bad.log", STREAM, json!({"longLines": "truncate", "truncatedRecordTerminator": "[cut]\n"}));
    let agent = host.run();
    let block = vec![b'x'; 1 << 20];
    for _ in 0..8 {
        append(&host.log("bad.log"), &block);
    }
    append(&host.log("bad.log"), b"\nnext\n");
    arrives_as(&host, &[&block[..1_024_000 - 6], b"[cut]\nnext\n"].concat());
    ends_well(&host, agent);
}

#[test]
fn bytes_that_are_no_text_arrive_as_they_are() {
    let mut content = b"first\n".to_vec();
    content.extend_from_slice(b"nul \0 in the middle\n\0\0\0\n");
    content.extend_from_slice(&[b'\0'; 5000]);
    content.extend_from_slice(b"\n\xff\xfe no utf-8 \xc3\x28 \xf0\x82\x82\xac\n");
    content.extend_from_slice(b"dos\r\n\r\n\n\n\rmac\r\n");
    content.extend((0..=255).filter(|byte| *byte != b'\n'));
    content.extend_from_slice(b"\n\xef\xbb\xbfbyte order mark\nlast\n");
    for more in [json!({}), json!({"aggregatedRecordSizeBytes": 0}), json!({"multiLineStartPattern": "^\\S"})] {
        let host = host().flow("bad.log", STREAM, more);
        append(&host.log("bad.log"), &content);
        let agent = host.run();
        arrives_as(&host, &content);
        ends_well(&host, agent);
    }
}

/// A program that writes UTF-16 gives lines that end in the middle of a character. No byte of them is lost, and the
/// operator reads in the log, once for each file, why queries find nothing.
#[test]
fn a_file_in_utf_16_is_sent_as_it_is_and_one_line_says_so() {
    for (little, mark) in [(true, [0xff, 0xfe]), (false, [0xfe, 0xff])] {
        let host = host().flow("bad.log", STREAM, json!({}));
        let bytes = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        let text: Vec<u8> = "first line\nsecond line\n".encode_utf16().flat_map(bytes).collect();
        append(&host.log("bad.log"), &[&mark[..], &text, b"\n"].concat());
        let agent = host.run();
        let line = agent.wait_for("the file is UTF-16");
        assert_eq!((&line["level"], line["flow"].is_string()), (&json!("WARN"), true), "{line}");
        assert!(line["file"].as_str().unwrap().ends_with("bad.log"), "{line}");
        arrives_as(&host, &[&mark[..], &text, b"\n"].concat());
        append(&host.log("bad.log"), &text);
        append(&host.log("bad.log"), b"\n");
        arrives_as(&host, &[&mark[..], &text, b"\n", &text, b"\n"].concat());
        assert_eq!(agent.logged("the file is UTF-16").len(), 1);
        ends_well(&host, agent);
    }
}

/// What was never written is skipped and counted; NUL bytes that were written are shipped as they are, see above.
#[test]
fn a_hole_as_a_crash_leaves_it_is_skipped_and_passed() {
    let host = host().flow("bad.log", STREAM, json!({}));
    append(&host.log("bad.log"), b"before\n");
    File::options().write(true).open(host.log("bad.log")).unwrap().set_len(3 << 20).unwrap();
    append(&host.log("bad.log"), b"\nafter\n");
    let agent = host.run();
    // The filesystem keeps whole blocks: what stands in the same block as written bytes is no hole.
    let line = agent.wait_for("skipped a hole");
    let skipped = line["bytes"].as_u64().unwrap() as usize;
    assert!(skipped > (3 << 20) - (128 << 10), "{line}");
    let left = host.arrived(STREAM, (3 << 20) - skipped + 7);
    assert!(left.starts_with(b"before\n") && left.ends_with(b"\nafter\n"), "{}", left.len());
    assert!(left[7..left.len() - 7].iter().all(|byte| matches!(byte, 0 | b'\n')));
    ends_well(&host, agent);
}

#[test]
fn short_and_huge_lines_share_a_file() {
    let host = host().flow("bad.log", STREAM, json!({}));
    let mut expected = Vec::new();
    for number in 0..3u8 {
        let short: Vec<u8> = (0..1000).flat_map(|line| format!("{:09}\n", line % 1000).into_bytes()).collect();
        let huge = vec![b'A' + number; 5 << 20];
        append(&host.log("bad.log"), &[&short[..], &huge, b"\n"].concat());
        expected.extend_from_slice(&short);
        expected.extend(split(&huge));
    }
    let agent = host.run();
    arrives_as(&host, &expected);
    ends_well(&host, agent);
}

#[test]
fn what_is_no_file_is_left_alone_and_what_becomes_one_is_shipped() {
    let host = host().flow("bad/*.log", STREAM, json!({}));
    let folder = host.log("bad");
    std::fs::create_dir(&folder).unwrap();
    File::create(folder.join("empty.log")).unwrap();
    std::fs::create_dir(folder.join("folder.log")).unwrap();
    append(&folder.join("folder.log/inside.log"), b"not matched\n");
    let fifo = folder.join("fifo.log");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o666), 0)
        .unwrap();
    let _socket = UnixListener::bind(folder.join("socket.log")).unwrap();
    symlink("/dev/zero", folder.join("device.log")).unwrap();
    symlink(folder.join("later.txt"), folder.join("dangling.log")).unwrap();
    symlink(folder.join("loop.log"), folder.join("loop.log")).unwrap();
    symlink("/", folder.join("root.log")).unwrap();
    let agent = host.run();
    goes_on(&host);
    assert!(host.payload(STREAM).is_empty());
    // A program that opens a FIFO to read lets its writers in.
    let write_without_waiting = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
    let opened = rustix::fs::open(&fifo, write_without_waiting, rustix::fs::Mode::empty());
    assert_eq!(opened.unwrap_err(), rustix::io::Errno::NXIO, "the agent has opened a FIFO");
    append(&folder.join("later.txt"), b"no longer dangling\n");
    arrives_as(&host, b"no longer dangling\n");
    append(&folder.join("empty.log"), b"no longer empty\n");
    arrives_as(&host, b"no longer dangling\nno longer empty\n");
    std::fs::remove_file(&fifo).unwrap();
    append(&fifo, b"no longer a fifo\n");
    arrives_as(&host, b"no longer dangling\nno longer empty\nno longer a fifo\n");
    ends_well(&host, agent);
}

#[test]
fn a_file_without_read_permission_is_shipped_once_it_has_it() {
    let host = host().unprivileged().flow("bad/*.log", STREAM, json!({}));
    let (denied, other) = (host.log("bad/denied.log"), host.log("bad/other.log"));
    append(&denied, b"denied\n");
    std::fs::set_permissions(&denied, PermissionsExt::from_mode(0o0)).unwrap();
    let agent = host.run();
    let line = agent.wait_for("cannot be read");
    assert!(line["file"].as_str().unwrap().ends_with("bad/denied.log") && line["reason"].is_string(), "{line}");
    append(&other, b"other\n");
    arrives_as(&host, b"other\n");
    append(&denied, b"more\n");
    goes_on(&host);
    assert_eq!(agent.logged("cannot be read").len(), 1, "once, however often it is tried");
    std::fs::set_permissions(&denied, PermissionsExt::from_mode(0o644)).unwrap();
    arrives_as(&host, b"other\ndenied\nmore\n");
    agent.wait_for("can be read now");
    ends_well(&host, agent);
}

#[test]
fn a_folder_without_permission_is_read_once_it_has_it() {
    let host = host().unprivileged().flow("bad/*.log", STREAM, json!({}));
    append(&host.log("bad/a.log"), b"inside\n");
    std::fs::set_permissions(host.log("bad"), PermissionsExt::from_mode(0o0)).unwrap();
    let agent = host.run();
    goes_on(&host);
    assert!(host.payload(STREAM).is_empty());
    std::fs::set_permissions(host.log("bad"), PermissionsExt::from_mode(0o755)).unwrap();
    arrives_as(&host, b"inside\n");
    ends_well(&host, agent);
}

#[test]
fn a_link_is_followed_out_of_the_folder_and_to_wherever_it_leads_next() {
    let host = host().flow("bad/*.log", STREAM, json!({}));
    let link = host.log("bad/link.log");
    append(&host.root().join("elsewhere/one.txt"), b"one\n");
    append(&host.root().join("elsewhere/two.txt"), b"two\n");
    std::fs::create_dir(host.log("bad")).unwrap();
    symlink("../../elsewhere/one.txt", &link).unwrap();
    let agent = host.run();
    arrives_as(&host, b"one\n");
    append(&host.root().join("elsewhere/one.txt"), b"more\n");
    arrives_as(&host, b"one\nmore\n");
    symlink("../../elsewhere/two.txt", host.log("bad/new")).unwrap();
    std::fs::rename(host.log("bad/new"), &link).unwrap();
    arrives_as(&host, b"one\nmore\ntwo\n");
    // A second name of the same file is not a second file.
    std::fs::hard_link(host.root().join("elsewhere/two.txt"), host.log("bad/hard.log")).unwrap();
    goes_on(&host);
    append(&host.log("bad/hard.log"), b"end\n");
    arrives_as(&host, b"one\nmore\ntwo\nend\n");
    ends_well(&host, agent);
}

#[test]
fn names_of_any_bytes_are_as_good_as_others_and_do_not_break_the_log() {
    let host = host().unprivileged().flow("bad/*", STREAM, json!({}));
    let names: [&[u8]; 9] = [
        b"with space.log",
        b" leading and trailing ",
        b"new\nline.log",
        b"quote\"back\\slash'.log",
        b"no utf-8 \xff\xfe\xc3\x28.log",
        b"\xff",
        b"*?[glob]{a,b}.log",
        b"-dash.log",
        "ünïcode 日本語.log".as_bytes(),
    ];
    let mut expected = BTreeSet::new();
    for (number, name) in names.iter().enumerate() {
        let path = host.log("bad").join(OsStr::from_bytes(name));
        append(&path, format!("line {number}\n").as_bytes());
        expected.insert(format!("line {number}"));
    }
    // This one has to be spoken of.
    let denied = host.log("bad").join(OsStr::from_bytes(b"den\nied \xff\".log"));
    append(&denied, b"denied\n");
    std::fs::set_permissions(&denied, PermissionsExt::from_mode(0o0)).unwrap();
    let mut agent = host.run();
    agent.wait_for("cannot be read");
    let bytes = names.len() * "line 0\n".len();
    let lines = || -> BTreeSet<String> {
        String::from_utf8(host.arrived(STREAM, bytes)).unwrap().lines().map(str::to_owned).collect()
    };
    assert_eq!(lines(), expected);
    assert_eq!(agent.stop(), 0);
    for line in agent.log_text().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not one object a line: {line}");
    }
    // Known again after a restart, whatever the bytes.
    let agent = host.run();
    for name in names {
        append(&host.log("bad").join(OsStr::from_bytes(name)), b"more 0\n");
    }
    let arrived = host.arrived(STREAM, 2 * bytes);
    assert_eq!(arrived.len(), 2 * bytes, "nothing twice: {}", String::from_utf8_lossy(&arrived));
    ends_well(&host, agent);
}

#[test]
fn a_thousand_files_are_read_fairly_beside_one_that_is_huge() {
    let host = host().flow("bad/*.log", STREAM, json!({}));
    let line = [&[b'h'; 1023][..], b"\n"].concat();
    // First in every order that a folder may have.
    let huge = line.repeat(24 << 10);
    append(&host.log("bad/0000.log"), &huge);
    let mut expected = huge.len();
    for file in 1..=1000 {
        let small = format!("small {file}\n");
        append(&host.log(&format!("bad/{file:04}.log")), small.as_bytes());
        expected += small.len();
    }
    let agent = host.run();
    let arrived = host.arrived(STREAM, expected);
    assert_eq!(arrived.len(), expected, "nothing twice");
    let mut small = BTreeSet::new();
    let (mut huge_so_far, mut huge_at_the_last_small) = (0, 0);
    for line in arrived.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"small") {
            small.insert(line.to_vec());
            huge_at_the_last_small = huge_so_far;
        } else {
            huge_so_far += line.len();
        }
    }
    assert_eq!(small.len(), 1000);
    say(&format!("of {} KiB of the huge file {} KiB went first", huge.len() >> 10, huge_at_the_last_small >> 10));
    // 2 to 5 MiB on a quiet machine. On a busy one folders are listed and files opened in smaller steps between reads.
    assert!(huge_at_the_last_small < 16 << 20, "the small files had to wait for {huge_at_the_last_small} bytes");
    ends_well(&host, agent);
}
