"""Addresses of indexes on servers, such as `qdrant://:key@host:6333/collection`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from assistant_kit.errors import ConfigurationError, UnknownStore

REQUEST_TIMEOUT: Final = 30
"""Seconds for one request of a client that an address stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """What an address says: where the server is, the key that it wants, and the name of what is kept there."""

    secure: bool
    host: str
    port: int | None
    key: str | None = field(repr=False)
    name: str
    options: Mapping[str, str]

    @classmethod
    def read(cls, address: str, *, plain: str, secure: str, options: Collection[str] = ()) -> Self:
        """Read an address whose scheme is one of the two.

        Raises UnknownStore, and ConfigurationError, which tells neither the key nor what may hold it.
        """
        if not address.startswith((f"{plain}:", f"{secure}:")):
            raise UnknownStore(address, (f"{plain}:", f"{secure}:"))
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError:
            raise ConfigurationError(f"an address of {plain} has no host or port that can be read") from None
        form = f"write {plain}://host, and if need be :key@ before the host, :port and /name after it"
        if not parts.hostname or parts.username or parts.fragment or "/" in parts.path.strip("/"):
            raise ConfigurationError(f"this is no address of {plain}: {form}")
        return cls(
            secure=parts.scheme == secure,
            host=parts.hostname,
            port=port,
            key=unquote(parts.password) if parts.password else None,
            name=unquote(parts.path.strip("/")),
            options=_options(parts, plain, options),
        )

    def number(self, option: str, default: int) -> int:
        """Return an option that is a number. Raises ConfigurationError."""
        value = self.options.get(option, str(default))
        if not value.isdecimal():
            raise ConfigurationError(f"{option} of an address is a number, not {value!r}")
        return int(value)


def _options(parts: SplitResult, plain: str, known: Collection[str]) -> Mapping[str, str]:
    found = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(found) - set(known))
    if unknown:
        allowed = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(f"an address of {plain} has no option {unknown[0]!r}; there is: {allowed}")
    return found
