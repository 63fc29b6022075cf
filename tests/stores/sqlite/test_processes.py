"""Stores in processes of their own: killed, racing, forked, never closed."""

import os
import subprocess
import sys
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from assistant_kit.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

WRITER = """
import os, sys
import anyio
from assistant_kit.errors import ConversationBusy
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.sqlite import SQLiteStore

path, me, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

async def claim(user, conversation):
    while True:
        try:
            return await user.claim(conversation, owner=me, ttl=0.5)
        except ConversationBusy:
            await anyio.sleep(0.001)

async def converse(user, conversation):
    for n in range(count):
        lease = await claim(user, conversation)
        name = f"{me}.{n}"
        records = [NewRecord(record_id=f"{name}.{half}", kind="k", body=b"x" * 200, tokens=1) for half in "ab"]
        await user.append(
            Append(lease=lease, expected_seq=lease.seq, records=records, state="idle", open_turn=None, release=True)
        )
        os.write(1, f"{conversation} {name}\\n".encode())

async def main():
    store = SQLiteStore(path)
    user = store.for_user("u")
    async with anyio.create_task_group() as tasks:
        for n in range(4):
            tasks.start_soon(converse, user, f"c{n}")
    await store.aclose()

anyio.run(main, backend=sys.argv[4])
"""


def writer(path: Path, name: str, count: int, backend: str) -> list[str]:
    return [sys.executable, "-c", WRITER, os.fspath(path), name, str(count), backend]


async def journals(path: Path) -> dict[str, list[str]]:
    store = SQLiteStore(path)
    user = store.for_user("u")
    found: dict[str, list[str]] = {}
    for info in await user.conversations():
        records = await user.read(info.conversation)
        assert [record.seq for record in records] == list(range(1, info.records + 1))
        assert [record.total_tokens for record in records] == list(range(1, info.records + 1))
        found[info.conversation] = [record.record_id for record in records]
    await store.aclose()
    return found


async def test_processes_that_open_a_new_file_at_once_share_it(tmp_path: Path, anyio_backend: str) -> None:
    acknowledged: dict[str, list[str]] = defaultdict(list)

    async def run(name: str) -> None:
        done = await anyio.run_process(writer(tmp_path / "chat.db", name, 8, anyio_backend), stderr=None)
        for line in done.stdout.decode().splitlines():
            acknowledged[line.split()[0]].append(line.split()[1])

    with anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:
            for n in range(3):
                tasks.start_soon(run, f"p{n}")

        stored = await journals(tmp_path / "chat.db")

    assert set(stored) == {"c0", "c1", "c2", "c3"}
    for conversation, record_ids in stored.items():
        assert len(acknowledged[conversation]) == 24
        assert sorted(record_ids) == sorted(f"{name}.{half}" for name in acknowledged[conversation] for half in "ab")
        # The two records of a write stand side by side.
        assert [name[:-2] for name in record_ids[::2]] == [name[:-2] for name in record_ids[1::2]]


@pytest.mark.parametrize("lines", [1, 7, 40])
async def test_a_process_killed_while_it_writes_loses_nothing_acknowledged(
    tmp_path: Path, anyio_backend: str, lines: int
) -> None:
    acknowledged: set[str] = set()

    with anyio.fail_after(120):
        for kill in range(2):
            command = writer(tmp_path / "chat.db", f"p{kill}", 100_000, anyio_backend)
            async with await anyio.open_process(command, stderr=None) as process:
                assert process.stdout is not None
                output = b""
                while output.count(b"\n") < lines:
                    output += await process.stdout.receive()
                process.kill()
                async for rest in process.stdout:
                    output += rest
            acknowledged |= set(output.decode().splitlines())

        stored = {
            f"{conversation} {record_id[:-2]}"
            for conversation, record_ids in (await journals(tmp_path / "chat.db")).items()
            for record_id in record_ids
        }

    assert len(acknowledged) >= 2 * lines
    assert acknowledged <= stored
    assert len(stored) <= len(acknowledged) + 2 * 4  # and what was under way


UNCLOSED = """
import sys, anyio
from assistant_kit.stores.sqlite import SQLiteStore

async def main():
    global store
    store = SQLiteStore(sys.argv[1])
    await store.for_user("u").claim("c", owner="w", ttl=60)
    await store.for_user("u").read("c")

anyio.run(main)
"""


async def test_a_store_that_nobody_closed_keeps_no_process_and_says_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", UNCLOSED, os.fspath(tmp_path / "chat.db")]

    with anyio.fail_after(60):
        done = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)

    assert (done.returncode, done.stdout) == (0, b"")


FORKED = """
import os, sys, anyio
from assistant_kit.errors import StoreUnavailable
from assistant_kit.stores.sqlite import SQLiteStore

async def claim(conversation):
    await store.for_user("u").claim(conversation, owner="w", ttl=60)

store = SQLiteStore(sys.argv[1])
if os.fork() == 0:
    anyio.run(claim, "child")
    os._exit(0)
os.wait()
anyio.run(claim, "parent")
if os.fork() == 0:
    try:
        anyio.run(claim, "late child")
    except StoreUnavailable:
        os._exit(7)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
anyio.run(claim, "parent again")
"""


async def test_a_process_forks_before_it_uses_a_store_not_after(tmp_path: Path) -> None:
    # From Python 3.12 on the interpreter warns of a fork beside threads, which is what is tried here.
    unwarned = ["-W", "ignore:This process:DeprecationWarning"]
    command = [sys.executable, *unwarned, "-c", FORKED, os.fspath(tmp_path / "chat.db")]

    with anyio.fail_after(60):
        done = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)

    assert (done.returncode, done.stdout) == (0, b"")
    assert set(await journals(tmp_path / "chat.db")) == {"child", "parent", "parent again"}


async def test_many_stores_in_one_process_share_a_file(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        stores = [SQLiteStore(tmp_path / "chat.db") for _ in range(4)]
        for store in stores:
            stack.push_async_callback(store.aclose)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for n, store in enumerate(stores):
                    tasks.start_soon(lambda n=n, store=store: store.for_user("u").claim(f"c{n}", owner="w", ttl=60))

        assert len(await stores[0].for_user("u").conversations()) == 4
