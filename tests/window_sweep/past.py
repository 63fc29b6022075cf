"""Journals drawn by chance: parallel calls, missing or late ends, orphans, giant results, any script, many turns."""

from collections.abc import Iterator
from random import Random

from assistant_kit.conversation import measure
from assistant_kit.entries import (
    CallResolved,
    Entry,
    Measured,
    MemoriesRecalled,
    ModelResponded,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Image,
    OutputItem,
    Part,
    ProviderItem,
    Reasoning,
    Text,
    ToolCall,
    UserMessage,
)
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.usage import Usage

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x02\x00\x00\x00"
REMEMBERED = "Remembered: "
"""What recalled memories begin with."""
_SCRIPTS = (
    "the rain in Oslo ",
    "regn i Tromsø ",
    "дождь ",
    "東京の雨",
    "🌧️👨‍👩‍👧 ",
    "{}[]\\n",
    "\u200b\u0301",
    "0123456789",
)
_REPEATED = "the same answer as ever " * 12
_GIANT = 1_000  # repetitions
_MANY = 10_000  # turns


def drawn_past(chance: Random, counter: TokenCounter) -> list[Measured]:
    """Draw a journal, counted by this counter or, here and there, by another."""
    turns = _MANY if chance.random() < 1 / 4_000 else int(chance.paretovariate(0.9)) % 200
    entries = _resolved(chance, [entry for number in range(turns) for entry in _turn(chance, number)])
    return [
        measure(entry, counter)
        if chance.random() < 0.97
        else Measured(entry=entry, tokens=chance.randrange(50), counted_by="another")
        for entry in entries
    ]


def marked(number: int) -> str:
    """What the user's message of a turn begins with."""
    return f"#{number}: "


def _turn(chance: Random, number: int) -> Iterator[Entry]:
    turn = f"{number:032x}"
    said: tuple[Part, ...] = (Text(text=marked(number) + _text(chance)),)
    if chance.random() < 0.05:
        said = (*said, Image(data=PNG, media_type="image/png"))
    yield TurnStarted(turn=turn, input=UserMessage(content=said))
    if chance.random() < 0.1:
        remembered = UserMessage(content=(Text(text=REMEMBERED + _text(chance)),))
        yield MemoriesRecalled(turn=turn, memories=(str(number),), message=remembered)
    for step in range(1, 1 + chance.choice((1, 1, 1, 2, 3, 6))):
        yield from _step(chance, turn, step)
    outcome = chance.choices(("completed", "cancelled", "failed", None), (90, 4, 4, 2))[0]
    if outcome is not None:
        yield TurnFinished(turn=turn, outcome=outcome, usage=Usage())


def _step(chance: Random, turn: str, step: int) -> Iterator[Entry]:
    calls = [
        ToolCall(
            call_id=chance.choice((f"{turn[-4:]}{step}{index}", "a", "b")),
            name=chance.choice(("look", "pay")),
            arguments=chance.choice(("{}", '{"city":"Oslo"}', _text(chance))),
        )
        for index in range(chance.choice((0, 0, 1, 1, 2, 5)))
    ]
    items: list[OutputItem] = [*calls]
    if chance.random() < 0.2:
        items.insert(0, Reasoning(text=_text(chance), raw=chance.choice((None, _text(chance)))))
    if chance.random() < 0.05:
        items.append(ProviderItem(type="web_search_call", raw=_text(chance)))
    if not calls or chance.random() < 0.1:
        items.append(AssistantMessage(text=_text(chance)))
    prompt = DeveloperMessage(text="Again.") if chance.random() < 0.03 else None
    yield ModelResponded(turn=turn, step=step, model="m", items=tuple(items), usage=Usage(), prompt=prompt)
    ends = [_end(chance, turn, f"{step}.{index}", call) for index, call in enumerate(calls)]
    if chance.random() < 0.03:
        ends.append(_end(chance, turn, f"{step}.9", ToolCall(call_id="orphan", name="look", arguments="{}")))
    for call, end in zip(calls, ends, strict=False):
        if chance.random() < 0.5:
            yield ToolStarted(
                turn=turn,
                key=end.key,
                call_id=call.call_id,
                tool=call.name,
                arguments_hash="",
                effect="once",
                idempotency_key="",
            )
    chance.shuffle(ends)
    yield from (end for end in ends if chance.random() < 0.97)


def _end(chance: Random, turn: str, key: str, call: ToolCall) -> ToolFinished:
    content = _said(chance)
    if chance.random() < 0.02:
        content = (*content, Image(data=PNG, media_type="image/png"))
    tool = call.name if chance.random() < 0.97 else chance.choice(("", "look up and pay"))  # from elsewhere
    outcome = "ok" if chance.random() < 0.95 else "unknown"
    return ToolFinished(turn=turn, key=key, call_id=call.call_id, tool=tool, outcome=outcome, content=content)


def _resolved(chance: Random, entries: list[Entry]) -> list[Entry]:
    """Add, here and there, what was found out about calls after their turn was over."""
    told: list[Entry] = []
    unknown: list[ToolFinished] = []
    for entry in entries:
        told.append(entry)
        if isinstance(entry, ToolFinished) and entry.outcome == "unknown" and chance.random() < 0.5:
            unknown.append(entry)
        if isinstance(entry, TurnFinished):
            told += (
                CallResolved(
                    turn=end.turn, key=end.key, call_id=end.call_id, tool=end.tool, outcome="ok", content=_said(chance)
                )
                for end in unknown
            )
            unknown = []
    return told


def _said(chance: Random) -> tuple[Part, ...]:
    return (Text(text=_REPEATED if chance.random() < 0.3 else _text(chance, long=0.2)),)


def _text(chance: Random, *, long: float = 0.03) -> str:
    times = chance.randrange(1, 6)
    if chance.random() < long:
        times = chance.choice((20, 60, _GIANT))
    return chance.choice(_SCRIPTS) * times
