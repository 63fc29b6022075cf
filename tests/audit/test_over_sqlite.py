"""Somebody with the file and a SQL shell."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.audit import anchor, verify
from assistant_kit.protocols.store import UserStore
from assistant_kit.stores.sqlite import SQLiteStore
from tests.audit.histories import Act, append, carry_out

pytestmark = pytest.mark.anyio

HISTORY = [
    Act("append", "a", number=3),
    Act("append", "b", number=1),
    Act("rename", "b", number=4),
    Act("fork", "a", "c", number=2),
    Act("append", "c", number=2),
    Act("rewind", "a", number=3),
    Act("append", "a", number=1),
]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "chat.db", audit=True)
    yield store
    with anyio.fail_after(30):
        await store.aclose()


def tampered(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "chat.db")) as connection, connection:
        assert connection.execute(statement.replace("$SECOND_OF_B", SECOND_OF_B)).rowcount == 1


SECOND_OF_B = "segment = (SELECT segment FROM conversations WHERE conversation = 'b') AND place & 0xFFFF = 2"


@pytest.mark.parametrize(
    ("statement", "problem", "place"),
    [
        ("UPDATE records SET body = x'00' WHERE $SECOND_OF_B", "changed_record", ("b", 2)),
        ("UPDATE records SET kind = 'other' WHERE $SECOND_OF_B", "changed_record", ("b", 2)),
        ("UPDATE records SET tokens = tokens + 1 WHERE $SECOND_OF_B", "changed_record", ("b", 2)),
        ("UPDATE records SET total_tokens = 0 WHERE $SECOND_OF_B", "changed_record", ("b", 2)),
        ("UPDATE records SET fence = fence + 1 WHERE $SECOND_OF_B", "changed_record", ("b", 2)),
        ("UPDATE records SET at = at + 0.001 WHERE $SECOND_OF_B", "changed_record", ("b", 2)),
        ("UPDATE records SET record_id = 'x' WHERE $SECOND_OF_B", "other_record", ("b", 2)),
        ("DELETE FROM records WHERE $SECOND_OF_B", "missing_record", ("b", 2)),
        ("UPDATE conversations SET title = 'x' WHERE conversation = 'a'", "changed_title", ("a", None)),
        (
            "UPDATE conversations SET conversation = 'x' WHERE conversation = 'b'",
            "unexpected_conversation",
            ("x", None),
        ),
        ("DELETE FROM conversations WHERE conversation = 'b'", "missing_conversation", ("b", None)),
        ("UPDATE audit SET payload = x'7b7d' WHERE place & 0xFFFF = 3", "changed_payload", 3),
        ("UPDATE audit SET salt = x'00' WHERE place & 0xFFFF = 3", "changed_payload", 3),
        ("UPDATE audit SET digest = x'00' WHERE place & 0xFFFF = 3", "changed_link", 3),
        ("UPDATE audit SET link = x'00' WHERE place & 0xFFFF = 3", "changed_link", 3),
        ("UPDATE audit SET at_us = at_us + 1 WHERE place & 0xFFFF = 3", "changed_link", 3),
        ("DELETE FROM audit WHERE place & 0xFFFF = 3", "missing_link", 3),
        ("UPDATE audit SET place = place + 100 WHERE place & 0xFFFF = 3", "missing_link", 3),
    ],
)
async def test_what_was_changed_in_the_file_is_found(
    statement: str, problem: str, place: object, tmp_path: Path, store: SQLiteStore
) -> None:
    user = store.for_user("u")
    for act in HISTORY:
        await carry_out(user, act)
    before = await verify(user)

    tampered(tmp_path, statement)

    first = (await verify(user)).findings[0]
    assert before.ok
    assert first.problem == problem
    assert (first.n or (first.conversation, first.seq)) == place


async def test_a_chain_whose_end_was_cut_off_in_the_file_is_found_by_an_anchor(
    tmp_path: Path, store: SQLiteStore
) -> None:
    user = store.for_user("u")
    await append(user, "a", records=2)
    await append(user, "b", records=2)
    head = await anchor(user)
    assert head.n == 2

    tampered(tmp_path, "DELETE FROM audit WHERE place & 0xFFFF = 2")
    tampered(tmp_path, "DELETE FROM conversations WHERE conversation = 'b'")

    assert (await verify(user)).ok
    (finding,) = (await verify(user, anchor=head)).findings
    assert finding.problem == "cut_chain"


async def test_a_user_is_verified_while_others_write(store: SQLiteStore) -> None:
    user = store.for_user("u")

    async def write(handle: UserStore, name: str) -> None:
        for n in range(12):
            await append(handle, name, records=2)
            if n % 4 == 3:
                await carry_out(handle, Act("fork", name, f"{name}{n}", number=n))
                await carry_out(handle, Act("rewind", name, number=n))
                await carry_out(handle, Act("rename", name, number=n))
                await carry_out(handle, Act("delete", f"{name}{n}"))

    reports = [await verify(user)]
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for name in ("a", "b", "c"):
                tasks.start_soon(write, user, name)
            while reports[-1].head.n < 40:
                await anyio.lowlevel.checkpoint()
                reports.append(await verify(user))

    reports.append(await verify(user))
    assert all(report.ok for report in reports), [report.findings for report in reports]
    assert len(reports) > 3
