//! `/api/v1`: what people's programs ask of the server. JSON, with `Authorization: Bearer TOKEN`.
//!
//! Every refusal is a [`Problem`]. Times are milliseconds since 1970. What is not yours to see is not there (404).
//!
//! | call | scope | body → answer |
//! |---|---|---|
//! | `GET  projects`, `POST projects` | read; admin | [`NewProject`] → [`Project`] |
//! | `GET  projects/O/N` | read | [`Project`] |
//! | `GET  projects/O/N/workflows` | read | list of [`Workflow`] |
//! | `GET  projects/O/N/workflows/W?ref` | read | [`WorkflowDetail`]; `W` is an id, or a file's name |
//! | `PUT  projects/O/N/workflows/W/enabled` | write | [`Enabled`] → 204 |
//! | `POST projects/O/N/workflows/W/dispatches` | write | [`Dispatch`] → 201 [`Run`] |
//! | `GET  runs?…` ([`RunQuery`]) | read | list of [`Run`], the newest first |
//! | `GET  runs/R?attempt` | read | [`RunDetail`] |
//! | `POST runs/R/rerun`, `POST runs/R/cancel` | write | [`Rerun`], [`Cancel`] → [`Run`] |
//! | `DELETE runs/R` | write | 204; only of a run that is over |
//! | `POST runs/R/approvals` | deploy | [`Approve`] → 204 |
//! | `GET  runs/R/events?attempt` | read | server-sent events, each a [`RunEvent`]; ends with the run |
//! | `GET  jobs/J/log?…` ([`LogQuery`]) | read | `text/plain`; [`NEXT_LINE`] says where to go on, but on a follow |
//! | `GET  runs/R/artifacts`, `GET artifacts/A/content` | read | list of [`Artifact`]; a ZIP |
//! | `GET  projects/O/N/caches`, `DELETE projects/O/N/caches/C` | read; write | list of [`Cache`] |
//! | `GET  projects/O/N/secrets?environment`, `PUT`, `DELETE …/secrets/NAME` | read; secrets | list of [`Secret`]; [`SetValue`] |
//! | `GET  projects/O/N/variables?environment`, `PUT`, `DELETE …/variables/NAME` | read; secrets | list of [`Variable`]; [`SetValue`] |
//! | `GET  projects/O/N/environments`, `…/environments/E` | read | [`Environment`] |
//! | `PUT  projects/O/N/environments/E/rules` | secrets | [`Rules`] → [`Environment`] |
//! | `PUT`, `DELETE projects/O/N/environments/E/lock` | deploy | [`Lock`] → 204 |
//! | `GET  runners`, `PUT runners/NAME/drain` | read; admin | list of [`Runner`]; [`Drain`] |
//! | `GET  tokens`, `POST tokens`, `DELETE tokens/T` | admin | list of [`Token`]; [`NewToken`] → [`CreatedToken`] |
//! | `GET  audit?after&limit`, `GET audit/verify`, `GET audit/export` | admin | list of [`AuditEntry`]; [`AuditProof`]; one entry a line |
//! | `GET  status?project` | read | [`Status`] |
//! | `GET  doctor` | read | list of [`Fact`] |

use crate::runner::{AnnotationLevel, Conclusion};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The prefix of every path here.
pub const PREFIX: &str = "/api/v1";
/// The header of a log's answer that says which line comes next.
pub const NEXT_LINE: &str = "x-pilotage-next-line";

/// A refusal, as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What was refused and why, as a lowercase fragment.
    pub detail: String,
    /// What to do next, where we know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Of a workflow that cannot run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

/// A fault in a file, as `pilotage lint --format json` gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub code: String,
    /// `error`, `warning` or `notice`.
    pub severity: String,
    pub message: String,
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewProject {
    pub owner: String,
    pub name: String,
    /// `main` unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    pub id: i64,
    pub owner: String,
    pub name: String,
    pub default_branch: String,
    pub git_url: String,
    pub created_at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    pub id: i64,
    /// `.github/workflows/ci.yml`.
    pub path: String,
    pub name: String,
    pub enabled: bool,
    /// How many runs it had.
    pub runs: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowDetail {
    pub workflow: Workflow,
    /// Where the file was read: a ref and its commit.
    pub r#ref: String,
    pub sha: String,
    pub text: String,
    /// The events that start it.
    pub events: Vec<String>,
    /// Of `workflow_dispatch`.
    pub inputs: Vec<DispatchInput>,
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DispatchInput {
    pub name: String,
    /// `string`, `boolean`, `number`, `choice` or `environment`.
    pub kind: String,
    pub description: String,
    pub required: bool,
    pub default: Option<serde_json::Value>,
    pub options: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enabled {
    pub enabled: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    /// A branch or tag, short or whole; none is the default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#ref: Option<String>,
    #[serde(default)]
    pub inputs: IndexMap<String, serde_json::Value>,
}

/// Which runs to list. What is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunQuery {
    /// `owner/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// An id, or a file's name; needs `project`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// A status or a conclusion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Only runs with a smaller id: the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// 20 unless told otherwise, 100 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: i64,
    /// `owner/name`.
    pub project: String,
    pub workflow: i64,
    pub workflow_path: String,
    pub workflow_name: String,
    /// Of its workflow, from 1.
    pub number: i64,
    /// The latest, from 1.
    pub attempt: u32,
    pub event: String,
    /// `refs/heads/main`.
    pub r#ref: String,
    pub sha: String,
    pub title: String,
    pub actor: String,
    /// `pending`, `queued`, `in_progress` or `completed`.
    pub status: String,
    pub conclusion: Option<Conclusion>,
    /// Why it waits, or by whom it was cancelled; empty where there is nothing to say.
    pub why: String,
    pub created_at: i64,
    /// Of the latest attempt.
    pub started_at: i64,
    pub ended_at: Option<i64>,
    /// Where a person finds it.
    pub url: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunDetail {
    pub run: Run,
    /// The attempt that `jobs` shows.
    pub attempt: u32,
    /// How that attempt ended; none while it runs.
    #[serde(default)]
    pub conclusion: Option<Conclusion>,
    pub jobs: Vec<Job>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: i64,
    /// The attempt in which it ran; an older one where it was not run again.
    pub attempt: u32,
    /// Its id in the workflow's file.
    pub key: String,
    pub name: String,
    /// The ids of the jobs that it needs directly.
    pub needs: Vec<i64>,
    /// `waiting`, `pending`, `queued`, `in_progress` or `completed`.
    pub status: String,
    pub conclusion: Option<Conclusion>,
    /// For what it waits, or why it was skipped or cancelled; empty where there is nothing to say.
    pub why: String,
    /// The first error of a failed job, in a line; empty for none.
    pub error: String,
    pub environment: String,
    pub environment_url: String,
    pub runner: String,
    pub outputs: IndexMap<String, String>,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub ended_at: Option<i64>,
    /// Of its log, so far.
    pub log_lines: u64,
    /// Lines (from, up to and not with) that never came; none when the log is whole.
    pub log_missing: Option<(u64, u64)>,
    pub steps: Vec<Step>,
    pub annotations: Vec<crate::runner::Annotation>,
    pub summaries: Vec<Summary>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub step: u32,
    /// The step's id in its file; empty where it has none.
    pub id: String,
    pub name: String,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    pub outcome: Option<Conclusion>,
    pub conclusion: Option<Conclusion>,
    pub started_at: Option<i64>,
    pub duration_ms: Option<u64>,
    /// Why it was skipped; empty where there is nothing to say.
    pub why: String,
    pub error: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub step: u32,
    pub markdown: String,
}

/// Which jobs run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "which", rename_all = "kebab-case")]
pub enum Rerun {
    All,
    Failed,
    Job { job: i64 },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Does not wait for jobs that would still run (`always()`).
    #[serde(default)]
    pub force: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approve {
    pub environment: String,
    /// The commit that was looked at; the run's, or the approval is refused.
    pub sha: String,
    pub approved: bool,
    #[serde(default)]
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// The first line wanted, counted over the job from 0.
    #[serde(default)]
    pub from: u64,
    /// Goes on until the job's log has ended. Otherwise the answer may end before the log does.
    #[serde(default)]
    pub follow: bool,
    /// Puts the time and the step before each line, apart by a tab each: `1764036000123\t2\ttext`.
    #[serde(default)]
    pub times: bool,
}

/// What happened in a run, in the words of `exec --json`, with the job's id beside its name. An object's place in
/// the stream follows its own job; streams that begin again begin at the start of the attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RunEvent {
    /// Where all stands: first of all, and after each change of a run or a job. Without steps, logs and summaries.
    State { run: Box<Run>, jobs: Vec<Job> },
    /// A step has begun. (In `exec --json` nothing says this.)
    StepStarted {
        job: String,
        job_id: i64,
        step: u32,
        name: String,
        at: i64,
    },
    /// A line, masked; `line` counts over the job, from 0.
    Log {
        job: String,
        job_id: i64,
        step: u32,
        name: String,
        text: String,
        line: u64,
    },
    Annotation {
        job: String,
        job_id: i64,
        step: u32,
        level: AnnotationLevel,
        message: String,
        title: Option<String>,
        file: Option<String>,
        line: Option<u32>,
        column: Option<u32>,
        end_line: Option<u32>,
        end_column: Option<u32>,
        /// The line of the log that it was made of, counted as in `Log`.
        #[serde(default)]
        log_line: Option<u64>,
    },
    Summary {
        job: String,
        job_id: i64,
        step: u32,
        markdown: String,
    },
    Step {
        job: String,
        job_id: i64,
        step: u32,
        id: String,
        name: String,
        outcome: Option<Conclusion>,
        conclusion: Option<Conclusion>,
        duration_ms: u64,
        /// Why it was skipped.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        error: String,
    },
    Job {
        job: String,
        job_id: i64,
        id: String,
        name: String,
        conclusion: Conclusion,
        outputs: IndexMap<String, String>,
        duration_ms: u64,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        error: String,
    },
    /// The last one.
    Run {
        conclusion: Conclusion,
        duration_ms: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    pub id: i64,
    pub run: i64,
    pub name: String,
    pub size_bytes: u64,
    /// `sha256:…`
    pub digest: String,
    pub created_at: i64,
    pub expires_at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    pub id: i64,
    /// The ref that wrote it.
    pub r#ref: String,
    pub key: String,
    pub version: String,
    pub size_bytes: u64,
    pub created_at: i64,
    pub used_at: i64,
}

/// A secret as it is listed: never with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub name: String,
    /// Empty for the whole project.
    pub environment: String,
    pub updated_at: i64,
    /// The last time that something was given it; none where that was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<SecretUse>,
}

/// What was given a secret: a job of a run, a deployment, or (neither) a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretUse {
    pub at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    pub value: String,
    /// Empty for the whole project.
    pub environment: String,
    pub updated_at: i64,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetValue {
    pub value: String,
    /// None for the whole project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

impl std::fmt::Debug for SetValue {
    /// Without the value: it may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetValue")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// What the server demands of an environment, whatever a project's files say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rules {
    /// Patterns of branches that may come here; empty for all.
    #[serde(default)]
    pub branches: Vec<String>,
    /// Patterns of tags that may come here; with `branches`, either will do.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Names of tokens whose holders may approve; empty for nobody has to.
    #[serde(default)]
    pub reviewers: Vec<String>,
    /// How many of the reviewers must approve; 0 counts as 1.
    #[serde(default)]
    pub approvals: u32,
    /// Who started a run may approve it too.
    #[serde(default)]
    pub self_approval: bool,
    /// How long a run waits before it goes on by itself, in seconds.
    #[serde(default)]
    pub wait_timer_s: u64,
    /// Deployments need a guard, whatever `pilotage.yml` says.
    #[serde(default)]
    pub guard_required: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub name: String,
    pub rules: Rules,
    /// Who set the rules, and when; empty and 0 for nobody yet.
    pub rules_by: String,
    pub rules_at: i64,
    /// Who holds it; empty for nobody.
    pub locked_by: String,
    pub lock_reason: String,
    /// When the lock goes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<i64>,
    /// What waits for a person.
    pub waiting: Vec<Waiting>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub run: i64,
    pub job: i64,
    pub job_name: String,
    pub sha: String,
    pub why: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    #[serde(default)]
    pub reason: String,
    /// It goes by itself after so many minutes; 0 for one that somebody has to take away.
    #[serde(default)]
    pub minutes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    pub id: i64,
    pub name: String,
    pub labels: Vec<String>,
    pub slots: u32,
    pub busy: u32,
    /// Whether it asked for work, or renewed a lease, lately.
    pub online: bool,
    pub drain: bool,
    pub version: String,
    pub registered_at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub drain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// The name of its holder, as the audit log and approvals show it.
    pub name: String,
    /// `person` or `runner`.
    pub kind: String,
    /// Of a person's: `admin`, `read`, `write`, `deploy`, `secrets`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// `owner/name`: good for that one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// None for a token without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: i64,
    pub name: String,
    pub kind: String,
    pub scopes: Vec<String>,
    pub project: Option<String>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked: bool,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct CreatedToken {
    pub id: i64,
    /// Shown this once.
    pub token: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub seq: i64,
    pub at: i64,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: serde_json::Value,
    pub hash: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditProof {
    pub holds: bool,
    /// How many entries were checked.
    pub entries: i64,
    /// The last one's hash, to be kept elsewhere.
    pub head: String,
    /// Where it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub started_at: i64,
    pub projects: Vec<ProjectStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectStatus {
    pub project: String,
    pub running: u32,
    pub queued: u32,
    /// Why runs wait, each reason once: `waits for a runner with ubuntu-latest`.
    pub waiting_for: Vec<String>,
    /// The newest run of a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_push: Option<Run>,
    /// Its first failed job's name.
    #[serde(default)]
    pub last_push_failed: String,
    pub environments: Vec<EnvironmentStatus>,
}

/// An environment in a line. Filled by deployments; empty words where there was none yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentStatus {
    pub name: String,
    pub state: String,
    pub sha: String,
    pub since: i64,
    pub services: Vec<String>,
    pub note: String,
}

/// What `pilotage doctor` finds on the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    pub name: String,
    pub ok: bool,
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}
