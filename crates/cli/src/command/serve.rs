//! `pilotage serve`: the control plane.

use crate::error::{CommandError, CommandResult};
use clap::Args;
use pilotage_server::Config;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Run the server: git remote, runs, deployments.
///
/// Prints `ready URL` when it takes requests. The first start writes an administrator's token to DATA/admin-token.
#[derive(Args)]
pub(crate) struct Serve {
    /// A file of settings (server.yml); what is said here wins over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Everything that the server keeps lies here; `.pilotage` unless told otherwise.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The address to listen on; loopback unless told otherwise.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where people and programs reach it, if that is another address.
    #[arg(long)]
    url: Option<String>,
    /// Jobs that its own runner executes at the same time, 2 unless told otherwise; 0 for no runner of its own.
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
}

impl Serve {
    pub(crate) fn run(self) -> CommandResult {
        crate::error::protect()?;
        let config = self.config()?;
        crate::error::log();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|e| CommandError::failed("cannot start").because(&e))?;
        runtime.block_on(serve(config))
    }

    fn config(&self) -> CommandResult<Config> {
        let mut config = Config::new(PathBuf::from(".pilotage"));
        if let Some(file) = &self.config {
            let name = file.to_string_lossy();
            let diagnostics = config.apply(&crate::workflows::read(file, &name)?);
            let text = crate::render::diagnostic::text(&diagnostics, false);
            if pilotage_workflow::diagnostic::has_errors(&diagnostics) {
                return Err(CommandError::invalid(format!("{name} cannot be used\n\n{text}")));
            }
        }
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        config.listen = self.listen.unwrap_or(config.listen);
        config.url = self.url.clone().or(config.url);
        config.runner_slots = self.slots.unwrap_or(config.runner_slots);
        // Only the server reads what it keeps.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&config.data)
            .and_then(|()| config.data.canonicalize())
            .map(|data| config.data = data)
            .map_err(|e| {
                CommandError::failed(format!("cannot use the folder {}", config.data.display())).because(&e)
            })?;
        Ok(config)
    }
}

#[expect(clippy::print_stdout, reason = "the line that says it is ready")]
async fn serve(config: Config) -> CommandResult {
    let failed = |e: std::io::Error| CommandError::failed("cannot take signals").because(&e);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let server = pilotage_server::serve(config)
        .await
        .map_err(|e| CommandError::failed("the server cannot start").because(&e))?;
    println!("ready {}", server.url());
    let _ = std::io::stdout().flush();
    tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
    server.stop().await;
    Ok(ExitCode::SUCCESS)
}
