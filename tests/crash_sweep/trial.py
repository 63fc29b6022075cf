"""One trial: workers live and die in one world, and what they leave behind is judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.policies.fallback import Fallback
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.store import Store
from assistant_kit.resilience import Policies
from assistant_kit.settings import Settings
from assistant_kit.token_counters.upper_bound import UpperBound
from tests.chaos.judge import Verdict, judge
from tests.chaos.orders import DELEGATE, Clerk, tools
from tests.chaos.turns import Violation
from tests.crash_sweep.down import Down
from tests.crash_sweep.life import LIFE, Ending, Life
from tests.crash_sweep.mortal_store import MortalStore
from tests.crash_sweep.scenarios import Client, Recovery, Scenario
from tests.crash_sweep.summing import Summing
from tests.crash_sweep.world import Kind, Outdoors, World, lengthy, new_world

LONGER_THAN_A_LEASE = 60.0
PATIENCE = 20.0

_OUTDOORS = Outdoors()
_TOOLS = tools(_OUTDOORS)
_LENGTHY = [lengthy(_OUTDOORS, name) for name in ("pay", "look")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a scenario is run and how it is recovered."""

    store: Kind = "memory"
    streamed: bool = False
    recovery: Recovery = "resume"
    named: bool = True
    audited: bool = False
    ending: Ending = "death"

    def __str__(self) -> str:
        said = [self.store, "streamed" if self.streamed else "run", self.recovery, "named" if self.named else "unnamed"]
        said += ["audited"] if self.audited else []
        return ", ".join([*said, "cancelled"] if self.ending == "cancellation" else said)


@dataclass(slots=True, kw_only=True)
class Trial:
    """What came of it: the points at which workers ended before their time, and what is wrong."""

    ends: list[str]
    verdict: Verdict


async def trial(
    scenario: Scenario,
    setting: Setting,
    folder: Path,
    *ends: int,
    through: Callable[[Store], Store] = lambda store: store,
) -> Trial:
    """Let workers live one after the other, of which the first ones end at the points `ends`, if they get there.

    They see their stores `through` something, in tests of the sweep itself.
    """
    async with new_world(setting.store, folder, audited=setting.audited) as world:
        _OUTDOORS.world = world
        client = Client(world=world, scenario=scenario, streamed=setting.streamed, named=setting.named)
        generations = _Generations(world, client, setting, through)
        async with anyio.create_task_group() as group:
            await generations.live(group, ends)
            group.cancel_scope.cancel()
        verdict = judge(await world.evidence())
    ended = [life.ended for life in generations.lives if life.ended is not None]
    verdict.violations += [*generations.failures, *_more(verdict, scenario, setting, ended)]
    return Trial(ends=ended, verdict=verdict)


class _Generations:
    """Workers of one world, each of which begins where the one before has ended."""

    def __init__(self, world: World, client: Client, setting: Setting, through: Callable[[Store], Store]) -> None:
        self.lives: list[Life] = []
        self.failures: list[Violation] = []
        self._world = world
        self._client = client
        self._setting = setting
        self._through = through

    async def live(self, group: TaskGroup, ends: Sequence[int]) -> None:
        """Let workers live until one of them does not end before its time; leave nothing of them."""
        with anyio.move_on_after(PATIENCE) as patience:
            for end in (*ends, None):
                life = Life(end, self._setting.ending)
                self.lives.append(life)
                store = MortalStore(self._through(self._world.open()), life)
                worker = _Worker(store, self._client, self._setting, life, is_first=len(self.lives) == 1)
                group.start_soon(worker.live, self.failures)
                await life.over.wait()
                if life.ended is None:
                    break
                self._world.now += LONGER_THAN_A_LEASE if life.dead else 0.0
        if patience.cancelled_caught:
            self.failures.append(Violation(blame="broken", text=f"nothing moved for {PATIENCE} s"))
        for life in self.lives:
            life.bury()


class _Worker:
    """A process with an assistant of its own."""

    def __init__(self, store: Store, client: Client, setting: Setting, life: Life, *, is_first: bool) -> None:
        self._client = client
        self._setting = setting
        self._life = life
        self._is_first = is_first
        self._store = store

    async def live(self, failures: list[Violation]) -> None:
        """Serve the client, or recover what the one before has left."""
        LIFE.set(self._life)
        try:
            with self._life.work:
                await self._work()
        except Exception as error:  # noqa: BLE001  (what a dead one raises means nothing)
            if not self._life.dead:
                failures.append(Violation(blame="broken", text=f"the worker that lived raised {error!r}"))
        self._life.over.set()

    async def _work(self) -> None:
        async with self._assistant("desk", self._assistant("branch").as_tool(name=DELEGATE, description="")) as desk:
            if not self._is_first:
                await self._check_cancelled()
                await self._client.recover(desk, self._setting.recovery)
            if self._is_first or self._setting.named:
                await self._client.order(desk)
            await desk.settled()

    async def _check_cancelled(self) -> None:
        if self._setting.ending == "cancellation":
            left = await self._store.unfinished()
            assert not left, f"a cancelled run leaves {left}"

    def _assistant(self, name: str, *tools: Any) -> Assistant[Any]:
        scenario = self._client.scenario
        model: Model = Clerk(lambda when: self._life.point(f"{when} the model"))
        policies = None
        if scenario.fallback:
            policies = Policies(fallback=Fallback(model), retry=None)
            model = Down(lambda when: self._life.point(f"{when} the model that is down"))
        return Assistant(
            model,
            output_type=scenario.output_type,
            tools=[*(_LENGTHY if scenario.lengthy else _TOOLS), *tools],
            store=self._store,
            policies=policies,
            settings=Settings(name=name, window=scenario.window),
            context=Context(token_counter=UpperBound(), compactor=Summing() if scenario.summing else None),
        )


def _more(verdict: Verdict, scenario: Scenario, setting: Setting, ended: Sequence[str]) -> list[Violation]:
    """What is promised in a trial beyond what is always promised."""
    wrong: list[str] = []
    orders = {turn.order.name for turn in verdict.turns}
    left = scenario.leave_after is not None or setting.ending == "cancellation"
    outcomes = ("completed", "cancelled") if left else ("completed",)
    wrong += [f"{turn.order} is {turn.outcome}" for turn in verdict.turns if turn.outcome not in outcomes]
    if setting.named or not ended:
        wrong += [f"{order} is not recorded" for order in scenario.orders if order.name not in orders]
    if not ended and verdict.unknown and scenario.leave_after is None:
        wrong.append(f"nobody died and {verdict.unknown} outcomes are unknown")
    shows = scenario.shows
    if shows is not None and not ended and not any(shows(entry) for turn in verdict.turns for entry in turn.entries):
        wrong.append("what the scenario is about did not take place")
    return [Violation(blame="broken", text=text) for text in wrong]
