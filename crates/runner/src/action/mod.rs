//! Actions: where they are found, and how each kind of them runs.

pub(crate) mod composite;
pub(crate) mod javascript;
pub(crate) mod resolve;

use crate::archive::ArchiveError;
use crate::builtin::BuiltIn;
use crate::contexts::{Contexts, Env};
use crate::glob::GlobError;
use crate::log::LogClosed;
use crate::process::ProcessError;
use crate::services::ServiceError;
use pilotage_workflow::expr::ExprError;
use pilotage_workflow::model::Action;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An action that was found.
#[derive(Clone)]
pub(crate) enum Code {
    BuiltIn(&'static BuiltIn),
    Directory(Arc<Directory>),
}

/// An action in a directory of this machine.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) action: Action,
    /// `owner/repo` and the ref behind the `@`; both empty for an action of the project itself.
    pub(crate) repository: String,
    pub(crate) reference: String,
}

/// The pre or post part of one action, with all that the parts before it left for it.
pub(crate) struct Post {
    pub(crate) code: Code,
    /// The id of its step.
    pub(crate) step: String,
    pub(crate) contexts: Contexts,
    /// `env` of the steps around it.
    pub(crate) overlay: Env,
    pub(crate) inputs: Env,
    pub(crate) state: Env,
}

/// Why a step failed, or ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActionError {
    #[error("{0}")]
    Failed(String),
    /// A program that was run ended with this code; what it wrote says why.
    #[error("Process completed with exit code {0}.")]
    Exit(i32),
    #[error("The operation was canceled.")]
    Stopped,
    /// What a command of the step's output could not do; the log says it where the command stood.
    #[error("{0}")]
    Refused(String),
    /// A step inside failed and has said why.
    #[error("a step of the action failed")]
    Told,
    #[error("{message}")]
    Expression { what: String, message: String },
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Glob(#[from] GlobError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("cannot use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Log(#[from] LogClosed),
}

impl ActionError {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// An expression of the step that cannot be evaluated. `what` names the key.
    pub(crate) fn expression(what: &str, error: &ExprError) -> Self {
        Self::Expression {
            what: what.to_owned(),
            message: format!("cannot evaluate `{what}`: {error}"),
        }
    }

    /// In one line, with its causes.
    pub(crate) fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.ends_with(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        text
    }
}
