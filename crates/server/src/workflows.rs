//! The workflow files of a commit, read with all that they call.

use crate::app::App;
use crate::error::AppResult;
use crate::git::{GitError, Repository};
use pilotage_store::Project;
use pilotage_workflow::diagnostic::{Diagnostic, has_errors};
use pilotage_workflow::model::Workflow;
use pilotage_workflow::parse::{self, ParseOptions, Resolver};
use pilotage_workflow::source::Source;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The texts of the workflow files of one commit, by path.
pub(crate) struct Files {
    texts: BTreeMap<String, String>,
}

/// One file, read.
pub(crate) struct Read {
    pub workflow: Option<Workflow>,
    pub diagnostics: Vec<Diagnostic>,
    /// The texts of the file and of all that it calls, by path.
    pub texts: BTreeMap<String, String>,
}

impl Read {
    #[must_use]
    pub(crate) fn has_errors(&self) -> bool {
        has_errors(&self.diagnostics)
    }
}

impl Files {
    pub(crate) async fn read(repository: &Repository, commit: &str) -> Result<Self, GitError> {
        Ok(Self {
            texts: repository.workflow_files(commit).await?,
        })
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &String> {
        self.texts.keys()
    }

    #[must_use]
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    #[must_use]
    pub(crate) fn parse(&self, path: &str) -> Read {
        let Some(text) = self.texts.get(path) else {
            return Read {
                workflow: None,
                diagnostics: Vec::new(),
                texts: BTreeMap::new(),
            };
        };
        let seen = Mutex::new(BTreeMap::from([(path.to_owned(), text.clone())]));
        let resolver = Called {
            texts: &self.texts,
            seen: &seen,
        };
        let source = Source::new(path, text.as_str());
        let (workflow, diagnostics) = parse::workflow(&source, &resolver, &ParseOptions::default());
        let texts = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        Read {
            workflow,
            diagnostics,
            texts,
        }
    }
}

/// Finds called workflows in the same commit, and takes note of them.
struct Called<'a> {
    texts: &'a BTreeMap<String, String>,
    seen: &'a Mutex<BTreeMap<String, String>>,
}

impl Resolver for Called<'_> {
    fn workflow(&self, uses: &str) -> Result<Arc<Source>, String> {
        let path = uses.strip_prefix("./").or_else(|| uses.strip_prefix("$/"));
        let path = path.ok_or_else(|| "workflows of other projects cannot be called yet".to_owned())?;
        let text = self
            .texts
            .get(path)
            .ok_or_else(|| "there is no such file at this commit".to_owned())?;
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.to_owned(), text.clone());
        Ok(Source::new(path, text.as_str()))
    }
}

/// A workflow's name: what it says, or its file's path.
#[must_use]
pub(crate) fn name(workflow: &Workflow, path: &str) -> String {
    workflow
        .name
        .as_ref()
        .map_or_else(|| path.to_owned(), |name| name.value.clone())
}

/// The project's variables; those of environments come in when a job is leased.
pub(crate) async fn variables(app: &App, project: &Project) -> AppResult<BTreeMap<String, String>> {
    let rows = app.store.read().await?.variables(project.id, "").await?;
    Ok(rows.into_iter().map(|row| (row.name, row.value)).collect())
}
