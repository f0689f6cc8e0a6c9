"""What is counted, for Prometheus. Each replica counts for itself."""

import time
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

ACTIVE_SECONDS = 300
BUCKETS = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._counter("http_requests_total", "Requests answered.", "method", "route", "status")
        self.seconds = Histogram(
            "http_request_duration_seconds",
            "How long answers took.",
            ["method", "route"],
            registry=self.registry,
            buckets=BUCKETS,
        )
        self.in_flight = Gauge("http_requests_in_flight", "Requests being answered.", registry=self.registry)
        self.sign_ups = self._counter("omnilife_sign_ups_total", "Users who signed up.")
        self.sign_in_failures = self._counter("omnilife_sign_in_failures_total", "Sign-ins refused.", "reason")
        self.habits = self._counter("omnilife_habits_created_total", "Habits begun.")
        self.entries = self._counter("omnilife_entries_total", "Entries made.")
        self.cache = self._counter("omnilife_cache_requests_total", "Questions to the cache.", "result")
        self.searches = self._counter("omnilife_searches_total", "Searches, by what answered them.", "by")
        active = Gauge("omnilife_users_active", f"Users seen within {ACTIVE_SECONDS} seconds.", registry=self.registry)
        self._seen: dict[int, float] = {}
        self._lock = Lock()
        active.set_function(self.active_users)

    def saw(self, user_id: int) -> None:
        with self._lock:
            self._seen[user_id] = time.monotonic()

    def active_users(self) -> float:
        since = time.monotonic() - ACTIVE_SECONDS
        with self._lock:
            self._seen = {user: at for user, at in self._seen.items() if at >= since}
            return float(len(self._seen))

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)
