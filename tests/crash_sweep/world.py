"""Where the workers of one trial live: a store, a clock, and an outside world in which tools have effects."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from assistant_kit.errors import ConversationBusy
from assistant_kit.protocols.store import Record, Store
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.toolsets.functions import FunctionTool, tool
from tests.chaos import ledger
from tests.chaos.judge import Acknowledged, Evidence
from tests.chaos.orders import EFFECTS, Deed
from tests.crash_sweep.life import LIFE

Kind: TypeAlias = Literal["memory", "sqlite"]
USER = "u"
CONVERSATION = "c"


@dataclass(slots=True, kw_only=True)
class World:
    """What outlives a worker. `opens` returns the store as a new worker opens it; `written` what transactions wrote."""

    opens: Callable[[], Store]
    written: Callable[[], Sequence[Deed]]
    audited: bool
    now: float = 1_000.0
    deeds: list[Deed] = field(default_factory=list[Deed])
    acknowledged: list[Acknowledged] = field(default_factory=list[Acknowledged])
    opened: list[Store] = field(default_factory=list[Store])

    def open(self) -> Store:
        """The store as a new worker has it."""
        self.opened.append(self.opens())
        return self.opened[-1]

    async def evidence(self) -> Evidence:
        """What is there when all has come to rest."""
        user = self.open().for_user(USER)
        journals: dict[tuple[str, str], Sequence[Record]] = {}
        held: list[str] = []
        for info in await user.conversations():
            journals[USER, info.conversation] = await user.read(info.conversation)
            try:
                await user.release(await user.claim(info.conversation, owner="judge", ttl=1.0))
            except ConversationBusy:
                held.append(info.conversation)
        return Evidence(
            journals=journals,
            deeds=[*self.deeds, *self.written()],
            acknowledged=self.acknowledged,
            held=held,
            audited={USER: await user.audit_log(limit=10_000)} if self.audited else {},
        )


class Outdoors:
    """The outside world of whichever trial is under way, for tools that are made once."""

    def __init__(self) -> None:
        self.world: World | None = None

    async def do(self, deed: Deed, context: ToolContext) -> None:
        """Have an effect, with a point before and a point after it."""
        assert self.world is not None
        life = LIFE.get()
        if deed.promise == "transactional":
            life.point_inside(f"before {deed.tool}")
            ledger.write(context.connection, deed)
            life.point_inside(f"after {deed.tool}")
        else:
            await life.point(f"before {deed.tool}")
            self.world.deeds.append(deed)
            await life.point(f"after {deed.tool}")


def lengthy(outdoors: Outdoors, name: str) -> FunctionTool[Any, Any]:
    """A tool of the orders with much to say."""

    async def do(what: str, context: ToolContext) -> str:
        await outdoors.do(Deed(tool=name, what=what, key=context.idempotency_key), context)
        return "\n".join(f"line {line} of {name} {what}" for line in range(60))

    decorate = tool(name=name, effect=EFFECTS[name], description=name)
    return cast("FunctionTool[Any, Any]", decorate(do))


@asynccontextmanager
async def new_world(kind: Kind, folder: Path, *, audited: bool) -> AsyncGenerator[World]:
    """A new world; its stores are closed at the end."""
    options: dict[str, Any] = {"audit": True} if audited else {}
    world = _in_memory(options) if kind == "memory" else _in_sqlite(folder / "chat.db", options)
    world.audited = audited
    try:
        yield world
    finally:
        for store in world.opened:
            await store.aclose()


def _in_memory(options: dict[str, Any]) -> World:
    shared = MemoryStore(clock=lambda: world.now, **options)
    world = World(opens=lambda: shared, written=lambda: ledger.in_memory(shared.tables), audited=False)
    return world


def _in_sqlite(path: Path, options: dict[str, Any]) -> World:
    def opens() -> Store:
        return SQLiteStore(path, clock=lambda: world.now, **options)

    world = World(opens=opens, written=lambda: ledger.in_sqlite(path), audited=False)
    return world
