"""Turns of nested assistants: deleted, rewound, forked and exported with the conversation whose calls made them."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.conversation import measure
from assistant_kit.entries import Entry, ToolNoted, TurnStarted
from assistant_kit.errors import ConversationBusy, ConversationNotFound, InputError, StoreUnavailable
from assistant_kit.handle import Conversation
from assistant_kit.journal_json import encode
from assistant_kit.messages import ToolAnswer, text_of, user_message
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.nested_calls import KEPT, nested_conversation
from assistant_kit.protocols.store import Append, NewRecord, Store, UserStore
from assistant_kit.settings import Settings
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.stores.redis import RedisStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.toolsets.functions import tool
from assistant_kit.transfer import import_lines
from assistant_kit.transfer.belongings import delete_whole
from tests.faulty_store import FaultyStore, When

pytestmark = pytest.mark.anyio
PATIENCE = 30


class Firm:
    """A chief who asks a clerk, who asks a runner, who pays. Each may have a store of their own."""

    def __init__(self, chiefs: Store, clerks: Store | None = None, runners: Store | None = None) -> None:
        self.chiefs, self.clerks, self.runners = chiefs, clerks or chiefs, runners or chiefs
        self.paid = 0
        self.user = f"u-{uuid4()}"

    @property
    def users(self) -> list[UserStore]:
        return [store.for_user(self.user) for store in dict.fromkeys((self.chiefs, self.clerks, self.runners))]

    def chief(self, *, turns: int = 1, resumed: bool = False) -> Assistant[str]:
        """The chief, whose workers play so many turns, or the end of one."""
        asks = slice(1 if resumed else 0, None)

        @tool
        def pay() -> str:
            self.paid += 1
            return "paid"

        steps = [CallTools(Call("pay")), "ran"][asks] * turns
        runner = Assistant(ScriptedModel(steps), tools=[pay], store=self.runners, settings=Settings(name="runner"))
        steps = [CallTools(Call("runner", {"message": "run"})), "found"][asks] * turns
        tools = [runner.as_tool(name="runner", description="Runs.")]
        clerk = Assistant(ScriptedModel(steps), tools=tools, store=self.clerks, settings=Settings(name="clerk"))
        steps = [CallTools(Call("clerk", {"message": "find"})), "done"][asks] * turns
        return Assistant(
            ScriptedModel(steps), tools=[clerk.as_tool(name="clerk", description="Finds.")], store=self.chiefs
        )

    async def names(self) -> list[str]:
        infos = [info for user in self.users for info in await user.conversations()]
        return sorted(info.conversation.removeprefix("assistant_kit:").partition(":")[0] for info in infos)

    async def talk(self, *, turns: int = 1, conversation: str = "c") -> None:
        async with self.chief(turns=turns) as chief:
            for _ in range(turns):
                await chief.run("x", user=self.user, conversation=conversation)

    def handle(self, conversation: str = "c") -> Conversation[str]:
        return self.chief().conversation(conversation, user=self.user)

    async def rewind(self, conversation: str = "c", *, to_turn: str | None) -> None:
        async with self.chief() as chief:
            await chief.conversation(conversation, user=self.user).rewind(to_turn=to_turn)


@pytest.fixture(params=["memory", "encrypted", "sqlite", "postgres", "redis"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str, valkey_url: str
) -> AsyncIterator[Store]:
    made: dict[str, Any] = {
        "memory": MemoryStore,
        "encrypted": lambda: EncryptedStore(MemoryStore(), MasterKeys({"one": bytes(32)})),
        "sqlite": lambda: SQLiteStore(tmp_path / "chat.db"),
        "postgres": lambda: PostgresStore(postgres_url),
        "redis": lambda: RedisStore(valkey_url),
    }
    store: Store = made[request.param]()
    yield store
    with anyio.fail_after(PATIENCE):
        await store.aclose()


async def test_a_conversation_is_deleted_with_the_turns_of_nested_assistants_on_all_levels(store: Store) -> None:
    firm = Firm(store)
    with anyio.fail_after(PATIENCE):
        await firm.talk(turns=2)
        await firm.talk(conversation="other")
        assert await firm.names() == ["c", "clerk", "clerk", "clerk", "other", "runner", "runner", "runner"]
        await firm.handle().delete()
        assert await firm.names() == ["clerk", "other", "runner"]
        with pytest.raises(ConversationNotFound):
            await firm.handle().delete()


async def test_what_a_fork_shares_stays_until_the_last_is_gone(store: Store) -> None:
    firm = Firm(store)
    with anyio.fail_after(PATIENCE):
        await firm.talk(turns=2)
        first, _ = await firm.handle().history()
        await firm.handle().fork("of the first", after_turn=first.turn)
        await firm.handle().fork("of both")
        await firm.handle().delete()
        assert await firm.names() == ["clerk", "clerk", "of both", "of the first", "runner", "runner"]
        await firm.handle("of both").delete()
        assert await firm.names() == ["clerk", "of the first", "runner"]
        await firm.handle("of the first").delete()
        assert await firm.names() == []


async def test_a_rewind_deletes_what_belongs_to_the_turns_that_it_forgets(store: Store) -> None:
    firm = Firm(store)
    with anyio.fail_after(PATIENCE):
        await firm.talk(turns=2)
        first, _ = await firm.handle().history()
        await firm.handle().fork("fork")
        await firm.rewind(to_turn=first.turn)
        assert await firm.names() == ["c", "clerk", "clerk", "fork", "runner", "runner"]
        await firm.rewind("fork", to_turn=first.turn)
        assert await firm.names() == ["c", "clerk", "fork", "runner"]
        await firm.rewind("fork", to_turn=None)
        await firm.rewind(to_turn=None)
        assert await firm.names() == ["c", "fork"]


async def test_nested_assistants_may_have_stores_of_their_own() -> None:
    firm = Firm(MemoryStore(), MemoryStore(), MemoryStore())
    with anyio.fail_after(PATIENCE):
        await firm.talk()
        await firm.handle().fork("fork")
        await firm.handle("fork").delete()
        assert await firm.names() == ["c", "clerk", "runner"]
        lines = [line async for line in firm.handle().export()]
        assert [line.partition('"conversation":')[2][:14] for line in lines if '"line":"conversation"' in line] == [
            '"assistant_kit',
            '"assistant_kit',
            '"c","title":""',
        ]
        await firm.handle().delete()
        assert await firm.names() == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_deletion_that_failed_at_any_write_is_finished_by_deleting_again(when: When) -> None:
    write, failed = 0, True
    while failed:
        write += 1
        now = 0.0
        store = MemoryStore(clock=lambda: now)  # noqa: B023  (it is read in this turn of the loop)
        firm = Firm(store)
        with anyio.fail_after(PATIENCE):
            await firm.talk()
            faulty = FaultyStore(store, fail_at=write, when=when)
            failed = False
            try:
                await delete_whole([faulty.for_user(firm.user)], "c")
            except (StoreUnavailable, ConversationBusy):
                failed = True
            now = 60.0
            with suppress(ConversationNotFound):  # the acknowledgement of the last deletion was lost
                await firm.handle().delete()
            assert await firm.names() == []
    assert write > 10


async def broken_off(firm: Firm, now: list[float]) -> None:
    """Let all three workers die behind the payment."""
    runners = firm.runners
    firm.chiefs, firm.clerks, firm.runners = (
        FaultyStore(runners, fail_at=4),
        FaultyStore(runners, fail_at=4),
        FaultyStore(runners, fail_at=3),
    )
    async with firm.chief() as chief:
        with pytest.raises(StoreUnavailable):
            await chief.run("x", user=firm.user, conversation="c")
    firm.chiefs = firm.clerks = firm.runners = runners
    now[0] += 60.0
    assert (firm.paid, await firm.names()) == (1, ["c", "clerk", "runner"])


async def test_a_turn_that_a_dead_worker_left_makes_no_calls_again_whenever_a_deletion_fails() -> None:
    write, failed = 0, True
    while failed:
        write += 1
        now = [0.0]
        store = MemoryStore(clock=lambda: now[0])  # noqa: B023  (it is read in this turn of the loop)
        firm = Firm(store)
        with anyio.fail_after(PATIENCE):
            await broken_off(firm, now)
            faulty = FaultyStore(store, fail_at=write, when="after")
            failed = False
            try:
                await delete_whole([faulty.for_user(firm.user)], "c")
            except (StoreUnavailable, ConversationBusy):
                failed = True
            now[0] += 60.0
            async with firm.chief() as chief:
                await chief.recover()
            assert firm.paid == 1 or write == 1  # the first write is a claim: nothing has happened yet
            with suppress(ConversationNotFound):
                await firm.handle().delete()
            assert await firm.names() == []
    assert write > 10


async def test_a_nested_turn_that_somebody_holds_keeps_the_conversation_from_being_deleted() -> None:
    firm = Firm(MemoryStore())
    with anyio.fail_after(PATIENCE):
        await firm.talk()
        (user,) = firm.users
        child = next(info.conversation for info in await user.conversations() if ":clerk:" in info.conversation)
        lease = await user.claim(child, owner="a zombie", ttl=60)
        for deletion in (firm.handle().delete, lambda: firm.rewind(to_turn=None)):
            with pytest.raises(ConversationBusy) as caught:
                await deletion()
            assert caught.value.conversation == child
        await user.release(lease)
        await firm.handle().delete()
        assert await firm.names() == []


@pytest.mark.parametrize("same_user", [True, False])
async def test_an_interrupted_conversation_goes_on_elsewhere_with_its_nested_turns(same_user: bool) -> None:  # noqa: FBT001  (a parameter of pytest)
    now = [0.0]
    firm, there = Firm(MemoryStore(clock=lambda: now[0])), Firm(MemoryStore())
    there.user = firm.user if same_user else "another"
    with anyio.fail_after(PATIENCE):
        await broken_off(firm, now)
        lines = [line async for line in firm.handle().export()]
        await import_lines(there.users[0], lines)
        assert await there.names() == ["c", "clerk", "runner"]
        async with there.chief(resumed=True) as chief:
            await chief.conversation("c", user=there.user).resume()
        assert there.paid == 0  # the payment is unknown there, and not made again
        assert await there.names() == ["c", "clerk", "runner"]
        await there.handle().delete()
        assert await there.names() == []


async def test_in_the_export_of_a_user_nested_turns_stand_before_the_conversations_that_need_them() -> None:
    now = [0.0]
    firm = Firm(MemoryStore(clock=lambda: now[0]))
    with anyio.fail_after(PATIENCE):
        await broken_off(firm, now)
        lines = [json.loads(line) async for line in firm.chief().export_user(firm.user)]
    names = [line["conversation"].removeprefix("assistant_kit:") for line in lines if line["line"] == "conversation"]
    assert [name.partition(":")[0] for name in names] == ["runner", "clerk", "c"]


def record(record_id: str, entry: Entry) -> NewRecord:
    return NewRecord(record_id=record_id, kind=entry.kind, body=encode(measure(entry, UpperBound())))


def noting(*notes: str, turn: str = "t") -> list[NewRecord]:
    started = record(turn, TurnStarted(turn="t", input=user_message("x")))
    noted = [ToolNoted(turn="t", key=f"0.{n}", call_id="c", note=note) for n, note in enumerate(notes)]
    return [started, *(record(f"{turn}/{n}", note) for n, note in enumerate(noted))]


async def write(
    user: UserStore, conversation: str, records: Sequence[NewRecord], *, open_turn: int | None = None
) -> None:
    lease = await user.claim(conversation, owner="w", ttl=60)
    state = "idle" if open_turn is None else "open"
    await user.append(
        Append(lease=lease, expected_seq=0, records=records, state=state, open_turn=open_turn, release=True)
    )


CHILD = nested_conversation("clerk", "0123456789abcdef" * 4)


async def test_journals_that_name_each_other_are_deleted_and_exported() -> None:
    store, other = MemoryStore(), nested_conversation("runner", "0" * 32)
    user = store.for_user("u")
    await write(user, CHILD, noting(other))
    await write(user, other, noting(other, CHILD, nested_conversation("gone", "0" * 32), turn="t2"))
    chat = Assistant(ScriptedModel([]), store=store).conversation(CHILD, user="u")
    with anyio.fail_after(PATIENCE):
        there = MemoryStore().for_user("u")
        assert await import_lines(there, [line async for line in chat.export()]) == [other, CHILD]
        await chat.delete()
        assert not await user.conversations()


@pytest.mark.parametrize("note", ["c2", f"{KEPT}{'0' * 32}", "assistant_kit:keys", f"x{CHILD}", f"{CHILD}0"])
async def test_a_note_of_a_tool_that_is_no_name_of_a_nested_turn_deletes_nothing(note: str) -> None:
    user = MemoryStore().for_user("u")
    await write(user, note, noting())
    await write(user, "c", noting(note))
    await delete_whole([user], "c")
    assert [info.conversation for info in await user.conversations()] == [note]


async def test_a_conversation_whose_open_turn_cannot_be_read_is_deleted() -> None:
    user = MemoryStore().for_user("u")
    await write(user, "c", [NewRecord(record_id="x", kind="turn_started", body=b"{")], open_turn=1)
    await delete_whole([user], "c")
    assert not await user.conversations()


async def test_the_whole_text_of_a_long_result_is_exported_with_its_conversation() -> None:
    def report() -> str:
        """Everything we know."""
        return "it rains\n" * 5000

    def read_on(request: ModelRequest) -> CallTools:
        shown = next(item for item in request.items if isinstance(item, ToolAnswer))
        handle = text_of(shown.content).partition('read_result("')[2].partition('"')[0]
        return CallTools(Call("read_result", {"handle": handle, "page": 2}))

    store, there = MemoryStore(), MemoryStore()
    with anyio.fail_after(PATIENCE):
        chat = Assistant(ScriptedModel([CallTools(Call("report")), "rain"]), tools=[report], store=store).conversation(
            "c", user="u"
        )
        await chat.run("x")
        lines = [line async for line in chat.export()]
        assert (await import_lines(there.for_user("u"), lines))[1:] == ["c"]
        moved = Assistant(ScriptedModel([read_on, "more rain"]), tools=[report], store=there)
        result = await moved.run("y", user="u", conversation="c")
        assert result.tool_calls[0].text.startswith("[page 2 of ")


async def test_a_turn_that_waits_ends_before_it_is_rewound() -> None:
    store = MemoryStore()

    @tool(needs_approval=True)
    def pay() -> str:
        return "paid"

    async with Assistant(ScriptedModel([CallTools(Call("pay"))]), tools=[pay], store=store) as assistant:
        await assistant.run("x", user="u", conversation="c")
        await assistant.conversation("c", user="u").rewind(to_turn=None)
        with pytest.raises(InputError):
            await assistant.conversation("c", user="u").approve("call_1")
    assert await store.for_user("u").read("c") == ()
