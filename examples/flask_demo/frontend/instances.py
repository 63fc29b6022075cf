"""Which orchestrator is asked: decided by what is known of each."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

REST: Final = 5.0
"""Seconds for which an instance that did not answer is asked after the others."""


class Instances:
    """Addresses of equal servers; from any thread. Those that failed lately come last."""

    def __init__(self, urls: Sequence[str], clock: Callable[[], float]) -> None:
        """Take the addresses, and a clock in seconds that only goes forward."""
        self._urls = tuple(urls)
        self._clock = clock
        self._lock = threading.Lock()
        self._rest_until: dict[str, float] = {}
        self._turn = 0

    def order(self) -> list[str]:
        """Return all addresses in the order in which to try them: in turns, and those that rest at the end."""
        now = self._clock()
        with self._lock:
            turn = self._turn = (self._turn + 1) % len(self._urls)
            turned = self._urls[turn:] + self._urls[:turn]
            return sorted(turned, key=lambda url: max(self._rest_until.get(url, now), now))

    def failed(self, url: str) -> None:
        """Take note that one did not answer."""
        with self._lock:
            self._rest_until[url] = self._clock() + REST

    def answered(self, url: str) -> None:
        """Take note that one has answered."""
        with self._lock:
            self._rest_until.pop(url, None)
