"""What may be forgotten at any time: computed answers and counts of failed sign-ins."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Protocol


class Cache(Protocol):
    def get(self, key: str) -> str | None: ...

    def put(self, key: str, value: str, seconds: int) -> None: ...

    def count(self, key: str, seconds: int) -> int:
        """Adds one, and gives how many that makes since the first, `seconds` ago at most."""

    def is_up(self) -> bool: ...

    def close(self) -> None: ...


def open_cache(redis_url: str | None) -> Cache:
    if not redis_url:
        return LocalCache()
    # Redis's client is slow to load, and most do without it.
    from app.redis_cache import RedisCache

    return RedisCache(redis_url)


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
