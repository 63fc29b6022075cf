"""Times, dates, and the appointments of a user."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Annotated, Final
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, Field
from sqlalchemy import delete, func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field as Column
from sqlmodel import Session, col, select

from assistant_kit import ToolContext, ToolError, tool
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.toolsets.functions import FunctionTools
from examples.flask_demo.tables import Kept, Table

MOST_EVENTS: Final = 1_000
"""Appointments of one user."""
_LONGEST: Final = timedelta(days=366 * 100)
_WEEKEND: Final = 5  # the first day of it, counted from Monday
_SHOWN: Final = 50

Place = Annotated[str, Field(description="A city or a time zone: 'Tokyo', 'Europe/Oslo', 'UTC'", max_length=60)]
Day = Annotated[date, Field(description="A date: 2026-11-30")]
Title = Annotated[str, Field(description="What it is", min_length=1, max_length=200)]


class Event(Table, table=True):
    """An appointment. `day` and `at` are as people of its place write them: 2026-11-30, 14:30 or nothing."""

    __tablename__ = "web_calendar_event"  # pyright: ignore[reportAssignmentType]  (as SQLModel means it)

    id: str = Column(primary_key=True, max_length=32)
    user: str = Column(max_length=64, index=True)
    day: str = Column(max_length=10)
    at: str = Column(default="", max_length=5)
    title: str = Column(max_length=200)


class Appointment(BaseModel):
    """An appointment, as tools return it."""

    id: str
    day: date
    at: str
    title: str


class Calendar(Kept):
    """The appointments of all users. Each method is one transaction, in any thread. Raises SQLAlchemyError."""

    table = Event

    def add(self, user: str, key: str, day: date, at: str, title: str) -> Appointment:
        """Add an appointment; once, however often it comes under one key. Raises ToolError."""
        named = hashlib.sha256(f"{user}\0{key}".encode()).hexdigest()[:32]
        event = Event(id=named, user=user, day=day.isoformat(), at=at, title=title)
        shown = _shown(event)
        with Session(self._engine) as session:
            if session.get(Event, named) is None and self._number(session, user) >= MOST_EVENTS:
                raise ToolError(f"the calendar is full: {MOST_EVENTS} appointments; cancel some first")
            session.add(event)
            try:
                session.commit()
            except IntegrityError:  # it is there already
                session.rollback()
        return shown

    def between(self, user: str, first: date, last: date) -> Sequence[Appointment]:
        """Return the appointments of some days, the earliest first, at most fifty."""
        asked = (
            select(Event)
            .where(col(Event.user) == user, col(Event.day) >= first.isoformat(), col(Event.day) <= last.isoformat())
            .order_by(col(Event.day), col(Event.at), col(Event.id))
            .limit(_SHOWN)
        )
        with Session(self._engine) as session:
            return [_shown(event) for event in session.exec(asked)]

    def all(self, user: str) -> Sequence[Appointment]:
        """Return everything that is kept of a user."""
        asked = select(Event).where(col(Event.user) == user).order_by(col(Event.day), col(Event.at), col(Event.id))
        with Session(self._engine) as session:
            return [_shown(event) for event in session.exec(asked)]

    def erase(self, user: str) -> None:
        """Delete everything that is kept of a user."""
        with Session(self._engine) as session:
            session.exec(delete(Event).where(col(Event.user) == user))
            session.commit()

    def cancel(self, user: str, event: str) -> bool:
        """Delete an appointment, and tell whether it was there."""
        with Session(self._engine) as session:
            done = session.exec(delete(Event).where(col(Event.user) == user, col(Event.id) == event))
            session.commit()
            return bool(done.rowcount)

    def _number(self, session: Session, user: str) -> int:
        return session.exec(select(func.count()).where(col(Event.user) == user)).one()


def calendar_tools(calendar: Calendar, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Toolset:
    """Return the tools; `now` is the time, with its zone."""

    @tool(effect="read")
    def current_time(place: Place = "UTC") -> str:
        """The date and time now, in a city or time zone."""
        there = now().astimezone(zone_of(place))
        return f"{there:%A, %Y-%m-%d %H:%M} ({there.tzinfo}, UTC{there:%z})"

    @tool(effect="read")
    def convert_time(day: Day, at: time, from_place: Place, to_place: Place) -> str:
        """What a time in one place is in another one."""
        there = datetime.combine(day, at.replace(tzinfo=None), zone_of(from_place)).astimezone(zone_of(to_place))
        return f"{there:%A, %Y-%m-%d %H:%M} ({there.tzinfo}, UTC{there:%z})"

    @tool(effect="read")
    def days_between(first: Day, last: Day) -> dict[str, int]:
        """How many days, weeks and working days (Monday to Friday) there are from one date to another."""
        if not first <= last <= first + _LONGEST:
            raise ToolError("`last` is a date after `first`, and within a hundred years of it")
        days = (last - first).days
        return {"days": days, "weeks": days // 7, "working_days": working_days(first, last)}

    @tool(effect="read")
    def list_events(context: ToolContext, first: Day, last: Day) -> list[Appointment]:
        """List the user's appointments from one date to another, both included."""
        return list(calendar.between(_user(context), first, last))

    @tool(effect="idempotent")
    def add_event(context: ToolContext, title: Title, day: Day, at: time | None = None) -> Appointment:
        """Put an appointment into the user's calendar; without a time it is for the whole day."""
        return calendar.add(_user(context), context.idempotency_key, day, "" if at is None else f"{at:%H:%M}", title)

    @tool(effect="idempotent")
    def cancel_event(context: ToolContext, event_id: Annotated[str, Field(max_length=40)]) -> str:
        """Take an appointment out of the user's calendar, by the id that list_events gives."""
        return "cancelled" if calendar.cancel(_user(context), event_id) else "there is no such appointment (any more)"

    return FunctionTools([current_time, convert_time, days_between, list_events, add_event, cancel_event])


def working_days(first: date, last: date) -> int:
    """Return how many days from `first` on, `last` not included, are neither Saturday nor Sunday."""
    weeks, rest = divmod((last - first).days, 7)
    return 5 * weeks + sum((first.weekday() + n) % 7 < _WEEKEND for n in range(rest))


def zone_of(place: str) -> ZoneInfo:
    """Return the time zone of a city that has given its name to one, or of a zone's own name. Raises ToolError."""
    wanted = place.strip().lower().replace(" ", "_")
    found = _zones().get(wanted)
    if found is None:
        raise ToolError(f"no time zone is known for {place!r}: name a zone, such as Europe/Oslo")
    return ZoneInfo(found)


@cache
def _zones() -> dict[str, str]:
    names = sorted(available_timezones())
    cities = {name.rpartition("/")[2].lower(): name for name in reversed(names) if "/" in name}
    return {**cities, **{name.lower(): name for name in names}}


def _user(context: ToolContext) -> str:
    if context.user is None:
        raise ToolError("a calendar belongs to a user: say who you are")
    return context.user


def _shown(event: Event) -> Appointment:
    return Appointment(id=event.id, day=date.fromisoformat(event.day), at=event.at, title=event.title)
