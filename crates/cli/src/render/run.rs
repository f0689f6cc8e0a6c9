//! A run as it is shown while it goes on: what is known of each job, from the stream of its events.

use pilotage_api::rest::{Job, Run, RunEvent};
use pilotage_api::runner::Conclusion;
use std::collections::{BTreeMap, VecDeque};

/// Lines of a log that are kept to be shown again.
const TAIL: usize = 200;

#[derive(Default)]
pub(crate) struct RunModel {
    pub(crate) run: Option<Box<Run>>,
    /// In the order of the file.
    pub(crate) jobs: Vec<Job>,
    pub(crate) progress: BTreeMap<i64, Progress>,
    pub(crate) ended: Option<(Conclusion, u64)>,
}

/// Where a job stands.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) step: u32,
    pub(crate) step_name: String,
    pub(crate) lines: u64,
    /// (step, line, text)
    pub(crate) tail: VecDeque<(u32, u64, String)>,
    /// The first step that failed: number, name, error; and what its log said around the error.
    pub(crate) failed: Option<(u32, String, String)>,
    pub(crate) failed_lines: Vec<(u64, String)>,
}

impl RunModel {
    pub(crate) fn take(&mut self, event: &RunEvent) {
        match event {
            RunEvent::State { run, jobs } => {
                self.run = Some(run.clone());
                self.jobs.clone_from(jobs);
            }
            RunEvent::StepStarted {
                job_id, step, name, ..
            } => {
                let progress = self.progress.entry(*job_id).or_default();
                progress.step = *step;
                progress.step_name.clone_from(name);
                progress.lines = 0;
            }
            RunEvent::Log {
                job_id,
                step,
                text,
                line,
                ..
            } => {
                let progress = self.progress.entry(*job_id).or_default();
                progress.lines += 1;
                if progress.tail.len() == TAIL {
                    progress.tail.pop_front();
                }
                progress.tail.push_back((*step, *line, text.clone()));
            }
            RunEvent::Step {
                job_id,
                step,
                name,
                conclusion,
                error,
                ..
            } => {
                let progress = self.progress.entry(*job_id).or_default();
                if *conclusion == Some(Conclusion::Failure) && progress.failed.is_none() {
                    progress.failed = Some((*step, name.clone(), error.clone()));
                    progress.failed_lines = error_lines(&progress.tail, *step);
                }
            }
            RunEvent::Run {
                conclusion,
                duration_ms,
            } => self.ended = Some((*conclusion, *duration_ms)),
            RunEvent::Annotation { .. } | RunEvent::Summary { .. } | RunEvent::Job { .. } => {}
        }
    }

    pub(crate) fn count(&self, conclusion: Conclusion) -> usize {
        self.jobs
            .iter()
            .filter(|job| job.conclusion == Some(conclusion))
            .count()
    }
}

/// The lines of a failed step that say why: from its first error on, else its last ten.
fn error_lines(tail: &VecDeque<(u32, u64, String)>, step: u32) -> Vec<(u64, String)> {
    let frame = |text: &str| {
        text.starts_with("##[group]") || text.starts_with("##[endgroup]") || text.starts_with("shell: ")
    };
    let said = |(s, _, text): &&(u32, u64, String)| *s == step && !frame(text);
    let lines: Vec<&(u32, u64, String)> = tail.iter().filter(said).collect();
    let is_error =
        |text: &str| text.contains("##[error]") || text.contains("Error") || text.contains("error:");
    let first = lines.iter().position(|(_, _, text)| is_error(text));
    let start = first.map_or(lines.len().saturating_sub(10), |first| {
        first.saturating_sub(2).max(lines.len().saturating_sub(40))
    });
    lines[start..]
        .iter()
        .take(10)
        .map(|(_, line, text)| (*line, text.clone()))
        .collect()
}
