//! One core: a thread with a runtime of its own, its table, its connections and its part of the log.

use crate::connection::{self, Connection};
use crate::exchange::Exchange;
use crate::log::Lines;
use crate::plane::{Common, Plane};
use crate::seat::{lock, micros};
use crate::table::CoreTable;
use crate::upstream;
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

pub(crate) struct Core {
    pub(crate) common: Arc<Common>,
    pub(crate) table: Mutex<CoreTable>,
    /// The table changed: held requests look again.
    pub(crate) changed: Notify,
    pub(crate) index: usize,
    plane: Weak<Plane>,
    started: Instant,
    lines: Mutex<Lines>,
    held: AtomicUsize,
    /// Connections and tunnels of this core.
    load: AtomicUsize,
    /// The last of them ended, after a stop.
    ended: Notify,
    /// Idle connections are closed, those with a request under way after it.
    closing: AtomicBool,
    connections: Mutex<Connections>,
    commands: mpsc::UnboundedSender<Command>,
    inbox: Mutex<Option<mpsc::UnboundedReceiver<Command>>>,
}

/// What another thread asks of a core. Few: a listener's change, or a connection within their limit.
pub(crate) enum Command {
    Listen(SocketAddr, TcpListener),
    Unlisten(SocketAddr),
    Serve {
        stream: TcpStream,
        peer: SocketAddr,
        listener: SocketAddr,
        presence: Presence,
    },
    Stop,
}

#[derive(Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, (Arc<Connection>, AbortHandle)>,
}

/// How often connections, pools and the log are looked after.
const SWEEP: Duration = Duration::from_millis(250);
/// A half-sent head has so long to become whole when the core closes.
const CLOSING: Duration = Duration::from_secs(1);
/// Where no connection can be accepted (too many, no file left), it is tried again after this.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

impl Core {
    pub(crate) fn new(index: usize, common: Arc<Common>, plane: Weak<Plane>) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        Self {
            common,
            table: Mutex::default(),
            changed: Notify::new(),
            index,
            plane,
            started: Instant::now(),
            lines: Mutex::default(),
            held: AtomicUsize::new(0),
            load: AtomicUsize::new(0),
            ended: Notify::new(),
            closing: AtomicBool::new(false),
            connections: Mutex::default(),
            commands,
            inbox: Mutex::new(Some(inbox)),
        }
    }

    /// Does nothing when the core has ended.
    pub(crate) fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// A clock that never goes back, in microseconds.
    pub(crate) fn now_us(&self) -> u64 {
        micros(self.started.elapsed())
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.common.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    pub(crate) fn trip(&self, service: &str, deployment: i64, at_us: u64) {
        if let Some(plane) = self.plane.upgrade() {
            plane.trip(service, deployment, at_us);
        }
    }

    pub(crate) fn log(&self, exchange: &Exchange) {
        if let Some(log) = &self.common.log {
            lock(&self.lines).add(exchange, log);
        }
    }

    /// A place among the held requests; none when there are too many.
    pub(crate) fn hold(self: &Arc<Self>) -> Option<Held> {
        let held = Held(Arc::clone(self));
        (self.held.fetch_add(1, Ordering::Relaxed) < self.common.limits.held).then_some(held)
    }

    /// Counts a connection or tunnel as long as what it gives lives.
    pub(crate) fn presence(self: &Arc<Self>) -> Presence {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.common.connections.fetch_add(1, Ordering::Relaxed);
        Presence(Arc::clone(self))
    }

    /// Gives a new connection to the core with the least, so that no core idles while another is full.
    fn place(self: &Arc<Self>, stream: tokio::net::TcpStream, peer: SocketAddr, listener: SocketAddr) {
        let plane = self.plane.upgrade();
        let cores = plane.as_ref().map_or(&[][..], |plane| &plane.cores);
        let least = cores
            .iter()
            .min_by_key(|core| core.load.load(Ordering::Relaxed))
            .unwrap_or(self);
        if least.load.load(Ordering::Relaxed) >= self.load.load(Ordering::Relaxed) {
            let presence = self.presence();
            self.serve(stream, peer, listener, presence);
        } else if let Ok(stream) = stream.into_std() {
            let presence = least.presence();
            least.send(Command::Serve {
                stream,
                peer,
                listener,
                presence,
            });
        }
    }

    fn serve(
        self: &Arc<Self>,
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
        listener: SocketAddr,
        presence: Presence,
    ) {
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let connection = Arc::new(Connection::new(Arc::clone(self), listener, peer));
        let served = Arc::clone(&connection);
        let mut connections = lock(&self.connections);
        let number = connections.next;
        connections.next += 1;
        let task = tokio::spawn(async move {
            let entry = Entry { presence, number };
            connection::serve(served, stream).await;
            drop(entry);
        });
        connections.open.insert(number, (connection, task.abort_handle()));
    }

    /// Closes what idles too long, forgets old pooled connections, writes the log.
    fn sweep(&self) {
        // After a stop, whoever has not sent a whole head by now has had its time.
        let limit = if self.is_closing() {
            CLOSING
        } else {
            self.common.limits.idle
        };
        lock(&self.connections)
            .open
            .values()
            .filter(|(c, _)| c.is_idle_for(limit))
            .for_each(|(_, task)| task.abort());
        if let Some(plane) = self.plane.upgrade() {
            plane.close_idle(self.index, upstream::IDLE);
        }
        self.flush();
    }

    fn flush(&self) {
        if let Some(log) = &self.common.log {
            lock(&self.lines).flush(log);
        }
    }

    fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        let open: Vec<_> = lock(&self.connections)
            .open
            .values()
            .map(|(c, _)| Arc::clone(c))
            .collect();
        open.iter().for_each(|connection| connection.wake());
    }
}

/// Counts as long as it lives; see [`Core::presence`].
pub(crate) struct Presence(Arc<Core>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.common.connections.fetch_sub(1, Ordering::Relaxed);
        if self.0.load.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.is_stopping() {
            self.0.ended.notify_one();
        }
    }
}

/// A connection's place in its core's list; ends with its task, also when that is aborted.
struct Entry {
    presence: Presence,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.presence.0.connections).open.remove(&self.number);
    }
}

/// A held request; see [`Core::hold`].
pub(crate) struct Held(Arc<Core>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts the core's thread. It ends after a stop.
pub(crate) fn spawn(core: Arc<Core>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name(format!("proxy-{}", core.index))
        .spawn(move || {
            let Some(inbox) = lock(&core.inbox).take() else {
                return;
            };
            runtime.block_on(run(&core, inbox));
            // What is left after the stop's time is cut here.
            drop(runtime);
            core.flush();
        })
}

async fn run(core: &Arc<Core>, mut inbox: mpsc::UnboundedReceiver<Command>) {
    let mut accepting: HashMap<SocketAddr, AbortHandle> = HashMap::new();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            command = inbox.recv() => match command {
                Some(Command::Listen(address, listener)) => match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        let task = tokio::spawn(accept(Arc::clone(core), address, listener));
                        accepting.insert(address, task.abort_handle());
                    }
                    Err(error) => tracing::error!(%address, %error, "cannot accept"),
                },
                Some(Command::Unlisten(address)) => {
                    accepting.remove(&address).inspect(AbortHandle::abort);
                }
                Some(Command::Serve { stream, peer, listener, presence }) => {
                    if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                        core.serve(stream, peer, listener, presence);
                    }
                }
                Some(Command::Stop) | None => break,
            },
            _ = sweep.tick() => core.sweep(),
        }
    }
    accepting.values().for_each(AbortHandle::abort);
    drain(core, &mut inbox, &mut sweep).await;
}

/// After a stop: what is in flight ends, idle connections may linger a moment, then all are asked to close.
async fn drain(
    core: &Arc<Core>,
    inbox: &mut mpsc::UnboundedReceiver<Command>,
    sweep: &mut tokio::time::Interval,
) {
    let linger = tokio::time::sleep(core.common.limits.linger);
    let end = tokio::time::sleep(core.common.limits.stop);
    tokio::pin!(linger, end);
    while core.load.load(Ordering::SeqCst) > 0 {
        tokio::select! {
            () = core.ended.notified() => (),
            () = &mut linger, if !core.is_closing() => core.close(),
            () = &mut end => return,
            _ = sweep.tick() => core.sweep(),
            command = inbox.recv() => if let Some(Command::Serve { stream, peer, listener, presence }) = command
                && let Ok(stream) = tokio::net::TcpStream::from_std(stream)
            {
                core.serve(stream, peer, listener, presence);
            },
        }
    }
}

/// Accepts from the shared socket for as long as it is asked to. Ends by being aborted.
async fn accept(core: Arc<Core>, address: SocketAddr, listener: tokio::net::TcpListener) {
    loop {
        if core.common.connections.load(Ordering::Relaxed) >= core.common.limits.connections {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, peer)) => core.place(stream, peer, address),
            // The client was gone before we came.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => (),
            Err(error) => {
                tracing::warn!(%address, %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}
