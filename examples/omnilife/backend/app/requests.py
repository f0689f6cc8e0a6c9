"""The way of every request: it gets an id, is measured, counted and logged, and is answered even if all else fails."""

import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ApiError, answer
from app.metrics import Metrics
from app.settings import Settings

log = logging.getLogger(__name__)

BODY_LIMIT = 64 << 10
# Asked every second by supervisors and collectors: answered by the shortest way, and not logged.
FOR_OPERATORS = {f"{prefix}/{name}" for prefix in ("", "/api") for name in ("health", "version", "metrics")}
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Requests:
    def __init__(self, app: ASGIApp, metrics: Metrics, settings: Settings) -> None:
        self.app = app
        self.metrics = metrics
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        given_id = Headers(scope=scope).get("x-request-id", "")
        request_id = given_id if REQUEST_ID.fullmatch(given_id) else uuid.uuid4().hex
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["X-Revision"] = self.settings.revision
            await send(message)

        with self.metrics.in_flight.track_inprogress():
            try:
                if scope["path"] in FOR_OPERATORS:
                    await self.app(scope, receive, send_marked)
                else:
                    await self.serve(scope, receive, send_marked)
            except Exception:
                log.exception("failed", extra={"fields": {"request": request_id, "path": scope["path"]}})
                if status:
                    raise
                await answer(500, "Something went wrong on our side.")(scope, receive, send_marked)
            finally:
                self.record(scope, status or 500, time.perf_counter() - began, request_id)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every request of a user comes by here."""
        await self.app(scope, limited(scope, receive), send)

    def record(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        method, route = scope["method"], route_of(scope)
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.seconds.labels(method, route).observe(seconds)
        if scope["path"] not in FOR_OPERATORS:
            fields = {"request": request_id, "method": method, "path": scope["path"], "status": status}
            log.info("answered", extra={"fields": {**fields, "ms": round(seconds * 1000, 1)}})


def route_of(scope: MutableMapping[str, Any]) -> str:
    """`/api/habits/{habit_id}`: the pattern, as each path would be a time series of its own."""
    return getattr(scope.get("route"), "path", "unmatched")


def limited(scope: Scope, receive: Receive) -> Receive:
    """Reads at most BODY_LIMIT bytes, whatever the headers say."""
    length = Headers(scope=scope).get("content-length", "")
    too_large = ApiError(413, f"The body has more than {BODY_LIMIT // 1024} KiB.", headers={"Connection": "close"})
    read = 0

    async def receive_limited() -> Message:
        nonlocal read
        if length.isdecimal() and int(length) > BODY_LIMIT:
            raise too_large
        message = await receive()
        read += len(message.get("body", b""))
        if read > BODY_LIMIT:
            raise too_large
        return message

    return receive_limited
