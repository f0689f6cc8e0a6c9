//! Updates under load: whatever is under way when a revision leaves is answered once, by one replica.

mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pilotage_api::proxy::Response as Answer;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Backend, Running, SSE_EVENTS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the clients sent and what became of it. They never send anything twice.
#[derive(Default)]
struct Book {
    next: AtomicU64,
    stop: AtomicBool,
    answered: Mutex<BTreeMap<String, u32>>,
    lost: Mutex<Vec<String>>,
}

impl Book {
    fn id(&self, kind: &str) -> String {
        format!("{kind}-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// One loss is enough: then all clients stop.
    fn close(&self, id: String, result: Result<(), String>) {
        if result.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        match result {
            Ok(()) => *self.answered.lock().expect("sound").entry(id).or_default() += 1,
            Err(error) => self.lost.lock().expect("sound").push(format!("{id}: {error}")),
        }
    }
}

type Outcome = Result<(), String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn request(method: &str, path: &str, id: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "test")
        .header("x-id", id)
}

/// Many requests on one connection.
async fn keep_alive(address: SocketAddr, book: Arc<Book>, method: &str) {
    let stream = TcpStream::connect(address).await.expect("connected");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .expect("a connection");
    tokio::spawn(connection);
    while book.goes_on() {
        let id = book.id(method);
        let request = request(method, "/", &id)
            .body(Full::new(Bytes::from("body")))
            .expect("a request");
        let outcome = async {
            sender.ready().await.map_err(text)?;
            expect_ok(sender.send_request(request).await.map_err(text)?).await
        };
        let outcome = outcome.await;
        book.close(id, outcome);
    }
}

/// A connection for each request.
async fn fresh(address: SocketAddr, book: Arc<Book>) {
    while book.goes_on() {
        let id = book.id("fresh");
        let outcome = async {
            let stream = TcpStream::connect(address).await.map_err(text)?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
            tokio::spawn(connection);
            let request = request("GET", "/", &id)
                .body(Full::new(Bytes::new()))
                .map_err(text)?;
            expect_ok(sender.send_request(request).await.map_err(text)?).await
        };
        let outcome = outcome.await;
        book.close(id, outcome);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Streams on one HTTP/2 connection.
async fn multiplexed(address: SocketAddr, book: Arc<Book>) {
    let stream = TcpStream::connect(address).await.expect("connected");
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.expect("a connection");
    tokio::spawn(connection);
    while book.goes_on() {
        let three = (0..3).map(|_| {
            let (mut sender, book) = (sender.clone(), Arc::clone(&book));
            tokio::spawn(async move {
                let id = book.id("h2");
                let request = Request::get("http://test/")
                    .header("x-id", &id)
                    .body(Full::new(Bytes::new()));
                let outcome = async {
                    expect_ok(sender.send_request(request.map_err(text)?).await.map_err(text)?).await
                };
                let outcome = outcome.await;
                book.close(id, outcome);
            })
        });
        for stream in three.collect::<Vec<_>>() {
            stream.await.expect("ended");
        }
    }
}

/// Uploads that take their time.
async fn uploads(address: SocketAddr, book: Arc<Book>) {
    while book.goes_on() {
        let id = book.id("upload");
        let (parts, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
        tokio::spawn(async move {
            for _ in 0..8 {
                if parts.send(Ok(Frame::data(Bytes::from("part.")))).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let outcome = async {
            let stream = TcpStream::connect(address).await.map_err(text)?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
            tokio::spawn(connection);
            let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
            let request = request("POST", "/echo", &id).body(body).map_err(text)?;
            let response = sender.send_request(request).await.map_err(text)?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(text)?.to_bytes();
            if status == 200 && body == "part.".repeat(8) {
                Ok(())
            } else {
                Err(format!("{status} {body:?}"))
            }
        };
        let outcome = outcome.await;
        book.close(id, outcome);
    }
}

/// Server-sent events, each stream to its end.
async fn events(address: SocketAddr, book: Arc<Book>) {
    while book.goes_on() {
        let id = book.id("sse");
        let outcome = async {
            let stream = TcpStream::connect(address).await.map_err(text)?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
            tokio::spawn(connection);
            let request = request("GET", "/sse", &id)
                .body(Full::new(Bytes::new()))
                .map_err(text)?;
            let response = sender.send_request(request).await.map_err(text)?;
            let body = response.into_body().collect().await.map_err(text)?.to_bytes();
            let events = String::from_utf8_lossy(&body).matches("data: ").count();
            if events == SSE_EVENTS as usize {
                Ok(())
            } else {
                Err(format!("{events} events"))
            }
        };
        let outcome = outcome.await;
        book.close(id, outcome);
    }
}

/// An upgraded connection that talks for a while.
async fn tunnels(address: SocketAddr, book: Arc<Book>) {
    while book.goes_on() {
        let id = book.id("ws");
        let outcome = tunnel(address, &id, 8).await;
        book.close(id, outcome);
    }
}

async fn tunnel(address: SocketAddr, id: &str, messages: u32) -> Outcome {
    let mut stream = TcpStream::connect(address).await.map_err(text)?;
    let head =
        format!("GET /ws HTTP/1.1\r\nhost: a\r\nx-id: {id}\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    stream.write_all(head.as_bytes()).await.map_err(text)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.map_err(text)?);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if !answer.starts_with("HTTP/1.1 101") || !answer.contains("upgrade: echo") {
        return Err(answer);
    }
    for n in 0..messages {
        let message = format!("message {n}");
        stream.write_all(message.as_bytes()).await.map_err(text)?;
        let mut echo = vec![0; message.len()];
        stream.read_exact(&mut echo).await.map_err(text)?;
        if echo != message.as_bytes() {
            return Err(format!("{echo:?} for {message}"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn expect_ok(response: http::Response<hyper::body::Incoming>) -> Outcome {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(text)?.to_bytes();
    if head.status == 200 {
        Ok(())
    } else {
        Err(format!("{} {body:?}", head.status))
    }
}

fn clients(address: SocketAddr, book: &Arc<Book>) -> Vec<tokio::task::JoinHandle<()>> {
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let book = || Arc::clone(book);
        tasks.push(tokio::spawn(keep_alive(address, book(), "GET")));
        tasks.push(tokio::spawn(keep_alive(address, book(), "POST")));
        tasks.push(tokio::spawn(fresh(address, book())));
        tasks.push(tokio::spawn(multiplexed(address, book())));
        tasks.push(tokio::spawn(uploads(address, book())));
        tasks.push(tokio::spawn(events(address, book())));
        tasks.push(tokio::spawn(tunnels(address, book())));
    }
    tasks
}

/// Fifty times: a new revision takes all traffic, the old one is let go of, and is killed the instant that this is
/// answered.
#[test]
fn nothing_is_lost_or_done_twice_while_revisions_come_and_go() {
    let running = Running::start();
    let mut old = (Backend::start("r0"), Backend::start("r0"));
    let mut logs = vec![Arc::clone(&old.0.seen), Arc::clone(&old.1.seen)];
    running.apply(&running.table(1, &[("r0", 10_000, &[&old.0, &old.1])]));
    let book = Arc::<Book>::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (address, clients_book) = (running.listen, Arc::clone(&book));
    let load = std::thread::spawn(move || {
        runtime.block_on(async {
            for task in clients(address, &clients_book) {
                task.await.expect("no panic");
            }
        });
    });
    for n in 1..=50u64 {
        let (before, name) = (format!("r{}", n - 1), format!("r{n}"));
        let new = (Backend::start(&name), Backend::start(&name));
        logs.extend([Arc::clone(&new.0.seen), Arc::clone(&new.1.seen)]);
        let both: &[(&str, u32, &[&Backend])] = &[
            (&before, 5000, &[&old.0, &old.1]),
            (&name, 5000, &[&new.0, &new.1]),
        ];
        running.apply(&running.table(3 * n - 1, both));
        let both: &[(&str, u32, &[&Backend])] = &[
            (&before, 0, &[&old.0, &old.1]),
            (&name, 10_000, &[&new.0, &new.1]),
        ];
        running.apply(&running.table(3 * n, both));
        let drained = running.drain(&before, 20_000);
        assert!(matches!(drained, Answer::Drained { cut: 0, .. }), "{drained:?}");
        old = new;
        running.apply(&running.table(3 * n + 1, &[(&name, 10_000, &[&old.0, &old.1])]));
    }
    book.stop.store(true, Ordering::Relaxed);
    load.join().expect("the clients end");

    let lost = book.lost.lock().expect("sound");
    assert!(
        lost.is_empty(),
        "{} lost, such as {:?}",
        lost.len(),
        &lost[..lost.len().min(5)]
    );
    let answered = book.answered.lock().expect("sound");
    let mut seen = BTreeMap::<String, u32>::new();
    for log in logs {
        for id in log.lock().expect("sound").iter() {
            *seen.entry(id.clone()).or_default() += 1;
        }
    }
    assert_eq!(
        answered.len() as u64,
        book.next.load(Ordering::Relaxed),
        "each request was answered"
    );
    assert!(
        answered.values().chain(seen.values()).all(|times| *times == 1),
        "each once, and seen once"
    );
    assert_eq!(*answered, seen);
    for kind in ["GET", "POST", "fresh", "h2", "upload", "sse", "ws"] {
        let count = answered.keys().filter(|id| id.starts_with(kind)).count();
        assert!(count >= 50, "{count} of {kind}");
    }
}

#[test]
fn a_drain_waits_for_streams_and_cuts_them_only_at_its_deadline() {
    let (old, new) = (Backend::start("old"), Backend::start("new"));
    let running = Running::start();
    running.apply(&running.table(1, &[("old", 10_000, &[&old])]));
    let refused = running.drain("old", 1000);
    assert!(
        matches!(&refused, Answer::Refused { reason } if reason == "revision old has a share"),
        "{refused:?}"
    );
    let mut stream = std::net::TcpStream::connect(running.listen).expect("connected");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    stream
        .write_all(b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
        .expect("sent");
    let mut echo = |word: &[u8]| {
        stream.write_all(word).and_then(|()| {
            let mut seen = Vec::new();
            while !seen.ends_with(word) {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                seen.extend(byte);
            }
            Ok(())
        })
    };
    echo(b"before").expect("an echo");
    running.apply(&running.table(2, &[("old", 0, &[&old]), ("new", 10_000, &[&new])]));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let drain = scope.spawn(|| running.drain("old", 600));
        while started.elapsed() < Duration::from_millis(400) {
            echo(b"during").expect("an echo while the drain waits");
        }
        let drained = drain.join().expect("answered");
        assert!(
            matches!(drained, Answer::Drained { finished: 0, cut: 1 }),
            "{drained:?}"
        );
    });
    assert!(started.elapsed() >= Duration::from_millis(600));
    assert!(echo(b"after").is_err(), "cut");
    // Nothing is left: asked again, and for a revision that nobody knows.
    for revision in ["old", "never"] {
        let drained = running.drain(revision, 1000);
        assert!(
            matches!(drained, Answer::Drained { finished: 0, cut: 0 }),
            "{drained:?}"
        );
    }
    assert_eq!(running.get("/").body, "new");
}

#[test]
fn a_drain_ends_as_refused_when_the_revision_gets_a_share_again() {
    let (old, new) = (Backend::start("old"), Backend::start("new"));
    let running = Running::start();
    running.apply(&running.table(1, &[("old", 10_000, &[&old])]));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| running.get("/slow?ms=1500"));
        while running.status().revisions[0].in_flight == 0 {
            std::thread::yield_now();
        }
        running.apply(&running.table(2, &[("old", 0, &[&old]), ("new", 10_000, &[&new])]));
        let drain = scope.spawn(|| running.drain("old", 10_000));
        running.apply(&running.table(3, &[("old", 10_000, &[&old])]));
        let drained = drain.join().expect("answered");
        assert!(matches!(drained, Answer::Refused { .. }), "{drained:?}");
        assert_eq!(slow.join().expect("answered").body, "slow");
    });
}

#[test]
fn a_stream_of_events_that_is_cut_ends_as_a_whole_answer() {
    let (old, new) = (Backend::start("old"), Backend::start("new"));
    let running = Running::start();
    running.apply(&running.table(1, &[("old", 10_000, &[&old])]));
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| running.get("/sse?n=1000"));
        while running.status().revisions[0].in_flight == 0 {
            std::thread::yield_now();
        }
        running.apply(&running.table(2, &[("old", 0, &[&old]), ("new", 10_000, &[&new])]));
        let drained = running.drain("old", 200);
        assert!(
            matches!(drained, Answer::Drained { finished: 0, cut: 1 }),
            "{drained:?}"
        );
        let reply = stream.join().expect("ended");
        assert!(reply.body.ends_with("\r\n0\r\n\r\n"), "{:?}", reply.body);
    });
    assert_eq!(
        running
            .status()
            .revisions
            .iter()
            .map(|revision| revision.errors)
            .sum::<u64>(),
        0
    );
}
