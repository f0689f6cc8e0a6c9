//! `pilotage runner`: executes jobs for a server, and says who else does.

use crate::error::{CommandError, CommandResult};
use crate::render::page::{Page, advice, json, result};
use crate::render::style::{Sign, Style};
use crate::render::table::{Cell, table};
use crate::render::text::age;
use crate::session::ServerArguments;
use clap::{Args, Subcommand};
use pilotage_api::rest;
use pilotage_runner::agent::{self, AgentSettings, Ending};
use pilotage_runner::isolation::FIRST_USER;
use pilotage_runner::process::Ladder;
use std::path::PathBuf;
use std::process::ExitCode;

/// Execute jobs for a server; list and drain its runners.
#[derive(Subcommand)]
pub(crate) enum Runner {
    Start(Start),
    /// List the runners of a server, and what they are busy with.
    List {
        #[command(flatten)]
        server: ServerArguments,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Let a runner finish its jobs and take no more.
    Drain {
        #[command(flatten)]
        server: ServerArguments,
        runner: String,
        /// Let it take jobs again.
        #[arg(long)]
        undo: bool,
    },
}

/// Run a runner: it asks the server for jobs and executes them.
///
/// The first SIGTERM finishes the jobs that run and takes no more; the second cancels them.
#[derive(Args)]
pub(crate) struct Start {
    /// The server.
    #[arg(
        long,
        env = "PILOTAGE_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7070"
    )]
    url: String,
    /// A file with the runner's token.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// The name that people see; the machine's name unless told otherwise.
    #[arg(long)]
    name: Option<String>,
    /// Jobs at the same time.
    #[arg(long, default_value_t = 2)]
    slots: u32,
    /// A label that jobs may ask for in `runs-on`, besides this machine's own. May be given more than once.
    #[arg(long = "label")]
    labels: Vec<String>,
    /// Workspaces and what waits for the server; for this runner alone.
    #[arg(long, value_name = "DIR", default_value = ".pilotage-runner")]
    data: PathBuf,
    /// A folder that no job may reach: the server's data, where it is on this machine. May be given more than once.
    #[arg(long, value_name = "DIR")]
    protect: Vec<PathBuf>,
    /// Where actions of other repositories are: DIR/OWNER/NAME/REF or DIR/OWNER/NAME. May be given more than once.
    #[arg(long, value_name = "DIR")]
    actions_from: Vec<PathBuf>,
}

impl Runner {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        match self {
            Runner::Start(start) => start.run(),
            Runner::List {
                server,
                json: as_json,
            } => {
                let session = server.connect()?;
                let runners = session.wait(session.client.runners())?;
                if as_json {
                    json(&runners)?;
                } else {
                    list(&runners, &Page::out(style));
                }
                Ok(ExitCode::SUCCESS)
            }
            Runner::Drain { server, runner, undo } => {
                let session = server.connect()?;
                session.wait(session.client.drain_runner(&runner, !undo))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn list(runners: &[rest::Runner], page: &Page) {
    if runners.is_empty() {
        advice("no runner has ever asked for jobs: pilotage runner start\n");
    }
    let row = |runner: &rest::Runner| {
        let state = match (runner.online, runner.drain, runner.busy) {
            (false, _, _) => Cell::state(Sign::Failed, "offline"),
            (true, true, 0) => Cell::state(Sign::Cancelled, "drained"),
            (true, true, _) => Cell::state(Sign::Waiting, "drains"),
            (true, false, 0) => Cell::state(Sign::Success, "ready"),
            (true, false, _) => Cell::state(Sign::Running, "busy"),
        };
        vec![
            state,
            Cell::text(&runner.name),
            Cell::number(format!("{} of {} slots busy", runner.busy, runner.slots)),
            Cell::text(runner.labels.join(", ")),
            Cell::text(&runner.version),
            Cell::number(format!("{} ago", age(page.now, runner.registered_at))),
        ]
    };
    result(&table(page, &runners.iter().map(row).collect::<Vec<_>>()));
}

impl Start {
    fn run(self) -> CommandResult {
        crate::error::log();
        let file = self.token_file.display();
        let token = std::fs::read_to_string(&self.token_file).map_err(|e| {
            CommandError::invalid(format!("cannot read the runner's token {file}")).because(&e)
        })?;
        std::fs::create_dir_all(&self.data).map_err(|e| {
            CommandError::failed(format!("cannot make the folder {}", self.data.display())).because(&e)
        })?;
        let settings = AgentSettings {
            server: self.url.trim_end_matches('/').to_owned(),
            token: token.trim().to_owned(),
            name: self.name.unwrap_or_else(host_name),
            labels: labels(self.labels),
            slots: self.slots.max(1),
            work: self.data.canonicalize().unwrap_or(self.data),
            protected: self.protect,
            first_user: Some(FIRST_USER),
            actions_from: self.actions_from,
            env: machine_env(),
            ladder: Ladder::default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|e| CommandError::failed("cannot start").because(&e))?;
        runtime.block_on(async {
            let ending =
                Ending::on_signals().map_err(|e| CommandError::failed("cannot take signals").because(&e))?;
            agent::run(settings, ending, |isolation| {
                tracing::info!("ready for jobs: {isolation}");
            })
            .await
            .map_err(|e| CommandError::failed("the runner ended").because(&e))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What a machine like this is known by in `runs-on`.
fn labels(more: Vec<String>) -> Vec<String> {
    let own = [
        "self-hosted",
        "linux",
        "x64",
        "ubuntu-latest",
        "ubuntu-24.04",
        "ubuntu-22.04",
        "ubuntu-20.04",
    ];
    let mut labels: Vec<String> = own.iter().map(|l| (*l).to_owned()).collect();
    labels.extend(more);
    labels
}

/// The part of the machine's environment that jobs may have.
fn machine_env() -> Vec<(String, String)> {
    let kept = [
        "PATH",
        "LANG",
        "LC_ALL",
        "TZ",
        "SSL_CERT_FILE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    ];
    kept.iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect()
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "runner".to_owned(), |n| n.trim().to_owned())
}
