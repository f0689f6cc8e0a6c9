//! Connections to replicas: HTTP/1.1, a small pool for each core and replica, which goes when the replica goes.

use crate::core::Core;
use crate::cut::Cut;
use crate::seat::{Endpoint, Seat, lock};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

type Driver = http1::Connection<TokioIo<TcpStream>, RequestBody>;

/// A connection to a replica. The request that uses it drives it too, in its own task: that spares two changes of
/// task for each request. A tunnel, or an upload that may outlast its answer, is driven by a task of its own.
pub(crate) struct Line {
    sender: http1::SendRequest<RequestBody>,
    driver: Option<Box<Driver>>,
    cut: Arc<Cut>,
    pub(crate) idle_since: Instant,
}

impl Line {
    /// Sends a request; the answer comes while [`Line::drive`] is called.
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<> {
        self.sender.try_send_request(request)
    }

    /// Moves bytes. What goes wrong is told to the request that uses it. False when it does not move them.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(driver) = &mut self.driver else {
            return false;
        };
        if self.cut.poll(cx).is_ready() || Pin::new(&mut **driver).poll(cx).is_ready() {
            self.driver = None;
        }
        self.driver.is_some()
    }

    /// Gives it a task of its own.
    pub(crate) fn detach(&mut self) {
        if let Some(driver) = self.driver.take() {
            let cut = Arc::clone(&self.cut);
            // Ends with the connection, or is cut.
            tokio::spawn(async move {
                tokio::select! { _ = driver => (), () = cut.wait() => () }
            });
        }
    }

    /// Whether it takes a request now, and its replica has not closed it.
    fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop())) && self.sender.is_ready()
    }
}

/// Idle connections of one core to one replica; more are closed.
const IDLE_MAX: usize = 256;
/// Servers close idle connections after 5 s (Node, uvicorn) or 2 s (gunicorn): a request that could not be sent
/// again must not meet that.
pub(crate) const IDLE: Duration = Duration::from_secs(4);
const IDLE_UNREPEATABLE: Duration = Duration::from_secs(1);

/// A connection that is ready for a request, and whether it has served one before.
pub(crate) async fn line(
    core: &Core,
    seat: &Seat,
    endpoint: &Endpoint,
    repeatable: bool,
) -> io::Result<(Line, bool)> {
    let limit = if repeatable { IDLE } else { IDLE_UNREPEATABLE };
    loop {
        let idle = lock(&endpoint.idle).pop();
        let Some(mut line) = idle else { break };
        if line.idle_since.elapsed() <= limit && line.is_ready() {
            return Ok((line, true));
        }
    }
    let (sender, driver) = connect(core, endpoint).await?;
    let line = Line {
        sender,
        driver: Some(Box::new(driver)),
        cut: seat.cuts.join(),
        idle_since: Instant::now(),
    };
    Ok((line, false))
}

/// A connection of its own, which may change its protocol.
pub(crate) async fn upgradeable(core: &Core, seat: &Seat, endpoint: &Endpoint) -> io::Result<Line> {
    let (sender, driver) = connect(core, endpoint).await?;
    let cut = seat.cuts.join();
    let line = Line {
        sender,
        driver: None,
        cut: Arc::clone(&cut),
        idle_since: Instant::now(),
    };
    tokio::spawn(async move {
        tokio::select! { _ = driver.with_upgrades() => (), () = cut.wait() => () }
    });
    Ok(line)
}

async fn connect(core: &Core, endpoint: &Endpoint) -> io::Result<(http1::SendRequest<RequestBody>, Driver)> {
    let stream = timeout(core.common.limits.connect, TcpStream::connect(endpoint.address)).await??;
    stream.set_nodelay(true)?;
    http1::Builder::new()
        .max_buf_size(core.common.limits.head_bytes.max(8192))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)
}

/// Keeps a connection whose answer came whole.
pub(crate) fn keep(seat: &Seat, endpoint: &Endpoint, mut line: Line) {
    if seat.is_leaving() || endpoint.is_retired() || !line.is_ready() {
        return;
    }
    let mut idle = lock(&endpoint.idle);
    if idle.len() < IDLE_MAX {
        line.idle_since = Instant::now();
        idle.push(line);
    }
}

/// A request's body on its way to the replica.
pub(crate) enum RequestBody {
    Empty,
    Streaming { body: Incoming, progress: Arc<Progress> },
}

/// How far a request's body has come; read when the answer is there.
#[derive(Default)]
pub(crate) struct Progress(AtomicU8);

const ENDED: u8 = 1;
const BROKEN: u8 = 2;

impl Progress {
    pub(crate) fn has_ended(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ENDED
    }

    /// The client went away within it.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.load(Ordering::Relaxed) == BROKEN
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Streaming { body, progress } = &mut *self else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        match &frame {
            Some(Err(_)) => progress.0.store(BROKEN, Ordering::Relaxed),
            Some(Ok(_)) if !body.is_end_stream() => (),
            _ => progress.0.store(ENDED, Ordering::Relaxed),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { body, .. } => body.size_hint(),
        }
    }
}
