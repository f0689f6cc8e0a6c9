//! A `run` step: its script becomes a file, its shell a program.

use super::{Frame, text_of};
use crate::action::ActionError;
use crate::contexts::Env;
use crate::job::Job;
use crate::log::StepLog;
use crate::program::Launch;
use crate::shell::Shell;
use pilotage_workflow::expr::Template;
use std::path::PathBuf;

pub(super) struct Script<'a> {
    pub(super) script: &'a Template,
    pub(super) shell: Option<&'a Template>,
    pub(super) directory: Option<&'a Template>,
}

/// A launch that owns its directory.
pub(super) struct Prepared {
    path: PathBuf,
    args: Vec<std::ffi::OsString>,
    cwd: PathBuf,
}

impl Prepared {
    pub(super) fn borrow<'a>(&'a self, env: &'a Env) -> Launch<'a> {
        Launch {
            path: self.path.clone(),
            args: self.args.clone(),
            cwd: &self.cwd,
            env,
            extra: Env::new(),
        }
    }
}

/// A script's file, removed with the step.
pub(super) struct ScriptFile(PathBuf);

impl Drop for ScriptFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(super) fn prepare_script(
    job: &mut Job,
    frame: &Frame,
    script: Script<'_>,
    env: &Env,
    log: &mut StepLog,
) -> Result<(Prepared, ScriptFile), ActionError> {
    let scope = &frame.contexts;
    let text = text_of(script.script, scope, "run")?;
    let shell_name = match script.shell {
        Some(shell) => Some(text_of(shell, scope, "shell")?),
        None if frame.depth == 0 => job.defaults.shell.clone(),
        None => None,
    };
    let directory = match script.directory {
        Some(directory) => Some(text_of(directory, scope, "working-directory")?),
        None if frame.depth == 0 => job.defaults.working_directory.clone(),
        None => None,
    };
    let cwd = job.dirs.workspace.join(directory.as_deref().unwrap_or_default());
    if !cwd.is_dir() {
        return Err(ActionError::failed(format!(
            "the working directory {} does not exist",
            cwd.display()
        )));
    }
    let search = job.search_path(env);
    let shell = Shell::find(shell_name.as_deref(), search.as_ref(), &cwd)
        .map_err(|e| ActionError::failed(e.to_string()))?;
    let key = job.next_key();
    let file = job.dirs.temp.join(format!("{key}{}", shell.extension));
    job.write_for_job(&file, shell.script(&text).as_bytes())
        .map_err(ActionError::file(&file))?;
    write_header(job, log, &text, &shell, env);
    let args = shell.args(&file);
    Ok((
        Prepared {
            path: shell.program,
            args,
            cwd,
        },
        ScriptFile(file),
    ))
}

fn write_header(job: &Job, log: &mut StepLog, script: &str, shell: &Shell, env: &Env) {
    let lines: Vec<&str> = script.trim_end().lines().collect();
    let first = lines
        .iter()
        .find(|l| !l.trim().is_empty())
        .copied()
        .unwrap_or_default();
    log.line(&format!("##[group]Run {}", first.trim()));
    lines.iter().for_each(|line| log.line(line));
    log.line(&format!("shell: {}", shell.command_line()));
    let mut shown = env.iter().filter(|(name, _)| !job.base_env_has(name)).peekable();
    if shown.peek().is_some() {
        log.line("env:");
    }
    for (name, value) in shown {
        log.line(&format!("  {name}: {}", value.trim_end().replace('\n', "\n    ")));
    }
    log.line("##[endgroup]");
}
