//! Errors as people see them: what failed, on what, why, what to do next. The kind fixes the exit code.

use crate::render::style::Style;
use std::error::Error;
use std::fmt::Display;

/// Exit codes of design: 1 what was asked for failed, 2 wrong use or invalid input, 3 not reachable or not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    Failed,
    Invalid,
    Unreachable,
}

impl ErrorKind {
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Failed => 1,
            ErrorKind::Invalid => 2,
            ErrorKind::Unreachable => 3,
        }
    }
}

/// One error: a message, its causes, and advice.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) kind: ErrorKind,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

pub(crate) type CommandResult<T = std::process::ExitCode> = Result<T, CommandError>;

impl CommandError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Adds an error and what is under it.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        self.causes.push(error.to_string());
        let mut source = error.source();
        while let Some(error) = source {
            self.causes.push(error.to_string());
            source = error.source();
        }
        self
    }

    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    #[expect(clippy::print_stderr, reason = "the edge where errors are shown")]
    pub(crate) fn print(&self, style: &Style) {
        eprintln!("{} {}", style.error("error:"), self.message);
        for cause in &self.causes {
            eprintln!("  caused by: {cause}");
        }
        for hint in &self.hints {
            eprintln!("{} {hint}", style.dim("hint:"));
        }
    }
}

/// Closes this process's memory and environment to jobs; what serves or leases must not go on without it.
pub(crate) fn protect() -> CommandResult<()> {
    pilotage_runner::isolation::protect_this_process()
        .map_err(|e| CommandError::failed("cannot close this process to others").because(&e))
}

/// Sends the log of a long-running process to its standard error; `RUST_LOG` says how much.
pub(crate) fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
}
