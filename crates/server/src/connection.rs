//! Connections: how many there may be, and how slow. Nobody keeps others out by opening many, or by sending nothing.

use crate::attempts::{self, Peer};
use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use futures_util::StreamExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How long a client may take to send a request's head.
    head: Duration,
    /// How long a body may be silent.
    silence: Duration,
    /// What a body brings on average, at least, once it is older than that.
    bytes_per_s: u64,
    connections: usize,
    /// Of one address: what is left is for others.
    of_one: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            bytes_per_s: 128,
            connections: 2048,
            of_one: 1024,
        }
    }
}

const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Takes connections until told to stop, then lets those that are busy finish.
pub(crate) async fn accept(listener: TcpListener, router: Router, stop: watch::Receiver<bool>) {
    accept_within(Limits::default(), listener, router, stop).await;
}

async fn accept_within(
    limits: Limits,
    listener: TcpListener,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let router = router.layer(axum::middleware::map_request(move |request| async move {
        patient(request, limits)
    }));
    let builder = protocol(limits);
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let open = Open::default();
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, mostly: it passes when connections end.
                tracing::warn!("a connection cannot be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = open.enter(from.ip(), limits.of_one) else {
            tracing::debug!("{} has too many connections", from.ip());
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (service, peer) = (TowerToHyperService::new(router.clone()), Peer(from.ip()));
        let (begin, begun) = watch::channel(false);
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            begin.send_replace(true);
            request.extensions_mut().insert(peer);
            hyper::service::Service::call(&service, request)
        });
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            let _held = (permit, place);
            if let Err(error) = in_time(connection, begun, limits.head).await {
                tracing::debug!("a connection ended: {error}");
            }
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    graceful.shutdown().await;
}

/// A connection to its end, if its first request is there in time: before it is known which protocol a client speaks,
/// nothing else looks at the clock.
async fn in_time<E>(
    connection: impl Future<Output = Result<(), E>>,
    mut begun: watch::Receiver<bool>,
    head: Duration,
) -> Result<(), E> {
    let mut connection = std::pin::pin!(connection);
    let first = async {
        tokio::select! {
            end = &mut connection => Some(end),
            _ = begun.wait_for(|begun| *begun) => None,
        }
    };
    match tokio::time::timeout(head, first).await {
        Ok(Some(end)) => end,
        Ok(None) => connection.await,
        Err(_) => Ok(()),
    }
}

fn protocol(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(64 * 1024)
        .keep_alive_interval(limits.head);
    builder
}

/// How many connections each address has.
#[derive(Clone, Debug, Default)]
struct Open(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them; ends when it is dropped.
struct Place {
    open: Open,
    address: IpAddr,
}

impl Open {
    /// None where it has as many as it may have.
    fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        let address = attempts::network(address);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place {
            open: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// Ends a request whose body falls silent or trickles, so that nobody holds a connection by doing nothing.
fn patient(request: Request, limits: Limits) -> Request {
    let (parts, body) = request.into_parts();
    let coming = Coming {
        body: body.into_data_stream(),
        began: Instant::now(),
        bytes: 0,
        limits,
    };
    let body = futures_util::stream::try_unfold(coming, Coming::next);
    Request::from_parts(parts, Body::from_stream(body))
}

struct Coming {
    body: BodyDataStream,
    began: Instant,
    bytes: u64,
    limits: Limits,
}

impl Coming {
    async fn next(mut self) -> std::io::Result<Option<(Bytes, Self)>> {
        let bytes = match tokio::time::timeout(self.limits.silence, self.body.next()).await {
            Ok(Some(bytes)) => bytes.map_err(std::io::Error::other)?,
            Ok(None) => return Ok(None),
            Err(_) => return Err(std::io::Error::other("the body fell silent")),
        };
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let age = self.began.elapsed();
        if age > self.limits.silence && self.bytes < age.as_secs().saturating_mul(self.limits.bytes_per_s) {
            return Err(std::io::Error::other("the body comes too slowly"));
        }
        Ok(Some((bytes, self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::post;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn listening(limits: Limits) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopping) = watch::channel(false);
        let router = Router::new().route("/", post(|body: String| async move { body }));
        tokio::spawn(accept_within(limits, listener, router, stopping));
        (address, stop)
    }

    fn quick() -> Limits {
        Limits {
            head: Duration::from_millis(100),
            silence: Duration::from_millis(200),
            ..Limits::default()
        }
    }

    /// What comes back for these parts, sent one every 50 ms, until the other side ends it.
    async fn answer(address: SocketAddr, parts: impl Iterator<Item = String> + Send + 'static) -> String {
        let (mut from, mut to) = TcpStream::connect(address)
            .await
            .expect("a connection")
            .into_split();
        let sending = tokio::spawn(async move {
            for part in parts {
                if to.write_all(part.as_bytes()).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            to
        });
        let mut text = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), from.read_to_end(&mut text)).await;
        sending.abort();
        assert!(read.is_ok(), "the connection is still open");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Attack: a head that never ends, and a connection that says nothing (slowloris).
    #[tokio::test]
    async fn a_head_has_its_time() {
        let (address, _stop) = listening(quick()).await;
        let trickle = std::iter::once("POST / HTTP/1.1\r\nhost: a\r\n".to_owned());
        let trickle = trickle.chain((0..).map(|n| format!("x-{n}: a\r\n")));
        assert!(!answer(address, trickle).await.contains(" 200 "));
        assert_eq!(answer(address, std::iter::empty()).await, "");
        // So far it may be either protocol.
        assert_eq!(answer(address, std::iter::once("P".to_owned())).await, "");
    }

    /// Attack: a body that falls silent, and one that brings a byte now and then.
    #[tokio::test]
    async fn a_body_has_its_pace() {
        let limits = Limits {
            bytes_per_s: 1000,
            ..quick()
        };
        let (address, _stop) = listening(limits).await;
        let head =
            || std::iter::once("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9000\r\n\r\n".to_owned());
        assert!(!answer(address, head()).await.contains(" 200 "), "silent");
        let trickle = head().chain((0..).map(|_| "x".to_owned()));
        assert!(!answer(address, trickle).await.contains(" 200 "), "a trickle");
        let steady = head().chain((0..9).map(|_| "x".repeat(1000)));
        assert!(answer(address, steady).await.contains(" 200 "), "a steady one");
    }

    /// Attack: one address opens all connections there are.
    #[tokio::test]
    async fn one_address_leaves_room_for_others() {
        let open = Open::default();
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let held: Vec<_> = (0..3)
            .map_while(|_| open.enter(address("192.0.2.1"), 2))
            .collect();
        assert_eq!(held.len(), 2);
        assert!(open.enter(address("192.0.2.2"), 2).is_some(), "others");
        drop(held);
        assert!(
            open.enter(address("192.0.2.1"), 2).is_some(),
            "when they have ended"
        );
        assert!(
            open.0.lock().expect("unpoisoned").is_empty(),
            "nothing is remembered"
        );

        let (at, _stop) = listening(Limits {
            of_one: 1,
            ..Limits::default()
        })
        .await;
        let _first = TcpStream::connect(at).await.expect("a connection");
        assert_eq!(answer(at, std::iter::empty()).await, "", "the second is closed");
    }

    /// Attack: heads and cookies without end.
    #[tokio::test]
    async fn heads_are_small() {
        let (address, _stop) = listening(Limits::default()).await;
        let head = format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncookie: {}\r\n\r\n",
            "a=b; ".repeat(20_000)
        );
        assert!(answer(address, std::iter::once(head)).await.contains(" 431 "));
        let head: String = (0..10_000).map(|n| format!("x-{n}: a\r\n")).collect();
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n");
        assert!(answer(address, std::iter::once(head)).await.contains(" 431 "));
    }
}
