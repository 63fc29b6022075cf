"""`store erase`."""

import re
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from assistant_kit.protocols.store import Append
from assistant_kit.stores.sqlite import SQLiteStore
from tests.cli.conftest import Ran
from tests.cli.odd_stores import Forgetful, OddUserStore, fill, odd
from tests.cli.scribe import Scribe, said, write_sample

Cli = Callable[..., Ran]
SAMPLES = Path(__file__).parent / "samples"
URL = "sqlite:///chat.db"


def test_without_yes_it_is_told_what_there_is_and_nothing_happens(cli: Cli, scribe: Scribe) -> None:
    write_sample(scribe)
    ran = cli("store", "erase", URL, "--user", "ann")
    assert (ran.status, ran.out) == (
        2,
        "user ann has 2 conversations, 11 records, 11 audit links: to erase all of it, add --yes\n",
    )
    assert "users=2 conversations=4 " in cli("store", "check", URL).out


def test_a_user_is_erased_and_a_scan_proves_it(cli: Cli, scribe: Scribe) -> None:
    write_sample(scribe)
    ran = cli("store", "erase", URL, "--user", "ann", "--yes")
    assert ran.status == 0
    heir = "erased-5d0c1f7a93b84e26a1d07f3c8e59b642"
    assert re.sub("erased-[0-9a-f]{32}", heir, ran.out) == (SAMPLES / "erase.txt").read_text()
    assert b"invoice" not in scribe.path.read_bytes()
    verified = cli("audit", "verify", URL)
    assert (verified.status, verified.out.splitlines()[-1]) == (0, "users=2 wrong=0")
    assert cli("store", "erase", URL, "--user", "ann", "--yes").out == "nothing is kept of user ann\n"


def test_a_user_without_an_audit_chain_leaves_nothing_at_all(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("t", "x"))
    ran = cli("store", "erase", URL, "--user", "u", "--yes")
    assert (ran.status, ran.out) == (
        0,
        "erased: 1 conversation, 1 record, 0 audit links\na scan of the store finds nothing of this user\n",
    )
    assert "users=0 " in cli("store", "check", URL).out


def test_a_chain_that_outlived_its_conversations_is_erased(cli: Cli, scribe: Scribe) -> None:
    scribe.audit = True
    scribe.write("u", "c", said("t", "x"))

    async def delete(store: SQLiteStore) -> None:
        await store.for_user("u").delete("c")

    scribe.do(delete)
    assert cli("store", "erase", URL, "--user", "u", "--yes").out.startswith(
        "erased: 0 conversations, 0 records, 2 audit links\n"
    )


def test_what_a_store_has_kept_is_found(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    anyio.run(fill, odd(monkeypatch, Forgetful, audit=True))
    ran = cli("store", "erase", "odd:", "--user", "u", "--yes")
    assert ran.status == 1
    assert ran.out.splitlines()[1:] == [
        "LEFT  the user is listed",
        "LEFT  conversation 'c' is listed",
        "LEFT  conversation 'c' can be read",
        "LEFT  the audit chain has links",
    ]


def test_an_unfinished_turn_that_a_store_has_kept_is_found(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    store = odd(monkeypatch, Forgetful)

    async def begin() -> None:
        await fill(store)
        journals = store.memory.for_user("u")
        lease = await journals.claim("c", owner="w", ttl=60)
        await journals.append(Append(lease=lease, expected_seq=3, records=[], state="open", open_turn=1, release=True))

    anyio.run(begin)
    ran = cli("store", "erase", "odd:", "--user", "u", "--yes")
    assert "LEFT  an unfinished turn of conversation 'c' is listed\n" in ran.out


class Talkative(OddUserStore):
    """Passes the audit chain on with what it says."""

    async def erase(self) -> int:
        links = await self.store.audit_log()
        number = await self.store.erase()
        KEPT.extend(links)
        return number

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> object:
        links = await self.store.audit_log(after=after, limit=limit)
        return [KEPT[link.n - 1] if link.n <= len(KEPT) else link for link in links]


KEPT: list[object] = []


def test_a_chain_that_still_speaks_is_found(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    KEPT.clear()
    anyio.run(fill, odd(monkeypatch, Talkative, audit=True))
    ran = cli("store", "erase", "odd:", "--user", "u", "--yes")
    assert ran.status == 1
    assert "still has its payload or salt" in " ".join(ran.out.split())
