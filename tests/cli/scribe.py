"""Writes journals as runs do, with the times and ids that a test chooses."""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import anyio

from assistant_kit.entries import (
    ApprovalDecided,
    CallResolved,
    Compacted,
    Entry,
    Measured,
    MemoriesExtracted,
    ModelResponded,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnResumed,
    TurnStarted,
    TurnSuspended,
)
from assistant_kit.journal_json import encode
from assistant_kit.messages import AssistantMessage, Outcome, OutputItem, Text, ToolCall, UserMessage
from assistant_kit.protocols.store import Append, NewRecord, TurnState, UserStore
from assistant_kit.run.long_results import LongResults, hidden, name_of
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_spec import Effect
from assistant_kit.usage import Usage

MONDAY: Final = 1_793_610_900.0
"""2026-11-02 09:15:00 UTC: leases that were taken then have long ended."""

TRIP: Final = "4f0c2a9be1d04c7a8f1be09d3c5a7712"
ACCOUNTS: Final = "9d1e77c0a2b34f5e8c6d7e8f90a1b2c3"
BILLS: Final = "c3b2a1908f7e6d5c4b3a291807f6e5d4"
USED: Final = Usage(requests=1, input_tokens=812, output_tokens=46)


class Scribe:
    """Writes to the SQLite file at `path`. Time stands still but for what is written, and for `wait`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.audit = False
        self.now = MONDAY
        self._written = 0

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def write(self, user: str, conversation: str, *entries: Entry, seconds: float = 0.25) -> None:
        """Write entries under one lease, each some seconds after the one before (0: at once); then its worker dies."""
        self.do(lambda store: self._write(store.for_user(user), conversation, entries, seconds))
        self.wait(31)

    async def _write(self, store: UserStore, conversation: str, entries: Sequence[Entry], seconds: float) -> None:
        lease = await store.claim(conversation, owner="scribe", ttl=30)
        state, open_turn = lease.state, lease.open_turn
        together = list[NewRecord]()
        for seq, entry in enumerate(entries, start=lease.seq + 1):
            self._written += 1
            state, open_turn = _standing(entry, state, open_turn, seq)
            together.append(_record(f"r{self._written}", entry))
            if seconds or seq == lease.seq + len(entries):
                expected = seq - len(together)
                await store.append(
                    Append(lease=lease, expected_seq=expected, records=together, state=state, open_turn=open_turn)
                )
                together = []
                self.wait(seconds)

    def keep(self, user: str, text: str) -> str:
        """Keep the whole text of an overlong result, and return the conversation that holds it."""

        async def keep(store: SQLiteStore) -> None:
            kept = LongResults(store.for_user(user), "c", max_tokens=400, counter=UpperBound(), owner="scribe")
            assert (await kept.shortened("t", "1.0", (Text(text=text),)))[1] == name

        name = name_of("t", "1.0", text)
        self.do(keep)
        return hidden(name)

    def do(self, work: Callable[[SQLiteStore], Awaitable[None]]) -> None:
        """Do something with the store."""

        async def opened() -> None:
            store = SQLiteStore(self.path, synchronous="NORMAL", clock=lambda: self.now, audit=self.audit)
            with anyio.fail_after(30):
                try:
                    await work(store)
                finally:
                    await store.aclose()

        anyio.run(opened)

    def sql(self, statement: str, *values: Any) -> None:
        """Damage the file behind the store's back."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(statement, values)


def _record(record_id: str, entry: Entry) -> NewRecord:
    body = encode(Measured(entry=entry, tokens=5, counted_by="test"))
    return NewRecord(record_id=record_id, kind=entry.kind, body=body, tokens=5)


def _standing(entry: Entry, state: TurnState, open_turn: int | None, seq: int) -> tuple[TurnState, int | None]:
    match entry:
        case TurnStarted():
            return "open", seq
        case TurnFinished(outcome="waiting" | "parked" as pause):
            return pause, open_turn
        case TurnFinished():
            return "idle", None
        case ApprovalDecided() | CallResolved() | Compacted() | MemoriesExtracted():
            return state, open_turn
        case _:
            return "open", open_turn


def said(turn: str, text: str, *, request_id: str | None = None) -> TurnStarted:
    return TurnStarted(
        turn=turn, input=UserMessage(content=(Text(text=text),)), request_id=request_id, assistant="travel"
    )


def answered(turn: str, step: int, *items: OutputItem | str, usage: Usage = USED) -> ModelResponded:
    given = tuple(AssistantMessage(text=item) if isinstance(item, str) else item for item in items)
    asked = any(isinstance(item, ToolCall) for item in given)
    finish = "tool_calls" if asked else "stop"
    return ModelResponded(turn=turn, step=step, model="gpt-5.6-luna", items=given, usage=usage, finish=finish)


def call(number: int, name: str, arguments: str) -> ToolCall:
    return ToolCall(call_id=f"call_{number}", name=name, arguments=arguments)


def began(
    turn: str, key: str, tool: str, *, effect: Effect = "once", attempt: int = 1, call_id: str = "call_1"
) -> ToolStarted:
    return ToolStarted(
        turn=turn,
        key=key,
        call_id=call_id,
        tool=tool,
        arguments_hash="h",
        effect=effect,
        idempotency_key="5f3a9c0d41e2b7",
        attempt=attempt,
    )


def ended(
    turn: str, key: str, tool: str, text: str, *, outcome: Outcome = "ok", call_id: str = "call_1"
) -> ToolFinished:
    return ToolFinished(turn=turn, key=key, call_id=call_id, tool=tool, outcome=outcome, content=(Text(text=text),))


def finished(turn: str, outcome: Any = "completed", *, reason: str = "", usage: Usage = USED) -> TurnFinished:
    return TurnFinished(turn=turn, outcome=outcome, usage=usage, reason=reason)


def resumed(turn: str, attempt: int, worker: str = "8ab3f0d2c4e6a1b5c7d9e0f2") -> TurnResumed:
    return TurnResumed(turn=turn, attempt=attempt, worker=worker)


def suspended(turn: str, reason: str) -> TurnSuspended:
    return TurnSuspended(turn=turn, reason=reason)


UNKNOWN_WORDS: Final = (
    "The outcome of this call is unknown: it was started and nobody can tell whether it took effect. "
    "Do not assume that it did or did not happen, and do not repeat it without asking the user."
)


def taken_over(turn: str = TRIP) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """Return a turn whose worker died while a payment was under way, and how another worker finished it."""
    first = (
        said(turn, "Will it rain in Oslo?\nAnd please pay invoice 7.", request_id="web-481"),
        answered(turn, 1, "I will look.", call(1, "weather", '{"city": "Oslo"}'), call(2, "pay", '{"invoice": 7}')),
        began(turn, "1.1", "pay", call_id="call_2"),
        ended(turn, "1.0", "weather", "Rain, 7 degrees, wind from the west, all day long and all night"),
    )
    second = (
        resumed(turn, 2),
        ended(turn, "1.1", "pay", UNKNOWN_WORDS, outcome="unknown", call_id="call_2"),
        answered(turn, 2, "It rains. I cannot tell whether invoice 7 is paid: please look at your account."),
        finished(turn, usage=USED + USED),
    )
    return first, second


def write_sample(scribe: Scribe) -> None:
    """Write the store that the samples of docs/cli.md show."""
    scribe.audit = True
    before, after = taken_over()
    scribe.write("ann", "trip", *before)
    scribe.write("ann", "trip", *after)
    delete = call(1, "delete_account", '{"name": "Bob"}')
    scribe.write(
        "ann",
        "accounts",
        said(ACCOUNTS, "Delete Bob's account"),
        answered(ACCOUNTS, 1, delete),
        finished(ACCOUNTS, "waiting"),
    )
    scribe.write("bob", "bills", said(BILLS, "Pay all my bills"))
    for attempt in (2, 3, 4, 5):
        scribe.write("bob", "bills", resumed(BILLS, attempt))
    scribe.write("bob", "bills", finished(BILLS, "parked", reason="its worker died 5 times", usage=Usage()))
    scribe.write("bob", "recipes", said("7e0f", "What can I cook?"), answered("7e0f", 1, "Soup."))
