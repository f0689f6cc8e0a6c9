//! What the tests stand on: backends that write down what they see, the control socket, a client that never retries.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pilotage_api::proxy::{Event, Replica, RevisionTable, ServiceStatus, ServiceTable};
use pilotage_api::proxy::{Request as Ask, Response as Answer};
use pilotage_proxy::{Limits, Proxy, ProxyConfig};
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Events of one `/sse`, 10 ms apart.
pub const SSE_EVENTS: u32 = 8;

/// A replica: answers in ways that its paths name, and writes down the `x-id` of each request.
pub struct Backend {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<String>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Backend {
    pub fn start(revision: &str) -> Self {
        Self::with_status(revision, StatusCode::OK)
    }

    /// One whose `/` answers with a status.
    pub fn with_status(revision: &str, status: StatusCode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (revision, log) = (revision.to_owned(), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! { () = accept(listener, revision, status, log) => (), _ = stopped => () }
            });
            // Connections end here, in the middle of whatever they do: as by a kill.
            runtime.shutdown_background();
        });
        Self {
            address,
            seen,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, revision: String, status: StatusCode, seen: Arc<Mutex<Vec<String>>>) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    while let Ok((stream, _)) = listener.accept().await {
        let (revision, seen) = (revision.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (revision, seen) = (revision.clone(), Arc::clone(&seen));
                async move { Ok::<_, Infallible>(answer(request, &revision, status, &seen).await) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

async fn answer(
    mut request: Request<Incoming>,
    revision: &str,
    status: StatusCode,
    seen: &Mutex<Vec<String>>,
) -> Response<BoxBody<Bytes, Infallible>> {
    if let Some(id) = request.headers().get("x-id") {
        seen.lock()
            .expect("not poisoned")
            .push(id.to_str().expect("text").to_owned());
    }
    let builder = Response::builder().header("x-revision", revision);
    let full = |text: String| Full::new(Bytes::from(text)).boxed();
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/head" => {
            let lines = request
                .headers()
                .iter()
                .map(|(n, v)| format!("{n}: {}\n", v.to_str().unwrap_or("?")));
            let text = format!(
                "{} {}\n{}",
                request.method(),
                request.uri(),
                lines.collect::<String>()
            );
            builder.body(full(text)).expect("a response")
        }
        "/echo" => {
            let collected = request.into_body().collect().await;
            let Ok(collected) = collected else {
                return builder.status(400).body(full(String::new())).expect("a response");
            };
            builder
                .body(Full::new(collected.to_bytes()).boxed())
                .expect("a response")
        }
        "/hops" => builder
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=9")
            .header("x-kept", "1")
            .body(full("hops".into()))
            .expect("a response"),
        "/trailers" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "42".parse().expect("a value"));
            let frames = [
                Ok::<_, Infallible>(Frame::data(Bytes::from("body"))),
                Ok(Frame::trailers(trailers)),
            ];
            let body = StreamBody::new(tokio_stream::iter(frames));
            builder
                .header("trailer", "x-sum")
                .body(BodyExt::boxed(body))
                .expect("a response")
        }
        "/slow" => {
            let ms = request
                .uri()
                .query()
                .and_then(|q| q.strip_prefix("ms=")?.split('&').next())
                .and_then(|ms| ms.parse().ok());
            tokio::time::sleep(Duration::from_millis(ms.unwrap_or(0))).await;
            builder.body(full("slow".into())).expect("a response")
        }
        "/sse" => {
            let (sender, receiver) = tokio::sync::mpsc::channel(1);
            let query = request
                .uri()
                .query()
                .and_then(|q| q.strip_prefix("n=")?.parse().ok());
            tokio::spawn(async move {
                for n in 0..query.unwrap_or(SSE_EVENTS) {
                    let event = Frame::data(Bytes::from(format!("data: {n}\n\n")));
                    if sender.send(Ok::<_, Infallible>(event)).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
            let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
            builder
                .header("content-type", "text/event-stream")
                .body(BodyExt::boxed(body))
                .expect("a response")
        }
        "/ws" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let Ok(upgraded) = upgrade.await else { return };
                let mut io = TokioIo::new(upgraded);
                let mut buffer = [0; 1024];
                while let Ok(n @ 1..) = io.read(&mut buffer).await {
                    if io.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            });
            builder
                .status(101)
                .header("connection", "upgrade")
                .header("upgrade", "echo")
                .body(full(String::new()))
                .expect("a response")
        }
        _ if path.starts_with("/missing") => builder
            .status(404)
            .body(full("missing".into()))
            .expect("a response"),
        _ if request.method() == Method::POST => {
            let collected = request.into_body().collect().await;
            let status = if collected.is_ok() {
                status
            } else {
                StatusCode::BAD_REQUEST
            };
            builder
                .status(status)
                .body(full(revision.to_owned()))
                .expect("a response")
        }
        _ => builder
            .status(status)
            .body(full(revision.to_owned()))
            .expect("a response"),
    }
}

/// A proxy in threads of this process, with a directory of its own.
pub struct Running {
    pub proxy: Option<Proxy>,
    pub directory: tempfile::TempDir,
    pub listen: SocketAddr,
}

impl Running {
    pub fn start() -> Self {
        Self::with(Limits {
            linger: Duration::from_millis(100),
            ..Limits::default()
        })
    }

    pub fn with(limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let proxy = Some(open(directory.path(), limits));
        Self {
            proxy,
            directory,
            listen: free_port(),
        }
    }

    /// Stops, and starts again from what is on disk.
    pub fn restart(&mut self) {
        self.proxy.take().expect("running").stop();
        let limits = Limits {
            linger: Duration::from_millis(100),
            ..Limits::default()
        };
        self.proxy = Some(open(self.directory.path(), limits));
    }

    pub fn control(&self) -> Control {
        Control::connect(&self.directory.path().join("control"))
    }

    /// A table of service `a/b/production/web` at `/`.
    pub fn table(&self, epoch: u64, revisions: &[(&str, u32, &[&Backend])]) -> ServiceTable {
        let revisions = revisions.iter().map(|(name, share, backends)| {
            let replica = |(n, b): (usize, &&Backend)| Replica {
                id: format!("{name}-{n}"),
                address: b.address,
            };
            RevisionTable {
                revision: (*name).to_owned(),
                share: *share,
                replicas: backends.iter().enumerate().map(replica).collect(),
            }
        });
        ServiceTable {
            id: "a/b/production/web".into(),
            epoch,
            listen: self.listen,
            host: None,
            path: "/".into(),
            assets: None,
            revisions: revisions.collect(),
            armed: None,
            hold_ms: 0,
        }
    }

    /// Applies a table and expects it to be taken.
    pub fn apply(&self, table: &ServiceTable) {
        let answer = self.control().ask(&Ask::Apply {
            table: Box::new(table.clone()),
        });
        assert!(matches!(answer, Answer::Done), "{answer:?}");
    }

    pub fn drain(&self, revision: &str, deadline_ms: u64) -> Answer {
        self.control().ask(&Ask::Drain {
            id: "a/b/production/web".into(),
            revision: revision.into(),
            deadline_ms,
        })
    }

    pub fn status(&self) -> ServiceStatus {
        match self.control().ask(&Ask::Status) {
            Answer::Status { services } => services.into_iter().next().expect("a service"),
            other => panic!("{other:?}"),
        }
    }

    /// One request on a connection of its own.
    pub fn get(&self, path: &str) -> Reply {
        send(
            self.listen,
            format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes(),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(proxy) = self.proxy.take() {
            proxy.stop();
        }
    }
}

fn open(directory: &Path, limits: Limits) -> Proxy {
    let config = ProxyConfig {
        cores: 2,
        limits,
        ..ProxyConfig::new(directory.to_owned())
    };
    Proxy::start(config).expect("the proxy starts")
}

pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound")
}

/// The control socket's other side.
pub struct Control(BufReader<UnixStream>);

impl Control {
    pub fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("the control socket");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("set");
        Self(BufReader::new(stream))
    }

    pub fn ask(&mut self, request: &Ask) -> Answer {
        self.send(request);
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    pub fn send(&mut self, request: &Ask) {
        let mut line = serde_json::to_vec(request).expect("json");
        line.push(b'\n');
        self.0.get_mut().write_all(&line).expect("written");
    }

    pub fn event(&mut self) -> Event {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line
    }
}

/// An answer, taken apart; the body is as it came, with chunks.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
            .next()
    }
}

/// Sends bytes and reads until the other side closes.
pub fn send(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    stream.write_all(bytes).expect("sent");
    let mut answer = Vec::new();
    // A reset after the answer is an end too.
    let _ = stream.read_to_end(&mut answer);
    parse(&answer)
}

pub fn parse(answer: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Reply {
        status,
        head: head.replace("\r\n", "\n"),
        body: body.to_owned(),
    }
}
