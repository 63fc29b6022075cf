"""How a bug is planted into the engine for a while, without a word of it in `src/`."""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

Swap: TypeAlias = tuple[Any, str, Callable[..., Any]]
"""A class or module, the name of a function in it, and what takes its place."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted bug: its name, what is wrong, and what is put in place of what."""

    name: str
    what: str
    swaps: Callable[[], Sequence[Swap]]

    @contextmanager
    def planted(self) -> Generator[None]:
        """Plant it for the time of the block."""
        with ExitStack() as undo:
            for place, name, instead in self.swaps():
                undo.callback(setattr, place, name, of(place, name))
                setattr(place, name, instead)
            yield


MUTANTS: dict[str, Mutant] = {}
"""All planted bugs, by their names; each module of this package enters its own."""


def mutant(swaps: Callable[[], Sequence[Swap]]) -> Callable[[], Sequence[Swap]]:
    """Enter a mutant in the table, under the name of the function that makes it."""
    name = swaps.__name__.replace("_", "-")
    MUTANTS[name] = Mutant(name, (swaps.__doc__ or "").strip(), swaps)
    return swaps


def of(owner: Any, name: str) -> Any:
    """Return what stands in a class or module now."""
    return owner.__dict__[name]


def always(value: Any) -> Callable[..., Any]:
    """Return a function that returns this, whatever it is given."""

    def constant(*_: object, **__: object) -> Any:
        return value

    return constant


def always_soon(value: Any) -> Callable[..., Any]:
    """Return the same as a coroutine function."""

    async def constant(*_: object, **__: object) -> Any:
        return value

    return constant
