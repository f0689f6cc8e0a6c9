//! Lines of `key=value` in which no value can break the line: the form of every small file and answer here.
//!
//! Control characters and `%` are written as `%XX`. Decoding refuses what encoding would not have written.

use std::fmt::Write;

pub(crate) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if c == '%' || c.is_ascii_control() {
            let _ = write!(out, "%{:02X}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        let (digits, after) = after.split_at_checked(2)?;
        let code = u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii)?;
        if digits.contains('+') || !(code == b'%' || code.is_ascii_control()) {
            return None;
        }
        out.push_str(before);
        out.push(char::from(code));
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// The pairs of a text of `key=value` lines.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = Option<(&str, String)>> {
    text.lines().map(|line| {
        let (key, value) = line.split_once('=')?;
        Some((key, unescape(value)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wrong_escape_is_refused() {
        for text in ["%", "%0", "%zz", "%41", "%+a", "a%é", "%FF"] {
            assert_eq!(unescape(text), None, "{text}");
        }
        assert_eq!(unescape("a%0Ab%25").as_deref(), Some("a\nb%"));
    }

    proptest! {
        #[test]
        fn every_value_survives_and_stays_on_its_line(value in any::<String>()) {
            let line = escape(&value);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(unescape(&line), Some(value));
        }
    }
}
