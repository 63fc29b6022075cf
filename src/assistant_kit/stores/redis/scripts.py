"""The Lua scripts that are the operations: one each, put together from the parts in the folder `lua`."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

VERSION: Final = 1
"""Of the layout of keys and values; each shard's root says which one it has."""

PARTS: Final[dict[str, tuple[str, ...]]] = {
    "append": ("audit", "lineage", "states", "write"),
    "claim": ("audit", "lineage", "users", "states", "write"),
    "conversations": ("shown",),
    "delete": ("audit", "segments", "users", "states"),
    "erase": ("audit", "segments", "users"),
    "fork": ("audit", "lineage", "segments", "states"),
    "info": ("shown",),
    "locate": ("lineage",),
    "log": ("audit",),
    "names": ("users",),
    "read": ("lineage",),
    "release": (),
    "rename": ("audit",),
    "renew": (),
    "rewind": ("audit", "lineage", "segments", "states"),
    "undo": ("audit", "states"),
    "unfinished": (),
}
"""What each script is made of, beside `common` in front and itself at the end."""

_END: Final = f"if root[1] ~= '{VERSION}' then return {{'UNOPENED'}} end\nreturn main()\n"


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a script, and the name by which the server knows it."""

    text: str
    sha: str


def _script(text: str) -> Script:
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _part(name: str) -> str:
    return files("assistant_kit.stores.redis").joinpath("lua", f"{name}.lua").read_text("utf-8")


@cache
def script(name: str) -> Script:
    """Return the script of an operation."""
    return _script("".join((*(_part(part) for part in ("common", *PARTS[name], name)), _END)))


@cache
def opening() -> Script:
    """Return the script that makes a shard ready, before any other may run."""
    return _script(_part("open"))


@cache
def scripts() -> tuple[Script, ...]:
    """Return all scripts."""
    return opening(), *(script(name) for name in PARTS)
