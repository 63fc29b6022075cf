"""A whole store as an example: docs/stores.md shows it, and the suite passes on it."""

import json
import math
import os
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from anyio import to_thread

from assistant_kit.audit_chain import AuditLink
from assistant_kit.errors import (
    ConversationBusy,
    ConversationConflict,
    ConversationExists,
    ConversationNotFound,
    InputError,
    LeaseLost,
    NotTransactional,
    StoreCorrupt,
    StoreUnavailable,
)
from assistant_kit.protocols.store import (
    Append,
    ConversationInfo,
    Lease,
    NewRecord,
    Record,
    TurnState,
    Unfinished,
    UserStore,
)

T = TypeVar("T")
Json = dict[str, Any]


class JSONStore:
    """Keeps the journals of each user in one JSON file of `folder`, which one process at a time may use."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.clock = clock
        self._lock = Lock()

    def for_user(self, user: str) -> UserStore:
        check_name(user)
        return JSONUserStore(self, user)

    async def open(self) -> None:
        await self.files()

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        now = self.clock()
        found = [
            Unfinished(user=file["user"], conversation=name, state=state, updated_at=kept["updated_at"])
            for file in await self.files()
            for name, kept in file["conversations"].items()
            if kept["state"] == state and held_for(kept, now) <= 0
        ]
        return sorted(found, key=lambda turn: turn.updated_at)[: max(0, limit)]

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        users = [file["user"] for file in await self.files() if file["conversations"]]
        return sorted(user for user in users if user > after)[: max(0, limit)]

    async def aclose(self) -> None:
        """Nothing stays open."""

    async def files(self) -> list[Json]:
        """Return the files of all users."""
        return await self._in_thread(lambda: [json.loads(path.read_bytes()) for path in self.folder.glob("*.json")])

    async def change(self, user: str, work: Callable[[Json], T]) -> T:
        """Let `work` change a user's file. If it raises, the file stays as it was."""
        # A hash, since a user's name may be no file name. The fence outlives all conversations: see `make`.
        path = self.folder / f"{sha256(user.encode()).hexdigest()}.json"

        def read_and_write() -> T:
            before = path.read_bytes() if path.exists() else b'{"fence": 0, "conversations": {}, "user": ""}'
            file = json.loads(before)
            result = work(file)
            file["user"] = user if file["conversations"] else ""
            after = json.dumps(file).encode()
            if after != before:
                write_durably(path, after)
            return result

        return await self._in_thread(read_and_write)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Do what waits for a disk. Nothing cancels it half-way: `run_sync` waits for its thread."""

        def one_at_a_time() -> T:
            with self._lock:
                try:
                    return work()
                except OSError as error:
                    raise StoreUnavailable(f"{self.folder}: {error.strerror}") from error
                except json.JSONDecodeError as error:
                    raise StoreCorrupt(f"{self.folder} has a file that is no JSON: {error}") from error

        return await to_thread.run_sync(one_at_a_time)


class JSONUserStore:
    """The journals of one user: each method is one look at the file, or one change of it."""

    def __init__(self, store: JSONStore, user: str) -> None:
        self._store = store
        self._user = user

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        check_name(conversation, owner)
        check_ttl(ttl)
        check_records([begin] if begin else [])

        def work(file: Json) -> Lease:
            now = self._store.clock()
            kept = file["conversations"].get(conversation) or make(file, conversation, now)
            if held_for(kept, now) > 0 and kept["owner"] != owner:
                raise ConversationBusy(conversation, held_for(kept, now))
            kept.update(owner=owner, until=now + ttl, fence=kept["fence"] + 1)
            lease = Lease(
                conversation=conversation,
                owner=owner,
                fence=kept["fence"],
                seq=len(kept["records"]),
                at=now,
                state=kept["state"],
                open_turn=kept["open_turn"],
            )
            if begin is None or kept["state"] != "idle" or begin.record_id in ids(kept):
                return lease
            turn = lease.seq + 1
            write = Append(lease=lease, expected_seq=lease.seq, records=[begin], state="open", open_turn=turn)
            add(file, kept, write, now)
            return replace(lease, seq=turn, state="open", open_turn=turn, begun=True)

        return await self._change(work)

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        check_ttl(ttl)
        await self._change(lambda file: held(file, lease).update(until=self._store.clock() + ttl))

    async def release(self, lease: Lease) -> None:
        def work(file: Json) -> None:
            kept = file["conversations"].get(lease.conversation)
            if kept and kept["fence"] == lease.fence:
                give_up(kept)

        await self._change(work)

    async def append(self, write: Append) -> None:
        check_records(write.records)
        name, first = write.lease.conversation, write.expected_seq

        def work(file: Json) -> None:
            kept = file["conversations"].get(name)
            there: list[Json] = kept["records"][first : first + len(write.records)] if kept else []
            repeated = bool(there) and [row["record_id"] for row in there] == [new.record_id for new in write.records]
            gave_up = repeated and write.release and there[-1]["fence"] == write.lease.fence
            if not kept or (kept["fence"] != write.lease.fence and not gave_up):
                raise LeaseLost(name)
            if repeated:
                return
            if len(kept["records"]) != first or any(new.record_id in ids(kept) for new in write.records):
                raise ConversationConflict(name, expected=first, found=len(kept["records"]))
            add(file, kept, write, self._store.clock())

        await self._change(work)

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Record]:
        check_name(conversation)
        rows: list[Json] = await self._change(lambda file: get(file, conversation)["records"])
        rows = [row for row in rows if after < row["seq"] and (before is None or row["seq"] < before)]
        if max_tokens is not None and rows:
            rows = [row for row in rows if rows[-1]["total_tokens"] - row["total_tokens"] + row["tokens"] <= max_tokens]
        if limit is not None:
            rows = rows[max(0, len(rows) - max(0, limit)) :]
        return [record(row) for row in rows]

    async def locate(self, conversation: str, record_id: str) -> int | None:
        check_name(conversation, record_id)
        kept = await self._change(lambda file: file["conversations"].get(conversation))
        return ids(kept).get(record_id) if kept else None

    async def info(self, conversation: str) -> ConversationInfo:
        check_name(conversation)
        return info(conversation, await self._change(lambda file: get(file, conversation)))

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        conversations = await self._change(lambda file: file["conversations"])
        infos = [
            info(name, kept) for name, kept in conversations.items() if before is None or kept["updated_at"] < before
        ]
        return sorted(infos, key=lambda info: -info.updated_at)[: max(0, limit)]

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> None:  # noqa: ARG002
        raise NotTransactional(lease.conversation, "a JSON file has no transactions")

    async def rename(self, conversation: str, title: str) -> None:
        check_name(conversation)
        check_text(title, longest=4000)
        await self._change(lambda file: get(file, conversation).update(title=title))

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        check_name(conversation, new)

        def work(file: Json) -> None:
            records = get(file, conversation)["records"]
            check_place(at, records)
            there = file["conversations"].get(new)
            if there and there["fork_of"] != [conversation, at]:
                raise ConversationExists(new)
            if not there:
                fence = get(file, conversation)["fence"]
                made = make(file, new, self._store.clock())
                # Copied: to share them, a database keeps records apart from the conversations that have them.
                made.update(records=records[:at], fork_of=[conversation, at], fence=max(made["fence"], fence + 1))

        await self._change(work)

    async def rewind(self, lease: Lease, *, to: int) -> None:
        def work(file: Json) -> None:
            kept = held(file, lease)
            check_place(to, kept["records"])
            del kept["records"][to:]
            kept.update(state="idle", open_turn=None, fork_of=None, updated_at=tick(file, self._store.clock()))

        await self._change(work)

    async def delete(self, conversation: str) -> None:
        check_name(conversation)

        def work(file: Json) -> None:
            left = held_for(get(file, conversation), self._store.clock())
            if left > 0:
                raise ConversationBusy(conversation, left)
            drop(file, conversation)

        await self._change(work)

    async def erase(self) -> int:
        return await self._change(lambda file: len([drop(file, name) for name in list(file["conversations"])]))

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:  # noqa: ARG002
        return []  # this store keeps none

    async def _change(self, work: Callable[[Json], T]) -> T:
        return await self._store.change(self._user, work)


def make(file: Json, name: str, now: float) -> Json:
    """Add a conversation. Its fences are above those of deleted ones: an old lease on the name opens nothing."""
    at = tick(file, now)
    file["conversations"][name] = {
        "fence": file["fence"] + 1,
        "owner": None,
        "until": 0.0,
        "state": "idle",
        "open_turn": None,
        "title": "",
        "created_at": at,
        "updated_at": at,
        "fork_of": None,
        "records": [],
    }
    return file["conversations"][name]


def drop(file: Json, name: str) -> None:
    file["fence"] = max(file["fence"], file["conversations"].pop(name)["fence"])


def get(file: Json, name: str) -> Json:
    if name not in file["conversations"]:
        raise ConversationNotFound(name)
    return file["conversations"][name]


def held(file: Json, lease: Lease) -> Json:
    kept = file["conversations"].get(lease.conversation)
    if not kept or kept["fence"] != lease.fence:
        raise LeaseLost(lease.conversation)
    return kept


def held_for(kept: Json, now: float) -> float:
    return kept["until"] - now if kept["owner"] is not None else 0.0


def give_up(kept: Json) -> None:
    kept.update(owner=None, fence=kept["fence"] + 1)  # a renewal that is still under way comes too late


def ids(kept: Json) -> dict[str, int]:
    return {row["record_id"]: row["seq"] for row in kept["records"]}


def info(name: str, kept: Json) -> ConversationInfo:
    return ConversationInfo(
        conversation=name,
        records=len(kept["records"]),
        state=kept["state"],
        created_at=kept["created_at"],
        updated_at=kept["updated_at"],
        title=kept["title"],
    )


def record(row: Json) -> Record:
    fields: Json = row | {"body": b64decode(row["body"])}
    return Record(**fields)


def add(file: Json, kept: Json, write: Append, now: float) -> None:
    at = tick(file, now)
    for new in write.records:
        total = kept["records"][-1]["total_tokens"] if kept["records"] else 0
        row = {
            "seq": len(kept["records"]) + 1,
            "total_tokens": total + new.tokens,
            "fence": write.lease.fence,
            "at": at,
        }
        kept["records"].append({**asdict(new), **row, "body": b64encode(new.body).decode()})
    kept.update(state=write.state, open_turn=write.open_turn, updated_at=at, fork_of=None)
    if write.release:
        give_up(kept)


def tick(file: Json, now: float) -> float:
    """Return the time, later than that of any other change: lists are paged by it."""
    return max([now, *(math.nextafter(kept["updated_at"], math.inf) for kept in file["conversations"].values())])


def write_durably(path: Path, data: bytes) -> None:
    """Put a whole new file in the place of the old one: a crash leaves the one or the other."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)  # the name is durable too
    os.close(folder)


def check_name(*names: str) -> None:
    for name in names:
        check_text(name, longest=255)
        if not name:
            raise InputError("a name has at least one character")


def check_text(text: str, *, longest: int) -> None:
    if len(text) > longest or "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{text[:300]!r} is longer than {longest} characters, or has some that cannot be stored")


def check_ttl(ttl: float) -> None:
    if not 0 < ttl < math.inf:
        raise InputError(f"a lease lasts a positive number of seconds, not {ttl!r}")


def check_records(records: Sequence[NewRecord]) -> None:
    check_name(*(new.record_id for new in records))
    if any(new.tokens < 0 for new in records) or len({new.record_id for new in records}) < len(records):
        raise InputError("records have ids of their own, and no negative tokens")


def check_place(place: int, records: Sequence[Json]) -> None:
    if not 0 <= place <= len(records):
        raise InputError(f"there is no record {place}")
