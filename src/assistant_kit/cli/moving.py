"""`store export | import`: a user's data as lines of JSON, out of one store and into another."""

import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

import anyio
from anyio import CancelScope

from assistant_kit.cli.addresses import opened
from assistant_kit.cli.screen import Screen, counted
from assistant_kit.errors import InputError
from assistant_kit.protocols.store import UserStore
from assistant_kit.transfer import export_conversation, export_user, import_lines

_STANDARD: Final = "-"
_PRIVATE: Final = 0o600


async def export(address: str, screen: Screen, *, user: str, conversation: str | None, target: str) -> int:
    """Write a user's data to a file, or print it. Raises ConversationNotFound, InputError, StoreError, OSError."""
    async with opened(address) as store:
        lines = await _lines(store.for_user(user), user, conversation)
        if target == _STANDARD:
            async with aclosing(lines):
                async for line in lines:
                    screen.json(line)
            return 0
        number = await _write(lines, target)
    screen.line(f"{counted(number, 'line')} written to {target}")
    return 0


async def _lines(store: UserStore, user: str, conversation: str | None) -> AsyncGenerator[str, None]:
    if conversation is not None:
        return export_conversation(store, conversation)
    if not await store.conversations(limit=1) and not await store.audit_log(limit=1):
        raise InputError(f"nothing is kept of user {user!r}")
    return export_user(store)


async def _write(lines: AsyncGenerator[str, None], target: str) -> int:
    """Write a file that is there whole or not at all, and that nobody else may read. Return the number of lines."""
    part = anyio.Path(f"{target}.part")
    try:
        number = await _fill(part, lines)
        await part.replace(target)
        return number
    finally:
        with CancelScope(shield=True):
            await part.unlink(missing_ok=True)


async def _fill(part: anyio.Path, lines: AsyncGenerator[str, None]) -> int:
    number = 0
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
    file = await anyio.open_file(descriptor, "w", encoding="utf-8", newline="")
    async with file, aclosing(lines):
        async for line in lines:
            await file.write(line)
            number += 1
    return number


async def import_file(address: str, screen: Screen, *, user: str, source: str) -> int:
    """Make the conversations of an export in a store. Raises InputError, ConversationExists, StoreError, OSError."""
    async with opened(address, make=True) as store:
        names = await import_lines(store.for_user(user), _read(source))
    screen.line(f"{counted(len(names), 'conversation')} imported for user {user}")
    return 0


async def _read(source: str) -> AsyncIterator[str]:
    # The descriptor of standard input is left open for others.
    place, own = (sys.stdin.fileno(), False) if source == _STANDARD else (source, True)
    async with await anyio.open_file(place, encoding="utf-8", newline="\n", closefd=own) as file:
        try:
            async for line in file:
                yield line
        except UnicodeDecodeError as error:
            raise InputError(f"{source} is no export: it is not text in UTF-8") from error
