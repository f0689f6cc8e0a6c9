//! `pilotage proxy`: the data plane. Started by the server under a keeper, not by people.

use crate::error::{CommandError, CommandResult};
use clap::Args;
use pilotage_proxy::ProxyConfig;
use std::path::PathBuf;
use std::process::ExitCode;

/// Serve the traffic of environments. Started by the server, not by people.
#[derive(Args)]
pub(crate) struct Proxy {
    /// The proxy's folder: its tables, its control socket, and the keeper that holds its listening sockets.
    directory: PathBuf,
}

impl Proxy {
    pub(crate) fn run(self) -> CommandResult {
        crate::error::protect()?;
        let mut config = ProxyConfig::new(self.directory.clone());
        config.keeper = Some(self.directory.join("keeper"));
        pilotage_proxy::run(config)
            .map_err(|e| CommandError::failed("the proxy cannot serve").because(&e))?;
        Ok(ExitCode::SUCCESS)
    }
}
