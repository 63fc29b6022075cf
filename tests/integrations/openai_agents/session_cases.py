"""What a session promises whatever store it stands on. The cases of the store's suite that apply come in its words."""

from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

import anyio
import pytest
from agents import SessionSettings
from agents.memory import Session

from assistant_kit.cli.journal_check import JournalCheck
from assistant_kit.errors import ConversationBusy, ConversationNotFound, InputError, LeaseLost, StoreUnavailable
from assistant_kit.integrations.openai_agents import StoreSession
from assistant_kit.protocols.store import Append, Store
from assistant_kit.settings import LeaseSettings
from assistant_kit.testing.conformance.store_workbench import BAD_NAMES, PATIENCE, StoreWorkbench
from tests.faulty_store import FaultyStore, When
from tests.integrations.openai_agents.items import Item, call, message, reasoning, result, user

Opening = Callable[..., StoreSession]

TURN: list[Item] = [
    user("Weather?"),
    reasoning(),
    call("call_1"),
    call("call_2"),
    result("call_1"),
    result("call_2", "rain"),
    message("Sun and rain."),
]


async def added(session: StoreSession, *items: Item) -> None:
    await session.add_items(cast("list[Any]", list(items)))


async def problems(store: Store, session: StoreSession) -> list[str]:
    """Return what this library finds wrong with the journal."""
    check = JournalCheck(session.session_id)
    handle = store.for_user(session.user)
    found = [text for record in await handle.read(session.session_id) for text in check.take(record)]
    (info,) = [info for info in await handle.conversations() if info.conversation == session.session_id]
    return [*found, *check.compare(info)]


class SessionCases(StoreWorkbench):
    """Sessions on the store that `open_store` returns."""

    @pytest.fixture
    def opening(self, store: Store) -> Opening:
        """Return what opens sessions, all for the same new user unless told otherwise."""
        name = f"user-{uuid4()}"

        def opened(conversation: str = "c1", *, user: str = name, on: Store = store, **options: Any) -> StoreSession:
            return StoreSession(on, user=user, conversation=conversation, **options)

        return opened

    async def test_it_is_a_session_to_the_sdk(self, opening: Opening) -> None:
        session = opening("talk")
        assert isinstance(session, Session)
        assert session.session_id == "talk"

    async def test_items_come_back_as_they_were_added(self, opening: Opening, store: Store) -> None:
        await added(opening(), TURN[0])
        await added(opening(), *TURN[1:6])
        await added(opening(), TURN[6])
        assert await opening().get_items() == TURN
        assert await problems(store, opening()) == []

    async def test_a_new_session_is_empty_and_leaves_nothing_behind(self, opening: Opening, store: Store) -> None:
        session = opening()
        assert await session.get_items() == []
        assert await session.get_items(3) == []
        assert await session.pop_item() is None
        await session.add_items([])
        await session.clear_session()
        with pytest.raises(ConversationNotFound):
            await store.for_user(session.user).read("c1")

    async def test_a_limit_gives_the_newest_items(self, opening: Opening) -> None:
        await added(opening(), *TURN)
        for limit in (0, 1, 2, 5, len(TURN)):
            expected = TURN[len(TURN) - limit :]
            assert await opening().get_items(limit) == expected
            assert await opening(session_settings=SessionSettings(limit=limit)).get_items() == expected
        assert await opening().get_items(40) == TURN

    async def test_a_limit_reaches_over_many_pages(self, opening: Opening) -> None:
        turns = [item for number in range(30) for item in (user(str(number)), message("yes", number))]
        await added(opening(), *turns)
        assert await opening().get_items(45) == turns[-45:]

    async def test_a_negative_limit_gives_nothing(self, opening: Opening) -> None:
        await added(opening(), *TURN)
        assert await opening().get_items(-1) == []

    async def test_items_are_taken_back_from_the_end_one_by_one(self, opening: Opening, store: Store) -> None:
        await added(opening(), *TURN)
        for left in reversed(range(len(TURN))):
            assert await opening().pop_item() == TURN[left]
            assert await opening().get_items() == TURN[:left]
            assert await problems(store, opening()) == []
        assert await opening().pop_item() is None

    async def test_what_was_taken_back_can_be_added_again(self, opening: Opening, store: Store) -> None:
        for left in range(len(TURN)):
            session = opening(f"c{left}")
            await added(session, *TURN)
            for _ in TURN[left:]:
                await session.pop_item()
            await added(session, *TURN[left:])
            assert await session.get_items() == TURN
            assert await problems(store, session) == []

    async def test_clearing_deletes_the_conversation(self, opening: Opening, store: Store) -> None:
        await added(opening(), *TURN)
        await opening().clear_session()
        assert await opening().get_items() == []
        assert not await store.for_user(opening().user).conversations()
        await added(opening(), user("Hello again"))
        assert await opening().get_items() == [user("Hello again")]

    async def test_users_see_nothing_of_each_other(self, opening: Opening) -> None:
        mine, theirs = opening(), opening(user=f"other-{uuid4()}")
        await added(mine, user("mine"))
        assert await theirs.get_items() == []
        assert await theirs.pop_item() is None
        await theirs.clear_session()
        await added(theirs, user("theirs"))
        await theirs.pop_item()
        await added(theirs, user("theirs"))
        assert await mine.get_items() == [user("mine")]
        assert await theirs.get_items() == [user("theirs")]

    async def test_conversations_of_a_user_are_apart(self, opening: Opening) -> None:
        await added(opening("c1"), user("one"))
        await added(opening("c2"), user("two"))
        await opening("c2").clear_session()
        assert await opening("c1").get_items() == [user("one")]

    async def test_there_is_no_session_without_a_user(self, opening: Opening) -> None:
        for bad in BAD_NAMES:
            with pytest.raises(InputError):
                opening(user=bad)

    async def test_what_twenty_writers_add_at_once_is_all_there_and_not_mixed(
        self, opening: Opening, store: Store
    ) -> None:
        batches = [[user(f"{n}"), call(f"call_{n}"), result(f"call_{n}"), message(f"{n}")] for n in range(20)]
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for batch in batches:
                    group.start_soon(added, opening(), *batch)
        items = await opening().get_items()
        written = [items[at : at + 4] for at in range(0, len(items), 4)]
        assert sorted(written, key=str) == sorted(batches, key=str)
        assert await problems(store, opening()) == []

    async def test_two_runs_at_once_leave_each_write_whole(self, opening: Opening, store: Store) -> None:
        async def run(name: str) -> None:
            for batch in ([user(name)], [call(name), result(name)], [message(name)]):
                await added(opening(), *batch)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(run, "a")
                group.start_soon(run, "b")
        items = await opening().get_items()
        calls = [place for place, item in enumerate(items) if item.get("type") == "function_call"]
        assert [items[place + 1].get("call_id") for place in calls] == [items[place].get("call_id") for place in calls]
        assert sorted(map(str, items)) == sorted(
            str(item) for name in "ab" for item in (user(name), call(name), result(name), message(name))
        )
        assert await problems(store, opening()) == []

    async def test_a_conversation_that_is_held_is_waited_for_and_then_refused(
        self, opening: Opening, store: Store
    ) -> None:
        session = opening(lease=LeaseSettings(wait=0.05))
        await added(session, user("one"))
        lease = await store.for_user(session.user).claim("c1", owner="somebody", ttl=60.0)
        with anyio.fail_after(PATIENCE):
            for attempt in (lambda: added(session, user("two")), session.pop_item, session.clear_session):
                with pytest.raises(ConversationBusy):
                    await attempt()
        assert await session.get_items() == [user("one")]
        await store.for_user(session.user).release(lease)
        await added(session, user("two"))
        assert await session.get_items() == [user("one"), user("two")]

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_an_append_without_an_acknowledgement_is_written_once(
        self, opening: Opening, store: Store, when: When
    ) -> None:
        await added(opening(), user("one"))
        for place in (1, 2):  # the claim is the first write, the append the second
            faulty = FaultyStore(store, fail_at=place, when=when, once=True)
            session = opening(on=faulty)
            await added(session, user(f"two {place}"), message("yes"))
        expected = [item for place in (1, 2) for item in (user(f"two {place}"), message("yes"))]
        assert await opening().get_items() == [user("one"), *expected]
        assert await problems(store, opening()) == []

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_items_that_are_added_again_after_an_outage_are_written_once(
        self, opening: Opening, store: Store, when: When
    ) -> None:
        faulty = FaultyStore(store, fail_at=2, when=when)
        session = opening(on=faulty, lease=LeaseSettings(ttl=0.2))
        with pytest.raises(StoreUnavailable):
            await added(session, *TURN)
        faulty.fail_at = 0
        await added(session, *TURN)
        assert await opening().get_items() == TURN
        await added(session, *TURN)
        assert await opening().get_items() == [*TURN, *TURN]
        assert await problems(store, opening()) == []

    async def test_after_an_outage_other_items_are_written_as_ever(self, opening: Opening, store: Store) -> None:
        faulty = FaultyStore(store, fail_at=2, when="before")
        session = opening(on=faulty, lease=LeaseSettings(ttl=0.2))
        with pytest.raises(StoreUnavailable):
            await added(session, user("one"))
        faulty.fail_at = 0
        await added(session, user("two"))
        assert await session.get_items() == [user("two")]

    async def test_a_writer_that_was_overtaken_writes_nothing(self, opening: Opening, store: Store) -> None:
        session = opening(on=cast("Store", _Overtaken(store)), lease=LeaseSettings(ttl=0.05))
        with anyio.fail_after(PATIENCE), pytest.raises(LeaseLost):
            await added(session, user("one"))
        assert await opening().get_items() == []
        with anyio.fail_after(PATIENCE), pytest.raises(LeaseLost):
            await added(session, user("one"))


class _Overtaken:
    """A store on which somebody else takes each lease before it is used, as when its holder was stopped for long."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def for_user(self, user: str) -> "_Overtaken":
        return _Overtaken(self._store.for_user(user))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, write: Append) -> None:
        while True:
            try:
                other = await self._store.claim(write.lease.conversation, owner="other", ttl=60.0)
                break
            except ConversationBusy as busy:
                await anyio.sleep(busy.retry_after)
        await self._store.release(other)
        await self._store.append(write)
