//! Why a target could not do what was asked. A release that is bad is no error of ours: [`crate::probe`] and
//! [`crate::verify`] answer with what they found.

use pilotage_keep::KeepError;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error("cannot {what}")]
    Io { what: String, source: io::Error },
    #[error("cannot {what}")]
    Keep { what: String, source: KeepError },
    /// A name that could not be a folder of its own.
    #[error("`{name}` is not a valid {kind}")]
    Name { kind: &'static str, name: String },
    /// What came as a release cannot be unpacked, or must not be.
    #[error("release {digest} cannot be unpacked: {entry}: {why}")]
    Archive {
        digest: String,
        entry: String,
        why: String,
    },
    /// `prepare` or `before` ended with another code than 0, or not in time.
    #[error("`{line}` {ending}{}", last_line(.log))]
    Command {
        line: String,
        ending: String,
        log: Vec<String>,
    },
    /// Somebody else listens there. `holder` is empty where it cannot be seen.
    #[error("{address} is taken{holder}")]
    PortTaken { address: SocketAddr, holder: String },
    #[error("no free port from {from} to {to}")]
    NoPort { from: u16, to: u16 },
    #[error("replica {id} is not there")]
    NoReplica { id: String },
    #[error("cannot speak with the proxy in {dir}")]
    Proxy { dir: String, source: io::Error },
    #[error("the proxy refused: {reason}")]
    Refused { reason: String },
    #[error("a task of the target was cut off")]
    Cut,
}

impl DeployError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| DeployError::Io { what, source }
    }

    pub(crate) fn path(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("{verb} {}", path.display()))
    }

    pub(crate) fn keep(what: impl Into<String>) -> impl FnOnce(KeepError) -> Self {
        let what = what.into();
        move |source| DeployError::Keep { what, source }
    }
}

fn last_line(log: &[String]) -> String {
    log.iter()
        .rev()
        .find(|line| !line.trim().is_empty())
        .map(|line| format!(": {line}"))
        .unwrap_or_default()
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DeployError> + Send + 'static,
) -> Result<T, DeployError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| DeployError::Cut)?
}
