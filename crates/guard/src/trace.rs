//! What was observed, in the order of the tests, small enough to store: the verdict is a function of it.
//!
//! As text: a letter for each kind of answer and how often it came in a row (`A812B`), `(500)` where the share of
//! the new revision became 500 of 10,000. A trace that grows too long is cut at the front; what was cut is kept as
//! the wealths that it led to.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Write as _;

/// One answer as the tests see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol(u8);

const NEW: u8 = 1;
const ERROR: u8 = 2;
const TIMED: u8 = 4;
const OVER_P50: u8 = 8;
const OVER_P95: u8 = 16;
/// Taken by the latency tests for late faults too.
const LATE: u8 = 32;

impl Symbol {
    /// `time`: whether it is over the bars, if its time is judged; `late`: whether the late tests take it too.
    pub(crate) fn new(on_new: bool, error: bool, time: Option<(bool, bool)>, late: bool) -> Self {
        let mut bits = u8::from(on_new) * NEW + u8::from(error) * ERROR;
        if let Some((p50, p95)) = time {
            bits += TIMED + u8::from(p50) * OVER_P50 + u8::from(p95) * OVER_P95 + u8::from(late) * LATE;
        }
        Self(bits)
    }

    pub(crate) fn on_new(self) -> bool {
        self.0 & NEW != 0
    }

    pub(crate) fn error(self) -> bool {
        self.0 & ERROR != 0
    }

    pub(crate) fn time(self) -> Option<(bool, bool)> {
        (self.0 & TIMED != 0).then_some((self.0 & OVER_P50 != 0, self.0 & OVER_P95 != 0))
    }

    pub(crate) fn late(self) -> bool {
        self.0 & LATE != 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Item {
    Answers(Symbol, u32),
    /// The new revision's share from here on, of 10,000.
    Share(u32),
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    pub(crate) items: Vec<Item>,
}

impl Trace {
    pub(crate) fn answer(&mut self, symbol: Symbol) {
        match self.items.last_mut() {
            Some(Item::Answers(last, count)) if *last == symbol && *count < u32::MAX => *count += 1,
            _ => self.items.push(Item::Answers(symbol, 1)),
        }
    }

    pub(crate) fn share(&mut self, share: u32) {
        self.items.push(Item::Share(share));
    }

    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for item in &self.items {
            // Writing to a string cannot fail.
            let _ = match item {
                Item::Answers(symbol, 1) => write!(text, "{}", letter(*symbol)),
                Item::Answers(symbol, count) => write!(text, "{}{count}", letter(*symbol)),
                Item::Share(share) => write!(text, "({share})"),
            };
        }
        text
    }

    /// Reads what [`Trace::to_text`] wrote; none where the text is something else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut items = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(inner) = rest.strip_prefix('(') {
                let (share, after) = inner.split_once(')')?;
                items.push(Item::Share(share.parse().ok()?));
                rest = after;
            } else {
                let symbol = symbol(first)?;
                rest = &rest[1..];
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let count = if digits == 0 {
                    1
                } else {
                    rest[..digits].parse().ok().filter(|n| *n > 0)?
                };
                items.push(Item::Answers(symbol, count));
                rest = &rest[digits..];
            }
        }
        Some(Self { items })
    }
}

/// 64 printable letters from `@` on: `@` to DEL less one.
fn letter(symbol: Symbol) -> char {
    char::from(b'?' + symbol.0)
}

fn symbol(letter: char) -> Option<Symbol> {
    let bits = u32::from(letter).checked_sub(u32::from(b'?'))?;
    u8::try_from(bits).ok().filter(|bits| *bits < 64).map(Symbol)
}

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Trace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| serde::de::Error::custom("not a guard's trace"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_survives_its_text() {
        let mut trace = Trace::default();
        for bits in 0..64 {
            trace.share(u32::from(bits) * 100);
            (0..=bits).for_each(|_| trace.answer(Symbol(bits)));
        }
        assert_eq!(Trace::from_text(&trace.to_text()), Some(trace));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["A0", "(x)", "(12", "ä", " ", "A99999999999"] {
            assert_eq!(Trace::from_text(text), None, "{text}");
        }
    }
}
