//! What results are written on: colours, width and the time that it is. And the two ways out: results, and advice.

use super::style::{Style, width};
use crate::error::{CommandError, CommandResult};
use crate::exec::driver::now;
use serde::Serialize;
use std::io::{IsTerminal, Write};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) style: Style,
    /// Columns that a line may take. Results that go to a file or a pipe are not cut.
    pub(crate) width: usize,
    /// Milliseconds since 1970, for ages.
    pub(crate) now: i64,
}

impl Page {
    /// The standard output.
    pub(crate) fn out(style: &Style) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self {
            style: style.for_out(),
            width: if terminal { width() } else { usize::MAX },
            now: now().0,
        }
    }
}

/// A result. A reader that went away is no error.
pub(crate) fn result(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Progress and advice.
pub(crate) fn advice(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A result for programs.
pub(crate) fn json(value: &impl Serialize) -> CommandResult<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| CommandError::failed("cannot write the answer as JSON").because(&e))?;
    result(&format!("{text}\n"));
    Ok(())
}
