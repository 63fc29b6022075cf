import pytest

from assistant_kit import audit_chain
from assistant_kit.audit import chain
from assistant_kit.audit.chain import ChainCheck
from assistant_kit.stores._pages import all_links
from assistant_kit.stores.memory import MemoryStore
from tests.audit.histories import append

pytestmark = pytest.mark.anyio


async def test_a_link_costs_the_same_however_long_the_chain_is(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(audit=True).for_user("u")
    for _ in range(300):
        await append(store, "a")
    hashed: list[int] = []

    def counted(previous: bytes, digest: bytes, at_us: int) -> bytes:
        hashed.append(at_us)
        return audit_chain.link_after(previous, digest, at_us)

    monkeypatch.setattr(chain, "link_after", counted)
    check = ChainCheck()
    found = [finding async for link in all_links(store) for finding in check.take(link)]

    assert (found, len(hashed)) == ([], 300)
