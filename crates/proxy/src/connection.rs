//! One client's connection: its protocol, its requests, and its end when it idles or the proxy stops.

use crate::answer::AnswerBody;
use crate::core::Core;
use crate::exchange;
use crate::seat::{lock, micros};
use crate::socket::{Protocol, Socket};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;
use tokio::net::TcpStream;

pub(crate) struct Connection {
    pub(crate) core: Arc<Core>,
    pub(crate) listener: SocketAddr,
    pub(crate) peer: SocketAddr,
    /// The peer's address as `X-Forwarded-For` has it.
    pub(crate) address: HeaderValue,
    /// Requests under way. The core that owns the connection writes it.
    active: AtomicU64,
    /// Since when there are none, on the core's clock.
    idle_since_us: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Connection {
    pub(crate) fn new(core: Arc<Core>, listener: SocketAddr, peer: SocketAddr) -> Self {
        let address = peer.ip().to_canonical().to_string();
        Self {
            idle_since_us: AtomicU64::new(core.now_us()),
            core,
            listener,
            peer,
            address: HeaderValue::from_str(&address).unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            active: AtomicU64::new(0),
            waker: Mutex::default(),
        }
    }

    pub(crate) fn begin(&self) {
        self.active
            .store(self.active.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        let left = self.active.load(Ordering::Relaxed).saturating_sub(1);
        self.active.store(left, Ordering::Relaxed);
        if left == 0 {
            self.idle_since_us.store(self.core.now_us(), Ordering::Relaxed);
        }
    }

    pub(crate) fn is_idle_for(&self, limit: Duration) -> bool {
        let idle_us = self
            .core
            .now_us()
            .saturating_sub(self.idle_since_us.load(Ordering::Relaxed));
        self.active.load(Ordering::Relaxed) == 0 && idle_us > micros(limit)
    }

    /// Lets it notice that the core is closing.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*lock(&self.waker) {
            waker.wake_by_ref();
        }
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(connection: Arc<Connection>, stream: TcpStream) {
    let Ok(Some((socket, protocol))) = Socket::open(stream).await else {
        return;
    };
    let io = TokioIo::new(socket);
    let limits = &connection.core.common.limits;
    let owner = Arc::clone(&connection);
    let service = service_fn(move |request: Request<Incoming>| answer(Arc::clone(&owner), request));
    match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            // Slow heads are closed by the core's sweep, which costs a request nothing.
            builder
                .max_buf_size(limits.head_bytes.max(8192))
                .header_read_timeout(None);
            let served = builder.serve_connection(io, service).with_upgrades();
            drive(&connection, pin!(served), |served| served.graceful_shutdown()).await;
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .max_concurrent_streams(250)
                .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
                .max_send_buf_size(256 << 10);
            let served = builder.serve_connection(io, service);
            drive(&connection, pin!(served), |served| served.graceful_shutdown()).await;
        }
    }
}

async fn answer(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    Ok(exchange::serve(connection, request).await)
}

/// Polls the connection, and asks it once to end when the core closes. Errors are the client's: it learns by them.
async fn drive<C: Future>(connection: &Connection, mut served: Pin<&mut C>, end: impl Fn(Pin<&mut C>)) {
    let mut registered = false;
    let mut ending = false;
    poll_fn(|cx| {
        if !registered {
            *lock(&connection.waker) = Some(cx.waker().clone());
            registered = true;
        }
        if !ending && connection.core.is_closing() {
            ending = true;
            end(served.as_mut());
        }
        served.as_mut().poll(cx).map(drop)
    })
    .await;
}
