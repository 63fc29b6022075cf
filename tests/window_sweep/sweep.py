"""One example: a journal, a window, and turns in it, by workers that remember and by workers that read."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from assistant_kit import Assistant, Settings, WindowSettings, tool
from assistant_kit.compactors.chain import Chain
from assistant_kit.compactors.clear_results import ClearResults
from assistant_kit.compactors.drop_oldest import DropOldest
from assistant_kit.compactors.summarize import Summarize
from assistant_kit.context import Context
from assistant_kit.entries import Compacted, Measured, TurnFinished
from assistant_kit.errors import CannotFit, StoreUnavailable
from assistant_kit.journal_json import encode
from assistant_kit.journal_reader import JournalReader
from assistant_kit.messages import AssistantMessage, DeveloperMessage, Item, ToolCall, UserMessage, text_of
from assistant_kit.protocols.compactor import Compactor
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.protocols.policy import Call, Proceed
from assistant_kit.protocols.store import Append, NewRecord, Store
from assistant_kit.request_tokens import request_tokens
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.usage import Usage
from tests.faulty_store import FaultyStore
from tests.journals import check_well_formed
from tests.window_sweep.past import REMEMBERED, drawn_past, marked

T = TypeVar("T")
COUNTER = UpperBound()
USER = "u"
BUDGETS = (400, 700, 1_000, 1_500, 2_500, 4_000, 10_000, 100_000)
READER = "read_result"
NOW = "now: "
INSTRUCTIONS = "Be brief."
_NAME = re.compile(r"(?<=\")(?!0{24})[0-9a-f]{32}(?=/)")
"""Turns of journals that were drawn have names that begin with zeros: so many that no name at random has them."""


class Answering:
    """A model that answers at once: with a call or two, then with a text. It sums up in a few words.

    As a policy around its own calls, it keeps what each request was said to take.
    """

    name = "answering"

    def __init__(self) -> None:
        self._seed, self._wrong = 0.0, 0.0
        self.requests: list[ModelRequest] = []
        self.promised: list[int] = []

    def begin(self, seed: float, *, wrong: float) -> None:
        """Answer by this seed from now on; `wrong` is how often an answer does not fit its format at first."""
        self._seed, self._wrong = seed, wrong
        self.requests, self.promised = [], []

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Keep the tokens that a request was packed with."""
        if call.kind == "model":
            self.promised.append(call.prompt_tokens)
        return await proceed(call)

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        del emit
        usage = Usage(requests=1)
        if request.instructions != INSTRUCTIONS:  # it is asked for a summary
            return ModelResponse(items=(AssistantMessage(text="They spoke of rain."),), usage=usage, model=self.name)
        self.requests.append(request)
        done = next(n for n, item in enumerate(reversed(request.items)) if isinstance(item, UserMessage))
        chance = Random(f"{self._seed}/{done}")  # an interrupted turn goes on as it would have gone
        if chance.random() < (0.5 if done == 0 else 0.8):
            return ModelResponse(
                items=(AssistantMessage(text=self._answer(chance, request)),), usage=usage, model=self.name
            )
        calls = tuple(
            ToolCall(call_id=f"c{done}{index}", name="look", arguments=json.dumps({"size": size}))
            for index, size in enumerate(chance.choices((1, 50, 3_000), k=chance.choice((1, 1, 2, 4))))
        )
        return ModelResponse(items=calls, usage=usage, model=self.name, finish="tool_calls")

    def _answer(self, chance: Random, request: ModelRequest) -> str:
        told = isinstance(request.items[-1], DeveloperMessage)
        if not told and chance.random() < self._wrong:
            return "no form " + "y" * chance.choice((10, 200, 1_000))
        return '{"rain":true}'

    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class Weather:
    """What an answer has to be, where it is not a plain text."""

    rain: bool


@tool(effect="read")
def look(size: int) -> str:
    """Look something up."""
    return "rain " * size


def more_tools() -> list[Any]:
    """Return tools of which not all fit into a small window."""

    def named(place: str) -> Callable[..., str]:
        def forecast(day: str) -> str:
            return day

        forecast.__name__ = f"forecast_{place}"
        forecast.__doc__ = f"Forecast how the rain in {place} will be, hour by hour."
        return forecast

    return [named(place) for place in ("oslo", "bergen", "bodo", "tromso", "alta", "hamar", "moss", "narvik")]


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
        self._now = 1_000.0
        self._store = MemoryStore(clock=lambda: self._now)
        self._past = drawn_past(chance, COUNTER)
        self._budget = chance.choice(BUDGETS)
        self._compactor = chance.choice(("default", "drop", "clear", "sum up"))
        self._output = chance.choice((str, str, Weather))
        self._wrong = 0.0 if self._output is str else 0.5
        self._tools = [look] if chance.random() < 0.9 else [look, *more_tools()]
        self._shown: Sequence[Item] = ()
        self._told: set[str] = set()
        self._read = False
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
        assert [told(request) for request in first] == [told(request) for request in twin], "two for one journal"
        if self._chance.random() < 0.2 and twin:
            await self._interrupted(said, seed, [told(request) for request in twin])
        for _ in range(self._chance.choice((1, 2, 5))):
            if self._chance.random() < 0.1:  # it goes on with another model
                self._budget = self._chance.choice(BUDGETS)
                self._read = False  # what it read may be too far back for a smaller window
                self._workers = [self._worker(), self._worker()]
            await self._asked("c", self._said(), self._chance.random())

    def _said(self) -> str:
        self._marks += 1
        return NOW + "x" * (self._marks % 7)

    async def _write(self) -> None:
        for name in ("c", "twin", "broken"):
            user = self._store.for_user(USER)
            lease = await user.claim(name, owner="past", ttl=60)
            records = [_record(place, measured) for place, measured in enumerate(self._past)]
            await user.append(
                Append(lease=lease, expected_seq=0, records=records, state="idle", open_turn=None, release=True)
            )

    async def _asked(self, conversation: str, said: str, seed: float) -> list[ModelRequest]:
        """Say something; hold each request against the rules."""
        model, assistant = self._chance.choice(self._workers)
        model.begin(seed, wrong=self._wrong)
        before = await self._compactions(conversation)
        self._tally.turns += 1
        refused = self._tally.refused
        try:
            await assistant.run(said, user=USER, conversation=conversation)
        except CannotFit:
            self._tally.refused += 1
            assert self._is_tight(model), "a request was refused that had room"
        made = await self._compactions(conversation) - before
        self._tally.compactions += made
        breaks = 0
        for request, promised in zip(model.requests, model.promised, strict=True):
            self._tally.requests += 1
            self._check(request, promised, said)
            if conversation == "c":
                breaks += not self._goes_on(request)
                self._shown, self._told = request.items, set(names_of(request))
        self._read = self._read and self._tally.refused == refused  # such a turn may be longer than a window
        assert breaks <= made, f"{breaks} requests begin otherwise than the one before, and {made} were compacted"
        return model.requests

    async def _interrupted(self, said: str, seed: float, twin: Sequence[object]) -> None:
        """Let a worker die in the turn, and another one finish it: both ask what one would have asked."""
        asked: list[list[object]] = []
        for store in (FaultyStore(self._store, fail_at=self._chance.randrange(2, 9)), self._store):
            model, assistant = self._worker(store)
            model.begin(seed, wrong=self._wrong)
            with suppress(StoreUnavailable, CannotFit):
                if store is self._store:
                    await assistant.recover()
                else:
                    await assistant.run(said, user=USER, conversation="broken")
            asked.append([told(request) for request in model.requests])
            self._now += 60
        first, second = asked
        assert first == twin[: len(first)], "before a crash a turn asks otherwise"
        assert second == twin[len(twin) - len(second) :], "after a crash a turn asks otherwise"
        assert len(first) + len(second) >= len(twin), "after a crash a turn is not finished"

    def _goes_on(self, request: ModelRequest) -> bool:
        """Whether a request begins like the one before, tools included, unless these are chosen for each turn.

        One tool comes later, and stays: the one that reads results again.
        """
        names = set(names_of(request))
        back = bool(self._told) and READER in names - self._told and self._read
        self._read = self._read or READER in names
        stays = len(self._tools) > 1 or (self._told <= names and not back)
        return stays and list(request.items[: len(self._shown)]) == list(self._shown)

    def _worker(self, store: Store | None = None) -> tuple[Answering, Assistant[Any]]:
        model = Answering()
        window = WindowSettings(
            max_tokens=self._budget + 50, reserved_output=50, cached_tokens=self._chance.choice((0, 1_000_000))
        )
        context = Context(token_counter=COUNTER, compactor=_compactor(self._compactor))
        assistant = Assistant(
            model,
            instructions=INSTRUCTIONS,
            tools=self._tools,
            output_type=self._output,
            store=store or self._store,
            policies=[model],
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

    def _check(self, request: ModelRequest, promised: int, said: str) -> None:
        tokens = request_tokens(request, COUNTER)
        assert tokens <= promised, f"{tokens} tokens, and the parts were {promised}"
        assert promised <= self._budget, f"{promised} tokens in a window of {self._budget}"
        check_well_formed(request.items)
        texts = [text_of(item.content) for item in request.items if isinstance(item, UserMessage)]
        texts = [text for text in texts if not text.startswith(REMEMBERED)]
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


def told(request: ModelRequest) -> tuple[str, list[str], str]:
    """Return what a model is told, without the random name of the turn in progress."""
    return request.instructions, names_of(request), nameless(request.items)


def nameless(items: Sequence[Item]) -> str:
    """Return items as a text, without the random name of the turn in progress."""
    return _NAME.sub("", repr(items))


def names_of(request: ModelRequest) -> list[str]:
    """Return the names of the tools of a request."""
    return [one.name for one in request.tools if isinstance(one, ToolSpec)]


def seeds(first: int, count: int) -> Iterator[int]:
    """Return the seeds of so many examples."""
    return iter(range(first * 1_000_000, first * 1_000_000 + count))


assert marked(1).startswith("#")  # what `_check` looks for
