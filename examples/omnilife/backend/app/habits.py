"""Habits and the days on which they were kept."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.errors import ApiError, not_found, wrong_field
from app.models import Entry, Habit, User

HABITS_ALLOWED = 100
EARLIEST_DAY = date(2000, 1, 1)
# How far back streaks are looked for at first; longer ones are rare, and looked up one by one.
WINDOW = timedelta(days=400)


@dataclass(frozen=True)
class Standing:
    """A habit, and how well it is kept as of today."""

    habit: Habit
    streak: int
    done_today: bool
    entries_count: int


def streak(days: Iterable[date], today: date) -> int:
    """How many days in a row up to today, or up to yesterday while today is still open."""
    kept = set(days)
    day = today if today in kept else today - timedelta(days=1)
    length = 0
    while day in kept:
        length += 1
        day -= timedelta(days=1)
    return length


def standings(session: Session, habits: Sequence[Habit], today: date) -> list[Standing]:
    ids = [habit.id for habit in habits]
    counted = select(Entry.habit_id, func.count()).where(Entry.habit_id.in_(ids)).group_by(Entry.habit_id)
    counts = {habit_id: number for habit_id, number in session.execute(counted)}
    recent = select(Entry.habit_id, Entry.day).where(Entry.habit_id.in_(ids), Entry.day > today - WINDOW)
    days: defaultdict[int, set[date]] = defaultdict(set)
    for habit_id, day in session.execute(recent):
        days[habit_id].add(day)
    found = []
    for habit in habits:
        length = streak(days[habit.id], today)
        if length >= WINDOW.days - 1:
            length = streak(session.scalars(select(Entry.day).where(Entry.habit_id == habit.id)), today)
        found.append(Standing(habit, length, today in days[habit.id], counts.get(habit.id, 0)))
    return found


def listing(session: Session, user_id: int, today: date, limit: int, offset: int) -> tuple[list[Standing], int]:
    """A page of a user's habits, oldest first, and how many there are."""
    total = session.scalar(select(func.count()).select_from(Habit).where(Habit.user_id == user_id)) or 0
    page = select(Habit).where(Habit.user_id == user_id).order_by(Habit.id).limit(limit).offset(offset)
    return standings(session, session.scalars(page).all(), today), total


def find(session: Session, user_id: int, habit_id: int) -> Habit:
    """Somebody else's habit is as unknown as one that is not there."""
    habit = session.scalar(select(Habit).where(Habit.id == habit_id, Habit.user_id == user_id))
    if habit is None:
        raise not_found("habit")
    return habit


def standing(session: Session, habit: Habit, today: date) -> Standing:
    return standings(session, [habit], today)[0]


def change(session: Session, user_id: int) -> None:
    """Comes first in every change of what a user has: until the transaction's end nobody else changes it."""
    session.execute(update(User).where(User.id == user_id).values(changes=User.changes + 1))


def create(session: Session, user_id: int, name: str, description: str, color: str) -> Habit:
    change(session, user_id)
    number = session.scalar(select(func.count()).select_from(Habit).where(Habit.user_id == user_id)) or 0
    if number >= HABITS_ALLOWED:
        raise ApiError(409, f"Nobody keeps more than {HABITS_ALLOWED} habits. Delete one first.")
    habit = Habit(user_id=user_id, name=name, description=description, color=color)
    session.add(habit)
    session.flush()
    return habit


def remove(session: Session, user_id: int, habit_id: int) -> Sequence[int]:
    """Gives the ids of the entries that went with it."""
    change(session, user_id)
    habit = find(session, user_id, habit_id)
    gone = session.scalars(delete(Entry).where(Entry.habit_id == habit.id).returning(Entry.id)).all()
    session.delete(habit)
    return gone


def entries(
    session: Session, habit: Habit, first: date | None, last: date | None, limit: int, offset: int
) -> tuple[Sequence[Entry], int]:
    wanted = select(Entry).where(Entry.habit_id == habit.id)
    if first:
        wanted = wanted.where(Entry.day >= first)
    if last:
        wanted = wanted.where(Entry.day <= last)
    total = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
    return session.scalars(wanted.order_by(Entry.day.desc()).limit(limit).offset(offset)).all(), total


def check_in(session: Session, user_id: int, habit_id: int, day: date, note: str, today: date) -> tuple[Entry, bool]:
    """The entry, and whether it is new."""
    if day > today:
        raise wrong_field("day", "Is in the future.")
    if day < EARLIEST_DAY:
        raise wrong_field("day", f"Is before {EARLIEST_DAY}.")
    change(session, user_id)
    habit = find(session, user_id, habit_id)
    entry = session.scalar(select(Entry).where(Entry.habit_id == habit.id, Entry.day == day))
    is_new = entry is None
    if entry is None:
        entry = Entry(habit_id=habit.id, day=day)
        session.add(entry)
    entry.note = note
    session.flush()
    return entry, is_new


def remove_entry(session: Session, user_id: int, habit_id: int, day: date) -> int:
    """Gives the id of the entry that was there."""
    change(session, user_id)
    habit = find(session, user_id, habit_id)
    removed = delete(Entry).where(Entry.habit_id == habit.id, Entry.day == day).returning(Entry.id)
    entry_id = session.scalar(removed)
    if entry_id is None:
        raise not_found("entry")
    return entry_id
