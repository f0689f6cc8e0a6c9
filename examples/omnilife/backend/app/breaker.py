"""Does without a failing neighbour for a while, instead of waiting for it at every request."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

REST_SECONDS = 5.0


class Breaker:
    def __init__(self, neighbour: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.neighbour = neighbour
        self._clock = clock
        self._rests_until = 0.0

    def allows(self) -> bool:
        return self._clock() >= self._rests_until

    def failed(self, error: Exception) -> None:
        log.warning("%s failed, doing without it for %.0f s: %s", self.neighbour, REST_SECONDS, error)
        self._rests_until = self._clock() + REST_SECONDS
