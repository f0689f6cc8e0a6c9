//! Connections to replicas: HTTP/1.1, a small pool for each core and replica, which goes when the replica goes.

use crate::core::Core;
use crate::seat::{Endpoint, Seat, lock};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) type Sender = http1::SendRequest<RequestBody>;

/// A connection that waits for its next request.
pub(crate) struct Idle {
    sender: Sender,
    pub(crate) since: Instant,
}

/// Idle connections of one core to one replica; more are closed.
const IDLE_MAX: usize = 256;
/// Servers close idle connections after 5 s (Node, uvicorn) or 2 s (gunicorn): a request that could not be sent
/// again must not meet that.
pub(crate) const IDLE: Duration = Duration::from_secs(4);
const IDLE_UNREPEATABLE: Duration = Duration::from_secs(1);

/// A connection that is ready for a request, and whether it has served one before.
pub(crate) async fn connection(
    core: &Core,
    seat: &Seat,
    endpoint: &Endpoint,
    repeatable: bool,
) -> io::Result<(Sender, bool)> {
    let limit = if repeatable { IDLE } else { IDLE_UNREPEATABLE };
    loop {
        let idle = lock(&endpoint.idle).pop();
        let Some(mut idle) = idle else { break };
        if idle.sender.is_closed() || idle.since.elapsed() > limit {
            continue;
        }
        // It may still be at the last bytes of the answer before.
        if idle.sender.is_ready()
            || matches!(
                timeout(core.common.limits.connect, idle.sender.ready()).await,
                Ok(Ok(()))
            )
        {
            return Ok((idle.sender, true));
        }
    }
    Ok((connect(core, seat, endpoint).await?, false))
}

/// A connection of its own.
pub(crate) async fn connect(core: &Core, seat: &Seat, endpoint: &Endpoint) -> io::Result<Sender> {
    let stream = timeout(core.common.limits.connect, TcpStream::connect(endpoint.address)).await??;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(core.common.limits.head_bytes.max(8192))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // Ends with the connection; what goes wrong is told to the request that uses it.
    let task = tokio::spawn(async move { drop(connection.with_upgrades().await) });
    seat.register(task.abort_handle());
    Ok(sender)
}

/// Keeps a connection whose answer came whole.
pub(crate) fn keep(seat: &Seat, endpoint: &Endpoint, sender: Sender) {
    if sender.is_closed() || seat.is_leaving() || endpoint.is_retired() {
        return;
    }
    let mut idle = lock(&endpoint.idle);
    if idle.len() < IDLE_MAX {
        idle.push(Idle {
            sender,
            since: Instant::now(),
        });
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
