//! Where lines end in a stream of bytes.
//!
//! `\n`, `\r\n` and a lone `\r` end a line, as in GitHub's runner (.NET's `ReadLine`); a lone `\r` before anything
//! was written, as progress bars send it, ends none. Bytes that are no UTF-8 become U+FFFD, line by line.

use pilotage_trust::mask::Masker;
use std::borrow::Cow;
use std::sync::Arc;

/// A line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub text: Cow<'a, str>,
    /// It goes on in the next, or goes on from the one before: it was longer than a line may be.
    pub cut: bool,
}

/// Finds the lines of one stream.
#[derive(Debug)]
pub struct Lines {
    masker: Arc<Masker>,
    line_bytes_max: usize,
    /// The begin of a line whose end has not come yet.
    begun: Vec<u8>,
    /// How much of `begun` was searched for an end that is not there.
    cut: bool,
    /// The last byte was `\r` and ended a line: a `\n` that follows belongs to it.
    after_return: bool,
}

impl Lines {
    #[must_use]
    pub fn new(masker: Arc<Masker>, line_bytes_max: usize) -> Self {
        Self {
            masker,
            line_bytes_max,
            begun: Vec::new(),
            cut: false,
            after_return: false,
        }
    }

    /// Takes the next bytes and calls `each` with every line that they end.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            let (text, after) = rest.split_at(at);
            let is_return = after.first() == Some(&b'\r');
            rest = after.get(1..).unwrap_or_default();
            let empty = text.is_empty() && self.begun.is_empty();
            let ends_line = !(empty && (is_return || self.after_return));
            if ends_line {
                self.end_line(text, &mut each);
            }
            // After an empty `\r` that ended nothing, a `\n` still ends the empty line that it would alone.
            self.after_return = is_return && (ends_line || self.after_return);
        }
        if !rest.is_empty() {
            self.after_return = false;
            self.begun.extend_from_slice(rest);
            self.cut_long_line(&mut each);
        }
    }

    /// The stream ended: what has no end of its own is a line as well.
    pub fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        if !self.begun.is_empty() {
            self.end_line(b"", &mut each);
        }
    }

    fn end_line(&mut self, text: &[u8], each: &mut impl FnMut(Line<'_>)) {
        if self.begun.is_empty() && text.len() <= self.line_bytes_max {
            each(Line {
                text: String::from_utf8_lossy(text),
                cut: self.cut,
            });
        } else {
            self.begun.extend_from_slice(text);
            self.cut_long_line(each);
            each(Line {
                text: String::from_utf8_lossy(&self.begun),
                cut: self.cut,
            });
            self.begun.clear();
            // One long line must not keep its memory for the rest of the step.
            self.begun.shrink_to(64 * 1024);
        }
        self.cut = false;
    }

    /// Gives what is more than a line may hold, cut where neither a character nor a secret is torn apart.
    fn cut_long_line(&mut self, each: &mut impl FnMut(Line<'_>)) {
        if self.begun.len() <= self.line_bytes_max {
            return;
        }
        let reach = self.masker.reach();
        let mut from = 0;
        while self.begun.len() - from > self.line_bytes_max.saturating_add(reach) {
            let rest = &self.begun[from..];
            let near = char_begin(rest, self.line_bytes_max);
            let at = self.masker.cut(rest, near);
            self.cut = true;
            each(Line {
                text: String::from_utf8_lossy(&rest[..at]),
                cut: true,
            });
            from += at;
        }
        self.begun.drain(..from);
    }
}

/// `at`, or the begin of the character that it lies in.
fn char_begin(text: &[u8], at: usize) -> usize {
    const CONTINUATIONS_MAX: usize = 3;
    let begins = |i: &usize| text.get(*i).is_none_or(|b| b & 0xC0 != 0x80);
    (at.saturating_sub(CONTINUATIONS_MAX).max(1)..=at)
        .rev()
        .find(begins)
        .unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE_BYTES_MAX: usize = 16;

    fn lines(pieces: &[&[u8]], secret: &str) -> Vec<String> {
        let masker = Arc::new(Masker::new());
        masker.add(secret);
        let mut lines = Lines::new(masker, LINE_BYTES_MAX);
        let mut all = Vec::new();
        let mut each = |line: Line<'_>| all.push(format!("{}{}", line.text, if line.cut { "~" } else { "" }));
        for piece in pieces {
            lines.push(piece, &mut each);
        }
        lines.finish(&mut each);
        all
    }

    fn check(stream: &[u8], secret: &str, expected: &[&str]) {
        assert_eq!(
            lines(&[stream], secret),
            expected,
            "{:?}",
            String::from_utf8_lossy(stream)
        );
        for at in 0..stream.len() {
            let (a, b) = stream.split_at(at);
            assert_eq!(
                lines(&[a, b], secret),
                expected,
                "{:?} cut at {at}",
                String::from_utf8_lossy(stream)
            );
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(
            lines(&bytes, secret),
            expected,
            "{:?} byte by byte",
            String::from_utf8_lossy(stream)
        );
    }

    #[test]
    fn lines_end_as_githubs_do() {
        check(b"", "", &[]);
        check(b"a\nb\n", "", &["a", "b"]);
        check(b"a\nb", "", &["a", "b"]);
        check(b"\n\na\n", "", &["", "", "a"]);
        check(b"a\r\nb\r\n", "", &["a", "b"]);
        check(b"a\r\r\nb", "", &["a", "b"]);
        check(b"\r\n\r\n", "", &["", ""]);
        check(b"1%\r2%\r3%\ndone", "", &["1%", "2%", "3%", "done"]);
        check(b"head\n\r1%\r2%\n", "", &["head", "1%", "2%"]);
        check(b"a\xff\xfe\nb\0c\n", "", &["a\u{fffd}\u{fffd}", "b\0c"]);
    }

    #[test]
    fn long_lines_are_cut_and_complete() {
        check(b"0123456789abcdef\n", "", &["0123456789abcdef"]);
        check(b"0123456789abcdefX\n", "", &["0123456789abcdef~", "X~"]);
        check(
            b"0123456789abcdef0123456789abcdef12",
            "",
            &["0123456789abcdef~", "0123456789abcdef~", "12~"],
        );
        check(
            "0123456789abcde\u{e4}x".as_bytes(),
            "",
            &["0123456789abcde~", "\u{e4}x~"],
        );
        check(
            b"0123456789abcde\n0123456789abcdef7\nz",
            "",
            &["0123456789abcde", "0123456789abcdef~", "7~", "z"],
        );
    }

    #[test]
    fn a_cut_never_tears_a_secret() {
        let whole: String = lines(
            &[b"0123456789-se-cret-0123456789-0123456789-0123456789"],
            "se-cret",
        )
        .concat();
        assert_eq!(
            whole.replace('~', ""),
            "0123456789-se-cret-0123456789-0123456789-0123456789"
        );
        for line in lines(
            &[b"0123456789-se-cret-0123456789-0123456789-0123456789"],
            "se-cret",
        ) {
            assert!(
                line.contains("se-cret") || !line.contains("se-") && !line.contains("cret"),
                "{line}"
            );
        }
    }
}
