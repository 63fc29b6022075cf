"""Items of the SDK as records of a journal that this library reads as a conversation.

A user's message begins a turn, what the model says and calls is an answer of it, and a message behind which no call is
open ends it. What an entry would not give back as it came is noted behind it in its exact form.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic_core import from_json

from assistant_kit.conversation import OUTCOME_UNKNOWN, measure
from assistant_kit.entries import (
    CallResolved,
    Entry,
    Measured,
    ModelResponded,
    ToolFinished,
    ToolNoted,
    TurnFinished,
    TurnOutcome,
    TurnStarted,
)
from assistant_kit.integrations.openai_agents.items import (
    SDK,
    Item,
    exact,
    is_answer,
    items_of,
    model_of,
    output_items,
    result_content,
    result_item,
    role_of,
    user_message,
)
from assistant_kit.integrations.openai_agents.reading import BESIDE, INSTEAD
from assistant_kit.messages import Outcome, Part, Text, ToolCall, UserMessage
from assistant_kit.protocols.store import NewRecord
from assistant_kit.protocols.token_counter import TokenCounter, tokens_in
from assistant_kit.run.result import CallResult, calls_of
from assistant_kit.runtimes.journal import new_record, resolution_id
from assistant_kit.usage import Usage

BY_ITSELF: Final = "[The user said nothing here: the assistant goes on by itself.]"
"""What the model of this library reads where the SDK had no message of a user."""

NOTED: Final = f"{SDK}, as noted"
"""Who found out about a call whose result is noted beside, in its exact form."""

_NEXT_MESSAGE: Final = "the next message came before an answer"
_NO_ENTRY: Final = "it holds items of the OpenAI Agents SDK that are no part of a conversation"


@dataclass(slots=True)
class OpenTurn:
    """A turn that is not finished: the place of its first record, its newest step, its calls without a result."""

    turn: str
    seq: int
    step: int = 0
    calls: list[CallResult] = field(default_factory=list[CallResult])

    def take(self, call_id: str) -> CallResult | None:
        """Return the oldest call of this id that has no result, and let it have one."""
        found = next((call for call in self.calls if call.call_id == call_id), None)
        if found is not None:
            self.calls.remove(found)
        return found


def open_turn_of(entries: Sequence[Measured]) -> OpenTurn:
    """Return the unfinished turn that these entries record."""
    steps = [measured.entry.step for measured in entries if isinstance(measured.entry, ModelResponded)]
    calls = [call for call in calls_of(entries) if call.outcome is None]
    return OpenTurn(entries[0].entry.turn, entries[0].seq, max(steps, default=0), calls)


class Writing:
    """Turns items into records, in the order in which they come; `turn` is what is open afterwards.

    The records go behind the first `seq` ones. `unknown` are calls whose outcome is recorded as unknown, by their id.
    """

    def __init__(
        self, *, seq: int, turn: OpenTurn | None, unknown: Mapping[str, ToolFinished], counter: TokenCounter
    ) -> None:
        self.records: list[NewRecord] = []
        self.turn: OpenTurn | None = turn
        self._name = os.urandom(16).hex()  # of this write alone: ids of its records and turns are made of it
        self._seq = seq
        self._counter = counter
        self._unknown = dict(unknown)
        self._said: list[Item] = []
        self._held: list[Item] = []

    def add(self, items: Sequence[Item]) -> None:
        """Take all items of one write; the turn ends when the last one is the assistant's last word."""
        for item in items:
            role = role_of(item)
            if role == "output":
                self._said.append(item)
                continue
            self._speak()
            if role == "user":
                self._begin(user_message(item), item)
            elif role == "result":
                self._finish_call(item)
            else:
                self._keep(item)
        self._speak()
        if self._held:
            self._by_itself()
            self.end("failed", _NO_ENTRY)
        elif items and is_answer(items[-1]) and self.turn is not None and not self.turn.calls:
            self.end("completed")

    def end(self, outcome: TurnOutcome, reason: str = "") -> None:
        """End the turn that is open, if there is one."""
        if self.turn is not None:
            self._lose_calls(self.turn)
            self._put(TurnFinished(turn=self.turn.turn, outcome=outcome, usage=Usage(), reason=reason))
            self.turn = None

    def _begin(self, message: UserMessage, *items: Item) -> OpenTurn:
        self.end("cancelled", _NEXT_MESSAGE)
        number = len(self.records) + 1
        turn = self.turn = OpenTurn(f"{self._name}-{number}", self._seq + number)
        held, self._held = self._held, []
        self._put(TurnStarted(turn=turn.turn, input=message, assistant=SDK), [*held, *items])
        return turn

    def _by_itself(self) -> OpenTurn:
        return self._begin(UserMessage(content=(Text(text=BY_ITSELF),)))

    def _speak(self) -> None:
        """Record what the model said and called since the last other item."""
        said, self._said = self._said, []
        if not said:
            return
        turn = self.turn or self._by_itself()
        self._lose_calls(turn)
        turn.step += 1
        output = output_items(said)
        calls = [item for item in output if isinstance(item, ToolCall)]
        turn.calls += [
            CallResult(
                call_id=call.call_id, tool=call.name, arguments=call.arguments, outcome=None, key=f"{turn.step}.{index}"
            )
            for index, call in enumerate(calls)
        ]
        entry = ModelResponded(
            turn=turn.turn,
            step=turn.step,
            model=model_of(said),
            items=output,
            finish="tool_calls" if calls else "stop",
            usage=Usage(reported=False),
        )
        self._put(entry, said)

    def _lose_calls(self, turn: OpenTurn) -> None:
        """Record that nobody knows what became of calls that have no result when the conversation goes on."""
        lost, turn.calls = turn.calls, []
        for call in lost:
            end = self._unknown[call.call_id] = _end(turn, call, "unknown", OUTCOME_UNKNOWN)
            self._put(end)

    def _finish_call(self, item: Item) -> None:
        call_id, content = str(item["call_id"]), result_content(item)
        call = None if self.turn is None else self.turn.take(call_id)
        if self.turn is not None and call is not None:
            self._put(replace(_end(self.turn, call, "ok", ""), content=content), [item])
        elif (lost := self._unknown.pop(call_id, None)) is not None:
            self._resolve(lost, content, item)
        else:
            self._keep(item)

    def _resolve(self, lost: ToolFinished, content: tuple[Part, ...], item: Item) -> None:
        """Record what became of a call of an earlier turn, which no note of this turn can stand behind."""
        found = CallResolved(
            turn=lost.turn,
            key=lost.key,
            call_id=lost.call_id,
            tool=lost.tool,
            outcome="ok",
            content=content,
            by=SDK,
        )
        # What is held comes before it, and is written with the next turn.
        is_plain = not self._held and exact(item) == exact(result_item(lost.call_id, content))
        found = found if is_plain else replace(found, by=NOTED)
        self._add(measure(found, self._counter), resolution_id(lost.turn, lost.key))
        if not is_plain:
            self._keep(item)

    def _keep(self, item: Item) -> None:
        """Keep an item that no entry stands for."""
        if self.turn is None:
            self._held.append(item)  # every note belongs to a turn: the next one that begins
        else:
            self._note(BESIDE, self.turn.turn, [item])

    def _put(self, entry: Entry, items: Sequence[Item] = ()) -> None:
        """Add a record that stands for these items, and a note of them where it would not give them back so."""
        self._add(measure(entry, self._counter))
        if list(map(exact, items)) != list(map(exact, items_of(entry))):
            self._note(INSTEAD, entry.turn, items)

    def _note(self, key: str, turn: str, items: Sequence[Item]) -> None:
        text = f"[{','.join(map(exact, items))}]"
        note = ToolNoted(turn=turn, key=key, call_id="", note=text)
        tokens = tokens_in(text, self._counter) if key == BESIDE else 0
        self._add(Measured(entry=note, tokens=tokens, counted_by=self._counter.name))

    def _add(self, measured: Measured, record_id: str = "") -> None:
        self.records.append(new_record(measured, record_id or f"{self._name}/{len(self.records) + 1}"))


def plain(texts: Sequence[str]) -> list[Item]:
    """Return items of their own from their exact JSON, which nobody else changes meanwhile."""
    return [from_json(text) for text in texts]


def _end(turn: OpenTurn, call: CallResult, outcome: Outcome, text: str) -> ToolFinished:
    return ToolFinished(
        turn=turn.turn,
        key=call.key,
        call_id=call.call_id,
        tool=call.tool,
        outcome=outcome,
        content=(Text(text=text),),
    )
