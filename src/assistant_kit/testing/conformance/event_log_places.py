"""Event logs: users and conversations are kept apart, and what is kept of a user can be erased."""
# ruff: noqa: S101  (these are tests: assert is the language)

from collections.abc import Awaitable, Callable

import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.event_log import EventLog, UserEventLog
from assistant_kit.protocols.user_data import Keeper
from assistant_kit.testing.conformance.event_log_workbench import (
    BAD_NAMES,
    ODD_NAMES,
    EventLogWorkbench,
    heard,
    texts,
    told,
)

_CALLS: list[Callable[[UserEventLog, str], Awaitable[object]]] = [
    lambda log, name: log.open(name, fence=1),
    lambda log, name: log.read(name),
    lambda log, name: log.standing(name),
    lambda log, name: log.ask_stop(name),
    lambda log, name: log.forget(name),
]


class EventLogPlaces(EventLogWorkbench):
    """Who has what."""

    async def test_nobody_sees_what_is_another_users(self, logs: list[EventLog], user: str) -> None:
        """The same conversation of two users is two."""
        mine, theirs = logs[0].for_user(user), logs[0].for_user(f"{user}-2")
        await told(await mine.open("c", fence=5), "mine")
        await told(await theirs.open("c", fence=1), "theirs")
        assert texts(await mine.read("c")) == ["mine"]
        assert texts(await theirs.read("c")) == ["theirs"]
        await theirs.forget("c")
        assert texts(await mine.read("c")) == ["mine"]

    async def test_odd_names_are_told_from_each_other(self, logs: list[EventLog], user: str) -> None:
        """Of users and of conversations."""
        for name in ODD_NAMES:
            await told(await logs[0].for_user(user).open(name, fence=1), f"conversation {name}")
            await told(await logs[0].for_user(f"{user}{name}"[:1000]).open("c", fence=1), f"user {name}")
        for name in ODD_NAMES:
            assert texts(await logs[1].for_user(user).read(name)) == [f"conversation {name}"]
        for name in ODD_NAMES[:-1]:
            assert texts(await logs[1].for_user(f"{user}{name}").read("c")) == [f"user {name}"]

    @pytest.mark.parametrize("name", BAD_NAMES, ids=["empty", "long", "surrogate"])
    async def test_names_that_cannot_be_kept_are_refused(
        self, logs: list[EventLog], log: UserEventLog, name: str
    ) -> None:
        """Before anything is asked of the place."""
        with pytest.raises(InputError):
            logs[0].for_user(name)
        with pytest.raises(InputError):
            log.follow(name)
        for call in _CALLS:
            with pytest.raises(InputError):
                await call(log, name)

    async def test_what_is_erased_is_gone_and_nothing_else(self, logs: list[EventLog], user: str) -> None:
        """Readers are told."""
        mine, theirs = logs[0].for_user(user), logs[0].for_user(f"{user}-2")
        for name in ("c", "d", "e:f"):
            await told(await mine.open(name, fence=1), "a")
        await told(await theirs.open("c", fence=1), "b")
        reader = mine.follow("c")
        await heard(reader, 1)
        await logs[1].erase_user(user)
        await logs[1].erase_user(user)
        assert [await mine.read(name) for name in ("c", "d", "e:f")] == [[], [], []]
        assert texts(await heard(reader, 1)) == ["reset"]
        assert texts(await theirs.read("c")) == ["b"]
        await reader.aclose()

    async def test_it_keeps_nothing_that_the_journal_does_not_have(self, logs: list[EventLog], user: str) -> None:
        """So there is nothing to export."""
        assert isinstance(logs[0], Keeper)
        await told(await logs[0].for_user(user).open("c", fence=1), "a")
        assert [kept async for kept in logs[0].export_user(user)] == []

    async def test_a_log_may_be_closed_twice(self, logs: list[EventLog], log: UserEventLog) -> None:
        """And before it was used."""
        await log.read("c")
        await logs[0].aclose()
        await logs[0].aclose()
