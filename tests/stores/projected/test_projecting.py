from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from assistant_kit.entries import Measured, TurnFinished
from assistant_kit.errors import ConfigurationError, NotTransactional, ProjectionFailed, UnreadableEntry
from assistant_kit.journal_json import encode
from assistant_kit.protocols.projection import Projected, Projection
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.projected import ProjectedStore
from assistant_kit.usage import Usage
from tests.stores.projected.rows import into_memory, new, over_memory
from tests.testing.conformance.json_store import JSONStore

pytestmark = pytest.mark.anyio

KEYS = MasterKeys({"m1": bytes(32)})


def entry(turn: str) -> NewRecord:
    end = Measured(entry=TurnFinished(turn=turn, outcome="completed", usage=Usage()), tokens=3, counted_by="a")
    return NewRecord(record_id=f"{turn}/end", kind="turn_finished", body=encode(end), tokens=3)


async def test_a_projection_reads_the_entries_of_what_is_written() -> None:
    seen: list[Measured] = []
    _, user = over_memory(lambda _, written: seen.extend(written.entries()))

    lease = await user.claim("c", owner="w", ttl=60, begin=entry("1"))
    await user.append(Append(lease=lease, expected_seq=1, records=[entry("2"), entry("3")], state="open", open_turn=1))

    assert [(one.entry.turn, one.seq, one.tokens, one.at) for one in seen] == [
        ("1", 1, 3, 0.0),
        ("2", 2, 3, 0.0),
        ("3", 3, 3, 0.0),
    ]


async def test_a_record_that_is_no_entry_fails_where_it_is_read() -> None:
    _, user = over_memory(lambda _, written: list(written.entries()).clear())

    with pytest.raises(ProjectionFailed) as caught:
        await user.claim("c", owner="w", ttl=60, begin=new("t1"))

    assert isinstance(caught.value.__cause__, UnreadableEntry)
    assert caught.value.__cause__.seq == 1


async def test_a_store_without_transactions_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    kept = JSONStore(tmp_path)
    store = ProjectedStore(kept, into_memory)

    with pytest.raises(NotTransactional) as caught:
        await store.open()
    assert caught.value.tool == "into_memory"
    for begin in (None, new("t1")):
        with pytest.raises(NotTransactional):
            await store.for_user("u").claim("c", owner="w", ttl=60, begin=begin)

    assert not await kept.users()


async def test_an_encrypted_store_without_transactions_is_refused_with_the_first_record(tmp_path: Path) -> None:
    store = ProjectedStore(EncryptedStore(JSONStore(tmp_path), KEYS), into_memory)
    await store.open()
    user = store.for_user("u")

    with pytest.raises(NotTransactional):
        await user.claim("c", owner="w1", ttl=60, begin=new("t1"))

    assert not await user.read("c")
    assert (await user.claim("c", owner="w2", ttl=60)).seq == 0


async def test_rows_of_an_encrypted_store_are_made_of_what_is_not_sealed() -> None:
    seen: list[str] = []
    kept = MemoryStore()
    store = ProjectedStore(
        EncryptedStore(kept, KEYS), lambda _, written: seen.extend(one.entry.kind for one in written.entries())
    )
    await store.open()

    await store.for_user("u").claim("c", owner="w", ttl=60, begin=entry("1"))

    assert seen == ["turn_finished"]
    assert b"turn_finished" not in (await kept.for_user("u").read("c"))[0].body


class Asynchronous:
    async def __call__(self, connection: Any, written: Projected) -> None:
        """Never called."""


async def into_nowhere(connection: Any, written: Projected) -> None:
    """Never called."""


@pytest.mark.parametrize("projection", [Asynchronous(), into_nowhere])
def test_an_asynchronous_projection_is_refused(projection: object) -> None:
    with pytest.raises(ConfigurationError):
        ProjectedStore(MemoryStore(), cast("Projection", projection))


class IntoRows:
    def __call__(self, connection: Any, written: Projected) -> None:
        into_memory(connection, written)


@pytest.mark.parametrize(
    ("projection", "name"), [(into_memory, "into_memory"), (IntoRows(), "IntoRows")], ids=["function", "object"]
)
def test_a_store_shows_what_it_wraps_and_projects(projection: Projection, name: str) -> None:
    shown: Callable[[object], str] = repr
    kept = MemoryStore()
    assert shown(ProjectedStore(kept, projection)) == f"ProjectedStore({kept!r}, {name})"
