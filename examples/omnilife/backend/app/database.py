"""The one way to the database: short transactions that either read or write.

Several replicas, of the old release and of the new one, share the database. On SQLite that takes three things: a
write-ahead log, so that readers never wait; a busy timeout, so that writers wait for each other; and `BEGIN IMMEDIATE`
for whatever will write, because a transaction that begins as a reader cannot wait when it turns into a writer.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

# The migration that this code needs; a newer one is fine, because migrations only add until nobody needs the old.
SCHEMA = "0003"
# How long a writer waits for the others.
BUSY_SECONDS = 5.0


class Database:
    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        self._writer = self.engine.execution_options(writes=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Commits at the end, unless an exception leaves it."""
        with Session(self._writer) as session, session.begin():
            yield session

    def fault(self) -> str | None:
        """Why it cannot be used, or None."""
        try:
            with self.engine.connect() as connection:
                found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except SQLAlchemyError:
            return "no answer, or no schema: is it up, and did `alembic upgrade head` run?"
        if found is None or str(found) < SCHEMA:
            return f"migration {SCHEMA} is needed, {found or 'none'} is there"
        return None

    def close(self) -> None:
        self.engine.dispose()


def open_engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_timeout=5, connect_args={"connect_timeout": 5})
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    if engine.url.database:
        Path(engine.url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # Python's driver would begin transactions by its own rules; see _begin_sqlite.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")  # nosemgrep: python-sql-text


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
