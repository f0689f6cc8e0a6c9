//! One request at a time: what a replica sees, what a client gets, what is refused.

mod support;

use http::StatusCode;
use pilotage_api::proxy::Request as Ask;
use pilotage_proxy::Limits;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::{Backend, Running, send};

/// What comes back for raw bytes: the status and the word of the proxy's own error.
fn check(running: &Running, bytes: &str, status: u16, word: Option<&str>) {
    let reply = send(running.listen, bytes.as_bytes());
    assert_eq!(
        (reply.status, reply.header("pilotage-proxy-error")),
        (status, word),
        "{bytes:?} gave {reply:?}"
    );
}

fn serving(backend: &Backend) -> Running {
    let running = Running::start();
    running.apply(&running.table(1, &[("v1", 10_000, &[backend])]));
    running
}

#[test]
fn a_request_goes_through_and_back_with_the_rules_of_heads() {
    let backend = Backend::start("v1");
    let running = serving(&backend);
    let request = "GET /head?q=1 HTTP/1.1\r\nhost: example.org\r\nconnection: close, x-secret\r\nx-secret: 1\r\n\
                   keep-alive: 1\r\nx-forwarded-for: 10.0.0.1\r\nte: trailers\r\n\r\n";
    let reply = send(running.listen, request.as_bytes());
    let mut lines: Vec<_> = reply.body.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "GET /head?q=1",
            "connection: te",
            "host: example.org",
            "te: trailers",
            "x-forwarded-for: 10.0.0.1, 127.0.0.1",
            "x-forwarded-host: example.org",
            "x-forwarded-proto: http",
        ]
    );
    let reply = running.get("/hops");
    assert_eq!(
        (reply.header("x-hop"), reply.header("keep-alive")),
        (None, None),
        "{reply:?}"
    );
    assert_eq!((reply.header("x-kept"), &*reply.body), (Some("1"), "hops"));
    let reply = send(
        running.listen,
        b"HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(
        (reply.status, reply.header("content-length"), &*reply.body),
        (200, Some("2"), "")
    );
}

#[test]
fn bodies_and_trailers_pass_as_a_stream() {
    let backend = Backend::start("v1");
    let running = serving(&backend);
    let chunked = "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    assert_eq!(send(running.listen, chunked.as_bytes()).body, "hello world");
    let sized = "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(send(running.listen, sized.as_bytes()).body, "hello");
    let trailers = "GET /trailers HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close, te\r\n\r\n";
    let reply = send(running.listen, trailers.as_bytes());
    assert_eq!(reply.body, "4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n", "{reply:?}");
    // A client that waits for leave gets it, when a replica takes its body.
    let mut stream = TcpStream::connect(running.listen).expect("connected");
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("set");
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 2\r\n\r\n")
        .expect("sent");
    let mut leave = [0; 25];
    stream.read_exact(&mut leave).expect("leave");
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").expect("sent");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("an answer");
    assert!(rest.ends_with("\r\n\r\nok"), "{rest}");
}

#[test]
fn requests_that_could_be_read_in_two_ways_are_refused() {
    let backend = Backend::start("v1");
    let running = serving(&backend);
    let two_lengths = "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n";
    check(&running, two_lengths, 400, None);
    let not_chunked = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n";
    check(&running, not_chunked, 400, None);
    let chunked_not_last = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n";
    check(&running, chunked_not_last, 400, None);
    let old = "POST /echo HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    check(&running, old, 400, None);
    let space = "GET / HTTP/1.1\r\nhost : a\r\n\r\n";
    check(&running, space, 400, None);
    let folded = "GET / HTTP/1.1\r\nhost: a\r\nx-a: b\r\n c\r\n\r\n";
    check(&running, folded, 400, None);
    check(
        &running,
        "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
        400,
        Some("bad-host"),
    );
    check(
        &running,
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
        400,
        Some("bad-host"),
    );
    check(
        &running,
        "CONNECT a:80 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        501,
        Some("connect-refused"),
    );
    let large = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx-large: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    check(&running, &large, 431, None);
    assert!(backend.seen().is_empty());
}

#[test]
fn a_length_beside_chunks_smuggles_nothing() {
    let backend = Backend::start("v1");
    let running = serving(&backend);
    let inner = "GET /smuggled HTTP/1.1\r\nhost: a\r\nx-id: smuggled\r\n\r\n";
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
    ] {
        let bytes =
            format!("POST /echo HTTP/1.1\r\nhost: a\r\nx-id: outer\r\n{framing}\r\n\r\n0\r\n\r\n{inner}");
        let reply = send(running.listen, bytes.as_bytes());
        // The chunks count, and what follows on this connection is nobody's request (RFC 9112 §6.1).
        assert!(!reply.body.contains("HTTP/1.1"), "one answer at most: {reply:?}");
        assert!(!backend.seen().contains(&"smuggled".to_owned()), "{framing}");
    }
}

#[test]
fn its_own_errors_name_their_reason() {
    let running = Running::start();
    let backend = Backend::start("v1");
    let mut table = running.table(1, &[("v1", 10_000, &[&backend])]);
    table.path = "/api".into();
    running.apply(&table);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    check(&running, &get("/api/x"), 200, None);
    check(&running, &get("/apix"), 404, Some("no-route"));
    let mut table = running.table(2, &[("v1", 0, &[&backend])]);
    running.apply(&table);
    check(&running, &get("/"), 503, Some("no-share"));
    table.epoch = 3;
    table.hold_ms = 300;
    running.apply(&table);
    let started = Instant::now();
    check(&running, &get("/"), 503, Some("held-too-long"));
    assert!(started.elapsed() >= Duration::from_millis(300));
    running.apply(&running.table(4, &[("v1", 10_000, &[&backend])]));
    drop(backend);
    check(&running, &get("/"), 502, Some("unreachable"));
    assert_eq!(running.status().revisions[0].errors, 1);
}

#[test]
fn a_held_request_goes_on_when_a_revision_gets_a_share() {
    let backend = Backend::start("v1");
    let running = Running::start();
    let mut table = running.table(1, &[("v1", 0, &[&backend])]);
    table.hold_ms = 10_000;
    running.apply(&table);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| running.get("/"));
        table.epoch = 2;
        table.revisions[0].share = 10_000;
        running.apply(&table);
        assert_eq!(held.join().expect("answered").body, "v1");
    });
}

#[test]
fn a_replica_that_refuses_connections_costs_no_request() {
    let (alive, dead) = (Backend::start("v1"), Backend::start("v1"));
    let running = Running::start();
    running.apply(&running.table(1, &[("v1", 10_000, &[&dead, &alive])]));
    drop(dead);
    for n in 0..50 {
        let method = if n % 2 == 0 { "GET" } else { "POST" };
        let request = format!(
            "{method} / HTTP/1.1\r\nhost: a\r\nx-id: {n}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(send(running.listen, request.as_bytes()).status, 200, "{n}");
    }
    assert_eq!(alive.seen().len(), 50);
    assert_eq!(running.status().revisions[0].errors, 0);
}

/// A server that reads a request on each connection and closes it without an answer; it counts the requests.
fn silent_server(
    answers_first: usize,
) -> (
    std::net::SocketAddr,
    std::sync::Arc<std::sync::atomic::AtomicUsize>,
) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), counter) = (stream, std::sync::Arc::clone(&counter)) else {
                return;
            };
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                // Answers some on this connection, then takes one more and hangs up.
                for _ in 0..answers_first {
                    if !matches!(stream.read(&mut buffer), Ok(1..)) {
                        return;
                    }
                    counter.fetch_add(1, Ordering::SeqCst);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                }
                if matches!(stream.read(&mut buffer), Ok(1..)) {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    (address, count)
}

fn table_for(running: &Running, address: std::net::SocketAddr) -> pilotage_api::proxy::ServiceTable {
    let mut table = running.table(1, &[("v1", 10_000, &[])]);
    table.revisions[0].replicas = vec![pilotage_api::proxy::Replica {
        id: "r".into(),
        address,
    }];
    table
}

#[test]
fn a_request_that_may_have_been_seen_is_not_sent_again() {
    let (address, count) = silent_server(0);
    let running = Running::start();
    running.apply(&table_for(&running, address));
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    check(&running, post, 502, Some("reset"));
    check(
        &running,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        502,
        Some("reset"),
    );
    assert_eq!(
        count.load(std::sync::atomic::Ordering::SeqCst),
        2,
        "each was sent once"
    );
}

#[test]
fn on_a_kept_connection_that_closed_only_a_harmless_request_is_sent_again() {
    let get = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let (address, count) = silent_server(1);
    let running = Running::with(Limits::default());
    // One core, so that the kept connection is met again.
    running.apply(&table_for(&running, address));
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    for _ in 0..8 {
        check(&running, get, 200, None);
    }
    // Each connection answers once: with a kept one the get was sent a second time, on a fresh one.
    assert!(count.load(std::sync::atomic::Ordering::SeqCst) > 8);
    let before = count.load(std::sync::atomic::Ordering::SeqCst);
    let statuses: Vec<u16> = (0..8)
        .map(|_| send(running.listen, post.as_bytes()).status)
        .collect();
    let sent = count.load(std::sync::atomic::Ordering::SeqCst) - before;
    assert_eq!(sent, 8, "each post was sent once: {statuses:?}");
}

#[test]
fn a_slow_head_and_an_idle_connection_are_closed() {
    let backend = Backend::start("v1");
    let limits = Limits {
        idle: Duration::from_millis(300),
        linger: Duration::from_millis(100),
        ..Limits::default()
    };
    let running = Running::with(limits);
    running.apply(&running.table(1, &[("v1", 10_000, &[&backend])]));
    for first in ["", "P", "GET / HTTP/1.1\r\nhost: a\r\nx-"] {
        let mut stream = TcpStream::connect(running.listen).expect("connected");
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("set");
        stream.write_all(first.as_bytes()).expect("sent");
        let read = stream.read(&mut [0; 64]);
        assert!(matches!(read, Ok(0) | Err(_)), "{first:?}: {read:?}");
        assert!(
            read.map_or_else(|e| e.kind() != std::io::ErrorKind::WouldBlock, |_| true),
            "{first:?} timed out"
        );
    }
    // A slow answer is no idle connection.
    assert_eq!(running.get("/slow?ms=900").body, "slow");
}

#[test]
fn a_probe_learns_who_answered_and_may_choose() {
    let (old, new) = (Backend::start("old"), Backend::start("new"));
    let running = Running::start();
    running.apply(&running.table(1, &[("old", 10_000, &[&old, &old]), ("new", 0, &[&new])]));
    let secret = std::fs::read_to_string(running.directory.path().join("probe-secret")).expect("made");
    let probe = |secret: &str, more: &str| {
        let head = format!(
            "GET /head HTTP/1.1\r\nhost: a\r\npilotage-probe: {secret}\r\n{more}connection: close\r\n\r\n"
        );
        let reply = send(running.listen, head.as_bytes());
        assert!(
            !reply.body.contains("pilotage"),
            "the replica sees nothing of it: {reply:?}"
        );
        let text = |name| reply.header(name).unwrap_or("-").to_owned();
        (reply.status, text("pilotage-revision"), text("pilotage-replica"))
    };
    let expect = |status, revision: &str, replica: &str| (status, revision.to_owned(), replica.to_owned());
    assert_eq!(probe(&secret, "").1, "old");
    assert_eq!(
        probe(&secret, "pilotage-probe-revision: new\r\n"),
        expect(200, "new", "new-0")
    );
    assert_eq!(
        probe(&secret, "pilotage-probe-replica: old-1\r\n"),
        expect(200, "old", "old-1")
    );
    assert_eq!(
        probe(&secret, "pilotage-probe-revision: gone\r\n"),
        expect(404, "-", "-")
    );
    assert_eq!(
        probe("wrong", "pilotage-probe-revision: new\r\n"),
        expect(200, "-", "-")
    );
    let counted: u64 = running
        .status()
        .revisions
        .iter()
        .map(|revision| revision.requests)
        .sum();
    assert_eq!(
        counted, 1,
        "only the one with the wrong secret was a request like any other"
    );
}

#[test]
fn assets_are_asked_of_every_kept_revision() {
    let (old, new) = (Backend::start("old"), Backend::start("new"));
    let running = Running::start();
    let mut table = running.table(1, &[("new", 10_000, &[&new]), ("old", 0, &[&old])]);
    table.assets = Some("/missing/".into());
    running.apply(&table);
    let request = "GET /missing/a.js HTTP/1.1\r\nhost: a\r\nx-id: 1\r\nconnection: close\r\n\r\n";
    check(&running, request, 404, None);
    assert_eq!((new.seen().len(), old.seen().len()), (1, 1));
    check(
        &running,
        &request.replace("/missing/", "/missing-elsewhere/"),
        404,
        None,
    );
    assert_eq!((new.seen().len(), old.seen().len()), (2, 1));
}

#[test]
fn answers_are_counted_per_revision_and_logged() {
    let (good, bad) = (
        Backend::start("good"),
        Backend::with_status("bad", StatusCode::INTERNAL_SERVER_ERROR),
    );
    let mut running = Running::start();
    running.apply(&running.table(1, &[("good", 10_000, &[&good]), ("bad", 0, &[&bad])]));
    (0..10).for_each(|_| drop(running.get("/slow?ms=20&token=hidden")));
    running.get("/missing");
    running.apply(&running.table(2, &[("good", 0, &[&good]), ("bad", 10_000, &[&bad])]));
    (0..5).for_each(|_| drop(running.get("/")));
    let status = running.status();
    let of = |name: &str| {
        status
            .revisions
            .iter()
            .find(|r| r.revision == name)
            .expect("known")
            .clone()
    };
    assert_eq!((of("good").requests, of("good").errors), (11, 0));
    assert_eq!((of("bad").requests, of("bad").errors), (5, 5));
    assert!(
        (20_000..60_000).contains(&of("good").p50_us),
        "{}",
        of("good").p50_us
    );
    assert!(of("bad").last_request_at_us > of("good").last_request_at_us);
    running.proxy.take().expect("running").stop();
    let log = std::fs::read_to_string(running.directory.path().join("access.log")).expect("written");
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 16, "{log}");
    assert!(lines.iter().all(|line| line.len() == 10), "{log}");
    assert!(!log.contains("hidden"));
    let last = lines.last().expect("a line");
    assert_eq!(
        last[1..9],
        [
            "127.0.0.1",
            "GET",
            "/",
            "500",
            "a/b/production/web",
            "bad",
            "bad-0",
            "3"
        ]
    );
}

#[test]
fn a_stop_lets_what_is_in_flight_end_and_tells_clients_to_close() {
    let backend = Backend::start("v1");
    let mut running = serving(&backend);
    let mut kept = TcpStream::connect(running.listen).expect("connected");
    kept.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    kept.write_all(b"GET /slow?ms=500 HTTP/1.1\r\nhost: a\r\nx-id: 1\r\n\r\n")
        .expect("sent");
    while backend.seen().is_empty() {
        std::thread::yield_now();
    }
    running.proxy.take().expect("running").stop();
    let mut answer = Vec::new();
    kept.read_to_end(&mut answer).expect("an answer");
    let reply = support::parse(&answer);
    assert_eq!(
        (reply.status, reply.header("connection"), &*reply.body),
        (200, Some("close"), "slow")
    );
    assert!(TcpStream::connect(running.listen).is_err());
}

#[test]
fn a_proxy_serves_its_directory_alone() {
    let running = Running::start();
    let config = pilotage_proxy::ProxyConfig::new(running.directory.path().to_owned());
    assert!(matches!(
        pilotage_proxy::Proxy::start(config),
        Err(pilotage_proxy::ProxyError::Running { .. })
    ));
    let taken = Backend::start("x");
    let mut table = running.table(1, &[("v1", 10_000, &[&taken])]);
    table.listen = taken.address;
    let answer = running.control().ask(&Ask::Apply {
        table: Box::new(table),
    });
    let pilotage_api::proxy::Response::Refused { reason } = answer else {
        panic!("{answer:?}")
    };
    assert!(reason.contains("cannot listen"), "{reason}");
}
