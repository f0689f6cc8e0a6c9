//! "Did you mean": the nearest of the known words.

/// The word that a misspelt one most likely stands for, if any is near.
#[must_use]
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong: Vec<char> = wrong.chars().take(64).flat_map(char::to_lowercase).collect();
    let allowed = match wrong.len() {
        0..=2 => return None,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    };
    let scored = known.into_iter().map(|word| (distance(&wrong, word), word));
    scored
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, word)| word)
}

/// Edits, with the swap of two neighbours as one (optimal string alignment).
fn distance(a: &[char], word: &str) -> usize {
    let b: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX - 1);
            let mut cost = (at(&previous, j) + usize::from(x != y))
                .min(at(&previous, j + 1) + 1)
                .min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                cost = cost.min(at(&before, j - 1) + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["runs-on", "needs", "steps", "run", "uses"];
        for (wrong, expected) in [
            ("run-on", Some("runs-on")),
            ("step", Some("steps")),
            ("nedes", Some("needs")),
            ("runn", Some("run")),
            ("Uses", Some("uses")),
            ("ru", None),
            ("image", None),
            ("", None),
        ] {
            assert_eq!(closest(wrong, keys), expected, "{wrong}");
        }
    }
}
