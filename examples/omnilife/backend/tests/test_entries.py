from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import create_engine, insert

from app.models import Entry
from tests.backend import Person


def ago(days: int) -> str:
    return str(datetime.now(UTC).date() - timedelta(days=days))


def test_a_day_is_kept_once_and_its_note_can_change(ana: Person) -> None:
    habit = ana.habit()
    place = f"/api/habits/{habit['id']}/entries"
    first = ana.ask("POST", place, {"note": "on the train"})
    again = ana.ask("POST", place, {"note": "at home"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["day"] == ago(0)
    assert again.json() == {**first.json(), "note": "at home"}
    assert ana.get(place)["items"] == [again.json()]


def test_streaks_and_counts_follow_the_entries(ana: Person) -> None:
    habit = ana.habit()
    for days in (0, 1, 2, 5):
        ana.check_in(habit, ago(days))
    found = ana.get(f"/api/habits/{habit['id']}")
    assert (found["streak"], found["done_today"], found["entries_count"]) == (3, True, 4)
    assert ana.ask("DELETE", f"/api/habits/{habit['id']}/entries/{ago(1)}").status_code == 204
    found = ana.get(f"/api/habits/{habit['id']}")
    assert (found["streak"], found["done_today"], found["entries_count"]) == (1, True, 3)


def test_a_streak_can_be_longer_than_a_year(ana: Person, database_url: str) -> None:
    habit = ana.habit()
    today = datetime.now(UTC).date()
    engine = create_engine(database_url)
    with engine.begin() as connection:
        days = [{"habit_id": habit["id"], "day": today - timedelta(days=day)} for day in range(405)]
        connection.execute(insert(Entry), days)
    engine.dispose()
    assert ana.get("/api/habits")["items"][0]["streak"] == 405


def test_today_is_where_the_user_is(ana: Person) -> None:
    # These two are 26 hours apart, so it is never the same day there.
    habit = ana.habit()
    place = f"/api/habits/{habit['id']}"
    east, west = ({"X_Time_Zone": zone} for zone in ("Pacific/Kiritimati", "Etc/GMT+12"))
    made = ana.ask("POST", f"{place}/entries", {}, **east).json()
    assert ana.get(place, **east)["done_today"] is True
    assert ana.get(place, **west)["done_today"] is False
    early = ana.ask("POST", f"{place}/entries", {"day": made["day"]}, **west)
    assert early.json()["error"]["fields"] == {"day": "Is in the future."}


@pytest.mark.parametrize("zone", ["Mars/Base", "../../etc/passwd", "/etc/localtime", "", "x" * 65, "Europe"])
def test_a_zone_must_be_one(ana: Person, zone: str) -> None:
    answer = ana.ask("GET", "/api/habits", X_Time_Zone=zone)
    assert answer.status_code == 422
    assert list(answer.json()["error"]["fields"]) == ["x-time-zone"]


def test_entries_of_some_days_newest_first(ana: Person) -> None:
    habit = ana.habit()
    for day in ("2026-10-30", "2026-11-01", "2026-11-02", "2026-11-04"):
        ana.check_in(habit, day)
    place = f"/api/habits/{habit['id']}/entries"

    def days(query: str) -> list[str]:
        return [entry["day"] for entry in ana.get(f"{place}?{query}")["items"]]

    assert days("from=2026-11-01&to=2026-11-03") == ["2026-11-02", "2026-11-01"]
    assert days("limit=2&offset=1") == ["2026-11-02", "2026-11-01"]
    assert ana.get(f"{place}?from=2026-11-01&limit=1")["total"] == 3


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"day": "2026-02-30"}, {"day": "There is no such day."}),
        ({"day": "25.11.2026"}, {"day": "Must be a day such as 2026-11-25."}),
        ({"day": 0}, {"day": "Must be a day such as 2026-11-25."}),
        ({"day": "2999-01-01"}, {"day": "Is in the future."}),
        ({"day": "1999-12-31"}, {"day": "Is before 2000-01-01."}),
        ({"note": "x" * 501}, {"note": "Must have at most 500 characters."}),
        ({"note": None}, {"note": "Must be a text."}),
    ],
)
def test_what_is_wrong_is_said_by_field(ana: Person, body: object, fields: dict[str, str]) -> None:
    habit = ana.habit()
    answer = ana.ask("POST", f"/api/habits/{habit['id']}/entries", body)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"] == fields


def test_what_was_not_kept_cannot_be_deleted(ana: Person) -> None:
    place = f"/api/habits/{ana.habit()['id']}/entries"
    assert ana.ask("DELETE", f"{place}/2026-11-01").json()["error"]["message"] == "There is no such entry."
    assert ana.ask("DELETE", f"{place}/yesterday").status_code == 422
    assert ana.ask("DELETE", f"{place}/{date.max}").status_code == 404
