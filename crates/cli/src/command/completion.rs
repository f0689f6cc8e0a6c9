//! `pilotage completion`: completions for a shell.

use crate::error::CommandResult;
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
        clap_complete::generate(self.shell, &mut command, "pilotage", &mut std::io::stdout());
        Ok(ExitCode::SUCCESS)
    }
}
