"""Journals as hypothesis draws them: parallel calls, missing ends, orphans, pictures, any text, a front cut off."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from assistant_kit.conversation import measure
from assistant_kit.entries import (
    ApprovalDecided,
    Entry,
    Measured,
    ModelResponded,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnOutcome,
    TurnStarted,
)
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    File,
    Image,
    Item,
    OutputItem,
    Part,
    ProviderItem,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
)
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.usage import Usage

COUNTER = UpperBound()
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x64\x00\x00\x00\x64\x08\x02\x00\x00\x00"

texts = st.text(max_size=60)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text=texts),
    st.builds(Text, text=texts),
    st.just(Image(data=PNG, media_type="image/png")),
    st.just(Image(url="https://example.com/a.png", detail="low")),
    st.builds(File, data=st.binary(max_size=40), media_type=st.sampled_from(["text/plain", "application/pdf", None])),
)
contents = st.lists(parts, min_size=1, max_size=3).map(tuple)
calls = st.builds(
    ToolCall,
    call_id=st.sampled_from(["a", "b", "c", "d"]),  # servers repeat ids: even within one answer
    name=st.sampled_from(["weather", "pay"]),
    arguments=texts,
)
said = st.one_of(
    st.builds(AssistantMessage, text=texts),
    st.builds(Reasoning, text=texts, raw=st.one_of(st.none(), texts)),
    st.builds(ProviderItem, type=st.just("web_search_call"), raw=texts),
)
output: st.SearchStrategy[tuple[OutputItem, ...]] = st.lists(st.one_of(said, calls, calls), max_size=4).map(tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Entries as a store returns them, and the same before their front was cut off."""

    whole: tuple[Measured, ...]
    entries: tuple[Measured, ...]


@st.composite
def turn_entries(draw: st.DrawFn, turn: str) -> list[Entry]:
    """Entries of a turn, the first of them its start."""
    entries: list[Entry] = [TurnStarted(turn=turn, input=UserMessage(content=draw(contents)))]
    for step in range(draw(st.integers(0, 3))):
        items = draw(output)
        prompt = draw(st.one_of(st.none(), st.builds(DeveloperMessage, text=texts)))
        usage = Usage(reasoning_tokens=draw(st.sampled_from([0, 0, 50])))
        entries.append(ModelResponded(turn=turn, step=step, model="m", items=items, usage=usage, prompt=prompt))
        entries += draw(_ends(turn, step, [item for item in items if isinstance(item, ToolCall)]))
    outcomes: list[TurnOutcome] = ["completed", "waiting", "failed"]
    for outcome in draw(st.lists(st.sampled_from(outcomes), max_size=1)):
        entries.append(TurnFinished(turn=turn, outcome=outcome, usage=Usage()))
    return entries


@st.composite
def _ends(draw: st.DrawFn, turn: str, step: int, asked: Sequence[ToolCall]) -> list[Entry]:
    """What became of the calls of a step: begun, ended, neither; in any order, and with ends that nobody asked for."""
    begun: list[Entry] = []
    ended: list[Entry] = []
    for index, call in enumerate(asked):
        key = f"{step}.{index}"
        fate = draw(st.sampled_from(["ended", "ended", "ended", "begun", "neither"]))
        if fate != "neither":
            begun.append(_begun(turn, key, call))
        if fate == "ended":
            ended.append(_ended(turn, key, call.call_id, call.name, draw(contents)))
    if draw(st.booleans()):
        ended.append(_ended(turn, f"{step}.9", "orphan", "weather", draw(contents)))
    decided = ApprovalDecided(turn=turn, key="0.0", call_id="a", arguments_hash="", approved=True)
    return [*begun, *draw(st.permutations([*ended, decided]))]


def _begun(turn: str, key: str, call: ToolCall) -> ToolStarted:
    return ToolStarted(
        turn=turn, key=key, call_id=call.call_id, tool=call.name, arguments_hash="", effect="once", idempotency_key=""
    )


def _ended(turn: str, key: str, call_id: str, tool: str, content: tuple[Part, ...]) -> ToolFinished:
    return ToolFinished(turn=turn, key=key, call_id=call_id, tool=tool, outcome="ok", content=content)


@st.composite
def journals(draw: st.DrawFn, *, max_turns: int = 6) -> Journal:
    """A journal of which only a tail was read, counted by this counter or by another."""
    entries: list[Entry] = []
    for number in range(draw(st.integers(0, max_turns))):
        entries += draw(turn_entries(f"t{number}"))
    known = [draw(st.booleans()) for _ in entries]
    measured = tuple(
        measure(entry, COUNTER) if mine else Measured(entry=entry, tokens=7, counted_by="another")
        for entry, mine in zip(entries, known, strict=True)
    )
    return Journal(whole=measured, entries=measured[draw(st.integers(0, len(measured))) :])


def check_well_formed(items: Sequence[Item]) -> None:
    """Check what every provider asks for: each call is answered exactly once, directly after the model made it."""
    open_calls: list[str] = []
    answering = False
    for item in items:
        if isinstance(item, ToolAnswer):
            assert open_calls, f"an answer to no call: {item}"
            assert item.call_id == open_calls.pop(0)
            answering = True
            continue
        if answering:
            assert not open_calls, f"{open_calls} should be answered before {item}"
            answering = False
        if isinstance(item, ToolCall):
            open_calls.append(item.call_id)
        elif isinstance(item, UserMessage | DeveloperMessage):
            assert not open_calls, f"{open_calls} should be answered before {item}"
    assert not open_calls, f"{open_calls} are not answered"
