"""Search and statistics."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.given import AccountGiven, ServicesGiven, Today
from app.api.schemas import Found, HitOut, Stats, Words
from app.stats import stats

router = APIRouter(prefix="/api", tags=["overview"])

# The key changes with everything that the user changes. This is for the release before, which does not count them.
CACHE_SECONDS = 30


@router.get("/search")
def search(
    account: AccountGiven,
    services: ServicesGiven,
    q: Words,
    limit: Annotated[int, Query(ge=1, le=50)] = 20,
) -> Found:
    hits = services.search.find(account.id, q, limit)
    return Found(items=[HitOut.model_validate(hit) for hit in hits])


@router.get("/stats")
def get_stats(account: AccountGiven, services: ServicesGiven, today: Today) -> Stats:
    key = f"stats:{account.id}:{account.changes}:{today}"
    known = services.cache.get(key)
    services.metrics.cache.labels("hit" if known else "miss").inc()
    if known:
        return Stats.model_validate_json(known)
    with services.database.read() as session:
        made = stats(session, account.id, today)
    services.cache.put(key, made.model_dump_json(), CACHE_SECONDS)
    return made
