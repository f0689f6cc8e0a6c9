"""What happens to every request, whatever it asks for."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.requests import BODY_LIMIT
from tests.backend import Person


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_each_answer_names_its_request_and_revision(client: TestClient) -> None:
    given = client.get("/api/version", headers={"X-Request-Id": "proxy-1.2_3"})
    assert (given.headers["x-request-id"], given.headers["x-revision"]) == ("proxy-1.2_3", "abc1234")
    for strange in ("", "a b", "x" * 65, "a\tb"):
        made = client.get("/api/version", headers={"X-Request-Id": strange}).headers["x-request-id"]
        assert len(made) == 32


def test_errors_have_one_shape(client: TestClient, ana: Person) -> None:
    headers = {**ana.headers, "Content-Type": "application/json"}
    assert error(client.get("/api/nothing")) == (404, "not_found")
    assert error(client.put("/api/habits")) == (405, "method_not_allowed")
    assert error(client.post("/api/habits", content=b"{", headers=headers)) == (400, "bad_request")
    assert error(client.post("/api/habits", content=b"\xff\xfe", headers=headers)) == (400, "bad_request")
    assert error(client.post("/api/habits", content=b"", headers=headers)) == (422, "validation_failed")


def test_long_bodies_are_refused(client: TestClient, ana: Person) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(5):
            yield b" " * (BODY_LIMIT // 4)

    headers = {**ana.headers, "Content-Type": "application/json"}
    for body in (b" " * (BODY_LIMIT + 1), chunks()):
        assert error(client.post("/api/habits", content=body, headers=headers)) == (413, "too_large")
    just_fits = json.dumps({"name": "Read"}).encode().ljust(BODY_LIMIT)
    assert client.post("/api/habits", content=just_fits, headers=headers).status_code == 201


def test_our_own_fault_is_answered_and_logged(
    client: TestClient, ana: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("app.habits.listing", broken)
    answer = ana.ask("GET", "/api/habits", X_Request_Id="the-one")
    assert answer.status_code == 500
    assert answer.json() == {"error": {"code": "internal", "message": "Something went wrong on our side."}}
    assert answer.headers["x-request-id"] == "the-one"
    assert "secret detail" in caplog.text
    assert 'http_requests_total{method="GET",route="/api/habits",status="500"} 1.0' in client.get("/metrics").text


def test_requests_are_counted_by_their_route(client: TestClient, ana: Person) -> None:
    for habit_id in (7, 8, 9):
        ana.ask("GET", f"/api/habits/{habit_id}")
    client.get("/wp-login.php")
    written = client.get("/metrics").text
    assert 'http_requests_total{method="GET",route="/api/habits/{habit_id}",status="404"} 3.0' in written
    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in written
    assert 'http_request_duration_seconds_count{method="GET",route="/api/habits/{habit_id}"} 3.0' in written
    assert "http_requests_in_flight 1.0" in written


def test_only_requests_of_users_are_logged(client: TestClient, ana: Person, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    with caplog.at_level("INFO", "app.requests"):
        ana.get("/api/users/me", X_Request_Id="r1")
        client.get("/health")
        client.get("/api/metrics")
    fields = [record.__dict__["fields"] for record in caplog.records]
    assert [{**line, "ms": 0} for line in fields] == [
        {"request": "r1", "method": "GET", "path": "/api/users/me", "status": 200, "ms": 0}
    ]
