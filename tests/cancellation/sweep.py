"""Every point of every setting: one trial for each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cancellation.scenario import Backend, Parts, Setting, trial
from tests.cancellation.steps import How
from tests.cancellation.watching import WatchedServer

WAYS: tuple[tuple[Backend, How], ...] = (("asyncio", "scope"), ("asyncio", "native"), ("trio", "scope"))
PARTS: tuple[tuple[str, Parts], ...] = (
    ("memory:", "usual"),
    ("sqlite:///{folder}/journal.db", "usual"),
    ("memory:", "all"),
)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a sweep has come to. `say` is told of each leak."""

    say: Callable[[str], None]
    points: int = 0
    leaks: int = 0


def settings(*addresses: str) -> Iterator[Setting]:
    """Both event loops, both local stores and those given, streamed and not; with all policies in memory."""
    more: list[tuple[str, Parts]] = [(address, "usual") for address in addresses]
    for (backend, how), streamed, (address, policies) in product(WAYS, (True, False), (*PARTS, *more)):
        yield Setting(backend=backend, how=how, address=address, streamed=streamed, policies=policies)


async def sweep(setting: Setting, tally: Tally, *, first: int = 1, every: int = 1) -> None:
    """Cancel at each `every`-th point from the `first` on, until the turn is over before it is cancelled."""
    with WatchedServer() as server:
        step = first
        while await _is_there_more(setting, server, tally, step):
            step += every


async def _is_there_more(setting: Setting, server: WatchedServer, tally: Tally, step: int) -> bool:
    with TemporaryDirectory() as folder:
        done = await trial(setting, server, Path(folder), step)
    tally.points += done.made
    tally.leaks += len(done.problems)
    for problem in done.problems:
        tally.say(f"{setting} at {step}: {problem}")
    return done.made
