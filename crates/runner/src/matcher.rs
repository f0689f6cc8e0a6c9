//! Problem matchers: patterns that make annotations of what compilers and linters print.
//!
//! Owns the JSON form, its checks, and the matching of lines, as `IssueMatcher.cs` of GitHub's runner does it.
//! Pure: reading the file is the job's part. Regular expressions run in linear time; a pattern that needs more
//! (look-around, back-references) is refused by name.

mod pattern;

use pattern::Pattern;
use pilotage_api::runner::{Annotation, AnnotationLevel};
use regex::{Captures, Regex};
use serde::Deserialize;
use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

/// Of a file with matchers, in bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Matchers of one job.
pub const MATCHERS_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    #[error("it is no JSON of problem matchers: {reason}")]
    Form { reason: String },
    #[error("the problem matcher `{owner}` {reason}")]
    Matcher { owner: String, reason: String },
    #[error("there are more than {MATCHERS_MAX} problem matchers")]
    TooMany,
}

/// The matchers of a job. Those added last are asked first.
#[derive(Debug, Default)]
pub struct Matchers {
    matchers: Vec<Matcher>,
}

/// A line that a matcher took.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub annotation: Annotation,
    /// The line without colours, as the log shows it, with `##[error]` or another level in front.
    pub print: String,
}

impl Matchers {
    /// Adds those of a file's text; one of an owner that is there already takes its place. Gives the owners.
    pub fn add(&mut self, text: &str) -> Result<Vec<String>, MatcherError> {
        let added = parse(text)?;
        let owners: Vec<String> = added.iter().map(|m| m.owner.clone()).collect();
        let kept = self
            .matchers
            .drain(..)
            .filter(|m| !owners.iter().any(|o| o.eq_ignore_ascii_case(&m.owner)));
        let all: Vec<Matcher> = added.into_iter().chain(kept).collect();
        let fits = all.len() <= MATCHERS_MAX;
        self.matchers = all.into_iter().take(MATCHERS_MAX).collect();
        if fits {
            Ok(owners)
        } else {
            Err(MatcherError::TooMany)
        }
    }

    /// Removes the matcher of that owner.
    pub fn remove(&mut self, owner: &str) {
        self.matchers.retain(|m| !m.owner.eq_ignore_ascii_case(owner));
    }

    /// Removes the matchers that a file's text holds.
    pub fn remove_all_of(&mut self, text: &str) -> Result<(), MatcherError> {
        for matcher in parse(text)? {
            self.remove(&matcher.owner);
        }
        Ok(())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.matchers.is_empty()
    }

    /// Takes the next line of a step's output. Files are shown relative to the workspace, where they lie in it.
    pub fn line(&mut self, step: u32, line: &str, workspace: &Path) -> Option<Problem> {
        if self.matchers.is_empty() {
            return None;
        }
        let plain = without_colours(line);
        let (index, found) = self
            .matchers
            .iter_mut()
            .enumerate()
            .find_map(|(i, m)| Some((i, m.line(&plain)?)))?;
        for (other, matcher) in self.matchers.iter_mut().enumerate() {
            if other != index {
                matcher.running.fill(None);
            }
        }
        // GitHub passes over severities that it does not know.
        let level = level(found.severity.as_deref())?;
        let annotation = found.annotation(step, level, workspace);
        let word = match level {
            AnnotationLevel::Error => "error",
            AnnotationLevel::Warning => "warning",
            AnnotationLevel::Notice => "notice",
        };
        Some(Problem {
            annotation,
            print: format!("##[{word}]{plain}"),
        })
    }
}

#[derive(Debug)]
struct Matcher {
    owner: String,
    severity: Option<String>,
    patterns: Vec<Pattern>,
    /// What the patterns before the last have found, while the lines that follow go on matching.
    running: Vec<Option<Found>>,
}

/// What groups of patterns gave so far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    file: Option<String>,
    from_path: Option<String>,
    line: Option<String>,
    column: Option<String>,
    severity: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

impl Matcher {
    fn line(&mut self, line: &str) -> Option<Found> {
        let last = self.patterns.len() - 1;
        // From the last to the first, so that a line counts for one place in the sequence only.
        for index in (0..=last).rev() {
            let before = match index.checked_sub(1) {
                None => Some(Found {
                    severity: self.severity.clone(),
                    ..Found::default()
                }),
                Some(before) => self.running.get(before).cloned().flatten(),
            };
            let (Some(before), Some(pattern)) = (before, self.patterns.get(index)) else {
                continue;
            };
            let found = pattern
                .regex
                .captures(line)
                .map(|captures| before.clone().with(pattern, &captures));
            if index < last {
                self.running[index] = found;
                continue;
            }
            match found {
                Some(found) => {
                    let loops = pattern.loops;
                    self.running.fill(None);
                    if loops && index > 0 {
                        self.running[index - 1] = Some(before);
                    }
                    return Some(found);
                }
                None if index > 0 => self.running[index - 1] = None,
                None => {}
            }
        }
        None
    }
}

impl Found {
    /// What this pattern's groups say; the rest stays.
    fn with(mut self, pattern: &Pattern, captures: &Captures<'_>) -> Self {
        let take = |group: Option<usize>, field: &mut Option<String>| {
            if let Some(group) = group {
                let text = captures.get(group).map(|m| m.as_str()).filter(|t| !t.is_empty());
                if text.is_some() {
                    *field = text.map(str::to_owned);
                }
            }
        };
        take(pattern.file, &mut self.file);
        take(pattern.from_path, &mut self.from_path);
        take(pattern.line, &mut self.line);
        take(pattern.column, &mut self.column);
        take(pattern.severity, &mut self.severity);
        take(pattern.code, &mut self.code);
        take(pattern.message, &mut self.message);
        self
    }

    fn annotation(self, step: u32, level: AnnotationLevel, workspace: &Path) -> Annotation {
        let number = |text: &Option<String>| text.as_deref().and_then(|t| t.trim().parse().ok());
        let line = number(&self.line);
        Annotation {
            step,
            level,
            message: self
                .message
                .unwrap_or_default()
                .chars()
                .take(crate::command::ANNOTATION_CHARS_MAX)
                .collect(),
            title: None,
            file: self
                .file
                .map(|file| relative(&file, self.from_path.as_deref(), workspace)),
            line,
            column: number(&self.column).filter(|_| line.is_some()),
            end_line: None,
            end_column: None,
            log_line: None,
        }
    }
}

/// `None` for a severity that there is not.
fn level(severity: Option<&str>) -> Option<AnnotationLevel> {
    match severity.unwrap_or("error").to_ascii_lowercase().as_str() {
        "" | "error" => Some(AnnotationLevel::Error),
        "warning" => Some(AnnotationLevel::Warning),
        "notice" => Some(AnnotationLevel::Notice),
        _ => None,
    }
}

/// The file relative to the workspace. It is given relative to the directory of `from_path`, a project file, where
/// there is one. One outside of the workspace stays as it is.
fn relative(file: &str, from_path: Option<&str>, workspace: &Path) -> String {
    let base = from_path
        .and_then(|p| Path::new(p).parent())
        .map_or(workspace.to_owned(), |p| workspace.join(p));
    let mut full = PathBuf::new();
    for component in base.join(file).components() {
        match component {
            Component::ParentDir => drop(full.pop()),
            Component::CurDir => {}
            other => full.push(other),
        }
    }
    full.strip_prefix(workspace)
        .map_or_else(|_| file.to_owned(), |p| p.to_string_lossy().into_owned())
}

/// ANSI's control sequences, which tools print around names and numbers.
fn without_colours(line: &str) -> Cow<'_, str> {
    static SEQUENCE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?:\x{9B}|\x1B\[)[0-?]*[ -/]*[@-~]").ok());
    match &*SEQUENCE {
        Some(sequence) if line.contains(['\u{1b}', '\u{9b}']) => sequence.replace_all(line, ""),
        _ => Cow::Borrowed(line),
    }
}

/// The file's form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileForm {
    problem_matcher: Vec<MatcherForm>,
}

#[derive(Deserialize)]
struct MatcherForm {
    #[serde(default)]
    owner: String,
    severity: Option<String>,
    #[serde(default)]
    pattern: Vec<pattern::PatternForm>,
}

fn parse(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let form: FileForm = serde_json::from_str(text).map_err(|e| MatcherError::Form {
        reason: e.to_string(),
    })?;
    let mut matchers: Vec<Matcher> = Vec::new();
    for matcher in form.problem_matcher {
        let owner = matcher.owner.clone();
        let fault = |reason: String| MatcherError::Matcher {
            owner: owner.clone(),
            reason,
        };
        if owner.is_empty() {
            return Err(MatcherError::Form {
                reason: "a matcher has no `owner`".to_owned(),
            });
        }
        if matchers.iter().any(|m| m.owner.eq_ignore_ascii_case(&owner)) {
            return Err(fault("is there twice".to_owned()));
        }
        let patterns = pattern::all(&matcher.pattern).map_err(fault)?;
        let running = vec![None; patterns.len() - 1];
        matchers.push(Matcher {
            owner,
            severity: matcher.severity,
            patterns,
            running,
        });
    }
    Ok(matchers)
}

#[cfg(test)]
mod tests;
