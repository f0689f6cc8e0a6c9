//! What other processes say to a keeper: small blocking calls, and the start of a keeper.

use crate::control::SOCKET;
use crate::error::KeepError;
use crate::keeper::STOPPED;
use crate::socket;
use crate::state::Status;
use crate::sys;
use crate::text;
use nix::unistd::{ForkResult, fork, setsid};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A keeper answers from memory; one that takes longer is not there.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 64 << 10;
const START_WITHIN: Duration = Duration::from_secs(10);
const LOG: &str = "keeper.log";
const LOG_BYTES_MAX: u64 = 64 << 10;

/// What the keeper of a directory says of itself.
pub fn status(dir: &Path) -> Result<Status, KeepError> {
    let (body, _) = ask(dir, "status", None, ANSWER_WITHIN)?;
    Status::parse(&body).ok_or_else(|| KeepError::Protocol {
        what: "status".to_owned(),
    })
}

/// Stops the process and answers when it and its group are gone; it is not started again, by a later keeper
/// neither. `within` bounds the wait, and should be longer than the spec's grace.
pub fn stop(dir: &Path, within: Duration) -> Result<(), KeepError> {
    ask(dir, "stop", None, within).map(drop)
}

/// Takes back a [`stop`].
pub fn start(dir: &Path) -> Result<(), KeepError> {
    ask(dir, "start", None, ANSWER_WITHIN).map(drop)
}

/// Brings a directory to where its process is stopped, its keeper has ended, and no later keeper starts it again,
/// from wherever it was: also where the keeper was killed and the process lives.
pub fn end(exe: &Path, dir: &Path, within: Duration) -> Result<(), KeepError> {
    let marker = dir.join(STOPPED);
    File::create(&marker).map_err(|e| KeepError::path("write", &marker, e))?;
    // With the marker there, a keeper adopts and stops, and starts nothing.
    spawn(exe, dir)?;
    stop(dir, within)?;
    match exit(dir) {
        // It ended by itself, having nothing left to keep.
        Err(KeepError::NotRunning { .. }) => Ok(()),
        other => other,
    }
}

/// Whether the directory's process was asked to stop, and not to start again since.
#[must_use]
pub fn is_stopped(dir: &Path) -> bool {
    dir.join(STOPPED).exists()
}

/// Ends a keeper whose process is stopped.
pub fn exit(dir: &Path) -> Result<(), KeepError> {
    ask(dir, "exit", None, ANSWER_WITHIN).map(drop)
}

/// A duplicate of the listening TCP socket that the keeper holds for the address; it binds it if it has none.
/// The socket is non-blocking and close-on-exec; what listens on it may die, and connections go on waiting.
pub fn listener(dir: &Path, address: SocketAddr) -> Result<OwnedFd, KeepError> {
    let (_, descriptor) = ask(dir, &format!("listen {address}"), None, ANSWER_WITHIN)?;
    descriptor.ok_or_else(|| KeepError::Protocol {
        what: "no socket came with the answer".to_owned(),
    })
}

/// The keeper lets go of an address. The port is free once every other holder has closed it too.
pub fn unlisten(dir: &Path, address: SocketAddr) -> Result<(), KeepError> {
    ask(dir, &format!("unlisten {address}"), None, ANSWER_WITHIN).map(drop)
}

/// Gives the keeper a listening TCP socket to hold: for a process whose keeper was killed, and whose new keeper
/// could not take the sockets by itself. Nothing changes where it holds one for that address.
pub fn hold(dir: &Path, listener: impl AsFd) -> Result<(), KeepError> {
    ask(dir, "hold", Some(&listener), ANSWER_WITHIN).map(drop)
}

/// Makes sure that a keeper runs in the directory: starts `exe keep DIR` as a process of nobody, and comes back
/// when its socket answers. A keeper that runs there already is as good.
pub fn spawn(exe: &Path, dir: &Path) -> Result<(), KeepError> {
    let deadline = Instant::now() + START_WITHIN;
    loop {
        match launch(exe, dir, deadline)?.as_str() {
            "ready" => return Ok(()),
            "kept" if status(dir).is_ok() => return Ok(()),
            // Another keeper is on its way up, or a dead one's process is about to execute: soon one of us is.
            "kept" if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                return Err(KeepError::Start {
                    dir: dir.to_owned(),
                    reason: last_words(dir),
                });
            }
        }
    }
}

/// Starts a keeper and returns its first word; empty if it ended without one.
fn launch(exe: &Path, dir: &Path, deadline: Instant) -> Result<String, KeepError> {
    let log_path = dir.join(LOG);
    let log = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log_path);
    let log = log.map_err(|e| KeepError::path("open", &log_path, e))?;
    if log.metadata().is_ok_and(|m| m.len() > LOG_BYTES_MAX) {
        let _ = log.set_len(0);
    }
    let (mut reader, writer) = io::pipe().map_err(|e| KeepError::io("make a pipe", e))?;
    let mut command = Command::new(exe);
    command.arg("keep").arg(dir).env_clear();
    command.stdin(Stdio::null()).stdout(writer).stderr(log);
    #[allow(unsafe_code)]
    // SAFETY: only async-signal-safe calls; the first copy ends at once, so that the keeper is nobody's child.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            match fork()? {
                ForkResult::Parent { .. } => libc::_exit(0),
                ForkResult::Child => sys::close_all_on_exec(),
            }
        });
    }
    let started = command.spawn().and_then(|mut first| first.wait());
    started.map_err(|e| KeepError::path("execute", exe, e))?;
    // Our copy of the pipe's other end must go, or its end would never be seen.
    drop(command);
    read_word(&mut reader, deadline).map_err(|e| KeepError::path("wait for the keeper of", dir, e))
}

fn read_word(reader: &mut io::PipeReader, deadline: Instant) -> io::Result<String> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    if poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], timeout)? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut word = [0; 16];
    let length = reader.read(&mut word)?;
    Ok(String::from_utf8_lossy(word.get(..length).unwrap_or_default())
        .trim()
        .to_owned())
}

fn last_words(dir: &Path) -> String {
    let text = std::fs::read_to_string(dir.join(LOG)).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

fn ask(
    dir: &Path,
    request: &str,
    descriptor: Option<&dyn AsFd>,
    within: Duration,
) -> Result<(String, Option<OwnedFd>), KeepError> {
    let stream = socket::connect(dir, SOCKET).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            KeepError::NotRunning { dir: dir.to_owned() }
        }
        _ => KeepError::path("connect to the keeper of", dir, e),
    })?;
    let fail = |e: io::Error| match e.kind() {
        // It went away between the question and the answer.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            KeepError::NotRunning { dir: dir.to_owned() }
        }
        _ => KeepError::path("speak with the keeper of", dir, e),
    };
    let line = format!("{request}\n");
    let sent = match descriptor {
        Some(descriptor) => socket::send_with_fd(&stream, line.as_bytes(), descriptor.as_fd().as_raw_fd()),
        None => (&stream).write_all(line.as_bytes()),
    };
    let (answer, received) = sent.and_then(|()| read_answer(&stream, within)).map_err(fail)?;
    match answer.split_once('\n').unwrap_or((&answer, "")) {
        ("ok", body) => Ok((body.to_owned(), received)),
        (first, _) => match first.strip_prefix("error ").and_then(text::unescape) {
            Some(reason) => Err(KeepError::Refused { reason }),
            None => Err(KeepError::Protocol {
                what: text::escape(first),
            }),
        },
    }
}

/// An answer without the empty line that ends it, and the descriptor that came with it.
fn read_answer(stream: &UnixStream, within: Duration) -> io::Result<(String, Option<OwnedFd>)> {
    let deadline = Instant::now() + within;
    let (mut answer, mut received) = (Vec::new(), None);
    let mut bytes = [0; 4096];
    while !answer.ends_with(b"\n\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match socket::receive_with_fd(stream, &mut bytes) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((length, descriptor)) => {
                answer.extend(bytes.iter().take(length));
                received = descriptor.or(received);
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(e) => return Err(e),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other("the answer is too long"));
        }
    }
    answer.pop();
    Ok((String::from_utf8_lossy(&answer).into_owned(), received))
}
