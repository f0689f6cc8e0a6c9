//! The way to the proxy: its control socket, its listening sockets, and that it runs at all.
//!
//! The proxy runs under a keeper of its own in `proxy/keeper`, which also holds the listening sockets. Neither is
//! touched where it lives; a dead one is replaced.

use crate::error::{DeployError, blocking};
use crate::local::{Local, create_private};
use crate::port;
use pilotage_api::proxy::{Event, Request, Response, ServiceStatus, ServiceTable};
use pilotage_keep::{KeepError, Spec, client, socket};
use serde::de::DeserializeOwned;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, timeout};

/// With the secret in it, an answer says which replica gave it.
pub(crate) const PROBE_HEADER: &str = "pilotage-probe";
const SECRET: &str = "probe-secret";
const CONTROL: &str = "control";
const KEEPER: &str = "keeper";
const LINE_BYTES_MAX: u64 = 16 << 20;
/// It writes to disk (fsync) before it answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const START_WITHIN: Duration = Duration::from_secs(10);

impl Local {
    /// Makes sure that a proxy answers: finds the one that lives, also after its keeper was killed, or starts one.
    ///
    /// # Errors
    /// When it does not answer within 10 s.
    pub async fn ensure_proxy(&self) -> Result<Proxy, DeployError> {
        let _alone = self.alone("proxy".to_owned()).await;
        let local = self.clone();
        blocking(move || local.start_proxy()).await?;
        let proxy = Proxy {
            dir: self.proxy_dir(),
        };
        let deadline = Instant::now() + START_WITHIN;
        loop {
            match proxy.status().await {
                Ok(_) => return Ok(proxy),
                Err(error) if Instant::now() >= deadline => return Err(error),
                // Its socket appears some milliseconds after its start.
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// The proxy that [`Local::ensure_proxy`] has made sure of.
    #[must_use]
    pub fn proxy(&self) -> Proxy {
        Proxy {
            dir: self.proxy_dir(),
        }
    }

    /// Makes sure that the proxy's keeper holds an address to listen on, before any table names it.
    ///
    /// # Errors
    /// [`DeployError::PortTaken`] when a stranger listens there, with his name where it can be seen.
    pub async fn claim_address(&self, address: SocketAddr) -> Result<(), DeployError> {
        let keeper = self.proxy_keeper();
        blocking(move || match client::listener(&keeper, address) {
            Ok(_) => Ok(()),
            Err(KeepError::Refused { reason }) if reason.contains("Address already in use") => {
                Err(DeployError::PortTaken {
                    address,
                    holder: port::holder(address),
                })
            }
            Err(source) => Err(DeployError::Keep {
                what: format!("listen on {address}"),
                source,
            }),
        })
        .await
    }

    /// Gives an address up that no table names any more.
    ///
    /// # Errors
    /// When the proxy's keeper does not answer.
    pub async fn release_address(&self, address: SocketAddr) -> Result<(), DeployError> {
        let keeper = self.proxy_keeper();
        let unlisten = move || {
            client::unlisten(&keeper, address)
                .map_err(DeployError::keep(format!("stop listening on {address}")))
        };
        blocking(unlisten).await
    }

    /// Ends the proxy and its keeper: what is in flight gets `grace`. For an end of everything, not for updates.
    ///
    /// # Errors
    /// When the keeper cannot be spoken to.
    pub async fn stop_proxy(&self, grace: Duration) -> Result<(), DeployError> {
        let _alone = self.alone("proxy".to_owned()).await;
        let (keeper, exe) = (self.proxy_keeper(), self.inner.exe.clone());
        blocking(move || {
            if !keeper.join("spec").exists() {
                return Ok(());
            }
            client::end(&exe, &keeper, grace).map_err(DeployError::keep("stop the proxy"))
        })
        .await
    }

    fn proxy_keeper(&self) -> PathBuf {
        self.proxy_dir().join(KEEPER)
    }

    /// `exe proxy DIR` under a keeper in `DIR/keeper`.
    fn start_proxy(&self) -> Result<(), DeployError> {
        let (dir, keeper) = (self.proxy_dir(), self.proxy_keeper());
        create_private(&keeper)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        // A living keeper goes on with what it read; for the next one, we may lie elsewhere than before.
        if client::status(&keeper).is_err() {
            let spec = Spec {
                argv: vec![text(&self.inner.exe), "proxy".to_owned(), text(&dir)],
                cwd: dir,
                grace_ms: 40_000,
                restart_min_ms: 10,
                restart_max_ms: 5_000,
                ..Spec::default()
            };
            spec.write(&keeper)
                .map_err(DeployError::keep("describe the proxy"))?;
        }
        client::spawn(&self.inner.exe, &keeper).map_err(DeployError::keep("start the proxy"))?;
        if client::is_stopped(&keeper) {
            client::start(&keeper).map_err(DeployError::keep("start the proxy"))?;
        }
        Ok(())
    }

    pub(crate) fn probe_secret(&self) -> Result<String, DeployError> {
        let path = self.proxy_dir().join(SECRET);
        let secret = fs::read_to_string(&path).map_err(DeployError::path("read", &path))?;
        Ok(secret.trim().to_owned())
    }
}

/// A client of the proxy's control socket; each call is a connection of its own.
#[derive(Clone, Debug)]
pub struct Proxy {
    dir: PathBuf,
}

impl Proxy {
    /// Of a proxy that runs in `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Proxy { dir: dir.to_owned() }
    }

    /// Puts a table in force; it is on disk when this comes back. The same epoch with the same content is accepted
    /// again.
    ///
    /// # Errors
    /// [`DeployError::Refused`] with the proxy's reason, [`DeployError::Proxy`] when it cannot be reached.
    pub async fn apply(&self, table: &ServiceTable) -> Result<(), DeployError> {
        self.done(&Request::Apply {
            table: Box::new(table.clone()),
        })
        .await
    }

    /// Takes a service out.
    ///
    /// # Errors
    /// As [`Proxy::apply`].
    pub async fn remove(&self, id: &str, epoch: u64) -> Result<(), DeployError> {
        self.done(&Request::Remove {
            id: id.to_owned(),
            epoch,
        })
        .await
    }

    /// A trip was recorded, and the proxy need not repeat it.
    ///
    /// # Errors
    /// As [`Proxy::apply`].
    pub async fn acknowledge(&self, id: &str, deployment: i64) -> Result<(), DeployError> {
        self.done(&Request::AcknowledgeTrip {
            id: id.to_owned(),
            deployment,
        })
        .await
    }

    /// Everything that it knows of its services.
    ///
    /// # Errors
    /// As [`Proxy::apply`].
    pub async fn status(&self) -> Result<Vec<ServiceStatus>, DeployError> {
        match self.ask(&Request::Status, ANSWER_WITHIN).await? {
            Response::Status { services } => Ok(services),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Waits until a revision without a share has nothing in flight, at most until the deadline, when the rest is
    /// cut. Returns how many requests finished, and how many were cut.
    ///
    /// # Errors
    /// As [`Proxy::apply`].
    pub async fn drain(
        &self,
        id: &str,
        revision: &str,
        deadline: Duration,
    ) -> Result<(u64, u64), DeployError> {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Drain {
            id: id.to_owned(),
            revision: revision.to_owned(),
            deadline_ms,
        };
        match self.ask(&request, deadline + ANSWER_WITHIN).await? {
            Response::Drained { finished, cut } => Ok((finished, cut)),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Events from here on; trips that nobody has acknowledged come first.
    ///
    /// # Errors
    /// As [`Proxy::apply`].
    pub async fn watch(&self) -> Result<Watch, DeployError> {
        let (reader, mut writer) = self.connect().map_err(self.broken())?;
        send(&mut writer, &Request::Watch).await.map_err(self.broken())?;
        Ok(Watch {
            proxy: self.clone(),
            reader,
            _writer: writer,
        })
    }

    async fn done(&self, request: &Request) -> Result<(), DeployError> {
        match self.ask(request, ANSWER_WITHIN).await? {
            Response::Done => Ok(()),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn ask(&self, request: &Request, within: Duration) -> Result<Response, DeployError> {
        let exchange = async {
            let (mut reader, mut writer) = self.connect()?;
            send(&mut writer, request).await?;
            receive(&mut reader).await
        };
        let answer = timeout(within, exchange)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match answer.map_err(self.broken())? {
            Response::Refused { reason } => Err(DeployError::Refused { reason }),
            other => Ok(other),
        }
    }

    fn connect(&self) -> io::Result<(BufReader<OwnedReadHalf>, OwnedWriteHalf)> {
        let stream = socket::connect(&self.dir, CONTROL)?;
        stream.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(stream)?.into_split();
        Ok((BufReader::new(reader), writer))
    }

    fn broken(&self) -> impl Fn(io::Error) -> DeployError {
        let dir = self.dir.display().to_string();
        move |source| DeployError::Proxy {
            dir: dir.clone(),
            source,
        }
    }

    fn unexpected(&self, answer: &Response) -> DeployError {
        self.broken()(io::Error::other(format!("unexpected answer {answer:?}")))
    }
}

/// What the proxy tells by itself.
#[derive(Debug)]
pub struct Watch {
    proxy: Proxy,
    reader: BufReader<OwnedReadHalf>,
    /// The proxy would take a closed half for the end of our interest.
    _writer: OwnedWriteHalf,
}

impl Watch {
    /// The next event, whenever it comes. Not cancel-safe: a cancelled call may lose a part of a line.
    ///
    /// # Errors
    /// When the proxy ended or was replaced: watch anew then.
    pub async fn next(&mut self) -> Result<Event, DeployError> {
        receive(&mut self.reader).await.map_err(self.proxy.broken())
    }
}

async fn send(writer: &mut OwnedWriteHalf, request: &Request) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

async fn receive<T: DeserializeOwned>(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<T> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}
