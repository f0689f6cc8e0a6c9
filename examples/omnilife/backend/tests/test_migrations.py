"""Each migration goes down and up again with the data kept, and the release before goes on running with it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient

from app.database import open_engine
from app.main import create_app
from app.models import Base
from app.settings import Settings
from tests.backend import Person
from tests.conftest import ON_POSTGRESQL, alembic_config

AT = datetime(2026, 11, 25, 4, 45, tzinfo=UTC)
REVISIONS = ["0001", "0002", "0003"]
# What each table has had since 0001: all that the oldest release knows of. PostgreSQL counts from 1 whatever is there.
KNOWN: dict[str, dict[str, Any]] = {
    "users": {"id": 1001, "name": "Ana", "email": "ana@example.com", "password_hash": "x", "created_at": AT},
    "sign_ins": {"token_hash": "t", "user_id": 1001, "created_at": AT, "expires_at": AT},
    "habits": {"id": 7, "user_id": 1001, "name": "Read", "description": "Twenty pages", "created_at": AT},
    "entries": {"id": 31, "habit_id": 7, "day": date(2026, 11, 25), "note": "on the train", "created_at": AT},
}


@pytest.fixture(params=["sqlite", ON_POSTGRESQL])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/omnilife.db"
        return
    server = sa.create_engine(request.getfixturevalue("postgresql_url"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE migrations"))
        yield server.url.set(database="migrations").render_as_string(hide_password=False)
        connection.execute(sa.text("DROP DATABASE migrations WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def engine(empty_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(empty_url)
    yield engine
    engine.dispose()


def known(table: str) -> sa.TableClause:
    kinds: dict[type, sa.types.TypeEngine[Any]] = {
        datetime: sa.DateTime(timezone=True),
        date: sa.Date(),
        int: sa.Integer(),
        str: sa.String(),
    }
    return sa.table(table, *(sa.column(name, kinds[type(value)]) for name, value in KNOWN[table].items()))


def write(engine: sa.Engine) -> None:
    """As the oldest release writes: with the columns that it knows."""
    with engine.begin() as connection:
        for table, row in KNOWN.items():
            connection.execute(sa.insert(known(table)).values(**row))


def read(engine: sa.Engine) -> dict[str, dict[str, Any]]:
    with engine.connect() as connection:
        rows = {table: connection.execute(sa.select(known(table))).mappings().one() for table in KNOWN}
    return {table: {name: _in_utc(value) for name, value in row.items()} for table, row in rows.items()}


def _in_utc(value: Any) -> Any:
    """SQLite forgets the time zone; all that it is given is in UTC."""
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def test_all_revisions_are_here() -> None:
    walked = ScriptDirectory.from_config(Config("alembic.ini")).walk_revisions()
    assert [script.revision for script in walked] == REVISIONS[::-1]


@pytest.mark.parametrize(("before", "after"), list(zip(REVISIONS, REVISIONS[1:], strict=False)))
def test_up_down_and_up_again_keeps_the_data(empty_url: str, engine: sa.Engine, before: str, after: str) -> None:
    config = alembic_config(empty_url)
    command.upgrade(config, before)
    shape = columns(engine)
    write(engine)
    for move, revision in ((command.upgrade, after), (command.downgrade, before), (command.upgrade, after)):
        engine.dispose()
        move(config, revision)
        assert read(engine) == KNOWN
        assert (columns(engine) == shape) == (revision == before)


def columns(engine: sa.Engine) -> dict[str, set[str]]:
    inspector = sa.inspect(engine)
    return {table: {column["name"] for column in inspector.get_columns(table)} for table in KNOWN}


def test_all_the_way_down_nothing_is_left(empty_url: str, engine: sa.Engine) -> None:
    config = alembic_config(empty_url)
    for _ in range(2):
        command.upgrade(config, "head")
        command.downgrade(config, "base")
        assert set(sa.inspect(engine).get_table_names()) == {"alembic_version"}
        engine.dispose()


def test_the_oldest_release_writes_and_reads_on_the_newest_schema(empty_url: str, engine: sa.Engine) -> None:
    command.upgrade(alembic_config(empty_url), "head")
    write(engine)
    assert read(engine) == KNOWN
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT color FROM habits")).scalar_one() == "#2f6feb"
        assert connection.execute(sa.text("SELECT changes FROM users")).scalar_one() == 0


def test_this_release_serves_what_the_oldest_one_wrote(empty_url: str, engine: sa.Engine) -> None:
    config = alembic_config(empty_url)
    command.upgrade(config, "0001")
    write(engine)
    engine.dispose()
    command.upgrade(config, "head")
    with TestClient(create_app(Settings(database_url=empty_url))) as client:
        ben = Person(client, "Ben")
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE sign_ins SET user_id = 1001"))
        [habit] = ben.get("/api/habits")["items"]
        told = {"id": 7, "name": "Read", "color": "#2f6feb", "created_at": "2026-11-25T04:45:00Z", "entries_count": 1}
        assert {**habit, **told} == habit


def test_the_models_are_what_the_migrations_make(empty_url: str, engine: sa.Engine) -> None:
    command.upgrade(alembic_config(empty_url), "head")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
