//! GitHub's patterns for branches, tags and paths.
//!
//! `*` is any text without `/`, `**` any text, `?` and `+` follow a character that may be missing or repeated,
//! `[a-z]` is one of those characters, `\` takes the next character as it is, `!` in front takes away what
//! patterns before it gave. `**/` at the start of a folder's name may be nothing: `**/x` takes `x`.
//!
//! A match takes time proportional to the pattern's length times the text's, whatever the pattern.

pub mod debug;

/// No branch, tag or path needs more.
const CHARACTERS_MAX: usize = 4096;

/// One compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    steps: Vec<Step>,
    negated: bool,
}

/// Patterns in their order: the last one that matches a name decides.
#[derive(Clone, Debug)]
pub struct Patterns(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// A fragment with names in backticks: what is wrong.
    pub message: String,
    /// The byte of the pattern at which it is wrong.
    pub offset: usize,
}

#[derive(Clone, Debug)]
struct Step {
    class: Class,
    repeat: Repeat,
}

#[derive(Clone, Debug)]
enum Class {
    One(char),
    Any,
    AnyButSlash,
    Ranges(Vec<(char, char)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Once,
    Optional,
    OnceOrMore,
    AnyTimes,
    /// Takes no character: goes on with the two steps after it, or passes over both.
    Fork,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.chars().count() > CHARACTERS_MAX {
            return Err(PatternError::new(
                "the pattern is longer than 4,096 characters",
                0,
            ));
        }
        let negated = text.starts_with('!');
        let mut parser = Parser {
            text,
            at: usize::from(negated),
            steps: Vec::new(),
        };
        while let Some(c) = parser.next() {
            parser.step(c)?;
        }
        if parser.steps.is_empty() {
            return Err(PatternError::new("the pattern is empty", 0));
        }
        Ok(Self {
            steps: parser.steps,
            negated,
        })
    }

    /// Whether it begins with `!`.
    #[must_use]
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// Whether the whole text fits, a `!` in front left aside.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        // `reached[i]` says that the text so far can stand before step i.
        let mut reached = vec![false; self.steps.len() + 1];
        let mut next = reached.clone();
        mark(&mut reached, 0);
        self.pass_over(&mut reached);
        for c in text.chars() {
            next.fill(false);
            for (i, step) in self.steps.iter().enumerate() {
                let here = reached.get(i) == Some(&true) && step.repeat != Repeat::Fork;
                if !here || !step.class.takes(c) {
                    continue;
                }
                if matches!(step.repeat, Repeat::AnyTimes | Repeat::OnceOrMore) {
                    mark(&mut next, i);
                }
                if step.repeat != Repeat::AnyTimes {
                    mark(&mut next, i + 1);
                }
            }
            self.pass_over(&mut next);
            std::mem::swap(&mut reached, &mut next);
        }
        reached.last() == Some(&true)
    }

    /// Marks what can be reached without another character. Steps only lead forward: one pass is enough.
    fn pass_over(&self, reached: &mut [bool]) {
        for (i, step) in self.steps.iter().enumerate() {
            if reached.get(i) != Some(&true) {
                continue;
            }
            match step.repeat {
                Repeat::Optional | Repeat::AnyTimes => mark(reached, i + 1),
                Repeat::Fork => {
                    mark(reached, i + 1);
                    mark(reached, i + 3);
                }
                Repeat::Once | Repeat::OnceOrMore => {}
            }
        }
    }
}

impl Patterns {
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, PatternError> {
        texts
            .into_iter()
            .map(Pattern::parse)
            .collect::<Result<Vec<_>, _>>()
            .map(Self)
    }

    /// Whether the last pattern that matches is one without `!`. Without any match, or any pattern: no.
    #[must_use]
    pub fn take(&self, name: &str) -> bool {
        self.0
            .iter()
            .rev()
            .find(|pattern| pattern.matches(name))
            .is_some_and(|pattern| !pattern.negated)
    }

    /// Whether there are patterns, and all of them only take away: then nothing can ever match.
    #[must_use]
    pub fn only_negated(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(Pattern::is_negated)
    }
}

impl Class {
    fn takes(&self, c: char) -> bool {
        match self {
            Class::One(one) => *one == c,
            Class::Any => true,
            Class::AnyButSlash => c != '/',
            Class::Ranges(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)),
        }
    }
}

impl PatternError {
    fn new(message: impl Into<String>, offset: usize) -> Self {
        Self {
            message: message.into(),
            offset,
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    steps: Vec<Step>,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn step(&mut self, c: char) -> Result<(), PatternError> {
        match c {
            '*' => self.stars(),
            '?' => self.repeat(c, Repeat::Optional)?,
            '+' => self.repeat(c, Repeat::OnceOrMore)?,
            '[' => {
                let class = self.ranges()?;
                self.push(class, Repeat::Once);
            }
            '\\' => {
                let start = self.at - 1;
                let escaped = self.next();
                let c = escaped.ok_or_else(|| PatternError::new("`\\` escapes nothing", start))?;
                self.push(Class::One(c), Repeat::Once);
            }
            _ => self.push(Class::One(c), Repeat::Once),
        }
        Ok(())
    }

    fn stars(&mut self) {
        if !self.rest().starts_with('*') {
            self.push(Class::AnyButSlash, Repeat::AnyTimes);
            return;
        }
        let begins_name = self
            .steps
            .last()
            .is_none_or(|step| matches!(step.class, Class::One('/')) && step.repeat == Repeat::Once);
        while self.rest().starts_with('*') {
            self.at += 1;
        }
        let is_folder = begins_name && self.rest().starts_with('/');
        if is_folder {
            self.push(Class::Any, Repeat::Fork);
        }
        self.push(Class::Any, Repeat::AnyTimes);
        if is_folder {
            self.at += 1;
            self.push(Class::One('/'), Repeat::Once);
        }
    }

    fn repeat(&mut self, sign: char, repeat: Repeat) -> Result<(), PatternError> {
        match self.steps.last_mut() {
            Some(last) if last.repeat == Repeat::Once => last.repeat = repeat,
            // `c++` is how people write a folder's name; it means what `c+` does.
            Some(last) if last.repeat == Repeat::OnceOrMore && repeat == Repeat::OnceOrMore => {}
            _ => {
                let message =
                    format!("`{sign}` follows no character; write `\\{sign}` for the character itself");
                return Err(PatternError::new(message, self.at - 1));
            }
        }
        Ok(())
    }

    fn ranges(&mut self) -> Result<Class, PatternError> {
        let start = self.at - 1;
        let unclosed = || PatternError::new("`[` is not closed", start);
        let mut ranges = Vec::new();
        loop {
            let first = match self.next().ok_or_else(unclosed)? {
                ']' if ranges.is_empty() => return Err(PatternError::new("`[]` takes no character", start)),
                ']' => return Ok(Class::Ranges(ranges)),
                '\\' => self.next().ok_or_else(unclosed)?,
                c => c,
            };
            let mut last = first;
            if self.rest().starts_with('-') && !self.rest().starts_with("-]") {
                self.at += 1;
                last = self.next().ok_or_else(unclosed)?;
            }
            if last < first {
                let message = format!("the range `{first}-{last}` is the wrong way round");
                return Err(PatternError::new(message, start));
            }
            ranges.push((first, last));
        }
    }

    fn push(&mut self, class: Class, repeat: Repeat) {
        self.steps.push(Step { class, repeat });
    }
}

fn mark(reached: &mut [bool], i: usize) {
    if let Some(flag) = reached.get_mut(i) {
        *flag = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_take_what_they_should() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("main", &["main"], &["Main", "main2", "amain", ""]),
            ("*", &["a", "", "a.b"], &["a/b"]),
            ("**", &["a", "a/b/c", ""], &[]),
            ("release/*", &["release/1"], &["release/1/2", "release"]),
            ("release/**", &["release/1", "release/1/2"], &["release"]),
            ("**/x.md", &["x.md", "a/x.md", "a/b/x.md"], &["ax.md", "a/x.mdx"]),
            ("a/**/z", &["a/z", "a/b/z", "a/b/c/z"], &["az", "a/bz"]),
            ("a**/z", &["a/z", "ab/c/z"], &["az"]),
            ("**.js", &["a.js", "b/a.js"], &["a.ts"]),
            ("*.jsx?", &["a.js", "a.jsx"], &["a.jsxx"]),
            ("v[0-9]+.[0-9]+", &["v1.2", "v10.20"], &["v1", "v.1", "v1.x"]),
            ("v[12]", &["v1", "v2"], &["v3", "v12"]),
            ("[a-cx_-]", &["b", "x", "-", "_"], &["d"]),
            ("a\\*b", &["a*b"], &["axb"]),
            ("\\!x", &["!x"], &["x"]),
            ("c++/**", &["c/a", "ccc/a"], &["/a"]),
            ("ü?b", &["b", "üb"], &["üüb"]),
            ("a.b", &["a.b"], &["axb"]),
        ];
        for (pattern, yes, no) in table {
            let compiled = Pattern::parse(pattern).unwrap();
            yes.iter()
                .for_each(|text| assert!(compiled.matches(text), "{pattern} {text}"));
            no.iter()
                .for_each(|text| assert!(!compiled.matches(text), "{pattern} {text}"));
        }
    }

    #[test]
    fn the_last_match_decides() {
        let patterns = Patterns::parse(["src/**", "!src/docs/**", "src/docs/api/*"]).unwrap();
        assert!(patterns.take("src/a"));
        assert!(!patterns.take("src/docs/a"));
        assert!(patterns.take("src/docs/api/a"));
        assert!(!patterns.take("other"));
        assert!(Patterns::parse(["!a"]).unwrap().only_negated());
        assert!(!Patterns::parse([]).unwrap().take("a"));
    }

    #[test]
    fn wrong_patterns_say_where() {
        let table = [
            ("", 0, "the pattern is empty"),
            ("!", 0, "the pattern is empty"),
            ("?a", 0, "`?` follows no character"),
            ("a*+", 2, "`+` follows no character"),
            ("a[bc", 1, "`[` is not closed"),
            ("a[]", 1, "`[]` takes no character"),
            ("[z-a]", 0, "the range `z-a` is the wrong way round"),
            ("ab\\", 2, "`\\` escapes nothing"),
        ];
        for (pattern, offset, message) in table {
            let error = Pattern::parse(pattern).unwrap_err();
            assert_eq!(error.offset, offset, "{pattern}");
            assert!(error.message.starts_with(message), "{pattern}: {error}");
        }
    }

    #[test]
    fn hostile_patterns_take_linear_time() {
        let pattern = Pattern::parse(&"*a".repeat(200)).unwrap();
        assert!(!pattern.matches(&"a".repeat(199)));
        assert!(
            !Pattern::parse(&"a?".repeat(500))
                .unwrap()
                .matches(&"a".repeat(501))
        );
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[ab/*?+\\[\\]!\\\\-]{0,12}|.{0,12}", text in "[ab/]{0,12}") {
            if let Ok(compiled) = Pattern::parse(&pattern) {
                let _ = compiled.matches(&text);
            }
        }

        #[test]
        fn a_name_matches_itself_escaped(name in "[^\0]{1,20}") {
            let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert!(Pattern::parse(&escaped).unwrap().matches(&name));
            prop_assert!(Pattern::parse("**").unwrap().matches(&name));
            prop_assert_eq!(Pattern::parse("*").unwrap().matches(&name), !name.contains('/'));
        }

        #[test]
        fn the_matcher_agrees_with_a_plain_one(pattern in "[ab/*]{1,8}", text in "[ab/]{0,8}") {
            prop_assert_eq!(Pattern::parse(&pattern).unwrap().matches(&text), plain(&pattern, &text, true));
        }
    }

    /// Back-tracking over `*` and `**` only; `begins` says that a folder's name begins here.
    fn plain(pattern: &str, text: &str, begins: bool) -> bool {
        let Some(c) = pattern.chars().next() else {
            return text.is_empty();
        };
        if pattern.starts_with("**") {
            let rest = pattern.trim_start_matches('*');
            let nothing = begins && rest.starts_with('/') && plain(&rest[1..], text, true);
            return nothing || (0..=text.len()).any(|i| plain(rest, &text[i..], false));
        }
        if c == '*' {
            let end = text.find('/').unwrap_or(text.len());
            return (0..=end).any(|i| plain(&pattern[1..], &text[i..], false));
        }
        text.strip_prefix(c)
            .is_some_and(|text| plain(&pattern[1..], text, c == '/'))
    }
}
