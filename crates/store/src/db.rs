//! The database's connections: one that writes, behind an actor that commits together what waits together, and a
//! few that read. Nothing else opens the database.

use crate::error::{Result, StoreError};
use crate::migrate;
use futures_util::FutureExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _};
use std::ops::{Deref, DerefMut};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};

/// How many readers may be open at once.
const READERS: usize = 4;
/// How many transactions may wait for the writer; more wait to be let in.
const WAITING_MAX: usize = 256;
/// How many of them are committed together.
const BATCH_MAX: usize = 64;

/// An open connection. What it offers is written in the modules of the nouns.
pub struct Connection {
    pub(crate) inner: SqliteConnection,
}

pub type Transaction<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

type Work = Box<dyn for<'c> FnOnce(&'c mut Connection) -> Transaction<'c, ()> + Send>;

struct Waiting {
    work: Work,
    /// Called after the commit (or its failure) with what became of the transaction.
    done: Box<dyn FnOnce(Result<()>) + Send>,
}

pub(crate) struct Db {
    writer: mpsc::Sender<Waiting>,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    options: SqliteConnectOptions,
}

impl Db {
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .pragma("cache_size", "-4096")
            .disable_statement_logging();
        let mut writer = Connection {
            inner: options.clone().create_if_missing(true).connect().await?,
        };
        migrate::run(&mut writer).await?;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write_loop(writer, receiver));
        Ok(Self {
            writer: sender,
            idle: Mutex::new(Vec::new()),
            permits: Semaphore::new(READERS),
            options: options.read_only(true),
        })
    }

    /// A connection for reading, of one of at most [`READERS`].
    pub(crate) async fn read(&self) -> Result<Reader<'_>> {
        let permit = self.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => Connection {
                inner: self.options.connect().await?,
            },
        };
        Ok(Reader {
            connection: Some(connection),
            db: self,
            _permit: permit,
        })
    }

    /// Runs one transaction. It is durable when this returns `Ok`, and left no trace when it returns an error.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Transaction<'c, T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                let value = work(connection).await?;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Ok(())
            })
        });
        let done = Box::new(move |end: Result<()>| {
            let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Whoever asked may have gone; the transaction stands all the same.
            let _ = answer.send(end.and_then(|()| value.ok_or(StoreError::Panicked)));
        });
        self.writer
            .send(Waiting { work, done })
            .await
            .map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// A reading connection; goes back when it is dropped.
pub struct Reader<'a> {
    connection: Option<Connection>,
    db: &'a Db,
    _permit: SemaphorePermit<'a>,
}

impl Deref for Reader<'_> {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "only `drop` takes the connection")]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a reader has its connection")
    }
}

impl DerefMut for Reader<'_> {
    #[expect(clippy::expect_used, reason = "only `drop` takes the connection")]
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a reader has its connection")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.db
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}

/// Owns the writing connection until nobody can send any more.
async fn write_loop(mut connection: Connection, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        write_batch(&mut connection, batch.drain(..)).await;
    }
    let _ = connection.inner.close().await;
}

/// All of a batch in one database transaction, each in a savepoint of its own: one sync to disk for all.
async fn write_batch(connection: &mut Connection, batch: impl Iterator<Item = Waiting>) {
    if let Err(error) = execute(connection, "BEGIN IMMEDIATE").await {
        batch.for_each(|waiting| (waiting.done)(Err(error.clone())));
        return;
    }
    let mut ends = Vec::new();
    for waiting in batch {
        let end = in_savepoint(connection, waiting.work).await;
        ends.push((waiting.done, end));
    }
    let commit = execute(connection, "COMMIT").await;
    if commit.is_err() {
        let _ = execute(connection, "ROLLBACK").await;
    }
    for (done, end) in ends {
        done(end.and_then(|()| commit.clone()));
    }
}

async fn in_savepoint(connection: &mut Connection, work: Work) -> Result<()> {
    execute(connection, "SAVEPOINT one").await?;
    let end = AssertUnwindSafe(work(connection))
        .catch_unwind()
        .await
        .unwrap_or(Err(StoreError::Panicked));
    if end.is_err() {
        execute(connection, "ROLLBACK TO one").await?;
    }
    execute(connection, "RELEASE one").await?;
    end
}

async fn execute(connection: &mut Connection, statement: &'static str) -> Result<()> {
    sqlx::query(statement).execute(&mut connection.inner).await?;
    Ok(())
}

/// A record that is read from a row by its field names.
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$doc])* pub $field: $type,)* }

        impl<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> for $name {
            fn from_row(row: &'r sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field).trim_start_matches("r#"))?,)* })
            }
        }
    };
}
pub(crate) use record;
