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
    let (mut ends, mut broken) = (Vec::new(), Ok(()));
    for waiting in batch {
        let end = match &broken {
            Ok(()) => in_savepoint(connection, waiting.work).await,
            Err(Broken(error)) => Ok(Err(error.clone())),
        };
        let end = end.unwrap_or_else(|fault| {
            let error = fault.0.clone();
            broken = Err(fault);
            Err(error)
        });
        ends.push((waiting.done, end));
    }
    let commit = match broken {
        Ok(()) => execute(connection, "COMMIT").await,
        Err(Broken(error)) => Err(error),
    };
    if commit.is_err() {
        let _ = execute(connection, "ROLLBACK").await;
    }
    for (done, end) in ends {
        done(end.and_then(|()| commit.clone()));
    }
}

/// The batch's transaction is not there any more: SQLite itself takes it back where it cannot go on, as on a full
/// disk. What was in it is undone, and nothing more may be done as if it were still there.
struct Broken(StoreError);

async fn in_savepoint(connection: &mut Connection, work: Work) -> Result<Result<()>, Broken> {
    execute(connection, "SAVEPOINT one").await.map_err(Broken)?;
    let end = AssertUnwindSafe(work(connection))
        .catch_unwind()
        .await
        .unwrap_or(Err(StoreError::Panicked));
    if let Err(error) = &end
        && execute(connection, "ROLLBACK TO one").await.is_err()
    {
        return Err(Broken(error.clone()));
    }
    execute(connection, "RELEASE one").await.map_err(Broken)?;
    Ok(end)
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(c: &mut Connection, statement: String) -> Result<()> {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut c.inner)
            .await?;
        Ok(())
    }

    /// A batch of transactions, each of which adds a row of so many bytes; the rows that stand after it, and those that
    /// were said to.
    async fn batch(c: &mut Connection, sizes: &[i64]) -> (Vec<i64>, Vec<i64>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let waiting = sizes.iter().map(|&size| {
            let said = Arc::clone(&said);
            let add = format!("INSERT INTO t (size, filling) VALUES ({size}, zeroblob({size}))");
            Waiting {
                work: Box::new(move |c| Box::pin(run(c, add))),
                done: Box::new(move |end| match end {
                    Ok(()) => said.lock().expect("unpoisoned").push(size),
                    Err(error) => assert!(error.is_full(), "{error:?}"),
                }),
            }
        });
        write_batch(c, waiting).await;
        let rows = sqlx::query_scalar("SELECT size FROM t ORDER BY rowid");
        let rows = rows.fetch_all(&mut c.inner).await.expect("rows");
        let said = said.lock().expect("unpoisoned").clone();
        (rows, said)
    }

    #[tokio::test]
    async fn a_full_database_undoes_exactly_what_it_says_and_goes_on_when_there_is_room() {
        let directory = tempfile::tempdir().expect("a folder");
        let options = SqliteConnectOptions::new()
            .filename(directory.path().join("db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let inner = options.connect().await.expect("a database");
        let mut c = Connection { inner };
        run(&mut c, "CREATE TABLE t (size BIGINT, filling BLOB)".to_owned())
            .await
            .expect("a table");
        run(&mut c, "PRAGMA max_page_count = 40".to_owned())
            .await
            .expect("a limit");
        let (rows, said) = batch(&mut c, &[1, 2]).await;
        assert_eq!((&rows, &said), (&vec![1, 2], &vec![1, 2]));
        // Which of them are undone is SQLite's affair; that it is told truly is ours.
        let (rows, said) = batch(&mut c, &[3, 1_000_000, 4, 500_000, 5]).await;
        assert_eq!(rows, [&[1, 2], said.as_slice()].concat());
        run(&mut c, "PRAGMA max_page_count = 4000".to_owned())
            .await
            .expect("more room");
        let before = rows;
        let (rows, said) = batch(&mut c, &[6, 1_000_000]).await;
        assert_eq!(
            (rows, said),
            ([&before[..], &[6, 1_000_000]].concat(), vec![6, 1_000_000])
        );
    }
}
