//! Where the characters of a scalar's value stand in its file, so that a fault is underlined where it is.

use crate::source::Span;
use std::ops::Range;

/// Maps bytes of a value to places in the file.
#[derive(Clone, Debug)]
pub struct Place {
    /// The whole scalar, with its quotes.
    pub span: Span,
    offsets: Offsets,
}

#[derive(Clone, Debug)]
enum Offsets {
    /// The value stands in the file as it is, from there on.
    Verbatim(usize),
    /// For each byte of the value, its place.
    Each(Vec<usize>),
    Unknown,
}

impl Place {
    /// Of a value of which nothing but its span is known: it stands there as it is, or its parts have no place.
    #[must_use]
    pub fn of(value: &str, span: Span) -> Self {
        let (start, end) = (span.start as usize, span.end as usize);
        let verbatim = end.checked_sub(start) == Some(value.len());
        Self {
            span,
            offsets: if verbatim {
                Offsets::Verbatim(start)
            } else {
                Offsets::Unknown
            },
        }
    }

    /// Of a value whose spelling in the file is known: `raw` is the text at `span`, quotes, indicators and
    /// indentation included. Where the two cannot be laid side by side, parts of the value have no place.
    #[must_use]
    pub fn within(value: &str, span: Span, raw: &str) -> Self {
        let start = span.start as usize;
        let offsets = if raw == value {
            Offsets::Verbatim(start)
        } else {
            align(value, raw).map_or(Offsets::Unknown, |mut offsets| {
                offsets.iter_mut().for_each(|offset| *offset += start);
                Offsets::Each(offsets)
            })
        };
        Self { span, offsets }
    }

    /// Of a value whose parts have no place of their own.
    #[must_use]
    pub fn whole(span: Span) -> Self {
        Self {
            span,
            offsets: Offsets::Unknown,
        }
    }

    /// The place of a range of bytes of the value; the whole scalar where it is not known.
    #[must_use]
    pub fn range(&self, range: Range<usize>) -> Span {
        match &self.offsets {
            Offsets::Verbatim(base) => Span::new(base + range.start, base + range.end),
            Offsets::Each(offsets) => {
                let last = range.end.checked_sub(1).and_then(|last| offsets.get(last));
                match (offsets.get(range.start), last) {
                    (Some(start), Some(last)) if start <= last => Span::new(*start, last + 1),
                    _ => self.span,
                }
            }
            Offsets::Unknown => self.span,
        }
    }
}

/// For each byte of the value, the byte of its spelling. None where they do not fit one another.
fn align(value: &str, raw: &str) -> Option<Vec<usize>> {
    let style = raw.chars().next()?;
    let mut at = match style {
        '\'' | '"' => 1,
        '|' | '>' => raw.find('\n')? + 1,
        _ => 0,
    };
    let mut offsets = Vec::with_capacity(value.len());
    for c in value.chars() {
        let (start, length) = next(c, raw, at, style)?;
        offsets.extend((0..c.len_utf8()).map(|i| start + i.min(length.saturating_sub(1))));
        at = start + length;
    }
    Some(offsets)
}

/// Where this character of the value is spelled, at or after `at`, and the length of its spelling. Only white
/// space may be passed over: indentation and what folding takes away.
fn next(c: char, raw: &str, mut at: usize, style: char) -> Option<(usize, usize)> {
    loop {
        let rest = raw.get(at..)?;
        let Some(spelled) = rest.chars().next() else {
            // The line break that a block scalar ends with need not stand in its span.
            return c.is_whitespace().then_some((at, 0));
        };
        match spelled {
            '\\' if style == '"' => match escape(rest) {
                (None, length) => at += length,
                (Some(escaped), length) if escaped == c => return Some((at, length)),
                (Some(escaped), length) if escaped.is_whitespace() => at += length,
                _ => return None,
            },
            '\'' if style == '\'' => return (c == '\'' && rest.starts_with("''")).then_some((at, 2)),
            _ if spelled == c => return Some((at, c.len_utf8())),
            // A folded line break is a space.
            '\n' if c == ' ' => return Some((at, 1)),
            _ if spelled.is_whitespace() => at += spelled.len_utf8(),
            _ => return None,
        }
    }
}

/// The character that an escape in double quotes stands for, where that is simple, and the escape's length.
/// None is an escaped line break, which stands for nothing.
fn escape(rest: &str) -> (Option<char>, usize) {
    match rest.chars().nth(1) {
        Some('\n') => (None, 2),
        Some('\r') => (None, 3),
        Some('x') => (coded(rest, 4), 4),
        Some('u') => (coded(rest, 6), 6),
        Some('U') => (coded(rest, 10), 10),
        Some(letter) => (Some(named(letter)), 1 + letter.len_utf8()),
        None => (None, 1),
    }
}

/// The escapes of YAML that stand for something else than their letter.
fn named(letter: char) -> char {
    match letter {
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        other => other,
    }
}

fn coded(rest: &str, length: usize) -> Option<char> {
    let code = rest
        .get(2..length)
        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
    Some(
        code.and_then(char::from_u32)
            .unwrap_or(char::REPLACEMENT_CHARACTER),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Finds `needle` in the value and says which text of the file its place covers.
    fn check(value: &str, raw: &str, needle: &str) -> String {
        let file = format!("key: {raw}\n");
        let place = Place::within(value, Span::new(5, 5 + raw.len()), raw);
        let start = value.find(needle).unwrap();
        let span = place.range(start..start + needle.len());
        file[span.start as usize..span.end as usize].to_owned()
    }

    #[test]
    fn values_are_found_in_their_spelling() {
        let table = [
            ("a needle", "a needle", "needle"),
            ("a needle", "'a needle'", "needle"),
            ("it's a needle", "'it''s a needle'", "needle"),
            ("say \"ä\" needle", "\"say \\\"\\u00e4\\\" needle\"", "needle"),
            ("one\ntwo needle\n", "|\n    one\n    two needle\n", "needle"),
            (
                "one two needle\n",
                ">-  # folded needle\n    one\n    two needle\n",
                "needle",
            ),
            ("  deep\nneedle", "|-\n      deep\n    needle", "needle"),
            ("one\nneedle", "one\n\n  needle", "needle"),
            ("one needle", "\"one\\\n   \\ needle\"", "needle"),
        ];
        for (value, raw, expected) in table {
            assert_eq!(check(value, raw, "needle"), expected, "{raw}");
        }
        assert_eq!(
            check("two\n    lines", "|\n    two\n        lines", "two\n    lines"),
            "two\n        lines"
        );
    }

    #[test]
    fn what_does_not_fit_has_only_the_whole_place() {
        assert_eq!(check("needle", "&anchor other", "needle"), "&anchor other");
        assert_eq!(Place::of("abc", Span::new(3, 9)).range(0..1), Span::new(3, 9));
        assert_eq!(Place::of("abc", Span::new(3, 6)).range(1..2), Span::new(4, 5));
    }

    proptest! {
        #[test]
        fn no_input_panics(value in ".{0,20}", raw in "['\"|>]?(.|\\\\|\n){0,30}", start in 0usize..25, end in 0usize..25) {
            let _ = Place::within(&value, Span::new(0, raw.len()), &raw).range(start..end);
        }
    }
}
