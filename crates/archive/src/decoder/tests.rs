use super::*;
use proptest::prelude::*;
use std::io::Write;

const FORMATS: [Format; 4] = [Format::Gzip, Format::Zstd, Format::Bzip2, Format::Xz];

fn packed(format: Format, content: &[u8]) -> Vec<u8> {
    match format {
        Format::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Format::Zstd => zstd::encode_all(content, 1).unwrap(),
        Format::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Format::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// What came of an archive that arrived in pieces, and in how many steps.
struct Unpacked {
    content: Vec<u8>,
    whole: bool,
    steps: usize,
    taken: u64,
}

/// Unpacks with so much input and room a step. The work of each step is bounded by both, which is asserted.
fn unpack(mut decoder: Decoder, archive: &[u8], most_in: usize, room: usize) -> Result<Unpacked, (Failure, usize)> {
    let (mut content, mut output, mut at, mut steps) = (Vec::new(), vec![0; room], 0, 0);
    loop {
        let input = &archive[at..archive.len().min(at + most_in)];
        let step = decoder.step(input, &mut output).map_err(|failure| (failure, steps))?;
        steps += 1;
        assert!(step.taken <= input.len() && step.given <= room);
        assert!(step.taken + step.given > 0 || step.pause == Pause::Hungry, "a step of nothing");
        at += step.taken;
        content.extend_from_slice(&output[..step.given]);
        if step.pause == Pause::Hungry {
            assert_eq!(step.taken, input.len(), "hungry, with input left");
            if at == archive.len() {
                let again = decoder.step(&[], &mut output).map_err(|failure| (failure, steps))?;
                assert_eq!(again, Step { taken: 0, given: 0, pause: Pause::Hungry }, "nothing comes of nothing");
                assert_eq!((decoder.taken(), decoder.given()), (at as u64, content.len() as u64));
                return Ok(Unpacked { content, whole: decoder.is_whole(), steps, taken: decoder.taken() });
            }
        }
    }
}

fn unpacked(format: Format, archive: &[u8]) -> Result<Unpacked, Failure> {
    unpack(Decoder::new(format, Limits::default()), archive, 64 << 10, 256 << 10).map_err(|(failure, _)| failure)
}

fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| format!("line {number} of a log that is packed\n").into_bytes()).collect()
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same_bytes(
        which in 0_usize..4, count in 0_usize..400, members in 1_usize..4, most_in in 1_usize..700, room in 1_usize..900,
    ) {
        let content = lines(count);
        let archive = packed(FORMATS[which], &content).repeat(members);
        let decoder = Decoder::new(FORMATS[which], Limits::default());
        let found = unpack(decoder, &archive, most_in, room).map_err(|(failure, _)| failure).unwrap();
        prop_assert!(found.whole);
        prop_assert_eq!(found.content, content.repeat(members));
    }

    #[test]
    fn whatever_bytes_follow_a_sign_the_work_is_bounded_and_ends_well(
        which in 0_usize..4, keep in 0_usize..60, noise: Vec<u8>, flip in any::<(u16, u8)>(),
    ) {
        let format = FORMATS[which];
        let mut archive = packed(format, &lines(50));
        let place = usize::from(flip.0) % archive.len();
        archive[place] ^= flip.1;
        archive.truncate(keep.max(place + 1));
        archive.extend(noise);
        let decoder = Decoder::new(format, Limits { grace: 1 << 20, ..Limits::default() });
        // Every step takes a byte or fills the room, or is the last.
        let steps = match unpack(decoder, &archive, 64, 64) {
            Ok(found) => found.steps,
            Err((_, steps)) => steps,
        };
        prop_assert!(steps <= archive.len() + (archive.len() * 1000 + (1 << 20)) / 64 + 2, "{steps} steps");
    }
}

#[test]
fn an_archive_that_is_cut_anywhere_gives_what_is_there_and_is_not_whole() {
    let content = lines(300);
    for format in FORMATS {
        let archive = packed(format, &content);
        for cut in 0..archive.len() {
            let found = unpacked(format, &archive[..cut]).unwrap();
            assert!(!found.whole, "{format:?} cut at {cut}");
            assert!(content.starts_with(&found.content), "{format:?} cut at {cut}");
        }
    }
}

#[test]
fn an_archive_that_is_still_written_goes_on_where_it_was_left() {
    let content = lines(2_000);
    for format in FORMATS {
        let archive = packed(format, &content);
        let (first, rest) = archive.split_at(archive.len() / 3);
        let (mut decoder, mut output, mut found) =
            (Decoder::new(format, Limits::default()), vec![0; 1 << 20], Vec::new());
        for (piece, looks) in [(first, 40), (rest, 1)] {
            let step = decoder.step(piece, &mut output).unwrap();
            found.extend_from_slice(&output[..step.given]);
            // It is asked again and again while nothing more is there.
            for _ in 0..looks {
                assert_eq!(decoder.step(&[], &mut output).unwrap().given, 0, "{format:?}");
            }
        }
        assert!(decoder.is_whole() && found == content, "{format:?}");
    }
}

#[test]
fn padding_and_whatever_else_follows_the_last_member_is_ignored_as_the_tools_do() {
    let content = lines(10);
    for format in FORMATS {
        for behind in [&[0; 512][..], b"garbage", &[0, 0, 0, 0, b'x'], &[0xff; 5000]] {
            let found = unpacked(format, &[packed(format, &content), behind.to_vec()].concat()).unwrap();
            assert!(found.whole && found.content == content, "{format:?} {behind:?}");
        }
        let padded = [packed(format, &content), vec![0; 8], packed(format, &content)].concat();
        assert_eq!(unpacked(format, &padded).unwrap().content, content.repeat(2), "{format:?}");
    }
}

#[test]
fn frames_of_other_tools_between_those_of_zstd_are_skipped() {
    let skippable = |length: u32| [&b"\x50\x2a\x4d\x18"[..], &length.to_le_bytes(), &vec![7; length as usize]].concat();
    let frame = packed(Format::Zstd, b"one\n");
    let archive = [skippable(0), frame.clone(), skippable(70_000), frame, skippable(9)].concat();
    let found = unpacked(Format::Zstd, &archive).unwrap();
    assert!(found.whole && found.content == b"one\none\n");
}

/// Frames of 4 GiB each that say nothing but "skip me", no block of them on disk: the agent read them to the end.
#[test]
fn frames_to_skip_without_end_are_given_up() {
    let mut decoder = Decoder::new(Format::Zstd, Limits::default());
    let (mut output, mut steps) = (vec![0; 4096], 0);
    let mut head = b"\x50\x2a\x4d\x18\xff\xff\xff\xff".to_vec();
    head.resize(64 << 10, 0);
    let failure = loop {
        match decoder.step(&head, &mut output) {
            Ok(step) => assert_eq!((step.taken, step.given), (64 << 10, 0)),
            Err(failure) => break failure,
        }
        head.fill(0);
        steps += 1;
        assert!(steps < 2_000, "it goes on for ever");
    };
    assert!(matches!(failure, Failure::Barren { input } if input > 64 << 20), "{failure}");
}

#[test]
fn members_without_content_are_few_a_step_and_are_given_up() {
    for format in FORMATS {
        let empty = packed(format, b"");
        let archive = empty.repeat(40_000);
        let decoder = Decoder::new(format, Limits::default());
        let Err((failure, steps)) = unpack(decoder, &archive, archive.len(), 64 << 10) else {
            panic!("{format:?}: {} bytes of nothing were taken for an archive", archive.len());
        };
        let most = Limits::default().barren / Limits::MEMBER;
        assert!(matches!(failure, Failure::Barren { .. }), "{format:?}: {failure}");
        assert!((most / 16 - 200..=most / 16 + 1).contains(&(steps as u64)), "{format:?}: {steps} steps");
    }
}

/// 363 KB of packed zeros became 1.8 GB of traffic.
#[test]
fn an_archive_of_very_much_is_given_up_at_a_multiple_of_its_size() {
    let limits = Limits { grace: 1 << 20, ..Limits::default() };
    let zeros = vec![0; 16 << 20];
    for format in [Format::Zstd, Format::Bzip2, Format::Xz] {
        let archive = packed(format, &zeros);
        let given = |size: u64| {
            let mut decoder = Decoder::new(format, limits);
            decoder.set_packed_size(size);
            unpack(decoder, &archive, 512, 64 << 10).map(|found| found.content.len()).map_err(|(failure, _)| failure)
        };
        let Err(Failure::Output { allowed }) = given(0) else { panic!("{format:?}") };
        assert!((1 << 20..16 << 20).contains(&allowed), "{format:?}: {allowed}");
        assert_eq!(given(1 << 20), Ok(16 << 20), "{format:?}: a larger archive may hold as much");
    }
}

#[test]
fn an_archive_that_needs_more_memory_names_need_and_bound_before_any_is_taken() {
    // A frame header that asks for a window of 128 MiB, as `zstd --long` writes it.
    let long = [&b"\x28\xb5\x2f\xfd\x00"[..], &[17 << 3]].concat();
    let failure = unpacked(Format::Zstd, &long).err();
    assert_eq!(failure, Some(Failure::Memory { needed: (128 << 20) + ZSTD_BESIDES, allowed: 16 << 20 }));
    // One segment of 64 MiB.
    let single = [&b"\x28\xb5\x2f\xfd\xa0"[..], &(64_u32 << 20).to_le_bytes()].concat();
    assert!(matches!(unpacked(Format::Zstd, &single).err(), Some(Failure::Memory { needed, .. }) if needed > 64 << 20));

    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 9);
    encoder.write_all(&lines(100)).unwrap();
    let archive = encoder.finish().unwrap();
    let Some(Failure::Memory { needed, allowed }) = unpacked(Format::Xz, &archive).err() else {
        panic!("xz -9 needs 65 MiB")
    };
    assert!(allowed == 16 << 20 && (64 << 20..67 << 20).contains(&needed), "{needed}");
    let more = Limits { memory: needed, ..Limits::default() };
    let found = unpack(Decoder::new(Format::Xz, more), &archive, 4096, 4096).map_err(|(failure, _)| failure).unwrap();
    assert!(found.whole && found.content == lines(100), "with as much as it asked for");
    let text = Failure::Memory { needed, allowed }.to_string();
    assert_eq!(text, "unpacking it needs 65 MiB of memory, 16 MiB are allowed");
}

#[test]
fn what_the_tools_write_by_default_and_at_their_best_fits_the_default_memory() {
    let content = lines(30_000);
    let mut archives = Vec::new();
    for level in 1..=9 {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        gzip.write_all(&content).unwrap();
        archives.push((Format::Gzip, gzip.finish().unwrap()));
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(level));
        bzip2.write_all(&content).unwrap();
        archives.push((Format::Bzip2, bzip2.finish().unwrap()));
    }
    for level in [1, 3, 9, 15, 19] {
        archives.push((Format::Zstd, zstd::encode_all(&content[..], level).unwrap()));
    }
    // `xz -6` asks for 9 MiB.
    for level in [0, 3, 6] {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), level);
        xz.write_all(&content).unwrap();
        archives.push((Format::Xz, xz.finish().unwrap()));
    }
    for (format, archive) in archives {
        let found = unpacked(format, &archive).unwrap();
        assert!(found.whole && found.content == content, "{format:?}");
        assert_eq!(found.taken, archive.len() as u64);
    }
}

#[test]
fn a_damaged_archive_says_where_and_what_is_no_archive_says_so() {
    let content = lines(3_000);
    for format in FORMATS {
        let mut archive = packed(format, &content);
        let middle = archive.len() / 2;
        archive[middle..].iter_mut().take(40).for_each(|byte| *byte ^= 0x55);
        let failure = unpacked(format, &archive).err();
        assert!(matches!(failure, Some(Failure::Damaged { .. })), "{format:?}: {failure:?}");
        let failure = unpacked(format, b"just a line\n").err();
        assert!(matches!(failure, Some(Failure::Damaged { at: 0, .. })), "{format:?}: {failure:?}");
    }
}

/// libzstd got the header of a frame in two pieces, took the second for a frame to skip, and the archive that broke off
/// there for one that was whole: whether it was, depended on how it was cut.
#[test]
fn a_frame_is_not_over_because_its_header_goes_on_like_a_frame_to_skip() {
    let archive = b"\x28\xb5\x2f\xfd\x20\x04\x21\0\0ab\xff5\x28\xb5\x2f\xfd\x40\x6d\x50\x2a\x4d\x18\x03\0\0\0xyz";
    for most_in in 1..=archive.len() {
        for room in [1, 4, 100, 64 << 10] {
            let decoder = Decoder::new(Format::Zstd, Limits::default());
            let found = unpack(decoder, archive, most_in, room).unwrap();
            assert_eq!((&found.content[..], found.whole), (&b"ab\xff5"[..], false), "{most_in} a step, room {room}");
        }
    }
}

/// What archives are made of: members, what stands between and behind them, and parts of both.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let member = (0_usize..4, 0_usize..30, any::<bool>()).prop_map(|(which, count, sized)| {
        let content = lines(count);
        if FORMATS[which] == Format::Zstd && sized {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            encoder.set_pledged_src_size(Some(content.len() as u64)).unwrap();
            encoder.write_all(&content).unwrap();
            return encoder.finish().unwrap();
        }
        packed(FORMATS[which], &content)
    });
    let skipped = (0_u8..16, 0_u8..9).prop_map(|(which, length)| {
        [&[0x50 + which, 0x2a, 0x4d, 0x18, length, 0, 0, 0][..], &vec![b'x'; usize::from(length)]].concat()
    });
    let header = any::<[u8; 14]>().prop_map(|bytes| [&b"\x28\xb5\x2f\xfd"[..], &bytes].concat());
    let piece = prop_oneof![4 => member, 3 => skipped, 2 => header, 1 => proptest::collection::vec(any::<u8>(), 0..20)];
    proptest::collection::vec((piece, 0_usize..200), 1..5).prop_map(|pieces| {
        // Some of them break off.
        let cut = |(mut piece, at): (Vec<u8>, usize)| {
            piece.truncate(if at < 40 { at } else { usize::MAX });
            piece
        };
        pieces.into_iter().flat_map(cut).collect()
    })
}

proptest! {
    #[test]
    fn any_cut_of_the_input_gives_the_same_answer(archive in pieces(), cut in any::<u8>()) {
        crate::fuzz::archive(&[&[cut][..], &archive].concat());
    }
}
