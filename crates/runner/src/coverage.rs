//! How much of a program its tests ran, from the files that coverage tools write: Cobertura, LCOV, Istanbul's
//! summary and full form, coverage.py's JSON.
//!
//! Counts lines. A file that counts no line at all is an error, never 0 % or 100 %: nothing was measured.

use quick_xml::events::{BytesStart, Event};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Lines that could run, and those that did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) covered: u64,
    pub(crate) valid: u64,
}

impl AddAssign for Lines {
    fn add_assign(&mut self, other: Self) {
        self.covered = self.covered.saturating_add(other.covered);
        self.valid = self.valid.saturating_add(other.valid);
    }
}

impl Lines {
    /// Hundredths of a percent, rounded down, so that what is shown is never more than what was reached.
    #[must_use]
    pub(crate) fn hundredths(self) -> u64 {
        let share = u128::from(self.covered) * 10_000 / u128::from(self.valid.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    fn count(&mut self, hits: u64) {
        self.valid += 1;
        self.covered += u64::from(hits > 0);
    }
}

/// Why a file says nothing of coverage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CoverageError {
    #[error("it is no coverage file that is known here (Cobertura, LCOV, Istanbul, coverage.py)")]
    Unknown,
    #[error("it cannot be read: {0}")]
    Broken(String),
    #[error("it counts no line: nothing was measured")]
    Nothing,
}

/// Reads a file; the format is found by its own form.
pub(crate) fn read(text: &str) -> Result<Lines, CoverageError> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lines = match text.as_bytes().first() {
        Some(b'<') => cobertura(text)?,
        Some(b'{') => json(text)?,
        _ if text.lines().any(|line| line.starts_with("SF:")) => lcov(text)?,
        _ => return Err(CoverageError::Unknown),
    };
    if lines.valid == 0 {
        return Err(CoverageError::Nothing);
    }
    if lines.covered > lines.valid {
        return Err(CoverageError::Broken("more lines ran than there are".to_owned()));
    }
    Ok(lines)
}

/// The sums of the root where it has them; else each class's lines. No document type is followed, no entity read.
fn cobertura(text: &str) -> Result<Lines, CoverageError> {
    let broken = |error: quick_xml::Error| CoverageError::Broken(error.to_string());
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut root, mut in_method, mut lines) = (false, false, Lines::default());
    loop {
        match reader.read_event().map_err(broken)? {
            Event::Start(tag) | Event::Empty(tag) if tag.name().as_ref() == "coverage" => {
                root = true;
                if let (Some(covered), Some(valid)) =
                    (number(&tag, "lines-covered"), number(&tag, "lines-valid"))
                {
                    return Ok(Lines { covered, valid });
                }
            }
            // A method's lines are listed among its class's again.
            Event::Start(tag) if tag.name().as_ref() == "methods" => in_method = true,
            Event::End(tag) if tag.name().as_ref() == "methods" => in_method = false,
            Event::Start(tag) | Event::Empty(tag) if tag.name().as_ref() == "line" && !in_method => {
                lines.count(number(&tag, "hits").unwrap_or(0));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if root {
        Ok(lines)
    } else {
        Err(CoverageError::Unknown)
    }
}

fn number(tag: &BytesStart<'_>, name: &str) -> Option<u64> {
    let attribute = tag.try_get_attribute(name).ok()??;
    attribute.value.parse().ok()
}

/// `LF` and `LH` of each file, or its `DA` lines where a tool leaves the sums out.
fn lcov(text: &str) -> Result<Lines, CoverageError> {
    let broken =
        |line: &str| CoverageError::Broken(format!("`{}`", line.chars().take(80).collect::<String>()));
    let (mut all, mut counted) = (Lines::default(), Lines::default());
    let (mut found, mut hit) = (None, None);
    for line in text.lines() {
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        match key.trim() {
            "LF" => found = Some(value.trim().parse().map_err(|_| broken(line))?),
            "LH" => hit = Some(value.trim().parse().map_err(|_| broken(line))?),
            "DA" => {
                let hits = value.split(',').nth(1).ok_or_else(|| broken(line))?;
                counted.count(hits.trim().parse().map_err(|_| broken(line))?);
            }
            "end_of_record" => {
                all += match (found.take(), hit.take()) {
                    (Some(valid), Some(covered)) => Lines { covered, valid },
                    _ => counted,
                };
                counted = Lines::default();
            }
            _ => {}
        }
    }
    Ok(all)
}

fn json(text: &str) -> Result<Lines, CoverageError> {
    let root: Value = serde_json::from_str(text).map_err(|error| CoverageError::Broken(error.to_string()))?;
    let pair = |covered: &str, valid: &str| {
        let number = |pointer: &str| root.pointer(pointer).and_then(Value::as_u64);
        Some(Lines {
            covered: number(covered)?,
            valid: number(valid)?,
        })
    };
    // Istanbul's summary, then coverage.py.
    let sums = pair("/total/lines/covered", "/total/lines/total")
        .or_else(|| pair("/totals/covered_lines", "/totals/num_statements"));
    match (sums, root.as_object()) {
        (Some(lines), _) => Ok(lines),
        (None, Some(files)) if files.values().any(|file| file.get("statementMap").is_some()) => {
            let mut lines = Lines::default();
            for file in files.values() {
                lines += istanbul_file(file);
            }
            Ok(lines)
        }
        _ => Err(CoverageError::Unknown),
    }
}

/// Istanbul counts statements; a line ran if a statement that begins on it ran.
fn istanbul_file(file: &Value) -> Lines {
    let mut by_line: BTreeMap<u64, u64> = BTreeMap::new();
    for (key, place) in file
        .get("statementMap")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let Some(line) = place.pointer("/start/line").and_then(Value::as_u64) else {
            continue;
        };
        let hits = file
            .get("s")
            .and_then(|s| s.get(key))
            .and_then(Value::as_u64)
            .unwrap_or(0);
        let most = by_line.entry(line).or_default();
        *most = hits.max(*most);
    }
    let mut lines = Lines::default();
    by_line.values().for_each(|hits| lines.count(*hits));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match read(text) {
            Ok(lines) => format!("{}/{} {}", lines.covered, lines.valid, lines.hundredths()),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn each_format_is_read() {
        check(
            r#"<?xml version="1.0"?><coverage lines-valid="13" lines-covered="12"/>"#,
            "12/13 9230",
        );
        check(
            r#"<!DOCTYPE coverage SYSTEM "x.dtd"><coverage><classes><class><methods><method><lines><line number="1" hits="1"/></lines></method></methods><lines><line number="1" hits="1"/><line number="2" hits="0"/></lines></class></classes></coverage>"#,
            "1/2 5000",
        );
        check(
            "TN:\nSF:a.ts\nDA:1,1\nLF:3\nLH:2\nend_of_record\nSF:b.ts\nDA:1,0\nDA:2,5\nend_of_record\nSF:e.py\nend_of_record\n",
            "3/5 6000",
        );
        check(
            r#"{"total":{"lines":{"total":6,"covered":3,"pct":50},"branchesTrue":{"total":0,"pct":"Unknown"}}}"#,
            "3/6 5000",
        );
        check(
            r#"{"meta":{},"totals":{"covered_lines":9,"num_statements":10}}"#,
            "9/10 9000",
        );
        check(
            r#"{"/a.ts":{"path":"/a.ts","statementMap":{"0":{"start":{"line":1}},"1":{"start":{"line":1}},"2":{"start":{"line":2}}},"s":{"0":0,"1":2,"2":0}}}"#,
            "1/2 5000",
        );
    }

    #[test]
    fn what_measured_nothing_is_no_coverage() {
        check(
            "",
            "it is no coverage file that is known here (Cobertura, LCOV, Istanbul, coverage.py)",
        );
        check(
            "<html/>",
            "it is no coverage file that is known here (Cobertura, LCOV, Istanbul, coverage.py)",
        );
        check(
            "{}",
            "it is no coverage file that is known here (Cobertura, LCOV, Istanbul, coverage.py)",
        );
        check(
            r#"<coverage lines-valid="0" lines-covered="0"/>"#,
            "it counts no line: nothing was measured",
        );
        check("SF:a\nend_of_record", "it counts no line: nothing was measured");
        check(
            "SF:a\nLF:1\nLH:9\nend_of_record",
            "it cannot be read: more lines ran than there are",
        );
        check("SF:a\nDA:1\n", "it cannot be read: `DA:1`");
        check(
            r#"{"total":{"lines":{"total":0,"covered":0}}}"#,
            "it counts no line: nothing was measured",
        );
    }

    #[test]
    fn what_is_shown_is_never_more_than_what_was_reached() {
        assert_eq!(
            Lines {
                covered: 79_999,
                valid: 100_000
            }
            .hundredths(),
            7999
        );
    }
}
