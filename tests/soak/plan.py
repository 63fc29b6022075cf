"""What goes wrong when, decided by a seed: the provider, in a process of its own, and the judge know the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

ModelFault: TypeAlias = Literal[
    "429",
    "429 with Retry-After",
    "500",
    "503",
    "503 with Retry-After",
    "no word",
    "silence",
    "cut",
    "silence in mid-stream",
    "error event",
    "overloaded in mid-stream",
    "broken JSON",
    "early end",
    "no JSON at all",
]
MODEL_FAULTS: tuple[ModelFault, ...] = ModelFault.__args__
SURELY_RETRIED: frozenset[ModelFault] = frozenset(
    {"429", "429 with Retry-After", "500", "503", "503 with Retry-After", "no word", "silence"}
)
"""Faults after which nothing of an answer has come, and which may pass: a retry hides them."""

ToolFault: TypeAlias = Literal["error for the model", "exception", "silence", "no JSON at all"]
TOOL_FAULTS: tuple[ToolFault, ...] = ToolFault.__args__

MODELS = ("first", "second")
ATTEMPTS = 3
"""Attempts that the default retries make."""
_LEFT = 0.02
_TOOL_TURNS = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What goes wrong, at `rate` faults a request and a tool call.

    A `ref` such as `12.3.4` names a turn: the person, the conversation, the turn in it.
    """

    seed: int
    rate: float

    def chance(self, *names: object) -> float:
        """Return a number from 0 up to 1 that these names always get."""
        digest = blake2b(repr((self.seed, names)).encode(), digest_size=7).digest()
        return int.from_bytes(digest) / (1 << 56)

    def model_fault(self, model: str, ref: str, step: int, attempt: int) -> ModelFault | None:
        """Return what happens to an attempt to ask a model for a step."""
        where = ("model", model, ref, step, attempt)
        if self.chance(*where) >= self.rate:
            return None
        return MODEL_FAULTS[int(self.chance("which", *where) * len(MODEL_FAULTS))]

    def tool_fault(self, tool: str, ref: str) -> ToolFault | None:
        """Return what happens to a call of a tool."""
        if self.chance("tool", tool, ref) >= self.rate:
            return None
        return TOOL_FAULTS[int(self.chance("which", tool, ref) * len(TOOL_FAULTS))]

    def tools(self, ref: str) -> tuple[str, ...]:
        """Return the tools that a model asks for in the first step of a turn."""
        chance = self.chance("tools", ref) / _TOOL_TURNS
        if chance >= 1:
            return ()
        return (("look",), ("pay",), ("look", "pay"))[int(chance * 3)]

    def way(self, ref: str) -> Literal["run", "stream", "leave"]:
        """Return how a turn is asked for; a stream that is left is left at its first event."""
        chance = self.chance("way", ref)
        return "leave" if chance < _LEFT else "stream" if chance < (1 + _LEFT) / 2 else "run"

    def may_fail(self, ref: str, step: int) -> bool:
        """Tell whether no model need have answered a step: each has failed in a way that retries do not hide.

        So what a reader may see is a second model that fails while the first one is failing: both after a part of the
        answer has come, or by an answer that is none, or three times in a row.
        """
        return all(self._may_fail(model, ref, step) for model in MODELS)

    def _may_fail(self, model: str, ref: str, step: int) -> bool:
        for fault in self._attempts(model, ref, step):
            if fault is None:
                return False
            if fault not in SURELY_RETRIED:
                return True
        return True

    def _attempts(self, model: str, ref: str, step: int) -> Iterator[ModelFault | None]:
        return (self.model_fault(model, ref, step, attempt) for attempt in range(1, ATTEMPTS + 1))


def answer_to(ref: str) -> str:
    """Return the last words of a turn."""
    return f"Answer to {ref}: all is well."
