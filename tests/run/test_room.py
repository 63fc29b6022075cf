"""Room in the context window: made when it is needed, down to a watermark, recorded, and told to the reader."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from assistant_kit import Assistant, Settings, WindowSettings
from assistant_kit.compactors.drop_oldest import DropOldest
from assistant_kit.context import Context
from assistant_kit.entries import Summary
from assistant_kit.errors import CannotFit, ContextOverflow, ModelUnavailable
from assistant_kit.events import ContextCompacted, Event
from assistant_kit.messages import AssistantMessage, Item, ToolAnswer, ToolCall, UserMessage, text_of
from assistant_kit.protocols.compactor import Compaction, Compactor, Crowded
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.protocols.store import Store
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Fail, Say, ScriptedModel, Step
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.turns import Turn
from assistant_kit.usage import Usage
from assistant_kit.view import LEFT_OUT

pytestmark = pytest.mark.anyio


@dataclass
class Talk:
    """A conversation with an assistant whose window takes `room` bytes; each turn says a number and so many letters."""

    steps: Sequence[Step]
    room: int = 1_500
    tools: Sequence[Callable[..., Any]] = ()
    compactor: Compactor | None = None
    store: Store = field(default_factory=MemoryStore)
    cached: int = 1_000_000
    model: ScriptedModel = field(init=False)
    events: list[Event] = field(default_factory=list[Event])

    def __post_init__(self) -> None:
        self.model = ScriptedModel(self.steps)

    def assistant(self) -> Assistant[str]:
        window = WindowSettings(max_tokens=self.room, reserved_output=0, cached_tokens=self.cached)
        return Assistant(
            self.model,
            tools=self.tools,
            store=self.store,
            settings=Settings(window=window),
            context=Context(token_counter=UpperBound(), compactor=self.compactor),
        )

    async def say(self, *numbers: int, letters: int = 100) -> None:
        """Say these, each in a turn."""
        with anyio.fail_after(30):
            assistant = self.assistant()
            for number in numbers:
                run = assistant.stream(f"{number}:" + "x" * letters, user="u", conversation="c")
                async with run:
                    async for event in run:
                        self.events.append(event)

    @property
    def compactions(self) -> list[ContextCompacted]:
        return [event for event in self.events if isinstance(event, ContextCompacted)]

    def requests(self) -> list[Sequence[Item]]:
        return [request.items for request in self.model.requests]

    def shown(self) -> list[list[int]]:
        """The numbers that each request shows of what the user said."""
        return [
            [int(said.partition(":")[0]) for said in texts(items) if said[0].isdigit()] for items in self.requests()
        ]


def texts(items: Sequence[Item]) -> list[str]:
    return [text_of(item.content) for item in items if isinstance(item, UserMessage)]


def results(items: Sequence[Item]) -> list[str]:
    return [text_of(item.content) for item in items if isinstance(item, ToolAnswer)]


def said(items: Sequence[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, AssistantMessage)]


def offered(model: ScriptedModel, request: int) -> list[str]:
    return [tool.name for tool in model.requests[request].tools if isinstance(tool, ToolSpec)]


def answers(count: int) -> list[Step]:
    return [Say("y" * 100) for _ in range(count)]


def begins_alike(earlier: Sequence[Item], later: Sequence[Item]) -> bool:
    return list(later[: len(earlier)]) == list(earlier)


async def test_a_conversation_is_sent_whole_until_it_is_full_and_then_cut_to_the_low_watermark() -> None:
    talk = Talk(answers(16))
    await talk.say(*range(16))
    shown = talk.shown()
    assert shown[:6] == [list(range(n + 1)) for n in range(6)]
    (first, second, *_) = talk.compactions
    assert first.strategy == "drop the oldest turns"
    assert first.tokens_after <= 750 < first.tokens_before
    assert first.dropped_turns == second.dropped_turns > 1
    breaks = sum(not begins_alike(one, other) for one, other in zip(talk.requests(), talk.requests()[1:], strict=False))
    assert breaks == len(talk.compactions) < 6


async def test_what_is_shown_does_not_depend_on_what_a_process_remembers() -> None:
    warm, cold, alternating = Talk(answers(16)), Talk(answers(16), cached=0), Talk(answers(16))
    await warm.say(*range(16))
    await cold.say(*range(16))
    for number in range(16):
        await alternating.say(number)  # by an assistant of its own
    assert warm.requests() == cold.requests() == alternating.requests()


async def test_a_smaller_window_goes_on_with_the_newest_turns_and_keeps_them() -> None:
    talk = Talk(answers(12), room=100_000)
    await talk.say(*range(8))
    talk.room = 800
    await talk.say(8, 9)
    assert talk.shown()[8][-1] == 8
    assert 1 < len(talk.shown()[8]) < 4
    assert begins_alike(talk.requests()[8], talk.requests()[9])
    assert len(talk.compactions) == 1


async def test_a_larger_window_does_not_bring_back_what_was_left_out() -> None:
    talk = Talk(answers(10))
    await talk.say(*range(8))
    kept = talk.shown()[-1][0]
    assert kept > 0
    talk.room = 100_000
    await talk.say(8, 9)
    assert [numbers[0] for numbers in talk.shown()[-2:]] == [kept, kept]


async def test_a_compaction_is_found_when_its_record_is_farther_back_than_a_window() -> None:
    class Once:
        in_background = False

        async def compact(self, window: Crowded) -> Compaction:
            keep = 1 if window.turns else 0
            return Compaction(keep=keep, summaries=(Summary(text="s", first=1, last=2),), strategy="sum up")

    talk = Talk(answers(20), compactor=Once())
    await talk.say(*range(9))
    assert talk.compactions[-1].strategy == "sum up"
    assert texts(talk.requests()[-1])[0].endswith("\ns")
    talk.room, talk.cached = 100_000, 0
    await talk.say(9, 10)
    talk.room = 420  # the summary was recorded several windows ago
    await talk.say(11)
    assert texts(talk.requests()[-1])[0].endswith("\ns")


async def test_results_of_earlier_steps_are_cleared_when_a_turn_outgrows_the_window() -> None:
    def look(page: int) -> str:
        """Look a page up."""
        return f"{page}:" + "r" * 300

    calls: list[Step] = [CallTools(Call("look", {"page": page})) for page in range(6)]
    talk = Talk([*calls, Say("done")], room=2_400, tools=[look])
    await talk.say(0)
    last = results(talk.requests()[-1])
    assert len(last) == 6
    assert last[-1].startswith("5:")
    assert sum("read_result(" in text for text in last) > 2
    assert {event.strategy for event in talk.compactions} == {"clear results of this turn"}
    assert "read_result" in offered(talk.model, -1)
    assert "read_result" not in offered(talk.model, 0)


async def test_a_cleared_result_is_read_again() -> None:
    def look(page: int) -> str:
        """Look a page up."""
        return f"{page}:" + "r" * 300

    calls: list[Step] = [CallTools(Call("look", {"page": page})) for page in range(5)]
    talk = Talk([*calls, Say("done")], room=2_400, tools=[look])
    await talk.say(0)
    handle = next(text for text in results(talk.requests()[-1]) if "read_result(" in text).split('"')[1]
    talk.model = again = ScriptedModel([CallTools(Call("read_result", {"handle": handle})), Say("done")])
    await talk.say(1, letters=1)
    assert "0:rrr" in results(again.requests[-1].items)[-1]


async def test_the_tool_that_reads_results_again_stays_when_what_it_was_for_has_left() -> None:
    def look(size: int) -> str:
        """Look a page up."""
        return "r" * size

    long: list[Step] = [CallTools(Call("look", {"size": 1_000})), Say("y" * 100)]
    talk = Talk([Say("y"), *long, *answers(16), *long], room=2_400, tools=[look], compactor=DropOldest())
    await talk.say(*range(19))
    offers = ["read_result" in offered(talk.model, request) for request in range(len(talk.model.requests))]
    assert offers == [False, False, *(True for _ in offers[2:])]
    assert len(talk.compactions) > 1
    assert not any("read_result(" in text for text in results(talk.requests()[-3]))
    talk.cached = 0
    talk.model = ScriptedModel(answers(1))
    await talk.say(19)
    assert "read_result" in offered(talk.model, -1)


async def test_a_turn_that_cannot_shrink_enough_names_what_does_not_fit() -> None:
    talk = Talk([CallTools(Call("nothing", {"text": "a" * 1_100}))], room=1_000)
    with pytest.raises(CannotFit) as caught:
        await talk.say(0, letters=10)
    assert caught.value.part == "the current turn"


async def test_a_turn_that_does_not_fit_names_what_it_takes_at_least() -> None:
    def look(page: int) -> str:
        """Look a page up."""
        return f"{page}:" + "r" * 300

    def talk(room: int) -> Talk:
        calls: list[Step] = [CallTools(Call("look", {"page": page})) for page in range(3)]
        return Talk([*calls, CallTools(Call("nothing", {"text": "a" * 700})), Say("done")], room=room, tools=[look])

    with pytest.raises(CannotFit) as caught:
        await talk(1_600).say(0, letters=10)
    enough = 1_600 + caught.value.needed - caught.value.available
    await talk(enough).say(0, letters=10)
    with pytest.raises(CannotFit) as narrowly:
        await talk(enough - 1).say(0, letters=10)
    assert [caught.value.part, narrowly.value.part] == ["the current turn"] * 2


async def test_of_parallel_results_that_do_not_fit_together_as_many_are_shown_as_do() -> None:
    def look(page: int) -> str:
        """Look a page up."""
        return f"{page}:" + "r" * 300

    all_at_once = CallTools(*(Call("look", {"page": page}) for page in range(8)))
    talk = Talk([all_at_once, Say("done"), Say("ok")], room=2_800, tools=[look])
    await talk.say(0, letters=10)
    shown = results(talk.requests()[1])
    there = [not text.startswith("[This result was cleared") for text in shown]
    assert there == sorted(there)  # the newest
    assert 3 < sum(there) < 8
    await talk.say(1, letters=10)
    assert begins_alike(talk.requests()[1], talk.requests()[2])
    handle = shown[0].split('"')[1]
    talk.model = again = ScriptedModel([all_at_once, CallTools(Call("read_result", {"handle": handle})), Say("done")])
    await talk.say(2, letters=10)
    first, *_, last = results(again.requests[-1].items)
    assert first.startswith("[This result was cleared")
    assert "0:rrr" in last


@pytest.mark.parametrize(("room", "kept"), [(3_180, [1, 2]), (100_000, [0, 1, 2])])
async def test_what_was_cleared_of_a_turn_stays_so_when_an_older_one_is_left_out(room: int, kept: list[int]) -> None:
    def look(page: int) -> str:
        """Look a page up."""
        return f"{page}:" + "r" * 300

    all_at_once = CallTools(*(Call("look", {"page": page}) for page in range(8)))
    compactor = Stubborn(Compaction(keep=1, strategy="the newest"))
    talk = Talk([Say("y" * 30), all_at_once, Say("done"), Say("ok")], room=2_800, tools=[look], compactor=compactor)
    await talk.say(0, 1, letters=10)
    before = results(talk.requests()[2])
    talk.room = room
    await talk.say(2, letters=400)
    assert talk.shown()[-1] == kept
    assert results(talk.requests()[-1]) == before
    assert len({text.startswith("[This result was cleared") for text in before}) == 2


@dataclass
class Form:
    """What an answer has to be."""

    name: str


def answering(
    model: ScriptedModel, room: int, *, cached: int, store: Store, tools: Sequence[Any] = ()
) -> Assistant[Form]:
    window = WindowSettings(max_tokens=room, reserved_output=0, cached_tokens=cached)
    return Assistant(
        model,
        output_type=Form,
        tools=tools,
        store=store,
        settings=Settings(window=window),
        context=Context(token_counter=UpperBound()),
    )


@pytest.mark.parametrize("cached", [0, 1_000_000])
async def test_an_answer_that_was_not_accepted_makes_room_for_the_next_one(cached: int) -> None:
    wrong, right = "no form " + "y" * 900, '{"name": "Ada"}'
    model = ScriptedModel([wrong, right, right])
    assistant = answering(model, 1_200, cached=cached, store=MemoryStore())
    with anyio.fail_after(10):
        first = await assistant.run("x" * 60, user="u", conversation="c")
        await assistant.run("y", user="u", conversation="c")
    assert first.output == Form("Ada")
    repair, after = model.requests[1].items, model.requests[2].items
    assert said(repair) == [LEFT_OUT]
    assert begins_alike(repair, after)
    assert said(after) == [LEFT_OUT, right]
    assert [item.text for item in first.messages if isinstance(item, AssistantMessage)] == [wrong, right]


async def test_an_answer_that_was_not_accepted_is_shown_as_long_as_it_fits() -> None:
    wrong = "no form " + "y" * 900
    model = ScriptedModel([wrong, '{"name": "Ada"}'])
    with anyio.fail_after(10):
        await answering(model, 3_000, cached=0, store=MemoryStore()).run("x")
    assert said(model.requests[1].items) == [wrong]


async def test_a_server_that_refuses_the_request_for_another_answer_gets_it_without_the_first() -> None:
    wrong = "no form " + "y" * 900
    model = ScriptedModel([wrong, Fail(ContextOverflow("too long", model="m")), '{"name": "Ada"}'])
    with anyio.fail_after(10):
        result = await answering(model, 3_000, cached=0, store=MemoryStore()).run("x")
    assert result.output == Form("Ada")
    assert [said(request.items) for request in model.requests[1:]] == [[wrong], [LEFT_OUT]]


async def test_the_newest_results_stay_while_an_answer_is_made_again() -> None:
    def look(page: int) -> str:
        """Look a page up."""
        return f"{page}:" + "r" * 300

    steps = [*(CallTools(Call("look", {"page": page})) for page in range(3)), "no form " + "y" * 700, '{"name": "Ada"}']
    model = ScriptedModel(steps)
    with anyio.fail_after(10):
        result = await answering(model, 2_000, cached=0, store=MemoryStore(), tools=[look]).run("x" * 100)
    assert result.output == Form("Ada")
    before, repair = (results(request.items) for request in model.requests[-2:])
    assert [text[:2] for text in before] == ["0:", "1:", "2:"]
    assert repair[-1].startswith("2:")
    assert repair[0].startswith("[This result was cleared")
    assert said(model.requests[-1].items) == [LEFT_OUT]


@dataclass
class Stubborn:
    """A compactor that answers what it was told to."""

    answer: Compaction | Exception | None
    asked: list[Crowded] = field(default_factory=list[Crowded])
    earlier: list[Sequence[Turn]] = field(default_factory=list[Sequence[Turn]])
    in_background: bool = False

    async def compact(self, window: Crowded) -> Compaction | None:
        self.asked.append(window)
        self.earlier += [page async for page in window.earlier()]
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        None,
        ModelUnavailable("down", model="m"),
        ZeroDivisionError("a mistake"),
        Compaction(keep=99, strategy="more than there is"),
        Compaction(keep=1, clear=2, strategy="more than is kept"),
        Compaction(keep=7, strategy="everything"),
    ],
    ids=["none", "error", "mistake", "more", "clear", "all"],
)
async def test_the_oldest_turns_are_dropped_when_a_compactor_has_no_answer_that_fits(
    answer: Compaction | Exception | None,
) -> None:
    talk = Talk(answers(9), compactor=Stubborn(answer))
    await talk.say(*range(9))
    assert talk.compactions[0].strategy == "drop the oldest turns"


async def test_a_compactor_is_asked_with_the_sizes_it_has_to_keep() -> None:
    stubborn = Stubborn(None)
    talk = Talk(answers(8), compactor=stubborn)
    await talk.say(*range(8))
    window = stubborn.asked[0]
    assert window.target < window.limit < 1_500
    assert [turn.tokens for turn in window.turns] == [window.turns[0].tokens] * len(window.turns)
    assert stubborn.earlier == []


async def test_turns_that_a_window_never_showed_are_there_for_a_compactor() -> None:
    talk = Talk(answers(60), room=100_000)
    await talk.say(*range(50))
    talk.compactor = stubborn = Stubborn(None)
    talk.room = 1_500
    await talk.say(50)
    seen = [turn.seq for page in stubborn.earlier for turn in page]
    assert len(stubborn.earlier) > 0
    assert seen == sorted(set(seen))
    assert seen[0] == 1
    assert seen[-1] < stubborn.asked[0].turns[0].seq
    assert len(seen) + len(stubborn.asked[0].turns) == 50


async def test_clearing_goes_on_from_where_it_was() -> None:
    def look(page: int) -> str:
        """Look a page up."""
        return f"{page}:" + "r" * 1_000

    steps: list[Step] = []
    for page in range(40):
        steps += [CallTools(Call("look", {"page": page})), Say("ok")]
    talk = Talk(steps, room=20_000, tools=[look])
    await talk.say(*range(40), letters=10)
    strategies = [event.strategy for event in talk.compactions]
    assert strategies[0] == "clear tool results"
    cuts = [[text.startswith("[This result") for text in results(items)] for items in talk.requests()]
    assert all(cut == sorted(cut, reverse=True) for cut in cuts)  # the oldest
    assert any(0 < sum(cut) < len(cut) for cut in cuts)


class Reading:
    """Reads the second page of what was cut, then of what does not exist."""

    name = "reading"

    def __init__(self) -> None:
        self.answers: list[str] = []

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        del emit
        self.answers = results(request.items)
        match len(self.answers):
            case 0:
                return self._calls("report", {})
            case 1:
                return self._calls("read_result", {"handle": self.answers[0].split('"')[1], "page": 2})
            case 2:
                return self._calls("read_result", {"handle": "nowhere/1.0"})
            case _:
                return ModelResponse(items=(AssistantMessage(text="ok"),), usage=Usage(), model=self.name)

    def _calls(self, tool: str, arguments: dict[str, Any]) -> ModelResponse:
        call = ToolCall(call_id=f"c{len(self.answers)}", name=tool, arguments=json.dumps(arguments))
        return ModelResponse(items=(call,), usage=Usage(), model=self.name, finish="tool_calls")

    async def aclose(self) -> None: ...


async def test_a_long_result_of_a_one_off_run_is_read_in_pages_and_nothing_else_is() -> None:
    def report() -> str:
        """Everything we know."""
        return "".join(f"line {number}\n" for number in range(600))

    model = Reading()
    settings = Settings(window=WindowSettings(max_tokens=8_000, reserved_output=0))
    with anyio.fail_after(10):
        await Assistant(model, tools=[report], settings=settings, context=Context(token_counter=UpperBound())).run("x")
    cut, page, nothing = model.answers
    assert len(cut) < 1_100
    assert page.startswith("[page 2 of ")
    assert "nowhere/1.0" in nothing


async def test_a_tool_of_the_same_name_is_left_alone() -> None:
    def read_result(handle: str) -> str:
        """My own."""
        return handle + "x" * 900

    talk = Talk(
        [CallTools(Call("read_result", {"handle": "a"})), Say("ok"), Say("ok")], tools=[read_result], room=5_000
    )
    await talk.say(0, 1)
    assert offered(talk.model, -1) == ["read_result"]
    assert results(talk.requests()[-1])[0].startswith("axx")


async def test_a_result_of_a_turn_that_is_not_there_cannot_be_read_again() -> None:
    steps: list[Step] = [CallTools(Call("look", {"page": 1})), Say("ok"), Say("ok")]

    def look(page: int) -> str:
        """Look a page up."""
        return f"{page}:" + "r" * 3_000

    talk = Talk(steps, room=9_000, tools=[look])
    await talk.say(0)
    talk.model = again = ScriptedModel([CallTools(Call("read_result", {"handle": f"{'0' * 32}/1.0"})), Say("ok")])
    await talk.say(1)
    assert "no result" in results(again.requests[-1].items)[-1]
