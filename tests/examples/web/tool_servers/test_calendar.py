from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError

from assistant_kit import ToolError
from assistant_kit.messages import JsonObject, text_of
from assistant_kit.protocols.toolset import ToolContext
from examples.flask_demo.tables import database_at, engine_at
from examples.flask_demo.tool_servers import calendar as calendar_module
from examples.flask_demo.tool_servers.calendar import Calendar, calendar_tools, working_days, zone_of

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)


@pytest.fixture
def calendar(tmp_path: Path) -> Iterator[Calendar]:
    made = Calendar(engine_at(database_at(f"sqlite:///{tmp_path / 'web.db'}"), "calendar"))
    made.open()
    made.open()  # another server did so before
    yield made
    made.close()


async def called(
    calendar: Calendar, tool: str, arguments: JsonObject, *, user: str | None = "ann", key: str = "k"
) -> str:
    context = ToolContext(user=user, conversation=None, call_id="c", tool=tool, idempotency_key=key)
    return text_of((await calendar_tools(calendar, lambda: NOW).call(tool, arguments, context)).content)


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("Tokyo", "Monday, 2026-11-23 08:30 (Asia/Tokyo, UTC+0900)"),
        ("new york", "Sunday, 2026-11-22 18:30 (America/New_York, UTC-0500)"),
        ("Europe/Oslo", "Monday, 2026-11-23 00:30 (Europe/Oslo, UTC+0100)"),
        ("UTC", "Sunday, 2026-11-22 23:30 (UTC, UTC+0000)"),
    ],
)
async def test_the_time_is_that_of_the_place(calendar: Calendar, place: str, shown: str) -> None:
    assert await called(calendar, "current_time", {"place": place}) == shown


@pytest.mark.parametrize("place", ["Atlantis", "", "../etc/passwd", "/etc/localtime"])
def test_a_place_that_nobody_knows_is_told(place: str) -> None:
    with pytest.raises(ToolError, match="name a zone"):
        zone_of(place)


async def test_a_time_is_converted_with_its_day(calendar: Calendar) -> None:
    asked: JsonObject = {"day": "2026-03-29", "at": "01:30", "from_place": "UTC", "to_place": "Berlin"}
    assert await called(calendar, "convert_time", asked) == "Sunday, 2026-03-29 03:30 (Europe/Berlin, UTC+0200)"


async def test_days_are_counted_and_a_span_that_cannot_be_is_told(calendar: Calendar) -> None:
    asked: JsonObject = {"first": "2026-11-20", "last": "2026-11-30"}
    assert await called(calendar, "days_between", asked) == '{"days":10,"weeks":1,"working_days":6}'
    for last in ("2026-11-19", "9999-12-31"):
        with pytest.raises(ToolError):
            await called(calendar, "days_between", {"first": "2026-11-20", "last": last})


@given(first=st.dates(date(1900, 1, 1), date(2100, 1, 1)), days=st.integers(0, 1_000))
def test_working_days_are_those_that_a_calendar_shows(first: date, days: int) -> None:
    shown = [first + timedelta(days=n) for n in range(days)]
    assert working_days(first, first + timedelta(days=days)) == sum(day.isoweekday() <= 5 for day in shown)


async def test_an_appointment_is_kept_once_for_each_key_and_found_by_its_user_alone(calendar: Calendar) -> None:
    for key in ("k1", "k1", "k2"):
        await called(calendar, "add_event", {"title": "dentist", "day": "2026-12-01", "at": "09:30"}, key=key)
    await called(calendar, "add_event", {"title": "party", "day": "2026-12-01"}, user="eve", key="k1")
    days: JsonObject = {"first": "2026-12-01", "last": "2026-12-01"}

    mine = calendar.between("ann", date(2026, 12, 1), date(2026, 12, 1))
    assert [(event.title, event.at) for event in mine] == [("dentist", "09:30")] * 2
    assert "dentist" not in await called(calendar, "list_events", days, user="eve")
    assert "party" in await called(calendar, "list_events", days, user="eve")

    assert await called(calendar, "cancel_event", {"event_id": mine[0].id}, user="eve") != "cancelled"
    assert await called(calendar, "cancel_event", {"event_id": mine[0].id}) == "cancelled"
    assert await called(calendar, "cancel_event", {"event_id": mine[0].id}) != "cancelled"
    assert len(calendar.between("ann", date(2026, 12, 1), date(2026, 12, 1))) == 1


async def test_nobody_has_no_calendar(calendar: Calendar) -> None:
    with pytest.raises(ToolError):
        await called(calendar, "list_events", {"first": "2026-12-01", "last": "2026-12-01"}, user=None)


def test_a_full_calendar_takes_no_more_and_knows_what_it_has(
    calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendar_module, "MOST_EVENTS", 1)
    first = calendar.add("ann", "k1", date(2026, 12, 1), "", "dentist")
    assert calendar.add("ann", "k1", date(2026, 12, 1), "", "dentist") == first
    with pytest.raises(ToolError):
        calendar.add("ann", "k2", date(2026, 12, 1), "", "party")
    calendar.add("eve", "k2", date(2026, 12, 1), "", "party")


def test_a_database_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    calendar = Calendar(engine_at(database_at(f"sqlite:///{tmp_path / 'nowhere' / 'web.db'}"), "calendar"))
    with pytest.raises(SQLAlchemyError):
        calendar.open()
