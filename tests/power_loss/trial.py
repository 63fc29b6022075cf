"""One trial: write, cut the power, look at what is left."""

import random
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from assistant_kit.audit_chain import GENESIS, digest_of, link_after
from assistant_kit.errors import AssistantKitError, ConversationNotFound
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.sqlite import chain, journal, reading
from assistant_kit.stores.sqlite.schema import Setup, Synchronous, open_connection, prepare
from tests.power_loss.connection import connect
from tests.power_loss.disk import Disk
from tests.power_loss.journals import USER, Conversation, State, Writer

_GROUPS = 40  # about 1,500 operations of the disk
_FIRST = 100  # operations in which the file is made
_LAST = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a power cut did: acknowledged writes that are gone, and what is wrong with what is left."""

    commits: int
    lost: int
    problems: tuple[str, ...]


async def try_once(synchronous: Synchronous, seed: int) -> Outcome:
    """Let a store live until the power goes, and see what is left of it."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="power-loss-") as folder:
        path = str(Path(folder) / "chat.db")
        setup = Setup(synchronous=synchronous, audit=chance.random() < 1 / 2)
        conversations, commits = await _live(path, setup, chance)
        try:
            lost, problems = _look(path, setup, conversations)
        except (AssistantKitError, sqlite3.Error) as error:
            lost, problems = 0, [f"{type(error).__name__}: {error}"]
    return Outcome(commits=commits, lost=lost, problems=tuple(problems))


async def _live(path: str, setup: Setup, chance: random.Random) -> tuple[list[Conversation], int]:
    """Write until the power goes, at the latest when all is written. Return what was written, and acknowledged."""
    cut = chance.randrange(1, _FIRST) if chance.random() < 1 / 10 else chance.randrange(_FIRST, _LAST)
    disk = Disk("power-loss", cut, chance)
    connection = connect(path, disk)
    writer = Writer(connection, chance)
    try:
        # A lock that nobody else shares needs no shared memory, which apsw does not have.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        prepare(connection, path, setup)
        connection.execute(f"PRAGMA wal_autocheckpoint = {chance.choice([1, 20, 200, 1000])}")
        await writer.work(_GROUPS)
    except sqlite3.Error:
        if not disk.is_off:
            raise
    disk.lose_power()
    connection.close()
    return writer.conversations, writer.commits


def _look(path: str, setup: Setup, conversations: list[Conversation]) -> tuple[int, list[str]]:
    """Return how many acknowledged writes are gone, and problems, in what is left."""
    lost, problems = 0, list[str]()
    with closing(open_connection(path, setup)) as connection:
        problems += [row for (row,) in connection.execute("PRAGMA integrity_check") if row != "ok"]
        for conversation in conversations:
            state = _state(connection, conversation.name, problems)
            found = _last_index(conversation.states, state)
            if found is None:
                problems.append(f"{conversation.name} has records {state} that it never had")
            else:
                lost += max(0, conversation.acknowledged - found)
        problems += _broken_links(connection)
        _go_on(connection)
    return lost, problems


def _state(connection: sqlite3.Connection, name: str, problems: list[str]) -> State:
    window = reading.Window.of(after=0, before=None, limit=None)
    try:
        records = reading.read(connection, (USER, name), window, None)
    except ConversationNotFound:
        return None
    if [(record.seq, record.total_tokens) for record in records] != [(n, n) for n in range(1, len(records) + 1)]:
        problems.append(f"{name} is not numbered from 1 on: {[record.seq for record in records]}")
    return tuple(record.record_id for record in records)


def _last_index(states: list[State], state: State) -> int | None:
    return next((index for index in reversed(range(len(states))) if states[index] == state), None)


def _broken_links(connection: sqlite3.Connection) -> list[str]:
    previous, problems = GENESIS, list[str]()
    for n, link in enumerate(chain.log(connection, USER, after=0, limit=1_000_000), start=1):
        whole = link.payload is not None and link.salt is not None
        if not whole or link.n != n or link.digest != digest_of(link.payload or b"", link.salt or b""):
            problems.append(f"link {n} of the audit chain is damaged")
        if link.link != link_after(previous, link.digest, link.at_us):
            problems.append(f"link {n} of the audit chain does not follow the one before")
        previous = link.link
    return problems


def _go_on(connection: sqlite3.Connection) -> None:
    """Write to what is left. Raises what writing raises."""
    connection.execute("BEGIN IMMEDIATE")
    lease = journal.claim(connection, journal.Claim((USER, "after"), "w", 60, None), now=2e6, at=2e6)
    record = NewRecord(record_id="r", kind="k", body=b"x", tokens=1)
    journal.append(
        connection, USER, Append(lease=lease, expected_seq=0, records=[record], state="idle", open_turn=None), 2e6
    )
    connection.execute("COMMIT")
