"""Search over a user's habits and notes.

The database answers, unless there is an Elasticsearch that is quicker at it. Elasticsearch only says which things
match; what they are comes from the database, so that nothing deleted or of somebody else is ever shown. What could not
be indexed while it was down is brought in by `python -m app.search`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import httpx
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.breaker import Breaker
from app.database import Database
from app.metrics import Metrics
from app.models import Entry, Habit
from app.settings import Settings

ELASTICSEARCH_SECONDS = 1.0
INDEX = "omnilife"
MAPPING = {
    "mappings": {
        "dynamic": "strict",
        "properties": {"user_id": {"type": "long"}, "text": {"type": "text"}},
    }
}
SNIPPET = 120

Kind = Literal["habit", "entry"]
Reference = tuple[Kind, int]


@dataclass(frozen=True)
class Hit:
    kind: Kind
    id: int
    habit_id: int
    day: date | None
    title: str
    snippet: str


class Search:
    def __init__(self, database: Database, elasticsearch_url: str | None, metrics: Metrics) -> None:
        self.database = database
        self.elasticsearch = Elasticsearch(elasticsearch_url) if elasticsearch_url else None
        self.metrics = metrics

    def find(self, user_id: int, words: str, limit: int) -> list[Hit]:
        references = self.elasticsearch.find(user_id, words, limit) if self.elasticsearch else None
        self.metrics.searches.labels("database" if references is None else "elasticsearch").inc()
        with self.database.read() as session:
            if references is None:
                return _find_in_database(session, user_id, words, limit)
            return _look_up(session, user_id, words, references)

    def wrote_habit(self, user_id: int, habit: Habit) -> None:
        if self.elasticsearch:
            self.elasticsearch.write([_habit_document(user_id, habit)])

    def wrote_entry(self, user_id: int, entry: Entry) -> None:
        if self.elasticsearch:
            self.elasticsearch.write([_entry_document(user_id, entry)])

    def removed(self, kind: Kind, thing_id: int) -> None:
        # The entries of a habit that is gone stay in the index, where nothing finds them any more; see _look_up.
        if self.elasticsearch:
            self.elasticsearch.write([((kind, thing_id), None)])

    def is_up(self) -> bool:
        return self.elasticsearch is None or self.elasticsearch.is_up()

    def index_all(self) -> int:
        """Brings everything into Elasticsearch; gives how many things that were."""
        if self.elasticsearch is None:
            raise LookupError("there is no ELASTICSEARCH_URL")
        with self.database.read() as session:
            documents = [_habit_document(habit.user_id, habit) for habit in session.scalars(select(Habit))]
            for entry, user_id in session.execute(select(Entry, Habit.user_id).join(Habit)):
                documents.append(_entry_document(user_id, entry))
        for start in range(0, len(documents), 500):
            if not self.elasticsearch.write(documents[start : start + 500]):
                raise ConnectionError("Elasticsearch does not take it; see the log")
        return len(documents)

    def close(self) -> None:
        if self.elasticsearch:
            self.elasticsearch.close()


# None is for what has gone.
Document = tuple[Reference, dict[str, Any] | None]


def _habit_document(user_id: int, habit: Habit) -> Document:
    return ("habit", habit.id), {"user_id": user_id, "text": f"{habit.name}\n{habit.description}"}


def _entry_document(user_id: int, entry: Entry) -> Document:
    return ("entry", entry.id), {"user_id": user_id, "text": entry.note}


class Elasticsearch:
    """Its HTTP interface, as far as we need it. No method raises: when it fails, we do without."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=ELASTICSEARCH_SECONDS)
        self._breaker = Breaker("elasticsearch")
        self._has_index = False

    def find(self, user_id: int, words: str, limit: int) -> list[Reference] | None:
        matches = {"match": {"text": {"query": words, "operator": "and"}}}
        prefixes = {"match_phrase_prefix": {"text": {"query": words}}}
        query = {
            "query": {
                "bool": {
                    "filter": [{"term": {"user_id": user_id}}],
                    "should": [matches, prefixes],
                    "minimum_should_match": 1,
                }
            },
            "size": limit,
            "_source": False,
        }
        found = self._ask("POST", f"/{INDEX}/_search", json=query)
        return None if found is None else [_reference(hit["_id"]) for hit in found["hits"]["hits"]]

    def write(self, documents: Sequence[Document]) -> bool:
        lines: list[Any] = []
        for (kind, thing_id), source in documents:
            place = {"_index": INDEX, "_id": f"{kind}-{thing_id}"}
            lines += [{"delete": place}] if source is None else [{"index": place}, source]
        body = "".join(f"{json.dumps(line)}\n" for line in lines)
        answer = self._ask("POST", "/_bulk", content=body, headers={"Content-Type": "application/x-ndjson"})
        return answer is not None and not answer["errors"]

    def is_up(self) -> bool:
        return self._ask("GET", "/_cluster/health") is not None

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        if not self._breaker.allows():
            return None
        try:
            if not self._has_index:
                self._make_index()
            answer = self._http.request(method, path, **request)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            self._breaker.failed(error)
            return None

    def _make_index(self) -> None:
        answer = self._http.put(f"/{INDEX}", json=MAPPING)
        # 400 says that it is there already.
        if answer.status_code != 400:
            answer.raise_for_status()
        self._has_index = True


def _reference(name: str) -> Reference:
    kind, _, number = name.partition("-")
    return ("habit" if kind == "habit" else "entry"), int(number)


def _find_in_database(session: Session, user_id: int, words: str, limit: int) -> list[Hit]:
    in_habit = Habit.name.icontains(words, autoescape=True) | Habit.description.icontains(words, autoescape=True)
    habits = _habits(session, user_id, words, in_habit, limit)
    return habits + _entries(session, user_id, words, Entry.note.icontains(words, autoescape=True), limit - len(habits))


def _look_up(session: Session, user_id: int, words: str, references: Sequence[Reference]) -> list[Hit]:
    """In the order of the references, without those that the user no longer has."""
    habit_ids = [number for kind, number in references if kind == "habit"]
    entry_ids = [number for kind, number in references if kind == "entry"]
    found: Iterable[Hit] = [
        *_habits(session, user_id, words, Habit.id.in_(habit_ids), len(habit_ids)),
        *_entries(session, user_id, words, Entry.id.in_(entry_ids), len(entry_ids)),
    ]
    by_reference = {(hit.kind, hit.id): hit for hit in found}
    return [by_reference[reference] for reference in references if reference in by_reference]


def _habits(session: Session, user_id: int, words: str, which: ColumnElement[bool], limit: int) -> list[Hit]:
    wanted = select(Habit).where(Habit.user_id == user_id, which).order_by(Habit.id).limit(limit)
    return [
        Hit("habit", habit.id, habit.id, None, habit.name, snippet(habit.description, words))
        for habit in session.scalars(wanted)
    ]


def _entries(session: Session, user_id: int, words: str, which: ColumnElement[bool], limit: int) -> list[Hit]:
    wanted = select(Entry, Habit.name).join(Habit).where(Habit.user_id == user_id, which)
    wanted = wanted.order_by(Entry.day.desc(), Entry.id.desc()).limit(limit)
    return [
        Hit("entry", entry.id, entry.habit_id, entry.day, name, snippet(entry.note, words))
        for entry, name in session.execute(wanted)
    ]


def snippet(text: str, words: str) -> str:
    """The part of a text around the first of the words, on one line."""
    line = " ".join(text.split())
    if len(line) <= SNIPPET:
        return line
    at = max(line.lower().find(words.lower()), 0)
    start = max(0, min(at - SNIPPET // 3, len(line) - SNIPPET))
    end = start + SNIPPET
    return f"{'…' if start else ''}{line[start:end].strip()}{'…' if end < len(line) else ''}"


if __name__ == "__main__":
    settings = Settings.from_environment()
    search = Search(Database(settings.database_url), settings.elasticsearch_url, Metrics())
    print(f"{search.index_all()} things are in the index")
