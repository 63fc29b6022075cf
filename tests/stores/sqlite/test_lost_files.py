"""Files that go away while they are in use, and disks that have no room or may not be written."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.store import Append, Lease, NewRecord
from assistant_kit.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio


def delete(path: Path) -> None:
    path.unlink()


def writing(lease: Lease, at: int, *record_ids: str) -> Append:
    records = [NewRecord(record_id=record_id, kind="k", body=b"x", tokens=1) for record_id in record_ids]
    return Append(lease=lease, expected_seq=at, records=records, state="open", open_turn=1)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store with a conversation of one record, that was closed."""
    store = SQLiteStore(tmp_path / "chat.db")
    with anyio.fail_after(30):
        lease = await store.for_user("u1").claim("c1", owner="w", ttl=60)
        await store.for_user("u1").append(writing(lease, 0, "r1"))
        await store.aclose()
    return tmp_path / "chat.db"


async def use(store: SQLiteStore) -> None:
    user = store.for_user("u1")
    await user.read("c1")
    await user.rename("c1", "again")


@pytest.mark.parametrize("deed", ["write", "read", "transact"])
async def test_a_file_that_is_deleted_while_in_use_is_told_and_not_made_anew(path: Path, deed: str) -> None:
    store = SQLiteStore(path)
    user = store.for_user("u1")
    with anyio.fail_after(30):
        await use(store)
        lease = await user.claim("c1", owner="w", ttl=60)
        write = writing(lease, 1, "new")

        async def work(_connection: sqlite3.Connection) -> Append:
            delete(path)
            return write

        deeds: dict[str, Callable[[], Awaitable[object]]] = {
            "write": lambda: user.append(write),
            "read": lambda: user.read("c1"),
            "transact": lambda: user.transact(lease, work),
        }
        if deed != "transact":
            delete(path)
        for each in (deed, *deeds):
            with pytest.raises(StoreUnavailable):
                await deeds[each]()
        await store.aclose()

    assert not await anyio.Path(path).exists()


async def test_a_file_that_is_replaced_while_in_use_is_told_and_then_used(path: Path) -> None:
    backup = path.with_name("backup.db")
    shutil.copyfile(path, backup)
    store = SQLiteStore(path)
    user = store.for_user("u1")
    with anyio.fail_after(30):
        await use(store)
        backup.replace(path)
        for end in ("-wal", "-shm"):
            path.with_name(f"chat.db{end}").unlink()  # as one does who puts back a backup

        with pytest.raises(StoreUnavailable):
            await user.rename("c1", "lost")
        with pytest.raises(StoreUnavailable):
            await user.read("c1")

        await use(store)
        assert [info.title for info in await user.conversations()] == ["again"]
        await store.aclose()


MOUNTED = """
import os, subprocess, sys
import anyio
from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.sqlite import SQLiteStore

folder = sys.argv[1]

def mount(options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)

async def write(user, lease, at, body):
    record = NewRecord(record_id=f"r{at}", kind="k", body=body)
    await user.append(Append(lease=lease, expected_seq=at, records=[record], state="open", open_turn=1))

async def full():
    mount("size=600k")
    store = SQLiteStore(f"{folder}/chat.db")
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    with open(f"{folder}/other", "wb") as other:
        written = 0
        try:
            while True:
                await write(user, lease, written, b"x" * 30_000)
                written += 1
        except StoreUnavailable:
            print("full")
        assert len(await user.read("c")) == written
        subprocess.run(["mount", "-o", "remount,size=2m", folder], check=True)
        await write(user, lease, written, b"x" * 30_000)
        assert len(await user.read("c")) == written + 1
    await store.aclose()

async def read_only():
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    store = SQLiteStore(f"{folder}/chat.db")
    try:
        await store.for_user("u").claim("c", owner="w", ttl=60)
    except StoreUnavailable:
        print("read-only")
    await store.aclose()

async def main():
    await full()
    await read_only()

anyio.run(main)
"""


async def test_a_full_disk_and_one_that_is_read_only_are_unavailable_until_there_is_room(tmp_path: Path) -> None:
    # A mount of its own, in a namespace of its own: what happens there, only this process sees.
    command = ["unshare", "--map-root-user", "--mount", sys.executable, "-c", MOUNTED, os.fspath(tmp_path)]

    with anyio.fail_after(60):
        done = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)

    assert (done.returncode, done.stdout) == (0, b"full\nread-only\n")
