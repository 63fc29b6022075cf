"""The contract of what keeps private data out of stores, logs, traces and providers.

A value, such as an address of e-mail, is replaced by a pseudonym, `<EMAIL_1>`, and put back where somebody who may read
it is to read it. A vault keeps which pseudonym stands for which value of a user. `assistant_kit.testing.conformance`
has the tests that every masker (`masker`) and every vault (`masker_vault`) passes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from assistant_kit.protocols.user_data import Keeper

Origin: TypeAlias = Literal["outside", "model"]
"""Who wrote a text. In what the model wrote, a pseudonym stands for a value and is left as it is. In a text from
outside (a user's, a tool's) what looks like a pseudonym is none: it is masked as well, and so comes back as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Private:
    """A private value; `kind` is capital letters, digits and underscores after a letter, as `EMAIL`."""

    kind: str
    value: str = field(repr=False)


class TextStream(Protocol):
    """Masks or restores one text that comes in pieces, cut anywhere, in the middle of a value too.

    What it returns, joined, is what the whole text would have become. It holds back what may still become a value, a
    bounded number of characters.
    """

    async def feed(self, piece: str) -> str:
        """Take a piece, and return what is certain by now; it may be empty. Raises StoreError: the stream is over."""
        ...

    async def finish(self) -> str:
        """Return what was held back: the text has ended. Raises StoreError."""
        ...


class UserMasker(Protocol):
    """Masks texts of one user, and restores them. Pseudonyms of others are just text."""

    async def mask(self, texts: Sequence[str], *, origin: Origin = "outside") -> Sequence[str]:
        """Return the texts with pseudonyms in place of private values.

        The same value has the same pseudonym in all of the user's texts. What the pseudonyms stand for is durable on
        return, as far as the vault is: a text may be stored or sent then. Raises StoreError.
        """
        ...

    async def restore(self, texts: Sequence[str]) -> Sequence[str]:
        """Return the texts with the values in place of pseudonyms. Unknown ones stay as they are. Raises StoreError."""
        ...

    def mask_stream(self, *, origin: Origin = "model") -> TextStream:
        """Return what masks one text in pieces."""
        ...

    def restore_stream(self) -> TextStream:
        """Return what restores one text in pieces."""
        ...


class Masker(Keeper, Protocol):
    """Finds private values in texts. What it keeps of a user can be erased and exported (`Keeper`)."""

    def for_user(self, user: str) -> UserMasker:
        """Return the handle for the texts of `user`. Raises InputError if empty."""
        ...

    def redact(self, text: str) -> str:
        """Return a text with `<EMAIL>` in place of private values, for logs and traces: nothing is kept of it."""
        ...

    async def aclose(self) -> None:
        """Free what is held; the masker is not used afterwards. May be called twice."""
        ...


class UserVault(Protocol):
    """Which pseudonym stands for which value of one user."""

    async def hide(self, values: Sequence[Private]) -> Sequence[str]:
        """Return a pseudonym for each value, in their order; durable on return, as far as the vault is.

        It is `<KIND_NUMBER>`. A value of a kind has one pseudonym, and a pseudonym one value, whoever asks, and at the
        same time. Raises StoreError.
        """
        ...

    async def reveal(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        """Return the values that these pseudonyms stand for; unknown ones are left out. Raises StoreError."""
        ...


class Vault(Keeper, Protocol):
    """Keeps pseudonyms with their values, which are private data themselves.

    `erase_user` forgets those of a user: what is masked stays masked for good. `export_user` returns one `UserData` for
    each, with the pseudonym as its name and `{"value": …}` as its data.
    """

    def for_user(self, user: str) -> UserVault:
        """Return the handle through which alone the values of `user` are reached. Raises InputError if empty."""
        ...

    async def aclose(self) -> None:
        """Free what is held; the vault is not used afterwards. May be called twice."""
        ...
