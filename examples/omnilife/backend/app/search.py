"""Search over a user's habits and notes.

The database answers, unless there is an Elasticsearch that is quicker at it. Elasticsearch only says which things
match; what they are comes from the database, so that nothing deleted or of somebody else is ever shown. What could not
be indexed while it was down is brought in by `python -m app.reindex`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.database import Database
from app.metrics import Metrics
from app.models import Entry, Habit

if TYPE_CHECKING:
    from app.elasticsearch import Elasticsearch

# Longest snippet, in characters.
SNIPPET = 120
# How many things go into the index at once.
BATCH = 500

Kind = Literal["habit", "entry"]
Reference = tuple[Kind, int]
# What the index has of it; None is for what has gone.
Document = tuple[Reference, dict[str, Any] | None]


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
        self.elasticsearch = _open(elasticsearch_url) if elasticsearch_url else None
        self.metrics = metrics

    def find(self, user_id: int, words: str, limit: int) -> list[Hit]:
        references = self.elasticsearch.find(user_id, words, limit) if self.elasticsearch else None
        self.metrics.searches.labels("database" if references is None else "elasticsearch").inc()
        with self.database.read() as session:
            if references is None:
                return _find_in_database(session, user_id, words, limit)
            return _look_up(session, user_id, words, references)

    def wrote_habit(self, user_id: int, habit: Habit) -> None:
        self._write([_habit_document(user_id, habit)])

    def wrote_entry(self, user_id: int, entry: Entry) -> None:
        self._write([_entry_document(user_id, entry)])

    def removed(self, references: Iterable[Reference]) -> None:
        self._write([(reference, None) for reference in references])

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
        for start in range(0, len(documents), BATCH):
            if not self.elasticsearch.write(documents[start : start + BATCH]):
                raise ConnectionError("Elasticsearch does not take it; see the log")
        return len(documents)

    def close(self) -> None:
        if self.elasticsearch:
            self.elasticsearch.close()

    def _write(self, documents: Sequence[Document]) -> None:
        if self.elasticsearch:
            self.elasticsearch.write(documents)


def _open(url: str) -> "Elasticsearch":
    # The HTTP client is slow to load, and most do without it.
    from app.elasticsearch import Elasticsearch

    return Elasticsearch(url)


def _habit_document(user_id: int, habit: Habit) -> Document:
    return ("habit", habit.id), {"user_id": user_id, "text": f"{habit.name}\n{habit.description}"}


def _entry_document(user_id: int, entry: Entry) -> Document:
    return ("entry", entry.id), {"user_id": user_id, "text": entry.note}


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
