"""Whether the last turn of a journal is finished, as its records tell."""

import json
from collections.abc import Mapping
from typing import Final

from assistant_kit.protocols.store import NewRecord, TurnState

_PAUSES: Final[Mapping[str, TurnState]] = {"waiting": "waiting", "parked": "parked"}
_WHENEVER: Final = ("approval_decided", "call_resolved")
"""What may be recorded without going on with the turn."""


class LastTurn:
    """Takes the records of a journal in order, and knows what their writer has left behind."""

    def __init__(self) -> None:
        self.state: TurnState = "idle"
        self.open_turn: int | None = None

    def take(self, seq: int, record: NewRecord) -> None:
        """Take the next record. Raises ValueError when the end of a turn cannot be read."""
        match record.kind:
            case "turn_started":
                self.state, self.open_turn = "open", seq
            case "turn_finished":
                self.state = _PAUSES.get(_outcome(record.body), "idle")
                self.open_turn = None if self.state == "idle" else self.open_turn
            case kind if kind in _WHENEVER or self.state == "idle":
                pass
            case _:
                self.state = "open"


def _outcome(body: bytes) -> str:
    match json.loads(body):
        case {"outcome": str(outcome)}:
            return outcome
        case _:
            raise ValueError("a turn_finished has no outcome")
