"""Journals that are long: turns of two messages of 25 words, measured and written as runs would."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from assistant_kit.conversation import measure
from assistant_kit.entries import Entry, ModelResponded, TurnFinished, TurnStarted
from assistant_kit.journal_json import encode
from assistant_kit.messages import AssistantMessage, Text, UserMessage
from assistant_kit.protocols.store import Append, NewRecord, Store
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.usage import Usage
from benchmarks.window_words import sentence

USER = "u"
WORDS = 25
_TURNS = 1_000  # in each commit
_USED = Usage(requests=1, input_tokens=900, output_tokens=90)


def messages(turns: int, *, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield what the user says and what is answered, the same with every seed."""
    random = Random(seed)  # noqa: S311  (the same texts each time, on purpose)
    for _ in range(turns):
        yield sentence(random, WORDS), sentence(random, WORDS)


async def fill(store: Store, conversation: str, *, turns: int, counter: TokenCounter) -> None:
    """Write a journal of so many turns, many in each commit."""
    journals = store.for_user(USER)
    lease = await journals.claim(conversation, owner="fill", ttl=3600)
    records: list[NewRecord] = []
    seq = 0
    for turn, (said, answered) in enumerate(messages(turns), start=1):
        records += [_record(entry, turn, counter) for entry in _turn(f"{turn:032x}", said, answered)]
        if turn % _TURNS == 0 or turn == turns:
            write = Append(
                lease=lease, expected_seq=seq, records=records, state="idle", open_turn=None, release=turn == turns
            )
            await journals.append(write)
            seq += len(records)
            records = []


def _turn(turn: str, said: str, answered: str) -> tuple[Entry, ...]:
    return (
        TurnStarted(turn=turn, input=UserMessage(content=(Text(text=said),)), assistant="assistant"),
        ModelResponded(turn=turn, step=1, model="instant", items=(AssistantMessage(text=answered),), usage=_USED),
        TurnFinished(turn=turn, outcome="completed", usage=_USED),
    )


def _record(entry: Entry, turn: int, counter: TokenCounter) -> NewRecord:
    measured = measure(entry, counter)
    name = "1" if isinstance(entry, ModelResponded) else entry.kind
    return NewRecord(record_id=f"{turn:032x}/{name}", kind=entry.kind, body=encode(measured), tokens=measured.tokens)
