"""What every index decides in the same way, as functions of values: names, passages, vectors, what fits a filter."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from assistant_kit.errors import IndexMismatch, InputError
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Passage, Where

MAX_NAME: Final = 255
"""Characters of an owner, the id of a passage, or the name of a label: short enough for an index of any database."""

MAX_SOURCE: Final = 1000
"""Characters of a source: enough for the address of a document."""

MAX_INTEGER: Final = 2**63 - 1
"""The largest number in a label: the largest integer of databases."""

_OFF: Final = 0.01
"""How far the length of a vector may be from 1: some models are trained, and served, in 16 bits."""


def check_owner(owner: str) -> None:
    """Refuse an owner that some database cannot hold. Raises InputError."""
    _check_text("owner", owner, least=1, most=MAX_NAME)


def check_limit(limit: int) -> None:
    """Refuse to look for less than one passage. Raises InputError."""
    if limit < 1:
        raise InputError(f"a limit is at least 1, not {limit}")


def check_page(limit: int, after: str) -> None:
    """Refuse a page of nothing, or behind what no database can hold. Raises InputError."""
    check_limit(limit)
    if not is_storable(after):
        raise InputError(f"nothing stands behind {after!r}: it has NUL or lone surrogates")


def known(ids: Iterable[str]) -> list[str]:
    """Return those of these ids that a passage can have, each once: the others are of no passage, in any index."""
    return [name for name in dict.fromkeys(ids) if 0 < len(name) <= MAX_NAME and is_storable(name)]


def latest(passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages to be put: the last one of each id. Raises InputError for one that cannot be kept."""
    found: dict[str, Passage] = {}
    for passage in passages:
        check_passage(passage)
        found[passage.id] = passage
    return list(found.values())


def check_passage(passage: Passage) -> None:
    """Refuse a passage that some database cannot hold; its vector is for `check_vector`. Raises InputError."""
    _check_text("passage's id", passage.id, least=1, most=MAX_NAME)
    _check_text("passage's source", passage.source, least=0, most=MAX_SOURCE)
    if not is_storable(passage.text):
        raise InputError(f"the text of passage {passage.id!r} cannot be stored: it has NUL or lone surrogates")
    if not math.isfinite(passage.at):
        raise InputError(f"the time of passage {passage.id!r} is a number of seconds, not {passage.at!r}")
    for name, value in passage.labels.items():
        _check_label(passage.id, name, value)


def _check_label(passage: str, name: str, value: object) -> None:
    _check_text("label's name", name, least=1, most=MAX_NAME)
    good = (isinstance(value, str) and is_storable(value)) or (isinstance(value, int) and abs(value) <= MAX_INTEGER)
    if not good:
        raise InputError(
            f"label {name!r} of passage {passage!r} is {value!r}: it may be a text without NUL and lone surrogates, "
            "an integer of 64 bits, True or False"
        )


def check_vector(vector: Vector, dimensions: int | None) -> None:
    """Refuse a vector of a length other than `dimensions`, if that is known, and one that is no direction.

    Raises InputError.
    """
    if dimensions is not None and len(vector) != dimensions:
        raise InputError(f"this index holds vectors of {dimensions} numbers, and this one has {len(vector)}")
    if not abs(math.hypot(*vector) - 1) <= _OFF:
        raise InputError("a vector has the length 1, so that a dot product is a cosine; this one has not")


def check_deletable(where: Where) -> None:
    """Refuse a filter that everything passes: that would be `erase`. Raises InputError."""
    if where == Where():
        raise InputError("an empty `where` would delete everything: use erase() for that")


def is_storable(text: str) -> bool:
    """Say whether every database can hold a text: Postgres has no NUL, and surrogates have no UTF-8."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_text(what: str, text: str, *, least: int, most: int) -> None:
    if not least <= len(text) <= most:
        raise InputError(f"a {what} has {least} to {most} characters, and this one has {len(text)}")
    if not is_storable(text):
        raise InputError(f"the {what} {text!r} has characters that cannot be stored: NUL or lone surrogates")


def fits(passage: Passage, where: Where | None) -> bool:
    """Say whether a passage is like `where`. Of labels True and 1 are two values, though Python finds them equal."""
    if where is None:
        return True
    return (
        (where.source is None or passage.source == where.source)
        and (where.since is None or passage.at >= where.since)
        and (where.until is None or passage.at <= where.until)
        and all(_has(passage.labels, name, value) for name, value in where.labels.items())
    )


def may_fit(where: Where | None) -> bool:
    """Say whether any passage can be like `where`; what cannot be stored, no database should be asked for."""
    if where is None:
        return True
    texts = [where.source or "", *where.labels, *(value for value in where.labels.values() if isinstance(value, str))]
    return all(is_storable(text) for text in texts)


def _has(labels: Mapping[str, object], name: str, value: object) -> bool:
    found = labels.get(name)
    return type(found) is type(value) and found == value


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Where vectors live, as far as it is known: what makes them, and their length."""

    embedder: str = ""
    dimensions: int | None = None

    def or_before(self, before: "Space") -> "Space":
        """Return this, or what was said before if this says nothing."""
        return before if self == Space() else self

    def __str__(self) -> str:
        return f"{self.embedder or 'an unnamed embedder'} with {self.dimensions or 'unknown'} dimensions"


def settled(place: str, *, kept: Space, given: Space) -> Space:
    """Return what an index that keeps vectors of one space is, when it is opened for another: what both know.

    Raises IndexMismatch when they contradict each other.
    """
    names = {kept.embedder, given.embedder} - {""}
    lengths = {kept.dimensions, given.dimensions} - {None}
    if len(names) > 1 or len(lengths) > 1:
        raise IndexMismatch(place, kept=str(kept), given=str(given))
    return Space(embedder=kept.embedder or given.embedder, dimensions=kept.dimensions or given.dimensions)


def space_of(passages: Sequence[Passage], *, place: str, kept: Space, opened: Space) -> Space:
    """Return where an index's vectors live once these passages are put; `opened` is what it was last opened for.

    Raises InputError for a wrong vector, IndexMismatch.
    """
    space = settled(place, kept=kept, given=opened)
    for passage in passages:
        if passage.vector is not None:
            check_vector(passage.vector, space.dimensions)
            space = replace(space, dimensions=len(passage.vector))
    return space
