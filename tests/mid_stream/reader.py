"""What the reader of a stream is left with, and what a stream may not do to a reader."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from assistant_kit.events import (
    Complete,
    Error,
    Event,
    FellBack,
    ReasoningToken,
    RefusalToken,
    Retrying,
    TextRetracted,
    Token,
    ToolRequest,
)


@dataclass(slots=True)
class Reader:
    """Reads the events of a run, and notes in `wrong` what may not be.

    `kept` is the text that stands, answer by answer: each round of tools ends one, and so does `complete`. `anew` are
    the retries of what had been shown in part.
    """

    kept: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])
    retracted: list[str] = field(default_factory=list[str])
    retries: int = 0
    fallbacks: int = 0
    anew: int = 0
    _shown: str = ""
    _seen: bool = False
    _asking: bool = False
    _last: str = ""

    def read(self, events: Sequence[Event]) -> "Reader":
        """Read a whole stream."""
        for event in events:
            self._take(event)
            self._last = event.kind
        self.wrong += endings(events)
        return self

    def _take(self, event: Event) -> None:
        match event:
            case Token() | RefusalToken():
                self._shown += event.text
                self._seen = True
                self._asking = False
            case ReasoningToken():
                self._seen = True
                self._asking = False
            case TextRetracted():
                self._retract(event.text)
            case Retrying() | FellBack() | Error():
                self._nothing_stands(event)
            case ToolRequest():
                if not self._asking:
                    self._keep()
                self._asking = True
            case Complete():
                self._keep()
            case _:
                pass

    def _retract(self, text: str) -> None:
        if not self._seen:
            self.wrong.append(f"{text!r} is retracted, and nothing was shown")
        if text != self._shown:
            self.wrong.append(f"{text!r} is retracted, and {self._shown!r} was shown")
        self.retracted.append(text)
        self._shown, self._seen = "", False

    def _nothing_stands(self, event: Retrying | FellBack | Error) -> None:
        self.retries += isinstance(event, Retrying)
        self.fallbacks += isinstance(event, FellBack)
        self.anew += isinstance(event, Retrying) and self._last == "text_retracted"
        if self._seen:
            self.wrong.append(f"{event.kind} comes while {self._shown!r} stands")

    def _keep(self) -> None:
        self.kept.append(self._shown)
        self._shown, self._seen = "", False


def endings(events: Sequence[Event]) -> Iterator[str]:
    """Yield what is wrong with how a stream ends."""
    ends = [index for index, event in enumerate(events) if isinstance(event, Complete | Error)]
    if ends != [len(events) - 1]:
        yield f"of {len(events)} events those at {ends} end the stream"
