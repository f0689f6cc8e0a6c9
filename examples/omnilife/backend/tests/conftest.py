"""Every test of the API runs on SQLite and on a real PostgreSQL, each time on empty tables."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text

from app import accounts
from app.settings import Settings
from tests.backend import FOLDER, Person
from tests.servers import RedisServer, postgresql, redis_server

# What a pipeline or a deployment around us says is not meant for the tests.
for variable in list(os.environ):
    if variable.startswith("PILOTAGE_") or variable in ("DATABASE_URL", "REDIS_URL", "ELASTICSEARCH_URL"):
        del os.environ[variable]

ON_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.services)


def alembic_config(url: str) -> Config:
    config = Config(FOLDER / "alembic.ini")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "SCRYPT_COST", 2)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_url: str) -> str:
    command.upgrade(alembic_config(postgresql_url), "head")
    return postgresql_url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "omnilife.db"
    command.upgrade(alembic_config(f"sqlite:///{path}"), "head")
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "omnilife.db"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", ON_POSTGRESQL])
def database_url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        url: str = request.getfixturevalue("sqlite_url")
        return url
    url = request.getfixturevalue("migrated_postgresql")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE users RESTART IDENTITY CASCADE"))
    engine.dispose()
    return url


@pytest.fixture
def settings(database_url: str) -> Settings:
    # Of no environment, as on a developer's machine: what differs where it is deployed has tests that say so.
    return Settings(database_url=database_url, revision="abc1234")


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    # Not at the top: importing it reads the environment.
    from app.main import create_app

    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def ana(client: TestClient) -> Person:
    return Person(client, "Ana")


@pytest.fixture(scope="session")
def running_redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis_up(running_redis: RedisServer) -> RedisServer:
    with running_redis.client() as client:
        client.flushall()
    return running_redis
