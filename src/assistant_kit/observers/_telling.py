"""How notices come to observers: in order, with content for those who ask for it, and none costs the run."""

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import count

from assistant_kit.protocols.observer import Notice, Observer, ReadingObserver

_log = logging.getLogger("assistant_kit.observers")
_spans = count(1)


class Telling:
    """Tells observers. What one of them raises is logged, once of each kind, and the others are told all the same."""

    __slots__ = ("_failed", "_observers")

    def __init__(self, observers: Sequence[Observer]) -> None:
        """Take those who are told."""
        self._observers = tuple(
            (observer, isinstance(observer, ReadingObserver) and observer.reads_content) for observer in observers
        )
        self._failed: set[tuple[int, type[Exception]]] = set()

    def tell(self, notice: Notice, whole: Callable[[], Notice] | None = None) -> None:
        """Tell all, the first one first. `whole` is the notice with its content, made for those alone who read it."""
        self._tell(self._observers, notice, whole)

    def end(self, notice: Notice, whole: Callable[[], Notice] | None = None) -> None:
        """Tell all of an end, the last one first."""
        self._tell(reversed(self._observers), notice, whole)

    def _tell(
        self, observers: Iterable[tuple[Observer, bool]], notice: Notice, whole: Callable[[], Notice] | None
    ) -> None:
        for observer, reads in observers:
            try:
                observer.observe(whole() if reads and whole is not None else notice)
            except Exception as error:  # noqa: BLE001  (the run goes on, whoever looks on)
                self._note(observer, error)

    def _note(self, observer: Observer, error: Exception) -> None:
        kind = (id(observer), type(error))
        if kind not in self._failed:
            self._failed.add(kind)
            _log.exception("observer %s failed; the same again is not logged", type(observer).__name__)


def next_span() -> int:
    """Return a number that no other run or call of this process has."""
    return next(_spans)


def name_of(error: BaseException) -> str:
    """Return what an error is called where its text must not be shown: its class, the first that has a public name."""
    return next(kind.__name__ for kind in type(error).__mro__ if not kind.__name__.startswith("_"))
