//! Hides secrets in whatever leaves a job: every secret, and each of the forms in which programs print it.
//!
//! Owns the forms ([`forms`]) and the search. Never stores what it masks and never shows a secret in `Debug`.
//! Matches that overlap or touch become one `***`, so that no rest of a secret stays between two of them; one that
//! goes over several lines keeps its line ends, so that a log has as many lines masked as before.

mod filter;
mod forms;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use filter::Filter;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Above this many bytes of patterns the search keeps its smaller, slower automaton (a table of 64 MB is no gain).
const DENSE_BYTES_MAX: usize = 48 * 1024;

/// The secrets of one job. Shared by all that writes its log; secrets may be added while it is in use.
#[derive(Default)]
pub struct Masker {
    patterns: Mutex<Patterns>,
    generation: AtomicU64,
}

#[derive(Default)]
struct Patterns {
    seen: HashSet<Vec<u8>>,
    list: Vec<Vec<u8>>,
    /// Built when it is first needed after a change.
    built: Option<Arc<Automaton>>,
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker({} patterns)", self.lock().list.len())
    }
}

impl Masker {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hides this secret from now on, with all its forms; of a secret of several lines also each line.
    /// Empty texts, single characters and mere white space are ignored, as GitHub ignores them: masking them
    /// would only make a log unreadable.
    pub fn add(&self, secret: &str) {
        let mut patterns = self.lock();
        let before = patterns.list.len();
        for form in forms::of(secret) {
            if patterns.seen.insert(form.clone()) {
                patterns.list.push(form);
            }
        }
        if patterns.list.len() > before {
            patterns.built = None;
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// The text with every secret hidden; borrowed where there is none in it.
    #[must_use]
    pub fn mask_str<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.mask_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(into_text(bytes)),
        }
    }

    /// As [`Masker::mask_str`], for bytes.
    #[must_use]
    pub fn mask_bytes<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(automaton) = self.automaton() else {
            return Cow::Borrowed(text);
        };
        if automaton.first(text, 0).is_none() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        automaton.mask(text, text.len(), None, &mut out);
        Cow::Owned(out)
    }

    /// Whether the text holds a secret, in any form.
    #[must_use]
    pub fn holds_secret(&self, text: &str) -> bool {
        self.automaton()
            .is_some_and(|a| a.first(text.as_bytes(), 0).is_some())
    }

    /// Where a text may be cut in two, at `near` or before it, so that no secret lies on both sides.
    /// Both parts are masked as well as the whole, if at least [`Masker::reach`] bytes follow `near`.
    #[must_use]
    pub fn cut(&self, text: &[u8], near: usize) -> usize {
        self.automaton()
            .map_or(near, |automaton| automaton.cut(text, near))
    }

    /// The length of the longest form of a secret, in bytes.
    #[must_use]
    pub fn reach(&self) -> usize {
        self.automaton().map_or(0, |automaton| automaton.longest)
    }

    /// Masks a stream that comes in pieces. See [`MaskStream`].
    #[must_use]
    pub fn stream(self: &Arc<Self>) -> MaskStream {
        MaskStream {
            masker: Arc::clone(self),
            automaton: self.automaton(),
            generation: self.generation.load(Ordering::Acquire),
            carry: Vec::new(),
            masked: None,
        }
    }

    fn automaton(&self) -> Option<Arc<Automaton>> {
        let mut patterns = self.lock();
        if patterns.list.is_empty() {
            return None;
        }
        if patterns.built.is_none() {
            patterns.built = Automaton::build(&patterns.list).map(Arc::new);
        }
        patterns.built.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Patterns> {
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Masks a stream of bytes piece by piece. What it gives is the same for every way of cutting the stream:
/// it holds back as many bytes as the longest pattern, less one, until more comes or the stream ends.
pub struct MaskStream {
    masker: Arc<Masker>,
    automaton: Option<Arc<Automaton>>,
    generation: u64,
    carry: Vec<u8>,
    /// How many bytes of `carry` lie under a mask that was written already; `Some(0)` where one just ended.
    masked: Option<usize>,
}

impl fmt::Debug for MaskStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskStream({} bytes held back)", self.carry.len())
    }
}

impl MaskStream {
    /// Takes the next piece and appends to `out` what is safe to show.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.refresh();
        let Some(automaton) = self.automaton.clone() else {
            out.append(&mut self.carry);
            out.extend_from_slice(bytes);
            return;
        };
        self.carry.extend_from_slice(bytes);
        let safe = self.carry.len().saturating_sub(automaton.longest - 1);
        if safe > 0 {
            self.advance(&automaton, safe, out);
        }
    }

    /// The stream ended: appends the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.refresh();
        match self.automaton.clone() {
            Some(automaton) => self.advance(&automaton, self.carry.len(), out),
            None => out.append(&mut self.carry),
        }
        self.masked = None;
    }

    fn advance(&mut self, automaton: &Automaton, safe: usize, out: &mut Vec<u8>) {
        self.masked = automaton.mask(&self.carry, safe, self.masked, out);
        self.carry.drain(..safe);
    }

    fn refresh(&mut self) {
        let generation = self.masker.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.automaton = self.masker.automaton();
            self.generation = generation;
        }
    }
}

/// The search over all patterns.
struct Automaton {
    /// Passes over what holds no pattern, where the patterns allow that.
    filter: Option<Filter>,
    /// Finds the first place where any pattern begins.
    leftmost: AhoCorasick,
    /// Finds every pattern, to see how far a masked part reaches.
    all: AhoCorasick,
    /// Bytes of the longest pattern; at least 1.
    longest: usize,
}

impl Automaton {
    /// `None` only without patterns, or where they exceed what the search can hold (over 2 GB).
    fn build(patterns: &[Vec<u8>]) -> Option<Self> {
        let longest = patterns.iter().map(Vec::len).max()?;
        let filter = Filter::new(patterns);
        // Behind the filter little is searched, and what is quickly built counts for more.
        let dense = filter.is_none() && patterns.iter().map(Vec::len).sum::<usize>() <= DENSE_BYTES_MAX;
        let kind = if dense {
            AhoCorasickKind::DFA
        } else {
            AhoCorasickKind::ContiguousNFA
        };
        let builder = |kind, of| {
            AhoCorasick::builder()
                .match_kind(of)
                .kind(Some(kind))
                .build(patterns)
                .ok()
        };
        let leftmost = builder(kind, MatchKind::LeftmostLongest)?;
        let all = builder(AhoCorasickKind::NoncontiguousNFA, MatchKind::Standard)?;
        Some(Self {
            filter,
            leftmost,
            all,
            longest,
        })
    }

    fn cut(&self, text: &[u8], near: usize) -> usize {
        let mut at = near.min(text.len());
        loop {
            let window = at.saturating_sub(self.longest)..(at + self.longest).min(text.len());
            let across = self.all.find_overlapping_iter(Input::new(text).range(window));
            match across
                .filter(|m| m.start() < at && at < m.end())
                .map(|m| m.start())
                .min()
            {
                // Nothing but secrets, each across the next: no place is better than another.
                Some(0) => return near.min(text.len()),
                Some(start) => at = start,
                None => return at,
            }
        }
    }

    /// The first match that begins at `from` or later; of several that begin there, the longest.
    fn first(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let Some(filter) = &self.filter else {
            return self.find(text, from, text.len());
        };
        let mut place = from;
        loop {
            place = filter.candidate(text, place)?;
            let begin = place.saturating_sub(filter.before()).max(from);
            let end = (place + self.longest).min(text.len());
            // One that begins behind the place may reach over `end`: its own place comes later.
            match self.find(text, begin, end) {
                Some(found) if found.0 <= place => return Some(found),
                _ => place += filter.stride(),
            }
        }
    }

    fn find(&self, text: &[u8], from: usize, to: usize) -> Option<(usize, usize)> {
        self.leftmost
            .find(Input::new(text).range(from..to))
            .map(|m| (m.start(), m.end()))
    }

    /// Appends `text[..safe]` to `out`, masked. `masked` bytes at its begin lie under a mask already written.
    /// Matches that begin before `safe` must lie in `text` as a whole. Gives what reaches over `safe`.
    fn mask(&self, text: &[u8], safe: usize, masked: Option<usize>, out: &mut Vec<u8>) -> Option<usize> {
        let mut at = 0;
        let mut touching = false;
        if let Some(end) = masked {
            at = self.reach(text, 0, end);
            touching = true;
            write_line_ends(&text[end..at], out);
        }
        while at < safe {
            let found = self.first(text, at).filter(|(start, _)| *start < safe);
            let (start, end) = found.unwrap_or((safe, safe));
            out.extend_from_slice(&text[at..start]);
            at = start;
            touching = found.is_some();
            if touching {
                at = self.reach(text, start, end);
                out.extend_from_slice(MASK.as_bytes());
                write_line_ends(&text[start..at], out);
            }
        }
        touching.then(|| at - safe)
    }

    /// Where the masked part `start..end` ends when all matches that overlap or touch it are joined to it.
    fn reach(&self, text: &[u8], start: usize, end: usize) -> usize {
        let (mut from, mut end) = (start, end);
        loop {
            let before = end;
            let window = (before + self.longest).min(text.len());
            for m in self
                .all
                .find_overlapping_iter(Input::new(text).range(from..window))
            {
                if m.start() <= end && m.end() > end {
                    end = m.end();
                }
            }
            if end == before || window == text.len() {
                return end;
            }
            from = before;
        }
    }
}

fn write_line_ends(masked: &[u8], out: &mut Vec<u8>) {
    for _ in memchr::memchr_iter(b'\n', masked) {
        out.push(b'\n');
        out.extend_from_slice(MASK.as_bytes());
    }
}

/// Patterns are whole UTF-8 texts, so a masked text is UTF-8 as well; the other branch is for safety only.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests;
