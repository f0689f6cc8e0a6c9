from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.breaker import REST_SECONDS, Breaker
from app.cache import Cache, LocalCache
from app.main import create_app
from app.redis_cache import RedisCache
from app.settings import Settings
from tests.backend import Person
from tests.servers import RedisServer, free_port


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.services)])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    local = request.param == "local"
    opened: Cache = LocalCache() if local else RedisCache(request.getfixturevalue("redis_up").url)
    yield opened
    opened.close()


def test_what_is_put_is_there(cache: Cache) -> None:
    assert cache.is_up()
    assert cache.get("a") is None
    cache.put("a", "1é", 60)
    assert cache.get("a") == "1é"
    cache.put("a", "2", 60)
    assert cache.get("a") == "2"


def test_counts(cache: Cache) -> None:
    assert [cache.count("a", 60) for _ in range(3)] == [1, 2, 3]
    assert cache.get("a") == "3"


def test_the_local_one_forgets_in_time() -> None:
    clock = 0.0
    cache = LocalCache(clock=lambda: clock)
    cache.put("a", "1", 10)
    assert cache.count("b", 10) == 1
    clock = 9.9
    assert cache.get("a") == "1"
    # Counting on does not prolong it.
    assert cache.count("b", 10) == 2
    clock = 10.0
    assert cache.get("a") is None
    assert cache.count("b", 10) == 1


def test_the_local_one_forgets_what_was_not_used_for_longest() -> None:
    cache = LocalCache(capacity=2)
    cache.put("a", "1", 60)
    cache.put("b", "2", 60)
    cache.get("a")
    cache.put("c", "3", 60)
    assert [cache.get(key) for key in "abc"] == ["1", None, "3"]


@pytest.mark.services
def test_redis_keeps_it_for_the_time_that_was_said(redis_up: RedisServer) -> None:
    cache = RedisCache(redis_up.url)
    cache.put("a", "1", 60)
    cache.count("b", 60)
    cache.count("b", 90)
    with redis_up.client() as client:
        assert [0 < client.ttl(key) <= 60 for key in "ab"] == [True, True]
    cache.close()


def test_a_breaker_rests_after_a_failure() -> None:
    clock = 0.0
    breaker = Breaker("neighbour", lambda: clock)
    assert breaker.allows()
    breaker.failed(ConnectionError())
    assert not breaker.allows()
    clock = REST_SECONDS
    assert breaker.allows()


def test_a_dead_redis_is_an_empty_cache(sqlite_url: str) -> None:
    settings = Settings(database_url=sqlite_url, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    with TestClient(create_app(settings)) as client:
        ana = Person(client)
        ana.check_in(ana.habit())
        assert [ana.get("/api/stats")["entries"] for _ in range(2)] == [1, 1]
        health = client.get("/health")
        assert (health.status_code, health.json()["checks"]["cache"]) == (200, "down")
        for _ in range(10):
            client.post("/api/sessions", json={"email": "ana@example.com", "password": "wrong"})
        locked = client.post("/api/sessions", json={"email": "ana@example.com", "password": "wrong"})
        assert locked.status_code == 429


@pytest.mark.services
def test_redis_may_die_and_come_back(sqlite_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    server = RedisServer(str(tmp_path_factory.mktemp("redis")))
    server.start()
    try:
        with TestClient(create_app(Settings(database_url=sqlite_url, redis_url=server.url))) as client:
            cache = client.app.state.services.cache  # type: ignore[attr-defined]
            ana = Person(client)
            ana.get("/api/stats")
            with server.client() as direct:
                assert [key.split(":")[0] for key in direct.keys("*")] == ["stats"]
            server.stop()
            assert ana.get("/api/stats")["entries"] == 0
            assert client.get("/health").json()["checks"]["cache"] == "down"
            server.start()
            # As if the breaker's rest were over.
            cache._breaker._rests_until = 0.0
            assert client.get("/health").json()["checks"]["cache"] == "ok"
            assert ana.get("/api/stats")["entries"] == 0
    finally:
        server.stop()


@pytest.mark.services
def test_replicas_share_what_redis_knows(sqlite_url: str, redis_up: RedisServer) -> None:
    settings = Settings(database_url=sqlite_url, redis_url=redis_up.url)
    with TestClient(create_app(settings)) as one, TestClient(create_app(settings)) as other:
        ana = Person(one)
        for client in (one, other) * 5:
            client.post("/api/sessions", json={"email": "ana@example.com", "password": "wrong"})
        for client in (one, other):
            assert client.post("/api/sessions", json={"email": "ana@example.com", "password": "x"}).status_code == 429
        ana.get("/api/stats")
        ana.http = other
        ana.get("/api/stats")
        assert 'omnilife_cache_requests_total{result="hit"} 1.0' in other.get("/metrics").text
