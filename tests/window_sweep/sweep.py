"""One example: a journal, a window, and turns in it, by workers that remember and by workers that read."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from assistant_kit import Assistant, Settings, WindowSettings
from assistant_kit.compactors.chain import Chain
from assistant_kit.compactors.clear_results import ClearResults
from assistant_kit.compactors.drop_oldest import DropOldest
from assistant_kit.compactors.summarize import Summarize
from assistant_kit.context import Context
from assistant_kit.entries import Compacted, Measured, TurnFinished
from assistant_kit.errors import CannotFit
from assistant_kit.journal_json import encode
from assistant_kit.journal_reader import JournalReader
from assistant_kit.messages import AssistantMessage, Item, ToolAnswer, ToolCall, UserMessage, text_of
from assistant_kit.protocols.compactor import Compactor
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.request_tokens import request_tokens
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.usage import Usage
from tests.journals import check_well_formed
from tests.window_sweep.past import drawn_past, marked

COUNTER = UpperBound()
USER = "u"
NOW = "now: "
INSTRUCTIONS = "Be brief."
_NAME = re.compile(r"(?<=\")(?!0000)[0-9a-f]{32}(?=/)")
"""Turns of journals that were drawn have names that begin with zeros."""


class Answering:
    """A model that answers at once: with a call or two, then with a text. It sums up in a few words."""

    name = "answering"

    def __init__(self) -> None:
        self._chance = Random()
        self.requests: list[ModelRequest] = []

    def begin(self, seed: float) -> None:
        """Answer by this seed from now on."""
        self._chance = Random(seed)
        self.requests = []

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        del emit
        usage = Usage(requests=1)
        if request.instructions != INSTRUCTIONS:  # it is asked for a summary
            return ModelResponse(items=(AssistantMessage(text="They spoke of rain."),), usage=usage, model=self.name)
        self.requests.append(request)
        if isinstance(request.items[-1], ToolAnswer) or self._chance.random() < 0.5:
            return ModelResponse(items=(AssistantMessage(text="It rains."),), usage=usage, model=self.name)
        calls = tuple(
            ToolCall(call_id=f"c{len(self.requests)}{index}", name="look", arguments=json.dumps({"size": size}))
            for index, size in enumerate(self._chance.choices((1, 50, 3_000), k=self._chance.choice((1, 1, 2, 4))))
        )
        return ModelResponse(items=calls, usage=usage, model=self.name, finish="tool_calls")

    async def aclose(self) -> None: ...


def look(size: int) -> str:
    """Look something up."""
    return "rain " * size


@dataclass(slots=True)
class Tally:
    """What the sweep has seen. `violations` say which example broke which rule."""

    examples: int = 0
    turns: int = 0
    requests: int = 0
    compactions: int = 0
    refused: int = 0
    violations: list[str] = field(default_factory=list[str])


async def example(seed: int, tally: Tally) -> None:
    """Try one journal in one window."""
    chance = Random(seed)
    tally.examples += 1
    try:
        await _Example(chance, tally).run()
    except AssertionError as error:
        tally.violations.append(f"example {seed}: {error}")


class _Example:
    def __init__(self, chance: Random, tally: Tally) -> None:
        self._chance = chance
        self._tally = tally
        self._store = MemoryStore()
        self._past = drawn_past(chance, COUNTER)
        self._budget = chance.choice((400, 700, 1_000, 1_500, 2_500, 4_000, 10_000, 100_000))
        self._compactor = chance.choice(("default", "drop", "clear", "sum up"))
        self._shown: Sequence[Item] = ()
        self._marks = 0
        self._turns = 0
        self._workers = [self._worker(), self._worker()]

    async def run(self) -> None:
        numbers = [entry.turn for entry in (one.entry for one in self._past) if entry.kind == "turn_started"]
        self._turns = len(numbers)
        await self._write()
        said, seed = self._said(), self._chance.random()
        twin = await self._asked("twin", said, seed)
        first = await self._asked("c", said, seed)
        assert [_nameless(items) for items in first] == [_nameless(items) for items in twin], "two for one journal"
        for _ in range(self._chance.choice((1, 2, 5))):
            await self._asked("c", self._said(), self._chance.random())

    def _said(self) -> str:
        self._marks += 1
        return NOW + "x" * (self._marks % 7)

    async def _write(self) -> None:
        for name in ("c", "twin"):
            user = self._store.for_user(USER)
            lease = await user.claim(name, owner="past", ttl=60)
            records = [_record(place, measured) for place, measured in enumerate(self._past)]
            await user.append(
                Append(lease=lease, expected_seq=0, records=records, state="idle", open_turn=None, release=True)
            )

    async def _asked(self, conversation: str, said: str, seed: float) -> list[Sequence[Item]]:
        """Say something; hold each request against the rules."""
        model, assistant = self._chance.choice(self._workers)
        model.begin(seed)
        before = await self._compactions(conversation)
        self._tally.turns += 1
        try:
            await assistant.run(said, user=USER, conversation=conversation)
        except CannotFit:
            self._tally.refused += 1
            assert self._is_tight(model), "a request was refused that had room"
            self._shown = ()
        made = await self._compactions(conversation) - before
        self._tally.compactions += made
        breaks = 0
        for request in model.requests:
            self._tally.requests += 1
            self._check(request, said)
            if conversation == "c":
                breaks += not _begins_with(request.items, self._shown)
                self._shown = request.items
        assert breaks <= made, f"{breaks} requests begin otherwise than the one before, and {made} were compacted"
        return [request.items for request in model.requests]

    def _worker(self) -> tuple[Answering, Assistant[str]]:
        model = Answering()
        window = WindowSettings(
            max_tokens=self._budget + 50, reserved_output=50, cached_tokens=self._chance.choice((0, 1_000_000))
        )
        context = Context(token_counter=COUNTER, compactor=_compactor(self._compactor))
        assistant = Assistant(
            model,
            instructions=INSTRUCTIONS,
            tools=[look],
            store=self._store,
            settings=Settings(window=window),
            context=context,
        )
        return model, assistant

    async def _compactions(self, conversation: str) -> int:
        journal = JournalReader(self._store.for_user(USER), conversation)
        entries = [measured.entry for measured in await journal.read(after=len(self._past))]
        assert all(not isinstance(entry, TurnFinished) or entry.outcome != "parked" for entry in entries)
        return sum(isinstance(entry, Compacted) for entry in entries)

    def _is_tight(self, model: Answering) -> bool:
        """Whether instructions, tools and the turn in progress leave little room."""
        return self._budget <= 1_500 or any(len(request.items) > 3 for request in model.requests)

    def _check(self, request: ModelRequest, said: str) -> None:
        tokens = request_tokens(request, COUNTER)
        assert tokens <= self._budget, f"{tokens} tokens in a window of {self._budget}"
        check_well_formed(request.items)
        texts = [text_of(item.content) for item in request.items if isinstance(item, UserMessage)]
        assert texts[-1] == said, "the newest message is not the last one"
        numbers = [int(text[1:].partition(":")[0]) for text in texts if text.startswith("#")]
        assert numbers == sorted(set(numbers)), "turns are out of order"
        if numbers and self._turns:
            whole = [n for n in range(numbers[0], self._turns) if n in set(numbers) or not self._failed(n)]
            assert numbers == whole, "a turn is missing among those that are shown"

    def _failed(self, number: int) -> bool:
        """Whether a turn failed, and so may be left out."""
        turn = f"{number:032x}"
        ends = [m.entry for m in self._past if m.entry.turn == turn and isinstance(m.entry, TurnFinished)]
        return bool(ends) and ends[-1].outcome == "failed"


def _compactor(name: str) -> Compactor | None:
    match name:
        case "drop":
            return DropOldest()
        case "clear":
            return Chain((ClearResults(keep_turns=1), DropOldest()))
        case "sum up":
            return Summarize()
        case _:
            return None


def _record(place: int, measured: Measured) -> NewRecord:
    entry = measured.entry
    key = getattr(entry, "key", "")
    record_id = f"{entry.turn}/{key}" if entry.kind == "tool_finished" else f"{place}/{os.urandom(4).hex()}"
    return NewRecord(record_id=f"{place}/{record_id}", kind=entry.kind, body=encode(measured), tokens=measured.tokens)


def _nameless(items: Sequence[Item]) -> str:
    """Return items with the random name of the turn in progress left out."""
    return _NAME.sub("", repr(items))


def _begins_with(items: Sequence[Item], before: Sequence[Item]) -> bool:
    return list(items[: len(before)]) == list(before)


def seeds(first: int, count: int) -> Iterator[int]:
    """Return the seeds of so many examples."""
    return iter(range(first * 1_000_000, first * 1_000_000 + count))


assert marked(1).startswith("#")  # what `_check` looks for
