from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import anyio
import pytest

from assistant_kit import Assistant, Context, Settings, tool
from assistant_kit.errors import (
    ConfigurationError,
    ConversationBusy,
    ConversationNotFound,
    InputError,
    Interrupted,
    ModelRejected,
    StoreUnavailable,
)
from assistant_kit.event_logs.memory import MemoryEventLog
from assistant_kit.integrations.streaming import Entry, Failure, Relay, RelaySettings, Started
from assistant_kit.integrations.streaming.following import Following
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.messages import JsonObject, Part
from assistant_kit.protocols.masker import Private, UserVault
from assistant_kit.protocols.store import Store, TurnState, Unfinished
from assistant_kit.protocols.user_data import Kept
from assistant_kit.run.result import Result
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Delay, Fail, Say, ScriptedModel
from tests.faulty_store import FaultyStore
from tests.integrations.streaming.reading import Page
from tests.integrations.streaming.relaying import HERE, FaultyLog, World, add
from tests.test_afterwards import Learning, Notebook

T = TypeVar("T")

pytestmark = pytest.mark.anyio

CALL = CallTools(Call("add", {"a": 1, "b": 2}), text="Let me see. ")
PAY = CallTools(Call("pay", {"amount": 5}), text="I pay. ")
FOREVER = Delay(100_000, "never")


@pytest.fixture
def world() -> World:
    return World()


async def ask(relay: Relay[str], text: str = "1 + 2?", request_id: str | None = "r") -> Started:
    with anyio.fail_after(10):
        return await relay.start(text, user="u", conversation="c", request_id=request_id)


async def told(relay: Relay[str], started: Started) -> list[Entry]:
    with anyio.fail_after(10):
        async with relay.events(started, user="u", conversation="c") as entries:
            return [entry async for entry in entries]


async def until(relay: Relay[str], name: str, after: int | None) -> list[Entry]:
    """Read up to the next entry of a name."""
    found: list[Entry] = []
    with anyio.fail_after(10):
        async with relay.follow(user="u", conversation="c", after=after) as entries:
            async for entry in entries:
                found.append(entry)
                if entry.name == name:
                    break
    return found


def names(entries: list[Entry]) -> list[str]:
    """Return the names of entries, where pieces of one text count once."""
    found = [entry.name for entry in entries]
    return [name for place, name in enumerate(found) if name != "token" or found[place - 1 : place] != ["token"]]


def text_of(entries: list[Entry]) -> str:
    page = Page()
    page.show(entries)
    assert page.is_dense
    return page.turns[page.current].text


async def test_a_turn_is_told_from_its_message_to_its_end(world: World) -> None:
    with ScriptedModel([CALL, "It is 3."]) as model:
        async with world.worker(model) as relay:
            started = await relay.start(
                "1 + 2?", user="u", conversation="c", request_id="r", extra={"files": [{"id": "f"}]}
            )
            entries = await told(relay, started)

    assert names(entries) == ["message", "token", "tool_request", "tool_result", "token", "complete"]
    assert started.after == entries[0].id - 1
    assert entries[0].data == {"request_id": "r", "text": "1 + 2?", "files": [{"id": "f"}]}
    assert text_of(entries) == "Let me see. It is 3."
    end = entries[-1].data
    assert (end["output"], end["status"], end["request_id"]) == ("It is 3.", "completed", "r")


async def test_a_turn_goes_on_without_readers(world: World) -> None:
    with ScriptedModel([CALL, "It is 3."]) as model:
        async with world.worker(model) as relay:
            await ask(relay)
            entries = await until(relay, "complete", None)
            assert not await relay.is_running(user="u", conversation="c")

    assert text_of(entries) == "Let me see. It is 3."


async def test_a_repeated_request_joins_the_turn_here_and_elsewhere(world: World) -> None:
    model = ScriptedModel([Delay(0.05, CALL), Delay(0.05, "It is 3.")])
    async with world.worker(model) as relay, world.worker(ScriptedModel([])) as other:
        first = await ask(relay)
        again, elsewhere = await ask(relay), await ask(other)
        found = [await told(relay, first), await told(relay, again), await told(other, elsewhere)]
        after_it = await ask(other)

    assert (first.joined, again.joined, elsewhere.joined, after_it.joined) == (False, True, True, True)
    assert found[0] == found[1] == found[2]
    assert after_it == Started(request_id="r", after=first.after, joined=True)


async def test_an_answer_that_the_log_has_forgotten_is_told_from_the_journal(world: World) -> None:
    async def add_it(result: Result[object]) -> JsonObject:
        return {"citations": [result.text]}

    with ScriptedModel(["It is 3."]) as model:
        async with world.worker(model, add=add_it) as relay:
            whole = await told(relay, await ask(relay))
            await world.log.erase_user("u")
            started = await ask(relay)
            entries = await told(relay, started)

    assert started.after is None
    assert names(entries) == ["message", "token", "complete"]
    assert text_of([Entry(id=n, name=e.name, data=e.data) for n, e in enumerate(entries)]) == "It is 3."
    assert entries[-1].data == whole[-1].data


async def test_another_message_waits_or_is_refused_while_a_turn_runs(world: World) -> None:
    model = ScriptedModel([Delay(0.05, "one"), "two"])
    async with world.worker(model) as relay, world.worker(model, settings={"on_busy": "fail"}) as other:
        await ask(relay, request_id="a")
        with pytest.raises(ConversationBusy):
            await ask(other, request_id="b")
        second = await ask(relay, request_id="b")
        entries = await told(relay, second)

    assert entries[-1].data["output"] == "two"


@pytest.mark.parametrize("message", ["", " "])
async def test_what_cannot_be_asked_is_refused_before_a_turn_begins(world: World, message: str) -> None:
    async with world.worker(ScriptedModel([])) as relay:
        with pytest.raises(InputError):
            await ask(relay, message)
        assert await relay.last_id(user="u", conversation="c") == 0
        assert not await relay.is_running(user="u", conversation="c")


async def test_a_failed_turn_ends_with_an_error_in_the_applications_words(world: World) -> None:
    def tell(error: BaseException) -> Failure:
        return Failure(code=type(error).__name__, message="sorry")

    with ScriptedModel([Fail(ModelRejected("hunter2", model="m"))]) as model:
        async with world.worker(model, tell=tell) as relay:
            entries = await told(relay, await ask(relay))
            with pytest.raises(Interrupted):
                await ask(relay)

    assert names(entries) == ["message", "error"]
    assert entries[-1].data == {"error": {"code": "ModelRejected", "message": "sorry"}, "request_id": "r"}


async def test_a_failure_of_the_applications_own_ends_the_turn_and_nothing_else(world: World) -> None:
    model = ScriptedModel([Fail(ZeroDivisionError("hunter2")), "fine"])
    async with world.worker(model) as relay:
        entries = await told(relay, await ask(relay, request_id="a"))
        after_it = await told(relay, await ask(relay, request_id="b"))

    assert entries[-1].data == {
        "error": {"code": "failed", "message": "something went wrong here"},
        "request_id": "a",
    }
    assert after_it[-1].data["output"] == "fine"


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_a_turn_is_stopped_from_any_worker(world: World, where: str) -> None:
    model = ScriptedModel([CALL, FOREVER])
    async with world.worker(model) as relay, world.worker(ScriptedModel([])) as other:
        started = await ask(relay)
        await until(relay, "tool_result", started.after)
        assert await other.is_running(user="u", conversation="c")
        await (relay if where == "here" else other).stop(user="u", conversation="c")
        entries = await told(other, started)

    assert entries[-1].name == "complete"
    assert (entries[-1].data["status"], entries[-1].data["output"]) == ("cancelled", None)
    assert await state_of(world) == "cancelled"


async def state_of(world: World) -> str | None:
    assistant = Assistant(ScriptedModel([]), store=world.store)
    (turn,) = await assistant.conversation("c", user="u").history()
    return turn.outcome


async def _until_over(relay: Relay[str]) -> None:
    while await relay.is_running(user="u", conversation="c"):  # noqa: ASYNC110  (nobody tells while the log is down)
        await anyio.sleep(0.01)


async def test_stopping_where_nothing_runs_does_nothing(world: World) -> None:
    with ScriptedModel(["a"]) as model:
        async with world.worker(model) as relay:
            await relay.stop(user="u", conversation="c")
            started = await ask(relay)
            entries = await told(relay, started)
            await relay.stop(user="u", conversation="c")

    assert entries[-1].data["status"] == "completed"


async def test_an_approval_goes_on_with_the_turn_at_any_worker(world: World) -> None:
    with ScriptedModel([PAY]) as model, ScriptedModel(["Paid."]) as second:
        async with world.worker(model) as relay:
            started = await ask(relay, "Pay 5.")
            waiting = await told(relay, started)
            again = await ask(relay, "Pay 5.")
        async with world.worker(second) as other:
            approver = Assistant(ScriptedModel([]), store=world.store).conversation("c", user="u")
            call_id = str(waiting[-2].data["call_id"])
            await approver.approve(call_id, digest=str(waiting[-2].data["digest"]))
            mark = await other.last_id(user="u", conversation="c")
            await other.resume(user="u", conversation="c")
            entries = await until(other, "complete", waiting[-1].id)
            with pytest.raises(InputError):
                await other.resume(user="u", conversation="c")

    assert names(waiting) == ["message", "token", "approval_required", "complete"]
    assert waiting[-1].data["status"] == "waiting"
    assert mark == started.after == again.after
    assert names(entries) == ["approved", "tool_request", "tool_result", "token", "complete"]
    assert entries[0].data == {"call_id": call_id, "approved": True}
    assert text_of([*waiting, *entries]) == "I pay. Paid."


async def test_a_turn_that_still_waits_is_told_once(world: World) -> None:
    with ScriptedModel([PAY]) as model:
        async with world.worker(model) as relay:
            waiting = await told(relay, await ask(relay, "Pay 5."))
            await relay.resume(user="u", conversation="c")
            await ask(relay, "Pay 5.")
            await relay.stop(user="u", conversation="c")
            entries = await until(relay, "complete", waiting[-1].id)

    assert names(entries) == ["complete"]
    assert entries[-1].data["status"] == "cancelled"


async def test_a_turn_that_waits_can_be_stopped(world: World) -> None:
    with ScriptedModel([PAY]) as model:
        async with world.worker(model) as relay:
            waiting = await told(relay, await ask(relay, "Pay 5."))
            await relay.stop(user="u", conversation="c")
            entries = await until(relay, "complete", waiting[-1].id)

    assert entries[-1].data["status"] == "cancelled"
    assert await state_of(world) == "cancelled"


async def test_a_worker_that_is_closed_leaves_its_turns_to_another(world: World) -> None:
    with ScriptedModel(["It is 3."]) as second:
        async with world.worker(ScriptedModel([CALL, FOREVER])) as relay:
            started = await ask(relay)
            await until(relay, "tool_result", started.after)
        async with world.worker(second) as other:
            entries = await told(other, started)

    assert names(entries) == ["message", "token", "tool_request", "tool_result", "token", "complete"]
    assert text_of(entries) == "Let me see. It is 3."


async def test_a_block_that_is_cancelled_leaves_its_turns_to_another(world: World) -> None:
    with ScriptedModel(["It is 3."]) as second:
        started = Started(request_id="", after=None)
        with anyio.CancelScope() as scope:
            async with world.worker(ScriptedModel([CALL, FOREVER])) as relay:
                started = await ask(relay)
                await until(relay, "tool_result", started.after)
                scope.cancel()
        async with world.worker(second) as other:
            entries = await told(other, started)

    assert text_of(entries) == "Let me see. It is 3."


async def test_a_turn_that_was_taken_over_can_be_stopped(world: World) -> None:
    async with world.worker(ScriptedModel([CALL, FOREVER])) as relay:
        started = await ask(relay)
        await until(relay, "tool_result", started.after)
    model = ScriptedModel([FOREVER])
    async with world.worker(model) as other:
        while not model.requests:  # noqa: ASYNC110  (nobody else tells)
            await anyio.sleep(0.01)
        await other.stop(user="u", conversation="c")
        entries = await told(other, started)

    assert entries[-1].data["status"] == "cancelled"
    assert await state_of(world) == "cancelled"


async def test_a_message_finishes_the_turn_that_was_left_before_it(world: World) -> None:
    async with world.worker(ScriptedModel([CALL, FOREVER])) as relay:
        first = await ask(relay, request_id="a")
        await until(relay, "tool_result", first.after)
    with ScriptedModel(["It is 3.", "And this is new."]) as model:
        async with world.worker(model, every=1000) as other:
            second = await ask(other, "And now?", request_id="b")
            entries = [await told(other, first), await told(other, second)]

    assert [text_of(each) for each in entries] == ["Let me see. It is 3.", "And this is new."]


async def test_a_provider_that_is_down_while_a_turn_is_taken_over_is_asked_again(world: World) -> None:
    async with world.worker(ScriptedModel([CALL, FOREVER])) as relay:
        started = await ask(relay)
        await until(relay, "tool_result", started.after)
    with ScriptedModel([Fail(ModelRejected("x", model="m"))]) as model:
        async with world.worker(model) as other:
            entries = await told(other, started)
    assert entries[-1].name == "error"


async def test_the_journal_is_the_truth_when_the_log_is_down() -> None:
    log = FaultyLog()
    world = World(log=log)
    with ScriptedModel([Delay(0.05, CALL), "It is 3."]) as model:
        async with world.worker(model) as relay:
            log.is_down = True
            started = await ask(relay)
            assert started.after is None
            with pytest.raises(StoreUnavailable):
                await until(relay, "complete", None)
            with anyio.fail_after(10):
                await _until_over(relay)
            log.is_down = False
            entries = await until(relay, "complete", None)

    assert text_of(entries) == "Let me see. It is 3."
    assert await state_of(world) == "completed"


async def test_what_a_log_that_was_down_has_missed_is_told_anew() -> None:
    log = FaultyLog()
    world = World(log=log)
    many = Say("".join(f"{n} " for n in range(3000)))
    with ScriptedModel([CALL, many]) as model:
        async with world.worker(model) as relay:
            started = await ask(relay)
            await until(relay, "tool_result", started.after)
            log.is_down = True
            with anyio.fail_after(20):
                await _until_over(relay)
            log.is_down = False
            entries = await told(relay, started)

    page = Page()
    page.show(entries)
    assert page.resets == 1
    assert page.is_dense
    assert page.turns["r"].text == f"Let me see. {many.text}"


async def test_readers_load_the_journal_when_a_turn_before_was_not_told_to_its_end() -> None:
    log = FaultyLog()
    world = World(log=log)
    with ScriptedModel([Delay(0.05, "one"), "two"]) as model:
        async with world.worker(model, settings={"closing": 0.05}) as relay:
            first = await ask(relay, request_id="a")
            log.is_down = True
            with anyio.fail_after(10):
                await _until_over(relay)
        log.is_down = False
        async with world.worker(model) as relay:
            second = await ask(relay, request_id="b")
            entries = await until(relay, "complete", first.after)

    assert names(entries) == ["message", "reset", "message", "token", "complete"]
    assert second.after == entries[1].id
    assert entries[1].data == {"last_event_id": str(entries[1].id)}


async def test_a_store_that_fails_in_the_middle_leaves_the_turn_to_a_later_attempt() -> None:
    faulty = FaultyStore(MemoryStore(), fail_at=2, once=True)
    world = World(store=faulty)
    with ScriptedModel([CALL, CALL, "It is 3."]) as model:
        async with world.worker(model) as relay:
            entries = await told(relay, await ask(relay))

    # That it is tried again is told unless the next attempt has begun by then.
    assert [name for name in names(entries) if name != "retrying"] == [
        "message",
        "token",
        "tool_request",
        "text_retracted",
        "tool_result",
        "token",
        "tool_request",
        "tool_result",
        "token",
        "complete",
    ]
    assert text_of(entries) == "Let me see. It is 3."
    assert [entry.data["outcome"] for entry in entries if entry.name == "tool_result"] == ["cancelled", "ok"]


async def test_a_sweep_outlives_a_store_that_cannot_be_asked() -> None:
    class Unlisted(FaultyStore):
        failures = 2

        async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
            self.failures -= 1
            if self.failures >= 0:
                raise StoreUnavailable("x")
            return await self.store.unfinished(state=state, limit=limit)

    store = Unlisted(MemoryStore())
    world = World(store=store)
    with ScriptedModel(["It is 3."]) as second:
        async with world.worker(ScriptedModel([CALL, FOREVER])) as relay:
            started = await ask(relay)
            await until(relay, "tool_result", started.after)
        store.failures = 2
        async with world.worker(second) as other:
            assert (await told(other, started))[-1].name == "complete"


async def test_a_relay_is_used_while_it_is_open(world: World) -> None:
    assistant = Assistant(ScriptedModel([]), tools=[add], store=world.store)
    relay = Relay(assistant, world.log)
    with pytest.raises(ConfigurationError):
        await ask(relay)
    async with assistant, relay:
        with pytest.raises(ConfigurationError):
            await relay.__aenter__()
    with pytest.raises(ConfigurationError):
        await ask(relay)


async def test_a_relay_needs_a_store(world: World) -> None:
    with pytest.raises(ConfigurationError):
        Relay(Assistant(ScriptedModel([])), world.log)


@pytest.mark.parametrize(
    "settings",
    [
        lambda: RelaySettings(every=0),
        lambda: RelaySettings(parallel=0),
        lambda: RelaySettings(closing=-1),
        lambda: RelaySettings(linger=-1),
    ],
    ids=["every", "parallel", "closing", "linger"],
)
def test_settings_that_make_no_sense_are_refused(settings: Callable[[], RelaySettings]) -> None:
    with pytest.raises(ConfigurationError):
        settings()


async def test_an_error_in_the_block_leaves_as_itself(world: World) -> None:
    async def break_in_the_block() -> None:
        async with world.worker(ScriptedModel([FOREVER])) as relay:
            await ask(relay)
            raise KeyError

    with pytest.raises(KeyError):
        await break_in_the_block()


async def test_following_may_be_given_up_and_asked_again(world: World) -> None:
    with ScriptedModel([Delay(0.02, CALL), Delay(0.02, "It is 3.")]) as model:
        async with world.worker(model) as relay:
            started = await ask(relay)
            entries: list[Entry] = []
            following: Following = relay.events(started, user="u", conversation="c")
            with anyio.fail_after(10):
                while not entries or entries[-1].name != "complete":
                    with anyio.move_on_after(0.001):
                        entries += await following.arrived()
            assert await following.arrived() == ()
            await following.aclose()

    assert text_of(entries) == "Let me see. It is 3."


async def test_calls_that_a_stopped_turn_has_not_made_are_recorded_as_cancelled(world: World) -> None:
    begun = anyio.Event()

    @tool(effect="read")
    async def wait() -> str:
        """Wait."""
        begun.set()
        await anyio.sleep_forever()
        return "never"

    with ScriptedModel([CallTools(Call("wait"))]) as model:
        async with world.worker(model, tools=[wait]) as relay:
            started = await ask(relay)
            with anyio.fail_after(10):
                await begun.wait()
            await relay.stop(user="u", conversation="c")
            entries = await told(relay, started)

    assert entries[-1].data["status"] == "cancelled"
    (turn,) = await Assistant(ScriptedModel([]), store=world.store).conversation("c", user="u").history()
    assert (turn.outcome, [call.outcome for call in turn.tool_calls]) == ("cancelled", ["cancelled"])


async def test_readers_learn_of_an_end_that_a_dead_worker_could_not_tell() -> None:
    log = FaultyLog()
    world = World(log=log)
    with ScriptedModel([Delay(0.05, "one")]) as model:
        async with world.worker(model, settings={"closing": 0.05}) as relay:
            started = await ask(relay)
            log.is_down = True
            with anyio.fail_after(10):
                await _until_over(relay)
        log.is_down = False
        async with world.worker(ScriptedModel([])) as other:
            entries = await until(other, "reset", started.after)
            assert await other.last_id(user="u", conversation="c") == entries[-1].id

    assert names(entries) == ["message", "reset"]
    assert await state_of(world) == "completed"


async def test_what_has_come_is_read_one_by_one_or_at_once(world: World) -> None:
    with ScriptedModel([CALL, "It is 3."]) as model:
        async with world.worker(model) as relay:
            await until(relay, "complete", (await ask(relay)).after)
            following = relay.follow(user="u", conversation="c", after=0)
            with anyio.fail_after(10):
                first, *rest = [await anext(following), *await following.arrived()]
            await following.aclose()

    assert names([first, *rest])[0] == "message"
    assert rest[-1].name == "complete"


async def test_a_message_is_shown_as_it_is_when_an_application_cannot_say_how(world: World) -> None:
    def said(content: Sequence[Part]) -> JsonObject:
        raise ValueError(content)

    with ScriptedModel(["It is 3."]) as model:
        async with world.worker(model, said=said) as relay:
            entries = await told(relay, await ask(relay))

    assert entries[0].data == {"request_id": "r", "text": "1 + 2?", "files": []}
    assert entries[-1].name == "complete"


async def test_an_answer_on_record_is_told_while_the_log_is_down() -> None:
    log = FaultyLog()
    with ScriptedModel(["It is 3."]) as model:
        async with World(log=log).worker(model) as relay:
            await until(relay, "complete", (await ask(relay)).after)
            log.is_down = True
            again = await ask(relay)
            with pytest.raises(StoreUnavailable):
                await relay.stop(user="u", conversation="c")

    assert [entry.name for entry in again.recorded] == ["message", "token", "complete"]


async def test_who_cannot_be_stopped_is_told_so(world: World) -> None:
    async with world.worker(ScriptedModel([])) as relay:
        with pytest.raises(InputError):
            await relay.stop(user="u", conversation="")


class StuckVault:
    """A vault that never answers."""

    def __init__(self) -> None:
        self.asked = anyio.Event()

    def for_user(self, user: str) -> UserVault:
        del user
        return self

    async def hide(self, values: Sequence[Private]) -> Sequence[str]:
        self.asked.set()
        await anyio.sleep_forever()
        return [value.kind for value in values]

    async def reveal(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        return dict.fromkeys(pseudonyms, "")

    async def erase_user(self, user: str) -> None:
        del user

    def export_user(self, user: str) -> AsyncIterator[Kept]:
        raise NotImplementedError(user)

    async def aclose(self) -> None:
        pass


async def test_a_message_can_be_stopped_before_its_turn_begins(world: World) -> None:
    found: list[Interrupted] = []
    vault = StuckVault()

    async def say(relay: Relay[str]) -> None:
        try:
            await ask(relay, "I am ann@example.org")
        except Interrupted as error:
            found.append(error)

    assistant = Assistant(ScriptedModel([]), store=world.store, context=Context(masker=RuleMasker(vault)))
    async with assistant, Relay(assistant, world.log) as relay:
        async with anyio.create_task_group() as group:
            group.start_soon(say, relay)
            with anyio.fail_after(10):
                await vault.asked.wait()
            await relay.stop(user="u", conversation="c")
        assert not await relay.is_running(user="u", conversation="c")
    assert [(error.request_id, error.outcome) for error in found] == [("r", "cancelled")]


async def test_a_turn_of_another_assistant_is_left_alone(world: World) -> None:
    async with world.worker(ScriptedModel([CALL, FOREVER])) as relay:
        await until(relay, "tool_result", (await ask(relay)).after)
    settings = Settings(name="another")
    assistant = Assistant(ScriptedModel([]), tools=[add], store=world.store, settings=settings)
    async with assistant, Relay(assistant, world.log, settings=RelaySettings(on_busy="fail", every=100)) as other:
        with pytest.raises(ConversationBusy):
            await other.resume(user="u", conversation="c")


async def test_a_stop_is_heard_by_a_worker_whose_connection_was_gone_for_a_moment() -> None:
    log = FaultyLog()
    log.loses_stops = 1
    world = World(log=log)
    async with world.worker(ScriptedModel([FOREVER])) as relay, world.worker(ScriptedModel([])) as other:
        started = await ask(relay)
        await until(relay, "message", started.after)
        await other.stop(user="u", conversation="c")
        entries = await told(relay, started)

    assert (log.loses_stops, entries[-1].data["status"]) == (0, "cancelled")


class Held(FaultyStore):
    """A store whose writes wait."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.asked, self.gate = anyio.Event(), anyio.Event()

    async def write(self, operation: Callable[[], Awaitable[T]]) -> T:
        self.asked.set()
        await self.gate.wait()
        return await super().write(operation)


async def test_a_stop_at_a_worker_that_only_tries_to_go_on_with_a_turn_reaches_the_one_that_runs_it(
    world: World,
) -> None:
    held = Held(world.store)

    async def go_on() -> None:
        with suppress(ConversationBusy, InputError):
            await other.resume(**HERE)

    async with (
        world.worker(ScriptedModel([CALL, FOREVER])) as relay,
        World(store=held, log=world.log).worker(ScriptedModel([])) as other,
        anyio.create_task_group() as tasks,
    ):
        started = await ask(relay)
        await until(relay, "tool_result", started.after)
        tasks.start_soon(go_on)
        try:
            with anyio.fail_after(5):
                await held.asked.wait()
                await other.stop(**HERE)
                assert (await told(relay, started))[-1].data["status"] == "cancelled"
        finally:
            held.gate.set()


async def test_a_turn_whose_first_events_the_log_has_forgotten_is_told_anew_by_who_takes_it_over() -> None:
    world = World(log=MemoryEventLog(most=2))
    model = ScriptedModel([CALL, FOREVER])
    async with world.worker(model) as relay:
        started = await ask(relay)
        with anyio.fail_after(10):
            while len(model.requests) < 2:  # noqa: ASYNC110  (its events may be forgotten already)
                await anyio.sleep(0.01)
    async with world.worker(ScriptedModel(["It is 3."])) as other:
        with anyio.fail_after(10):
            while await state_of(world) is None:  # noqa: ASYNC110  (no event tells of it for certain)
                await anyio.sleep(0.01)
        (entry,) = await until(other, "reset", started.after)

    assert entry.data["last_event_id"] == str(entry.id)
    assert await state_of(world) == "completed"


async def test_who_goes_on_with_a_turn_that_is_just_beginning_waits_for_it(world: World) -> None:
    vault = StuckVault()
    ends: list[type[Exception]] = []

    async def caught(asked: Callable[[], Awaitable[object]]) -> None:
        try:
            await asked()
        except (Interrupted, InputError, ConversationNotFound) as error:
            ends.append(type(error))

    assistant = Assistant(ScriptedModel([]), store=world.store, context=Context(masker=RuleMasker(vault)))
    async with assistant, Relay(assistant, world.log) as relay, anyio.create_task_group() as group:
        group.start_soon(caught, lambda: ask(relay, "I am ann@example.org"))
        with anyio.fail_after(10):
            await vault.asked.wait()
        group.start_soon(caught, lambda: relay.resume(**HERE))
        await anyio.wait_all_tasks_blocked()
        await relay.stop(**HERE)
    assert sorted(end.__name__ for end in ends) in (
        ["ConversationNotFound", "Interrupted"],
        ["InputError", "Interrupted"],
    )


async def test_a_store_that_is_gone_cannot_stop_a_turn() -> None:
    faulty = FaultyStore(MemoryStore())
    world = World(store=faulty)
    with ScriptedModel([PAY]) as model:
        async with world.worker(model, every=100.0) as relay:
            await told(relay, await ask(relay, "Pay 5."))
            faulty.fail_at = faulty.writes + 1
            with pytest.raises(StoreUnavailable):
                await relay.stop(**HERE)
            faulty.fail_at = 0
            await relay.stop(**HERE)

    assert await state_of(world) == "cancelled"


async def test_a_sweep_outlives_a_log_that_is_down() -> None:
    log = FaultyLog()
    with ScriptedModel(["It is 3."]) as model:
        async with World(log=log).worker(model) as relay, relay.follow(**HERE) as following:
            for is_down in (False, True):
                log.is_down, log.standings = is_down, 0
                with anyio.fail_after(10):
                    while log.standings < 2:  # noqa: ASYNC110  (a sweep tells nobody)
                        await anyio.sleep(0.01)
            log.is_down = False
            started = await ask(relay)
            with anyio.fail_after(10):
                first = await anext(following)

    assert (first.name, started.after) == ("message", first.id - 1)


async def test_what_comes_after_a_turn_is_done_after_a_relayed_one(world: World) -> None:
    learning = Learning()
    assistant = Assistant(
        ScriptedModel(["Hello Ann."]), store=world.store, context=Context(memory=Notebook(), extractor=learning)
    )
    async with assistant, Relay(assistant, world.log) as relay:
        await told(relay, await ask(relay, "I am Ann."))
        with anyio.fail_after(10):
            await learning.entered.wait()

    assert [said for said, _ in learning.seen] == [["I am Ann."]]
