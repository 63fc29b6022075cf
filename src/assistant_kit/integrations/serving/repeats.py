"""Calls that carry an idempotency key are made once: a repeated one gets what the first one got.

A record is claimed before the call is made, and holds the outcome afterwards. A call ends within a known time; so a
claim that is older belongs to a worker that has died, and its call is decided by the tool's effect.
"""

import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Protocol, TypeAlias

import anyio

from assistant_kit.errors import StoreError
from assistant_kit.integrations.serving.outcomes import UNKNOWN, Outcome, problem
from assistant_kit.messages import JsonObject, Text
from assistant_kit.protocols.shared_state import Change, Changed, T
from assistant_kit.tool_spec import Effect, Keyed, may_repeat
from assistant_kit.toolsets.http_tools.content import from_wire, to_wire

_log = logging.getLogger("assistant_kit.serving")
_MARGIN: Final = 10.0  # seconds that a claim outlives the time of its call: to record what came of it
_PAUSES: Final = (0.05, 0.1, 0.25, 0.5, 1.0)  # seconds between looks at a call that another worker makes
_LARGEST: Final = 1024 * 1024
"""Bytes of an outcome that is kept."""
_UNDER_WAY = "The same call is being made already. Try again later."
_TOO_LARGE = "The call was made already; its result was too large to be kept."


class Place(Protocol):
    """Where records are kept: a SharedState, or `Recent`."""

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        """Replace a record by what `change` makes of it, in one atomic step. Raises StoreError."""
        ...

    async def erase(self, owner: str) -> None:
        """Delete all records of an owner. Raises StoreError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A call under its key: `digest` stands for tool and arguments, `seconds` is the time within which it ends."""

    digest: str
    effect: Effect
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of a call: when it began and ends at the latest (seconds since 1970), and what came of it."""

    digest: str
    began: float
    until: float
    outcome: Outcome | None = None


Standing: TypeAlias = Outcome | bool
"""An outcome that counts, True: the call is to be made, False: another one makes it now."""


def digest_of(tool: str, arguments: JsonObject) -> str:
    """Return what stands for a tool with its arguments."""
    return sha256(json.dumps([tool, arguments], sort_keys=True).encode()).hexdigest()


class Repeats:
    """Makes calls once for each user and key. Outcomes are kept for `ttl` seconds."""

    def __init__(self, place: Place, *, ttl: float) -> None:
        """Take where records are kept."""
        self._place = place
        self._ttl = ttl

    async def once(self, owner: str, key: str, claim: Claim, make: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Make a call, or return what came of it when it was made before. Raises StoreError before it is made."""
        name = f"served:{sha256(key.encode(errors='replace')).hexdigest()}"
        standing = await self._stand(owner, name, claim)
        if standing is not None:
            return standing
        try:
            made = await make()
        except BaseException:  # cancelled: whoever comes next must learn that it was begun
            await self._record(owner, name, None if may_repeat(claim.effect) else problem("outcome_unknown", UNKNOWN))
            raise
        await self._record(owner, name, made if made.lasting else None)
        return made

    async def _stand(self, owner: str, name: str, claim: Claim) -> Outcome | None:
        """Claim the call; wait while another one makes it. None: it is to be made."""
        looks, patience = 0, anyio.current_time() + claim.seconds
        while True:
            standing = await self._place.update(owner, name, self._begin(claim))
            if standing is not False:
                return None if standing is True else standing
            pause = _PAUSES[min(looks, len(_PAUSES) - 1)]
            if anyio.current_time() + pause > patience:
                return problem("unavailable", _UNDER_WAY, retry_after=_PAUSES[-1])
            await anyio.sleep(pause)
            looks += 1

    async def _record(self, owner: str, name: str, outcome: Outcome | None) -> None:
        """Put down what came of a call; None: nothing that counts, so that it may be made again."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(_MARGIN):
            try:
                await self._place.update(owner, name, self._end(outcome))
            except StoreError:  # the claim stays, and is judged by the effect when its time is over
                _log.exception("what came of a call with an idempotency key cannot be recorded")

    def _begin(self, claim: Claim) -> Change[Standing]:
        def change(value: bytes | None, now: float) -> Changed[Standing]:
            record = None if value is None else _read(value)
            standing = True if record is None else _standing(record, claim, now)
            if standing is not True:
                return Changed(value=value, result=standing, keep=self._ttl)
            began = now if record is None else record.began
            mine = Record(digest=claim.digest, began=began, until=now + claim.seconds + _MARGIN)
            return Changed(value=_written(mine), result=True, keep=self._ttl)

        return change

    def _end(self, outcome: Outcome | None) -> Change[None]:
        def change(value: bytes | None, now: float) -> Changed[None]:
            if outcome is None or value is None:
                return Changed(value=None, result=None)
            ended = replace(_read(value), until=now, outcome=outcome)
            return Changed(value=_written(ended), result=None, keep=self._ttl)

        return change


def _standing(record: Record, claim: Claim, now: float) -> Standing:
    """Tell what a record means for a call that has come now."""
    if record.digest != claim.digest:
        return problem("key_reused", "This idempotency key belongs to a call of other content. Give a new one.")
    if record.outcome is not None:
        if record.outcome.problem == "outcome_unknown" and _harmless(record, claim.effect, now):
            return True
        return record.outcome
    if now < record.until:
        return False
    return True if _harmless(record, claim.effect, now) else problem("outcome_unknown", UNKNOWN)


def _harmless(record: Record, effect: Effect, now: float) -> bool:
    """Tell whether a call whose outcome is not known may be made again."""
    if isinstance(effect, Keyed):
        return now - record.began < effect.ttl
    return may_repeat(effect)


def _written(record: Record) -> bytes:
    outcome = record.outcome
    data: dict[str, Any] = {"digest": record.digest, "began": record.began, "until": record.until}
    if outcome is not None:
        data["outcome"] = {"problem": outcome.problem, "content": to_wire(outcome.content)}
    written = json.dumps(data).encode()
    if outcome is None or len(written) <= _LARGEST:
        return written
    data["outcome"] = {"problem": "tool_error", "content": to_wire((Text(text=_TOO_LARGE),))}
    return json.dumps(data).encode()


def _read(value: bytes) -> Record:
    data: dict[str, Any] = json.loads(value)
    kept = data.get("outcome")
    outcome = None if kept is None else Outcome(problem=kept["problem"], content=from_wire(kept["content"]))
    return Record(digest=data["digest"], began=data["began"], until=data["until"], outcome=outcome)


class Recent:
    """Records in this process, up to `limit` bytes: the oldest outcomes go first, what is running stays."""

    def __init__(self, *, clock: Callable[[], float], limit: int = 64 * 1024 * 1024) -> None:
        """Make an empty place; `clock` is in seconds since 1970."""
        self._clock = clock
        self._limit = limit
        self._records: OrderedDict[tuple[str, str], tuple[bytes, float]] = OrderedDict()
        self._size = 0

    async def update(self, owner: str, key: str, change: Change[T]) -> T:
        """Replace a record by what `change` makes of it."""
        now = self._clock()
        before, until = self._records.pop((owner, key), (None, now))
        self._size -= len(before or b"")
        changed = change(before if now < until else None, now)
        if changed.value is not None:
            self._records[owner, key] = (changed.value, now + changed.keep)
            self._size += len(changed.value)
        if self._size > self._limit:
            self._shrink(now)
        return changed.result

    async def erase(self, owner: str) -> None:
        """Delete all records of an owner."""
        for spot in [spot for spot in self._records if spot[0] == owner]:
            self._size -= len(self._records.pop(spot)[0])

    def _shrink(self, now: float) -> None:
        for spot, (value, _) in list(self._records.items()):
            if self._size <= self._limit // 2:  # half: so that this is done seldom
                return
            record = _read(value)
            if record.outcome is not None or record.until < now:
                del self._records[spot]
                self._size -= len(value)
