"""Turns that cost nothing but the journal: a model that answers at once, a tool that returns at once."""

from __future__ import annotations

from collections.abc import Sequence

from assistant_kit import Assistant, Settings, WindowSettings, tool
from assistant_kit.context import Context
from assistant_kit.conversation import measure
from assistant_kit.entries import Entry, ModelResponded, TurnFinished, TurnStarted
from assistant_kit.journal_json import encode
from assistant_kit.messages import AssistantMessage, Text, ToolAnswer, ToolCall, UserMessage
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.protocols.store import Append, NewRecord, Store, UserStore
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.usage import Usage

QUESTION = (
    "I am going to Oslo and Bergen for nine days in May with two children and a dog: which trains should we take, "
    "and what should we pack if it rains all week?"
)
ANSWER = (
    "Take the morning train from Oslo to Bergen: it has a family car with a play area, dogs travel at half the fare, "
    "and the views are best on the left. Pack raincoats, rubber boots and wool for each of you, a towel for the dog, "
    "and a card game; the weather changes by the hour, so keep one dry set of clothes at the top of the bag."
)
USE_TOOL = "Book it: "
WORKING = 4096 + 256
"""Tokens of a window that nine of these turns fill, as an upper bound."""

USED = Usage(requests=1, input_tokens=900, output_tokens=90)
_COUNTER = UpperBound()
_BATCH = 3000
_USER = "u"


class WrongAnswer(Exception):
    """A turn's answer is not what the model said."""


class InstantModel:
    """Answers at once; asks for one tool call first when the message begins with USE_TOOL."""

    name = "instant"
    given = 0
    """Messages in the last request."""

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        del emit  # nothing is streamed
        self.given = len(request.items)
        last = request.items[-1]
        if isinstance(last, UserMessage) and isinstance(last.content[0], Text):
            if last.content[0].text.startswith(USE_TOOL):
                call = ToolCall(call_id="call_1", name="book", arguments='{"train": "R41", "seats": 4}')
                return ModelResponse(items=(call,), usage=USED, model=self.name, finish="tool_calls")
        elif not isinstance(last, ToolAnswer):
            raise WrongAnswer(last)
        return ModelResponse(items=(AssistantMessage(text=ANSWER),), usage=USED, model=self.name)

    async def aclose(self) -> None:
        """Nothing is held."""


@tool
async def book(train: str, seats: int) -> str:
    """Book seats in a train."""
    return f"{seats} seats in {train} are booked, number 48151623"


def assistant_on(store: Store, *, window: int = WORKING, model: InstantModel | None = None) -> Assistant[str]:
    """An assistant whose requests have at most `window` tokens."""
    settings = Settings(window=WindowSettings(max_tokens=window, reserved_output=256))
    return Assistant(
        model or InstantModel(), tools=[book], store=store, settings=settings, context=Context(token_counter=_COUNTER)
    )


async def play(assistant: Assistant[str], conversation: str, *, tools: bool = False) -> None:
    """Run one turn. Raises WrongAnswer."""
    question = USE_TOOL + QUESTION if tools else QUESTION
    result = await assistant.run(question, user=_USER, conversation=conversation)
    if (result.output, len(result.tool_calls)) != (ANSWER, int(tools)):
        raise WrongAnswer(result)


async def fill(store: Store, conversation: str, *, turns: int) -> None:
    """Write a journal of plain turns as runs would, many turns in each commit."""
    journals = store.for_user(_USER)
    lease = await journals.claim(conversation, owner="fill", ttl=3600)
    bodies = [_template(entry) for entry in _plain_turn()]
    seq = 0
    for first in range(0, turns, _BATCH // 3):
        records = [
            NewRecord(record_id=f"{turn:032x}/{record_id}", kind=kind, body=body % turn, tokens=tokens)
            for turn in range(first, min(turns, first + _BATCH // 3))
            for record_id, kind, body, tokens in bodies
        ]
        last = first + _BATCH // 3 >= turns
        write = Append(lease=lease, expected_seq=seq, records=records, state="idle", open_turn=None, release=last)
        await journals.append(write)
        seq += len(records)
    await _check_filled(journals, conversation, 3 * turns)


async def _check_filled(journals: UserStore, conversation: str, records: int) -> None:
    newest = await journals.read(conversation, limit=1)
    if newest[-1].seq != records:
        raise WrongAnswer(newest[-1].seq)


_TURN = "0123456789abcdef" * 2


def _plain_turn() -> Sequence[Entry]:
    return (
        TurnStarted(turn=_TURN, input=UserMessage(content=(Text(text=QUESTION),)), assistant="assistant"),
        ModelResponded(turn=_TURN, step=1, model="instant", items=(AssistantMessage(text=ANSWER),), usage=USED),
        TurnFinished(turn=_TURN, outcome="completed", usage=USED),
    )


def _template(entry: Entry) -> tuple[str, str, bytes, int]:
    """Return the parts of a record, its body with a place for the turn's number."""
    measured = measure(entry, _COUNTER)
    body = encode(measured).replace(b"%", b"%%").replace(_TURN.encode(), b"%032x")
    record_id = "1" if isinstance(entry, ModelResponded) else entry.kind
    return record_id, entry.kind, body, measured.tokens
