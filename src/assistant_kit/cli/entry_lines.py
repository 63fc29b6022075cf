"""Journal entries as a person reads them: a few words each, and the texts that belong to them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from assistant_kit.entries import (
    ApprovalDecided,
    CallResolved,
    Compacted,
    Entry,
    MemoriesExtracted,
    MemoriesRecalled,
    ModelResponded,
    ToolFinished,
    ToolNoted,
    ToolStarted,
    TurnFinished,
    TurnResumed,
    TurnStarted,
    TurnSuspended,
)
from assistant_kit.messages import AssistantMessage, Image, OutputItem, Part, Reasoning, Text, ToolCall
from assistant_kit.tool_spec import Effect, Keyed
from assistant_kit.usage import Usage

_SHORT = 8  # characters of a hash, an id or a key, which are never read and sometimes compared


class Line(NamedTuple):
    """What happened in a word, and more of it."""

    label: str
    text: str


def lines_of(entry: Entry, *, full: bool) -> Iterator[Line]:
    """Yield an entry's lines, the main one first; with `full`, ids and keys are whole."""
    match entry:
        case TurnStarted():
            yield Line("user", _content(entry.input.content))
        case ModelResponded():
            yield from _model(entry)
        case TurnResumed():
            yield Line("resumed", f"attempt {entry.attempt}, by worker {_id(entry.worker, full=full)}")
        case TurnSuspended():
            yield Line("left", f"for a later attempt: {entry.reason}")
        case TurnFinished():
            yield _end(entry)
        case Compacted() | MemoriesRecalled() | MemoriesExtracted():
            yield _window(entry)
        case _:
            yield _call(entry, full=full)


def _window(entry: Compacted | MemoriesRecalled | MemoriesExtracted) -> Line:
    match entry:
        case Compacted():
            return Line(
                "compacted", f"{entry.strategy}, {len(entry.summaries)} summaries, before record {entry.before}"
            )
        case MemoriesRecalled():
            return Line("recalled", _content(entry.message.content))
        case _:
            return Line("learned", f"{len(entry.memories)} memories, up to record {entry.until}")


def _call(entry: ToolStarted | ToolNoted | ToolFinished | CallResolved | ApprovalDecided, *, full: bool) -> Line:
    match entry:
        case ToolStarted():
            attempt = "" if entry.attempt == 1 else f", attempt {entry.attempt}"
            key = _id(entry.idempotency_key, full=full)
            return Line("start", f"{entry.key} {entry.tool}: {_effect(entry.effect)}{attempt}, key {key}")
        case ToolNoted():
            return Line("note", f"{entry.key}: {entry.note}")
        case ToolFinished():
            outcome = entry.outcome.upper() if entry.outcome == "unknown" else entry.outcome
            return Line("end", f"{entry.key} {entry.tool}: {outcome}, {_content(entry.content)}")
        case CallResolved():
            by = f" by {entry.by}" if entry.by else ""
            return Line("settled", f"{entry.key} {entry.tool}: {entry.outcome}{by}, {_content(entry.content)}")
        case _:
            by = f" by {entry.by}" if entry.by else ""
            return Line("decided", f"{entry.key} {'approved' if entry.approved else 'denied'}{by}")


def _model(entry: ModelResponded) -> Iterator[Line]:
    finish = "" if entry.finish in ("stop", "tool_calls") else f", {entry.finish}"
    yield Line("model", f"{entry.model}, {_tokens(entry.usage)}{finish}")
    if entry.prompt is not None:
        yield Line("told", entry.prompt.text)
    index = 0
    for item in entry.items:
        if isinstance(item, ToolCall):
            yield Line("asks", f"{entry.step}.{index} {item.name} {item.arguments}")
            index += 1
        else:
            yield _said(item)


def _said(item: OutputItem) -> Line:
    match item:
        case AssistantMessage(refusal=None):
            return Line("says", item.text)
        case AssistantMessage():
            return Line("refuses", f"{item.refusal}")
        case Reasoning():
            return Line("thinks", item.text or "(hidden)")
        case _:
            return Line("item", item.type if item.kind == "provider" else item.kind)


def _end(entry: TurnFinished) -> Line:
    reason = f": {entry.reason}" if entry.reason else ""
    used = "" if entry.usage == Usage() else f", {_tokens(entry.usage)}"
    label = "pause" if entry.outcome in ("waiting", "parked") else "finish"
    return Line(label, f"{entry.outcome}{used}{reason}")


def _tokens(usage: Usage) -> str:
    if not usage.reported:
        return "usage not reported"
    return f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"


def _effect(effect: Effect) -> str:
    return f"keyed({effect.ttl:g})" if isinstance(effect, Keyed) else effect


def _content(parts: Sequence[Part]) -> str:
    return " ".join(map(_part, parts)) or "(empty)"


def _part(part: Part) -> str:
    match part:
        case Text():
            return part.text
        case Image():
            return f"[image {part.url or part.media_type or ''}]"
        case _:
            return f"[file {part.filename or part.url or part.media_type or ''}]"


def _id(text: str, *, full: bool) -> str:
    return text if full or len(text) <= _SHORT else f"{text[:_SHORT]}…"
