//! `pilotage workflow`: the workflows of a project, and starting one by hand.

use crate::error::{CommandError, CommandResult};
use crate::render::page::{Page, advice, json, result};
use crate::render::style::{Sign, Style, fit};
use crate::render::table::{Cell, table};
use crate::render::text::{plural, short};
use crate::render::{diagnostic, text};
use crate::session::{ProjectArguments, Session};
use clap::{Args, Subcommand};
use indexmap::IndexMap;
use pilotage_api::client::ProjectName;
use pilotage_api::rest::{self, Dispatch, WorkflowDetail};
use serde_json::Value;
use std::process::ExitCode;

/// List, view, start, enable and disable workflows.
#[derive(Args)]
pub(crate) struct Workflow {
    #[command(flatten)]
    project: ProjectArguments,
    #[command(subcommand)]
    command: WorkflowCommand,
}

#[derive(Subcommand)]
enum WorkflowCommand {
    /// List workflows.
    List {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show what starts a workflow, its inputs, and what is wrong with it.
    View {
        /// Its file's name, or its id.
        workflow: String,
        /// A branch, tag or commit.
        #[arg(long)]
        r#ref: Option<String>,
        /// Print the file itself.
        #[arg(long)]
        yaml: bool,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Start a workflow by hand; its event is workflow_dispatch.
    Run {
        /// Its file's name, or its id.
        workflow: String,
        /// A branch or tag; the default branch unless told otherwise.
        #[arg(long)]
        r#ref: Option<String>,
        /// An input. May be given more than once.
        #[arg(short = 'f', long = "field", value_name = "NAME=VALUE")]
        inputs: Vec<String>,
        /// Watch the run until it ends; exits with 1 when it fails.
        #[arg(long)]
        watch: bool,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Let events start a workflow again.
    Enable { workflow: String },
    /// Let nothing start a workflow.
    Disable { workflow: String },
}

impl Workflow {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        let project = self.project.name(&session)?;
        let client = &session.client;
        match self.command {
            WorkflowCommand::List { json: as_json } => {
                let workflows = session.wait(client.workflows(&project))?;
                if as_json {
                    json(&workflows)?;
                } else {
                    list(&workflows, style);
                }
            }
            WorkflowCommand::View {
                workflow,
                r#ref,
                yaml,
                json: as_json,
            } => {
                let detail = session.wait(client.workflow(&project, &workflow, r#ref.as_deref()))?;
                if as_json {
                    json(&detail)?;
                } else if yaml {
                    let lines = detail.text.split('\n').map(|line| text::harmless(line, *style));
                    result(&lines.collect::<Vec<_>>().join("\n"));
                } else {
                    result(&view(&detail, &Page::out(style)));
                }
            }
            WorkflowCommand::Run {
                workflow,
                r#ref,
                inputs,
                watch,
                json: as_json,
            } => {
                let dispatch = Dispatch {
                    r#ref,
                    inputs: fields(&inputs)?,
                };
                return start(&session, &project, &workflow, &dispatch, watch, as_json, style);
            }
            WorkflowCommand::Enable { workflow } => {
                session.wait(client.enable_workflow(&project, &workflow, true))?;
            }
            WorkflowCommand::Disable { workflow } => {
                session.wait(client.enable_workflow(&project, &workflow, false))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn start(
    session: &Session,
    project: &ProjectName,
    workflow: &str,
    dispatch: &Dispatch,
    watch: bool,
    as_json: bool,
    style: &Style,
) -> CommandResult {
    let run = session.wait(session.client.dispatch(project, workflow, dispatch))?;
    if watch {
        return super::run::watch::watch(session, run.id, None, as_json, style);
    }
    if as_json {
        json(&run)?;
    } else {
        result(&format!("{}\n", run.id));
        advice(&format!(
            "pilotage run watch {}\n{}\n",
            run.id,
            fit(&run.url, 400)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn fields(given: &[String]) -> CommandResult<IndexMap<String, Value>> {
    let field = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), Value::from(value))),
        _ => Err(CommandError::invalid(format!(
            "-f takes NAME=VALUE, not `{text}`"
        ))),
    };
    given.iter().map(field).collect()
}

fn list(workflows: &[rest::Workflow], style: &Style) {
    if workflows.is_empty() {
        advice("this project has no workflows yet: they are .github/workflows/*.yml of what is pushed\n");
    }
    let row = |workflow: &rest::Workflow| {
        let state = match workflow.enabled {
            true => Cell::state(Sign::Success, "enabled"),
            false => Cell::state(Sign::Cancelled, "disabled"),
        };
        let file = workflow.path.rsplit('/').next().unwrap_or_default();
        vec![
            state,
            Cell::text(file),
            Cell::text(&workflow.name),
            Cell::number(plural(u64::try_from(workflow.runs).unwrap_or(0), "run")),
        ]
    };
    result(&table(
        &Page::out(style),
        &workflows.iter().map(row).collect::<Vec<_>>(),
    ));
}

fn view(detail: &WorkflowDetail, page: &Page) -> String {
    let workflow = &detail.workflow;
    let mut text = format!(
        "{}  {}  {} {}\n",
        fit(&workflow.name, 200),
        fit(&workflow.path, 300),
        fit(text::branch(&detail.r#ref), 200),
        short(&detail.sha)
    );
    if !workflow.enabled {
        let file = workflow.path.rsplit('/').next().unwrap_or_default();
        let sign = page.style.sign(Sign::Cancelled);
        text.push_str(&format!(
            "{sign} disabled: pilotage workflow enable {}\n",
            fit(file, 200)
        ));
    }
    text.push_str(&format!("starts on  {}\n", fit(&detail.events.join(", "), 1_000)));
    if !detail.inputs.is_empty() {
        text.push_str("\ninputs\n");
    }
    let rows: Vec<Vec<Cell>> = detail.inputs.iter().map(input).collect();
    text.push_str(&table(page, &rows));
    for found in &detail.diagnostics {
        text.push_str(&format!("\n{}\n", diagnostic::remote(found)));
    }
    text
}

fn input(input: &rest::DispatchInput) -> Vec<Cell> {
    let kind = match input.options.as_slice() {
        [] => input.kind.clone(),
        options => format!("one of {}", options.join(", ")),
    };
    let default = match &input.default {
        Some(Value::String(text)) => format!("default {text}"),
        Some(value) => format!("default {value}"),
        None if input.required => "required".to_owned(),
        None => String::new(),
    };
    vec![
        Cell::text(format!("  {}", input.name)),
        Cell::text(kind),
        Cell::text(default),
        Cell::text(&input.description),
    ]
}
