"""Entries: the days on which a habit was kept."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app import habits
from app.api.given import AccountGiven, HabitId, Limit, Offset, ServicesGiven, Today
from app.api.schemas import Day, EntryOut, Listing, NewEntry

router = APIRouter(prefix="/api/habits/{habit_id}/entries", tags=["entries"])


@router.get("")
def list_entries(
    habit_id: HabitId,
    account: AccountGiven,
    services: ServicesGiven,
    first: Annotated[Day | None, Query(alias="from")] = None,
    last: Annotated[Day | None, Query(alias="to")] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Listing[EntryOut]:
    with services.database.read() as session:
        habit = habits.find(session, account.id, habit_id)
        page, total = habits.entries(session, habit, first, last, limit, offset)
        items = [EntryOut.model_validate(entry) for entry in page]
    return Listing(items=items, total=total, limit=limit, offset=offset)


@router.post("", status_code=201)
def check_in(
    habit_id: HabitId,
    body: NewEntry,
    account: AccountGiven,
    services: ServicesGiven,
    today: Today,
    response: Response,
) -> EntryOut:
    with services.database.write() as session:
        entry, is_new = habits.check_in(session, account.id, habit_id, body.day or today, body.note, today)
        made = EntryOut.model_validate(entry)
        session.expunge(entry)
    if is_new:
        services.metrics.entries.inc()
    else:
        response.status_code = 200
    services.search.wrote_entry(account.id, entry)
    return made


@router.delete("/{day}", status_code=204)
def delete_entry(habit_id: HabitId, day: Day, account: AccountGiven, services: ServicesGiven) -> None:
    with services.database.write() as session:
        entry_id = habits.remove_entry(session, account.id, habit_id, day)
    services.search.removed([("entry", entry_id)])
