//! `pilotage deploy`: bring a release to an environment.

use super::deployment::watch;
use crate::error::CommandResult;
use crate::render::page::{advice, json, result};
use crate::render::style::Style;
use crate::session::ProjectArguments;
use clap::Args;
use pilotage_api::deployment as api;
use std::process::ExitCode;

/// Bring a release to an environment. Without --ref and --release: that of the default branch's newest green run.
///
/// Exits with 1 when it is refused, or with --watch when it did not go live.
#[derive(Args)]
pub(crate) struct Deploy {
    #[command(flatten)]
    project: ProjectArguments,
    environment: String,
    /// The newest release of a branch or tag.
    #[arg(long, conflicts_with = "release")]
    r#ref: Option<String>,
    /// A release's digest, or the beginning of a commit that has one.
    #[arg(long)]
    release: Option<String>,
    /// Why, for those who will ask.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Watch it until it ends.
    #[arg(short, long)]
    watch: bool,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl Deploy {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        let project = self.project.name(&session)?;
        let deploy = api::Deploy {
            environment: self.environment,
            release: self.release,
            r#ref: self.r#ref,
            reason: self.reason,
        };
        let deployment = session
            .wait(session.client.deploy(&project, &deploy))
            .map_err(|e| e.or_failed())?;
        if self.watch {
            return watch::watch(&session, deployment.id, &["live"], self.json, style);
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
