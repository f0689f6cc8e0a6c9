//! What can go wrong in the store, as its callers need to tell it apart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database refused a statement")]
    Database { source: Arc<sqlx::Error> },
    /// A row of that name is there already.
    #[error("it exists already")]
    Exists,
    /// Someone else moved the machine on since it was loaded.
    #[error("machine {kind} {id} was changed meanwhile")]
    Stale { kind: String, id: i64 },
    #[error(
        "the database has schema {found}, this program knows schemas up to {known}: it was written by a newer one"
    )]
    NewerSchema { found: i64, known: i64 },
    #[error("the store is closed")]
    Closed,
    #[error("a transaction failed by a fault of the program")]
    Panicked,
    #[error("cannot {doing} {}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: Arc<std::io::Error>,
    },
    /// What was read does not have the form that this program writes.
    #[error("{what} is damaged")]
    Damaged { what: String },
    /// The log's next line is another one.
    #[error("line {got} of the log of job {job} does not follow: the next one is {next}")]
    Gap { job: i64, got: u64, next: u64 },
    #[error("the log of job {job} is over its limit of {bytes_max} bytes")]
    LogFull { job: i64, bytes_max: u64 },
    #[error("a blob has the digest {got}, {announced} was announced")]
    Digest { announced: String, got: String },
    #[error("a blob is over its limit of {bytes_max} bytes")]
    BlobTooLarge { bytes_max: u64 },
    #[error("the audit log does not hold")]
    Audit { source: pilotage_trust::audit::Broken },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if error.as_database_error().is_some_and(|e| e.is_unique_violation()) {
            StoreError::Exists
        } else {
            StoreError::Database {
                source: Arc::new(error),
            }
        }
    }
}

/// What SQLite says where the disk, or the database itself, has no room.
const SQLITE_FULL: &str = "13";

impl StoreError {
    /// Whether there was no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            StoreError::Database { source } => source
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .is_some_and(|code| code == SQLITE_FULL),
            StoreError::File { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }

    /// For `map_err` on file operations.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
        move |source| StoreError::File {
            doing,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;
