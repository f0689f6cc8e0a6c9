//! `pilotage run`: what events started, and what became of it.

mod change;
mod download;
mod list;
mod view;
pub(super) mod watch;

use crate::error::CommandResult;
use crate::render::style::Style;
use crate::session::ProjectArguments;
use clap::{Args, Subcommand};

/// List, view, watch and change runs.
#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    project: ProjectArguments,
    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Subcommand)]
enum RunCommand {
    List(list::List),
    View(view::View),
    Watch(watch::Watch),
    Rerun(change::Rerun),
    Cancel(change::Cancel),
    Approve(change::Approve),
    Download(download::Download),
    Delete(change::Delete),
}

impl Run {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        match self.command {
            RunCommand::List(command) => command.run(&session, &self.project, style),
            RunCommand::View(command) => command.run(&session, style),
            RunCommand::Watch(command) => command.run(&session, style),
            RunCommand::Rerun(command) => command.run(&session, style),
            RunCommand::Cancel(command) => command.run(&session),
            RunCommand::Approve(command) => command.run(&session),
            RunCommand::Download(command) => command.run(&session),
            RunCommand::Delete(command) => command.run(&session),
        }
    }
}
