//! `pilotage rollback`: bring back what was there before.

use super::deployment::watch;
use crate::error::CommandResult;
use crate::render::page::{advice, json, result};
use crate::render::style::Style;
use crate::session::ProjectArguments;
use clap::Args;
use pilotage_api::deployment as api;
use std::process::ExitCode;

/// Bring back an earlier release, without building it again. A deployment that is under way is taken back.
#[derive(Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    project: ProjectArguments,
    environment: String,
    /// A release's digest, a commit or a revision; without it the one before.
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
    /// Why, for those who will ask.
    #[arg(long)]
    reason: String,
    /// Watch it until it ends.
    #[arg(short, long)]
    watch: bool,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl Rollback {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        let project = self.project.name(&session)?;
        let rollback = api::Rollback {
            environment: self.environment,
            to: self.to,
            reason: self.reason,
        };
        let deployment = session
            .wait(session.client.roll_back(&project, &rollback))
            .map_err(|e| e.or_failed())?;
        if self.watch {
            // One that was under way is asked to go back; otherwise a deployment of the old release goes live.
            let good: &[&str] = match deployment.kind.as_str() {
                "rollback" => &["live"],
                _ => &["rolled-back", "aborted"],
            };
            return watch::watch(&session, deployment.id, good, self.json, style);
        }
        if self.json {
            json(&deployment)?;
        } else {
            result(&format!("{}\n", deployment.id));
            advice(&format!("pilotage deployment watch {}\n", deployment.id));
        }
        Ok(ExitCode::SUCCESS)
    }
}
