"""The texts in what a conversation is made of, replaced by others: masked on the way in, restored on the way out."""

from collections.abc import Sequence
from dataclasses import replace as with_other
from typing import Any

from assistant_kit.json_masking import Replace, replaced_in_json_lines, replaced_in_json_text
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
    UserMessage,
)
from assistant_kit.run.history import HistoryTurn
from assistant_kit.run.result import CallResult, Result


def replaced_parts(content: Sequence[Part], replace: Replace) -> tuple[Part, ...]:
    """Return content with its texts replaced: also addresses, names of files, and files that are UTF-8 text."""
    return tuple(_part(part, replace) for part in content)


def replaced_output(items: Sequence[OutputItem], replace: Replace) -> tuple[OutputItem, ...]:
    """Return what a model has written, with its texts replaced.

    Where the provider's own form of an item would be another one, it is left out, and made anew from the item. Only of
    what has no other form (reasoning, hosted tools) it is changed in place.
    """
    return tuple(_output(item, replace) for item in items)


def replaced_item(item: Item, replace: Replace) -> Item:
    """Return an item of a conversation with its texts replaced."""
    if isinstance(item, UserMessage | ToolAnswer):
        return with_other(item, content=replaced_parts(item.content, replace))
    if isinstance(item, DeveloperMessage):
        return with_other(item, text=replace(item.text))
    return _output(item, replace)


def replaced_result(result: Result[Any], replace: Replace, *, plain: bool) -> Result[Any]:
    """Return what a run returns with its texts replaced; its output only if it is `plain` text."""
    return with_other(
        result,
        output=replace(result.output) if plain and result.output is not None else result.output,
        text=replace(result.text),
        refusal=_maybe(result.refusal, replace),
        messages=tuple(replaced_item(item, replace) for item in result.messages),
        tool_calls=tuple(replaced_call(call, replace) for call in result.tool_calls),
    )


def replaced_turn(turn: HistoryTurn, replace: Replace) -> HistoryTurn:
    """Return a turn with its texts replaced."""
    told = with_other(
        turn,
        content=replaced_parts(turn.content, replace),
        text=replace(turn.text),
        reason=replace(turn.reason),
        steps=tuple(with_other(step, text=replace(step.text)) for step in turn.steps),
    )
    return told.with_calls([replaced_call(call, replace) for call in turn.tool_calls])


def replaced_call(call: CallResult, replace: Replace) -> CallResult:
    """Return a call with its texts replaced; its digest stays that of the recorded arguments."""
    return with_other(
        call,
        recorded_digest=call.digest,
        arguments=replaced_in_json_text(call.arguments, replace),
        content=replaced_parts(call.content, replace),
        resolved_by=_maybe(call.resolved_by, replace),
    )


def _part(part: Part, replace: Replace) -> Part:
    if isinstance(part, Text):
        return with_other(part, text=replaced_in_json_lines(part.text, replace))
    if isinstance(part, Image):
        return with_other(part, url=_maybe(part.url, replace))
    text = _text_in(part)
    data = part.data if text is None else replace(text).encode()
    return with_other(part, data=data, url=_maybe(part.url, replace), filename=_maybe(part.filename, replace))


def _text_in(file: File) -> str | None:
    """Return what a file says if it is text; a PDF may have letters only, and names places in itself by number."""
    if not file.data or b"\0" in file.data or file.data.startswith(b"%PDF"):
        return None
    try:
        return file.data.decode()
    except UnicodeDecodeError:
        return None


def _output(item: OutputItem, replace: Replace) -> OutputItem:
    if isinstance(item, ProviderItem):
        return with_other(item, raw=replaced_in_json_text(item.raw, replace))
    raw = None if item.raw is None else replaced_in_json_text(item.raw, replace)
    if isinstance(item, Reasoning):
        return with_other(item, text=replace(item.text), raw=raw)
    if isinstance(item, AssistantMessage):
        changed = with_other(item, text=replace(item.text), refusal=_maybe(item.refusal, replace))
    else:
        changed = with_other(item, arguments=replaced_in_json_text(item.arguments, replace))
    return item if changed == item and raw == item.raw else with_other(changed, raw=None)


def _maybe(text: str | None, replace: Replace) -> str | None:
    return None if text is None else replace(text)
