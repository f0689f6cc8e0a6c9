//! One lease, from its acknowledgement to the job's result, or to the moment when it is over.

use super::client::{CallError, Pause};
use super::outbox::{self, Over};
use super::renew::{Renewal, Standing};
use super::spool::Spool;
use super::{Agent, SPOOL_BYTES_MAX, tracking_prefix};
use crate::event::JobEvent;
use crate::job::{CheckoutSource, Dirs, JobHost};
use crate::log::{CHUNKS_WAITING_MAX, REMOTE_LINE_BYTES_MAX};
use crate::services::{Http, Services};
use crate::workspace::{Leftover, Workspace, WorkspaceError};
use pilotage_api::lease::{Lease, Registered, ResultAnswer};
use pilotage_api::runner::{Conclusion, JobResult, LogChunk};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Executes the lease's job. Whatever happens, afterwards the slot is free.
pub(super) async fn run(
    agent: &Agent,
    slot: u32,
    lease: Lease,
    registered: &Registered,
    clearing: &mut Clearing,
) {
    // Without the server's yes nothing is begun: it may have given the job to another meanwhile.
    let acknowledge = acknowledge(agent, &lease);
    match tokio::time::timeout(Duration::from_millis(registered.ack_ms), acknowledge).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return warn!(job = lease.job, "a job was not begun: {error}"),
        Err(_) => {
            return warn!(
                job = lease.job,
                "a job was not begun: the server did not answer in time"
            );
        }
    }
    info!(job = lease.job, slot, "job `{}` begins", lease.spec.name);
    let renewal = agent
        .renewals
        .keep(lease.path("renew"), Duration::from_millis(registered.renew_ms));
    let stop = Stops {
        cancel: agent.ending.cancel.child_token(),
        kill: CancellationToken::new(),
    };
    let job = lease.job;
    let over = {
        let mut work = std::pin::pin!(work(agent, slot, lease, &stop, clearing));
        tokio::select! {
            result = &mut work => result.err(),
            message = watch(&renewal, &stop) => {
                stop.kill.cancel();
                // Its processes end first; what it still has to say interests nobody.
                let _ = work.await;
                Some(Over::Fenced(message))
            }
        }
    };
    drop(renewal);
    match over {
        None => info!(job, slot, "job {job} is done"),
        Some(Over::Fenced(message)) => {
            warn!(job, slot, "job {job} was given up, its lease is over: {message}");
        }
        Some(Over::Abandoned) => warn!(job, slot, "job {job} was given up: the server was away for a day"),
    }
    clearing.begin(slot, job).await;
}

/// Again while the server is away: it may have died after it took our word and before it answered, and then nobody
/// else gets the job until the lease runs out.
async fn acknowledge(agent: &Agent, lease: &Lease) -> Result<(), CallError> {
    let path = lease.path("ack");
    let mut pause = Pause::new();
    loop {
        match agent.client.post_empty(&path).await {
            Err(error) if error.is_passing() => pause.log_once("the server", &error),
            answer => return answer,
        }
        pause.wait().await;
    }
}

struct Stops {
    cancel: CancellationToken,
    kill: CancellationToken,
}

/// Passes a cancel on; returns when the lease is over.
async fn watch(renewal: &Renewal, stop: &Stops) -> String {
    let mut standing = renewal.standing.clone();
    loop {
        match standing.borrow_and_update().clone() {
            Standing::Good => {}
            Standing::Cancelled(reason) => {
                if !stop.cancel.is_cancelled() {
                    info!("a job is cancelled: {reason}");
                }
                stop.cancel.cancel();
            }
            Standing::Over(message) => return message,
        }
        if standing.changed().await.is_err() {
            return "nobody renews it".to_owned();
        }
    }
}

/// The job itself, and bringing what it says to the server.
async fn work(
    agent: &Agent,
    slot: u32,
    lease: Lease,
    stop: &Stops,
    clearing: &mut Clearing,
) -> Result<(), Over> {
    let spool = match Spool::create(
        &agent.settings.work.join(format!("spool-{slot}")),
        SPOOL_BYTES_MAX,
    ) {
        Ok(spool) => spool,
        Err(error) => {
            return not_begun(agent, &lease, &format!("cannot make the log's spool: {error}")).await;
        }
    };
    let workspace = match make_workspace(agent, slot, &lease).await {
        Ok(workspace) => workspace,
        Err(error) => return not_begun(agent, &lease, &describe(&error)).await,
    };
    let (events, heard) = mpsc::channel(CHUNKS_WAITING_MAX);
    let delivered = async {
        // Dropping the receiver of what the job says ends the job's waiting too.
        let delivered = tokio::select! {
            delivered = outbox::deliver(&agent.client, &lease, heard, &spool) => delivered,
            () = stop.kill.cancelled() => Err(Over::Fenced("it was ended at once".to_owned())),
        };
        if delivered.is_err() {
            stop.kill.cancel();
        }
        delivered
    };
    let executed = async {
        match host(agent, slot, &lease, &workspace, events, stop) {
            Ok(host) => {
                let done = crate::job::execute(lease.spec.clone(), host).await;
                Ok(done)
            }
            Err(message) => Err(message),
        }
    };
    let (result, delivered) = tokio::join!(executed, delivered);
    clearing.left = Some(workspace.leave());
    match (delivered, result) {
        (Err(over), _) => Err(over),
        (Ok(()), Ok(result)) => send_result(agent, &lease, &result).await,
        (Ok(()), Err(message)) => not_begun(agent, &lease, &message).await,
    }
}

/// What a slot's last job left is removed while the next one is at work.
#[derive(Debug, Default)]
pub(super) struct Clearing {
    left: Option<Result<Option<Leftover>, WorkspaceError>>,
    at_work: Option<JoinHandle<()>>,
}

impl Clearing {
    /// Waits for the one before: a slot's leftovers do not pile up.
    async fn begin(&mut self, slot: u32, job: i64) {
        self.end().await;
        let tell = move |error: WorkspaceError| warn!(slot, "after job {job}: {}", describe(&error));
        match self.left.take() {
            None | Some(Ok(None)) => {}
            Some(Err(error)) => tell(error),
            Some(Ok(Some(left))) => {
                self.at_work = Some(tokio::task::spawn_blocking(move || {
                    left.remove().unwrap_or_else(tell);
                }));
            }
        }
    }

    pub(super) async fn end(&mut self) {
        if let Some(before) = self.at_work.take() {
            let _ = before.await;
        }
    }
}

async fn make_workspace(agent: &Agent, slot: u32, lease: &Lease) -> Result<Workspace, WorkspaceError> {
    let (work, user) = (agent.settings.work.clone(), agent.isolation.user(slot));
    let name = lease
        .git_path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".git")
        .to_owned();
    let path = work.clone();
    let made = tokio::task::spawn_blocking(move || Workspace::create(&work, slot, &name, user)).await;
    made.unwrap_or_else(|e| {
        Err(WorkspaceError::Remove {
            path,
            source: std::io::Error::other(e),
        })
    })
}

fn host(
    agent: &Agent,
    slot: u32,
    lease: &Lease,
    workspace: &Workspace,
    events: mpsc::Sender<JobEvent>,
    stop: &Stops,
) -> Result<JobHost, String> {
    let settings = &agent.settings;
    let rules = agent.isolation.rules(slot, &[&workspace.root]);
    let rules = rules.map_err(|e| format!("cannot shut the job off from the platform: {e}"))?;
    let http = Http::new(&settings.server, lease.token.as_str()).map_err(|e| describe(&e))?;
    let mut env = settings.env.clone();
    if agent.isolation.user(slot).is_some() {
        for (_, path) in env.iter_mut().filter(|(name, _)| name == "PATH") {
            *path = crate::isolation::path_for_others(path);
        }
    }
    env.push(("TMPDIR".to_owned(), workspace.tmp.to_string_lossy().into_owned()));
    Ok(JobHost {
        dirs: Dirs {
            workspace: workspace.workspace.clone(),
            temp: workspace.temp.clone(),
            home: workspace.home.clone(),
            tool_cache: workspace.tools.clone(),
        },
        events,
        cancel: stop.cancel.clone(),
        kill: stop.kill.clone(),
        services: Services::Http(http),
        checkout: CheckoutSource::Remote {
            server: settings.server.clone(),
        },
        rules: Arc::new(rules),
        private: settings
            .protected
            .iter()
            .chain([&settings.work])
            .cloned()
            .collect(),
        tracking_id: format!(
            "{}{}_{}_",
            tracking_prefix(&settings.work),
            lease.job,
            lease.fence
        ),
        ladder: settings.ladder,
        runner_name: settings.name.clone(),
        runner_environment: "self-hosted".to_owned(),
        actions_from: settings.actions_from.clone(),
        server_url: settings.server.clone(),
        token: Some(lease.token.clone()),
        env,
        line_bytes_max: REMOTE_LINE_BYTES_MAX,
    })
}

/// A job that this machine could not begin fails with a word about why, in its log and its result.
async fn not_begun(agent: &Agent, lease: &Lease, message: &str) -> Result<(), Over> {
    warn!(job = lease.job, "job {} cannot begin: {message}", lease.job);
    let text = format!("##[error]{message}\n");
    let mut body = Vec::new();
    pilotage_api::lease::write_frame(
        &mut body,
        &LogChunk {
            step: 0,
            first_line: 0,
            at_ms: now_ms(),
            text: text.clone(),
        },
    );
    let sent = agent
        .client
        .send(&lease.path("log"), "application/octet-stream", body)
        .await
        .is_ok();
    let result = JobResult {
        conclusion: Conclusion::Failure,
        continue_on_error: false,
        outputs: indexmap::IndexMap::new(),
        error: Some(message.to_owned()),
        log_lines: u64::from(sent),
        log_bytes: if sent { text.len() as u64 } else { 0 },
    };
    send_result(agent, lease, &result).await
}

async fn send_result(agent: &Agent, lease: &Lease, result: &JobResult) -> Result<(), Over> {
    match outbox::call::<_, ResultAnswer>(&agent.client, &lease.path("result"), result).await? {
        Ok(ResultAnswer { missing: None }) => {}
        Ok(ResultAnswer {
            missing: Some((from, to)),
        }) => {
            warn!(
                job = lease.job,
                "lines {from} to {to} of the log of job {} did not arrive", lease.job
            );
        }
        Err(error) => warn!(
            job = lease.job,
            "the server refuses the result of job {}: {error}", lease.job
        ),
    }
    Ok(())
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(0)
}

fn describe(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
