//! The data plane: routing, splitting, draining, counting, tripping.
//!
//! Owns the way of a request from a listening socket to a replica and back. One runtime per core; nothing is
//! shared on the way but read-only words and the judge of an armed service. It goes on with its last table when
//! the control plane is gone, raises no share by itself, and never sends a request twice that could do harm.
//!
//! Where to find what: [`table`] finds the revision, [`exchange`] is one request, [`upstream`] its connection to
//! the replica, [`seat`] what one core counts, [`plane`] the tables and their changes, [`control`] the socket.

mod answer;
mod connection;
mod control;
mod core;
mod cut;
mod disk;
mod drain;
mod exchange;
mod flight;
mod head;
mod judge;
mod listeners;
mod log;
mod plane;
mod probe;
mod seat;
mod socket;
mod table;
mod tunnel;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// What a proxy is started with. [`ProxyConfig::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Tables, control socket, probe secret and access log live here. Made with mode 0700.
    pub dir: PathBuf,
    /// The directory of the keeper that holds the listening sockets. Without one the proxy binds them itself,
    /// and connections are refused while it is down.
    pub keeper: Option<PathBuf>,
    /// Threads that serve requests.
    pub cores: usize,
    /// Whether each request is written to `access.log`.
    pub access_log: bool,
    pub limits: Limits,
}

/// What is allowed from outside. Bodies have no limit of size, only of what is held of them at a time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The head of a request or of an answer, in bytes.
    pub head_bytes: usize,
    /// A connection without a whole request under way is closed after this: slow heads and idle ones alike.
    pub idle: Duration,
    pub connect: Duration,
    /// From the request's last byte of head to the answer's head.
    pub response: Duration,
    /// How long what is in flight may go on after a stop.
    pub stop: Duration,
    /// After a stop, how long idle connections may still bring one more request, answered with `Connection: close`.
    pub linger: Duration,
    /// Client connections of all cores together; more wait in the backlog.
    pub connections: usize,
    /// Requests held at a time by each core while no revision has a share.
    pub held: usize,
    /// `access.log` is renamed to `access.log.1` at this size.
    pub log_bytes: u64,
}

impl ProxyConfig {
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            keeper: None,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            access_log: true,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            idle: Duration::from_secs(60),
            connect: Duration::from_secs(2),
            response: Duration::from_secs(30),
            stop: Duration::from_secs(30),
            linger: Duration::from_secs(1),
            connections: 16_384,
            held: 4096,
            log_bytes: 64 << 20,
        }
    }
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("cannot prepare {path}")]
    Directory { path: PathBuf, source: io::Error },
    #[error("another proxy serves from {path}")]
    Running { path: PathBuf },
    #[error("cannot listen on the control socket {path}")]
    Control { path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot start a runtime")]
    Runtime { source: io::Error },
}

/// Serves until SIGTERM or SIGINT, then lets what is in flight end, up to [`Limits::stop`].
///
/// # Errors
/// When it cannot start. Once it serves, nothing from outside ends it.
pub fn run(config: ProxyConfig) -> Result<(), ProxyError> {
    let proxy = Proxy::start(config)?;
    let plane = Arc::clone(&proxy.plane);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ProxyError::Runtime { source })?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return;
        };
        tokio::select! { _ = term.recv() => (), _ = int.recv() => () }
        plane.stop();
    });
    proxy.wait();
    Ok(())
}

/// A proxy that runs in threads of this process.
pub struct Proxy {
    plane: Arc<plane::Plane>,
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// Loads the tables of [`ProxyConfig::dir`] and serves.
    ///
    /// # Errors
    /// When the directory is in use or not usable, or no thread starts. An address that cannot be had is tried
    /// again each second.
    pub fn start(config: ProxyConfig) -> Result<Self, ProxyError> {
        raise_file_limit();
        let (plane, lock) = plane::Plane::open(config)?;
        let control = control::bind(&plane.config.dir)?;
        let mut threads = Vec::new();
        for core in &plane.cores {
            threads.push(core::spawn(Arc::clone(core)).map_err(|source| ProxyError::Runtime { source })?);
        }
        threads.push(
            control::spawn(Arc::clone(&plane), control, lock)
                .map_err(|source| ProxyError::Runtime { source })?,
        );
        Ok(Self { plane, threads })
    }

    /// Stops accepting, lets what is in flight end, and returns when it did or its time is up.
    pub fn stop(self) {
        self.plane.stop();
        self.wait();
    }

    fn wait(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the proxy panicked");
            }
        }
    }
}

/// Each request holds up to two sockets; a soft limit of 1,024 is met soon.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
