"""The stores that are tried: a file, or a real server that is started for it."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from assistant_kit import registry
from assistant_kit.protocols.store import Store
from tests.chaos import ledger
from tests.chaos.clients import KINDS
from tests.chaos.orders import EFFECTS, Deed
from tests.services.postgres import running_postgres
from tests.services.valkey import running_valkey

StoreName: TypeAlias = Literal["sqlite", "postgres", "redis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How to open a store, the tools and orders that it can take, and what transactional tools have written in it."""

    opens: Callable[..., Store]
    written: Callable[[], Sequence[Deed]]
    tools: tuple[str, ...] = tuple(EFFECTS)
    kinds: tuple[str, ...] = KINDS


@contextmanager
def place(name: StoreName, folder: Path) -> Generator[Place]:
    """A place for journals, for the time of the block."""
    match name:
        case "sqlite":
            path = folder / "chat.db"
            yield Place(opens=_opens("sqlite:", path), written=lambda: ledger.in_sqlite(path))
        case "postgres":
            with running_postgres() as url:
                ledger.make_in_postgres(url)
                yield Place(opens=_opens("postgresql:", url), written=lambda: ledger.in_postgres(url))
        case "redis":
            with running_valkey() as url:
                yield Place(
                    opens=_opens("redis:", url),
                    written=list,
                    tools=tuple(tool for tool in EFFECTS if tool != "write"),
                    kinds=tuple(kind for kind in KINDS if kind != "write"),
                )


def _opens(scheme: str, where: str | Path) -> Callable[..., Store]:
    def opens(**options: Any) -> Store:
        return registry.load(registry.STORES[scheme])(where, **options)

    return opens
