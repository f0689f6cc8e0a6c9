"""The cache in Redis, shared by all replicas."""

from collections.abc import Callable
from typing import TypeVar, cast

import redis

from app.breaker import Breaker
from app.cache import LocalCache

# How long Redis may take, before we go on without it.
REDIS_SECONDS = 0.25

T = TypeVar("T")


class RedisCache:
    """While Redis does not answer, this process's own memory stands in."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
        )
        self._breaker = Breaker("redis")
        self._meanwhile = LocalCache()

    def get(self, key: str) -> str | None:
        return self._ask(lambda: cast("str | None", self._redis.get(key)), lambda: self._meanwhile.get(key))

    def put(self, key: str, value: str, seconds: int) -> None:
        self._ask(
            lambda: self._redis.set(key, value, ex=seconds) and None,
            lambda: self._meanwhile.put(key, value, seconds),
        )

    def count(self, key: str, seconds: int) -> int:
        return self._ask(lambda: self._count(key, seconds), lambda: self._meanwhile.count(key, seconds))

    def is_up(self) -> bool:
        return self._ask(lambda: bool(self._redis.ping()), lambda: False)

    def close(self) -> None:
        self._redis.close()

    def _count(self, key: str, seconds: int) -> int:
        with self._redis.pipeline() as steps:
            steps.set(key, 0, ex=seconds, nx=True)
            steps.incr(key)
            return int(steps.execute()[1])

    def _ask(self, redis_does: Callable[[], T], without: Callable[[], T]) -> T:
        if self._breaker.allows():
            try:
                return redis_does()
            except redis.RedisError as error:
                self._breaker.failed(error)
        return without()
