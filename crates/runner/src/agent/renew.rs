//! Keeps leases alive, on a thread of its own: no job, however busy it makes this process, delays a renewal.

use super::client::{CallError, Client, Pause};
use pilotage_api::lease::{Renew, Renewed};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::debug;

/// What the server says of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Good,
    /// The job is to be cancelled, and why.
    Cancelled(String),
    /// The lease is over: another may have it.
    Over(String),
}

/// The thread.
pub(super) struct Renewals {
    client: Arc<Client>,
    handle: Handle,
    /// Ends the thread when it is dropped.
    _alive: watch::Sender<()>,
}

/// Ends the renewals of one lease when it is dropped.
pub(super) struct Renewal {
    pub(super) standing: watch::Receiver<Standing>,
    task: AbortHandle,
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Renewals {
    pub(super) fn start(server: &str, token: &str) -> std::io::Result<Self> {
        let client = Client::new(server, token).map_err(|e| std::io::Error::other(e.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (alive, mut ended) = watch::channel(());
        std::thread::Builder::new()
            .name("renew".to_owned())
            .spawn(move || {
                runtime.block_on(async { while ended.changed().await.is_ok() {} });
            })?;
        Ok(Self {
            client: Arc::new(client),
            handle,
            _alive: alive,
        })
    }

    /// Renews at `path` from now on, every `every` at least.
    pub(super) fn keep(&self, path: String, every: Duration) -> Renewal {
        let (told, standing) = watch::channel(Standing::Good);
        let client = Arc::clone(&self.client);
        let task = self
            .handle
            .spawn(async move { renew(&client, &path, every, &told).await });
        Renewal {
            standing,
            task: task.abort_handle(),
        }
    }
}

async fn renew(client: &Client, path: &str, every: Duration, told: &watch::Sender<Standing>) {
    let mut pause = Pause::new();
    let mut cancelled = false;
    loop {
        let started = Instant::now();
        // Held by the server until there is a cancel to tell of, or it is time for the next.
        let wait = if cancelled {
            Duration::ZERO
        } else {
            every.mul_f32(0.9)
        };
        let body = Renew {
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or_default(),
        };
        match client.post::<_, Renewed>(path, &body).await {
            Ok(renewed) => {
                pause = Pause::new();
                if renewed.cancel && !cancelled {
                    cancelled = true;
                    told.send_replace(Standing::Cancelled(renewed.reason.unwrap_or_default()));
                }
                // An answer that came sooner, because the server is going down or the job is cancelled.
                let rest = if cancelled { every } else { Duration::from_secs(1) };
                tokio::time::sleep(rest.saturating_sub(started.elapsed())).await;
            }
            Err(CallError::Conflict(message)) => return over(told, message),
            Err(error @ (CallError::Unauthorized | CallError::NotFound)) => {
                return over(told, error.to_string());
            }
            // The server is away. The job goes on; if the lease ran out meanwhile, the next answer says so.
            Err(error) => {
                pause.log_once("the server", &error);
                pause.wait().await;
            }
        }
    }
}

fn over(told: &watch::Sender<Standing>, message: String) {
    // Most often it is over because the job has ended.
    debug!("a lease is over: {message}");
    told.send_replace(Standing::Over(message));
}
