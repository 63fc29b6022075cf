"""Turns whose worker has died are found and finished, by any number of workers, or parked with their cause."""

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import (
    CircuitOpen,
    ConfigurationError,
    ConversationBusy,
    InputError,
    LeaseLost,
    ModelRejected,
    ModelUnavailable,
    StoreUnavailable,
    TurnParked,
    UnreadableEntry,
)
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.recovery import Recovery
from assistant_kit.settings import RecoverySettings, RunLimits, Settings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Delay, Fail, ScriptedModel
from assistant_kit.toolsets.functions import tool
from tests.faulty_store import FaultyStore
from tests.interrupted import ListingStore, World

pytestmark = pytest.mark.anyio

TWICE = Settings(recovery=RecoverySettings(max_attempts=2))


async def outcomes(world: World, conversation: str = "c") -> list[str | None]:
    chat = world.assistant().conversation(conversation, user="u")
    return [turn.outcome for turn in await chat.history()]


async def test_a_turn_is_finished_when_the_lease_of_its_worker_has_ended() -> None:
    world = World()
    await world.dies("never stored")
    world.now -= 31
    worker = world.assistant("answer")
    assert await worker.recover() == Recovery()
    world.now += 31
    assert await worker.recover() == Recovery(completed=1)
    assert await worker.recover() == Recovery()
    (turn,) = await worker.conversation("c", user="u").history()
    assert (turn.input, turn.text, turn.outcome) == ("x", "answer", "completed")


async def test_workers_that_look_at_the_same_time_share_the_work_and_finish_each_turn_once() -> None:
    world = World()
    names = [f"c{n}" for n in range(12)]
    for name in names:
        await world.dies("never stored", conversation=name)
    model = ScriptedModel([Delay(0.001, "answer")] * len(names))
    workers = [Assistant(model, store=world.store) for _ in range(3)]
    found: list[Recovery] = []

    async def look(worker: Assistant[str]) -> None:
        found.append(await worker.recover())

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for worker in workers:
                group.start_soon(look, worker)
    assert sum(recovery.completed for recovery in found) == len(names)
    assert len(model.requests) == len(names)
    for name in names:
        assert await outcomes(world, name) == ["completed"]


async def test_a_turn_whose_worker_keeps_dying_is_parked_with_its_cause() -> None:
    world = World()
    await world.dies("never stored", settings=TWICE)
    worker = world.assistant(settings=TWICE)
    # The first run has died; the second worker dies behind the record that it goes on.
    lost = world.assistant("never stored", store=FaultyStore(world.store, fail_at=3), settings=TWICE)
    assert await lost.recover() == Recovery(left=1)
    world.now += 31
    assert await worker.recover() == Recovery(parked=1)
    assert await outcomes(world) == ["parked"]
    assert await worker.recover() == Recovery()
    with pytest.raises(TurnParked) as caught:
        await worker.run("y", user="u", conversation="c")
    assert caught.value.conversation == "c"
    assert caught.value.reason == "it was tried 2 times, and no attempt came to an end"
    chat = worker.conversation("c", user="u")
    with pytest.raises(TurnParked):
        await chat.resume()
    with pytest.raises(TurnParked):
        await chat.run("x", request_id="r")


async def test_the_next_run_on_a_conversation_parks_a_turn_that_was_tried_too_often() -> None:
    world = World()
    await world.dies("never stored", settings=TWICE)
    lost = world.assistant("never stored", store=FaultyStore(world.store, fail_at=3), settings=TWICE)
    with pytest.raises(StoreUnavailable):
        await lost.run("y", user="u", conversation="c")
    world.now += 31
    with pytest.raises(TurnParked):
        await world.assistant(settings=TWICE).run("y", user="u", conversation="c")
    assert await outcomes(world) == ["parked"]


async def parked(world: World) -> None:
    await world.dies("never stored", settings=TWICE)
    lost = world.assistant("never stored", store=FaultyStore(world.store, fail_at=3), settings=TWICE)
    await lost.recover()
    world.now += 31
    assert await world.assistant(settings=TWICE).recover() == Recovery(parked=1)


async def test_a_parked_turn_is_retried_by_hand() -> None:
    world = World()
    await parked(world)
    chat = world.assistant("answer", settings=TWICE).conversation("c", user="u")
    assert (await chat.retry()).output == "answer"
    assert await outcomes(world) == ["completed"]
    with pytest.raises(InputError):
        await chat.retry()


async def test_a_parked_turn_that_is_retried_has_its_attempts_again() -> None:
    world = World()
    await parked(world)
    dying = world.assistant("never stored", store=FaultyStore(world.store, fail_at=3), settings=TWICE)
    with pytest.raises(StoreUnavailable):
        await dying.conversation("c", user="u").retry()
    world.now += 31
    assert await world.assistant(settings=TWICE).recover() == Recovery(parked=1)


async def test_a_parked_turn_is_closed_by_hand_and_the_conversation_goes_on() -> None:
    world = World()
    await parked(world)
    chat = world.assistant("next").conversation("c", user="u")
    await chat.close(reason="no use")
    assert [(turn.outcome, turn.reason) for turn in await chat.history()] == [("cancelled", "no use")]
    assert (await chat.run("y")).output == "next"
    with pytest.raises(InputError):
        await chat.close()


async def test_a_policy_that_refuses_the_call_leaves_the_turn_for_a_later_attempt() -> None:
    world = World()
    await world.dies("never stored")
    worker = world.assistant(Fail(CircuitOpen("m", retry_after=5)), "answer")
    assert await worker.recover() == Recovery(suspended=1)
    world.now += 11
    assert await worker.recover() == Recovery(completed=1)


async def test_a_turn_that_has_used_up_its_budget_is_not_tried_again() -> None:
    world = World()
    await world.dies("never stored")
    worker = world.assistant(settings=Settings(limits=RunLimits(max_tokens=1)))
    assert await worker.recover() == Recovery(failed=1)


async def test_a_provider_that_is_down_leaves_the_turn_for_a_later_attempt() -> None:
    world = World()
    await world.dies("never stored")
    down = Fail(ModelUnavailable("down", model="m"))
    worker = world.assistant(down, down, down, down, "answer", settings=Settings())
    plain = Assistant(worker.model, store=world.store, policies=())
    assert await plain.recover() == Recovery(suspended=1)
    assert await plain.recover() == Recovery(left=1)  # not due yet
    world.now += 11
    assert await plain.recover() == Recovery(suspended=1)
    world.now += 11
    assert await plain.recover() == Recovery(left=1)  # the pause has doubled
    world.now += 10
    assert await plain.recover() == Recovery(suspended=1)
    world.now += 3600
    assert await plain.recover() == Recovery(parked=1)
    with pytest.raises(TurnParked) as caught:
        await plain.run("y", user="u", conversation="c")
    assert "down" in caught.value.reason
    assert (await plain.conversation("c", user="u").close()) is None


async def test_a_failure_that_will_not_pass_ends_the_turn() -> None:
    world = World()
    await world.dies("never stored")
    assert await world.assistant(Fail(ModelRejected("no", model="m"))).recover() == Recovery(failed=1)
    assert await outcomes(world) == ["failed"]


async def test_a_worker_that_is_stopped_leaves_its_turn_to_the_others() -> None:
    world = World()
    await world.dies("never stored")
    model = ScriptedModel([Delay(60, "too late"), "answer"])
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(recover, Assistant(model, store=world.store))
            while not model.requests:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert await outcomes(world) == [None]
    world.now += 11
    assert await Assistant(model, store=world.store).recover() == Recovery(completed=1)


async def recover(assistant: Assistant[str]) -> None:
    await assistant.recover()


async def test_a_turn_that_comes_to_a_call_that_needs_approval_waits() -> None:
    @tool(needs_approval=True)
    def delete() -> str:
        return "gone"

    world = World()
    await world.dies("never stored", tools=[delete])
    assert await world.assistant(CallTools(Call("delete")), tools=[delete]).recover() == Recovery(waiting=1)
    other = world.assistant("done", tools=[delete]).conversation("c", user="u")
    await other.approve("call_1")
    assert (await other.resume()).output == "done"


async def test_each_assistant_recovers_the_turns_of_its_own_name() -> None:
    world = World()
    await world.dies("never stored", settings=Settings(name="sales"))
    assert await world.assistant().recover() == Recovery(left=1)
    with pytest.raises(ConversationBusy):
        await world.assistant().run("y", user="u", conversation="c")
    assert await world.assistant("answer", settings=Settings(name="sales")).recover() == Recovery(completed=1)


async def test_a_conversation_that_cannot_be_read_does_not_keep_others_from_being_recovered() -> None:
    world = World()
    await world.dies("never stored", conversation="good")
    store = world.store.for_user("u")
    lease = await store.claim("bad", owner="w", ttl=1, begin=NewRecord(record_id="r", kind="note", body=b"no entry"))
    await store.append(Append(lease=lease, expected_seq=1, records=(), state="open", open_turn=1, release=True))
    assert await world.assistant("answer").recover() == Recovery(completed=1, left=1)


@pytest.mark.parametrize("open_turn", [1, 7])
async def test_a_conversation_whose_open_turn_is_not_where_it_should_be_is_an_error_that_names_it(
    open_turn: int,
) -> None:
    world = World()
    await world.assistant("answer").run("x", user="u", conversation="c")
    store = world.store.for_user("u")
    lease = await store.claim("c", owner="w", ttl=1)
    place = open_turn + 1
    await store.append(Append(lease=lease, expected_seq=3, records=(), state="open", open_turn=place, release=True))
    assert await world.assistant().recover() == Recovery(left=1)
    with pytest.raises(UnreadableEntry) as caught:
        await world.assistant().conversation("c", user="u").resume()
    assert caught.value.seq == place


async def test_a_bug_that_shows_in_one_conversation_does_not_keep_others_from_being_recovered() -> None:
    world = World()
    for name in ("c", "d"):
        await world.dies("never stored", conversation=name)

    def buggy(request: ModelRequest) -> str:
        if len(asked) == 0:
            asked.append(request)
            raise RuntimeError("a bug")
        return "answer"

    asked: list[ModelRequest] = []
    assert await world.assistant(buggy, buggy).recover() == Recovery(completed=1, left=1)


async def test_a_turn_that_another_worker_takes_meanwhile_is_busy() -> None:
    world = World()
    await world.dies("never stored")
    found = await world.store.unfinished()
    await world.store.for_user("u").claim("c", owner="other", ttl=60)
    late = ListingStore(world.store, found=found)
    assert await world.assistant(store=late).recover() == Recovery(busy=1)


async def test_a_turn_that_was_deleted_or_lost_meanwhile_is_passed_over() -> None:
    world = World()
    await world.dies("never stored")

    @tool
    async def lose() -> str:
        world.now += 31
        await world.store.for_user("u").claim("c", owner="thief", ttl=60)
        return "lost"

    assert await world.assistant(CallTools(Call("lose")), tools=[lose]).recover() == Recovery(busy=1)


async def test_recovering_looks_again_and_again_until_it_is_left() -> None:
    world = World()
    model = ScriptedModel(["answer"])
    worker = Assistant(model, store=world.store)
    with anyio.fail_after(10):
        async with worker.recovering(every=0.001):
            await world.dies("never stored")
            while await outcomes(world) != ["completed"]:
                await anyio.lowlevel.checkpoint()


async def test_recovering_goes_on_after_a_store_that_could_not_be_asked() -> None:
    world = World()
    await world.dies("never stored")
    flaky = ListingStore(world.store, failures=2)
    worker = world.assistant("answer", store=flaky)
    with anyio.fail_after(10):
        async with worker.recovering(every=0.001):
            while await outcomes(world) != ["completed"]:
                await anyio.lowlevel.checkpoint()
    assert flaky.failures == 0


async def test_recovery_needs_a_store() -> None:
    with pytest.raises(ConfigurationError):
        await Assistant(ScriptedModel([])).recover()


async def test_a_store_that_cannot_be_asked_is_told() -> None:
    with pytest.raises(StoreUnavailable):
        await Assistant(ScriptedModel([]), store=ListingStore(MemoryStore(), failures=1)).recover()


async def test_a_lost_lease_is_told_to_who_resumes() -> None:
    world = World()
    await world.dies("never stored")

    @tool
    async def lose() -> str:
        world.now += 31
        await world.store.for_user("u").claim("c", owner="thief", ttl=60)
        return "lost"

    with pytest.raises(LeaseLost):
        await world.assistant(CallTools(Call("lose")), tools=[lose]).conversation("c", user="u").resume()


def test_settings_by_which_nothing_is_recovered_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        RecoverySettings(max_attempts=1)
    with pytest.raises(ConfigurationError):
        RecoverySettings(backoff=-1.0)
    with pytest.raises(ConfigurationError):
        RecoverySettings(patience=-1.0)
