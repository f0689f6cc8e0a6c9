//! `pilotage deployment list`.

use crate::error::CommandResult;
use crate::render::deployment::sign;
use crate::render::page::{Page, advice, json, result};
use crate::render::style::{Style, duration};
use crate::render::table::{Cell, table};
use crate::render::text::age;
use crate::session::{ProjectArguments, Session};
use clap::Args;
use pilotage_api::deployment::{Deployment, DeploymentQuery};
use std::process::ExitCode;
use std::time::Duration;

/// List deployments of a project, the newest first.
#[derive(Args)]
pub(crate) struct List {
    /// To this environment.
    #[arg(short, long, value_name = "NAME")]
    environment: Option<String>,
    /// Only deployments with a smaller id: the next page.
    #[arg(long, value_name = "DEPLOYMENT")]
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
        let project = project.name(session)?;
        let query = DeploymentQuery {
            environment: self.environment,
            before: self.before,
            limit: Some(self.limit),
        };
        let deployments = session.wait(session.client.deployments(&project, &query))?;
        if self.json {
            json(&deployments)?;
            return Ok(ExitCode::SUCCESS);
        }
        let page = Page::out(style);
        let rows: Vec<Vec<Cell>> = deployments.iter().map(|d| row(d, &page)).collect();
        result(&table(&page, &rows));
        match deployments.last() {
            None => advice("nothing was deployed yet: pilotage deploy ENVIRONMENT\n"),
            Some(last) if deployments.len() == self.limit as usize => {
                advice(&format!("older ones: --before {}\n", last.id));
            }
            Some(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(crate) fn row(deployment: &Deployment, page: &Page) -> Vec<Cell> {
    let took = deployment.ended_at.unwrap_or(page.now) - deployment.created_at;
    let took = duration(Duration::from_millis(u64::try_from(took).unwrap_or(0)));
    let what = match (deployment.state.as_str(), deployment.reason.as_str()) {
        ("live", _) | (_, "") => deployment.title.clone(),
        (_, reason) => reason.to_owned(),
    };
    vec![
        Cell::state(sign(deployment), deployment.state.replace('-', " ")),
        Cell::number(deployment.id),
        Cell::text(&deployment.environment),
        Cell::text(&deployment.kind),
        Cell::text(&deployment.revision),
        Cell::text(what),
        Cell::text(&deployment.actor),
        Cell::number(took),
        Cell::number(format!("{} ago", age(page.now, deployment.created_at))),
    ]
}
