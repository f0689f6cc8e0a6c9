//! What a keeper says of itself: the answer to `status`, in lines of `key=value`.

use crate::process::Identity;
use crate::text;
use std::fmt;
use std::net::SocketAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    /// The process ended, and the next start waits.
    BackingOff,
    /// Asked to stop; the process has not ended yet.
    Stopping,
    Stopped,
}

impl State {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::BackingOff => "backing-off",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
        }
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitKind {
    Code(i32),
    Signal(i32),
    /// It could not be executed; why.
    NotStarted(String),
    /// It was started by an earlier keeper, so nobody could tell us.
    Unknown,
}

impl fmt::Display for ExitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitKind::Code(code) => write!(f, "code {code}"),
            ExitKind::Signal(signal) => write!(f, "signal {signal}"),
            ExitKind::NotStarted(why) => write!(f, "not started: {why}"),
            ExitKind::Unknown => f.write_str("unknown"),
        }
    }
}

impl ExitKind {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            Some(("code", n)) => n.parse().ok().map(ExitKind::Code),
            Some(("signal", n)) => n.parse().ok().map(ExitKind::Signal),
            Some(("not", why)) => Some(ExitKind::NotStarted(why.strip_prefix("started: ")?.to_owned())),
            _ => (text == "unknown").then_some(ExitKind::Unknown),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// When the keeper saw it, in milliseconds since 1970.
    pub at_ms: i64,
    /// 0 where nothing was started.
    pub pid: i32,
    pub kind: ExitKind,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.at_ms, self.pid, self.kind)
    }
}

impl Exit {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        Some(Exit {
            at_ms: parts.next()?.parse().ok()?,
            pid: parts.next()?.parse().ok()?,
            kind: ExitKind::parse(parts.next()?)?,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub keeper_pid: i32,
    pub state: State,
    /// The kept process, while it lives.
    pub child: Option<Identity>,
    /// The digest that the living process executes, read from beside its tree when it was started.
    pub digest: Option<String>,
    /// Starts after the first, counted over all keepers of the directory.
    pub restarts: u64,
    pub last_exit: Option<Exit>,
    /// What enforces the memory limit: `rlimit-data` or `none`.
    pub memory: String,
    /// The listening sockets that the keeper holds.
    pub listeners: Vec<SocketAddr>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "keeper={}", self.keeper_pid)?;
        writeln!(f, "state={}", self.state.word())?;
        if let Some(child) = &self.child {
            writeln!(f, "child={child}")?;
        }
        if let Some(digest) = &self.digest {
            writeln!(f, "digest={}", text::escape(digest))?;
        }
        writeln!(f, "restarts={}", self.restarts)?;
        if let Some(exit) = &self.last_exit {
            writeln!(f, "last-exit={}", text::escape(&exit.to_string()))?;
        }
        writeln!(f, "memory={}", self.memory)?;
        self.listeners
            .iter()
            .try_for_each(|address| writeln!(f, "listener={address}"))
    }
}

impl Status {
    /// Reads an answer; keys of a newer keeper are passed over.
    pub(crate) fn parse(body: &str) -> Option<Self> {
        let mut status = Status {
            keeper_pid: 0,
            state: State::Stopped,
            child: None,
            digest: None,
            restarts: 0,
            last_exit: None,
            memory: String::new(),
            listeners: Vec::new(),
        };
        let states = [State::Running, State::BackingOff, State::Stopping, State::Stopped];
        for pair in text::pairs(body) {
            let (key, value) = pair?;
            match key {
                "keeper" => status.keeper_pid = value.parse().ok()?,
                "state" => status.state = states.into_iter().find(|s| s.word() == value)?,
                "child" => status.child = Some(Identity::parse(&value)?),
                "digest" => status.digest = Some(value),
                "restarts" => status.restarts = value.parse().ok()?,
                "last-exit" => status.last_exit = Some(Exit::parse(&value)?),
                "memory" => status.memory = value,
                "listener" => status.listeners.push(value.parse().ok()?),
                _ => {}
            }
        }
        (status.keeper_pid != 0).then_some(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_meant() {
        for kind in [
            ExitKind::Code(3),
            ExitKind::Signal(9),
            ExitKind::NotStarted("no such\nfile".into()),
            ExitKind::Unknown,
        ] {
            let status = Status {
                keeper_pid: 7,
                state: State::BackingOff,
                child: Some(Identity {
                    pid: 8,
                    start_ticks: 99,
                    boot: "b-1".into(),
                }),
                digest: Some("sha256:ab\n".into()),
                restarts: 4,
                last_exit: Some(Exit {
                    at_ms: 5,
                    pid: 6,
                    kind,
                }),
                memory: "none".into(),
                listeners: vec!["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()],
            };
            assert_eq!(Status::parse(&status.to_string()), Some(status));
        }
        assert_eq!(Status::parse("state=running\n"), None);
    }
}
