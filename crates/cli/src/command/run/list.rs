//! `pilotage run list`.

use crate::error::CommandResult;
use crate::render::page::{Page, advice, json, result};
use crate::render::run_page;
use crate::render::style::{Style, duration};
use crate::render::table::{Cell, table};
use crate::render::text::{age, branch};
use crate::session::{ProjectArguments, Session};
use clap::Args;
use pilotage_api::rest::{Run, RunQuery};
use std::process::ExitCode;
use std::time::Duration;

/// List runs, the newest first.
#[derive(Args)]
pub(crate) struct List {
    /// Runs of all projects.
    #[arg(long)]
    all: bool,
    /// A workflow's file name or id.
    #[arg(short, long, value_name = "FILE")]
    workflow: Option<String>,
    /// Of this branch or tag.
    #[arg(short, long)]
    branch: Option<String>,
    /// Of this commit.
    #[arg(short, long, value_name = "SHA")]
    commit: Option<String>,
    /// Started by this event, such as push.
    #[arg(short, long)]
    event: Option<String>,
    /// Who started them.
    #[arg(short = 'u', long = "user", value_name = "NAME")]
    actor: Option<String>,
    /// A status or a conclusion, such as queued, in_progress, success or failure.
    #[arg(short, long)]
    status: Option<String>,
    /// Only runs with a smaller id: the next page.
    #[arg(long, value_name = "RUN")]
    before: Option<i64>,
    /// How many, 100 at most.
    #[arg(short = 'L', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self, session: &Session, project: &ProjectArguments, style: &Style) -> CommandResult {
        let project = match self.all {
            true => None,
            false if self.workflow.is_some() => Some(project.name(session)?),
            false => project.optional_name(session)?,
        };
        let query = RunQuery {
            project: project.map(|name| name.to_string()),
            workflow: self.workflow,
            branch: self.branch,
            sha: self.commit,
            event: self.event,
            actor: self.actor,
            status: self.status,
            before: self.before,
            limit: Some(self.limit),
        };
        let runs = session.wait(session.client.runs(&query))?;
        if self.json {
            json(&runs)?;
            return Ok(ExitCode::SUCCESS);
        }
        result(&text(&runs, query.project.is_none(), &Page::out(style)));
        match runs.last() {
            None => advice("no runs fit\n"),
            Some(last) if runs.len() == self.limit as usize => {
                advice(&format!("older ones: --before {}\n", last.id));
            }
            Some(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(runs: &[Run], with_project: bool, page: &Page) -> String {
    let row = |run: &Run| {
        let (sign, word) = run_page::state(run);
        let took = run.ended_at.unwrap_or(page.now) - run.started_at;
        let took = duration(Duration::from_millis(u64::try_from(took).unwrap_or(0)));
        let mut row = vec![Cell::state(sign, word), Cell::number(run.id)];
        if with_project {
            row.push(Cell::text(&run.project));
        }
        let attempt = if run.attempt > 1 {
            format!(" (attempt {})", run.attempt)
        } else {
            String::new()
        };
        row.extend([
            Cell::text(run.workflow_path.rsplit('/').next().unwrap_or_default()),
            Cell::text(&run.event),
            Cell::text(branch(&run.r#ref)),
            Cell::text(format!("{}{attempt}", run.title)),
            Cell::number(took),
            Cell::number(format!("{} ago", age(page.now, run.created_at))),
        ]);
        row
    };
    table(page, &runs.iter().map(row).collect::<Vec<_>>())
}
