//! `pilotage status`: where this project stands, or all.

use crate::error::CommandResult;
use crate::render::page::{Page, advice, json, result};
use crate::render::status;
use crate::render::style::Style;
use crate::session::ProjectArguments;
use clap::Args;
use std::process::ExitCode;

/// Show where the project of this folder stands, or all projects where there is none.
#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    project: ProjectArguments,
    /// All projects.
    #[arg(long)]
    all: bool,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        let name = if self.all {
            None
        } else {
            self.project.optional_name(&session)?
        };
        let status = session.wait(session.client.status(name.as_ref()))?;
        if self.json {
            json(&status)?;
            return Ok(ExitCode::SUCCESS);
        }
        let page = Page::out(style);
        let mut texts = Vec::new();
        for project in &status.projects {
            let name = project.project.parse().ok();
            let standings = name.map(|name| session.wait(session.client.standings(&name)));
            let standings = standings.and_then(Result::ok).unwrap_or_default();
            texts.push(status::project(project, &standings, &page));
        }
        if texts.is_empty() {
            advice("there are no projects yet: pilotage project create OWNER/NAME\n");
        }
        result(&texts.join("\n"));
        Ok(ExitCode::SUCCESS)
    }
}
