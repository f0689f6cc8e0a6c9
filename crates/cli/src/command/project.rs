//! `pilotage project`: the projects of a server.

use crate::error::{CommandError, CommandResult};
use crate::render::page::{Page, advice, json, result};
use crate::render::style::{Style, fit};
use crate::render::table::{Cell, facts, table};
use crate::render::text::{age, moment};
use crate::session::ServerArguments;
use clap::{Args, Subcommand};
use pilotage_api::client::ProjectName;
use pilotage_api::rest;
use std::process::ExitCode;

/// Create, list and view projects.
#[derive(Args)]
pub(crate) struct Project {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: ProjectCommand,
}

#[derive(Subcommand)]
enum ProjectCommand {
    /// Make a project with an empty repository.
    Create {
        #[arg(value_name = "OWNER/NAME")]
        name: String,
        /// The branch that counts where none is named.
        #[arg(long, value_name = "BRANCH")]
        default_branch: Option<String>,
    },
    /// List projects.
    List {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show a project.
    View {
        #[arg(value_name = "OWNER/NAME")]
        name: String,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
}

impl Project {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.server.connect()?;
        let client = &session.client;
        match self.command {
            ProjectCommand::Create { name, default_branch } => {
                let ProjectName { owner, name } = parse(&name)?;
                let new = rest::NewProject {
                    owner,
                    name,
                    default_branch,
                };
                let project = session.wait(client.create_project(&new))?;
                let url = fit(&project.git_url, 1_000);
                result(&format!("{url}\n"));
                advice(&format!(
                    "git remote add pilotage {url}\ngit push pilotage {}    # git asks for a name, which may be any, and a \
                     password, which is a token\n",
                    fit(&project.default_branch, 200)
                ));
            }
            ProjectCommand::List { json: true } => json(&session.wait(client.projects())?)?,
            ProjectCommand::List { json: false } => {
                let page = Page::out(style);
                let projects = session.wait(client.projects())?;
                if projects.is_empty() {
                    advice("there are no projects yet: pilotage project create OWNER/NAME\n");
                }
                let row = |p: &rest::Project| {
                    vec![
                        Cell::text(format!("{}/{}", p.owner, p.name)),
                        Cell::text(&p.default_branch),
                        Cell::number(age(page.now, p.created_at)),
                        Cell::text(&p.git_url),
                    ]
                };
                result(&table(&page, &projects.iter().map(row).collect::<Vec<_>>()));
            }
            ProjectCommand::View { name, json: as_json } => {
                let project = session.wait(client.project(&parse(&name)?))?;
                if as_json {
                    json(&project)?;
                } else {
                    result(&facts(
                        &Page::out(style),
                        &[
                            ("project", format!("{}/{}", project.owner, project.name)),
                            ("git", project.git_url),
                            ("branch", project.default_branch),
                            ("created", moment(project.created_at)),
                        ],
                    ));
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn parse(name: &str) -> CommandResult<ProjectName> {
    name.parse()
        .map_err(|_| CommandError::invalid(format!("`{name}` is no project's name")).hint("write OWNER/NAME"))
}
