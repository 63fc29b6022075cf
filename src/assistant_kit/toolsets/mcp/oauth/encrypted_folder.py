"""Tokens in encrypted files."""

import json
import os
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from anyio.to_thread import run_sync

from assistant_kit.errors import MissingDependency, StoreCorrupt, StoreUnavailable
from assistant_kit.protocols.key_provider import KeyProvider, WrappedKey
from assistant_kit.toolsets.mcp.oauth.storage import TokenKey

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as _missing:
    raise MissingDependency("cryptography", "encryption") from _missing

_NONCE: Final = bytes(12)
"""Each text is sealed under a key of its own, so that the nonce need not differ."""

T = TypeVar("T")


class EncryptedTokens:
    """Keeps tokens in a folder, a file for each, encrypted under the master keys of `keys`.

    Processes may share the folder: a file is replaced as a whole. Its name tells neither server nor user, and it opens
    only under its own name. After a master key was replaced, a file is rewritten under the new one when its token is
    renewed.
    """

    def __init__(self, folder: str | os.PathLike[str], keys: KeyProvider) -> None:
        self._folder = Path(folder)
        self._keys = keys

    def __repr__(self) -> str:
        return f"EncryptedTokens({os.fspath(self._folder)!r})"

    async def load(self, key: TokenKey) -> str | None:
        """Return what was saved last under this key. Raises StoreCorrupt, StoreUnavailable."""
        path = self._path(key)
        body = await self._in_thread(lambda: _read(path))
        return None if body is None else await self._opened(body, key, path)

    async def save(self, key: TokenKey, text: str) -> None:
        """Keep a text, in the place of the one before. Raises StoreUnavailable."""
        secret = os.urandom(32)
        wrapped = await self._keys.wrap(secret, context=_context(key))
        sealed = AESGCM(secret).encrypt(_NONCE, text.encode(), _context(key).encode())
        shown = {"v": 1, "master": wrapped.master, "key": _shown(wrapped.data), "text": _shown(sealed)}
        await self._in_thread(lambda: self._replace(self._path(key), json.dumps(shown).encode()))

    async def delete(self, key: TokenKey) -> None:
        """Forget what is kept under this key, if anything. Raises StoreUnavailable."""
        await self._in_thread(lambda: self._path(key).unlink(missing_ok=True))

    def _path(self, key: TokenKey) -> Path:
        return self._folder / f"{sha256(_context(key).encode()).hexdigest()}.json"

    async def _opened(self, body: bytes, key: TokenKey, path: Path) -> str:
        try:
            told: dict[str, str] = json.loads(body)
            wrapped = WrappedKey(master=told["master"], data=b64decode(told["key"], validate=True))
            secret = await self._keys.unwrap(wrapped, context=_context(key))
            sealed = b64decode(told["text"], validate=True)
            return AESGCM(secret).decrypt(_NONCE, sealed, _context(key).encode()).decode()
        except (ValueError, LookupError, TypeError, InvalidTag) as error:
            raise StoreCorrupt(
                f"the token in {path} does not open: it was changed, or sealed under a master key that is not there; "
                "delete the file to have consent asked for again"
            ) from error

    def _replace(self, path: Path, body: bytes) -> None:
        """Write a file beside the old one, and put it in its place when it is on the disk."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as fresh:  # readable by its owner only
            try:
                fresh.write(body)
                fresh.flush()
                os.fsync(fresh.fileno())
                Path(fresh.name).replace(path)
            except BaseException:
                Path(fresh.name).unlink(missing_ok=True)
                raise
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with _mapped(self._folder):
            return await run_sync(work)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@contextmanager
def _mapped(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"tokens in {folder}: {error.strerror}: make the folder usable for us") from error


def _shown(data: bytes) -> str:
    return b64encode(data).decode()


def _context(key: TokenKey) -> str:
    return json.dumps(["mcp token", key.kind, key.server, key.user])
