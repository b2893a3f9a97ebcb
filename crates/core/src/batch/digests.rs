//! MD5 of many messages at once (RFC 1321).
//! Promises the digest of each, whatever their lengths: eight lanes advance block by block, and a lane whose message ends
//! takes the next one. Leaves what is hashed to `kpl`, and a message without company to the crate `md-5`.
//!
//! Each step of MD5 waits for the one before it, so a processor spends most of one digest waiting. Eight independent
//! digests fill that time: two vectors of four lanes, which every x86-64 and every aarch64 processor has.

use md5::{Digest, Md5};
use wide::u32x4;

/// Messages that are hashed at the same time.
const LANES: usize = 8;
/// Lanes of one vector.
const WIDTH: usize = 4;
/// Bytes of a block.
const BLOCK: usize = 64;
/// Bytes of the message's length at its end.
const LENGTH: usize = 8;

/// One word of the state, or of a block, for all lanes.
type Words = [u32x4; LANES / WIDTH];

/// The state before the first block.
const BEGIN: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The table of RFC 1321: the integer part of 2^32 * |sin(i + 1)|.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// The digest of each message, handed to `done` with the message's index, in any order.
pub(super) fn md5(messages: &[&[u8]], mut done: impl FnMut(usize, [u8; 16])) {
    let blocks = |message: &&[u8]| (message.len() + LENGTH) / BLOCK + 1;
    let longest = messages.iter().map(blocks).max().unwrap_or_default();
    // The lanes take as long as the longest message, and about half as long again as that message alone.
    if messages.iter().map(blocks).sum::<usize>() < 2 * longest {
        messages.iter().enumerate().for_each(|(index, message)| done(index, Md5::digest(message).into()));
        return;
    }
    // Long ones first: at the end all lanes have something left.
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(messages[*index].len()));
    let mut waiting = order.into_iter();
    let mut lanes: [Lane<'_>; LANES] = std::array::from_fn(|_| Lane::idle());
    let mut state = [[u32x4::ZERO; LANES / WIDTH]; 4];
    loop {
        for (number, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| lane.ready().is_empty()) {
            if let Some(ended) = lane.message.take() {
                done(ended, digest_of(&state, number));
            }
            if let Some(next) = waiting.next() {
                *lane = Lane::begin(next, messages[next]);
                for (word, begin) in state.iter_mut().zip(BEGIN) {
                    word[number / WIDTH].as_mut_array()[number % WIDTH] = begin;
                }
            }
        }
        let busy = || lanes.iter().map(Lane::ready).filter(|ready| !ready.is_empty());
        let Some(shortest) = busy().min_by_key(|ready| ready.len()) else { break };
        // A lane without a message does what another does.
        let inputs = std::array::from_fn(|lane| match lanes[lane].ready() {
            [] => shortest,
            ready => &ready[..shortest.len()],
        });
        let length = shortest.len();
        compress(&mut state, &inputs);
        lanes.iter_mut().for_each(|lane| lane.advance(length));
    }
}

/// One message on its way through.
struct Lane<'a> {
    message: Option<usize>,
    /// The whole blocks of the message that are left.
    whole: &'a [u8],
    /// The blocks that hold its last bytes, the padding and its length.
    tail: [u8; 2 * BLOCK],
    /// Which of the tail's bytes are left.
    left: std::ops::Range<usize>,
}

impl<'a> Lane<'a> {
    const fn idle() -> Self {
        Self { message: None, whole: &[], tail: [0; 2 * BLOCK], left: 0..0 }
    }

    fn begin(index: usize, message: &'a [u8]) -> Self {
        let (whole, rest) = message.split_at(message.len() / BLOCK * BLOCK);
        let mut tail = [0; 2 * BLOCK];
        tail[..rest.len()].copy_from_slice(rest);
        tail[rest.len()] = 0x80;
        let end = if rest.len() < BLOCK - LENGTH { BLOCK } else { 2 * BLOCK };
        tail[end - LENGTH..end].copy_from_slice(&(message.len() as u64).wrapping_mul(8).to_le_bytes());
        Self { message: Some(index), whole, tail, left: 0..end }
    }

    /// Whole blocks that come next; empty when the message is at its end.
    fn ready(&self) -> &[u8] {
        if self.whole.is_empty() { &self.tail[self.left.clone()] } else { self.whole }
    }

    /// This many of the ready bytes are used.
    fn advance(&mut self, bytes: usize) {
        if self.whole.is_empty() {
            self.left.start = self.left.end.min(self.left.start + bytes);
        } else {
            self.whole = &self.whole[bytes..];
        }
    }
}

fn digest_of(state: &[Words; 4], lane: usize) -> [u8; 16] {
    let mut digest = [0; 16];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word[lane / WIDTH].as_array()[lane % WIDTH].to_le_bytes());
    }
    digest
}

/// Takes all lanes through their input, which has the same number of whole blocks for each.
fn compress(state: &mut [Words; 4], inputs: &[&[u8]; LANES]) {
    let blocks = inputs[0].len() / BLOCK;
    let inputs = inputs.map(|input| &input[..blocks * BLOCK]);
    for block in 0..blocks {
        let words = &transposed(&inputs.map(|input| &input[block * BLOCK..(block + 1) * BLOCK]));
        let [mut a, mut b, mut c, mut d] = *state;
        macro_rules! steps {
            ([$($at:literal)*], $first:literal $second:literal $third:literal $fourth:literal) => {$(
                step::<{ $at }, $first, { 32 - $first }>(&mut a, b, c, d, words);
                step::<{ $at + 1 }, $second, { 32 - $second }>(&mut d, a, b, c, words);
                step::<{ $at + 2 }, $third, { 32 - $third }>(&mut c, d, a, b, words);
                step::<{ $at + 3 }, $fourth, { 32 - $fourth }>(&mut b, c, d, a, words);
            )*};
        }
        steps!([0 4 8 12], 7 12 17 22);
        steps!([16 20 24 28], 5 9 14 20);
        steps!([32 36 40 44], 4 11 16 23);
        steps!([48 52 56 60], 6 10 15 21);
        for (kept, new) in state.iter_mut().zip([a, b, c, d]) {
            kept.iter_mut().zip(new).for_each(|(kept, new)| *kept += new);
        }
    }
}

/// Step `NUMBER` of the 64, which rotates to the left by `LEFT`; `RIGHT` is the rest of 32. The numbers are constants so
/// that they stand in the instructions.
#[inline(always)]
fn step<const NUMBER: usize, const LEFT: u32, const RIGHT: u32>(
    a: &mut Words,
    b: Words,
    c: Words,
    d: Words,
    words: &[Words; 16],
) {
    let (sine, message) = (u32x4::splat(SINES[NUMBER]), words[const { word_of(NUMBER) }]);
    for (half, a) in a.iter_mut().enumerate() {
        let (b, c, d) = (b[half], c[half], d[half]);
        let mixed = match NUMBER / 16 {
            0 => d ^ (b & (c ^ d)),
            1 => c ^ (d & (b ^ c)),
            2 => b ^ c ^ d,
            _ => c ^ (b | (d ^ u32x4::splat(u32::MAX))),
        };
        let sum = *a + (message[half] + sine) + mixed;
        *a = ((sum << LEFT) | (sum >> RIGHT)) + b;
    }
}

/// Which word of the block a step takes.
const fn word_of(step: usize) -> usize {
    match step / 16 {
        0 => step,
        1 => (5 * step + 1) % 16,
        2 => (3 * step + 5) % 16,
        _ => 7 * step % 16,
    }
}

/// The words of one block of each lane: first the first word of all, and so on.
#[inline(always)]
fn transposed(blocks: &[&[u8]; LANES]) -> [Words; 16] {
    let mut words = [[u32x4::ZERO; LANES / WIDTH]; 16];
    for half in 0..LANES / WIDTH {
        for first in [0, 4, 8, 12] {
            let rows = std::array::from_fn(|lane| four_words(&blocks[half * WIDTH + lane][4 * first..4 * first + 16]));
            let columns = u32x4::transpose(rows);
            words[first..first + 4].iter_mut().zip(columns).for_each(|(word, column)| word[half] = column);
        }
    }
    words
}

#[inline(always)]
fn four_words(bytes: &[u8]) -> u32x4 {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    u32x4::new([word(0), word(4), word(8), word(12)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(messages: &[&[u8]]) -> Vec<[u8; 16]> {
        let mut found = vec![None; messages.len()];
        md5(messages, |index, digest| assert!(found[index].replace(digest).is_none(), "{index} came twice"));
        found.into_iter().map(Option::unwrap).collect()
    }

    fn expected(messages: &[&[u8]]) -> Vec<[u8; 16]> {
        messages.iter().map(|message| Md5::digest(message).into()).collect()
    }

    #[test]
    fn the_examples_of_the_standard_come_out_of_every_lane() {
        let suite = [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ];
        for turned in 0..LANES {
            let mut messages: Vec<_> = (0..2 * LANES).map(|number| suite[number % suite.len()]).collect();
            messages.rotate_left(turned);
            let found = all(&messages.iter().map(|(message, _)| message.as_bytes()).collect::<Vec<_>>());
            for ((message, digest), found) in messages.iter().zip(found) {
                let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(found, *digest, "{message}");
            }
        }
    }

    #[test]
    fn every_length_around_the_padding_is_hashed_in_any_company() {
        let bytes: Vec<u8> = (0..200).map(|number| (number * 7) as u8).collect();
        let messages: Vec<&[u8]> = (0..=bytes.len()).map(|length| &bytes[..length]).collect();
        for company in 1..=2 * LANES + 1 {
            for messages in messages.chunks(company) {
                assert_eq!(all(messages), expected(messages), "{company} of {} bytes", messages[0].len());
            }
        }
        assert!(all(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn digests_of_any_messages_are_those_of_another_implementation(
            lengths in prop::collection::vec(prop_oneof![0..300_usize, 0..60_000_usize], 0..30),
            seed: u64,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut messages: Vec<Vec<u8>> = Vec::new();
            for length in lengths {
                let mut message = vec![0; length];
                random.fill(&mut message);
                messages.push(message);
            }
            let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(all(&messages), expected(&messages));
        }
    }
}
