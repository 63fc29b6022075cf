"""Tool results that are too long to be shown: cut to a preview, kept, and read in pages."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assistant_kit.assistant import Assistant
from assistant_kit.conversation import measure
from assistant_kit.entries import Entry, ToolFinished, TurnStarted
from assistant_kit.errors import (
    AssistantKitError,
    ConversationBusy,
    ConversationNotFound,
    DecryptionFailed,
    InputError,
    LeaseLost,
    StoreUnavailable,
    ToolError,
    UnreadableEntry,
)
from assistant_kit.journal_json import encode
from assistant_kit.messages import Image, Part, Text, ToolAnswer, user_message
from assistant_kit.protocols.store import Append, Lease, NewRecord, Record, Store, UserStore
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.registry import CHILD
from assistant_kit.run.long_results import (
    SMALLEST_PAGE,
    LongResults,
    hidden,
    name_of,
)
from assistant_kit.settings import Settings, WindowSettings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.stores.redis import RedisStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.transfer.belongings import delete_whole
from tests.faulty_store import FaultyStore, When

pytestmark = pytest.mark.anyio
PATIENCE = 30
BYTES, TOKENS = UpperBound(), TiktokenCounter()
FEW = settings(max_examples=settings().max_examples // 4)
LINES = "\n".join(f"line {number}: it rains in Oslo" for number in range(1000))  # about 30 kB
SMALL = Settings(window=WindowSettings(max_result_tokens=1_000))
IMAGE = Image(url="https://example.com/a.png")


def text(words: str) -> tuple[Part, ...]:
    return (Text(text=words),)


def results(
    store: UserStore | None = None,
    conversation: str | None = "c",
    *,
    max_tokens: int = 400,
    counter: TokenCounter = BYTES,
    owner: str = "me",
) -> LongResults:
    return LongResults(store, conversation, max_tokens=max_tokens, counter=counter, owner=owner)


def words_of(content: tuple[Part, ...]) -> str:
    assert isinstance(content[0], Text)
    return content[0].text


async def pages(kept: LongResults, name: str, *, page_tokens: int = 500) -> list[str]:
    """All pages of a text, without their first lines."""
    found: list[str] = []
    count = 1
    while len(found) < count:
        page = await kept.read(name, page=len(found) + 1, page_tokens=page_tokens)
        heading, _, rest = page.partition("\n")
        numbers = re.fullmatch(r"\[page (\d+) of (\d+)\]", heading)
        assert numbers is not None
        assert int(numbers[1]) == len(found) + 1
        count = int(numbers[2])
        found.append(rest)
    return found


async def whole(kept: LongResults, name: str, *, page_tokens: int = 500) -> str:
    return "".join(await pages(kept, name, page_tokens=page_tokens))


async def keep(kept: LongResults, words: str = LINES, *, key: str = "0.0") -> str:
    """Keep a text, and return its name."""
    _, name = await kept.shortened("t", key, text(words))
    return name


async def names(store: UserStore) -> list[str]:
    return [info.conversation for info in await store.conversations()]


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "chat.db")
    yield made
    await made.aclose()


# What the model is shown


async def test_a_short_result_stays_as_it_is() -> None:
    kept = results()
    content = (Text(text="a" * 399), IMAGE)
    for short in (content, text("a" * 400), text(""), ()):
        assert await kept.shortened("t", "0.0", short) == (short, "")


async def test_a_long_result_is_cut_to_its_beginning_and_its_end() -> None:
    content, name = await results().shortened("t", "0.0", text(LINES))
    head, _, rest = words_of(content).partition("\n[…")
    told, _, tail = rest.partition("…]\n")
    assert LINES.startswith(head + "\n")
    assert LINES.endswith("\n" + tail)
    assert len(head) > len(tail) > 60
    left_out = len(LINES) - len(head) - len(tail)
    assert (
        told == f' {left_out:,} characters left out; read_result("t/0.0", page=1) reads the whole text, page by page '
    )
    assert name == name_of("t", "0.0", LINES)


async def test_texts_are_joined_and_other_parts_stay() -> None:
    kept = results()
    content, name = await kept.shortened("t", "0.0", (Text(text=LINES), IMAGE, Text(text="end")))
    assert content[1:] == (IMAGE,)
    assert words_of(content).endswith("end")
    assert await whole(kept, name) == f"{LINES}\nend"


async def test_one_giant_line_is_cut_anywhere() -> None:
    content, _ = await results().shortened("t", "0.0", text("x" * 5000))
    head, _, rest = words_of(content).partition("\n")
    assert len(head) > 150
    assert set(head) == {"x"}
    assert len(rest.rpartition("\n")[2]) > 60


async def test_where_there_is_no_room_only_the_line_between_is_shown() -> None:
    kept = results(max_tokens=64)
    content, name = await kept.shortened("t", "0.0", text(LINES))
    assert words_of(content).startswith("[… ")
    assert words_of(content).endswith(" …]")
    assert await whole(kept, name) == LINES


async def test_a_preview_is_short_enough_for_a_counter_that_likes_no_lines() -> None:
    class Dear:
        name = "dear"

        def count(self, text: str) -> int:
            return len(text) + 50 * text.count("\n")

    content, _ = await results(max_tokens=900, counter=Dear()).shortened("t", "0.0", text("x" * 5000))
    assert 700 < Dear().count(words_of(content)) <= 900


async def test_what_would_not_become_shorter_stays() -> None:
    assert await results(max_tokens=64).shortened("t", "0.0", text("x" * 80)) == (text("x" * 80), "")


async def test_a_text_of_which_only_the_end_is_dense_is_long_too() -> None:
    kept = results(max_tokens=400, counter=TOKENS)
    long = " " * 4000 + "漢字 " * 900
    assert await keep(kept, long) == name_of("t", "0.0", long)


texts = st.one_of(
    st.text(max_size=400),
    st.lists(
        st.sampled_from(["rain in Oslo ", "\n", "\n\n\n", " " * 50, "é", "漢字", "🙂", "\r\n", "x" * 99, "\0"]),
        max_size=200,
    ).map("".join),
)


@pytest.mark.parametrize("counter", [BYTES, TOKENS], ids=lambda counter: counter.name)
@given(words=texts, max_tokens=st.integers(150, 600), page_tokens=st.integers(SMALLEST_PAGE, 700))
@example(words="\n" * 3000, max_tokens=150, page_tokens=SMALLEST_PAGE)
@example(words="🙂" * 3000, max_tokens=150, page_tokens=SMALLEST_PAGE)
@example(words="word" * 3000, max_tokens=150, page_tokens=100)
@FEW
async def test_previews_and_pages_are_short_enough_and_pages_make_up_the_text(
    counter: TokenCounter, words: str, max_tokens: int, page_tokens: int
) -> None:
    kept = results(max_tokens=max_tokens, counter=counter)
    content, name = await kept.shortened("t", "0.0", text(words))
    assert counter.count(words_of(content)) <= max_tokens
    if not name:
        assert content == text(words)
        return
    assert await whole(kept, name, page_tokens=page_tokens) == words
    for number in range(1, 4):
        try:
            page = await kept.read(name, page=number, page_tokens=page_tokens)
        except ToolError:
            continue
        assert counter.count(page) <= page_tokens


@given(words=texts, page_tokens=st.integers(SMALLEST_PAGE, 700))
@FEW
async def test_any_text_can_be_read_in_pages(words: str, page_tokens: int) -> None:
    kept = results()
    first = await kept.page_of(words, page=1, page_tokens=page_tokens)
    count = int(re.match(r"\[page 1 of (\d+)\]\n", first)[1])  # type: ignore[index]
    found = [await kept.page_of(words, page=n + 1, page_tokens=page_tokens) for n in range(count)]
    assert "".join(page.partition("\n")[2] for page in found) == words


async def test_a_page_that_is_not_there_is_refused() -> None:
    kept = results()
    name = await keep(kept)
    for page in (0, -1, 99):
        with pytest.raises(ToolError):
            await kept.read(name, page=page, page_tokens=500)


async def test_results_of_a_one_off_run_are_kept_as_long_as_it_runs() -> None:
    user = MemoryStore().for_user("u")
    for kept in (results(None, None), results(user, None), results(None, "c")):
        assert await whole(kept, await keep(kept)) == LINES
        with pytest.raises(ConversationNotFound):
            await kept.read(name_of("t", "0.1", LINES), page=1, page_tokens=500)
    assert await names(user) == []


# Where it is kept


async def test_the_whole_text_is_kept_in_a_hidden_conversation_of_the_user(store: Store) -> None:
    user = store.for_user("u")
    with anyio.fail_after(PATIENCE):
        name = await keep(results(user))
        assert await whole(results(user), name) == LINES
        (info,) = await user.conversations()
        records = await user.read(hidden(name))
    assert info.conversation == hidden(name)
    assert info.conversation.startswith(CHILD)
    assert len(info.conversation) < 100
    assert info.state == "idle"
    assert {record.kind for record in records} == {"kept_text"}
    assert max(len(record.body) for record in records) < 40_000
    assert b"it rains in Oslo" in records[0].body


async def test_a_text_has_its_name_from_its_turn_its_call_and_its_content() -> None:
    places = [("t", "0.0", "a"), ("s", "0.0", "a"), ("t", "0.1", "a"), ("t", "0.0", "b"), ('t", "0', "0", "a")]
    assert len({name_of(*place) for place in places}) == len(places)


async def test_nobody_reads_what_is_kept_for_another_user_or_under_another_name(store: Store) -> None:
    with anyio.fail_after(PATIENCE):
        name = await keep(results(store.for_user("u")))
        for user, wanted in (("v", name), ("u", name_of("t", "0.1", LINES)), ("u", ""), ("u", f"{name}/../c\0")):
            with pytest.raises(ConversationNotFound):
                await results(store.for_user(user)).read(wanted, page=1, page_tokens=500)


async def test_a_fork_reads_what_was_kept_before_it(store: Store) -> None:
    user = store.for_user("u")
    with anyio.fail_after(PATIENCE):
        name = await keep(results(user, "c"))
        assert await whole(results(user, "fork"), name) == LINES


async def test_no_lease_is_left_behind(store: Store) -> None:
    user = store.for_user("u")
    with anyio.fail_after(PATIENCE):
        name = await keep(results(user))
        await user.claim(hidden(name), owner="another", ttl=1)


async def test_many_megabytes_are_kept_in_several_writes_and_read_from_anywhere() -> None:
    faulty = FaultyStore(MemoryStore())
    long = LINES * 40  # more than a megabyte
    kept = results(faulty.for_user("u"))
    with anyio.fail_after(PATIENCE):
        name = await keep(kept, long)
        assert faulty.writes > 5
        assert await whole(kept, name, page_tokens=200_000) == long
        page = await kept.read(name, page=37, page_tokens=5000)
        first = await kept.read(name, page=1, page_tokens=5000)
    assert len(page) > 4500
    each = len(first.partition("\n")[2])
    assert page.partition("\n")[2] == long[36 * each : 37 * each]


# Several attempts of one call


class Wrapped:
    """A handle of which a test changes one method."""

    def __init__(self, store: UserStore) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Frozen(Wrapped):
    """The handle of a worker that freezes before its second append."""

    def __init__(self, store: UserStore) -> None:
        super().__init__(store)
        self.appends = 0
        self.asleep = anyio.Event()
        self.wake = anyio.Event()

    async def append(self, write: Append) -> None:
        self.appends += 1
        if self.appends == 2:
            self.asleep.set()
            await self.wake.wait()
        await self.store.append(write)


class Overtaken(Wrapped):
    """The handle of a worker before whose claim another one keeps the same text."""

    there: Sequence[Record] = ()

    async def claim(self, conversation: str, **terms: Any) -> Lease:
        await keep(results(self.store, owner="another"))
        self.there = await self.store.read(conversation)
        return await self.store.claim(conversation, **terms)


async def test_attempts_with_different_texts_do_not_touch_each_others(store: Store) -> None:
    user = store.for_user("u")
    with anyio.fail_after(PATIENCE):
        first = await keep(results(user, owner="recorded"))
        second = await keep(results(user, owner="woken"), "other " + LINES)
        assert await whole(results(user), first) == LINES
        assert await whole(results(user), second) == "other " + LINES


async def test_a_text_that_is_there_whole_is_not_written_again() -> None:
    faulty = FaultyStore(MemoryStore())
    user = faulty.for_user("u")
    with anyio.fail_after(PATIENCE):
        await keep(results(user, owner="dead"))
        writes = faulty.writes
        name = await keep(results(user, counter=TOKENS))
        assert faulty.writes == writes
        assert await whole(results(user), name) == LINES


async def test_what_a_dead_attempt_has_half_written_is_not_read_and_is_replaced() -> None:
    now = 0.0
    store = MemoryStore(clock=lambda: now)
    user = store.for_user("u")
    frozen = Frozen(user)
    long = LINES * 30
    name = name_of("t", "0.0", long)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refused, results(cast("UserStore", frozen), owner="frozen"), long)
            await frozen.asleep.wait()
            assert await user.read(hidden(name), limit=1)
            with pytest.raises(ConversationNotFound):
                await results(user).read(name, page=1, page_tokens=500)
            now = 30.0  # its lease has ended
            assert await keep(results(user, counter=TOKENS), long) == name  # whose pieces are others
            frozen.wake.set()
        assert await whole(results(user), name) == long


async def refused(kept: LongResults, words: str) -> None:
    """Keep a text under a lease that passes to somebody else meanwhile."""
    with pytest.raises(LeaseLost):
        await keep(kept, words)


async def test_who_is_overtaken_leaves_the_text_as_it_is(store: Store) -> None:
    user = store.for_user("u")
    with anyio.fail_after(PATIENCE):
        overtaken = Overtaken(user)
        name = await keep(results(cast("UserStore", overtaken)))
        assert await whole(results(user), name) == LINES
        assert await user.read(hidden(name)) == overtaken.there
        await user.claim(hidden(name), owner="another", ttl=1)


async def test_a_lease_of_a_dead_attempt_is_waited_for(store: Store) -> None:
    user = store.for_user("u")
    with anyio.fail_after(PATIENCE):
        await user.claim(hidden(name_of("t", "0.0", LINES)), owner="dead", ttl=0.2)
        assert await whole(results(user), await keep(results(user))) == LINES


async def test_a_lease_that_does_not_end_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant_kit.run.long_results.LEASE", 0.05)
    user = MemoryStore().for_user("u")
    with anyio.fail_after(PATIENCE):
        await user.claim(hidden(name_of("t", "0.0", LINES)), owner="another", ttl=3600)
        with pytest.raises(ConversationBusy):
            await keep(results(user))


# What fails


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", [1, 2, 3, 4])
async def test_a_store_that_fails_is_an_error_and_leaves_the_whole_text_or_none_of_it(when: When, write: int) -> None:
    """Writes 2 to 4 are appends. Only a claim whose acknowledgement was lost leaves its lease, which ends by itself."""
    faulty = FaultyStore(MemoryStore(), fail_at=write, when=when, once=True)
    user = faulty.for_user("u")
    long = LINES * 5
    name = hidden(name_of("t", "0.0", long))
    with anyio.fail_after(PATIENCE):
        with pytest.raises(StoreUnavailable):
            await keep(results(user), long)
        if (write, when) == (1, "before"):
            assert await names(user) == []
        elif (write, when) == (4, "after"):
            assert await whole(results(user), name_of("t", "0.0", long)) == long
        else:
            assert not await user.read(name)
        if (write, when) != (1, "after"):
            await user.claim(name, owner="another", ttl=1)


async def test_cancelling_leaves_no_lease_and_no_text(store: Store) -> None:
    faulty = FaultyStore(store)
    user = faulty.for_user("u")
    name = hidden(name_of("t", "0.0", LINES * 30))
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep, results(user), LINES * 30)
            await faulty.reached(3)
            tasks.cancel_scope.cancel()
        assert not await user.read(name)
        await user.claim(name, owner="another", ttl=1)


async def test_what_is_damaged_is_an_unreadable_entry() -> None:
    user = MemoryStore().for_user("u")
    name = name_of("t", "0.0", LINES)
    for body in (b"\xff", b"{", b"{}", b"[1]"):
        lease = await user.claim(hidden(name), owner="me", ttl=9)
        await user.rewind(lease, to=0)
        record = NewRecord(record_id="last", kind="kept_text", body=body)
        await user.append(
            Append(lease=lease, expected_seq=0, records=(record,), state="idle", open_turn=None, release=True)
        )
        with pytest.raises(UnreadableEntry) as caught:
            await results(user).read(name, page=1, page_tokens=500)
        assert (caught.value.conversation, caught.value.seq) == (hidden(name), 1)


async def test_of_a_text_whose_writer_died_at_once_nothing_is_kept() -> None:
    user = MemoryStore().for_user("u")
    name = name_of("t", "0.0", LINES)
    await user.claim(hidden(name), owner="dead", ttl=9)
    with pytest.raises(ConversationNotFound):
        await results(user).read(name, page=1, page_tokens=500)


class Picky(Wrapped):
    """The handle of a store in which nothing can be kept beside journals."""

    def __init__(self, store: UserStore, error: AssistantKitError) -> None:
        super().__init__(store)
        self.error = error

    async def claim(self, conversation: str, **terms: Any) -> Lease:
        if conversation.startswith(CHILD):
            raise self.error
        return await self.store.claim(conversation, **terms)


@pytest.mark.parametrize("error", [StoreUnavailable("the disk is full"), InputError("this name is not free")])
async def test_a_result_that_cannot_be_kept_is_shown_whole(error: AssistantKitError) -> None:
    class PickyStore(MemoryStore):
        def for_user(self, user: str) -> UserStore:
            return cast("UserStore", Picky(super().for_user(user), error))

    def report() -> str:
        """Everything we know."""
        return LINES

    model = ScriptedModel([CallTools(Call("report")), "It rains."])
    with anyio.fail_after(PATIENCE):
        assistant = Assistant(model, tools=[report], store=PickyStore(), settings=SMALL)
        await assistant.run("What do we know?", user="u", conversation="c")
    answer = model.requests[-1].items[-1]
    assert isinstance(answer, ToolAnswer)
    assert answer.content == text(LINES)


# What is deleted


async def record_ends(user: UserStore, conversation: str, *kept: str) -> None:
    """Write a journal of so many ends of calls, which name what is kept of them, with a record of another kind."""
    lease = await user.claim(conversation, owner="me", ttl=9)
    started = TurnStarted(turn="t", input=user_message("hello"))
    records = [record_of("r", started), *(record_of(f"r{n}", ended(n, name)) for n, name in enumerate(kept))]
    await user.append(
        Append(lease=lease, expected_seq=lease.seq, records=records, state="idle", open_turn=None, release=True)
    )


def ended(number: int, name: str) -> ToolFinished:
    return ToolFinished(
        turn="t", key=f"{number}.0", call_id="c", tool="look", outcome="ok", content=text("short"), kept=name
    )


def record_of(record_id: str, entry: Entry) -> NewRecord:
    return NewRecord(record_id=record_id, kind=entry.kind, body=encode(measure(entry, BYTES)))


async def test_a_conversation_is_deleted_with_what_it_names(store: Store) -> None:
    user = store.for_user("u")
    with anyio.fail_after(PATIENCE):
        one, two, other = [await keep(results(user), key=key) for key in ("0.0", "1.0", "2.0")]
        await record_ends(user, "c", one, *[""] * 250, name_of("t", "0.0", "gone"), "no name\0", two)
        await delete_whole([user], "c")
        assert await names(user) == [hidden(other)]
        with pytest.raises(ConversationNotFound):
            await delete_whole([user], "c")
        assert await names(user) == [hidden(other)]


async def test_a_conversation_that_is_held_keeps_what_it_names(store: Store) -> None:
    user = store.for_user("u")
    with anyio.fail_after(PATIENCE):
        name = await keep(results(user))
        await record_ends(user, "c", name)
        await user.claim("c", owner="a run", ttl=30)
        with pytest.raises(ConversationBusy):
            await delete_whole([user], "c")
        assert await whole(results(user), name) == LINES


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", [1, 2, 3, 4, 5, 6])
async def test_what_was_deleted_half_way_is_finished_by_deleting_again(when: When, write: int) -> None:
    """The writes are a claim, the renewal of its lease, the deletion of two texts, a release, the last deletion."""
    now = 0.0
    store = MemoryStore(clock=lambda: now)
    user = store.for_user("u")
    with anyio.fail_after(PATIENCE):
        kept = [await keep(results(user), key=key) for key in ("0.0", "1.0")]
        await record_ends(user, "c", *kept)
        faulty = FaultyStore(store, fail_at=write, when=when, once=True).for_user("u")
        if (write, when) == (5, "after"):  # the lease is given up, and more is not needed of it
            await delete_whole([faulty], "c")
            assert await names(user) == []
            return
        with pytest.raises(ConversationBusy if write == 5 else StoreUnavailable):
            await delete_whole([faulty], "c")
        now = 30.0  # a lease whose release failed has ended
        with suppress(ConversationNotFound):  # the acknowledgement of the last deletion was lost
            await delete_whole([user], "c")
        assert await names(user) == []


async def test_cancelling_a_deletion_leaves_no_lease(store: Store) -> None:
    faulty = FaultyStore(store)
    user = faulty.for_user("u")
    with anyio.fail_after(PATIENCE):
        await record_ends(user, "c", await keep(results(user)))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(delete_whole, [user], "c")
            await faulty.reached(faulty.writes + 1)
            tasks.cancel_scope.cancel()
        with suppress(ConversationNotFound):  # it may have come to its end before
            await delete_whole([user], "c")
        assert await names(user) == []


class Locked(Wrapped):
    """The handle of a store that cannot decrypt record 3, nor any page with it."""

    async def read(self, conversation: str, **window: Any) -> Sequence[Record]:
        records = await self.store.read(conversation, **window)
        if conversation == "c" and any(record.seq == 3 for record in records):
            raise DecryptionFailed(conversation, 3, "the key is another one")
        return records


async def test_a_damaged_conversation_is_deleted_with_what_can_be_read_of_it() -> None:
    user = MemoryStore().for_user("u")
    with anyio.fail_after(PATIENCE):
        kept = [await keep(results(user), key=f"{n}.0") for n in range(5)]
        await record_ends(user, "c", *kept)
        lease = await user.claim("c", owner="me", ttl=9)
        damaged = [NewRecord(record_id="x", kind="tool_finished", body=b"{")]
        damaged += [replace(record_of("y", TurnStarted(turn="s", input=user_message("hi"))), kind="tool_finished")]
        await user.append(
            Append(lease=lease, expected_seq=lease.seq, records=damaged, state="idle", open_turn=None, release=True)
        )
        await delete_whole([cast("UserStore", Locked(user))], "c")
        assert await names(user) == [hidden(kept[1])]


async def test_every_database_keeps_long_results(postgres_url: str, valkey_url: str, anyio_backend: str) -> None:
    for made in (PostgresStore(postgres_url), RedisStore(valkey_url)):
        with anyio.fail_after(PATIENCE):
            user = made.for_user(f"long-results-{anyio_backend}")
            first, second = await keep(results(user)), await keep(results(user), "other " + LINES * 9)
            assert await whole(results(user), first) == LINES
            await record_ends(user, "c", first, second)
            await delete_whole([user], "c")
            assert await names(user) == []
            with pytest.raises(ConversationNotFound):
                await delete_whole([user], "c")
            await made.aclose()
