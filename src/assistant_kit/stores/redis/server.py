"""A server in use by one thread: its connection, what has to be so before it is used, and groups of calls."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as NotInTime

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreTooNew
from assistant_kit.redis_address import Address, Wire
from assistant_kit.stores.redis.calls import Answering, Call, Question, Reply
from assistant_kit.stores.redis.chain_heads import ENTRY_BYTES, ChainHeads
from assistant_kit.stores.redis.durability import Durability, must_wait_for_disk
from assistant_kit.stores.redis.scripts import VERSION, opening, script, scripts
from assistant_kit.worker_thread import Group

_WAIT: Final = 0.5  # of the time after which the connection gives up: so it is the server that says that it waited


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a server is used. `timeout` is in seconds, `roots` are the root keys of the shards.

    A call is asked `attempts` times: each time but the first because another process has extended the same audit chain,
    or, once, because something had to be loaded or learned.
    """

    address: Address
    roots: tuple[str, ...]
    durability: Durability
    audit: bool
    timeout: float
    attempts: int = 100


class Server:
    """One connection, made when it is first needed and again when it broke."""

    def __init__(self, terms: Terms, *, writes: bool) -> None:
        self._writes = writes
        self.reply: Reply = []
        self._terms = terms
        self._wire: Wire | None = None
        self._audit = terms.audit
        self._wait_for_disk = False
        self._clock = 0  # microseconds that the server's clock is ahead of time.monotonic
        self._heads = ChainHeads()

    def perform(self, group: Group[Answering]) -> None:
        """Ask all that is asked, as one pipeline; let each call succeed or fail by itself."""
        waiting = [cast("Call[object]", job) for job in group]
        failure: Exception = StoreBusy(f"{self._terms.address.place}: others write to the same audit chain: try again")
        try:
            self._connect()
            for _ in range(self._terms.attempts):
                replies = self._ask_all(waiting)
                refused = [each for each in zip(waiting, replies, strict=True) if not self._is_settled(*each)]
                waiting = [call for call, _ in refused]
                if not waiting:
                    return
                for call, reply in refused:
                    self._make_good(call, reply)
        except Exception as error:  # noqa: BLE001  (whatever it is belongs to the tasks that wait)
            self.disconnect()
            failure = error
        for call in waiting:
            call.fail(failure)

    def disconnect(self) -> None:
        """Close the connection; the next call makes a new one."""
        if self._wire is not None:
            self._wire.disconnect()
            self._wire = None

    def _ask_all(self, calls: list[Call[object]]) -> list[Any]:
        """Return the answers to calls; an empty one to a call without a question."""
        asked = [self._command(call, call.question) for call in calls if call.question is not None]
        replies = iter(self._exchange(asked))
        return [[] if call.question is None else next(replies) for call in calls]

    def _is_settled(self, call: Call[object], reply: Any) -> bool:
        """Give a call its answer. False if the server was not ready for the question."""
        match reply:
            case NoScriptError() | [b"AUDIT", *_] | [b"UNOPENED"]:
                return False
            case [b"HEAD", last] | [b"TIME", last, _] if len(last) in (0, ENTRY_BYTES):
                return False
            case Exception():
                call.fail(reply)
            case _:
                self.reply = reply
                try:
                    call.run(self)
                except Exception as error:  # noqa: BLE001  (it belongs to the task that waits)
                    call.fail(error)
        return True

    def _make_good(self, call: Call[object], reply: Any) -> None:
        """See that the server will be ready when it is asked again. Raises StoreError, redis.RedisError."""
        question = cast("Question", call.question)
        match reply:
            case NoScriptError():  # somebody flushed the server's scripts
                self._ask("SCRIPT", "LOAD", script(question.script).text)
            case [b"HEAD", last]:
                self._heads.learn(question, last)
            case [b"TIME", last, micros]:
                self._heads.learn(question, last)
                self._set_clock(int(micros))
            case [b"AUDIT", *place]:
                self._audit = True
                call.place = int(place[0]) if place else None
            case _:  # somebody flushed its data
                self._open()

    def _command(self, call: Call[object], question: Question) -> tuple[Any, ...]:
        note = call.note() if self._audit else None
        at_us = self._clock + time.monotonic_ns() // 1000
        chained = ("", "", "") if note is None else self._heads.extend(question, note, at_us=at_us)
        sha = script(question.script).sha
        keys = question.keys
        return ("EVALSHA", sha, len(keys), *keys, question.user, question.subject, *chained, *question.args)

    def _connect(self) -> None:
        """See that the connection is good. Raises StoreError, StoreVolatile, redis.RedisError."""
        if self._wire is not None and not _is_idle(self._wire):
            self.disconnect()
        if self._wire is None:
            self._wire = self._terms.address.wire()
            try:
                self._wire.connect()
            except (OSError, ValueError) as error:  # a host name that is none, a certificate that cannot be read
                raise BrokenConnection(str(error)) from error
            place = self._terms.address.place
            self._wait_for_disk = False
            waits = must_wait_for_disk(self._ask, self._terms.durability, place)
            self._wait_for_disk = waits and self._writes
            self._open()
            seconds, micros = self._ask("TIME")
            self._set_clock(int(seconds) * 1_000_000 + int(micros))

    def _set_clock(self, at_us: int) -> None:
        """Take note of the server's time."""
        self._clock = at_us - time.monotonic_ns() // 1000

    def _open(self) -> None:
        """Make every shard ready. Raises StoreCorrupt, StoreTooNew, redis.RedisError."""
        known = self._ask("SCRIPT", "EXISTS", *(each.sha for each in scripts()))
        for each in (each for each, is_known in zip(scripts(), known, strict=True) if not is_known):
            self._ask("SCRIPT", "LOAD", each.text)
        asked = VERSION, int(self._terms.audit)
        for root, reply in zip(
            self._terms.roots,
            self._exchange([("EVALSHA", opening().sha, 1, root, *asked) for root in self._terms.roots]),
            strict=True,
        ):
            self._look_at(root, reply)

    def _look_at(self, root: str, reply: Any) -> None:
        place = f"{root} at {self._terms.address.place}"
        match reply:
            case [b"OK", audit]:
                self._audit = self._audit or audit == b"1"
            case [b"VERSION", found] if found.isdigit():
                raise StoreTooNew(place, found=int(found), supported=VERSION)
            case Exception():
                raise reply
            case _:
                raise StoreCorrupt(f"{place} is another program's: give another prefix. It was left as it is")

    def _ask(self, *command: str | int) -> Any:
        (reply,) = self._exchange([command])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands at once and return the answers; one that is an error is returned, not raised."""
        if not commands:
            return []
        wire = cast("Wire", self._wire)
        patience = int(self._terms.timeout * _WAIT * 1000)
        waiting = [("WAITAOF", 1, 0, patience)] if self._wait_for_disk else []
        wire.send_packed_command(wire.pack_commands([*commands, *waiting]), check_health=False)
        replies = [_answer(wire) for _ in commands]
        if waiting:
            on_disk = _answer(wire)
            if isinstance(on_disk, Exception):  # its settings or its role were changed: the next connection will tell
                raise BrokenConnection(str(on_disk)) from on_disk
            if on_disk[0] < 1:
                raise NotInTime(f"not on disk after {patience} ms")
        return replies


def _answer(wire: Wire) -> Any:
    try:
        return wire.read_response()
    except ResponseError as error:
        return error


def _is_idle(wire: Wire) -> bool:
    """Whether nothing comes from a server that was not asked: if so, the connection has not been closed."""
    try:
        return not wire.can_read()
    except RedisError:
        return False
