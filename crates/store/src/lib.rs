//! Durable state: the database, its migrations, blobs and logs.
//!
//! The only place that writes SQL. Each function of a [`Connection`] is a statement or a few; what belongs
//! together runs in one transaction, [`Store::write`]. Decides nothing: who may do what, and what follows from what,
//! is decided elsewhere.

mod artifact;
mod audit;
mod blob;
mod cache;
mod db;
mod deployment;
mod environment;
mod error;
mod log;
mod machine;
mod metric;
mod migrate;
mod notification;
mod overview;
#[cfg(test)]
mod plan;
mod project;
mod queue;
mod release;
mod retention;
mod run;
mod secret;
mod session;
mod setting;
mod token;

pub use artifact::Artifact;
pub use audit::{AuditFilter, AuditRow};
pub use blob::{BlobName, BlobWriter, Blobs};
pub use cache::Cache;
pub use db::{Connection, Reader, Transaction};
pub use deployment::{Deployment, Quarantined, RecentDeployment, Standing};
pub use environment::{Approval, Environment, Wait};
pub use error::{Result, StoreError};
pub use log::{LogPiece, LogState, Logs, READ_BYTES_MAX};
pub use machine::{EffectRow, MachineEventRow, MachineRow, Transition};
pub use metric::{Metric, SPANS};
pub use migrate::SCHEMA;
pub use notification::{Notice, Notification, ToldRow};
pub use overview::Bar;
pub use project::{Event, Project, Workflow};
pub use queue::{Holder, NewJob, QueuedJob, Runner};
pub use release::Release;
pub use retention::{Removed, RetentionPolicy};
pub use run::{Job, Run, RunFilter, Step, Summary};
pub use secret::{Secret, SecretUse, Variable};
pub use session::Session;
pub use token::{NewToken, Token};

use std::path::Path;

/// How large one log may grow, in bytes, unless told otherwise.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// Everything that survives: `pilotage.db`, `blobs/` and `logs/` in one directory.
///
/// One process at a time may have it open; the caller sees to that.
pub struct Store {
    db: db::Db,
    pub blobs: Blobs,
    pub logs: Logs,
}

impl Store {
    /// Opens a store, or makes one; brings its schema up to date.
    pub async fn open(directory: &Path) -> Result<Self> {
        tokio::fs::create_dir_all(directory)
            .await
            .map_err(StoreError::file("create", directory))?;
        Ok(Self {
            db: db::Db::open(&directory.join("pilotage.db")).await?,
            blobs: Blobs::open(&directory.join("blobs")).await?,
            logs: Logs::open(&directory.join("logs"), LOG_BYTES_MAX)?,
        })
    }

    /// A connection for reading. It waits while too many are in use.
    pub async fn read(&self) -> Result<Reader<'_>> {
        self.db.read().await
    }

    /// Runs one transaction. It is durable when this returns `Ok`, and left no trace when it returns an error.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Transaction<'c, T> + Send + 'static,
    {
        self.db.write(work).await
    }
}
