//! What people look for in a log: plain words, or a regular expression between slashes. Its time grows with the log
//! and with nothing else; who goes away ends it.

use crate::app::App;
use crate::error::AppResult;
use pilotage_store::LogPiece;
use pilotage_ui::page::log::{Find, Hit, QUERY_CHARS_MAX, read};
use regex::{Regex, RegexBuilder};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lines that are counted; more are said to be more.
const HITS_MAX: usize = 2000;
/// Lines that are listed with their text.
const LISTED_MAX: usize = 100;
const TEXT_CHARS_MAX: usize = 300;
/// Parts of one line that are marked.
const IN_A_LINE_MAX: usize = 100;
/// A search that takes longer tells how far it came.
const PATIENCE: Duration = Duration::from_millis(800);
const PROGRAM_BYTES_MAX: usize = 1 << 20;

#[derive(Clone)]
pub(super) struct Matcher(Arc<Regex>);

impl Matcher {
    /// `words`, in any case unless one of them is written large; `/expression/`, `/expression/i`.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        if query.chars().count() > QUERY_CHARS_MAX {
            return Err(format!("More than {QUERY_CHARS_MAX} characters"));
        }
        let expression = query.strip_prefix('/').and_then(|rest| {
            let (body, flags) = rest.rsplit_once('/')?;
            matches!(flags, "" | "i").then_some((body, flags == "i"))
        });
        let (pattern, any_case) = match expression {
            Some((body, any_case)) if !body.is_empty() => (body.to_owned(), any_case),
            _ => (regex::escape(query), !query.chars().any(char::is_uppercase)),
        };
        let built = RegexBuilder::new(&pattern)
            .case_insensitive(any_case)
            .size_limit(PROGRAM_BYTES_MAX)
            .dfa_size_limit(4 * PROGRAM_BYTES_MAX)
            .nest_limit(50)
            .build();
        match built {
            Ok(regex) => Ok(Self(Arc::new(regex))),
            Err(regex::Error::CompiledTooBig(_)) => Err("This expression is too large".to_owned()),
            Err(error) => {
                let said = error.to_string();
                let reason = said.lines().last().unwrap_or_default();
                let reason = reason.strip_prefix("error: ").unwrap_or(reason);
                Err(format!("Not a regular expression: {reason}"))
            }
        }
    }

    /// Where it stands in a line as people read it.
    pub(super) fn ranges(&self, line: &str) -> Vec<Range<usize>> {
        let text = read(line);
        let found = self.0.find_iter(&text).map(|found| found.range());
        found
            .filter(|range| !range.is_empty())
            .take(IN_A_LINE_MAX)
            .collect()
    }

    fn is_in(&self, line: &str) -> bool {
        let found = |text: &str| self.0.find_iter(text).any(|found| !found.is_empty());
        // Nearly all lines are as people read them.
        if line.starts_with("##[") || line.bytes().any(|byte| byte.is_ascii_control()) {
            !line.starts_with("##[endgroup]") && found(&read(line))
        } else {
            found(line)
        }
    }

    fn take(&self, pieces: &[LogPiece], found: &mut Find) {
        for piece in pieces {
            for (line, text) in (piece.first_line..).zip(piece.text.split_terminator('\n')) {
                if !self.is_in(text) {
                    continue;
                }
                if found.hits.len() == HITS_MAX {
                    found.rest.get_or_insert(line);
                    return;
                }
                found.hits.push((piece.step, line));
                if found.shown.len() < LISTED_MAX {
                    found.shown.push(Hit {
                        step: piece.step,
                        line,
                        text: read(text).chars().take(TEXT_CHARS_MAX).collect(),
                    });
                }
            }
        }
    }
}

/// Looks through a log from a line on.
pub(super) async fn find(app: &App, job: i64, matcher: &Matcher, after: u64, total: u64) -> AppResult<Find> {
    let began = Instant::now();
    let mut found = Find::default();
    let mut at = after;
    while at < total && found.rest.is_none() {
        if began.elapsed() > PATIENCE {
            found.rest = Some(at);
            break;
        }
        let (pieces, next) = app.store.logs.read(job, None, at).await?;
        if next <= at {
            break;
        }
        at = next;
        let matcher = matcher.clone();
        let look = move || {
            matcher.take(&pieces, &mut found);
            found
        };
        found = tokio::task::spawn_blocking(look).await.unwrap_or_default();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_expressions_are_looked_for_in_what_people_read() {
        let check = |query: &str, line: &str, expected: &[&str]| {
            let matcher = Matcher::parse(query).map_err(|fault| format!("{query}: {fault}"));
            let matcher = matcher.expect("a query");
            let text = read(line);
            let found: Vec<&str> = (matcher.ranges(line).into_iter())
                .filter_map(|range| text.get(range))
                .collect();
            assert_eq!(found, expected, "{query} in {line}");
            assert_eq!(matcher.is_in(line), !expected.is_empty(), "{query} in {line}");
        };
        check("fail", "FAILED, failing", &["FAIL", "fail"]);
        check("Fail", "FAILED, Failing", &["Fail"]);
        check("a.b(", "axb( a.b(", &["a.b("]);
        check("/a.b/", "axb a.b", &["axb", "a.b"]);
        check("/A.B/i", "axb", &["axb"]);
        check("/usr/", "/usr/bin usr", &["usr", "usr"]);
        check("/usr/bin", "in /usr/bin", &["/usr/bin"]);
        check("//", "a // b", &["//"]);
        check("red line", "a \u{1b}[31mred\u{1b}[0m line", &["red line"]);
        check("error", "##[error]it broke", &[]);
        check("broke", "##[error]it broke", &["broke"]);
        check("/x*/", "aaa", &[]);
    }

    #[test]
    fn what_cannot_be_looked_for_says_why() {
        for (query, expected) in [
            ("/(/", "Not a regular expression: unclosed group"),
            ("/a{1000}{1000}{1000}/", "This expression is too large"),
            ("/(?=a)/", "look-around"),
        ] {
            let fault = Matcher::parse(query).err().unwrap_or_default();
            assert!(fault.contains(expected), "{query}: {fault}");
        }
        assert!(Matcher::parse(&"x".repeat(QUERY_CHARS_MAX + 1)).is_err());
        let nested = format!("/{}a{}/", "(".repeat(90), ")".repeat(90));
        assert!(Matcher::parse(&nested).is_err());
    }

    #[test]
    fn what_backtracks_for_ever_elsewhere_does_not_here() {
        let matcher = Matcher::parse("/(a*)*b/").expect("a query");
        assert!(!matcher.is_in(&"a".repeat(100_000)));
    }
}
