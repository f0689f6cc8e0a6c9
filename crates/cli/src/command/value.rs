//! `pilotage secret` and `pilotage variable`: values of a project or one of its environments.
//!
//! A secret is never an argument: arguments are seen by every process of the machine and stay in the shell's history.

use crate::error::{CommandError, CommandResult};
use crate::render::page::{Page, advice, json, result};
use crate::render::style::Style;
use crate::render::table::{Cell, table};
use crate::render::text::age;
use crate::session::ProjectArguments;
use clap::{Args, Subcommand};
use pilotage_api::rest::{SecretUse, SetValue};
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// GitHub's limit, and ours.
const VALUE_BYTES_MAX: u64 = 48 * 1024;

/// Set, list and delete secrets.
#[derive(Args)]
pub(crate) struct Secret {
    #[command(flatten)]
    project: ProjectArguments,
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Subcommand)]
enum SecretCommand {
    /// Set a secret. Its value comes from the standard input, or from a file.
    Set {
        name: String,
        /// The file with the value.
        #[arg(long, value_name = "FILE")]
        body_file: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// List the names of secrets.
    List {
        #[command(flatten)]
        place: Place,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Delete a secret.
    Delete {
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Set, list and delete variables.
#[derive(Args)]
pub(crate) struct Variable {
    #[command(flatten)]
    project: ProjectArguments,
    #[command(subcommand)]
    command: VariableCommand,
}

#[derive(Subcommand)]
enum VariableCommand {
    /// Set a variable: to a value, to what a file holds, or to the standard input.
    Set {
        name: String,
        #[arg(conflicts_with = "body_file")]
        value: Option<String>,
        /// The file with the value.
        #[arg(long, value_name = "FILE")]
        body_file: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// List variables and their values.
    List {
        #[command(flatten)]
        place: Place,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Delete a variable.
    Delete {
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args)]
struct Place {
    /// Of this environment only; of the whole project unless told otherwise.
    #[arg(short, long, value_name = "NAME")]
    environment: Option<String>,
}

impl Secret {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        let project = self.project.name(&session)?;
        let client = &session.client;
        match self.command {
            SecretCommand::Set {
                name,
                body_file,
                place,
            } => {
                let value = SetValue {
                    value: read(body_file.as_deref(), &format!("the value of {name}"))?,
                    environment: place.environment,
                };
                session.wait(client.set_secret(&project, &name, &value))?;
            }
            SecretCommand::List { place, json: as_json } => {
                let secrets = session.wait(client.secrets(&project, place.environment.as_deref()))?;
                if as_json {
                    json(&secrets)?;
                } else {
                    let page = Page::out(style);
                    let rows = secrets.iter();
                    let rows = rows.map(|secret| {
                        let mut cells =
                            row(&secret.name, &secret.environment, None, secret.updated_at, &page);
                        cells.push(Cell::text(used(secret.used.as_ref(), &page)));
                        cells
                    });
                    result(&table(&page, &rows.collect::<Vec<_>>()));
                }
                if secrets.is_empty() {
                    advice("there are none: pilotage secret set NAME < FILE\n");
                }
            }
            SecretCommand::Delete { name, place } => {
                session.wait(client.delete_secret(&project, &name, place.environment.as_deref()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Variable {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        let project = self.project.name(&session)?;
        let client = &session.client;
        match self.command {
            VariableCommand::Set {
                name,
                value,
                body_file,
                place,
            } => {
                let value = match value {
                    Some(value) => value,
                    None => read(body_file.as_deref(), &format!("the value of {name}"))?,
                };
                let value = SetValue {
                    value,
                    environment: place.environment,
                };
                session.wait(client.set_variable(&project, &name, &value))?;
            }
            VariableCommand::List { place, json: as_json } => {
                let variables = session.wait(client.variables(&project, place.environment.as_deref()))?;
                if as_json {
                    json(&variables)?;
                } else {
                    let page = Page::out(style);
                    let rows = variables.iter();
                    let rows =
                        rows.map(|v| row(&v.name, &v.environment, Some(&v.value), v.updated_at, &page));
                    result(&table(&page, &rows.collect::<Vec<_>>()));
                }
                if variables.is_empty() {
                    advice("there are none: pilotage variable set NAME VALUE\n");
                }
            }
            VariableCommand::Delete { name, place } => {
                session.wait(client.delete_variable(&project, &name, place.environment.as_deref()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(name: &str, environment: &str, value: Option<&str>, updated_at: i64, page: &Page) -> Vec<Cell> {
    vec![
        Cell::text(name),
        Cell::text(value.unwrap_or_default()),
        Cell::text(environment),
        Cell::number(format!("{} ago", age(page.now, updated_at))),
    ]
}

/// What a secret was last given to, and how long ago.
fn used(last: Option<&SecretUse>, page: &Page) -> String {
    let Some(last) = last else {
        return "no use seen yet".to_owned();
    };
    let to = match (last.run, last.deployment) {
        (Some(run), _) => format!("run {run}"),
        (None, Some(id)) => format!("deployment {id}"),
        (None, None) => "a notification".to_owned(),
    };
    format!("used by {to} {} ago", age(page.now, last.at))
}

/// What a file or the standard input holds, without the end of its last line: `echo` and editors add one.
fn read(file: Option<&Path>, what: &str) -> CommandResult<String> {
    let failed = |e: std::io::Error| CommandError::invalid(format!("cannot read {what}")).because(&e);
    let mut bytes = Vec::new();
    match file {
        Some(file) => std::fs::File::open(file)
            .and_then(|file| file.take(VALUE_BYTES_MAX + 2).read_to_end(&mut bytes))
            .map_err(failed)?,
        None => {
            let input = std::io::stdin();
            if input.is_terminal() {
                return Err(
                    CommandError::invalid(format!("{what} is taken from the standard input"))
                        .hint("give it by a pipe or a file: < FILE, or --body-file FILE"),
                );
            }
            input
                .take(VALUE_BYTES_MAX + 2)
                .read_to_end(&mut bytes)
                .map_err(failed)?
        }
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| CommandError::invalid(format!("{what} is no text")).hint("encode it, as with base64"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.len() as u64 > VALUE_BYTES_MAX {
        return Err(CommandError::invalid(format!(
            "{what} is longer than {VALUE_BYTES_MAX} bytes"
        )));
    }
    Ok(text.to_owned())
}
