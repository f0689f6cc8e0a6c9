//! What the workflow files of a commit say. A commit does not change, so it is read once.

use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::git::GitError;
use crate::trigger;
use crate::workflows::{self, Files};
use pilotage_api::rest as wire;
use pilotage_store::Project;
use pilotage_ui::page::workflow::{Finding, Trigger};
use pilotage_workflow::diagnostic::{Diagnostic, Severity};
use pilotage_workflow::lint;
use pilotage_workflow::model;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Commits that are remembered.
const COMMITS_MAX: usize = 200;
/// Of a line that is shown.
const LINE_CHARS: usize = 300;
const TITLE_CHARS: usize = 200;

/// The workflows at a branch or tag.
pub(in crate::web) struct At {
    /// Its whole name.
    pub git_ref: String,
    pub sha: String,
    /// Of its commit.
    pub title: String,
    pub author: String,
    pub workflows: Arc<BTreeMap<String, Known>>,
}

/// What a tip leads to.
#[derive(Clone)]
struct Read {
    sha: String,
    title: String,
    author: String,
    workflows: Arc<BTreeMap<String, Known>>,
}

/// One file.
pub(in crate::web) struct Known {
    path: String,
    pub name: String,
    triggers: Vec<(String, Option<&'static str>)>,
    diagnostics: Vec<Diagnostic>,
    /// Where it starts by hand: what it then asks for.
    pub inputs: Option<Vec<wire::DispatchInput>>,
}

/// None where nothing was pushed yet. `git_ref` is a whole name; without one it is the default branch.
pub(in crate::web) async fn at(app: &App, project: &Project, git_ref: Option<&str>) -> AppResult<Option<At>> {
    let default = format!("refs/heads/{}", project.default_branch);
    let wanted = git_ref.unwrap_or(&default);
    let refs = app.store.read().await?.refs(project.id).await?;
    let Some((name, tip)) = refs.into_iter().find(|(name, _)| name == wanted) else {
        return match git_ref {
            Some(_) => Err(AppError::not_found("such branch or tag")),
            None => Ok(None),
        };
    };
    static MEMORY: LazyLock<Mutex<HashMap<(i64, String), Read>>> = LazyLock::new(Mutex::default);
    let key = (project.id, tip.clone());
    let known = {
        let memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(&key).cloned()
    };
    let Read {
        sha,
        title,
        author,
        workflows,
    } = match known {
        Some(known) => known,
        None => {
            let read = read(app, project, &tip)
                .await
                .map_err(|error| AppError::internal(&error))?;
            let Some(read) = read else { return Ok(None) };
            let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
            if memory.len() >= COMMITS_MAX {
                memory.clear();
            }
            memory.insert(key, read.clone());
            read
        }
    };
    Ok(Some(At {
        git_ref: name,
        sha,
        title,
        author,
        workflows,
    }))
}

/// A tag that has a text of its own leads to its commit.
async fn read(app: &App, project: &Project, tip: &str) -> Result<Option<Read>, GitError> {
    let repository = app.repositories.of(project);
    let Some(sha) = repository.commit_of(tip).await? else {
        return Ok(None);
    };
    let commit = repository.commit(&sha).await?;
    let files = Files::read(&repository, &sha).await?;
    let paths = files.paths().map(|path| (path.clone(), one(&files, path)));
    Ok(Some(Read {
        title: commit.title().chars().take(TITLE_CHARS).collect(),
        author: commit.author_name,
        workflows: Arc::new(paths.collect()),
        sha,
    }))
}

fn one(files: &Files, path: &str) -> Known {
    let read = files.parse(path);
    let mut diagnostics = read.diagnostics;
    let Some(workflow) = read.workflow else {
        return Known {
            path: path.to_owned(),
            name: path.to_owned(),
            triggers: Vec::new(),
            diagnostics,
            inputs: None,
        };
    };
    diagnostics.extend(lint::check(&workflow));
    diagnostics.sort_by_key(|diagnostic| (diagnostic.severity, diagnostic.span));
    let by_hand = |trigger: &&model::Trigger| trigger.event.value == "workflow_dispatch";
    let inputs = workflow.on.iter().find(by_hand).map(|trigger| {
        let inputs = trigger.inputs.iter();
        inputs
            .map(|(name, input)| crate::rest::workflow::input_of(name, input))
            .collect()
    });
    let said = workflow.on.iter().map(trigger::say);
    Known {
        path: path.to_owned(),
        name: workflows::name(&workflow, path),
        triggers: said.map(|said| (said.words, said.never)).collect(),
        diagnostics,
        inputs,
    }
}

impl Known {
    pub(in crate::web) fn triggers(&self) -> Vec<Trigger> {
        let said = self.triggers.iter().map(|(words, never)| Trigger {
            words: words.clone(),
            never: never.map(str::to_owned),
        });
        said.collect()
    }

    pub(in crate::web) fn errors(&self) -> usize {
        crate::render::errors(&self.diagnostics)
    }

    pub(in crate::web) fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }

    pub(in crate::web) fn findings(&self) -> Vec<Finding> {
        self.diagnostics
            .iter()
            .map(|diagnostic| self.finding(diagnostic))
            .collect()
    }

    fn finding(&self, diagnostic: &Diagnostic) -> Finding {
        let source = &diagnostic.source;
        let (start, end) = (
            source.position(diagnostic.span.start),
            source.position(diagnostic.span.end),
        );
        let text = source.text.lines().nth(start.line.saturating_sub(1) as usize);
        let text: String = text.unwrap_or_default().chars().take(LINE_CHARS).collect();
        let last = u32::try_from(text.chars().count()).unwrap_or_default() + 1;
        Finding {
            error: diagnostic.severity == Severity::Error,
            code: diagnostic.code.to_owned(),
            message: diagnostic.message.clone(),
            file: (source.path != self.path).then(|| source.path.clone()),
            line: start.line,
            column: start.column,
            end_column: if end.line == start.line { end.column } else { last },
            text,
            label: diagnostic.label.clone(),
            help: diagnostic.help.clone(),
        }
    }
}
