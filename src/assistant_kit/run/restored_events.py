"""What the reader of a masked run gets: events with private values in them, or such as may be kept."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from assistant_kit.events import (
    ApprovalRequired,
    Complete,
    Delayed,
    Delta,
    Event,
    FellBack,
    ReasoningToken,
    RefusalToken,
    Retrying,
    TextRetracted,
    Token,
    ToolProgress,
    ToolRequest,
    ToolResult,
)
from assistant_kit.protocols.masker import TextStream
from assistant_kit.run.masking import Masks

_DELTAS = (Token, ReasoningToken, RefusalToken)
_MEANWHILE = (Delayed, Retrying, FellBack)
"""They may come in the middle of a text."""


class ReadEvents(ABC):
    """Changes the events of one run, in their order. Each method raises StoreError.

    Of a text that comes in pieces it holds back what cannot be told yet, up to its end.
    """

    def __init__(self, masks: Masks) -> None:
        self.masks: Masks = masks
        self._texts: dict[type[Delta], TextStream] = {}

    async def take(self, event: Event) -> Sequence[Event]:
        """Take an event, and return those that the reader gets now."""
        if isinstance(event, _DELTAS):
            kind = type(event)
            if kind not in self._texts:
                self._texts[kind] = self.text()
            text = await self._texts[kind].feed(event.text)
            return (kind(text),) if text else ()
        if isinstance(event, _MEANWHILE):
            return (event,)
        return (*await self.rest(), await self.changed(event))

    async def rest(self) -> Sequence[Event]:
        """Return what was held back: the text has ended."""
        rest = [kind(text) for kind, stream in self._texts.items() if (text := await stream.finish())]
        self._texts.clear()
        return rest

    @abstractmethod
    def text(self) -> TextStream:
        """Return what changes one text."""

    @abstractmethod
    async def changed(self, event: Event) -> Event:
        """Return an event that is no piece of a text."""


class RestoredEvents(ReadEvents):
    """Puts values back, for the reader of a run."""

    def text(self) -> TextStream:
        """Return what restores one text."""
        return self.masks.restore_stream()

    async def changed(self, event: Event) -> Event:
        """Restore an event."""
        masks = self.masks
        if isinstance(event, ToolRequest | ApprovalRequired):
            return replace(event, arguments=None if event.arguments is None else await masks.object(event.arguments))
        if isinstance(event, ToolResult):
            return replace(event, content=await masks.content(event.content))
        if isinstance(event, ToolProgress):
            return event if event.message is None else replace(event, message=await self._value(event.message))
        if isinstance(event, TextRetracted):
            return replace(event, text=await self._value(event.text))
        return replace(event, output=await masks.output(event.output)) if isinstance(event, Complete) else event

    async def _value(self, text: str) -> str:
        return (await self.masks.values([text]))[0]


class KeptEvents(ReadEvents):
    """Leaves nothing private in events, for a log of them. A pseudonym stands whole in one event.

    An output that is no text becomes JSON. The error of a run is left as it is.
    """

    def text(self) -> TextStream:
        """Return what masks one text."""
        return self.masks.mask_stream()

    async def changed(self, event: Event) -> Event:
        """Mask what is not masked yet."""
        if isinstance(event, ToolProgress) and event.message is not None:
            return replace(event, message=await self.masks.words(event.message))
        if isinstance(event, TextRetracted):
            return replace(event, text=(await self.masks.from_model([event.text]))[0])
        return (
            replace(event, output=await self.masks.kept_output(event.output)) if isinstance(event, Complete) else event
        )
