//! How long a job may take: its time, and the time that is left after a cancellation.

use super::Job;
use crate::process::Stop;
use crate::step::{self, Frame};
use pilotage_workflow::model::StepsJob;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// GitHub's default of `timeout-minutes`.
const TIMEOUT: Duration = Duration::from_secs(360 * 60);

/// GitHub's default of `cancel-timeout-minutes`: what may still run after a cancellation ends then.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How long a job may take.
pub(super) struct Limits {
    pub(super) timeout: Duration,
    cancel_timeout: Duration,
}

/// Lets time pass: cancels the job when its time is over, and ends it when its cancellation takes too long.
pub(super) struct JobWatch {
    pub(super) stop: Stop,
    timed_out: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Limits {
    pub(super) fn new(job: &StepsJob, frame: &Frame) -> Result<Self, String> {
        let read = |tree, key: &str, default| match step::evaluate_minutes(tree, &frame.contexts) {
            Ok(time) => Ok(time.unwrap_or(default)),
            Err(e) => Err(format!("cannot use the job's `{key}`: {e}")),
        };
        Ok(Self {
            timeout: read(job.timeout_minutes.as_ref(), "timeout-minutes", TIMEOUT)?,
            cancel_timeout: read(
                job.cancel_timeout_minutes.as_ref(),
                "cancel-timeout-minutes",
                CANCEL_TIMEOUT,
            )?,
        })
    }

    pub(super) fn watch(&self, job: &Job) -> JobWatch {
        let stop = Stop::default();
        let timed_out = CancellationToken::new();
        let (cancel, kill) = (job.cancel.clone(), stop.kill.clone());
        let (mark, timeout, cancel_timeout) = (timed_out.clone(), self.timeout, self.cancel_timeout);
        let task = tokio::spawn(async move {
            if tokio::time::timeout(timeout, cancel.cancelled()).await.is_err() {
                mark.cancel();
                cancel.cancel();
            }
            tokio::time::sleep(cancel_timeout).await;
            kill.cancel();
        });
        JobWatch {
            stop,
            timed_out,
            task,
        }
    }
}

impl JobWatch {
    pub(super) fn timed_out(&self) -> bool {
        self.timed_out.is_cancelled()
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
