"""A user's last thirty days in numbers."""

from datetime import date, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.api.schemas import DayCount, Stats
from app.habits import HABITS_ALLOWED, listing
from app.models import Entry, Habit

DAYS = 30


def stats(session: Session, user_id: int, today: date) -> Stats:
    first = today - timedelta(days=DAYS - 1)
    counted = (
        select(Entry.day, func.count())
        .join(Habit)
        .where(Habit.user_id == user_id, Entry.day >= first, Entry.day <= today)
        .group_by(Entry.day)
    )
    by_day = {day: number for day, number in session.execute(counted)}
    days = [first + timedelta(days=number) for number in range(DAYS)]
    habits, total = listing(session, user_id, today, limit=HABITS_ALLOWED, offset=0)
    return Stats(
        days=[DayCount(day=day, entries=by_day.get(day, 0)) for day in days],
        entries=sum(by_day.values()),
        habits=total,
        done_today=sum(standing.done_today for standing in habits),
        best_streak=max((standing.streak for standing in habits), default=0),
    )
