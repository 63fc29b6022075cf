"""Takes private values out of what is written to an event log, before it is written."""

from collections.abc import Sequence
from typing import Final, cast

from assistant_kit.events import (
    ApprovalRequired,
    Delta,
    Event,
    ReasoningToken,
    RefusalToken,
    TextRetracted,
    Token,
    ToolRequest,
    ToolResult,
)
from assistant_kit.json_masking import at_once, replaced_in_json
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.masker import TextStream
from assistant_kit.run.masking import Masks
from assistant_kit.run.restored_events import KeptEvents

_DELTAS: Final = (Token, ReasoningToken, RefusalToken)
_ENDS_TEXTS: Final = (TextRetracted, ToolRequest, ApprovalRequired, ToolResult)
_OURS: Final = frozenset({"request_id", "status", "usage"})
"""Fields in which nobody writes, and by which turns are found."""


class _Piecemeal:
    """One text in pieces. A piece that could not be masked may be given again: the vault may be back by then."""

    def __init__(self, kept: KeptEvents) -> None:
        self._kept = kept
        self._stream: TextStream | None = None
        self._raw = ""
        self._given = 0
        self._skipped = 0

    async def feed(self, piece: str) -> str:
        """Return what is certain by now. Raises StoreError."""
        raw = self._raw + piece
        if self._stream is None:  # the first, or the one before is over: masked anew, the text begins as it did
            self._stream, self._skipped, piece = self._kept.text(), self._given, raw
        stream, self._stream = self._stream, None
        text = await stream.feed(piece)
        self._stream, self._raw = stream, raw
        return self._new(text)

    async def finish(self) -> str:
        """Return the rest. Raises StoreError. May be called again, as another text may fail after it."""
        stream, self._stream = self._stream, None
        if stream is not None:
            return (await stream.finish())[self._skipped :]
        stream = self._kept.text()
        whole = await stream.feed(self._raw) + await stream.finish()
        return whole[self._given :]

    def _new(self, text: str) -> str:
        new = text[self._skipped :]
        self._skipped = max(0, self._skipped - len(text))
        self._given += len(new)
        return new


class Keeping:
    """Masks the events of one conversation's runs, in their order, and leaves them as they are without `masks`.

    A pseudonym stands whole in one event. Each method either does all or raises StoreError: then it may be called again
    with the same.
    """

    def __init__(self, masks: Masks | None) -> None:
        self._masks = masks
        self._kept = None if masks is None else KeptEvents(masks)
        self._texts: dict[type[Delta], _Piecemeal] = {}

    async def take(self, event: Event) -> Sequence[Event]:
        """Return what is told now: of a text not what may still become a value."""
        if self._kept is None:
            return (event,)
        if isinstance(event, _DELTAS):
            kind = type(event)
            text = await self._texts.setdefault(kind, _Piecemeal(self._kept)).feed(event.text)
            return (kind(text),) if text else ()
        if not isinstance(event, _ENDS_TEXTS):  # it may come in the middle of a text
            return (await self._kept.changed(event),)
        changed = await self._kept.changed(event)
        return (*await self.rest(), changed)

    async def rest(self) -> Sequence[Event]:
        """Return what was held back: the texts have ended."""
        rest = [kind(text) for kind, each in self._texts.items() if (text := await each.finish())]
        self._texts.clear()
        return rest

    async def data(self, data: JsonObject) -> JsonObject:
        """Return what is said of a turn, in which pseudonyms may stand already."""
        masks = self._masks
        if masks is None:
            return data
        private = {name: value for name, value in data.items() if name not in _OURS}
        masked = await at_once(masks.from_model, lambda replace: replaced_in_json(private, replace))
        return {**data, **cast("JsonObject", masked)}


async def masked_extra(masks: Masks | None, extra: JsonObject | None) -> JsonObject | None:
    """Return what an application adds to a message, as it is written. Raises StoreError."""
    if masks is None or extra is None:
        return extra

    async def mask(texts: Sequence[str]) -> Sequence[str]:
        return [await masks.words(text) for text in texts]

    return cast("JsonObject", await at_once(mask, lambda replace: replaced_in_json(extra, replace)))
