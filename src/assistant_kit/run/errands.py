"""What is done beside runs, one after the other: the recording of late results, what comes after a turn."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from assistant_kit.entries import ToolFinished
from assistant_kit.errors import AssistantKitError
from assistant_kit.protocols.masker import Masker
from assistant_kit.run.masking import log_failure

_log = logging.getLogger("assistant_kit.run")
E = TypeVar("E", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """The end of a call that was reported as unknown meanwhile, by a synchronous tool whose thread went on."""

    user: str
    conversation: str
    end: ToolFinished

    def __str__(self) -> str:
        """Say what it is, for logs."""
        return f"the late result of {self.end.tool} (call {self.end.call_id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterTurn:
    """A turn has ended: its conversation may have to be compacted, and there may be something to remember."""

    user: str
    conversation: str

    def __str__(self) -> str:
        """Say what it is, for logs."""
        return f"what comes after a turn of {self.conversation!r}"


class Errands(Generic[E]):
    """Does errands in the order in which they come, one after the other, while its `run` runs.

    One that waits already is not taken twice. One that fails is logged; it does not keep others from being done.
    """

    def __init__(self, do: Callable[[E], Awaitable[None]], *, masker: Masker | None = None) -> None:
        """Do errands by `do`; with a masker, what is logged of those that fail is redacted."""
        self._do = do
        self._masker = masker
        self._waiting: deque[E] = deque()
        self._wanted = anyio.Event()
        self._rest = anyio.Event()
        self._rest.set()

    def take(self, errand: E) -> None:
        """Take an errand, in the event loop."""
        if errand not in self._waiting:
            self._waiting.append(errand)
            self._rest = anyio.Event() if self._rest.is_set() else self._rest
            self._wanted.set()

    async def settled(self) -> None:
        """Wait until nothing is left to do."""
        await self._rest.wait()

    async def run(self) -> None:
        """Do what comes, until cancelled."""
        while True:
            while self._waiting:
                await self._try(self._waiting.popleft())
            self._rest.set()
            self._wanted = anyio.Event()
            await self._wanted.wait()

    async def _try(self, errand: E) -> None:
        try:
            await self._do(errand)
        except AssistantKitError as error:
            _log.warning(
                "%s is not done: %s", errand, error if self._masker is None else self._masker.redact(str(error))
            )
        except Exception as error:  # noqa: BLE001  (somebody's extractor or compactor: it must not end the program)
            log_failure(_log, error, self._masker, "%s is not done", errand)
