//! States, as people see them: a shape, a word and a colour each, the same on every page.
//!
//! Colour is never the only sign: the word always stands beside the shape, or in the accessible name.

use crate::icon::{Icon, coloured};
use maud::{Markup, html};

/// How something stands: a step, a job, a run, a deployment, a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Passed,
    Failed,
    Running,
    Queued,
    /// For a person.
    Waiting,
    Cancelled,
    Skipped,
    TimedOut,
    /// A fault of the platform, such as a lost runner.
    Fault,
    Live,
    /// Live, and too few requests came to judge it.
    Unproven,
    RolledBack,
    Aborted,
    /// The platform cannot go on without a person.
    NeedsAttention,
    Locked,
}

impl Status {
    /// Of a run, a job or a step, from GitHub's words: a conclusion where there is one, a status otherwise.
    #[must_use]
    pub fn of_run(status: &str, conclusion: Option<&str>) -> Self {
        match conclusion.unwrap_or(status) {
            "success" => Status::Passed,
            "failure" | "startup_failure" => Status::Failed,
            "cancelled" => Status::Cancelled,
            "skipped" | "neutral" => Status::Skipped,
            "timed_out" => Status::TimedOut,
            "runner_lost" | "stale" => Status::Fault,
            "in_progress" => Status::Running,
            "waiting" | "action_required" => Status::Waiting,
            _ => Status::Queued,
        }
    }

    /// Of a deployment, from the engine's state (`rolled-back`); `proven` says whether the guard saw enough.
    #[must_use]
    pub fn of_deployment(state: &str, proven: bool) -> Self {
        match state {
            "live" if proven => Status::Live,
            "live" => Status::Unproven,
            "queued" => Status::Queued,
            "waiting" => Status::Waiting,
            "rolled-back" => Status::RolledBack,
            "aborted" => Status::Aborted,
            "needs-attention" => Status::NeedsAttention,
            _ => Status::Running,
        }
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Status::Passed => "passed",
            Status::Failed => "failed",
            Status::Running => "running",
            Status::Queued => "queued",
            Status::Waiting => "waits",
            Status::Cancelled => "cancelled",
            Status::Skipped => "skipped",
            Status::TimedOut => "timed out",
            Status::Fault => "runner lost",
            Status::Live => "live",
            Status::Unproven => "live, not proven",
            Status::RolledBack => "rolled back",
            Status::Aborted => "aborted",
            Status::NeedsAttention => "needs attention",
            Status::Locked => "locked",
        }
    }

    /// The class of its colour.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Status::Passed | Status::Live => "ok",
            Status::Failed | Status::TimedOut | Status::NeedsAttention => "bad",
            Status::Running => "run",
            Status::Waiting => "wait",
            Status::RolledBack | Status::Fault => "infra",
            Status::Queued | Status::Cancelled | Status::Skipped | Status::Aborted => "q",
            Status::Unproven | Status::Locked => "q",
        }
    }

    #[must_use]
    pub fn shape(self) -> Icon {
        match self {
            Status::Passed | Status::Live => Icon::Ok,
            Status::Failed | Status::TimedOut | Status::NeedsAttention => Icon::Bad,
            Status::Running => Icon::Run,
            Status::Queued => Icon::Queued,
            Status::Waiting => Icon::Wait,
            Status::Cancelled | Status::Aborted => Icon::Cancelled,
            Status::Skipped => Icon::Skip,
            Status::Fault => Icon::Infra,
            Status::Unproven => Icon::OkQuiet,
            Status::RolledBack => Icon::Back,
            Status::Locked => Icon::Lock,
        }
    }

    /// The shape in its colour, without the word: say the word beside it.
    #[must_use]
    pub fn icon(self) -> Markup {
        let turning = if self == Status::Running { " spin" } else { "" };
        coloured(self.shape(), &format!("{}{turning}", self.class()))
    }

    /// Shape and word.
    #[must_use]
    pub fn mark(self) -> Markup {
        self.mark_as(self.word())
    }

    /// Shape, and a word of the page's own: `shifting`, `healthy`.
    #[must_use]
    pub fn mark_as(self, word: &str) -> Markup {
        html! { span class={ "st " (self.class()) } { (self.icon()) (word) } }
    }
}
