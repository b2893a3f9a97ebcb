//! A door for fuzzers: any bytes as an archive of each format.
//! Promises that what holds for all input is written down once, for the fuzzer and for the tests.
//! Leaves making up input to its callers.

use super::{Decoder, Failure, Format, Limits, Pause};

/// Steps in a row that neither take nor give before it counts as standing still.
const IDLE: u32 = 64;

/// The first byte says how the others are cut: unpacked that way and in one piece, what comes out is the same, within the
/// limits, in a bounded number of steps; and so is whether the archive may end there.
pub fn archive(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    for format in [Format::Gzip, Format::Zstd, Format::Bzip2, Format::Xz] {
        of_format(format, *cut, bytes);
    }
}

fn of_format(format: Format, cut: u8, bytes: &[u8]) {
    let limits = Limits { memory: 16 << 20, barren: 64 << 10, ratio: 1000, grace: 1 << 18 };
    let (whole, ended) = unpack(format, limits, bytes, bytes.len().max(1), 64 << 10);
    let (pieces, also) = unpack(format, limits, bytes, 1 + usize::from(cut & 15), 1 + usize::from(cut >> 4) * 100);
    let most = limits.grace + limits.ratio * bytes.len() as u64;
    assert!(whole.len() as u64 <= most + (64 << 10) && pieces.len() as u64 <= most + (64 << 10), "more than the limit");
    match (ended, also) {
        (Ok(one), Ok(other)) => assert!(one == other && whole == pieces, "the cuts matter"),
        _ => assert!(whole.starts_with(&pieces) || pieces.starts_with(&whole), "the cuts matter before a failure"),
    }
}

/// What comes out, and whether the archive may end where the bytes do.
fn unpack(format: Format, limits: Limits, bytes: &[u8], cut: usize, room: usize) -> (Vec<u8>, Result<bool, Failure>) {
    let mut decoder = Decoder::new(format, limits);
    decoder.set_packed_size(bytes.len() as u64);
    let (mut content, mut output, mut at, mut idle) = (Vec::new(), vec![0; room], 0, 0);
    loop {
        let input = &bytes[at..bytes.len().min(at + cut)];
        let step = match decoder.step(input, &mut output) {
            Ok(step) => step,
            Err(failure) => return (content, Err(failure)),
        };
        assert!(step.taken <= input.len() && step.given <= output.len());
        content.extend_from_slice(&output[..step.given]);
        at += step.taken;
        idle = if step.taken + step.given > 0 { 0 } else { idle + 1 };
        match step.pause {
            Pause::Hungry if at == bytes.len() => return (content, Ok(decoder.is_whole())),
            Pause::Hungry => assert!(step.taken == input.len(), "hungry with input left"),
            Pause::More => assert!(idle < IDLE, "it stands still"),
        }
    }
}
