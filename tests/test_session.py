"""Runs on a stored conversation: claimed, in order, resumable, recognised."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import (
    ApprovalPending,
    ConversationBusy,
    DeadlineExceeded,
    InputError,
    Interrupted,
    LeaseLost,
    ModelRejected,
    ModelUnavailable,
    OutputInvalid,
    StoreUnavailable,
    UnreadableEntry,
)
from assistant_kit.events import Event
from assistant_kit.messages import Image
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.store import Append, NewRecord, Store
from assistant_kit.settings import LeaseSettings, RunLimits, Settings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Delay, Fail, ScriptedModel
from assistant_kit.testing.simulation.virtual_loop import VirtualLoop, simulate
from assistant_kit.toolsets.functions import tool
from tests.faulty_store import FaultyStore

pytestmark = pytest.mark.anyio

T = TypeVar("T")
IMPATIENT = Settings(lease=LeaseSettings(wait=0.0))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def assistant_on(
    store: Store, model: Model, *tools: Callable[..., object], settings: Settings | None = None
) -> Assistant[str]:
    return Assistant(model, tools=tools, store=store, settings=settings)


async def test_runs_on_one_conversation_wait_for_each_other_and_none_is_lost() -> None:
    with ScriptedModel([Delay(0.01, f"answer {n}") for n in range(5)]) as model, anyio.fail_after(10):
        assistant = assistant_on(MemoryStore(), model)
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(_say, assistant, str(number))
        history = await assistant.conversation("c", user="u").history()
    assert sorted(turn.input for turn in history) == [str(number) for number in range(5)]
    assert [len(request.items) for request in model.requests] == [1, 3, 5, 7, 9]


def test_workers_that_wait_for_one_conversation_do_not_all_come_at_once() -> None:
    async def main(loop: VirtualLoop) -> float:
        store = MemoryStore(clock=loop.time)
        workers = [assistant_on(store, ScriptedModel([Delay(0.005, "ok")])) for _ in range(20)]
        async with anyio.create_task_group() as group:
            for number, worker in enumerate(workers):
                group.start_soon(_say, worker, str(number))
        return loop.time()

    assert max(simulate(main, seed=seed) for seed in range(5)) < 2.0  # virtual seconds; where all come at once, 7.6


async def _say(assistant: Assistant[str], text: str) -> None:
    await assistant.run(text, user="u", conversation="c")


async def test_a_busy_conversation_is_an_error_when_nobody_may_wait() -> None:
    store = MemoryStore()
    await store.for_user("u").claim("c", owner="somebody", ttl=60)
    with ScriptedModel([]) as model, pytest.raises(ConversationBusy) as caught:
        await assistant_on(store, model, settings=IMPATIENT).run("x", user="u", conversation="c")
    assert caught.value.conversation == "c"
    assert 0 < caught.value.retry_after <= 60


async def test_a_run_gives_the_conversation_back_whatever_happens() -> None:
    store = MemoryStore()
    with ScriptedModel(["a", Fail(ModelRejected("cut", model="m")), "b"]) as model:
        assistant = assistant_on(store, model, settings=IMPATIENT)
        await assistant.run("x", user="u", conversation="c")
        with pytest.raises(ModelRejected):
            await assistant.run("x", user="u", conversation="c")
        await assistant.run("x", user="u", conversation="c")


async def test_a_repeated_request_id_gives_the_recorded_result_without_asking_the_model() -> None:
    events: list[Event] = []
    with ScriptedModel(["one", "two"]) as model:
        assistant = assistant_on(MemoryStore(), model)
        chat = assistant.conversation("c", user="u")
        first = await chat.run("x", request_id="r1")
        await chat.run("y", request_id="r2")
        again = await chat.run("x", request_id="r1")
        async with chat.stream("x", request_id="r1") as run:
            events = [event async for event in run]
        assert len(await chat.history()) == 2
    assert again == first
    assert [event.kind for event in events] == ["token", "complete"]


async def test_a_recorded_result_does_not_depend_on_what_has_changed_since() -> None:
    @tool(name="look")
    def look_at_once() -> str:
        return "seen"

    @tool(name="look", needs_approval=True)
    def look_when_allowed() -> str:
        return "seen"

    store = MemoryStore()
    with ScriptedModel([CallTools(Call("look")), "one"]) as model:
        first = await assistant_on(store, model, look_at_once).run("x", user="u", conversation="c", request_id="r")
    with ScriptedModel([]) as model:
        stricter = Settings(limits=RunLimits(max_steps=1))
        assistant = assistant_on(store, model, look_when_allowed, settings=stricter)
        assert await assistant.run("x", user="u", conversation="c", request_id="r") == first
    with ScriptedModel([]) as model:
        typed = Assistant(model, output_type=int, store=store)
        with pytest.raises(OutputInvalid):
            await typed.run("x", user="u", conversation="c", request_id="r")


async def test_what_a_provider_refused_is_not_said_again_in_later_turns() -> None:
    refused = Fail(ModelRejected("bad picture", model="m", status=400))
    with ScriptedModel(["hello", refused, "fine"]) as model:
        chat = assistant_on(MemoryStore(), model).conversation("c", user="u")
        await chat.run("hi")
        with pytest.raises(ModelRejected):
            await chat.run(["see", Image(url="https://x.example/bad.png")])
        await chat.run("never mind")
        assert [turn.outcome for turn in await chat.history()] == ["completed", "failed", "completed"]
    assert [item.kind for item in model.requests[2].items] == ["user", "assistant", "user"]


async def test_a_repeated_request_id_of_a_long_turn_is_read_in_pages() -> None:
    @tool(effect="read")
    async def look() -> str:
        return "x"

    with ScriptedModel([CallTools(*[Call("look")] * 12)] * 6 + ["done", "two"]) as model:
        assistant = assistant_on(MemoryStore(), model, look)
        chat = assistant.conversation("c", user="u")
        first = await chat.run("x", request_id="r1")
        await chat.run("y")
        assert await chat.run("x", request_id="r1") == first


async def test_a_repeated_request_id_of_a_failed_turn_says_how_it_ended() -> None:
    with ScriptedModel([Fail(ModelRejected("cut", model="m"))]) as model:
        chat = assistant_on(MemoryStore(), model).conversation("c", user="u")
        with pytest.raises(ModelRejected):
            await chat.run("x", request_id="r1")
        with pytest.raises(Interrupted) as caught:
            await chat.run("x", request_id="r1")
    assert (caught.value.request_id, caught.value.outcome) == ("r1", "failed")


async def test_a_repeated_request_id_of_an_interrupted_turn_goes_on_with_it() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    await interrupted(store, clock, ["never stored"], fail_at=2, request_id="r1")
    with ScriptedModel(["answer"]) as model:
        chat = assistant_on(store, model).conversation("c", user="u")
        result = await chat.run("x", request_id="r1")
        assert result.output == "answer"
        assert len(await chat.history()) == 1


async def interrupted(
    store: MemoryStore,
    clock: Clock,
    steps: Sequence[str | CallTools],
    *tools: Callable[..., object],
    fail_at: int,
    request_id: str = "r0",
) -> None:
    """Run a turn whose worker loses its store at write `fail_at`, and let its lease run out."""
    model = ScriptedModel(steps)
    faulty = FaultyStore(store, fail_at=fail_at)
    with pytest.raises(StoreUnavailable):
        await assistant_on(faulty, model, *tools).run("x", user="u", conversation="c", request_id=request_id)
    clock.now += 31


async def test_an_interrupted_turn_is_finished_before_the_next_one() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    await interrupted(store, clock, ["never stored"], fail_at=2)
    with ScriptedModel(["first", "second"]) as model:
        chat = assistant_on(store, model).conversation("c", user="u")
        result = await chat.run("y")
        assert result.output == "second"
        assert [(turn.input, turn.text) for turn in await chat.history()] == [("x", "first"), ("y", "second")]
    assert len(model.requests[1].items) == 3


async def test_an_interrupted_turn_that_fails_again_is_closed_and_does_not_stand_in_the_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    await interrupted(store, clock, ["never stored"], fail_at=2)
    with ScriptedModel([Fail(ModelRejected("no", model="m")), "second"]) as model, caplog.at_level(logging.WARNING):
        chat = assistant_on(store, model).conversation("c", user="u")
        await chat.run("y")
        assert [turn.outcome for turn in await chat.history()] == ["failed", "completed"]
    assert "interrupted turn" in caplog.text


async def test_what_is_over_for_one_run_does_not_end_the_turn_of_another_that_it_goes_on_with() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    await interrupted(store, clock, ["never stored"], fail_at=2, request_id="r1")
    steps = [Delay(60, "too late"), Fail(ModelUnavailable("down", model="m")), Delay(60, "too late"), "first"]
    with ScriptedModel(steps) as model, anyio.fail_after(10):
        chat = Assistant(model, store=store, policies=()).conversation("c", user="u")
        with pytest.raises(DeadlineExceeded):
            await chat.run("y", timeout=0.01)
        with pytest.raises(ModelUnavailable):
            await chat.run("y")
        async with anyio.create_task_group() as group:
            group.start_soon(chat.run, "y")
            while len(model.requests) < 3:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert [turn.outcome for turn in await chat.history()] == [None]
        assert (await chat.run("x", request_id="r1")).output == "first"


async def test_a_run_that_is_left_while_it_reads_the_history_closes_its_turn() -> None:
    store = FaultyStore(MemoryStore())
    with ScriptedModel(["first"]) as model, anyio.fail_after(10):
        await assistant_on(store, model).run("x", user="u", conversation="c")
        chat = assistant_on(store, model).conversation("c", user="u")  # a process that knows nothing of it yet
        store.hanging_read = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(chat.run, "y")
            await store.hanging_read.wait()
            group.cancel_scope.cancel()
        store.hanging_read = None
        assert [turn.outcome for turn in await chat.history()] == ["completed", "cancelled"]


async def test_a_store_that_fails_during_recovery_is_told_to_the_caller() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    await interrupted(store, clock, ["never stored"], fail_at=2)
    with ScriptedModel(["first"]) as model, pytest.raises(StoreUnavailable):
        await assistant_on(FaultyStore(store, fail_at=3), model).run("y", user="u", conversation="c")


async def test_a_turn_whose_failure_could_not_be_recorded_stays_the_open_one() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    await interrupted(store, clock, ["never stored"], fail_at=2, request_id="r1")
    # The worker resumes the turn (2), the model fails, and the end of the turn (3) is not recorded.
    flaky = FaultyStore(store, fail_at=3, once=True)
    with ScriptedModel([Fail(ModelRejected("no", model="m"))]) as model, pytest.raises(StoreUnavailable):
        await assistant_on(flaky, model).run("y", user="u", conversation="c")
    with ScriptedModel(["first"]) as model:
        chat = assistant_on(store, model).conversation("c", user="u")
        assert (await chat.run("x", request_id="r1")).output == "first"
        assert [(turn.input, turn.outcome) for turn in await chat.history()] == [("x", "completed")]


async def test_a_new_request_id_after_an_interrupted_turn_is_a_new_turn() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    await interrupted(store, clock, ["never stored"], fail_at=2)
    with ScriptedModel(["first", "second"]) as model:
        chat = assistant_on(store, model).conversation("c", user="u")
        assert (await chat.run("y", request_id="r9")).output == "second"
        assert (await chat.run("y", request_id="r9")).output == "second"


async def test_a_history_with_an_entry_that_cannot_be_read_ends_the_turn_as_failed() -> None:
    store = MemoryStore()
    lease = await store.for_user("u").claim("c", owner="w", ttl=60)
    record = NewRecord(record_id="r", kind="note", body=b"no entry")
    write = Append(lease=lease, expected_seq=0, records=[record], state="idle", open_turn=None, release=True)
    await store.for_user("u").append(write)
    with pytest.raises(UnreadableEntry):
        await assistant_on(store, ScriptedModel([])).run("y", user="u", conversation="c")
    end = (await store.for_user("u").read("c"))[-1]
    assert (end.kind, b"failed" in end.body) == ("turn_finished", True)


async def test_a_history_that_a_store_does_not_give_leaves_the_turn_to_recovery() -> None:
    store = FaultyStore(MemoryStore())
    with ScriptedModel(["first"]) as model:
        await assistant_on(store, model).run("x", user="u", conversation="c")
        chat = assistant_on(store, model).conversation("c", user="u")  # a process that knows nothing of it yet
        store.fail_reads = True
        with pytest.raises(StoreUnavailable):
            await chat.run("y")
        store.fail_reads = False
        assert [turn.outcome for turn in await chat.history()] == ["completed", None]


async def test_resume_finishes_an_interrupted_turn_and_refuses_when_there_is_none() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    await interrupted(store, clock, ["never stored"], fail_at=2)
    with ScriptedModel(["first"]) as model:
        chat = assistant_on(store, model).conversation("c", user="u")
        assert (await chat.resume()).output == "first"
        with pytest.raises(InputError):
            await chat.resume()


async def test_a_conversation_that_waits_for_approval_takes_no_new_message() -> None:
    @tool(needs_approval=True)
    def delete() -> str:
        return "gone"

    with ScriptedModel([CallTools(Call("delete")), "done", "next"]) as model:
        chat = assistant_on(MemoryStore(), model, delete).conversation("c", user="u")
        await chat.run("x")
        with pytest.raises(ApprovalPending) as caught:
            await chat.run("y")
        assert (caught.value.conversation, caught.value.call_ids) == ("c", ("call_1",))
        with pytest.raises(InputError):
            await chat.approve("call_2")
        await chat.approve("call_1")
        with pytest.raises(InputError):
            await chat.deny("call_1")
        await chat.resume()
        with pytest.raises(InputError):
            await chat.approve("call_1")
        await chat.run("y")


async def test_an_interrupted_turn_that_comes_to_wait_for_approval_holds_the_next_message_back() -> None:
    @tool(needs_approval=True)
    def delete() -> str:
        return "gone"

    clock = Clock()
    store = MemoryStore(clock=clock)
    await interrupted(store, clock, ["never stored"], delete, fail_at=2)
    with ScriptedModel([CallTools(Call("delete"))]) as model:
        chat = assistant_on(store, model, delete).conversation("c", user="u")
        with pytest.raises(ApprovalPending):
            await chat.run("y")
        assert [turn.outcome for turn in await chat.history()] == ["waiting"]


async def test_a_lost_lease_stops_the_run_before_its_next_effect() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    done: list[str] = []

    @tool
    async def steal() -> str:
        clock.now += 31
        await store.for_user("u").claim("c", owner="thief", ttl=60)
        return "stolen"

    @tool
    async def pay() -> str:
        done.append("paid")
        return "paid"

    with ScriptedModel([CallTools(Call("steal"))]) as model, pytest.raises(LeaseLost):
        await assistant_on(store, model, steal, pay).run("x", user="u", conversation="c")
    assert not done


async def test_a_lease_is_renewed_while_the_run_goes_on_and_its_loss_cancels_the_run() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    settings = Settings(lease=LeaseSettings(ttl=0.03))
    renewed = anyio.Event()

    watching = FaultyStore(store)

    @tool
    async def wait() -> str:
        await watching.reached(6)
        renewed.set()
        clock.now += 31
        await store.for_user("u").claim("c", owner="thief", ttl=60)
        await anyio.sleep_forever()
        return ""

    with ScriptedModel([CallTools(Call("wait"))]) as model, anyio.fail_after(10), pytest.raises(LeaseLost):
        await assistant_on(watching, model, wait, settings=settings).run("x", user="u", conversation="c")
    assert renewed.is_set()


async def test_a_lease_that_is_lost_during_a_model_call_ends_the_run() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    settings = Settings(lease=LeaseSettings(ttl=0.03))

    with ScriptedModel([Delay(3600, "late")]) as model, anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(_lose, assistant_on(store, model, settings=settings))
            while not model.requests:  # noqa: ASYNC110  (the model is the one who knows)
                await anyio.sleep(0.001)
            clock.now += 31
            await store.for_user("u").claim("c", owner="thief", ttl=60)


async def _lose(assistant: Assistant[str]) -> None:
    with pytest.raises(LeaseLost):
        await assistant.run("x", user="u", conversation="c")


class SlowAcknowledgement(FaultyStore):
    """A store whose acknowledgement of the last write comes after the lease could not be renewed any more."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.lost = anyio.Event()

    async def write(self, operation: Callable[[], Awaitable[T]]) -> T:
        try:
            written = await operation()
        except LeaseLost:
            self.lost.set()
            raise
        self.writes += 1
        if self.writes == 2:
            await self.lost.wait()
        return written


async def test_a_lease_that_is_lost_by_giving_it_up_at_the_end_of_a_run_is_no_loss() -> None:
    store = SlowAcknowledgement(MemoryStore())
    settings = Settings(lease=LeaseSettings(ttl=0.03))
    with ScriptedModel(["answer"]) as model, anyio.fail_after(10):
        result = await assistant_on(store, model, settings=settings).run("x", user="u", conversation="c")
    assert result.output == "answer"
    assert store.lost.is_set()


async def test_a_renewal_that_fails_once_does_not_end_the_run(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(lease=LeaseSettings(ttl=0.03))
    faulty = FaultyStore(MemoryStore(), fail_at=4, once=True)

    @tool(effect="read")
    async def wait() -> str:
        await faulty.reached(6)
        return "waited"

    caplog.set_level(logging.WARNING)
    with ScriptedModel([CallTools(Call("wait")), "done"]) as model, anyio.fail_after(10):
        result = await assistant_on(faulty, model, wait, settings=settings).run("x", user="u", conversation="c")
    assert result.output == "done"
    assert "not renewed" in caplog.text


async def test_cancelling_a_run_that_waits_for_its_turn_leaves_nothing_behind() -> None:
    store = MemoryStore()
    lease = await store.for_user("u").claim("c", owner="somebody", ttl=60)
    with ScriptedModel(["a"]) as model:
        assistant = assistant_on(store, model)
        with anyio.move_on_after(0.05):
            await assistant.run("x", user="u", conversation="c")
        await store.for_user("u").release(lease)
        assert (await assistant.run("x", user="u", conversation="c")).output == "a"
