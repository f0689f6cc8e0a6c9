//! What scanners report, in one form: findings with a severity and a place.
//!
//! Reads SARIF 2.1.0 and the own JSON of bandit, semgrep, pip-audit, detect-secrets, Trivy and npm. Decides nothing
//! about a gate but one thing: a report of a scan that failed or that scanned nothing is an error, never an empty list
//! of findings. Never fetches what a report points at.

mod sarif;
mod tool;

use serde_json::Value;

/// How much of a report is read, in findings; more are an error, since nobody would have read them.
pub const FINDINGS_MAX: usize = 25_000;

/// How bad a finding is. The order is the gate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Note,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Severity; 5] = [
        Severity::Note,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// One of our words, in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.word().eq_ignore_ascii_case(word))
    }

    /// Of a CVSS score, as GitHub's code scanning draws the lines.
    fn of_score(score: f64) -> Self {
        match score {
            s if s >= 9.0 => Severity::Critical,
            s if s >= 7.0 => Severity::High,
            s if s >= 4.0 => Severity::Medium,
            s if s > 0.0 => Severity::Low,
            _ => Severity::Note,
        }
    }
}

/// One thing that a scanner found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub rule: String,
    pub severity: Severity,
    pub message: String,
    /// Where, if it says: a path as the tool wrote it, and a line from 1.
    pub path: Option<String>,
    pub line: Option<u32>,
}

/// One run of one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    pub tool: String,
    pub findings: Vec<Finding>,
    /// Findings that somebody put aside in the source; they do not count.
    pub suppressed: usize,
    /// What was looked at, in the tool's own unit (`3 files`); none where the report does not say.
    pub scanned: Option<String>,
}

/// Why a report cannot be taken for a scan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    #[error("it is no JSON: {0}")]
    Json(String),
    #[error(
        "it is of no tool that is known here (SARIF 2.1.0, or the JSON of bandit, semgrep, pip-audit, detect-secrets, Trivy, npm audit)"
    )]
    Unknown,
    #[error("it is SARIF of version {0}; 2.1.0 is read")]
    Version(String),
    #[error("it scanned nothing: {0}")]
    Nothing(String),
    #[error("the scan failed: {0}")]
    Failed(String),
    #[error("it has more than {FINDINGS_MAX} findings")]
    TooMany,
}

/// Reads a report; the tool is found by the report's own form.
pub fn read(text: &str) -> Result<Vec<Scan>, ScanError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(ScanError::Nothing("the file is empty".to_owned()));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| ScanError::Json(error.to_string()))?;
    let scans = if value.get("runs").is_some() || value.get("$schema").is_some() {
        sarif::read(&value)?
    } else {
        vec![tool::read(&value)?]
    };
    if scans.iter().map(|scan| scan.findings.len()).sum::<usize>() > FINDINGS_MAX {
        return Err(ScanError::TooMany);
    }
    Ok(scans)
}

/// A member that is text.
fn text(value: &Value, name: &str) -> String {
    value
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// `1 file`, `3 files`.
fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A member that is a list; empty where there is none.
fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn line(value: Option<&Value>) -> Option<u32> {
    value.and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok())
}

#[cfg(test)]
mod tests;
