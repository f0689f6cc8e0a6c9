//! Text compared without regard to case, as .NET's ordinal comparison does it, on which GitHub's rests.
//!
//! Each character is upper-cased by itself; nothing grows (`ß` stays), and no letter outside ASCII becomes an
//! ASCII one (`ı` is not `I`, `ſ` is not `S`).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::Hasher;

/// The character that stands for all its spellings.
pub(crate) fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) if !single.is_ascii() => single,
        _ => c,
    }
}

pub(crate) fn folded(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| b.is_ascii() && !b.is_ascii_lowercase()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(fold).collect())
}

pub(crate) fn same(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().map(fold).eq(b.chars().map(fold))
}

/// Order by UTF-16 units, in which characters above U+FFFF come before U+E000 to U+FFFF.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    a.chars().map(weight).cmp(b.chars().map(weight))
}

fn weight(c: char) -> u32 {
    let code = u32::from(fold(c));
    if (0xE000..=0xFFFF).contains(&code) {
        code + 0x0011_0000
    } else {
        code
    }
}

pub(crate) fn contains(text: &str, part: &str) -> bool {
    folded(text).contains(&*folded(part))
}

pub(crate) fn starts_with(text: &str, start: &str) -> bool {
    let mut characters = text.chars().map(fold);
    start.chars().map(fold).all(|c| characters.next() == Some(c))
}

pub(crate) fn ends_with(text: &str, end: &str) -> bool {
    let mut characters = text.chars().rev().map(fold);
    end.chars().rev().map(fold).all(|c| characters.next() == Some(c))
}

/// Gives a hasher the same bytes for every spelling of a text.
pub(crate) fn hash(text: &str, hasher: &mut impl Hasher) {
    let mut buffer = [0; 32];
    if let Some(short) = buffer.get_mut(..text.len()).filter(|_| text.is_ascii()) {
        short.copy_from_slice(text.as_bytes());
        short.make_ascii_uppercase();
        hasher.write(short);
    } else {
        hasher.write(folded(text).as_bytes());
    }
    hasher.write_u8(0xff);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_the_same_text() {
        let table = [
            ("Main", "mAIN", true),
            ("straße", "STRASSE", false),
            ("Ärger", "äRGER", true),
            ("οδός", "ΟΔΌΣ", true),
            ("ı", "I", false),
            ("ſ", "s", false),
            ("a", "ab", false),
        ];
        for (a, b, expected) in table {
            assert_eq!(same(a, b), expected, "{a} {b}");
            assert_eq!(compare(a, b) == Ordering::Equal, expected, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn the_helpers_agree(a in ".{0,12}", b in ".{0,4}") {
            prop_assert_eq!(same(&a, &b), folded(&a) == folded(&b));
            prop_assert_eq!(same(&a, &b), compare(&a, &b) == Ordering::Equal);
            prop_assert_eq!(starts_with(&a, &b), folded(&a).starts_with(&*folded(&b)));
            prop_assert_eq!(ends_with(&a, &b), folded(&a).ends_with(&*folded(&b)));
            let joined = format!("{}{b}", a.to_uppercase());
            prop_assert!(contains(&joined, &b) && ends_with(&joined, &b));
        }

        #[test]
        fn what_is_the_same_hashes_the_same(a in "[a-zA-Zäöß]{0,40}") {
            let digest = |text: &str| {
                let mut hasher = std::collections::hash_map::DefaultHasher::new();
                hash(text, &mut hasher);
                hasher.finish()
            };
            prop_assert_eq!(digest(&a), digest(&folded(&a)));
        }
    }
}
