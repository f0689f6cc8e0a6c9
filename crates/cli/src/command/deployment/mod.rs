//! `pilotage deployment`: releases on their way to an environment, and back.

mod change;
pub(super) mod list;
mod view;
pub(super) mod watch;

use crate::error::CommandResult;
use crate::render::style::Style;
use crate::session::ProjectArguments;
use clap::{Args, Subcommand};

/// List, view, watch, approve and abort deployments.
#[derive(Args)]
pub(crate) struct Deployment {
    #[command(flatten)]
    project: ProjectArguments,
    #[command(subcommand)]
    command: DeploymentCommand,
}

#[derive(Subcommand)]
enum DeploymentCommand {
    List(list::List),
    View(view::View),
    Watch(watch::Watch),
    Approve(change::Approve),
    Abort(change::Abort),
}

impl Deployment {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        match self.command {
            DeploymentCommand::List(command) => command.run(&session, &self.project, style),
            DeploymentCommand::View(command) => command.run(&session, style),
            DeploymentCommand::Watch(command) => command.run(&session, style),
            DeploymentCommand::Approve(command) => command.run(&session),
            DeploymentCommand::Abort(command) => command.run(&session, style),
        }
    }
}
