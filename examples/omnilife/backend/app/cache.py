"""What may be forgotten at any time: computed answers and counts of failed sign-ins."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Protocol, TypeVar, cast

import redis

from app.breaker import Breaker

T = TypeVar("T")

# How long Redis may take, before we go on without it.
REDIS_SECONDS = 0.25


class Cache(Protocol):
    def get(self, key: str) -> str | None: ...

    def put(self, key: str, value: str, seconds: int) -> None: ...

    def count(self, key: str, seconds: int) -> int:
        """Adds one, and gives how many that makes since the first, `seconds` ago at most."""

    def is_up(self) -> bool: ...

    def close(self) -> None: ...


def open_cache(redis_url: str | None) -> Cache:
    return RedisCache(redis_url) if redis_url else LocalCache()


class LocalCache:
    """In this process. Holds `capacity` keys, and forgets those first that were not used for longest."""

    def __init__(self, capacity: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self._lock = Lock()
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def get(self, key: str) -> str | None:
        with self._lock:
            return self._get(key)

    def put(self, key: str, value: str, seconds: int) -> None:
        with self._lock:
            self._put(key, value, self._clock() + seconds)

    def count(self, key: str, seconds: int) -> int:
        with self._lock:
            before = self._get(key)
            until = self._kept[key][0] if before else self._clock() + seconds
            number = int(before or 0) + 1
            self._put(key, str(number), until)
            return number

    def is_up(self) -> bool:
        return True

    def close(self) -> None:
        self._kept.clear()

    def _get(self, key: str) -> str | None:
        until, value = self._kept.get(key, (0.0, ""))
        if until <= self._clock():
            self._kept.pop(key, None)
            return None
        self._kept.move_to_end(key)
        return value

    def _put(self, key: str, value: str, until: float) -> None:
        self._kept[key] = (until, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)


class RedisCache:
    """Shared by all replicas. While Redis does not answer, this process's own memory stands in."""

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
