"""The world outside: tools that have effects there, each of which is remembered, and their misfortunes."""

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import anyio

from assistant_kit.errors import OutcomeUnknown, ToolError
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.testing.simulation import Faults, Process, current_process, later
from assistant_kit.tool_spec import Effect, keyed
from assistant_kit.toolsets.functions import tool

KEY_LIFE = 45.0
"""Seconds for which the server of keyed tools remembers a key. A tenth of it, which the engine does not count on, is
more than a claim, a way through the network and being adrift take together."""

EFFECTS: dict[str, Effect] = {
    "pay": "once",
    "look": "read",
    "store": "idempotent",
    "send": keyed(KEY_LIFE),
    "book": "transactional",
    "wipe": "once",
    "wire": "once",
    "ship": keyed(KEY_LIFE),
    "ask": "idempotent",
    "doom": "read",
}
NEEDS_APPROVAL = ("wipe", "ship")
_LONG_EACH = 5  # one result in so many is long
_LINES = 80  # of it: about 1,800 characters
_ADRIFT = 1.5  # seconds, at most
_TOO_LONG = 150.0  # seconds: longer than any timeout


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A call that has reached a tool. `applied` counts effects, `answer` is what the engine was told, if anything."""

    nonce: int
    tool: str
    key: str
    process: Process | None
    entered_at: float
    order: int
    applied: int = 0
    answer: Literal["ok", "error", "unknown"] | None = None
    late_excused: bool = False


class Watch(Protocol):
    """Who looks at what reaches the outside world."""

    def entered(self, attempt: Attempt, ref: str, context: ToolContext) -> None:
        """A call has reached a tool."""
        ...

    def reconciled(self, nonce_key: str, context: ToolContext) -> None:
        """Somebody asks what became of a call."""
        ...

    def tick(self) -> int:
        """Return the number of what happens now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfortunes:
    """How often a tool refuses, fails after it has done its work, does not answer, or works on by itself."""

    refuses: float = 0.05
    breaks: float = 0.04
    forgets: float = 0.04
    stalls: float = 0.04
    adrift: float = 0.05


@dataclass(slots=True)
class Outside:
    """Remembers what was done, by the number that the model gave to each call."""

    faults: Faults
    watch: Watch
    misfortunes: Misfortunes = field(default_factory=Misfortunes)
    attempts: dict[int, list[Attempt]] = field(default_factory=dict[int, list[Attempt]])
    keys: dict[str, float] = field(default_factory=dict[str, float])
    wired: dict[str, int] = field(default_factory=dict[str, int])

    async def serve(self, name: str, ref: str, nonce: int, context: ToolContext) -> str:
        """Do what a tool does."""
        attempt = Attempt(
            nonce=nonce,
            tool=name,
            key=context.idempotency_key,
            process=current_process(),
            entered_at=anyio.current_time(),
            order=self.watch.tick(),
        )
        self.attempts.setdefault(nonce, []).append(attempt)
        self.watch.entered(attempt, ref, context)
        await self._work(attempt, context)
        attempt.answer = "ok"
        return f"{ref} {name} done, number {nonce}{self._at_length(attempt)}"

    def _at_length(self, attempt: Attempt) -> str:
        """Return what some results say besides. Each attempt says something else, as a page that changes does."""
        if attempt.nonce % _LONG_EACH or attempt.tool == "book":
            return ""
        attempts = self.attempts[attempt.nonce]
        return "".join(f"\nline {line} of attempt {len(attempts)}" for line in range(_LINES))

    async def _work(self, attempt: Attempt, context: ToolContext) -> None:
        odds, strikes = self.misfortunes, self.faults.strikes
        await self.faults.travel()
        if strikes("tool_refuses", odds.refuses):
            attempt.answer = "error"
            raise ToolError("not today")
        if strikes("tool_stalls", odds.stalls):
            await anyio.sleep(_TOO_LONG)
        if attempt.tool != "book" and strikes("tool_adrift", odds.adrift):
            later(self.faults.chance.random() * _ADRIFT, self._applying(attempt))
            await self.faults.travel()
            attempt.answer = "unknown"
            raise OutcomeUnknown("the connection broke")
        self._apply(attempt, context)
        await self.faults.travel()
        if strikes("tool_breaks", odds.breaks):
            attempt.answer = "error"
            raise ValueError("the tool has a bug (simulated)")
        if strikes("tool_forgets", odds.forgets):
            attempt.answer = "unknown"
            raise OutcomeUnknown("no answer came")
        if strikes("tool_stalls", odds.stalls):
            await anyio.sleep(_TOO_LONG)

    def _applying(self, attempt: Attempt) -> Callable[[], Coroutine[Any, Any, None]]:
        async def apply() -> None:
            self._apply(attempt, None)

        return apply

    def _apply(self, attempt: Attempt, context: ToolContext | None) -> None:
        if attempt.tool in ("send", "ship"):
            now = anyio.current_time()
            first = self.keys.get(attempt.key)
            if first is not None and now < first + KEY_LIFE:
                return  # a repeat: dropped
            if attempt.process is not None and (attempt.process.woken_at or 0.0) > attempt.entered_at:
                attempt.late_excused = True  # frozen on its way, until the key was forgotten
            self.keys[attempt.key] = now
        elif attempt.tool == "book":
            assert context is not None
            table = context.connection.setdefault("book", {})
            table[attempt.nonce] = table.get(attempt.nonce, 0) + 1
        elif attempt.tool == "wire":
            self.wired[attempt.key] = attempt.nonce
        attempt.applied += 1


OUTSIDE: ContextVar[Outside] = ContextVar("outside")


@tool
async def pay(ref: str, nonce: int, context: ToolContext) -> str:
    """Pay."""
    return await OUTSIDE.get().serve("pay", ref, nonce, context)


@tool(effect="read")
async def look(ref: str, nonce: int, context: ToolContext) -> str:
    """Look."""
    return await OUTSIDE.get().serve("look", ref, nonce, context)


@tool(effect="idempotent")
async def store(ref: str, nonce: int, context: ToolContext) -> str:
    """Store."""
    return await OUTSIDE.get().serve("store", ref, nonce, context)


@tool(effect=EFFECTS["send"])
async def send(ref: str, nonce: int, context: ToolContext) -> str:
    """Send."""
    return await OUTSIDE.get().serve("send", ref, nonce, context)


@tool(effect="transactional")
async def book(ref: str, nonce: int, context: ToolContext) -> str:
    """Book."""
    return await OUTSIDE.get().serve("book", ref, nonce, context)


@tool(needs_approval=True)
async def wipe(ref: str, nonce: int, context: ToolContext) -> str:
    """Wipe."""
    return await OUTSIDE.get().serve("wipe", ref, nonce, context)


@tool(effect=EFFECTS["ship"], needs_approval=True)
async def ship(ref: str, nonce: int, context: ToolContext) -> str:
    """Ship."""
    return await OUTSIDE.get().serve("ship", ref, nonce, context)


async def _wired(context: ToolContext) -> str | None:
    outside = OUTSIDE.get()
    outside.watch.reconciled(context.idempotency_key, context)
    await outside.faults.travel()
    nonce = outside.wired.get(context.idempotency_key)
    return None if nonce is None else f"wire done, number {nonce}, as the bank says"


@tool(reconcile=_wired)
async def wire(ref: str, nonce: int, context: ToolContext) -> str:
    """Wire."""
    await context.note(f"wire {nonce}")
    return await OUTSIDE.get().serve("wire", ref, nonce, context)


@tool(effect="read")
async def doom(ref: str, nonce: int, context: ToolContext) -> str:
    """Take the whole process down, whoever calls it."""
    del ref, nonce, context
    process = current_process()
    assert process is not None
    OUTSIDE.get().faults.count("doom")
    process.kill()
    await anyio.sleep_forever()
    raise AssertionError


TOOLS = (pay, look, store, send, book, wipe, ship, wire, doom)
