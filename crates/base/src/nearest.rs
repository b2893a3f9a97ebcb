//! Which known word was probably meant.
//! Promises that what differs only in case is always found, and that nothing far off is suggested.
//! Leaves the words to its callers.

/// Longer words are nobody's typing mistake, and would cost time.
const LONGEST: usize = 64;

/// The known word nearest to `word`, if one is near enough: at most a third of its letters are wrong.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > LONGEST {
        return None;
    }
    let letters: Vec<char> = word.to_lowercase().chars().collect();
    known
        .into_iter()
        .map(|candidate| (distance(&letters, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace or swap with their neighbour to make one word the other.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            let mut best = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && left[row - 1] == *other && right[column - 1] == *letter {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_find_the_word_that_was_meant() {
        let known = ["filePattern", "deliveryStream", "exclude", "name"];
        for (word, meant) in [
            ("filepattern", "filePattern"),
            ("FILE_PATTERN", "filePattern"),
            ("filePatern", "filePattern"),
            ("deliverySteram", "deliveryStream"),
            ("excludes", "exclude"),
        ] {
            assert_eq!(nearest(word, known), Some(meant), "{word}");
        }
    }

    #[test]
    fn nothing_far_off_is_suggested() {
        for word in ["", "x", "colour", "deliver", &"f".repeat(1_000_000)] {
            assert_eq!(nearest(word, ["filePattern", "deliveryStream", "exclude"]), None);
        }
    }

    #[test]
    fn a_swap_of_neighbours_is_one_mistake() {
        let letters = |word: &str| word.chars().collect::<Vec<_>>();
        assert_eq!(distance(&letters("ab"), &letters("ba")), 1);
        assert_eq!(distance(&letters("kitten"), &letters("sitting")), 3);
        assert_eq!(distance(&letters(""), &letters("abc")), 3);
    }
}
