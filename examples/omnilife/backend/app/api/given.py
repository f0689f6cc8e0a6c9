"""What routes are given besides their bodies: who asks, which day it is there, which page is wanted."""

from datetime import date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, Header, Path, Query, Request

from app.accounts import Account
from app.errors import ApiError, wrong_field
from app.services import Services

ID_MAX = 2**31 - 1


def services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


ServicesGiven = Annotated[Services, Depends(services)]


def account(services: ServicesGiven, authorization: Annotated[str, Header()] = "") -> Account:
    scheme, _, token = authorization.partition(" ")
    found = services.accounts.by_token(token.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        raise ApiError(401, "Sign in first.", headers={"WWW-Authenticate": "Bearer"})
    return found


def today(x_time_zone: Annotated[str, Header(max_length=64)] = "UTC") -> date:
    try:
        return datetime.now(ZoneInfo(x_time_zone)).date()
    except (LookupError, ValueError, OSError):
        raise wrong_field("x-time-zone", "Must be a time zone such as Europe/Berlin.") from None


AccountGiven = Annotated[Account, Depends(account)]
Today = Annotated[date, Depends(today)]
HabitId = Annotated[int, Path(ge=1, le=ID_MAX)]
Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
