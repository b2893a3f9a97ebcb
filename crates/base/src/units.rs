//! Amounts with their unit in the type: a number of bytes is never a bare integer in a setting.
//! Promises that what it prints, it parses back to the same amount.
//! Leaves ranges and defaults to the settings that hold an amount.

use std::fmt;

/// A number of bytes, as written in a configuration: `4096`, `"4KiB"`, `"4MiB"`, `"1GiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Why a text is not a number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// There is no number in front.
    #[error("`{text}` does not start with a whole number")]
    NoNumber {
        /// The text as it was written.
        text: String,
    },
    /// The unit is none that is known.
    #[error("`{unit}` is no unit of size; known are B, KiB, MiB and GiB")]
    UnknownUnit {
        /// What stood behind the number.
        unit: String,
    },
    /// The amount does not fit into 64 bits.
    #[error("`{text}` is more bytes than a 64-bit number holds")]
    TooLarge {
        /// The text as it was written.
        text: String,
    },
}

impl ByteSize {
    /// A number of bytes.
    #[must_use]
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// A number of times 1,024 bytes.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }

    /// A number of times 1,048,576 bytes.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// The amount in bytes.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The amount in bytes, as lengths in memory are counted.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl std::str::FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(ByteSizeError::NoNumber { text: text.to_owned() });
        }
        let too_large = || ByteSizeError::TooLarge { text: text.to_owned() };
        let number: u64 = trimmed[..digits].parse().map_err(|_| too_large())?;
        let unit = trimmed[digits..].trim();
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" | "k" | "kb" => 1 << 10,
            "mib" | "m" | "mb" => 1 << 20,
            "gib" | "g" | "gb" => 1 << 30,
            _ => return Err(ByteSizeError::UnknownUnit { unit: unit.to_owned() }),
        };
        number.checked_mul(factor).map(Self).ok_or_else(too_large)
    }
}

impl fmt::Display for ByteSize {
    /// The largest unit that divides the amount, so that nothing is rounded away.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(formatter, "{}{unit}", self.0 / factor);
            }
        }
        write!(formatter, "{}B", self.0)
    }
}

/// A number of things as a person writes it: `1 record`, `2 records`, `0 entries`. `one` is the name of one of them.
#[must_use]
pub fn counted<N: fmt::Display + PartialEq + From<u8>>(number: N, one: &str) -> String {
    if number == N::from(1) { format!("{number} {one}") } else { format!("{number} {}", several(one)) }
}

/// The plural of a word, or of the last of several.
fn several(one: &str) -> String {
    let before = one.as_bytes().iter().rev().nth(1);
    match one.strip_suffix('y') {
        Some(stem) if before.is_some_and(|letter| !b"aeiou".contains(letter)) => format!("{stem}ies"),
        _ if one.ends_with(['s', 'x']) || one.ends_with("ch") => format!("{one}es"),
        _ => format!("{one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_one_and_none_or_several_are_many() {
        for (number, one, words) in [
            (1, "record", "1 record"),
            (0, "record", "0 records"),
            (2, "damaged line", "2 damaged lines"),
            (3, "entry", "3 entries"),
            (1, "entry", "1 entry"),
            (5, "key", "5 keys"),
            (2, "watch", "2 watches"),
        ] {
            assert_eq!(counted(number, one), words);
        }
    }

    #[test]
    fn a_size_is_read_with_and_without_a_unit() {
        for (text, bytes) in
            [("4096", 4096), ("4KiB", 4096), ("4 MiB", 4 << 20), ("1gib", 1 << 30), ("7B", 7), ("500k", 512_000)]
        {
            assert_eq!(text.parse::<ByteSize>(), Ok(ByteSize::bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_reason() {
        assert!(matches!("MiB".parse::<ByteSize>(), Err(ByteSizeError::NoNumber { .. })));
        assert!(matches!("4 parsecs".parse::<ByteSize>(), Err(ByteSizeError::UnknownUnit { .. })));
        assert!(matches!("99999999999GiB".parse::<ByteSize>(), Err(ByteSizeError::TooLarge { .. })));
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_is_parsed_back(bytes: u64) {
            let size = ByteSize::bytes(bytes);
            proptest::prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
        }
    }
}
