from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from app.search import SNIPPET, snippet
from tests.backend import Person


def titles(person: Person, query: str) -> list[tuple[str, str]]:
    return [(hit["kind"], hit["title"]) for hit in person.get(f"/api/search?q={query}")["items"]]


def test_search_finds_habits_and_notes(client: TestClient, ana: Person) -> None:
    read, run = ana.habit("Read", description="Books on the train"), ana.habit("Run")
    entry = ana.check_in(run, "2026-11-20", "to the Train station")
    ben = Person(client, "Ben")
    ben.check_in(ben.habit("Train hard"), note="train")
    assert ana.get("/api/search?q=train") == {
        "items": [
            {
                "kind": "habit",
                "id": read["id"],
                "habit_id": read["id"],
                "day": None,
                "title": "Read",
                "snippet": "Books on the train",
            },
            {
                "kind": "entry",
                "id": entry["id"],
                "habit_id": run["id"],
                "day": "2026-11-20",
                "title": "Run",
                "snippet": "to the Train station",
            },
        ]
    }
    assert len(ana.get("/api/search?q=train&limit=1")["items"]) == 1


def test_search_takes_words_as_they_are(ana: Person) -> None:
    ana.habit("100% rye bread")
    ana.habit("a_b")
    assert titles(ana, "%25") == [("habit", "100% rye bread")]
    assert titles(ana, "_") == [("habit", "a_b")]
    assert titles(ana, "'; DROP TABLE users; --") == []


@pytest.mark.parametrize("query", ["", "q=", "q=%20%20", f"q={'x' * 101}", "q=x&limit=0", "q=x&limit=51", "q=%00"])
def test_search_has_limits(ana: Person, query: str) -> None:
    assert ana.ask("GET", f"/api/search?{query}").status_code == 422


def test_snippets_show_the_place() -> None:
    assert snippet("two\n  lines", "lines") == "two lines"
    long = f"{'before ' * 40}here{' after' * 40}"
    found = snippet(long, "HERE")
    assert "here" in found
    assert found.startswith("…") and found.endswith("…")
    assert len(found) <= SNIPPET + 2
    assert snippet(long, "nowhere").startswith("before")


def test_statistics_of_thirty_days(ana: Person) -> None:
    today = datetime.now(UTC).date()
    read, run = ana.habit("Read"), ana.habit("Run")
    for days in (0, 1, 2, 29, 30):
        ana.check_in(read, str(today - timedelta(days=days)))
    ana.check_in(run, str(today))
    found = ana.get("/api/stats")
    numbers = {key: found[key] for key in ("entries", "habits", "done_today", "best_streak")}
    assert numbers == {"entries": 5, "habits": 2, "done_today": 2, "best_streak": 3}
    assert [day["entries"] for day in found["days"]] == [1, *[0] * 26, 1, 1, 2]
    assert found["days"][-1]["day"] == str(today)


def test_statistics_are_remembered_and_never_stale(client: TestClient, ana: Person) -> None:
    habit = ana.habit()
    assert ana.get("/api/stats") == ana.get("/api/stats")
    ana.check_in(habit)
    assert ana.get("/api/stats")["entries"] == 1
    ana.ask("DELETE", f"/api/habits/{habit['id']}")
    assert ana.get("/api/stats")["entries"] == 0
    written = client.get("/metrics").text
    assert 'omnilife_cache_requests_total{result="hit"} 1.0' in written
    assert 'omnilife_cache_requests_total{result="miss"} 3.0' in written
