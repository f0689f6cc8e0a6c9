//! `pilotage run rerun`, `cancel`, `approve`, `delete`: what changes a run.

use super::{view, watch};
use crate::error::{CommandError, CommandResult};
use crate::render::page::{advice, json};
use crate::render::style::{Style, fit};
use crate::session::Session;
use clap::Args;
use pilotage_api::rest;
use std::process::ExitCode;

/// Run it again, in a new attempt: all jobs, the failed ones, or one, and those that need them.
#[derive(Args)]
pub(crate) struct Rerun {
    run: i64,
    /// Only the jobs that failed.
    #[arg(long)]
    failed: bool,
    /// Only this job: its id, or its name.
    #[arg(short, long, conflicts_with = "failed")]
    job: Option<String>,
    /// Watch it until it ends.
    #[arg(long)]
    watch: bool,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl Rerun {
    pub(super) fn run(self, session: &Session, style: &Style) -> CommandResult {
        let which = match (&self.job, self.failed) {
            (Some(job), _) => {
                let detail = session.wait(session.client.run(self.run, None))?;
                rest::Rerun::Job {
                    job: view::find(&detail, job)?.id,
                }
            }
            (None, true) => rest::Rerun::Failed,
            (None, false) => rest::Rerun::All,
        };
        let run = session.wait(session.client.rerun(self.run, &which))?;
        if self.watch {
            return watch::watch(session, run.id, Some(run.attempt), self.json, style);
        }
        if self.json {
            json(&run)?;
        } else {
            advice(&format!(
                "attempt {} has begun\npilotage run watch {}\n",
                run.attempt, run.id
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Cancel a run. Jobs with always() still run, as on GitHub.
#[derive(Args)]
pub(crate) struct Cancel {
    run: i64,
    /// Do not wait for jobs that would still run.
    #[arg(long)]
    force: bool,
}

impl Cancel {
    pub(super) fn run(self, session: &Session) -> CommandResult {
        session.wait(
            session
                .client
                .cancel(self.run, rest::Cancel { force: self.force }),
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Let a run go on to an environment that waits for a person, or turn it down.
#[derive(Args)]
pub(crate) struct Approve {
    run: i64,
    /// The environment. Not needed where the run waits for one.
    #[arg(short, long, value_name = "NAME")]
    environment: Option<String>,
    /// Turn it down.
    #[arg(long)]
    reject: bool,
    /// Why, for those who will ask.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

impl Approve {
    pub(super) fn run(self, session: &Session) -> CommandResult {
        let detail = session.wait(session.client.run(self.run, None))?;
        let mut waiting: Vec<String> = detail
            .jobs
            .iter()
            .filter(|job| job.status == "waiting" && !job.environment.is_empty())
            .map(|job| job.environment.clone())
            .collect();
        waiting.sort();
        waiting.dedup();
        let environment = match (self.environment, waiting.as_slice()) {
            (Some(environment), _) => environment,
            (None, [one]) => one.clone(),
            (None, []) => {
                return Err(CommandError::failed(format!(
                    "run {} waits for nobody's approval",
                    self.run
                )));
            }
            (None, several) => {
                return Err(CommandError::invalid("it waits for more than one environment")
                    .hint(format!("name one with -e: {}", fit(&several.join(", "), 500))));
            }
        };
        let approve = rest::Approve {
            environment,
            sha: detail.run.sha,
            approved: !self.reject,
            reason: self.reason,
        };
        session.wait(session.client.approve_run(self.run, &approve))?;
        if approve.approved {
            advice(&format!("pilotage run watch {}\n", self.run));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Delete a run that is over, with its logs and artifacts.
#[derive(Args)]
pub(crate) struct Delete {
    run: i64,
}

impl Delete {
    pub(super) fn run(self, session: &Session) -> CommandResult {
        session.wait(session.client.delete_run(self.run))?;
        Ok(ExitCode::SUCCESS)
    }
}
