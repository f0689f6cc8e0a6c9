//! `pilotage release`: what runs built, ready for an environment.

use super::deployment::list::row;
use crate::error::CommandResult;
use crate::render::page::{Page, advice, json, result};
use crate::render::style::{Sign, Style};
use crate::render::table::{Cell, facts, table};
use crate::render::text::{age, branch, moment, short, size};
use crate::session::ProjectArguments;
use clap::{Args, Subcommand};
use pilotage_api::deployment as api;
use std::process::ExitCode;

/// List and view releases, and let them out of quarantine.
#[derive(Args)]
pub(crate) struct Release {
    #[command(flatten)]
    project: ProjectArguments,
    #[command(subcommand)]
    command: ReleaseCommand,
}

#[derive(Subcommand)]
enum ReleaseCommand {
    /// List releases, the newest first.
    List {
        /// How many, 100 at most.
        #[arg(short = 'L', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show a release: its digest, or the beginning of its commit.
    View {
        release: String,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Let a release that was taken back be deployed again.
    Clear { release: String },
}

impl Release {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        let project = self.project.name(&session)?;
        let client = &session.client;
        let page = Page::out(style);
        match self.command {
            ReleaseCommand::List { limit, json: as_json } => {
                let releases = session.wait(client.releases(&project, limit))?;
                if as_json {
                    json(&releases)?;
                } else {
                    if releases.is_empty() {
                        advice("there are no releases yet: a run with pilotage/deploy makes one\n");
                    }
                    let rows: Vec<Vec<Cell>> = releases.iter().map(|r| line(r, &page)).collect();
                    result(&table(&page, &rows));
                }
            }
            ReleaseCommand::View {
                release,
                json: as_json,
            } => {
                let detail = session.wait(client.release(&project, &release))?;
                if as_json {
                    json(&detail)?;
                } else {
                    result(&view(&detail, &page));
                }
            }
            ReleaseCommand::Clear { release } => {
                let detail = session.wait(client.release(&project, &release))?;
                session.wait(client.release_from_quarantine(&project, &detail.release.digest))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn state(release: &api::Release) -> Cell {
    match (release.quarantine.as_str(), release.live_in.as_slice()) {
        ("", []) => Cell::state(Sign::Waiting, "ready"),
        ("", live) => Cell::state(Sign::Success, format!("live in {}", live.join(", "))),
        _ => Cell::state(Sign::RolledBack, "quarantined"),
    }
}

fn line(release: &api::Release, page: &Page) -> Vec<Cell> {
    vec![
        state(release),
        Cell::text(short(&release.sha)),
        Cell::text(short(&release.digest)),
        Cell::text(branch(&release.r#ref)),
        Cell::text(&release.title),
        Cell::text(&release.quarantine),
        Cell::number(format!("{} ago", age(page.now, release.created_at))),
    ]
}

fn view(detail: &api::ReleaseDetail, page: &Page) -> String {
    let release = &detail.release;
    let mut text = table(page, &[vec![state(release), Cell::text(&release.quarantine)]]);
    text.push_str(&facts(
        page,
        &[
            ("digest", release.digest.clone()),
            ("commit", format!("{}  {}", release.sha, release.title)),
            ("branch", branch(&release.r#ref).to_owned()),
            ("run", release.run.map(|run| run.to_string()).unwrap_or_default()),
            ("made", format!("{} UTC", moment(release.created_at))),
            ("size", size(detail.size_bytes)),
        ],
    ));
    if !detail.deployments.is_empty() {
        let rows: Vec<Vec<Cell>> = detail.deployments.iter().map(|d| row(d, page)).collect();
        text.push_str(&format!("\ndeployments\n{}", table(page, &rows)));
    }
    text
}
