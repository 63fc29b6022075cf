"""A reader as an application writes one: it applies events to a page, and may lose its connection at any time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from assistant_kit.messages import JsonObject
from assistant_kit.protocols.event_log import Entry


@dataclass
class TurnOnPage:
    """One turn as it stands on a page."""

    text: str = ""
    calls: dict[str, str] = field(default_factory=dict[str, str])
    ended: JsonObject | None = None


@dataclass
class Page:
    """What a reader has before them: turns by their request ids, and the id to go on from."""

    turns: dict[str, TurnOnPage] = field(default_factory=dict[str, TurnOnPage])
    current: str = ""
    last_id: int | None = None
    ids: list[int] = field(default_factory=list[int])
    resets: int = 0

    def show(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.last_id = entry.id
            if entry.name == "reset":
                self.resets += 1
                self.turns.clear()
                self.ids.clear()
            else:
                self.ids.append(entry.id)
                self._apply(entry.name, entry.data)

    @property
    def is_dense(self) -> bool:
        """Whether no id was missing, and none came twice."""
        return all(later == earlier + 1 for earlier, later in zip(self.ids, self.ids[1:], strict=False))

    def _apply(self, name: str, data: JsonObject) -> None:
        if name == "message":
            self.current = str(data["request_id"])
            self.turns[self.current] = TurnOnPage()
        turn = self.turns.get(self.current)
        if turn is None:
            return
        match name:
            case "token":
                turn.text += str(data["text"])
            case "text_retracted":
                text = str(data["text"])
                assert turn.text.endswith(text), f"{text!r} is taken back, and {turn.text!r} stands there"
                turn.text = turn.text.removesuffix(text)
            case "tool_request":
                assert str(data["call_id"]) not in turn.calls, "a call is asked for twice"
                turn.calls[str(data["call_id"])] = "asked"
            case "tool_result":
                assert turn.calls[str(data["call_id"])] == "asked", "a result comes twice, or of no call"
                turn.calls[str(data["call_id"])] = str(data["outcome"])
            case "complete" | "error":
                turn.ended = data
            case _:
                pass
