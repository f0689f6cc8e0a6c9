//! What can go wrong with a keeper or on the way to one.

use crate::spec::SpecError;
use std::path::{Path, PathBuf};
use std::{error, fmt, io};

#[derive(Debug)]
pub enum KeepError {
    /// `what` failed on a file, a process or a socket.
    Io {
        what: String,
        source: io::Error,
    },
    Spec {
        path: PathBuf,
        source: SpecError,
    },
    /// No keeper answers in the directory.
    NotRunning {
        dir: PathBuf,
    },
    /// The keeper answered that it cannot do what was asked.
    Refused {
        reason: String,
    },
    /// The keeper answered something that this version does not understand.
    Protocol {
        what: String,
    },
    /// A keeper was started and ended before it answered; its last words.
    Start {
        dir: PathBuf,
        reason: String,
    },
}

impl KeepError {
    pub(crate) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        KeepError::Io {
            what: what.into(),
            source: source.into(),
        }
    }

    pub(crate) fn path(verb: &str, path: &Path, source: impl Into<io::Error>) -> Self {
        KeepError::Io {
            what: format!("{verb} {}", path.display()),
            source: source.into(),
        }
    }
}

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeepError::Io { what, .. } => write!(f, "cannot {what}"),
            KeepError::Spec { path, .. } => write!(f, "cannot read {}", path.display()),
            KeepError::NotRunning { dir } => write!(f, "no keeper answers in {}", dir.display()),
            KeepError::Refused { reason } => write!(f, "the keeper refused: {reason}"),
            KeepError::Protocol { what } => write!(f, "the keeper's answer is not understood: {what}"),
            KeepError::Start { dir, reason } => {
                write!(f, "the keeper of {} ended at its start: {reason}", dir.display())
            }
        }
    }
}

impl error::Error for KeepError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            KeepError::Io { source, .. } => Some(source),
            KeepError::Spec { source, .. } => Some(source),
            _ => None,
        }
    }
}
