//! The control socket, and the thread behind it: changes, trips that want writing, what watchers are told.

use crate::ProxyError;
use crate::drain;
use crate::plane::{Plane, Refusal};
use pilotage_api::proxy::{Event, Request, Response};
use pilotage_keep::socket;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;

/// The longest request: a table of some thousand replicas.
const LINE_BYTES: u64 = 4 << 20;
/// Control connections at a time.
const CLIENTS: usize = 64;
/// Trips that nobody has acknowledged are told again after this, and the keeper is looked after.
const REPEAT: Duration = Duration::from_secs(5);
const COUNTS: Duration = Duration::from_secs(1);
const GUARDS: Duration = Duration::from_millis(500);

/// Binds `control` in the directory. Only the owner may connect.
pub(crate) fn bind(directory: &Path) -> Result<StdListener, ProxyError> {
    let path = directory.join("control");
    let bound = socket::bind(directory, "control").and_then(|listener| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|source| ProxyError::Control { path, source })
}

/// Starts the control thread. It holds the directory's lock until it ends, after a stop.
pub(crate) fn spawn(plane: Arc<Plane>, listener: StdListener, lock: File) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("proxy-control".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                match UnixListener::from_std(listener) {
                    Ok(listener) => serve(&plane, listener).await,
                    Err(error) => tracing::error!(%error, "cannot serve the control socket"),
                }
            });
            drop(runtime);
            // A trip of the last moment.
            plane.finish_trips();
            drop(lock);
        })
}

async fn serve(plane: &Arc<Plane>, listener: UnixListener) {
    let (events, _) = broadcast::channel(256);
    let clients = Arc::new(tokio::sync::Semaphore::new(CLIENTS));
    let mut second = tokio::time::interval(COUNTS);
    let mut holds = tokio::time::interval(REPEAT);
    let mut guards = tokio::time::interval(GUARDS);
    let mut shown = HashMap::new();
    while !plane.common.stopping.load(Ordering::SeqCst) {
        tokio::select! {
            () = plane.tripped.notified() => {
                for trip in plane.finish_trips() {
                    let _ = events.send(Event::Trip(trip));
                }
            }
            _ = second.tick() => {
                plane.open_missing();
                if events.receiver_count() > 0 {
                    let _ = events.send(Event::Counts { services: plane.status(false) });
                }
            }
            _ = holds.tick() => plane.hold_listeners(),
            _ = guards.tick(), if events.receiver_count() > 0 => tell_guards(plane, &events, &mut shown),
            client = listener.accept() => match (client, Arc::clone(&clients).try_acquire_owned()) {
                (Ok((stream, _)), Ok(permit)) => {
                    let (plane, events) = (Arc::clone(plane), events.clone());
                    tokio::spawn(async move {
                        if let Err(error) = converse(&plane, stream, &events).await {
                            tracing::debug!(%error, "a control connection ended");
                        }
                        drop(permit);
                    });
                }
                (Ok(_), Err(_)) => tracing::warn!("too many control connections"),
                (Err(error), _) => {
                    tracing::error!(%error, "cannot accept a control connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

fn tell_guards(plane: &Plane, events: &broadcast::Sender<Event>, shown: &mut HashMap<String, u64>) {
    let judges = plane.judges();
    shown.retain(|id, _| judges.iter().any(|(known, _)| known == id));
    for (id, judge) in judges {
        let answers = judge.answers();
        if shown.insert(id.clone(), answers) != Some(answers) {
            let deployment = judge.armed.deployment;
            let _ = events.send(Event::Guard {
                id,
                deployment,
                evidence: judge.evidence(),
            });
        }
    }
}

/// Answers one client, a line for a line, until it ends or watches.
async fn converse(
    plane: &Arc<Plane>,
    stream: UnixStream,
    events: &broadcast::Sender<Event>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(line) = read_line(&mut reader).await? {
        let response = match serde_json::from_slice(&line) {
            Ok(Request::Watch) => return watch(plane, reader, writer, events.subscribe()).await,
            Ok(request) => perform(plane, request).await,
            Err(error) => Response::Refused {
                reason: format!("not a request: {error}"),
            },
        };
        write_line(&mut writer, &response).await?;
    }
    Ok(())
}

async fn perform(plane: &Plane, request: Request) -> Response {
    let done = |result: Result<(), Refusal>| match result {
        Ok(()) => Response::Done,
        Err(refusal) => Response::Refused {
            reason: refusal.to_string(),
        },
    };
    match request {
        Request::Apply { table } => done(plane.apply(*table)),
        Request::Remove { id, epoch } => done(plane.remove(&id, epoch)),
        Request::AcknowledgeTrip { id, deployment } => done(plane.acknowledge(&id, deployment)),
        Request::Status | Request::Watch => Response::Status {
            services: plane.status(true),
        },
        Request::Drain {
            id,
            revision,
            deadline_ms,
        } => drain::drain(plane, &id, &revision, Duration::from_millis(deadline_ms)).await,
    }
}

async fn watch(
    plane: &Plane,
    mut reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    mut events: broadcast::Receiver<Event>,
) -> io::Result<()> {
    let mut repeat = tokio::time::interval(REPEAT);
    let mut ignored = [0; 256];
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => write_line(&mut writer, &event).await?,
                // A slow watcher misses counts, never a trip: those are repeated.
                Err(broadcast::error::RecvError::Lagged(_)) => (),
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
            _ = repeat.tick() => {
                for trip in plane.open_trips() {
                    write_line(&mut writer, &Event::Trip(trip)).await?;
                }
            }
            read = reader.read(&mut ignored) => if read? == 0 {
                return Ok(());
            },
        }
    }
}

async fn write_line(writer: &mut OwnedWriteHalf, value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

/// A line without its end; none at the end of the stream.
async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() as u64 + 1 >= LINE_BYTES => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "line too long"))
        }
        _ => Ok(None),
    }
}
