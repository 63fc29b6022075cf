"""The masker of rules: recognisers find values, and a vault keeps what stands for them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

from anyio import to_thread

from assistant_kit.errors import ConfigurationError
from assistant_kit.maskers.rules.pseudonyms import LOOKALIKE, pseudonym
from assistant_kit.maskers.rules.recogniser import Recogniser
from assistant_kit.maskers.rules.scanner import Part, Scanner, Search
from assistant_kit.maskers.rules.standard import standard
from assistant_kit.protocols.masker import Origin, Private, UserVault, Vault
from assistant_kit.protocols.user_data import Kept

_PSEUDONYM = pseudonym()
_LONG: Final = 20_000  # characters, of which an ordinary text takes 1 µs each
_PSEUDONYMS = Search((), above=_PSEUDONYM)


class RuleMasker:
    """Masks what `recognisers` find (default: all that come along), with pseudonyms that `vault` keeps.

    Where two recognisers find the same, the one that stands first counts. One object serves several event loops, if
    the vault does. Raises ConfigurationError.
    """

    def __init__(self, vault: Vault, recognisers: Sequence[Recogniser] | None = None) -> None:
        self._vault = vault
        chosen = standard() if recognisers is None else recognisers
        if any(each.kind == LOOKALIKE for each in chosen):
            raise ConfigurationError(f"the kind {LOOKALIKE!r} is the masker's own: give the recogniser another one")
        self._search = Search(chosen, above=_PSEUDONYM)

    def __repr__(self) -> str:
        return f"RuleMasker({self._vault!r})"

    def for_user(self, user: str) -> "UserRules":
        """Return the handle for the texts of `user`. Raises InputError."""
        return UserRules(self._vault.for_user(user), self._search)

    def redact(self, text: str) -> str:
        """Return a text with `<EMAIL>` in place of private values; pseudonyms stay."""
        parts = _all_parts(Scanner(self._search), text)
        return "".join(part if isinstance(part, str) else f"<{part.kind}>" for part in _keeping_pseudonyms(parts))

    async def erase_user(self, user: str) -> None:
        """Forget the values of a user: what is masked stays masked. Raises StoreError."""
        await self._vault.erase_user(user)

    def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return the pseudonyms of a user with their values. Raises StoreError."""
        return self._vault.export_user(user)

    async def aclose(self) -> None:
        """Close the vault."""
        await self._vault.aclose()


class UserRules:
    """Masks and restores texts of one user."""

    __slots__ = ("_search", "_vault")

    def __init__(self, vault: UserVault, search: Search) -> None:
        self._vault = vault
        self._search = search

    async def mask(self, texts: Sequence[str], *, origin: Origin = "outside") -> Sequence[str]:
        """Return the texts with pseudonyms in place of private values. Raises StoreError."""
        found = await _scanned(self._search, texts)
        return await self._masked([_of_origin(parts, origin) for parts in found])

    async def restore(self, texts: Sequence[str]) -> Sequence[str]:
        """Return the texts with the values in place of pseudonyms. Raises StoreError."""
        return await self._restored(await _scanned(_PSEUDONYMS, texts))

    def mask_stream(self, *, origin: Origin = "model") -> "PartStream":
        """Return what masks one text in pieces."""
        return PartStream(Scanner(self._search), lambda parts: self._masked([_of_origin(parts, origin)]))

    def restore_stream(self) -> "PartStream":
        """Return what restores one text in pieces."""
        return PartStream(Scanner(_PSEUDONYMS), lambda parts: self._restored([parts]))

    async def _masked(self, texts: Sequence[Sequence[Part]]) -> Sequence[str]:
        values = list(dict.fromkeys(part for parts in texts for part in parts if isinstance(part, Private)))
        hidden = dict(zip(values, await self._vault.hide(values) if values else (), strict=True))
        return ["".join(part if isinstance(part, str) else hidden[part] for part in parts) for parts in texts]

    async def _restored(self, texts: Sequence[Sequence[Part]]) -> Sequence[str]:
        asked = {part.value for parts in texts for part in parts if isinstance(part, Private)}
        known: Mapping[str, str] = await self._vault.reveal(asked) if asked else {}
        return ["".join(_restored_part(part, known) for part in parts) for parts in texts]


class PartStream:
    """Takes pieces of a text, and returns what `replaced` makes of the parts that are certain.

    Parts for which the vault has failed stay, so that `feed("")` tries again. Not for several tasks at once.
    """

    __slots__ = ("_parts", "_replaced", "_scanner")

    def __init__(self, scanner: Scanner, replaced: Callable[[Sequence[Part]], Awaitable[Sequence[str]]]) -> None:
        self._scanner = scanner
        self._replaced = replaced
        self._parts: list[Part] = []

    @property
    def held(self) -> int:
        """The number of characters that were fed and may still become a value."""
        return self._scanner.held

    async def feed(self, piece: str) -> str:
        """Take a piece, and return what is certain by now. Raises StoreError."""
        self._parts += self._scanner.feed(piece)
        return await self._returned()

    async def finish(self) -> str:
        """Return what was held back. Raises StoreError."""
        self._parts += self._scanner.finish()
        return await self._returned()

    async def _returned(self) -> str:
        if not self._parts:
            return ""
        (text,) = await self._replaced(self._parts)
        self._parts = []
        return text


async def _scanned(search: Search, texts: Sequence[str]) -> list[list[Part]]:
    """Return the parts of each text; long ones are looked at in a thread, so that other tasks go on meanwhile."""
    if sum(map(len, texts)) <= _LONG:
        return [_all_parts(Scanner(search), text) for text in texts]
    return await to_thread.run_sync(lambda: [_all_parts(Scanner(search), text) for text in texts])


def _all_parts(scanner: Scanner, text: str) -> list[Part]:
    return [*scanner.feed(text), *scanner.finish()]


def _restored_part(part: Part, known: Mapping[str, str]) -> str:
    return part if isinstance(part, str) else known.get(part.value, part.value)


def _of_origin(parts: Sequence[Part], origin: Origin) -> list[Part]:
    return _keeping_pseudonyms(parts) if origin == "model" else list(parts)


def _keeping_pseudonyms(parts: Sequence[Part]) -> list[Part]:
    return [part.value if isinstance(part, Private) and part.kind == LOOKALIKE else part for part in parts]
