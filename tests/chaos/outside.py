"""The outside world of real processes: a file to which each execution of a tool is appended, for good."""

import json
import os
import random
from os import PathLike

import anyio

from assistant_kit.protocols.toolset import ToolContext
from tests.chaos import ledger
from tests.chaos.orders import Deed

LONGEST_TOOL = 0.06  # seconds


class EffectLog:
    """Executes tools: works for a while, has the effect, works for a while."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._random = random.Random()

    async def do(self, deed: Deed, context: ToolContext) -> None:
        """Have the effect; it is on disk before anything else happens."""
        await anyio.sleep(self._random.uniform(0, LONGEST_TOOL / 2))
        if deed.promise == "transactional":
            ledger.write(context.connection, deed)
        else:
            line = json.dumps([deed.tool, deed.what, deed.key]) + "\n"
            os.write(self._file, line.encode())  # one write: lines of processes do not mix
            os.fdatasync(self._file)
        await anyio.sleep(self._random.uniform(0, LONGEST_TOOL / 2))


def deeds_in(path: str | PathLike[str]) -> list[Deed]:
    """What was done."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123  (a path of any kind)
        rows = [json.loads(line) for line in file]
    return [Deed(tool=tool, what=what, key=key) for tool, what, key in rows]
