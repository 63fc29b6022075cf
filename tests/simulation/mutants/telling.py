"""Bugs of what models and callers are told."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from assistant_kit import conversation
from assistant_kit.entries import ModelResponded, ToolFinished
from assistant_kit.journal_reader import JournalReader
from assistant_kit.messages import ToolAnswer
from assistant_kit.run import loop, one_call
from assistant_kit.session import Session
from tests.simulation.mutants.planting import Swap, mutant, of


def _instead_of_unknown(outcome: str) -> Sequence[Swap]:
    entry = of(one_call, "_entry")

    def told(run: Any, one: Any, end: Any) -> ToolFinished:
        return entry(run, one, replace(end, outcome=outcome) if end.outcome == "unknown" else end)

    return [(one_call, "_entry", told)]


@mutant
def unknown_reported_as_ok() -> Sequence[Swap]:
    """A call of which nobody knows is said to have been made."""
    return _instead_of_unknown("ok")


@mutant
def unknown_reported_as_error() -> Sequence[Swap]:
    """A call of which nobody knows is said to have failed."""
    return _instead_of_unknown("error")


@mutant
def window_drops_an_answer() -> Sequence[Swap]:
    """Of several calls, the answer to the last one is not sent to the model."""
    block_of = of(conversation, "_block_of")

    def shortened(step: Any, counter: Any) -> Any:
        block = block_of(step, counter)
        answers = [item for item in block.items if isinstance(item, ToolAnswer)]
        return replace(block, items=block.items[:-1]) if len(answers) > 1 else block

    return [(conversation, "_block_of", shortened)]


@mutant
def history_of_another_user() -> Sequence[Swap]:
    """What was said before is kept by the name of the conversation alone."""
    past = of(Session, "past")
    kept: dict[str, Any] = {}

    async def cached(self: Any, before: int, **known: Any) -> Any:
        found = await past(self, before, **known)
        return replace(kept.setdefault(self.conversation, found), seq=found.seq) if found.view.turns else found

    return [(Session, "past", cached)]


@mutant
def recorded_answer_of_another_request() -> Sequence[Swap]:
    """A repeated request is answered with the first turn of the conversation."""
    turn_at = of(JournalReader, "turn_at")

    async def first(self: Any, seq: int) -> Any:
        del seq
        return await turn_at(self, 1)

    return [(JournalReader, "turn_at", first)]


@mutant
def answered_from_the_wrong_step() -> Sequence[Swap]:
    """The first answer of a turn is returned, not the last."""
    completed = of(loop, "_completed")

    def first(run: Any, response: ModelResponded) -> Any:
        answers = [m.entry for m in run.entries if isinstance(m.entry, ModelResponded)]
        return completed(run, answers[0] if answers and run.parts.output is None else response)

    return [(loop, "_completed", first)]
