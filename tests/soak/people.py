"""The people: each asks turn after turn in one conversation after the other, and looks at what is left of each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, TypeAlias

import anyio

from assistant_kit.assistant import Assistant
from assistant_kit.cli.journal_check import JournalCheck
from assistant_kit.errors import AssistantKitError
from assistant_kit.events import Event
from assistant_kit.protocols.store import Store
from assistant_kit.run.history import HistoryTurn
from tests.mid_stream.reader import Reader
from tests.soak.plan import Plan, answer_to
from tests.soak.tally import Tally
from tests.soak.tools import Tools

_SHORTEST, _LONGEST = 3, 10
"""Turns of a conversation."""
Told: TypeAlias = Literal["completed", "failed", "left"]
_RECORDED: dict[Told, tuple[str, ...]] = {
    "completed": ("completed",),
    "failed": ("failed",),
    "left": ("cancelled", "completed", "failed"),
}


@dataclass(slots=True, kw_only=True)
class Town:
    """What all people share.

    `until` is when they stop, on the event loop's clock; `pause` is the mean of the seconds between two turns.
    """

    assistant: Assistant[str]
    store: Store
    plan: Plan
    tally: Tally
    tools: Tools
    until: float
    pause: float

    @property
    def over(self) -> bool:
        """Whether it is time to stop."""
        return anyio.current_time() >= self.until


@dataclass(slots=True, kw_only=True)
class Person:
    """One who asks. `told` has the turns of the conversation that goes on: how each has ended, as the person saw it."""

    number: int
    town: Town
    told: list[tuple[str, Told]] = field(default_factory=list[tuple[str, Told]])

    @property
    def user(self) -> str:
        """The name."""
        return f"user {self.number}"

    async def live(self) -> None:
        """Hold conversations until it is time to stop."""
        for life in count(1):
            chance = self.town.plan.chance("turns", self.number, life)
            for turn in range(_SHORTEST + int(chance * (_LONGEST + 1 - _SHORTEST))):
                await self._think(life, turn)
                if self.town.over:
                    break
                await self._turn(f"c{life}", f"{self.number}.{life}.{turn}")
            await self._look_back(f"c{life}")
            if self.town.over:
                return

    async def _think(self, life: int, turn: int) -> None:
        town = self.town
        chance = town.plan.chance("pause", self.number, life, turn)
        pause = chance * town.pause if (life, turn) == (1, 0) else -town.pause * math.log(1 - chance)
        await anyio.sleep(max(0.0, min(pause, town.until - anyio.current_time())))

    async def _turn(self, conversation: str, ref: str) -> None:
        tally, way = self.town.tally, self.town.plan.way(ref)
        tally.asked += 1
        try:
            match way:
                case "run":
                    result = await self.town.assistant.run(f"turn {ref}", user=self.user, conversation=conversation)
                    text = result.text
                case "stream":
                    text = await self._listen(conversation, ref)
                case "leave":
                    text = await self._leave(conversation, ref)
        except AssistantKitError as error:
            tally.fail(ref, error)
            self.told.append((ref, "failed"))
            return
        if way == "leave":
            tally.left += 1
            self.told.append((ref, "left"))
            return
        tally.completed += 1
        self.told.append((ref, "completed"))
        if text != answer_to(ref):
            tally.broken(f"turn {ref} was answered with {text!r}")

    async def _listen(self, conversation: str, ref: str) -> str:
        events: list[Event] = []
        reader = Reader()
        stream = self.town.assistant.stream(f"turn {ref}", user=self.user, conversation=conversation)
        try:
            async with stream as run:
                while batch := await run.arrived():
                    events += batch
                await run.result()
        finally:
            for wrong in reader.read(events).wrong:
                self.town.tally.broken(f"turn {ref}: {wrong}")
        return reader.kept[-1]

    async def _leave(self, conversation: str, ref: str) -> str:
        stream = self.town.assistant.stream(f"turn {ref}", user=self.user, conversation=conversation)
        async with stream as run:
            async for event in run:
                return event.kind
        return ""

    async def _look_back(self, conversation: str) -> None:
        """Hold the conversation against what the person was told, and delete it."""
        if not self.told:
            return
        town = self.town
        town.tally.conversations += 1
        check = JournalCheck(conversation)
        for record in await town.store.for_user(self.user).read(conversation):
            for problem in check.take(record):
                town.tally.broken(f"{self.user}, {conversation}, record {record.seq}: {problem}")
        if check.state != "idle":
            town.tally.broken(f"{self.user}, {conversation}: left {check.state}")
        kept = town.assistant.conversation(conversation, user=self.user)
        self._compare(await kept.history())
        self.told.clear()
        await kept.delete()

    def _compare(self, history: Sequence[HistoryTurn]) -> None:
        asked = [f"turn {ref}" for ref, _ in self.told]
        if [turn.input for turn in history] != asked:
            self.town.tally.broken(f"{self.user} asked {asked}, recorded are {[turn.input for turn in history]}")
            return
        for (ref, told), turn in zip(self.told, history, strict=True):
            if turn.outcome not in _RECORDED[told]:
                self.town.tally.broken(f"turn {ref} was {told}, recorded as {turn.outcome}")
            self._tools(ref, turn)
            if told == "failed" and not self.town.plan.may_fail(ref, turn.usage.requests + 1):
                self.town.tally.broken(f"turn {ref}: the error should have been hidden: {turn.reason}")

    def _tools(self, ref: str, turn: HistoryTurn) -> None:
        """No tool has run twice, and none that is not on record."""
        ran = self.town.tools.forget(ref)
        recorded = {call.tool for call in turn.tool_calls if call.outcome is not None}
        if max(ran.values(), default=0) > 1 or not ran.keys() <= recorded:
            self.town.tally.broken(f"turn {ref}: ran {dict(ran)}, recorded {sorted(recorded)}")
