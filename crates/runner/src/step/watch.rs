//! Watches over a running step: its time, and the job's cancellation, on which its condition is asked again.

use super::{Frame, Work, evaluate_minutes};
use crate::action::ActionError;
use crate::contexts::Contexts;
use crate::job::Job;
use crate::process::Stop;
use crate::program::Left;
use pilotage_workflow::expr::Scope;
use pilotage_workflow::model::{Condition, Step, StepKind};
use pilotage_workflow::sequence::{Decision, Implicit, Status};
use std::time::Duration;
use tokio::time::Instant;

/// Watches over a running step: its time, and the job's cancellation, on which its condition is asked again.
pub(crate) struct Watch<'a> {
    contexts: Contexts,
    condition: Option<&'a Condition>,
    implicit: Implicit,
    status: &'a Status,
    cancel: tokio_util::sync::CancellationToken,
    /// What the step itself listens to.
    pub(crate) stop: Stop,
    timeout: Option<Duration>,
    /// A composite does not stop at a cancellation: each of its steps is asked for itself.
    asks_inside: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        job: &Job,
        frame: &Frame,
        condition: Option<&'a Condition>,
        implicit: Implicit,
        status: &'a Status,
        outer: &Stop,
    ) -> Self {
        Self {
            contexts: frame.contexts.clone(),
            condition,
            implicit,
            status,
            cancel: job.cancel.clone(),
            stop: Stop {
                cancel: outer.cancel.child_token(),
                kill: outer.kill.clone(),
            },
            timeout: None,
            asks_inside: false,
        }
    }

    pub(super) fn with_timeout(mut self, step: &Step, scope: &dyn Scope) -> Result<Self, ActionError> {
        let minutes = evaluate_minutes(step.timeout_minutes.as_ref(), scope);
        self.timeout =
            minutes.map_err(|e| ActionError::failed(format!("cannot use `timeout-minutes`: {e}")))?;
        self.asks_inside =
            matches!(&step.kind, StepKind::Uses { action, .. } if action.value.starts_with("./"));
        Ok(self)
    }

    pub(crate) async fn over(self, work: Work<'_>) -> (Left, Result<(), ActionError>) {
        let mut work = work;
        let deadline = self.timeout.map(|t| Instant::now() + t);
        let mut asked = self.cancel.is_cancelled();
        let mut timed_out = false;
        let (left, result) = loop {
            tokio::select! {
                biased;
                ended = &mut work => break ended,
                () = self.cancel.cancelled(), if !asked => {
                    asked = true;
                    let status = self.status.with_cancelled(true);
                    let goes_on = matches!(
                        status.decide(self.condition, self.implicit, &self.contexts),
                        Decision::Run
                    );
                    if !goes_on && !self.asks_inside {
                        self.stop.cancel.cancel();
                    }
                }
                () = sleep_until(deadline), if deadline.is_some() && !timed_out => {
                    timed_out = true;
                    self.stop.cancel.cancel();
                }
            }
        };
        match (timed_out, result, self.timeout) {
            (true, Err(ActionError::Stopped), Some(timeout)) => {
                let message = format!("The step has timed out after {}.", minutes(timeout));
                (left, Err(ActionError::Failed(message)))
            }
            (_, result, _) => (left, result),
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

/// `5 minutes`, `0.5 minutes`.
pub(crate) fn minutes(time: Duration) -> String {
    let minutes = time.as_secs_f64() / 60.0;
    let text = format!("{minutes:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} minute{}", if text == "1" { "" } else { "s" })
}
