"""Crowded windows for tests."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from assistant_kit.compaction_rules import fits, tokens_after
from assistant_kit.conversation import measure, turns_of
from assistant_kit.deadline import Deadline
from assistant_kit.entries import ModelResponded, Summary, ToolFinished, TurnStarted
from assistant_kit.messages import AssistantMessage, Part, Text, ToolCall, user_message
from assistant_kit.protocols.compactor import Compaction, Crowded
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.testing.scripted_model import ScriptedModel
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.turns import Turn
from assistant_kit.usage import Usage

COUNTER = UpperBound()
HEADING = 54  # bytes and tokens around the text of a summary


def said(number: int, question: str = "?", answer: str = "!", *, counter: TokenCounter = COUNTER) -> Turn:
    """A turn of two messages, whose records begin at 10 times its number. It takes 10 tokens more than its words."""
    name = f"t{number}"
    entries = [
        measure(TurnStarted(turn=name, input=user_message(question)), counter),
        measure(
            ModelResponded(turn=name, step=0, model="m", items=(AssistantMessage(text=answer),), usage=Usage()), counter
        ),
    ]
    return replace(turns_of(entries, counter)[0], seq=10 * number)


def asked(number: int, *results: str, parts: Sequence[Part] = ()) -> Turn:
    """A turn that called a tool for each result; `parts` go with the first one."""
    name = f"t{number}"
    calls = tuple(ToolCall(call_id=str(n), name="weather", arguments="{}") for n in range(len(results)))
    ends = [
        ToolFinished(
            turn=name,
            key=f"0.{n}",
            call_id=str(n),
            tool="weather",
            outcome="ok",
            content=(Text(text=text), *(() if n else parts)),
        )
        for n, text in enumerate(results)
    ]
    entries = [
        TurnStarted(turn=name, input=user_message("weather?")),
        ModelResponded(turn=name, step=0, model="m", items=calls, usage=Usage()),
        *ends,
        ModelResponded(turn=name, step=1, model="m", items=(AssistantMessage(text="fine"),), usage=Usage()),
    ]
    return replace(turns_of([measure(entry, COUNTER) for entry in entries], COUNTER)[0], seq=10 * number)


def summary(number: int, text: str = "They met.", *, level: int = 0) -> Summary:
    return Summary(text=text, first=10 * number, last=10 * number + 9, level=level)


class Earlier:
    """Turns that were never shown, in pages; counts the pages that were asked for."""

    def __init__(self, turns: Sequence[Turn] = (), *, page: int = 7) -> None:
        self.turns = turns
        self.page = page
        self.pages = 0

    async def __call__(self) -> AsyncIterator[Sequence[Turn]]:
        for start in range(0, len(self.turns), self.page):
            self.pages += 1
            yield self.turns[start : start + self.page]


def crowded(
    turns: Sequence[Turn],
    target: int,
    *,
    summaries: Sequence[Summary] = (),
    model: Model | None = None,
    earlier: Sequence[Turn] = (),
    limit: int = 100_000,
    deadline: Deadline | None = None,
    counter: TokenCounter = COUNTER,
) -> Crowded:
    return Crowded(
        summaries=summaries,
        turns=turns,
        target=target,
        limit=limit,
        counter=counter,
        model=model or ScriptedModel([]),
        earlier=Earlier(earlier),
        deadline=deadline or Deadline(),
    )


def after(compaction: Compaction, window: Crowded) -> Crowded:
    """The window as it is after a compaction that clears nothing; what was earlier is dealt with."""
    assert compaction.clear == 0
    kept = window.turns[len(window.turns) - compaction.keep :]
    return replace(window, turns=kept, summaries=compaction.summaries, earlier=Earlier())


def check(compaction: Compaction, window: Crowded) -> None:
    """Check what holds of every compaction: it is possible, and its summaries are in order.

    It is in the target, too, unless the newest turn alone is too long for that.
    """
    assert fits(compaction, window)
    newest = window.turns[-1].tokens if compaction.keep == 1 else 0
    assert tokens_after(compaction, window) <= max(window.target, newest + window.target // 4)
    places = [place for each in compaction.summaries for place in (each.first, each.last)]
    assert places == sorted(places)
    kept = window.turns[len(window.turns) - compaction.keep :]
    assert not kept or not places or places[-1] < kept[0].seq


words = st.text(max_size=80)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Summary], list[Turn], list[Turn]]:
    """Summaries, turns that were never shown, and the turns that are: one behind the other."""
    summaries = [
        summary(number, text, level=draw(st.integers(0, 2)))
        for number, text in enumerate(draw(st.lists(words, max_size=6)), start=1)
    ]
    first = len(summaries) + 1
    turns = [
        said(number, question or "?", answer)
        if draw(st.integers(0, 3))
        else asked(number, answer * draw(st.integers(1, 9)), question)
        for number, (question, answer) in enumerate(
            draw(st.lists(st.tuples(words.filter(str.strip), words), max_size=12)), start=first
        )
    ]
    earlier = 0 if summaries else draw(st.integers(0, len(turns)))
    return summaries, turns[:earlier], turns[earlier:]
