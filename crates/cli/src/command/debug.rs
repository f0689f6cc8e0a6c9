//! `pilotage debug`: parts of the language on their own, a JSON object a line in and out.

use crate::error::{CommandError, CommandResult};
use crate::render::page::result;
use crate::render::{diagnostic, style::Style};
use crate::workflows;
use clap::Subcommand;
use pilotage_workflow::diagnostic::has_errors;
use pilotage_workflow::{delivery, expr, glob};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Look at parts of the language on their own.
#[derive(Subcommand)]
pub(crate) enum Debug {
    /// Evaluate expressions: {"expr": "...", "contexts": {...}} a line in, {"kind", "value"} or {"error"} out.
    Eval,
    /// Match patterns: {"patterns": [...], "inputs": [...]} a line in, {"only", "ignore"} out.
    Glob,
    /// Print what pilotage.yml says of an environment, with every default filled in.
    Plan {
        environment: String,
        #[arg(short, long, default_value = "pilotage.yml")]
        file: PathBuf,
    },
}

impl Debug {
    #[expect(clippy::print_stderr, reason = "what is said beside the result")]
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        match self {
            Debug::Eval => each_line(expr::debug::evaluate_line),
            Debug::Glob => each_line(glob::debug::evaluate_line),
            Debug::Plan { environment, file } => {
                let source = workflows::read(&file, &file.to_string_lossy())?;
                let (delivery, diagnostics) = delivery::parse(&source);
                eprint!("{}", diagnostic::text(&diagnostics, style.color_out()));
                let Some(delivery) = delivery.filter(|_| !has_errors(&diagnostics)) else {
                    return Ok(ExitCode::from(1));
                };
                let plan = delivery::plan(&delivery, &environment).ok_or_else(|| {
                    CommandError::invalid(format!("{} has no environment `{environment}`", file.display()))
                })?;
                let text = serde_json::to_string_pretty(&plan)
                    .map_err(|e| CommandError::failed("cannot show the plan").because(&e))?;
                result(&format!("{text}\n"));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn each_line(answer: impl Fn(&str) -> String) -> CommandResult {
    let failed = |error: std::io::Error| CommandError::failed("cannot go on with the lines").because(&error);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(failed)?;
        if !line.trim().is_empty() {
            writeln!(out, "{}", answer(&line)).map_err(failed)?;
        }
    }
    out.flush().map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
