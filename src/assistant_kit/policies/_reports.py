"""Whom a policy tells when the state of something that it watches has changed."""

import logging

from assistant_kit.protocols.policy import Condition, ConditionChanged, Hear

_log = logging.getLogger("assistant_kit.policies")


class Reports:
    """Those who are told. It is true when there are any, so that nobody's sake costs nothing."""

    __slots__ = ("_hearers",)

    def __init__(self) -> None:
        """Begin with nobody."""
        self._hearers: tuple[Hear, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._hearers)

    def add(self, hear: Hear) -> None:
        """Tell one more; who is told already is not told twice."""
        if hear not in self._hearers:
            self._hearers = (*self._hearers, hear)

    def tell(self, name: str, before: str, condition: Condition, *, owner: str = "") -> None:
        """Tell all, if the state is another one. Raises nothing; to be called while no lock is held."""
        if condition.state == before:
            return
        change = ConditionChanged(name=name, before=before, after=condition.state, condition=condition, owner=owner)
        for hear in self._hearers:
            try:
                hear(change)
            except Exception:  # noqa: BLE001  (the call goes on, whoever looks on)
                _log.exception("somebody who is told of %s failed", name)
