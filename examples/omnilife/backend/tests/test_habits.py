from datetime import date, timedelta

import pytest
from fastapi.testclient import TestClient

from app import habits
from tests.backend import Person

TODAY = date(2026, 11, 25)


@pytest.mark.parametrize(
    ("days_ago", "length"),
    [
        ([], 0),
        ([0], 1),
        ([1], 1),
        ([2], 0),
        ([0, 1, 2], 3),
        ([1, 2, 3], 3),
        ([0, 2, 3], 1),
        ([3, 2, 1, 0, 5], 4),
    ],
)
def test_streak(days_ago: list[int], length: int) -> None:
    assert habits.streak([TODAY - timedelta(days=ago) for ago in days_ago], TODAY) == length


def test_a_habit_has_what_was_given(ana: Person) -> None:
    made = ana.habit("  Read ", description="Twenty pages\nor more", color="#AABBcc")
    assert made == {
        "id": made["id"],
        "name": "Read",
        "description": "Twenty pages\nor more",
        "color": "#AABBcc",
        "created_at": made["created_at"],
        "streak": 0,
        "done_today": False,
        "entries_count": 0,
    }
    assert ana.get(f"/api/habits/{made['id']}") == made
    assert ana.habit("Run")["color"] == "#2f6feb"


def test_lists_come_in_pages(ana: Person) -> None:
    for name in ("Read", "Run", "Write"):
        ana.habit(name)
    page = ana.get("/api/habits?limit=2&offset=1")
    assert [habit["name"] for habit in page["items"]] == ["Run", "Write"]
    assert {key: page[key] for key in ("total", "limit", "offset")} == {"total": 3, "limit": 2, "offset": 1}
    assert ana.get("/api/habits?offset=7")["items"] == []


def test_a_change_changes_only_what_it_names(ana: Person) -> None:
    habit = ana.habit("Read", description="Twenty pages", color="#112233")
    changed = ana.ask("PATCH", f"/api/habits/{habit['id']}", {"description": ""})
    assert changed.status_code == 200
    assert changed.json() == {**habit, "description": ""}
    assert ana.ask("PATCH", f"/api/habits/{habit['id']}", {}).json() == {**habit, "description": ""}
    refused = ana.ask("PATCH", f"/api/habits/{habit['id']}", {"name": None})
    assert refused.json()["error"]["fields"] == {"name": "Must be a text."}


def test_what_is_deleted_takes_its_entries_with_it(ana: Person) -> None:
    habit = ana.habit()
    ana.check_in(habit, note="first page")
    assert ana.ask("DELETE", f"/api/habits/{habit['id']}").status_code == 204
    assert ana.ask("GET", f"/api/habits/{habit['id']}").status_code == 404
    assert ana.get("/api/search?q=page")["items"] == []
    assert ana.get("/api/stats")["entries"] == 0


def test_somebody_elses_habit_is_not_there(client: TestClient, ana: Person) -> None:
    habit = ana.habit()
    ana.check_in(habit, "2026-11-01")
    ben, place = Person(client, "Ben"), f"/api/habits/{habit['id']}"
    asked = [
        ben.ask("GET", place),
        ben.ask("PATCH", place, {"name": "Mine"}),
        ben.ask("DELETE", place),
        ben.ask("GET", f"{place}/entries"),
        ben.ask("POST", f"{place}/entries", {}),
        ben.ask("DELETE", f"{place}/entries/2026-11-01"),
    ]
    assert [answer.status_code for answer in asked] == [404] * 6
    assert asked[0].json() == {"error": {"code": "not_found", "message": "There is no such habit."}}
    assert ben.get("/api/habits")["total"] == 0
    assert ana.get(place)["entries_count"] == 1


def test_nobody_keeps_too_many(ana: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(habits, "HABITS_ALLOWED", 2)
    ana.habit("Read")
    ana.habit("Run")
    refused = ana.ask("POST", "/api/habits", {"name": "Write"})
    assert refused.status_code == 409
    assert "more than 2 habits" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"name": "Is required."}),
        ({"name": "  "}, {"name": "Must not be empty."}),
        ({"name": "x" * 81}, {"name": "Must have at most 80 characters."}),
        ({"name": 7}, {"name": "Must be a text."}),
        ({"name": "a\0b"}, {"name": "Must not have control characters."}),
        ({"name": "a\nb"}, {"name": "Must not have control characters."}),
        ({"name": "x", "description": "a\0b"}, {"description": "Must not have control characters."}),
        ({"name": "x", "description": "x" * 501}, {"description": "Must have at most 500 characters."}),
        ({"name": "x", "color": "red"}, {"color": "Must be a color such as #2f6feb."}),
        ({"name": "x", "color": "#2f6feb\n"}, {"color": "Must be a color such as #2f6feb."}),
        ({"name": "x", "colour": "#000000"}, {"colour": "Is not known here."}),
        ([], {"body": "Must be an object."}),
    ],
)
def test_what_is_wrong_is_said_by_field(ana: Person, body: object, fields: dict[str, str]) -> None:
    answer = ana.ask("POST", "/api/habits", body)
    assert answer.status_code == 422, answer.text
    error = {"code": "validation_failed", "message": "Some fields are not right.", "fields": fields}
    assert answer.json() == {"error": error}


def test_half_a_character_is_no_text(ana: Person) -> None:
    body = b'{"name": "\\ud800"}'
    answer = ana.http.post("/api/habits", content=body, headers={**ana.headers, "Content-Type": "application/json"})
    assert answer.status_code == 422
    assert list(answer.json()["error"]["fields"]) == ["name"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=-1", "limit=x", "offset=99999999999999999999"])
def test_pages_have_limits(ana: Person, query: str) -> None:
    answer = ana.ask("GET", f"/api/habits?{query}")
    assert answer.status_code == 422
    assert list(answer.json()["error"]["fields"]) == [query.split("=")[0]]


@pytest.mark.parametrize("habit_id", ["0", "-1", "x", "2147483648", "9" * 30])
def test_an_id_that_cannot_be_is_refused(ana: Person, habit_id: str) -> None:
    assert ana.ask("GET", f"/api/habits/{habit_id}").status_code == 422
