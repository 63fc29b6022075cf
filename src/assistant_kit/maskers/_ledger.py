"""Which pseudonyms are given out, and for what: pure, so that every vault gives them out in the same way."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from assistant_kit.errors import InputError
from assistant_kit.protocols.masker import Private
from assistant_kit.protocols.user_data import UserData

PLACE: Final = "pseudonyms"
"""The place that exported values bear."""


class Ledger:
    """The pseudonyms of one user, each with its value. They are numbered for each kind, from 1 on."""

    __slots__ = ("_counts", "_names", "_values")

    def __init__(self) -> None:
        self._names: dict[Private, str] = {}
        self._values: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def unknown(self, values: Iterable[Private]) -> list[Private]:
        """Return those that have no pseudonym, each once."""
        return [value for value in dict.fromkeys(values) if value not in self._names]

    def add(self, values: Iterable[Private]) -> None:
        """Give a pseudonym to each of these, in their order; they have none yet."""
        for each in values:
            self._counts[each.kind] += 1
            name = f"<{each.kind}_{self._counts[each.kind]}>"
            self._names[each] = name
            self._values[name] = each.value

    def names(self, values: Iterable[Private]) -> list[str]:
        """Return the pseudonym of each; all have one."""
        return [self._names[value] for value in values]

    def revealed(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        """Return the values of those that are known."""
        return {name: self._values[name] for name in pseudonyms if name in self._values}

    def exported(self) -> Iterator[UserData]:
        """Return all of it."""
        for name, value in self._values.items():
            yield UserData(place=PLACE, name=name, data={"value": value})


def check_user(user: str) -> None:
    """Refuse a user without a name. Raises InputError."""
    if not user:
        raise InputError("a user has a name that is not empty")
