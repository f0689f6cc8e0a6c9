from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from app.database import SCHEMA
from app.main import create_app
from app.metrics import ACTIVE_SECONDS, Metrics
from app.settings import Settings
from tests.backend import Person
from tests.conftest import alembic_config


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_a_replica_tells_how_it_is(client: TestClient, prefix: str) -> None:
    health = client.get(f"{prefix}/health")
    assert health.status_code == 200
    assert health.json() == {"status": "ok", "checks": {"database": "ok", "cache": "ok", "search": "ok"}}
    version = client.get(f"{prefix}/version").json()
    assert version == {**version, "service": "backend", "revision": "abc1234", "environment": ""}
    metrics = client.get(f"{prefix}/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_a_deployed_replica_tells_where_it_is(sqlite_url: str) -> None:
    with TestClient(create_app(Settings(database_url=sqlite_url, revision="abc1234", environment="staging"))) as client:
        told = {"service": "backend", "revision": "abc1234", "environment": "staging"}
        assert client.get("/version").json() == told


def health_of(url: str) -> tuple[int, str]:
    with TestClient(create_app(Settings(database_url=url))) as client:
        answer = client.get("/health")
        return answer.status_code, answer.json()["checks"]["database"]


def test_without_its_schema_a_replica_is_not_ready(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/omnilife.db"
    status, why = health_of(url)
    assert (status, "alembic upgrade head" in why) == (503, True)
    command.upgrade(alembic_config(url), "0001")
    assert health_of(url) == (503, f"migration {SCHEMA} is needed, 0001 is there")
    command.upgrade(alembic_config(url), "head")
    assert health_of(url) == (200, "ok")


def test_the_needed_schema_is_the_newest_there_is() -> None:
    assert ScriptDirectory.from_config(alembic_config("sqlite://")).get_current_head() == SCHEMA


def test_without_a_database_requests_are_refused_in_order() -> None:
    nobody = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    with TestClient(create_app(Settings(database_url=nobody))) as client:
        assert client.get("/health").status_code == 503
        refused = client.get("/api/habits", headers={"Authorization": "Bearer x"})
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "unavailable"
        assert refused.headers["retry-after"] == "1"
        assert client.get("/api/version").status_code == 200


def test_what_happens_is_counted(client: TestClient, ana: Person) -> None:
    habit = ana.habit()
    ana.check_in(habit, note="once")
    ana.check_in(habit, note="the same day")
    client.post("/api/sessions", json={"email": "ana@example.com", "password": "wrong"})
    ana.get("/api/search?q=once")
    families = text_string_to_metric_families(client.get("/metrics").text)
    values = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    counted = {
        ("omnilife_sign_ups_total",): 1.0,
        ("omnilife_habits_created_total",): 1.0,
        ("omnilife_entries_total",): 1.0,
        ("omnilife_users_active",): 1.0,
        ("omnilife_sign_in_failures_total", "wrong"): 1.0,
        ("omnilife_searches_total", "database"): 1.0,
    }
    assert {key: values[key] for key in counted} == counted


def test_users_are_active_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr("app.metrics.time.monotonic", lambda: clock)
    metrics = Metrics()
    metrics.saw(1)
    clock += ACTIVE_SECONDS
    metrics.saw(2)
    assert metrics.active_users() == 2
    clock += 1
    assert metrics.active_users() == 1
