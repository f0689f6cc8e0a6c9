//! `pilotage lint`: what is wrong with workflow files, `action.yml` and `pilotage.yml`, before a push.

use crate::error::{CommandError, CommandResult};
use crate::render::page::result;
use crate::render::{diagnostic, style::Style};
use crate::workflows;
use clap::{Args, ValueEnum};
use pilotage_workflow::delivery;
use pilotage_workflow::diagnostic::{Diagnostic, Severity, has_errors};
use pilotage_workflow::lint;
use pilotage_workflow::parse::{self, ParseOptions, PermissionsPolicy};
use pilotage_workflow::source::Source;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Check workflow files, action.yml and pilotage.yml.
///
/// Without a file: all workflows of the project in this folder, and its pilotage.yml. Exits with 1 when there is an
/// error, 2 when a file cannot be read.
#[derive(Args)]
pub(crate) struct Lint {
    files: Vec<PathBuf>,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Where reusable workflows of other projects are: DIR/OWNER/NAME/REF/PATH.
    #[arg(long, value_name = "DIR")]
    workflow_source: Option<PathBuf>,
    /// What a job may do where no permissions are written.
    #[arg(long, value_enum, default_value_t = Policy::Write)]
    permissions_policy: Policy,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
    Github,
}

#[derive(Clone, Copy, ValueEnum)]
enum Policy {
    LimitedRead,
    Write,
}

impl Lint {
    #[expect(clippy::print_stderr, reason = "what is said beside the result")]
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let files = if self.files.is_empty() {
            project_files()?
        } else {
            self.files.clone()
        };
        let mut diagnostics = Vec::new();
        for file in &files {
            diagnostics.extend(self.check(file)?);
        }
        diagnostics.sort_by(|a, b| (&a.source.path, a.span).cmp(&(&b.source.path, b.span)));
        match self.format {
            Format::Text => {
                result(&diagnostic::text(&diagnostics, style.color_out()));
                let (errors, all) = (count_errors(&diagnostics), diagnostics.len());
                let files = plural(files.len(), "file");
                eprintln!(
                    "{files}: {}, {}",
                    plural(errors, "error"),
                    plural(all - errors, "warning")
                );
            }
            Format::Json => {
                let rows: Vec<_> = diagnostics.iter().map(diagnostic::json).collect();
                result(&format!("{}\n", json!({"diagnostics": rows})));
            }
            Format::Sarif => result(&format!("{:#}\n", diagnostic::sarif(&diagnostics))),
            Format::Github => diagnostics
                .iter()
                .for_each(|d| result(&format!("{}\n", diagnostic::github(d)))),
        }
        Ok(ExitCode::from(u8::from(has_errors(&diagnostics))))
    }

    fn check(&self, file: &Path) -> CommandResult<Vec<Diagnostic>> {
        let name = file.to_string_lossy().into_owned();
        let source = workflows::read(file, &name)?;
        Ok(match file.file_name().and_then(|n| n.to_str()) {
            Some("pilotage.yml" | "pilotage.yaml") => delivery::parse(&source).1,
            Some("action.yml" | "action.yaml") => parse::action(&source).1,
            _ => self.check_workflow(&source, file),
        })
    }

    fn check_workflow(&self, source: &Arc<Source>, file: &Path) -> Vec<Diagnostic> {
        let files = workflows::Files {
            root: workflows::root_of(file),
            others: self.workflow_source.clone(),
        };
        let options = ParseOptions {
            permissions_policy: match self.permissions_policy {
                Policy::LimitedRead => PermissionsPolicy::LimitedRead,
                Policy::Write => PermissionsPolicy::Write,
            },
            remote_required: self.workflow_source.is_some(),
        };
        let (workflow, mut diagnostics) = parse::workflow(source, &files, &options);
        if let Some(workflow) = workflow.filter(|_| !has_errors(&diagnostics)) {
            diagnostics.extend(lint::check(&workflow));
            let refused = crate::supported::refused(&workflow, false);
            diagnostics.extend(refused.into_iter().map(|d| Diagnostic {
                severity: Severity::Warning,
                ..d
            }));
        }
        diagnostics
    }
}

fn project_files() -> CommandResult<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = workflows::find(Path::new("."))
        .into_iter()
        .map(PathBuf::from)
        .collect();
    files.extend(
        ["pilotage.yml"]
            .iter()
            .map(PathBuf::from)
            .filter(|path| path.is_file()),
    );
    if files.is_empty() {
        return Err(
            CommandError::invalid("this folder has no .github/workflows/*.yml and no pilotage.yml")
                .hint("name a file, or go to the root of a project"),
        );
    }
    Ok(files)
}

fn count_errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics
        .iter()
        .filter(|d| has_errors(std::slice::from_ref(d)))
        .count()
}

fn plural(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}
