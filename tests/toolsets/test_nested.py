"""One assistant as a tool of another: its turn is bounded, cancelled and recovered with the call that asks it."""

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ConfigurationError, DeadlineExceeded, StoreUnavailable
from assistant_kit.protocols.policy import Call as PolicyCall
from assistant_kit.protocols.policy import Proceed, T
from assistant_kit.protocols.store import Store
from assistant_kit.settings import Settings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Delay, ScriptedModel, Step
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets.functions import tool
from tests.faulty_store import FaultyStore
from tests.interrupted import World

pytestmark = pytest.mark.anyio
CLERK = Settings(name="clerk")
ASKS = CallTools(Call("clerk", {"message": "find it"}))


class Office:
    """A chief whose only tool is a clerk, who pays."""

    def __init__(self, store: Store | None, *, clerks_store: Store | None = None, approval: bool = False) -> None:
        self.store = store
        self.clerks_store = clerks_store or store
        self.paid = 0
        self.models: list[ScriptedModel] = []

        @tool(needs_approval=approval)
        async def pay() -> str:
            self.paid += 1
            return "paid"

        self.pay = pay

    def clerk(self, *steps: Step) -> Assistant[str]:
        self.models.append(ScriptedModel(steps))
        return Assistant(self.models[-1], tools=[self.pay], store=self.clerks_store, settings=CLERK)

    def chief(self, steps: list[Step], clerks: list[Step]) -> Assistant[str]:
        clerk = self.clerk(*clerks).as_tool(name="clerk", description="Does what it is told.")
        self.models.append(ScriptedModel(steps))
        return Assistant(self.models[-1], tools=[clerk], store=self.store)


async def test_an_assistant_answers_as_a_tool_of_another() -> None:
    office = Office(MemoryStore())
    async with office.chief([ASKS, "done"], [CallTools(Call("pay")), "found and paid"]) as chief:
        result = await chief.run("x", user="u", conversation="c")
        listed = await chief.conversations(user="u")
    assert [call.text for call in result.tool_calls] == ["found and paid"]
    assert office.paid == 1
    assert [info.conversation for info in listed] == ["c"]


async def test_without_a_store_it_leaves_no_record_and_a_call_in_doubt_stays_so() -> None:
    office = Office(None)
    async with office.chief([ASKS, "done"], ["found"]) as chief:
        (spec,) = await chief.tools()
        assert isinstance(spec, ToolSpec)
        assert spec.effect == "once"
        assert (await chief.run("x")).tool_calls[0].text == "found"


async def test_its_turn_goes_on_where_it_was_when_the_worker_of_both_has_died() -> None:
    world = World()
    # The clerk's store is gone behind the payment, and with it the chief's.
    office = Office(FaultyStore(world.store, fail_at=4), clerks_store=FaultyStore(world.store, fail_at=4))
    async with office.chief([ASKS], [CallTools(Call("pay")), "never stored"]) as chief:
        with pytest.raises(StoreUnavailable):
            await chief.run("x", user="u", conversation="c")
    world.now += 31
    later = Office(world.store)
    async with later.chief(["done"], ["found"]) as chief:
        assert (await chief.recover()).completed == 1
        (turn,) = await chief.conversation("c", user="u").history()
    assert [call.text for call in turn.tool_calls] == ["found"]
    assert (office.paid, later.paid) == (1, 0)


async def test_cancelling_the_call_cancels_its_turn() -> None:
    office = Office(MemoryStore())
    async with office.chief([ASKS], [Delay(60, "too late")]) as chief:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(run, chief)
                while not office.models[0].requests:
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
        assert office.store is not None
        names = [info.conversation for info in await office.store.for_user("u").conversations()]
        (child,) = [name for name in names if name != "c"]
        (turn,) = await chief.conversation(child, user="u").history()
        assert turn.outcome == "cancelled"


async def run(assistant: Assistant[str]) -> None:
    await assistant.run("x", user="u", conversation="c")


async def test_the_time_of_the_call_bounds_its_turn() -> None:
    office = Office(MemoryStore())
    async with office.chief([ASKS], [Delay(60, "too late")]) as chief:
        with anyio.fail_after(5), pytest.raises(DeadlineExceeded):
            await chief.run("x", user="u", conversation="c", timeout=0.05)


class Noting:
    """A policy that notes the calls it sees."""

    def __init__(self) -> None:
        self.seen: list[PolicyCall] = []

    async def around(self, call: PolicyCall, proceed: Proceed[T]) -> T:
        self.seen.append(call)
        return await proceed(call)


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["not stored", "stored"])
async def test_its_calls_are_those_of_the_same_user_and_as_urgent(store: Store | None) -> None:
    noting = Noting()
    clerk = Assistant(ScriptedModel(["found"] * 2), store=store, settings=CLERK, policies=[noting])
    tool = clerk.as_tool(name="clerk", description="Does what it is told.")
    with anyio.fail_after(5):
        async with Assistant(ScriptedModel([ASKS, "done"] * 2), tools=[tool], store=store) as chief:
            await chief.run("x", user="u", priority="background")
            await chief.run("x")
    assert [(call.user, call.priority) for call in noting.seen] == [("u", "background"), (None, "interactive")]


async def test_a_call_that_waits_for_approval_is_told_to_the_one_that_asks() -> None:
    office = Office(MemoryStore(), approval=True)
    async with office.chief([ASKS, "done"], [CallTools(Call("pay"))]) as chief:
        result = await chief.run("x", user="u", conversation="c")
    assert "call_1" in result.tool_calls[0].text
    assert office.paid == 0


@pytest.mark.parametrize("arguments", [{}, {"message": " "}, {"message": 5}])
async def test_a_call_without_a_message_is_an_error(arguments: dict[str, str | int]) -> None:
    office = Office(MemoryStore())
    async with office.chief([CallTools(Call("clerk", arguments)), "done"], []) as chief:
        result = await chief.run("x", user="u", conversation="c")
    assert result.tool_calls[0].outcome == "error"


async def test_two_assistants_whose_turns_could_not_be_told_apart_are_refused() -> None:
    inner = Assistant(ScriptedModel([])).as_tool(name="clerk", description="Does it.")
    with pytest.raises(ConfigurationError):
        Assistant(ScriptedModel([]), tools=[inner])
