"""An observer that keeps what it is told."""

from collections.abc import Sequence
from typing import TypeVar

from assistant_kit.protocols.observer import Notice

N = TypeVar("N")


class Kept:
    """Keeps notices, in `notices` and, with its name, in `told`, which others may share."""

    def __init__(self, name: str = "", told: list[str] | None = None, *, content: bool = False) -> None:
        self.name = name
        self.told: list[str] = [] if told is None else told
        self.notices: list[Notice] = []
        self._content = content

    @property
    def reads_content(self) -> bool:
        return self._content

    def observe(self, notice: Notice) -> None:
        self.notices.append(notice)
        self.told.append(f"{self.name}{notice.kind}")

    @property
    def calls(self) -> Sequence[str]:
        """What was told of calls, and not of the runs that they are made in."""
        return [kind for kind in self.told if "run_" not in kind and kind != "tool_answered"]

    def of(self, kind: type[N]) -> Sequence[N]:
        return [notice for notice in self.notices if isinstance(notice, kind)]

    def only(self, kind: type[N]) -> N:
        (found,) = self.of(kind)
        return found
