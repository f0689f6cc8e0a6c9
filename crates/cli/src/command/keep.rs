//! `pilotage keep`: the keeper of one process. Started by the server, not by people.

use crate::error::{CommandError, CommandResult};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Own one process: start it, log it, restart it. Started by the server, not by people.
#[derive(Args)]
pub(crate) struct Keep {
    /// The keeper's folder, which holds its `spec`.
    directory: PathBuf,
}

impl Keep {
    pub(crate) fn run(self) -> CommandResult {
        let shown = self.directory.display();
        pilotage_keep::run(&self.directory)
            .map_err(|e| CommandError::failed(format!("the keeper of {shown} ended")).because(&e))?;
        Ok(ExitCode::SUCCESS)
    }
}
