//! A job as it is handed to a runner, and what the runner says of it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All that a runner needs for one attempt of one job. `exec` builds the same for itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobSpec {
    pub run_id: i64,
    pub run_attempt: u32,
    pub job_id: i64,
    /// Shown to people: `test (18, linux)`, `deploy / build`.
    pub name: String,
    /// The file that defines the job (the called one, for a job of a reusable workflow), and its text.
    pub workflow_path: String,
    pub workflow_text: String,
    /// The job's id in that file.
    pub job_key: String,
    /// `github`, `needs`, `strategy`, `matrix`, `inputs` and `vars`, as they were when the job was queued.
    pub contexts: serde_json::Map<String, serde_json::Value>,
    /// By name, with values; filled when the job is leased, never stored with the run.
    pub secrets: BTreeMap<String, String>,
    /// Why this job runs, in words, for the log's first lines.
    #[serde(default)]
    pub reason: String,
}

/// What a runner says while it executes a job, in order. Lines of the log travel apart, as [`LogChunk`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Report {
    /// The steps that are known now (posts are added when they are known), with their numbers from 1.
    Steps {
        steps: Vec<StepName>,
        /// What expressions came to, as soon as it is known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        evaluated: Vec<Evaluated>,
    },
    StepStarted {
        step: u32,
        at_ms: i64,
    },
    StepFinished {
        step: u32,
        outcome: Conclusion,
        conclusion: Conclusion,
        duration_ms: u64,
        /// Of a skipped step: which condition, and the values it saw.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Of a failed step: its first error, in a line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Annotation(Annotation),
    Summary {
        step: u32,
        markdown: String,
    },
    /// The address that the job's `environment.url` came to.
    EnvironmentUrl {
        url: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepName {
    /// From 1, in the order of execution. 1 is the first step of the file; the job's set-up logs as step 0.
    pub step: u32,
    /// The step's id; empty where it has none of its own (pre and post steps).
    pub id: String,
    pub name: String,
}

/// What the expressions of a step that runs came to, or those of its job as step 0. Masked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluated {
    pub step: u32,
    /// The `if` that was met, as it is written; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// What it adds to the environment around it.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// The inputs that it gives its action.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub with: IndexMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    pub step: u32,
    pub level: AnnotationLevel,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_column: Option<u32>,
    /// The line of the log that it was made of, counted over the job from 0; older runners do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_line: Option<u64>,
}

impl Annotation {
    /// An error that belongs to no place in a file.
    #[must_use]
    pub fn error(step: u32, message: String) -> Self {
        Self {
            step,
            level: AnnotationLevel::Error,
            message,
            title: None,
            file: None,
            line: None,
            column: None,
            end_line: None,
            end_column: None,
            log_line: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnnotationLevel {
    Error,
    Warning,
    Notice,
}

/// GitHub's words for how a step, a job or a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    Success,
    Failure,
    Cancelled,
    Skipped,
}

impl Conclusion {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Conclusion::Success => "success",
            Conclusion::Failure => "failure",
            Conclusion::Cancelled => "cancelled",
            Conclusion::Skipped => "skipped",
        }
    }
}

/// How a job ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobResult {
    /// Before the job's `continue-on-error`.
    pub conclusion: Conclusion,
    pub continue_on_error: bool,
    /// Masked outputs are left out, with a warning in the log.
    pub outputs: IndexMap<String, String>,
    /// The first error, in a line, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Totals of the log, so that the receiver knows whether it has all of it.
    pub log_lines: u64,
    pub log_bytes: u64,
}

/// Some whole lines of one step's log, masked. Lines are counted over the job, without a gap, from 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogChunk {
    pub step: u32,
    pub first_line: u64,
    /// When the first of them was written, in milliseconds since 1970.
    pub at_ms: i64,
    /// Lines, each ended by `\n`. A line may hold any text but `\n`; bytes that are no UTF-8 were replaced.
    pub text: String,
}
