//! Errors as people see them: what failed, on what, why, what to do next. The kind fixes the exit code.

use crate::render::diagnostic;
use crate::render::style::{Sign, Style, fit};
use pilotage_api::client::ClientError;
use pilotage_api::rest::Problem;
use std::error::Error;
use std::fmt::Display;
use std::io::IsTerminal;

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
    /// What the server said no to, and its reasons, as it says them.
    refusal: Option<Box<Problem>>,
}

pub(crate) type CommandResult<T = std::process::ExitCode> = Result<T, CommandError>;

impl CommandError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            refusal: None,
        }
    }

    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreachable, message)
    }

    fn refused(kind: ErrorKind, problem: Box<Problem>) -> Self {
        let message = fit(&problem.detail, 2_000);
        Self {
            refusal: Some(problem),
            ..Self::new(kind, message)
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

    /// For what was asked for and refused, whatever status the server put on it: that is no wrong use.
    pub(crate) fn or_failed(mut self) -> Self {
        let answered = self.refusal.as_ref().map(|problem| problem.status);
        if answered.is_some_and(|status| matches!(status, 403 | 409 | 422)) {
            self.kind = ErrorKind::Failed;
        }
        self
    }

    fn because_of_source(self, error: &dyn Error) -> Self {
        match error.source() {
            Some(source) => self.because(source),
            None => self,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    #[expect(clippy::print_stderr, reason = "the edge where errors are shown")]
    pub(crate) fn print(&self, style: &Style) {
        match &self.refusal {
            Some(problem) => return eprint!("{}", refusal(problem, &self.message, &self.hints, style)),
            None => eprintln!("{} {}", style.error("error:"), self.message),
        }
        for cause in &self.causes {
            eprintln!("  caused by: {cause}");
        }
        for hint in &self.hints {
            eprintln!("{} {hint}", style.dim("hint:"));
        }
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(problem) => {
                let kind = match problem.status {
                    400 | 404 | 405 | 413 | 422 => ErrorKind::Invalid,
                    500.. => ErrorKind::Unreachable,
                    _ => ErrorKind::Failed,
                };
                Self::refused(kind, problem)
            }
            ClientError::Denied(problem) if problem.status == 401 && problem.advice.is_none() => {
                Self::refused(ErrorKind::Unreachable, problem)
                    .hint("set PILOTAGE_TOKEN, or give --token-file; `pilotage token create` makes one")
            }
            ClientError::Denied(problem) => Self::refused(ErrorKind::Unreachable, problem),
            ClientError::Unreachable { .. } => Self::unreachable(error.to_string())
                .because_of_source(&error)
                .hint("is it running? `pilotage serve` starts one; --url or PILOTAGE_URL says where it is"),
            ClientError::Answer { .. } => Self::unreachable(error.to_string())
                .hint("`pilotage doctor` compares the versions of this program and the server"),
            ClientError::Address { .. } | ClientError::Name(_) => Self::invalid(error.to_string()),
        }
    }
}

/// `✕ refused: …`, the faults of files, and what to do next.
fn refusal(problem: &Problem, message: &str, hints: &[String], style: &Style) -> String {
    let word = match problem.status {
        404 => "not found",
        500.. => "the server failed",
        _ => "refused",
    };
    let mut text = format!(
        "{} {} {message}\n",
        style.sign(Sign::Failed),
        style.error(&format!("{word}:"))
    );
    for found in &problem.diagnostics {
        text.push_str(&format!("\n{}\n", diagnostic::remote(found)));
    }
    let advice = problem.advice.iter().flat_map(|advice| advice.lines());
    for line in advice.chain(hints.iter().map(String::as_str)).take(50) {
        text.push_str(&format!("  {}\n", fit(line.trim_end(), 1_000)));
    }
    text
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
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .init();
}
