"""Servers, rights and versions that are not as they should be."""

from collections.abc import Iterator
from contextlib import closing
from threading import Thread

import anyio
import psycopg
import pytest

from assistant_kit.errors import (
    ConfigurationError,
    IndexMismatch,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
    StoreVolatile,
)
from assistant_kit.indexes.postgres import PostgresIndex, migrations
from assistant_kit.indexes.postgres.failures import ADVICE
from assistant_kit.postgres_session import Session, check_version
from assistant_kit.protocols.search_index import Passage
from assistant_kit.testing.conformance.index_workbench import hit_ids, ids, passage, toward
from tests.indexes.postgres_places import asking, at, database, index_at, role, run, schema

pytestmark = pytest.mark.anyio


@pytest.fixture
def name(postgres_url: str) -> Iterator[str]:
    with schema(postgres_url) as made:
        yield made


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan")])
async def test_a_timeout_is_a_positive_number(postgres_url: str, timeout: float) -> None:
    with pytest.raises(ConfigurationError):
        PostgresIndex(postgres_url, timeout=timeout)


async def test_an_index_needs_two_connections(postgres_url: str) -> None:
    with pytest.raises(ConfigurationError):
        PostgresIndex(postgres_url, connections=1)


@pytest.mark.parametrize("bad", ["", "Schema", "pg_index", "a b", 'x"', "x" * 64])
async def test_names_that_no_schema_can_have_are_refused(postgres_url: str, bad: str) -> None:
    with pytest.raises(ConfigurationError):
        PostgresIndex(postgres_url, schema=bad)


async def test_an_address_that_cannot_be_read_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        PostgresIndex("postgresql://u:secret@[::1/x")

    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_password_is_shown_nowhere(postgres_url: str) -> None:
    index = PostgresIndex(postgres_url.replace("postgres@", "nobody:secret@"))
    with pytest.raises(StoreUnavailable) as caught:
        await index.open()
    await index.aclose()

    error: BaseException | None = caught.value
    while error is not None:
        assert "secret" not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__
    assert "secret" not in repr(index)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with index_at("postgresql://postgres@127.0.0.1:1/postgres") as index:
        with pytest.raises(StoreUnavailable):
            await index.for_owner("o").put([passage("a")])


async def test_a_closed_index_is_unavailable(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        await index.open()

    with pytest.raises(StoreUnavailable):
        await index.owners()


async def test_without_pgvector_and_the_right_to_make_it_the_program_is_set_up_wrong(postgres_url: str) -> None:
    with role(postgres_url) as user, database(postgres_url) as place:
        run(place, f"GRANT CREATE ON SCHEMA public TO {user}")
        async with index_at(at(place, user=user, database=place.rpartition("/")[2])) as index:
            with pytest.raises(ConfigurationError) as caught:
                await index.open()

    assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)


async def test_an_extension_that_was_dropped_is_missed(postgres_url: str) -> None:
    with database(postgres_url) as place:
        async with index_at(place) as index:
            await index.open()
        run(place, "DROP EXTENSION vector CASCADE")
        async with index_at(place) as later:
            with pytest.raises(ConfigurationError):
                await later.open()


async def test_an_extension_in_a_schema_of_its_own_is_found(postgres_url: str) -> None:
    with database(postgres_url) as place:
        run(place, 'CREATE SCHEMA "My extensions"', 'CREATE EXTENSION vector WITH SCHEMA "My extensions"')
        async with index_at(place, approximate=True) as index:
            await index.for_owner("o").put([passage("a")])
            assert hit_ids(await index.for_owner("o").nearest(toward(1))) == ["a"]


async def test_a_graph_needs_a_pgvector_that_goes_on_searching(postgres_url: str) -> None:
    with database(postgres_url) as place:
        async with index_at(place) as index:
            await index.open()
        old = "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'"
        with asking(place) as admin:
            admin.execute("SET allow_system_table_mods = on")
            admin.execute(old.encode())
        async with index_at(place, approximate=True) as graph:
            with pytest.raises(ConfigurationError):
                await graph.open()
        async with index_at(place) as exact:
            await exact.open()


async def test_a_schema_is_made_by_the_sql_that_is_printed(postgres_url: str) -> None:
    with role(postgres_url) as user, database(postgres_url) as place:
        mine = at(place, user=user, database=place.rpartition("/")[2])
        async with index_at(mine, migrate=False) as index:
            with pytest.raises(StoreUnavailable):
                await index.open()

        run(place, PostgresIndex.sql())
        # --8<-- [start:grants]
        grants = """
            GRANT USAGE ON SCHEMA assistant_kit_index TO {role};
            GRANT SELECT, UPDATE ON assistant_kit_index.settings TO {role};
            GRANT SELECT, INSERT, UPDATE, DELETE ON assistant_kit_index.passages TO {role};
            GRANT SELECT, INSERT, UPDATE, DELETE ON assistant_kit_index.vectors TO {role};
        """
        # --8<-- [end:grants]
        run(place, grants.format(role=user))

        async with index_at(mine, migrate=False) as index:
            await index.for_owner("o").put([passage("a")])
            assert ids(await index.for_owner("o").page()) == ["a"]
            assert await index.for_owner("o").erase() == 1


async def test_a_role_that_may_not_make_a_schema_says_so(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=f"{name}_x") as admin:
        await admin.open()  # makes the extension
    run(postgres_url, f"DROP SCHEMA {name}_x CASCADE")
    with role(postgres_url) as user:
        async with index_at(at(postgres_url, user=user), schema=name) as index:
            with pytest.raises(StoreUnavailable) as caught:
                await index.open()

    assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)


async def test_nothing_is_printed_for_a_schema_that_is_up_to_date() -> None:
    assert PostgresIndex.sql(after=2) == ""
    assert PostgresIndex.sql("mine").count("assistant_kit_index.") == 0


async def test_an_older_schema_is_brought_up_to_date_with_all_that_is_in_it(postgres_url: str, name: str) -> None:
    with asking(postgres_url) as connection:
        (extension,) = connection.execute(
            "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'"
        ).fetchone() or ("public",)
    first = migrations.written(migrations.steps()[0], name, extension)
    row = f"""
        INSERT INTO {name}.passages (owner, id, text, source, at, labels, words, vector)
        VALUES ('o', '%s', 'an apple', '', 1, '{{}}', to_tsvector('simple', 'an apple'), %s)
    """  # noqa: S608  (made of constants)
    settled = f"UPDATE {name}.settings SET version = 1, embedder = 'e', dimensions = 2, language = 'simple'"  # noqa: S608
    run(postgres_url, f"CREATE SCHEMA {name}", first, row % ("a", "'[1,0]'"), row % ("b", "NULL"), settled)

    async with index_at(postgres_url, schema=name) as index:
        owned = index.for_owner("o")
        assert [(one.id, one.vector and list(one.vector)) for one in await owned.page()] == [("a", [1, 0]), ("b", None)]
        assert hit_ids(await owned.nearest(toward(1, dimensions=2))) == ["a"]
        assert hit_ids(await owned.keywords("apple")) == ["a", "b"]
        await owned.put([passage("a", vector=toward(0, 1, dimensions=2))])
        assert await owned.erase() == 2


async def test_nothing_is_left_of_the_vector_of_what_was_replaced_or_deleted(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        owned = index.for_owner("o")
        await owned.put([passage(one) for one in "abcd"])
        await owned.put([Passage(id="a", text="without a vector"), passage("e")])
        await owned.delete(["b"])
        assert kept_vectors(postgres_url, name) == ["c", "d", "e"]
        assert await owned.erase() == 4

    assert kept_vectors(postgres_url, name) == []


async def test_a_put_that_is_refused_takes_no_vector_away(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as one, index_at(postgres_url, schema=name) as other:
        await one.open(embedder="one", dimensions=8)
        await other.open(embedder="other", dimensions=8)
        await one.for_owner("o").put([passage("a")])
        with pytest.raises(IndexMismatch):
            await other.for_owner("o").put([Passage(id="a", text="without a vector"), passage("b")])
        assert kept_vectors(postgres_url, name) == ["a"]


async def test_of_many_that_put_with_and_without_a_vector_one_stays_whole(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as one, index_at(postgres_url, schema=name) as other:
        await one.open(embedder="test", dimensions=8)
        for _ in range(5):
            with anyio.fail_after(30):
                async with anyio.create_task_group() as tasks:
                    for number in range(8):
                        owned = (one, other)[number % 2].for_owner("o")
                        vector = None if number % 4 < 2 else toward(1)
                        tasks.start_soon(owned.put, [Passage(id="a", text=f"{vector is not None}", vector=vector)])
                        tasks.start_soon(owned.delete, ["a"])
            for found in await one.for_owner("o").page():
                assert found.text == str(found.vector is not None)
            assert kept_vectors(postgres_url, name) in ([], ["a"])


def kept_vectors(url: str, name: str) -> list[str]:
    with asking(url) as connection:
        rows = connection.execute(f"SELECT id FROM {name}.vectors ORDER BY id".encode())  # noqa: S608  (made of constants)
        return [found for (found,) in rows]


async def test_a_schema_may_stand_empty_before_the_first_use(postgres_url: str, name: str) -> None:
    run(postgres_url, f"CREATE SCHEMA {name}")
    async with index_at(postgres_url, schema=name) as index:
        assert list(await index.owners()) == []


async def test_many_that_open_at_once_make_one_schema(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as one, index_at(postgres_url, schema=name) as other:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for index in (one, other):
                    tasks.start_soon(index.open)
                    tasks.start_soon(index.owners)


async def test_a_schema_of_another_program_is_left_alone(postgres_url: str, name: str) -> None:
    run(postgres_url, f"CREATE SCHEMA {name}", f"CREATE TABLE {name}.theirs ()")
    async with index_at(postgres_url, schema=name) as index:
        with pytest.raises(StoreCorrupt):
            await index.open()


async def test_a_newer_schema_is_refused(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        await index.open()
    run(postgres_url, f"UPDATE {name}.settings SET version = 99")  # noqa: S608  (made of constants)
    async with index_at(postgres_url, schema=name) as index:
        with pytest.raises(StoreTooNew) as caught:
            await index.open()

    assert (caught.value.found, caught.value.supported) == (99, 2)


async def test_a_schema_that_was_changed_by_hand_is_corrupt(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        await index.open()
        run(postgres_url, f"ALTER TABLE {name}.passages DROP COLUMN words")
        with pytest.raises(StoreCorrupt):
            await index.for_owner("o").put([passage("a")])


async def test_a_database_of_another_encoding_is_refused(postgres_url: str) -> None:
    with database(postgres_url, "ENCODING 'SQL_ASCII' TEMPLATE template0") as place:
        async with index_at(place) as index:
            with pytest.raises(StoreUnavailable):
                await index.open()


async def test_what_only_reads_is_searched_and_not_written(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        await index.for_owner("o").put([passage("a")])
    async with index_at(at(postgres_url, options="-c default_transaction_read_only=on"), schema=name) as index:
        assert ids(await index.for_owner("o").page()) == ["a"]
        with pytest.raises(StoreUnavailable):
            await index.for_owner("o").put([passage("b")])


async def test_a_server_that_would_lose_what_it_acknowledged_is_refused(postgres_url: str) -> None:
    async with index_at(at(postgres_url, options="-c assistant_kit.volatile=off")) as index:
        with pytest.raises(StoreVolatile):
            await index.open()


def test_a_server_before_postgres_14_is_refused() -> None:
    with pytest.raises(StoreUnavailable):
        check_version("somewhere", 130012)


async def test_a_lock_that_is_held_too_long_is_busy(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name, timeout=0.2) as index:
        await index.for_owner("o").put([passage("a")])
        with asking(postgres_url) as connection, connection.transaction():
            connection.execute(f"SELECT FROM {name}.passages FOR UPDATE".encode())
            with pytest.raises(StoreBusy):
                await index.for_owner("o").put([passage("a", "new")])

        await index.for_owner("o").put([passage("a", "new")])


async def test_an_index_connects_again_when_its_connections_were_ended(postgres_url: str, name: str) -> None:
    theirs = f"FROM pg_stat_activity WHERE application_name = '{name}'"
    async with index_at(f"{postgres_url}?application_name={name}", schema=name) as index:
        await index.for_owner("o").put([passage("a")])
        await index.owners()
        with asking(postgres_url) as admin:
            assert len(admin.execute(f"SELECT pg_terminate_backend(pid) {theirs}".encode()).fetchall()) == 2
            while admin.execute(f"SELECT {theirs}".encode()).fetchall():
                pass

        assert ids(await index.for_owner("o").page()) == ["a"]
        await index.for_owner("o").put([passage("b")])
        assert ids(await index.for_owner("o").page()) == ["a", "b"]


async def test_a_connection_that_is_lost_in_mid_write_is_given_up(postgres_url: str, name: str) -> None:
    async with index_at(postgres_url, schema=name) as index:
        owned = index.for_owner("o")
        await owned.put([passage("a")])
        with asking(postgres_url) as admin, psycopg.connect(postgres_url) as holder:
            holder.execute(f"SELECT FROM {name}.passages FOR UPDATE".encode())
            ending = Thread(target=_end_who_waits, args=(admin,))
            ending.start()
            with pytest.raises(StoreUnavailable):
                await owned.put([passage("a", "new")])
            ending.join()

        assert [found.text for found in await owned.page()] == ["text of a"]


def _end_who_waits(admin: psycopg.Connection) -> None:
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while not admin.execute(ended.encode()).fetchall():
        pass


def test_an_answer_is_waited_for_only_so_long(postgres_url: str) -> None:
    with closing(Session.connect(postgres_url)) as session:
        session.patience = 0.05
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT pg_sleep(60)")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("gone"), StoreUnavailable),
        (psycopg.ProgrammingError("odd"), StoreError),
        (psycopg.errors.DeadlockDetected(), StoreBusy),
        (psycopg.errors.DivisionByZero(), StoreError),
        (psycopg.errors.TooManyConnections(), StoreUnavailable),
        (psycopg.errors.DataCorrupted(), StoreCorrupt),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_postgres_are_ours(error: psycopg.Error, kind: type[StoreError]) -> None:
    assert type(ADVICE.store_error(error, "here")) is kind
