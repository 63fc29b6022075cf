"""What people decide about a conversation: approvals, unknown outcomes, where to go on from."""

from collections.abc import Sequence
from functools import partial

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.conversation import measure
from assistant_kit.entries import ApprovalDecided, CallResolved
from assistant_kit.errors import ConversationBusy, ConversationExists, ConversationNotFound, InputError
from assistant_kit.events import ApprovalRequired
from assistant_kit.handle import Conversation
from assistant_kit.messages import ToolAnswer, text_of
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.store import Append
from assistant_kit.runtimes.journal import new_record
from assistant_kit.settings import Settings, WindowSettings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel, Step
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.toolsets.functions import tool
from tests.interrupted import World

pytestmark = pytest.mark.anyio
PATIENCE = 30


def answers(request: ModelRequest) -> list[tuple[str, str]]:
    return [(item.outcome, text_of(item.content)) for item in request.items if isinstance(item, ToolAnswer)]


class Till:
    """A tool that needs approval, on conversations that several processes reach."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.store = MemoryStore()

    def chat(self, *steps: Step) -> Conversation[str]:
        @tool(needs_approval=True)
        def pay(amount: int) -> str:
            self.paid.append(amount)
            return f"paid {amount}"

        return Assistant(ScriptedModel(steps), tools=[pay], store=self.store).conversation("c", user="u")


async def test_an_approval_is_given_in_one_process_and_the_call_made_in_another() -> None:
    till = Till()
    first = till.chat(CallTools(Call("pay", {"amount": 5})))
    async with first.stream("x") as run:
        events = [event async for event in run]
    (asked,) = [event for event in events if isinstance(event, ApprovalRequired)]
    (waiting,) = (await run.result()).waiting_for
    assert asked.digest == waiting.digest
    await till.chat().approve(asked.call_id, by="Ann", digest=asked.digest)
    assert till.paid == []
    assert (await till.chat("done").resume()).output == "done"
    assert till.paid == [5]


async def test_an_approval_of_something_else_than_what_was_recorded_approves_nothing() -> None:
    till = Till()
    await till.chat(CallTools(Call("pay", {"amount": 500}))).run("x")
    other = await Till().chat(CallTools(Call("pay", {"amount": 5}))).run("x")
    with pytest.raises(InputError):
        await till.chat().approve("call_1", digest=other.waiting_for[0].digest)
    assert (await till.chat().resume()).status == "waiting"
    assert till.paid == []


async def test_an_approval_that_was_forged_in_the_journal_approves_nothing() -> None:
    till = Till()
    result = await till.chat(CallTools(Call("pay", {"amount": 500}))).run("x")
    await forge(till, result.turn)
    assert (await till.chat().resume()).status == "waiting"
    assert till.paid == []


async def forge(till: Till, turn: str) -> None:
    """Write an approval of other arguments into the journal."""
    forged = ApprovalDecided(turn=turn, key="1.0", call_id="call_1", arguments_hash="00", approved=True)
    store = till.store.for_user("u")
    lease = await store.claim("c", owner="forger", ttl=60)
    record = new_record(measure(forged, UpperBound()), "forged")
    write = Append(
        lease=lease, expected_seq=lease.seq, records=[record], state="waiting", open_turn=lease.open_turn, release=True
    )
    await store.append(write)


async def test_an_approval_counts_for_one_call_though_servers_repeat_ids_and_arguments() -> None:
    till = Till()
    again = CallTools(Call("pay", {"amount": 5}, call_id="call_0"))
    chat = till.chat(again, again)
    await chat.run("x")
    await chat.approve("call_0")
    assert (await chat.resume()).status == "waiting"
    assert till.paid == [5]


async def test_a_forged_approval_does_not_stand_in_the_way_of_a_real_one() -> None:
    till = Till()
    result = await till.chat(CallTools(Call("pay", {"amount": 5}))).run("x")
    await forge(till, result.turn)
    await till.chat().approve("call_1")
    assert (await till.chat("done").resume()).output == "done"
    assert till.paid == [5]


async def test_asking_again_for_a_turn_that_waits_does_not_make_its_journal_grow() -> None:
    till = Till()
    waiting = await till.chat(CallTools(Call("pay", {"amount": 5}))).run("x", request_id="r")
    before = await till.store.for_user("u").read("c")
    assert await till.chat().run("x", request_id="r") == waiting
    async with till.chat().stream("x", request_id="r") as run:
        assert [event.kind async for event in run] == ["approval_required", "complete"]
    assert await till.chat().resume() == waiting
    assert await till.store.for_user("u").read("c") == before


async def in_doubt() -> tuple[World, Conversation[str]]:
    """A conversation with a payment of which nobody knows whether it was made."""

    @tool
    async def pay() -> str:
        return "paid"

    world = World()
    await world.dies(CallTools(Call("pay")), tools=[pay], fail_at=3)
    worker = world.assistant("I do not know.", "I see.", tools=[pay])
    assert (await worker.recover()).completed == 1
    return world, worker.conversation("c", user="u")


async def test_a_person_says_what_became_of_a_call_and_the_model_is_told() -> None:
    _, chat = await in_doubt()
    (turn,) = await chat.history()
    assert [call.outcome for call in turn.tool_calls] == ["unknown"]
    await chat.resolve("call_1", happened=True, result="paid, says the bank", by="Ann")
    (turn,) = await chat.history()
    (call,) = turn.tool_calls
    assert (call.outcome, call.text, call.resolved_by) == ("ok", "paid, says the bank", "Ann")
    (page,) = await chat.history(limit=1, before=turn.last_seq + 1)
    assert page.tool_calls == (call,)
    with pytest.raises(InputError):
        await chat.resolve("call_1", happened=False, result="not paid")


async def test_what_was_found_out_about_a_call_stands_in_later_requests() -> None:
    world, chat = await in_doubt()
    await chat.resolve("call_1", happened=False, result="not paid, says the bank")
    await chat.run("y")
    assert answers(world.models[-1].requests[-1]) == [("error", "not paid, says the bank")]


async def test_a_call_is_named_by_its_turn_where_ids_repeat_and_older_pages_are_searched() -> None:
    world, chat = await in_doubt()
    (turn,) = await chat.history()
    later = world.assistant(*(f"answer {n}" for n in range(30))).conversation("c", user="u")
    for number in range(30):
        await later.run(str(number))
    assert [found for found, _ in await chat.unknown_calls()] == [f"{turn.turn}/1.0"]
    await chat.resolve(f"{turn.turn}/1.0", happened=True, result="paid")
    assert await chat.unknown_calls() == ()
    with pytest.raises(InputError):
        await chat.resolve(f"{turn.turn}/1.0", happened=True, result="paid")


async def test_while_a_turn_is_interrupted_recovery_comes_first() -> None:
    world = World()
    await world.dies("never stored")
    with pytest.raises(ConversationBusy):
        await world.assistant().conversation("c", user="u").resolve("call_1", happened=True, result="")


async def said(*texts: str) -> Conversation[str]:
    chat = Assistant(ScriptedModel([f"to {text}" for text in texts] * 3), store=MemoryStore()).conversation(
        "c", user="u"
    )
    for text in texts:
        await chat.run(text)
    return chat


async def inputs(chat: Conversation[str], **page: int) -> list[str]:
    return [turn.input for turn in await chat.history(**page)]


async def test_history_is_read_in_pages_both_ways() -> None:
    texts = [str(number) for number in range(60)]
    chat = await said(*texts)
    assert await inputs(chat) == texts
    newest = await chat.history(limit=10)
    assert [turn.input for turn in newest] == texts[-10:]
    before = await chat.history(limit=40, before=newest[0].seq)
    assert [turn.input for turn in before] == texts[10:50]
    assert await inputs(chat, limit=20, before=before[0].seq) == texts[:10]
    assert await inputs(chat, limit=40, after=0) == texts[:40]
    assert await inputs(chat, limit=40, after=before[-1].seq) == texts[50:]
    assert await inputs(chat, after=newest[-2].seq) == texts[-1:]
    assert all(turn.outcome == "completed" for turn in await chat.history(limit=3, after=0))


async def test_a_page_that_makes_no_sense_is_refused() -> None:
    chat = await said("a")
    with pytest.raises(InputError):
        await chat.history(limit=0)
    with pytest.raises(InputError):
        await chat.history(before=3, after=1)


async def test_whole_texts_stay_until_the_last_fork_that_names_them_is_deleted() -> None:
    def report() -> str:
        """Everything we know."""
        return "\n".join(f"{number}: it rains" for number in range(2_000))

    def read_on(request: ModelRequest, page: int = 1) -> CallTools:
        handle = answers(request)[0][1].partition('read_result("')[2].partition('"')[0]
        return CallTools(Call("read_result", {"handle": handle, "page": page}))

    def read(request: ModelRequest) -> str:
        """Say the first line of what was read."""
        return answers(request)[-1][1].partition("\n")[0]

    store = MemoryStore()
    model = ScriptedModel([CallTools(Call("report")), "rain", read_on, read, partial(read_on, page=2), read])
    settings = Settings(window=WindowSettings(max_result_tokens=1_000))
    with anyio.fail_after(PATIENCE):
        chat = Assistant(model, tools=[report], store=store, settings=settings).conversation("c", user="u")
        await chat.run("What do we know?")
        fork = await chat.fork("fork")
        assert (await fork.run("Read on.")).output.startswith("[page 1 of ")
        await chat.delete()
        assert (await fork.run("And on.")).output.startswith("[page 2 of ")
        await fork.delete()
        assert await store.for_user("u").conversations() == ()


async def test_a_fork_shares_what_was_said_and_goes_its_own_way() -> None:
    chat = await said("a", "b", "c")
    turns = await chat.history()
    fork = await chat.fork("d", after_turn=turns[1].turn)
    await fork.run("other")
    assert await inputs(fork) == ["a", "b", "other"]
    assert await inputs(chat) == ["a", "b", "c"]
    whole = await chat.fork("e")
    assert await inputs(whole) == ["a", "b", "c"]
    await chat.delete()
    assert await inputs(fork) == ["a", "b", "other"]
    with pytest.raises(ConversationExists):
        await fork.fork("e")


async def test_what_is_not_there_or_not_finished_cannot_be_forked() -> None:
    chat = await said("a")
    with pytest.raises(InputError):
        await chat.fork("d", after_turn="nothing")
    store = MemoryStore()
    empty = Assistant(ScriptedModel([]), store=store).conversation("e", user="u")
    with pytest.raises(ConversationNotFound):
        await empty.fork("f")
    await store.for_user("u").claim("e", owner="w", ttl=60)
    with pytest.raises(InputError):
        await empty.fork("f")
    till = Till()
    waiting = till.chat(CallTools(Call("pay", {"amount": 5})))
    await waiting.run("x")
    with pytest.raises(InputError):
        await waiting.fork("f")


@pytest.mark.parametrize(("to", "left"), [(1, ["a", "b"]), (None, [])])
async def test_a_conversation_goes_back_to_a_turn(to: int | None, left: Sequence[str]) -> None:
    chat = await said("a", "b", "c")
    turns = await chat.history()
    await chat.rewind(to_turn=None if to is None else turns[to].turn)
    assert await inputs(chat) == left
    await chat.run("new")
    assert await inputs(chat) == [*left, "new"]


async def test_a_title_stands_in_the_list() -> None:
    assistant = Assistant(ScriptedModel(["b"]), store=MemoryStore())
    await assistant.run("a", user="u", conversation="c")
    await assistant.conversation("c", user="u").rename("About a")
    (info,) = await assistant.conversations(user="u")
    assert info.title == "About a"


async def test_resolutions_of_earlier_turns_do_not_mix_with_a_turn_that_waits() -> None:
    till = Till()
    store = till.store.for_user("u")
    chat = till.chat(CallTools(Call("pay", {"amount": 5})), "done", CallTools(Call("pay", {"amount": 7})), "done")
    await chat.run("x")
    await chat.deny("call_1")
    first = await chat.resume()
    await chat.run("y", request_id="r")
    found = CallResolved(turn=first.turn, key="1.0", call_id="call_1", tool="pay", outcome="ok", content=(), by="Ann")
    lease = await store.claim("c", owner="w", ttl=60)
    record = new_record(measure(found, UpperBound()), "found")
    await store.append(
        Append(
            lease=lease,
            expected_seq=lease.seq,
            records=[record],
            state=lease.state,
            open_turn=lease.open_turn,
            release=True,
        )
    )
    (waiting,) = (await chat.history())[-1:]
    assert [call.outcome for call in waiting.tool_calls] == [None]
    await chat.approve(waiting.tool_calls[0].call_id)
    done = await chat.resume()
    assert (done.output, till.paid) == ("done", [7])
    assert await chat.run("y", request_id="r") == done
