//! `pilotage completion`: completions for a shell.

use crate::error::CommandResult;
use crate::render::page::result;
use clap::{Args, CommandFactory};
use std::process::ExitCode;

/// Print completions for a shell: `pilotage completion bash > /etc/bash_completion.d/pilotage`.
#[derive(Args)]
pub(crate) struct Completion {
    shell: clap_complete::Shell,
}

impl Completion {
    pub(crate) fn run(self) -> CommandResult {
        let mut command = crate::Arguments::command();
        // Written by us: clap's own writing panics where the reader goes away.
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, "pilotage", &mut text);
        result(&String::from_utf8_lossy(&text));
        Ok(ExitCode::SUCCESS)
    }
}
