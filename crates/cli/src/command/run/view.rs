//! `pilotage run view`: a run and its jobs, or their logs.

use crate::error::{CommandError, CommandResult};
use crate::render::page::{Page, json, result};
use crate::render::style::{Style, fit};
use crate::render::{run_page, text};
use crate::session::Session;
use clap::Args;
use pilotage_api::client::ClientError;
use pilotage_api::rest::{Job, LogQuery, RunDetail};
use pilotage_api::runner::Conclusion;
use std::process::ExitCode;

/// Show a run: its jobs, their first errors, or their logs.
#[derive(Args)]
pub(crate) struct View {
    run: i64,
    /// Of this attempt; of the latest unless told otherwise.
    #[arg(short, long, value_name = "N")]
    attempt: Option<u32>,
    /// Only this job: its id, or its name.
    #[arg(short, long, value_name = "JOB")]
    job: Option<String>,
    /// Print the log.
    #[arg(long)]
    log: bool,
    /// Print the log of the steps that failed.
    #[arg(long, conflicts_with = "log")]
    log_failed: bool,
    /// Print logs as they were written, with all that they do to a terminal.
    #[arg(long)]
    raw: bool,
    /// Exit with 1 when the run failed.
    #[arg(long)]
    exit_status: bool,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl View {
    pub(super) fn run(self, session: &Session, style: &Style) -> CommandResult {
        let mut detail = session.wait(session.client.run(self.run, self.attempt))?;
        if let Some(job) = &self.job {
            detail.jobs = vec![find(&detail, job)?];
        }
        if self.log || self.log_failed {
            self.logs(session, &detail, style)?;
        } else if self.json {
            json(&detail)?;
        } else {
            let artifacts = match self.job {
                Some(_) => Vec::new(),
                None => session.wait(session.client.artifacts(self.run))?,
            };
            result(&run_page::run(&detail, &artifacts, &Page::out(style)));
        }
        let red = matches!(
            detail.run.conclusion,
            Some(Conclusion::Failure | Conclusion::Cancelled)
        );
        Ok(ExitCode::from(u8::from(self.exit_status && red)))
    }

    fn logs(&self, session: &Session, detail: &RunDetail, style: &Style) -> CommandResult<()> {
        let several = detail.jobs.len() > 1;
        for job in &detail.jobs {
            let failed = job.conclusion == Some(Conclusion::Failure);
            if self.log_failed && !failed || job.log_lines == 0 {
                continue;
            }
            let prefix = if several {
                format!("{}\t", fit(&job.name, 100))
            } else {
                String::new()
            };
            session.wait(self.log(session, job, &prefix, style))?;
        }
        Ok(())
    }

    /// Each line with its step's name before it, as `gh` does.
    async fn log(
        &self,
        session: &Session,
        job: &Job,
        prefix: &str,
        style: &Style,
    ) -> Result<(), ClientError> {
        let query = LogQuery {
            times: true,
            ..LogQuery::default()
        };
        let mut log = session.client.job_log(job.id, query);
        // What the job itself says has no step: it comes before the first and after the last.
        let mut name = "Set up job".to_owned();
        while let Some(lines) = log.next().await? {
            let mut shown = String::with_capacity(lines.len());
            for line in lines.lines() {
                let mut parts = line.splitn(3, '\t');
                let (_, step, line) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
                let number: u32 = step.and_then(|step| step.parse().ok()).unwrap_or(0);
                let step = job.steps.iter().find(|step| step.step == number);
                let failed = step.is_some_and(|step| step.outcome == Some(Conclusion::Failure));
                if self.log_failed && !failed {
                    continue;
                }
                match step {
                    Some(step) => name = fit(&step.name, 100),
                    None if name != "Set up job" => "Complete job".clone_into(&mut name),
                    None => {}
                }
                let line = if self.raw {
                    line.to_owned()
                } else {
                    text::harmless(line, *style)
                };
                shown.push_str(&format!("{prefix}{name}\t{line}\n"));
            }
            result(&shown);
        }
        Ok(())
    }
}

/// A job by its id, its name, or its id in the file, where that is one.
pub(super) fn find(detail: &RunDetail, wanted: &str) -> CommandResult<Job> {
    let by = |fits: &dyn Fn(&&Job) -> bool| {
        let found: Vec<&Job> = detail.jobs.iter().filter(fits).collect();
        (found.len() == 1)
            .then(|| found.first().map(|job| (*job).clone()))
            .flatten()
    };
    let id: Option<i64> = wanted.parse().ok();
    by(&|job| Some(job.id) == id)
        .or_else(|| by(&|job| job.name == wanted))
        .or_else(|| by(&|job| job.key == wanted))
        .ok_or_else(|| {
            let names: Vec<String> = detail
                .jobs
                .iter()
                .map(|job| format!("{} ({})", fit(&job.name, 80), job.id))
                .collect();
            CommandError::invalid(format!("run {} has no single job `{wanted}`", detail.run.id))
                .hint(format!("its jobs are {}", names.join(", ")))
        })
}
