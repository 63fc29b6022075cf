from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError, PasswordSetError

from assistant_kit.errors import StoreCorrupt, StoreUnavailable
from assistant_kit.stores.encrypted import MasterKeys
from assistant_kit.toolsets.mcp.oauth import MCPOAuth, MemoryTokens, TokenKey, TokenStorage
from assistant_kit.toolsets.mcp.oauth.encrypted_folder import EncryptedTokens
from assistant_kit.toolsets.mcp.oauth.grants import client_from, grant_from
from assistant_kit.toolsets.mcp.oauth.keyring_tokens import KeyringTokens
from tests.toolsets.mcp.oauth.guarded_server import GuardedServer, person
from tests.toolsets.mcp.oauth.test_providers import whose

pytestmark = pytest.mark.anyio

KEY = TokenKey(server="https://mcp.example", kind="grant", user="ada")
OTHERS = [
    TokenKey(server="https://mcp.example", kind="grant", user="bob"),
    TokenKey(server="https://mcp.example", kind="grant"),
    TokenKey(server="https://mcp.example", kind="client"),
    TokenKey(server="https://other.example", kind="grant", user="ada"),
]


class Ring(KeyringBackend):
    """A keyring in memory; a `locked` one refuses everything."""

    priority = 1  # pyright: ignore[reportAssignmentType]  (a class property there)

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise PasswordSetError
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.locked or (service, username) not in self.kept:
            raise PasswordDeleteError
        del self.kept[service, username]


@pytest.fixture
def ring() -> Iterator[Ring]:
    before, ring = keyring.get_keyring(), Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def encrypted(folder: Path, *names: str) -> EncryptedTokens:
    keys = {name: name.encode().ljust(32, b"k") for name in names or ("k1",)}
    return EncryptedTokens(folder, MasterKeys(keys))


@pytest.fixture(params=["memory", "folder", "keyring"])
def storage(request: pytest.FixtureRequest, folder: Path, ring: Ring) -> TokenStorage:
    assert ring is keyring.get_keyring()
    return {"memory": MemoryTokens(), "folder": encrypted(folder), "keyring": KeyringTokens()}[str(request.param)]


def listed(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def modes(*paths: Path) -> list[int]:
    return [path.stat().st_mode & 0o777 for path in paths]


def block(file: Path) -> None:
    """Put a folder where a file was."""
    file.unlink()
    file.mkdir()


async def test_what_was_saved_last_is_kept_under_its_key_only(storage: TokenStorage) -> None:
    await storage.save(KEY, "first hush")
    await storage.save(KEY, "second hush")
    assert await storage.load(KEY) == "second hush"
    assert [await storage.load(key) for key in OTHERS] == [None] * 4
    assert "hush" not in repr(storage)


async def test_what_was_deleted_is_gone_and_may_be_deleted_again(storage: TokenStorage) -> None:
    for key in (KEY, *OTHERS):
        await storage.save(key, str(key))
    await storage.delete(KEY)
    await storage.delete(KEY)
    assert await storage.load(KEY) is None
    assert [await storage.load(key) for key in OTHERS] == [str(key) for key in OTHERS]


async def test_consent_outlives_the_process_in_a_storage(server: GuardedServer, storage: TokenStorage) -> None:
    await whose(MCPOAuth(server.url, consent=person(), storage=storage)("ada"), server)
    again = person()
    assert await whose(MCPOAuth(server.url, consent=again, storage=storage)("ada"), server) == "ada"
    assert again.asked == []


async def test_files_are_for_their_owner_only_and_show_nothing(folder: Path) -> None:
    await encrypted(folder).save(KEY, "hush")
    [file] = listed(folder)
    assert modes(folder, file) == [0o700, 0o600]
    shown = file.name.encode() + file.read_bytes()
    assert not [word for word in (b"hush", b"ada", b"mcp.example") if word in shown]


async def test_files_open_after_the_master_key_was_replaced_and_not_without_theirs(folder: Path) -> None:
    await encrypted(folder, "k1").save(KEY, "hush")
    assert await encrypted(folder, "k2", "k1").load(KEY) == "hush"
    with pytest.raises(StoreCorrupt):
        await encrypted(folder, "k2").load(KEY)


async def test_a_file_does_not_open_in_the_place_of_another(folder: Path) -> None:
    storage = encrypted(folder)
    await storage.save(KEY, "hush")
    [mine] = listed(folder)
    await storage.save(OTHERS[0], "bob's")
    [other] = [file for file in listed(folder) if file != mine]
    other.write_bytes(mine.read_bytes())
    with pytest.raises(StoreCorrupt):
        await storage.load(OTHERS[0])


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"master": "k1", "key": "!", "text": ""}', b"\xff"])
async def test_a_damaged_file_is_an_error(folder: Path, body: bytes) -> None:
    storage = encrypted(folder)
    await storage.save(KEY, "hush")
    [file] = listed(folder)
    file.write_bytes(body)
    with pytest.raises(StoreCorrupt):
        await storage.load(KEY)


async def test_a_folder_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    place = tmp_path / "taken"
    place.touch()
    storage = encrypted(place)
    with pytest.raises(StoreUnavailable):
        await storage.load(KEY)
    with pytest.raises(StoreUnavailable):
        await storage.save(KEY, "hush")


async def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(folder: Path) -> None:
    storage = encrypted(folder)
    await storage.save(KEY, "hush")
    [file] = listed(folder)
    block(file)
    with pytest.raises(StoreUnavailable):
        await storage.save(KEY, "hush")
    assert listed(folder) == [file]


async def test_a_keyring_that_refuses_is_an_error(ring: Ring) -> None:
    storage = KeyringTokens()
    await storage.save(KEY, "hush")
    ring.locked = True
    with pytest.raises(StoreUnavailable):
        await storage.save(KEY, "hush")
    with pytest.raises(StoreUnavailable):
        await storage.delete(KEY)
    assert await storage.load(KEY) == "hush"


def test_what_nobody_can_read_is_not_there() -> None:
    assert grant_from("{}") is None
    assert client_from("[") is None
