//! `pilotage deployment approve`, `abort`.

use super::watch;
use crate::error::CommandResult;
use crate::render::page::advice;
use crate::render::style::Style;
use crate::session::Session;
use clap::Args;
use pilotage_api::deployment as api;
use std::process::ExitCode;

/// Let a deployment that waits for a person go on, or turn it down. It counts for the release that it names now.
#[derive(Args)]
pub(crate) struct Approve {
    deployment: i64,
    /// Turn it down.
    #[arg(long)]
    reject: bool,
    /// Why, for those who will ask.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

impl Approve {
    pub(super) fn run(self, session: &Session) -> CommandResult {
        let detail = session.wait(session.client.deployment(self.deployment))?;
        let approve = api::ApproveDeployment {
            digest: detail.deployment.release,
            approved: !self.reject,
            reason: self.reason,
        };
        session.wait(session.client.approve_deployment(self.deployment, &approve))?;
        if approve.approved {
            advice(&format!("pilotage deployment watch {}\n", self.deployment));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Stop a deployment and take back what it changed.
#[derive(Args)]
pub(crate) struct Abort {
    deployment: i64,
    /// Why, for those who will ask.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// The release goes nowhere any more.
    #[arg(long)]
    quarantine: bool,
    /// Watch it until the old release serves again.
    #[arg(long)]
    watch: bool,
}

impl Abort {
    pub(super) fn run(self, session: &Session, style: &Style) -> CommandResult {
        let abort = api::Abort {
            reason: self.reason,
            quarantine: self.quarantine,
        };
        session.wait(session.client.abort(self.deployment, &abort))?;
        if self.watch {
            return watch::watch(
                session,
                self.deployment,
                &["aborted", "rolled-back"],
                false,
                style,
            );
        }
        advice(&format!("pilotage deployment watch {}\n", self.deployment));
        Ok(ExitCode::SUCCESS)
    }
}
