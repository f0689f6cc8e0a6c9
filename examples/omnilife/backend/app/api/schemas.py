"""What goes in and out: see README.md, which says it for people."""

import re
import unicodedata
from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from app.models import DEFAULT_COLOR

T = TypeVar("T")

DAY = re.compile(r"\d{4}-\d\d-\d\d")
COLOR = re.compile(r"#[0-9a-fA-F]{6}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


def _day(value: Any) -> Any:
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or not DAY.fullmatch(value):
        raise ValueError("Must be a day such as 2026-11-25.")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("There is no such day.") from None


def _printable(text: str) -> str:
    """Without what no one can see and some databases refuse; line breaks are for longer texts only."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("Must not have control characters.")
    return text


def _printable_lines(text: str) -> str:
    _printable(text.replace("\n", "").replace("\r", "").replace("\t", ""))
    return text


def _email(text: str) -> str:
    if not EMAIL.fullmatch(text):
        raise ValueError("Must be an email address.")
    return text


def _color(text: str) -> str:
    if not COLOR.fullmatch(text):
        raise ValueError(f"Must be a color such as {DEFAULT_COLOR}.")
    return text


Day = Annotated[date, BeforeValidator(_day)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), AfterValidator(_printable)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(_printable_lines)]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(_printable),
    AfterValidator(_email),
]
Words = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_printable)
]
Password = Annotated[str, StringConstraints(min_length=8, max_length=200)]
Color = Annotated[str, AfterValidator(_color)]


class Given(BaseModel):
    """A body that a client sends. A misspelt field is said, not dropped."""

    model_config = ConfigDict(extra="forbid")


class SignUp(Given):
    name: Name
    email: Email
    password: Password


class SignInRequest(Given):
    email: Annotated[str, StringConstraints(strip_whitespace=True, max_length=254)]
    password: Annotated[str, StringConstraints(max_length=200)]


class NewHabit(Given):
    name: Name
    description: Text = ""
    color: Color = DEFAULT_COLOR


class HabitChange(Given):
    """Only what is given is changed; what the defaults are does not matter."""

    name: Name = ""
    description: Text = ""
    color: Color = DEFAULT_COLOR


class NewEntry(Given):
    day: Day | None = None
    note: Text = ""


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    email: str
    created_at: datetime


class SignedIn(BaseModel):
    token: str
    user: UserOut


class HabitOut(BaseModel):
    id: int
    name: str
    description: str
    color: str
    created_at: datetime
    streak: int
    done_today: bool
    entries_count: int


class EntryOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    habit_id: int
    day: date
    note: str
    created_at: datetime


class Listing(BaseModel, Generic[T]):
    items: list[T]
    total: int
    limit: int
    offset: int


class HitOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    kind: Literal["habit", "entry"]
    id: int
    habit_id: int
    day: date | None
    title: str
    snippet: str


class Found(BaseModel):
    items: list[HitOut]


class DayCount(BaseModel):
    day: date
    entries: int


class Stats(BaseModel):
    days: list[DayCount]
    entries: int
    habits: int
    done_today: int
    best_streak: int


class Health(BaseModel):
    status: Literal["ok", "failing"]
    checks: dict[str, str] = Field(description="By the neighbour's name: ok, down, or what is wrong.")


class Version(BaseModel):
    service: str
    revision: str
    environment: str
