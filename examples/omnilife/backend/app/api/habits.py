"""Habits."""

from fastapi import APIRouter

from app import habits
from app.api.given import AccountGiven, HabitId, Limit, Offset, ServicesGiven, Today
from app.api.schemas import HabitChange, HabitOut, Listing, NewHabit

router = APIRouter(prefix="/api/habits", tags=["habits"])


@router.get("")
def list_habits(
    account: AccountGiven, services: ServicesGiven, today: Today, limit: Limit = 50, offset: Offset = 0
) -> Listing[HabitOut]:
    with services.database.read() as session:
        page, total = habits.listing(session, account.id, today, limit, offset)
        return Listing(items=[_out(standing) for standing in page], total=total, limit=limit, offset=offset)


@router.post("", status_code=201)
def create_habit(body: NewHabit, account: AccountGiven, services: ServicesGiven, today: Today) -> HabitOut:
    with services.database.write() as session:
        habit = habits.create(session, account.id, body.name, body.description, body.color)
        made = _out(habits.standing(session, habit, today))
        session.expunge(habit)
    services.metrics.habits.inc()
    services.search.wrote_habit(account.id, habit)
    return made


@router.get("/{habit_id}")
def get_habit(habit_id: HabitId, account: AccountGiven, services: ServicesGiven, today: Today) -> HabitOut:
    with services.database.read() as session:
        return _out(habits.standing(session, habits.find(session, account.id, habit_id), today))


@router.patch("/{habit_id}")
def change_habit(
    habit_id: HabitId, body: HabitChange, account: AccountGiven, services: ServicesGiven, today: Today
) -> HabitOut:
    with services.database.write() as session:
        habits.change(session, account.id)
        habit = habits.find(session, account.id, habit_id)
        for name, value in body.model_dump(exclude_unset=True).items():
            setattr(habit, name, value)
        session.flush()
        changed = _out(habits.standing(session, habit, today))
        session.expunge(habit)
    services.search.wrote_habit(account.id, habit)
    return changed


@router.delete("/{habit_id}", status_code=204)
def delete_habit(habit_id: HabitId, account: AccountGiven, services: ServicesGiven) -> None:
    with services.database.write() as session:
        entry_ids = habits.remove(session, account.id, habit_id)
    services.search.removed([("habit", habit_id), *(("entry", entry_id) for entry_id in entry_ids)])


def _out(standing: habits.Standing) -> HabitOut:
    habit = standing.habit
    return HabitOut(
        id=habit.id,
        name=habit.name,
        description=habit.description,
        color=habit.color,
        created_at=habit.created_at,
        streak=standing.streak,
        done_today=standing.done_today,
        entries_count=standing.entries_count,
    )
