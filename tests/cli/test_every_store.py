"""The commands at every kind of store."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import anyio
import psycopg
import pytest
from psycopg import sql

from assistant_kit import registry
from assistant_kit.entries import Measured
from assistant_kit.journal_json import encode
from assistant_kit.protocols.store import Append, NewRecord, Store
from assistant_kit.stores.encrypted import MasterKeys
from tests.cli.conftest import Ran
from tests.cli.scribe import said
from tests.cli.test_turns import written

Cli = Callable[..., Ran]
FILE = "sqlite:///chat.db"


@pytest.fixture
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of a store that is empty, but for what other tests of this file have left."""
    match request.param:
        case "postgres":
            return own_database(request.getfixturevalue("postgres_url"))
        case "redis":
            return request.getfixturevalue("valkey_url").removesuffix("/0") + "/13"
        case "encrypted":
            monkeypatch.setenv("ASSISTANT_KIT_MASTER_KEYS", MasterKeys.generate("2026-11"))
            return FILE
        case _:
            return FILE


def own_database(url: str) -> str:
    name = f"cli_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{url.rpartition('/')[0]}/{name}"


async def begin(address: str, user: str, *, sealed: bool) -> None:
    store: Store = registry.make_store(address)
    if sealed:
        store = registry.load(("assistant_kit.stores.encrypted", "EncryptedStore"))(
            store, MasterKeys.from_environment()
        )
    started = said("t", "hello")
    body = encode(Measured(entry=started, tokens=0, counted_by="test"))
    record = NewRecord(record_id="r1", kind=started.kind, body=body)
    journals = store.for_user(user)
    with anyio.fail_after(60):
        lease = await journals.claim("c", owner="w", ttl=60, begin=record)
        await journals.append(Append(lease=lease, expected_seq=1, records=[], state="open", open_turn=1, release=True))
        await store.aclose()


@pytest.mark.parametrize("address", ["sqlite", "postgres", "redis", "encrypted"], indirect=True)
def test_every_command_works_at_every_store(
    cli: Cli, address: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sealed = "encrypted" in request.node.name
    user = f"cli-{uuid4().hex}"
    anyio.run(lambda: begin(address, user, sealed=sealed))
    assert cli("store", "migrate", address).status == 0
    before = cli("store", "check", address, "--user", user, "--leases")
    assert (before.status, before.out.splitlines()[-1]) == (
        0,
        "users=1 conversations=1 records=1 turns=1 open=1 waiting=0 parked=0 unknown=0 damaged=0",
    )
    assert "hello" in cli("inspect", address, "c", "--user", user).out
    assert cli("store", "close", address, "--user", user, "--conversation", "c").status == 0
    assert cli("store", "export", address, "--user", user, "-o", "out.jsonl").status == 0
    copy = f"{user}-2"
    assert cli("store", "import", address, "--user", copy, "out.jsonl").out == (
        f"1 conversation imported for user {copy}\n"
    )
    assert cli("audit", "anchor", address, "--user", user).out == f"0:{'0' * 64}\n"
    for name in (user, copy):
        erased = cli("store", "erase", address, "--user", name, "--yes")
        assert (erased.status, erased.out.splitlines()[-1]) == (0, "a scan of the store finds nothing of this user")
    assert cli("inspect", address, "c", "--user", user).status == 1
    if sealed:
        assert b"hello" not in (tmp_path / "chat.db").read_bytes()


@pytest.mark.parametrize("address", ["sqlite", "postgres", "redis"], indirect=True)
def test_turns_are_recovered_at_every_store(cli: Cli, address: str, tmp_path: Path) -> None:
    user = f"cli-{uuid4().hex}"
    anyio.run(lambda: begin(address, user, sealed=False))
    ran = cli("store", "recover", address, "--app", f"{written(tmp_path, address)}:assistant")
    assert ran.status == 0
    assert f"completed  {user}  c" in ran.out


def test_a_wrong_key_is_an_error_that_names_the_place(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_KIT_MASTER_KEYS", MasterKeys.generate("2026-11"))
    anyio.run(lambda: begin(FILE, "u", sealed=True))
    monkeypatch.setenv("ASSISTANT_KIT_MASTER_KEYS", MasterKeys.generate("2026-11"))
    ran = cli("inspect", FILE, "c", "--user", "u")
    assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert cli("store", "check", FILE).status == 1
    monkeypatch.setenv("ASSISTANT_KIT_MASTER_KEYS", "nonsense")
    assert cli("store", "check", FILE).status == 2
