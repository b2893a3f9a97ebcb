//! Numbers as they are written, compared exactly.
//! Promises the order of the numbers themselves, whatever their length, their exponent and their trailing zeros; no
//! double is involved, so neighbours of nineteen digits stay neighbours.
//! Leaves where numbers are looked for to the steps.

use std::cmp::Ordering;

/// Exponents beyond this count as this one; no configuration can hold such a number.
const EXPONENT_LIMIT: i64 = 1_000_000_000_000_000;

/// A decimal number: `0.` followed by its digits, times ten to `exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    /// Invariant: `false` for zero.
    negative: bool,
    exponent: i64,
    /// The digits before and behind the point. Invariant: put together they begin and end with a digit other than zero.
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// The number that the text writes, as JSON does or with the liberties of texts: blanks around it, a plus sign, a
    /// point at its beginning or end.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        Self::parse_with(text, b".")
    }

    /// The same with other signs for the point.
    pub(super) fn parse_with(text: &'a [u8], points: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (whole, rest) = digits(text);
        let (fraction, rest) = match rest {
            [point, rest @ ..] if points.contains(point) => digits(rest),
            _ => (&rest[..0], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        Some(Self::normal(negative, whole, fraction, exponent(rest)?))
    }

    fn normal(negative: bool, whole: &'a [u8], fraction: &'a [u8], exponent: i64) -> Self {
        let zeros = |digits: &[u8]| digits.iter().take_while(|digit| **digit == b'0').count();
        let zeros_behind = |digits: &[u8]| digits.iter().rev().take_while(|digit| **digit == b'0').count();
        let whole = &whole[zeros(whole)..];
        let leading = if whole.is_empty() { zeros(fraction) } else { 0 };
        let fraction = &fraction[leading..];
        let exponent = exponent + whole.len() as i64 - leading as i64;
        let fraction = &fraction[..fraction.len() - zeros_behind(fraction)];
        let whole = if fraction.is_empty() { &whole[..whole.len() - zeros_behind(whole)] } else { whole };
        if whole.is_empty() && fraction.is_empty() {
            return Self { negative: false, exponent: 0, whole, fraction };
        }
        Self { negative, exponent, whole, fraction }
    }

    fn digits(&self) -> impl Iterator<Item = &'a u8> {
        self.whole.iter().chain(self.fraction)
    }

    fn count(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    fn is_zero(&self) -> bool {
        self.count() == 0
    }

    /// The number times ten to `power`, as a whole number; what is behind the point is cut off. `None` where it has
    /// more than thirty digits.
    pub(super) fn scaled(&self, power: u32) -> Option<i128> {
        let length = self.exponent + i64::from(power);
        if length > 30 {
            return None;
        }
        let zeros = std::iter::repeat(&b'0');
        let taken = self.digits().chain(zeros).take(length.max(0) as usize);
        let value = taken.fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
        Some(if self.negative { -value } else { value })
    }

    /// The digits of a whole number that is not negative, if it has at most as many as `room`; how many there are.
    pub(super) fn whole_digits(&self, room: &mut [u8]) -> Option<usize> {
        let length =
            usize::try_from(self.exponent).ok().filter(|length| (self.count()..=room.len()).contains(length))?;
        if self.negative {
            return None;
        }
        for (place, digit) in room[..length].iter_mut().zip(self.digits().chain(std::iter::repeat(&b'0'))) {
            *place = *digit;
        }
        Some(length)
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| if number.is_zero() { 0 } else { 1 - 2 * i8::from(number.negative) };
        let magnitude = || self.exponent.cmp(&other.exponent).then_with(|| self.digits().cmp(other.digits()));
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => magnitude(),
            _ => magnitude().reverse(),
        })
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal<'_> {}

/// A number of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Number {
    negative: bool,
    exponent: i64,
    digits: Box<[u8]>,
}

impl Number {
    /// `None` where its exponent is beyond all sense.
    pub(super) fn new(number: &serde_json::Number) -> Option<Self> {
        let text = number.to_string();
        let decimal = Decimal::parse(text.as_bytes())?;
        let sensible = decimal.exponent.abs() < EXPONENT_LIMIT;
        let Decimal { negative, exponent, .. } = decimal;
        sensible.then(|| Self { negative, exponent, digits: decimal.digits().copied().collect() })
    }

    pub(super) fn decimal(&self) -> Decimal<'_> {
        Decimal { negative: self.negative, exponent: self.exponent, whole: &self.digits, fraction: &[] }
    }
}

/// The digits at the beginning, and what is behind them.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

/// What stands behind the digits: nothing, or an exponent up to the end.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text {
        [] => return Some(0),
        [b'e' | b'E', b'-', rest @ ..] => (true, rest),
        [b'e' | b'E', b'+', rest @ ..] | [b'e' | b'E', rest @ ..] => (false, rest),
        _ => return None,
    };
    let (figures, rest) = digits(text);
    if figures.is_empty() || !rest.is_empty() {
        return None;
    }
    let more = |value: i64, digit: &u8| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_LIMIT);
    let value = figures.iter().fold(0, more);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(one: &str, other: &str) -> Ordering {
        Decimal::parse(one.as_bytes()).unwrap().cmp(&Decimal::parse(other.as_bytes()).unwrap())
    }

    #[test]
    fn equal_numbers_are_equal_however_they_are_written() {
        for (one, other) in [
            ("1", "1.0"),
            ("1000", "1e3"),
            ("1E+3", "1000.000"),
            ("0.001", "1e-3"),
            ("-0", "0"),
            ("-0.0e5", "0"),
            ("007", "7"),
            (".5", "0.5"),
            ("5.", " 5 "),
            ("+5", "5"),
            ("123456789012345678901234567890", "1234567890.1234567890123456789e20"),
            ("0e999999999999999999999", "0"),
        ] {
            assert_eq!(order(one, other), Ordering::Equal, "{one} {other}");
        }
    }

    #[test]
    fn neighbours_differ_where_doubles_see_one_number() {
        for (less, more) in [
            ("12345678901234567304", "12345678901234567305"),
            ("9007199254740992", "9007199254740993"),
            ("0.1", "0.1000000000000000000000000001"),
            ("-2", "-1"),
            ("-1", "0"),
            ("-0", "1e-400"),
            ("9.99e307", "1e400"),
            ("1e400", "1.0000001e400"),
            ("-1e400", "-1e399"),
            ("2", "10"),
        ] {
            assert_eq!(order(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(order(more, less), Ordering::Greater, "{more} {less}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "e5", "1e", "1e+", "1 2", "0x1", "inf", "NaN", "1,5", "--1", "1e5x", "1.2.3"] {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whole_numbers_are_ordered_as_they_are(one: i128, other: i128, one_zeros in 0_usize..4, exponent in 0_usize..5) {
            let (one, other) = (one >> 20, other >> 20);
            let one_text = format!("{one}.{}", "0".repeat(one_zeros));
            let other_text = format!("{other}{}e-{exponent}", "0".repeat(exponent));
            proptest::prop_assert_eq!(order(&one_text, &other_text), one.cmp(&other));
        }
    }
}
