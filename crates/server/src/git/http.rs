//! Smart HTTP: `/{owner}/{name}.git/…`, by git's own stateless commands, streamed both ways.

use super::receive;
use super::repository::git;
use crate::app::App;
use crate::auth::Principal;
use crate::error::{AppError, AppResult};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flate2::write::GzDecoder;
use futures_util::StreamExt;
use pilotage_store::Project;
use pilotage_trust::token::Scope;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// How many git commands serve clients at once; more wait.
const COMMANDS_MAX: usize = 16;
static COMMANDS: Semaphore = Semaphore::const_new(COMMANDS_MAX);
/// How long a client may be silent within a body.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long one command may take at all.
pub(super) const TIME_MAX: Duration = Duration::from_secs(3600);
/// The largest pack that is taken, in bytes.
pub(super) const PACK_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// The largest request of a fetch: what a client has and wants.
const WANT_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{name}/info/refs", get(info_refs))
        .route("/{owner}/{name}/git-upload-pack", post(upload_pack))
        .route("/{owner}/{name}/git-receive-pack", post(receive_pack))
}

#[derive(serde::Deserialize)]
struct Service {
    #[serde(default)]
    service: String,
}

async fn info_refs(
    State(app): State<Arc<App>>,
    Path((owner, name)): Path<(String, String)>,
    Query(Service { service }): Query<Service>,
    who: Principal,
    headers: HeaderMap,
) -> AppResult<Response> {
    let project = project_of(&app, &owner, &name).await?;
    match service.as_str() {
        "git-upload-pack" => who.demand_fetch(&project)?,
        "git-receive-pack" => who.demand(Scope::Write, &project)?,
        _ => return Err(AppError::bad_request("only git's smart protocol is spoken here")),
    }
    let mut command = command(&app, &project, service.trim_start_matches("git-"), &headers);
    command.arg("--http-backend-info-refs").arg(".");
    let output = timeout(SILENCE_MAX, command.output()).await;
    let output = output.map_err(|_| AppError::new(StatusCode::GATEWAY_TIMEOUT, "git took too long"))?;
    let output = output.map_err(|error| AppError::internal(&error))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(AppError::internal(&std::io::Error::other(message)));
    }
    let mut body = Vec::new();
    super::packet::write_line(&mut body, format!("# service={service}\n").as_bytes());
    body.extend_from_slice(b"0000");
    body.extend_from_slice(&output.stdout);
    Ok(answer(
        &format!("application/x-{service}-advertisement"),
        Body::from(body),
    ))
}

async fn upload_pack(
    State(app): State<Arc<App>>,
    Path((owner, name)): Path<(String, String)>,
    who: Principal,
    request: Request,
) -> AppResult<Response> {
    let project = project_of(&app, &owner, &name).await?;
    who.demand_fetch(&project)?;
    let mut command = command(&app, &project, "upload-pack", request.headers());
    command.args(["--stateless-rpc", "."]);
    let mut body = RequestBody::new(request, WANT_BYTES_MAX)?;
    let permit = COMMANDS.acquire().await.map_err(|_| AppError::unauthorized())?;
    let mut child = start(&mut command)?;
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(8);
    tokio::spawn(async move {
        let _permit = permit;
        let end = timeout(TIME_MAX, serve(&mut child, &mut body, &sender)).await;
        if !matches!(end, Ok(Ok(()))) {
            // The answer is cut off, so that the client sees that it is not whole.
            let _ = sender
                .send(Err(std::io::Error::other("git upload-pack ended early")))
                .await;
        }
        let _ = child.start_kill();
    });
    Ok(answer("application/x-git-upload-pack-result", stream(receiver)))
}

/// Feeds a body to git and its output to a channel, both at once.
async fn serve(
    child: &mut Child,
    body: &mut RequestBody,
    sender: &mpsc::Sender<std::io::Result<Bytes>>,
) -> std::io::Result<()> {
    let (Some(stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::other("git has no pipes"));
    };
    let feed = async move { feed(body, stdin, Vec::new()).await };
    let drain = async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = stdout.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            let sent = sender.send_timeout(Ok(bytes), SILENCE_MAX).await;
            sent.map_err(|_| std::io::Error::other("the client has gone, or does not read"))?;
        }
    };
    // Git may end before it has read all; what counts is what it says.
    let (_, drained): (std::io::Result<()>, std::io::Result<()>) = tokio::join!(feed, drain);
    drained?;
    let status = child.wait().await?;
    if status.success() {
        Ok(())
    } else {
        Err(std::io::Error::other("git failed"))
    }
}

/// Feeds what is left of a body to git, after what was read of it already.
pub(super) async fn feed(
    body: &mut RequestBody,
    mut stdin: ChildStdin,
    begun: Vec<u8>,
) -> std::io::Result<()> {
    stdin.write_all(&begun).await?;
    while let Some(bytes) = body.next().await? {
        stdin.write_all(&bytes).await?;
    }
    stdin.shutdown().await
}

async fn receive_pack(
    State(app): State<Arc<App>>,
    Path((owner, name)): Path<(String, String)>,
    who: Principal,
    request: Request,
) -> AppResult<Response> {
    let project = project_of(&app, &owner, &name).await?;
    who.demand(Scope::Write, &project)?;
    let mut command = command(&app, &project, "receive-pack", request.headers());
    command.args(["--stateless-rpc", "."]);
    let body = RequestBody::new(request, PACK_BYTES_MAX)?;
    let permit = COMMANDS.acquire().await.map_err(|_| AppError::unauthorized())?;
    let (sender, receiver) = mpsc::channel(8);
    // A task of its own: what git has taken is recorded even if the client goes away.
    tokio::spawn(async move {
        let _permit = permit;
        receive::receive(&app, &project, &who, command, body, sender).await;
    });
    Ok(answer("application/x-git-receive-pack-result", stream(receiver)))
}

pub(super) fn start(command: &mut Command) -> AppResult<Child> {
    command
        .stdin(std::process::Stdio::piped())
        .spawn()
        .map_err(|error| AppError::internal(&error))
}

async fn project_of(app: &App, owner: &str, name: &str) -> AppResult<Project> {
    let name = name
        .strip_suffix(".git")
        .ok_or_else(|| AppError::not_found("page here"))?;
    app.project(owner, name).await
}

fn command(app: &App, project: &Project, service: &str, headers: &HeaderMap) -> Command {
    let mut command = git(app.repositories.of(project).path());
    // Which objects may be asked for: every commit that a ref ever led to, so that jobs find theirs.
    command.args([
        "-c",
        "uploadpack.allowAnySHA1InWant=true",
        "-c",
        "uploadpack.allowFilter=true",
    ]);
    command.args([
        "-c",
        "receive.fsckObjects=true",
        "-c",
        "receive.advertisePushOptions=true",
    ]);
    command.args([
        "-c",
        "receive.denyDeleteCurrent=ignore",
        "-c",
        "http.receivepack=true",
    ]);
    command
        .arg("-c")
        .arg(format!("receive.maxInputSize={PACK_BYTES_MAX}"));
    command.arg(service);
    let protocol = headers.get("git-protocol").and_then(|value| value.to_str().ok());
    if let Some(protocol @ ("version=1" | "version=2")) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    command.stderr(std::process::Stdio::null());
    command
}

fn answer(kind: &str, body: Body) -> Response {
    let kind = HeaderValue::from_str(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ],
        body,
    )
        .into_response()
}

fn stream(receiver: mpsc::Receiver<std::io::Result<Bytes>>) -> Body {
    Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver))
}

/// A request's body, unpacked, with limits of size and silence.
pub(super) struct RequestBody {
    stream: axum::body::BodyDataStream,
    gzip: Option<GzDecoder<Vec<u8>>>,
    left: u64,
    ended: bool,
}

impl RequestBody {
    fn new(request: Request, bytes_max: u64) -> AppResult<Self> {
        let encoding = request
            .headers()
            .get(header::CONTENT_ENCODING)
            .map(HeaderValue::as_bytes);
        let gzip = match encoding {
            None | Some(b"identity") => None,
            Some(b"gzip" | b"x-gzip") => Some(GzDecoder::new(Vec::new())),
            Some(_) => {
                return Err(AppError::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "only gzip is unpacked here",
                ));
            }
        };
        Ok(Self {
            stream: request.into_body().into_data_stream(),
            gzip,
            left: bytes_max,
            ended: false,
        })
    }

    /// The next bytes, or none at the end.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        while !self.ended {
            let next = timeout(SILENCE_MAX, self.stream.next()).await;
            let next = next.map_err(|_| std::io::Error::other("the client fell silent"))?;
            let bytes = match next {
                Some(bytes) => self.unpack(&bytes.map_err(std::io::Error::other)?)?,
                None => {
                    self.ended = true;
                    match self.gzip.take() {
                        Some(gzip) => Bytes::from(gzip.finish()?),
                        None => break,
                    }
                }
            };
            self.left = self
                .left
                .checked_sub(bytes.len() as u64)
                .ok_or_else(|| std::io::Error::other("the body is too large"))?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    fn unpack(&mut self, bytes: &Bytes) -> std::io::Result<Bytes> {
        let Some(gzip) = &mut self.gzip else {
            return Ok(bytes.clone());
        };
        // One piece of a body is small; what it may unpack to is a thousand times as much at most.
        gzip.write_all(bytes)?;
        gzip.flush()?;
        Ok(Bytes::from(std::mem::take(gzip.get_mut())))
    }
}
