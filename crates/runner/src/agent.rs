//! The runner as its own process: slots that ask the server for jobs, execute them, and say what happened.
//!
//! Owns the loop around leases and what a runner does at its start and end. A dead runner's leftovers are cleaned
//! before the first job; a runner that is asked to end finishes what runs. Never decides what a job means
//! ([`crate::job`]), and never keeps a lease that the server says is over.

mod client;
mod lease;
mod outbox;
mod renew;
mod spool;

use crate::isolation::{Isolation, Settings as IsolationSettings};
use crate::process::Ladder;
use crate::workspace;
use client::{CallError, Client};
use pilotage_api::lease::{LeaseAnswer, LeaseRequest, PROTOCOL, Register, Registered};
use renew::Renewals;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a free slot's question may be held by the server.
const LEASE_WAIT: Duration = Duration::from_secs(25);
/// Log that waits on disk for the server, of one job; beyond it the job's output has to wait.
pub const SPOOL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What a runner needs to know.
#[derive(Clone)]
pub struct AgentSettings {
    /// The server's root: `http://127.0.0.1:7070`.
    pub server: String,
    /// The runner's token.
    pub token: String,
    pub name: String,
    pub labels: Vec<String>,
    pub slots: u32,
    /// Workspaces and spools; for this runner alone.
    pub work: PathBuf,
    /// What jobs must not reach: the platform's data directory and keys, where they are on this machine. The work
    /// directory need not be named.
    pub protected: Vec<PathBuf>,
    /// See [`crate::isolation::Settings`]; [`crate::isolation::FIRST_USER`] unless another is wanted.
    pub first_user: Option<u32>,
    /// See [`crate::job::JobHost`].
    pub actions_from: Vec<PathBuf>,
    pub env: Vec<(String, String)>,
    pub ladder: Ladder,
    /// Of the program.
    pub version: String,
}

impl std::fmt::Debug for AgentSettings {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentSettings")
            .field("server", &self.server)
            .field("name", &self.name)
            .field("work", &self.work)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("cannot use the runner's work directory {path}")]
    Work { path: PathBuf, source: io::Error },
    #[error("another runner is using the work directory {path}")]
    InUse { path: PathBuf },
    #[error("cannot prepare this process for jobs")]
    Process { source: io::Error },
    #[error("the server refuses this runner: {message}")]
    Refused { message: String },
}

/// How a runner is asked to end.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// Take no more jobs; end when those that run have ended.
    pub drain: CancellationToken,
    /// Cancel the jobs that run.
    pub cancel: CancellationToken,
}

impl Ending {
    /// The first SIGTERM or SIGINT drains, the second cancels.
    pub fn on_signals() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let ending = Self::default();
        let told = ending.clone();
        tokio::spawn(async move {
            for token in [&told.drain, &told.cancel] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(ending)
    }
}

/// Runs until it is asked to end, or the server refuses it for good. `ready` gets what isolation there is, in a
/// sentence, when the server knows the runner.
pub async fn run(
    settings: AgentSettings,
    ending: Ending,
    ready: impl FnOnce(&str),
) -> Result<(), AgentError> {
    let _lock = lock(&settings.work)?;
    crate::process::become_subreaper().map_err(|e| AgentError::Process { source: e.into() })?;
    crate::isolation::protect_this_process().map_err(|source| AgentError::Process { source })?;
    clean(&settings.work).await;
    let agent = Arc::new(Agent::new(settings, ending)?);
    let Some(registered) = agent.register().await? else {
        return Ok(());
    };
    agent.registered.send_replace(Some(registered));
    ready(&agent.isolation.describe());
    let mut slots = JoinSet::new();
    for slot in 0..agent.settings.slots {
        slots.spawn(slot_loop(Arc::clone(&agent), slot));
    }
    let mut result = Ok(());
    while let Some(ended) = slots.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                agent.ending.drain.cancel();
                result = Err(error);
            }
            Err(error) => warn!("a slot ended by a fault of ours: {error}"),
        }
    }
    result
}

/// The prefix of the tracking ids of a work directory's jobs: the same at each start.
fn tracking_prefix(work: &Path) -> String {
    let path = work.canonicalize().unwrap_or_else(|_| work.to_owned());
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let short: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("pilotage_{short}_")
}

/// One runner at a time in a work directory; the lock ends with the process, however that ends.
fn lock(work: &Path) -> Result<File, AgentError> {
    let failed = |source| AgentError::Work {
        path: work.to_owned(),
        source,
    };
    fs::create_dir_all(work).map_err(failed)?;
    let file = File::create(work.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(AgentError::InUse {
            path: work.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// What an earlier runner left here when it died: processes, workspaces, spools.
async fn clean(work: &Path) {
    for process in crate::process::kill_marked(&tracking_prefix(work)).await {
        info!(
            pid = process.pid,
            "ended `{}`, left behind by a runner that died", process.name
        );
    }
    let Ok(entries) = fs::read_dir(work) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_left = ["slot-", "left-", "spool-"]
            .iter()
            .any(|p| name.to_string_lossy().starts_with(p));
        if is_left && let Err(error) = workspace::wipe(&entry.path()) {
            warn!(
                "cannot remove {}, left behind by a runner that died: {error}",
                entry.path().display()
            );
        }
    }
}

/// What the slots share.
struct Agent {
    settings: AgentSettings,
    ending: Ending,
    client: Client,
    renewals: Renewals,
    isolation: Isolation,
    /// New at each start.
    instance: String,
    registered: watch::Sender<Option<Registered>>,
    /// Held while one slot registers anew for all.
    registering: Mutex<()>,
}

impl Agent {
    fn new(settings: AgentSettings, ending: Ending) -> Result<Self, AgentError> {
        let refused = |error: CallError| AgentError::Refused {
            message: error.to_string(),
        };
        let client = Client::new(&settings.server, &settings.token).map_err(refused)?;
        let renewals = Renewals::start(&settings.server, &settings.token)
            .map_err(|source| AgentError::Process { source })?;
        let protected = settings
            .protected
            .iter()
            .chain([&settings.work])
            .cloned()
            .collect();
        let isolation = Isolation::detect(&IsolationSettings {
            protected,
            work: settings.work.clone(),
            first_user: settings.first_user,
        });
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let instance = format!("{:x}-{}", now.as_nanos(), std::process::id());
        let registered = watch::Sender::new(None);
        Ok(Self {
            settings,
            ending,
            client,
            renewals,
            isolation,
            instance,
            registered,
            registering: Mutex::new(()),
        })
    }

    /// Until the server takes it, however long that is; `None` when the runner is asked to end before.
    async fn register(&self) -> Result<Option<Registered>, AgentError> {
        let register = Register {
            protocol: PROTOCOL,
            name: self.settings.name.clone(),
            instance: self.instance.clone(),
            labels: self.settings.labels.clone(),
            slots: self.settings.slots,
            version: self.settings.version.clone(),
        };
        let mut pause = client::Pause::new();
        loop {
            let call = self
                .client
                .post::<_, Registered>("/api/runner/v1/register", &register);
            let error = tokio::select! {
                () = self.ending.drain.cancelled() => return Ok(None),
                answer = call => match answer {
                    Ok(registered) => return Ok(Some(registered)),
                    Err(error) => error,
                },
            };
            if !error.is_passing() {
                return Err(AgentError::Refused {
                    message: error.to_string(),
                });
            }
            pause.log_once("the server", &error);
            tokio::select! {
                () = self.ending.drain.cancelled() => return Ok(None),
                () = pause.wait() => {}
            }
        }
    }

    /// The server does not know us any more: says it again, once for all slots that notice.
    async fn register_again(&self, known: i64) -> Result<(), AgentError> {
        let _one = self.registering.lock().await;
        let current = self.registered.borrow().as_ref().map(|r| r.runner);
        if current == Some(known)
            && let Some(registered) = self.register().await?
        {
            self.registered.send_replace(Some(registered));
        }
        Ok(())
    }
}

/// One slot: a job after the other.
async fn slot_loop(agent: Arc<Agent>, slot: u32) -> Result<(), AgentError> {
    let mut clearing = lease::Clearing::default();
    let ended = take_jobs(&agent, slot, &mut clearing).await;
    clearing.end().await;
    ended
}

async fn take_jobs(agent: &Agent, slot: u32, clearing: &mut lease::Clearing) -> Result<(), AgentError> {
    let mut pause = client::Pause::new();
    loop {
        let Some(registered) = agent.registered.borrow().clone() else {
            return Ok(());
        };
        let request = LeaseRequest {
            runner: registered.runner,
            instance: agent.instance.clone(),
            slot,
            wait_ms: u64::try_from(LEASE_WAIT.as_millis()).unwrap_or_default(),
        };
        let answer = tokio::select! {
            biased;
            () = agent.ending.drain.cancelled() => return Ok(()),
            answer = agent.client.post::<_, LeaseAnswer>("/api/runner/v1/lease", &request) => answer,
        };
        match answer {
            Ok(LeaseAnswer {
                lease: Some(lease), ..
            }) => {
                pause = client::Pause::new();
                lease::run(agent, slot, *lease, &registered, clearing).await;
            }
            Ok(LeaseAnswer { drain: true, .. }) => {
                // Asked again later: an administrator may take it back, and end a drained runner when it pleases.
                tokio::select! {
                    () = agent.ending.drain.cancelled() => return Ok(()),
                    () = tokio::time::sleep(LEASE_WAIT) => {}
                }
            }
            Ok(LeaseAnswer { .. }) => pause.short().await,
            Err(CallError::NotFound) => {
                agent.register_again(registered.runner).await?;
                pause.wait().await;
            }
            Err(error) if error.is_passing() => {
                pause.log_once("the server", &error);
                tokio::select! {
                    () = agent.ending.drain.cancelled() => return Ok(()),
                    () = pause.wait() => {}
                }
            }
            Err(error) => {
                return Err(AgentError::Refused {
                    message: error.to_string(),
                });
            }
        }
    }
}
