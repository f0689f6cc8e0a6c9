//! What can go wrong between a client and the server.

use crate::rest::Problem;

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server understood, and said no (any status but 401 and 403).
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// Without a token, or with one that may not (401, 403).
    #[error("{}", .0.detail)]
    Denied(Box<Problem>),
    /// Nobody answers, or the answer broke off.
    #[error("cannot reach {url}")]
    Unreachable { url: String, source: reqwest::Error },
    /// The answer is not what this version expects.
    #[error("the answer to {what} is not understood: {why}")]
    Answer { what: String, why: String },
    #[error("`{url}` is no address of a server: {why}")]
    Address { url: String, why: String },
    /// A name that cannot stand in an address.
    #[error("`{0}` is no name")]
    Name(String),
}

impl ClientError {
    /// Whether asking again may help: the server was not there, or in trouble.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } => true,
            ClientError::Refused(problem) => matches!(problem.status, 429 | 500..=599),
            _ => false,
        }
    }
}
