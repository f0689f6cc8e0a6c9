//! A server's life: its directory, its keys, its listener, its tasks, and its end.

use crate::app::App;
use crate::attempts;
use crate::audit_reads;
use crate::clock::Clock;
use crate::config::Config;
use crate::driver::Driver;
use crate::driver::deployment::{self, Live, Performer};
use crate::git::{self, Repositories};
use crate::outgoing::Outgoing;
use crate::own_runner::OwnRunner;
use crate::{connection, event, metric, notification, rest, runner, task, web};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use pilotage_deploy::Local;
use pilotage_store::{NewToken, Store, StoreError};
use pilotage_trust::seal::{KeyRing, SealError};
use pilotage_trust::token::{self, Scope, TokenKind};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

/// How long requests that are under way may take once the server goes down.
const STOP_TIME: Duration = Duration::from_secs(10);
const LOCK_TRIES: u32 = 25;
const LOCK_AGAIN: Duration = Duration::from_millis(20);
/// Bodies of requests that are not streams.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot {doing} {}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("another server uses the data directory {}", path.display())]
    InUse { path: PathBuf },
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the key file master.key cannot be used")]
    Key(#[from] SealError),
    #[error(transparent)]
    Token(#[from] token::NoRandomness),
    #[error("what an earlier process left cannot be put in order: {0}")]
    Resume(String),
    #[error(transparent)]
    Deploy(#[from] pilotage_deploy::DeployError),
}

/// A server that takes requests. Dropped, it ends at once, as if it were killed.
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    connections: tokio::task::JoinHandle<()>,
    /// Held while the server lives.
    _lock: File,
}

/// Starts a server. When this returns, it takes requests.
pub async fn serve(config: Config) -> Result<Server, ServeError> {
    serve_with_clock(config, Arc::new(Clock::default())).await
}

/// The same, by a clock that the caller can move on.
pub async fn serve_with_clock(config: Config, clock: Arc<Clock>) -> Result<Server, ServeError> {
    let lock = lock_directory(&config.data)?;
    let keys = KeyRing::parse(&key_file(&config.data.join("master.key"))?)?;
    let store = Arc::new(Store::open(&config.data).await?);
    let address = config.listen;
    let listen = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let url = config.url.clone().unwrap_or_else(|| local_url(address));
    let driver = Arc::new(Driver::new(Arc::clone(&store), Arc::clone(&clock)));
    let (stop, stopping) = watch::channel(false);
    let app = Arc::new(App {
        started_at: clock.now(),
        url: url.trim_end_matches('/').to_owned(),
        seen: std::sync::Mutex::default(),
        attempts: attempts::Attempts::default(),
        streams: web::Streams::default(),
        failures: std::sync::Mutex::default(),
        pasts: web::Known::default(),
        log_indexes: web::Indexes::default(),
        audit_readers: audit_reads::Readers::default(),
        audit_walked: web::Walked::default(),
        data: config.data.clone(),
        outgoing: Outgoing::new(config.outgoing.allow),
        pagerduty: config.outgoing.pagerduty,
        store,
        driver,
        clock,
        repositories: Repositories::new(config.data.join("repositories")),
        keys,
        local: Local::new(&config.data, &config.exe)?,
        live: Live::default(),
        metrics: metric::Metrics::default(),
        stopping,
    });
    take_up(&app).await?;
    let mut tasks = JoinSet::new();
    let (one, two, three) = (Arc::clone(&app), Arc::clone(&app), Arc::clone(&app));
    tasks.spawn(async move { one.driver.run_outbox().await });
    tasks.spawn(async move { two.driver.run_timer().await });
    tasks.spawn(async move { task::archive_logs(&three).await });
    tasks.spawn(Performer::new(Arc::clone(&app)).run());
    tasks.spawn(deployment::watch(Arc::clone(&app)));
    tasks.spawn(deployment::supervise(Arc::clone(&app)));
    tasks.spawn(metric::sample(Arc::clone(&app)));
    tasks.spawn(notification::send(Arc::clone(&app)));
    tasks.spawn(task::retain(Arc::clone(&app), config.retention));
    if config.runner_slots > 0 {
        let token = runner_token(&app, &config.data.join("runner-token")).await?;
        let runner = OwnRunner {
            token,
            url: own_url(address),
            slots: config.runner_slots,
        };
        tasks.spawn(runner.keep(Arc::clone(&app)));
    }
    let connections = tokio::spawn(connection::accept(
        listener,
        router(Arc::clone(&app)),
        stop.subscribe(),
    ));
    Ok(Server {
        app,
        address,
        stop,
        tasks,
        connections,
        _lock: lock,
    })
}

/// Takes up what an earlier process left; at the first start, makes who may come in.
async fn take_up(app: &Arc<App>) -> Result<(), ServeError> {
    administrator(app, &app.data.join("admin-token")).await?;
    app.driver.resume().await?;
    let lost = |error: crate::error::AppError| ServeError::Resume(error.to_string());
    git::record_all_changes(app).await.map_err(lost)?;
    event::handle_open(app).await.map(drop).map_err(lost)
}

impl Server {
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where to reach it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.app.url
    }

    /// Ends it in order: nothing new is handed out, long answers end, what is under way has a while to finish.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(STOP_TIME, &mut self.connections).await;
        self.tasks.shutdown().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.connections.abort();
    }
}

/// Every route there is. What is not here is not there.
fn router(app: Arc<App>) -> Router {
    let programs = Router::new()
        .nest(pilotage_api::lease::PREFIX, runner::routes())
        .nest(pilotage_api::rest::PREFIX, rest::routes())
        .merge(git::routes())
        .layer(axum::middleware::from_fn(web::for_programs));
    Router::new()
        .merge(programs)
        .merge(web::routes(&app))
        .method_not_allowed_fallback(|| async {
            crate::error::AppError::new(
                axum::http::StatusCode::METHOD_NOT_ALLOWED,
                "this is not done here",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::map_response(crate::error::as_problem))
        .layer(axum::middleware::map_response(web::for_all))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&app),
            attempts::record,
        ))
        .with_state(app)
}

/// Where its own runner reaches it. By number: not every machine knows the name `localhost`.
fn own_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

fn local_url(address: SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// Makes the data directory (for its owner alone) and takes its lock.
fn lock_directory(path: &Path) -> Result<File, ServeError> {
    let file_error = |doing| {
        move |source| ServeError::File {
            doing,
            path: path.to_owned(),
            source,
        }
    };
    let fresh = std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(file_error("create"))?;
    if fresh || path.join("pilotage.db").exists() {
        // It may have been made by somebody with a wider mind.
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(path, private).map_err(file_error("set the mode of"))?;
    }
    if fresh {
        // It may lie in somebody's project: keys and tokens are not to be committed with `git add .`.
        std::fs::write(path.join(".gitignore"), "*\n").map_err(file_error("write into"))?;
    }
    let lock = File::options()
        .create(true)
        .append(true)
        .open(path.join("lock"))
        .map_err(file_error("open a lock in"))?;
    // A process that the last server was just starting may hold it for an instant.
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
            Err(TryLockError::Error(source)) => return Err(file_error("lock")(source)),
        }
    }
    Err(ServeError::InUse {
        path: path.to_owned(),
    })
}

/// The text of the key file; at the first start a new key is written there.
fn key_file(path: &Path) -> Result<Zeroizing<String>, ServeError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = KeyRing::generate()?;
            write_private(path, &text)?;
            Ok(text)
        }
        Err(source) => Err(ServeError::File {
            doing: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Writes a file for its owner alone; it appears whole, on disk.
fn write_private(path: &Path, text: &str) -> Result<(), ServeError> {
    let temporary = path.with_extension("new");
    let file_error = |doing| {
        move |source| ServeError::File {
            doing,
            path: path.to_owned(),
            source,
        }
    };
    let _ = std::fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(file_error("write"))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(file_error("write"))?;
    std::fs::rename(&temporary, path).map_err(file_error("write"))?;
    let folder = path.parent().unwrap_or(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(file_error("sync"))
}

/// At the first start: a token that may do everything, in a file.
async fn administrator(app: &App, path: &Path) -> Result<(), ServeError> {
    if app.store.read().await?.setting("administrator").await?.is_some() {
        return Ok(());
    }
    let text = token::generate(TokenKind::Person)?;
    // The file first: a crash in between leaves a file that is written anew.
    write_private(path, &format!("{}\n", *text))?;
    let hash = token::hash(&text);
    app.store
        .write(move |c| {
            Box::pin(async move {
                let new = NewToken {
                    name: "admin",
                    hash: &hash,
                    kind: TokenKind::Person.word(),
                    scopes: Scope::Admin.word(),
                    project_id: None,
                    job_id: None,
                    expires_at: None,
                };
                let id = c.add_token(new, 0).await?;
                c.set_setting("administrator", &id.to_string()).await
            })
        })
        .await?;
    Ok(())
}

/// The token of the server's own runner: the one of an earlier start, while it is good. A runner that outlived its
/// server goes on with it.
async fn runner_token(app: &App, path: &Path) -> Result<PathBuf, ServeError> {
    let now = app.now();
    if let Ok(text) = std::fs::read_to_string(path)
        && app
            .store
            .read()
            .await?
            .token(&token::hash(text.trim()), now)
            .await?
            .is_some()
    {
        return Ok(path.to_owned());
    }
    let text = token::generate(TokenKind::Runner)?;
    let hash = token::hash(&text);
    app.store
        .write(move |c| {
            Box::pin(async move {
                let new = NewToken {
                    name: "local runner",
                    hash: &hash,
                    kind: TokenKind::Runner.word(),
                    scopes: "",
                    project_id: None,
                    job_id: None,
                    expires_at: None,
                };
                let id = c.add_token(new, now).await?;
                c.revoke_tokens_named("local runner", TokenKind::Runner.word(), id, now)
                    .await
            })
        })
        .await?;
    write_private(path, &format!("{}\n", *text))?;
    Ok(path.to_owned())
}
