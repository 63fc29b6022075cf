"""Workers are killed or frozen in mid-answer, anywhere; readers lose their connection. Simulated, by seeds."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import anyio
import pytest

from assistant_kit import Assistant, tool
from assistant_kit.event_logs.memory import MemoryEventLog
from assistant_kit.integrations.streaming import Relay, RelaySettings, Started
from assistant_kit.integrations.streaming.following import Following
from assistant_kit.integrations.streaming.shown import recorded_turn
from assistant_kit.journal_reader import JournalReader
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.settings import LeaseSettings, RecoverySettings, Settings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Say, ScriptedModel, Step
from assistant_kit.testing.simulation import Process, ProcessDied, VirtualLoop, simulate
from assistant_kit.testing.simulation.virtual_loop import EPOCH
from tests.integrations.streaming.reading import Page

SETTINGS = Settings(
    lease=LeaseSettings(ttl=5.0), recovery=RecoverySettings(max_attempts=100, backoff=1.0, patience=10_000)
)


@tool(effect="read")
def look(place: str) -> str:
    """Look at something."""
    return f"{place} is empty"


@tool(effect="once")
def take(thing: str) -> str:
    """Take something."""
    return f"{thing} taken"


@dataclass
class World:
    """A store, a log, and workers that die."""

    loop: VirtualLoop
    chance: random.Random
    store: MemoryStore = field(init=False)
    log: MemoryEventLog = field(init=False)
    processes: list[Process]
    relays: dict[Process, Relay[str]] = field(default_factory=dict[Process, Relay[str]])
    answers: "count[int]" = field(default_factory=count)
    accidents: int = 0

    def __post_init__(self) -> None:
        self.store = MemoryStore(clock=self.now)
        self.log = MemoryEventLog(clock=self.now)

    def now(self) -> float:
        return EPOCH + self.loop.time()

    def answer(self, request: ModelRequest) -> Step:
        """Answer differently each time, so that pieces of two answers cannot be mistaken for one."""
        made = sum(item.kind == "tool_answer" for item in request.items)
        number = next(self.answers)
        match made:
            case 0:
                return CallTools(Call("look", {"place": "shelf"}, call_id=f"a{number}"), text=f"Let me look {number}. ")
            case 1:
                return CallTools(
                    Call("take", {"thing": "cup"}, call_id=f"b{number}"),
                    Call("look", {"place": "table"}, call_id=f"c{number}"),
                )
            case _:
                return Say(f"Well, this is answer {number} of many, and a long one.")

    def worker(self, *, accident: str, fuse: int) -> Process:
        def disturb(process: Process) -> None:
            self.accidents += 1
            if accident == "kill":
                process.kill()
            else:
                process.freeze(20.0)

        return self.process("worker", disturb, fuse)

    def process(self, name: str, disturb: Callable[[Process], None] | None = None, fuse: int = 0) -> Process:
        process = Process(name, self.loop, disturb=disturb, fuse=fuse)
        self.processes.append(process)
        return process

    async def open_relay(self, process: Process) -> None:
        async def serve() -> None:
            model = ScriptedModel([self.answer] * 50)
            async with (
                Assistant(model, tools=[look, take], store=self.store, settings=SETTINGS) as assistant,
                Relay(assistant, self.log, settings=RelaySettings(every=1.0)) as relay,
            ):
                self.relays[process] = relay
                opened.set()
                await anyio.sleep_forever()

        opened = anyio.Event()
        process.call(serve)
        await opened.wait()

    async def read(self, page: Page) -> None:
        """Read until the turn is over, with a new connection now and then."""
        while not ("r" in page.turns and page.turns["r"].ended):
            reader = self.log.for_user("u").follow("c", after=page.last_id)
            entries = Following(reader, None)
            for _ in range(self.chance.randint(1, 6)):
                with anyio.move_on_after(self.chance.choice([0.0, 1.0, 100.0])):
                    page.show(await entries.arrived())
                if "r" in page.turns and page.turns["r"].ended:
                    break
            await entries.aclose()

    async def ask(self, accident: str, fuse: int) -> None:
        """Ask, and ask again with the same request id when the worker dies that was asked."""
        while True:
            worker = self.worker(accident=accident, fuse=fuse)
            try:
                with anyio.move_on_after(60):
                    await self.open_relay(worker)
                    await worker.call(partial(self.start, worker)).wait()
                    return
            except ProcessDied:
                pass
            fuse = 0

    async def start(self, worker: Process) -> Started:
        return await self.relays[worker].start("Take the cup.", user="u", conversation="c", request_id="r")

    async def expected(self) -> tuple[str, dict[str, str], str | None]:
        """Return what the journal says: the text, the calls, and how it ended."""
        entries = await JournalReader(self.store.for_user("u"), "c").read()
        turn = recorded_turn(entries)
        calls = {
            call.request.call_id: "asked" if call.result is None else call.result.outcome
            for step in turn.steps
            for call in step.calls
        }
        (history,) = await JournalReader(self.store.for_user("u"), "c").turns()
        return turn.text, calls, history.outcome


async def live(loop: VirtualLoop, processes: list[Process], accident: str, fuse: int) -> World:
    world = World(loop, random.Random(fuse), processes)
    healthy = world.process("healthy")
    page = Page()
    with anyio.fail_after(600):
        async with anyio.create_task_group() as group:
            group.start_soon(world.read, page)
            group.start_soon(world.ask, accident, fuse)
            await anyio.sleep(world.chance.choice([0.0, 8.0]))
            await world.open_relay(healthy)
        text, calls, outcome = await world.expected()
    turn = page.turns["r"]
    assert outcome == "completed"
    assert turn.ended is not None
    assert turn.text == text
    assert text.endswith(str(turn.ended["output"]))
    assert {call: outcome for call, outcome in turn.calls.items() if call in calls} == calls
    assert all(outcome == "cancelled" for call, outcome in turn.calls.items() if call not in calls)
    assert page.is_dense
    assert page.resets == 0
    return world


@pytest.mark.parametrize("accident", ["kill", "freeze"])
def test_a_reader_has_what_the_journal_has_whenever_a_worker_is_lost(accident: str) -> None:
    accidents = 0
    for fuse in range(1, 160, 3):
        processes: list[Process] = []
        try:
            world = simulate(partial(live, processes=processes, accident=accident, fuse=fuse), seed=fuse)
        finally:
            for process in processes:
                process.dispose()
        accidents += world.accidents
    assert accidents > 30
