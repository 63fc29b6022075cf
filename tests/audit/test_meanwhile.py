from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_kit.audit import verify
from assistant_kit.audit_chain import link_after
from assistant_kit.protocols.store import Record, UserStore
from tests.audit.histories import Act, Copied, acts, append, carry_out, histories
from tests.audit.verifying import A_HISTORY, copied, forged, places, told, verified

pytestmark = pytest.mark.anyio


class Busy:
    """Lets something happen before each read: what others do while a verification runs."""

    def __init__(self, store: UserStore, meanwhile: Sequence[Act]) -> None:
        self._store = store
        self._meanwhile = list(meanwhile)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def after_something_else(*args: Any, **kwargs: Any) -> Any:
            if self._meanwhile:
                await carry_out(self._store, self._meanwhile.pop(0))
            return await method(*args, **kwargs)

        return after_something_else


@settings(max_examples=200)
@given(history=histories, meanwhile=st.lists(st.one_of(acts, acts, acts, st.just(Act("erase", "a"))), max_size=20))
def test_writing_during_a_verification_raises_no_alarm(history: Sequence[Act], meanwhile: Sequence[Act]) -> None:
    async def check() -> None:
        store = await told(*history)
        report = await verify(cast("UserStore", Busy(store, meanwhile)))
        assert report.ok, report.findings

    anyio.run(check)


@pytest.mark.parametrize("when", range(12))
@pytest.mark.parametrize(
    "act",
    [
        Act("append", "a"),
        Act("append", "new"),
        Act("rewind", "a", number=1),
        Act("rename", "a", number=5),
        Act("delete", "a"),
        Act("fork", "a", "new", number=2),
        Act("erase", "a"),
    ],
    ids=lambda act: f"{act.do}-{act.conversation}",
)
async def test_nothing_that_is_done_meanwhile_raises_an_alarm(act: Act, when: int) -> None:
    store = await told(*A_HISTORY)

    report = await verify(cast("UserStore", Busy(store, [*[Act("claim", "c")] * when, act])))

    assert report.ok, report.findings


@pytest.mark.parametrize("when", range(12))
async def test_what_is_added_and_taken_back_meanwhile_raises_no_alarm(when: int) -> None:
    store = await told(*A_HISTORY)
    meanwhile = [*[Act("claim", "c")] * when, Act("append", "a"), Act("rewind", "a", number=1)]

    report = await verify(cast("UserStore", Busy(store, meanwhile)))

    assert report.ok, report.findings


async def test_what_is_wrong_is_found_while_others_write() -> None:
    copy = await copied(*A_HISTORY)
    store = await told()
    copy.records["a"][1] = replace(copy.records["a"][1], body=b"other")

    class Growing(Copied):
        async def read(self, conversation: str, **window: Any) -> Sequence[Record]:
            if conversation == "b":
                self.links = [*copy.links, rewinding]
            return await super().read(conversation, **window)

    await append(store, "a", records=3)
    await carry_out(store, Act("rewind", "a", number=2))
    told_later = (await store.audit_log())[-1]
    last = copy.links[-1]
    rewinding = replace(told_later, n=last.n + 1, link=link_after(last.link, told_later.digest, told_later.at_us))

    report = await verified(Growing(links=copy.links, infos=copy.infos, records=copy.records))

    assert places(report) == [("changed_record", "a", 2)]


async def test_a_user_who_is_erased_again_and_again_is_reported_as_last_seen() -> None:
    store = await told(*A_HISTORY)
    meanwhile = [Act("append", "a"), Act("erase", "a")] * 200

    with anyio.fail_after(30):
        report = await verify(cast("UserStore", Busy(store, meanwhile)))

    assert not report.erased


class Chaining(Copied):
    """Lets a link be added while the journals are read."""

    payload = b""

    async def read(self, conversation: str, **window: Any) -> Sequence[Record]:
        found = await super().read(conversation, **window)
        if conversation == "b":
            self.links = [*self.links, forged(self.links[-1], self.payload)]
            if self.payload == b'{"do":"erase"}':
                self.infos, self.records = [], {}
        return found


async def test_an_erasure_that_is_chained_meanwhile_begins_the_verification_anew() -> None:
    copy = await copied(*A_HISTORY)
    chaining = Chaining(links=copy.links, infos=copy.infos, records=copy.records)
    chaining.payload = b'{"do":"erase"}'

    report = await verified(chaining)

    assert (report.ok, report.erased) == (True, True)


async def test_links_that_come_meanwhile_are_checked_too() -> None:
    copy = await copied(*A_HISTORY)
    chaining = Chaining(links=copy.links, infos=copy.infos, records=copy.records)
    chaining.payload = b'{"conversation":"a","do":"rewind","to":99}'

    report = await verified(chaining)

    assert {(finding.problem, finding.n) for finding in report.findings} >= {("impossible_step", len(A_HISTORY) + 1)}
