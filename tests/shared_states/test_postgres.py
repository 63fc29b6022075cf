from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import anyio
import psycopg
import pytest

from assistant_kit.errors import (
    ConfigurationError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
    UnknownStore,
)
from assistant_kit.protocols.shared_state import Changed, SharedState
from assistant_kit.shared_states.postgres import ADVICE, PostgresState
from assistant_kit.testing.conformance.shared_state import SharedStateConformance
from assistant_kit.testing.conformance.shared_state_workbench import increment, look, put

pytestmark = pytest.mark.anyio

SHARED = "conforming_state"


class TestPostgresState(SharedStateConformance):
    @pytest.fixture(autouse=True)
    def server(self, postgres_url: str) -> None:
        self.url = postgres_url

    async def open_state(self, folder: Path) -> SharedState:  # noqa: ARG002  (owners keep the tests apart)
        return PostgresState(self.url, schema=SHARED)

    def elsewhere(self, folder: Path) -> str:  # noqa: ARG002  (the same)
        given = f"{self.url!r}, schema={SHARED!r}"
        return f"from assistant_kit.shared_states.postgres import PostgresState; state = PostgresState({given})"


@pytest.fixture
def schema(postgres_url: str) -> Iterator[str]:
    """A name for a schema; what is made under it is dropped."""
    name = f"state_{uuid4().hex[:12]}"
    yield name
    run(postgres_url, f"DROP SCHEMA IF EXISTS {name} CASCADE")


@asynccontextmanager
async def opened(url: str, schema: str, **settings: Any) -> AsyncGenerator[PostgresState]:
    state = PostgresState(url, schema=schema, **settings)
    try:
        with anyio.fail_after(30):
            yield state
    finally:
        with anyio.fail_after(30, shield=True):
            await state.aclose()


def at(url: str, *, user: str = "postgres", password: str = "", database: str = "postgres", options: str = "") -> str:
    """The URL with another role or database, or with settings of the session."""
    parts = urlsplit(url)
    login = f"{user}:{password}" if password else user
    query = f"options={quote(options)}" if options else ""
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}", path=f"/{database}", query=query))


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, and return the rows of the last one, if it has any."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements[:-1]:
            connection.execute(statement.encode())
        last = connection.execute(statements[-1].encode())
        return last.fetchall() if last.description else []


@contextmanager
def role(url: str) -> Generator[str]:
    """A role that may log in, and nothing else."""
    name = f"role_{uuid4().hex[:12]}"
    run(url, f"CREATE ROLE {name} LOGIN")
    try:
        yield name
    finally:
        run(url, f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("postgresql://ann:s3cret@db.example:6432/chat?sslmode=require", "postgresql://ann@db.example:6432/chat"),
        ("postgres://db.example/chat?user=ann&password=s3cret", "postgresql://ann@db.example/chat"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, place: str) -> None:
    assert repr(PostgresState.from_address(address)) == f"PostgresState('{place}, schema assistant_kit_state')"


def test_other_addresses_are_refused() -> None:
    with pytest.raises(UnknownStore):
        PostgresState.from_address("sqlite:///a.db")


async def test_an_address_that_cannot_be_read_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        PostgresState("postgresql://u:secret@[::1/x")

    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan")])
def test_a_timeout_is_a_positive_number(timeout: float) -> None:
    with pytest.raises(ConfigurationError):
        PostgresState("postgresql://host/db", timeout=timeout)


@pytest.mark.parametrize("bad", ["", "Schema", "pg_state", "a b", 'x"', "x" * 64])
def test_names_that_no_schema_can_have_are_refused(bad: str) -> None:
    with pytest.raises(ConfigurationError):
        PostgresState("postgresql://host/db", schema=bad)
    with pytest.raises(ConfigurationError):
        PostgresState.sql(bad)


async def test_a_server_that_is_not_there_is_unavailable(schema: str) -> None:
    async with opened("postgresql://postgres@127.0.0.1:1/postgres", schema) as state:
        with pytest.raises(StoreUnavailable):
            await state.update("o", "k", increment)


async def test_a_role_that_may_not_log_in_is_refused_and_its_password_not_shown(postgres_url: str, schema: str) -> None:
    async with opened(at(postgres_url, user="nobody", password="s3cret"), schema) as state:
        with pytest.raises(StoreUnavailable) as caught:
            await state.update("o", "k", increment)

    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__


async def test_a_database_that_does_not_exist_is_unavailable(postgres_url: str, schema: str) -> None:
    async with opened(at(postgres_url, database="nowhere"), schema) as state:
        with pytest.raises(StoreUnavailable):
            await state.values("o")


async def test_a_server_that_is_read_only_is_unavailable(postgres_url: str, schema: str) -> None:
    async with opened(at(postgres_url, options="-c default_transaction_read_only=on"), schema) as state:
        with pytest.raises(StoreUnavailable):
            await state.update("o", "k", increment)


async def test_a_schema_is_made_by_the_sql_that_is_printed(postgres_url: str, schema: str) -> None:
    with role(postgres_url) as user:
        async with opened(at(postgres_url, user=user), schema) as state:
            with pytest.raises(StoreUnavailable) as caught:
                await state.update("o", "k", increment)
            assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)

            run(postgres_url, PostgresState.sql(schema))
            # --8<-- [start:grants]
            grants = """
                GRANT USAGE ON SCHEMA assistant_kit_state TO {role};
                GRANT SELECT ON assistant_kit_state.layout TO {role};
                GRANT SELECT, INSERT, UPDATE, DELETE ON assistant_kit_state.state TO {role};
            """
            # --8<-- [end:grants]
            run(postgres_url, grants.format(role=user).replace("assistant_kit_state", schema))

            assert await state.update("o", "k", increment) == 1
            await state.erase("o")


async def test_a_schema_may_stand_empty_before_the_first_use(postgres_url: str, schema: str) -> None:
    run(postgres_url, f"CREATE SCHEMA {schema}")
    async with opened(postgres_url, schema) as state:
        assert await state.update("o", "k", increment) == 1


async def test_many_that_make_one_schema_at_once_make_it_once(postgres_url: str, schema: str) -> None:
    async with AsyncExitStack() as stack:
        states = [await stack.enter_async_context(opened(postgres_url, schema)) for _ in range(6)]
        async with anyio.create_task_group() as tasks:
            with psycopg.connect(postgres_url) as other:
                lock = f"""SELECT pg_advisory_xact_lock(hashtextextended('"{schema}"', 0))"""
                other.execute(lock.encode())
                for state in states:
                    tasks.start_soon(state.update, "o", "k", increment)
                waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                while run(postgres_url, waiting) != [(6,)]:
                    await anyio.lowlevel.checkpoint()

        assert await states[0].values("o") == {"k": b"6"}


async def test_a_schema_of_another_program_is_left_alone(postgres_url: str, schema: str) -> None:
    run(postgres_url, f"CREATE SCHEMA {schema}", f"CREATE TABLE {schema}.theirs ()")
    async with opened(postgres_url, schema) as state:
        with pytest.raises(StoreCorrupt):
            await state.update("o", "k", increment)


async def test_a_newer_schema_is_refused(postgres_url: str, schema: str) -> None:
    async with opened(postgres_url, schema) as state:
        await state.values("o")
    run(postgres_url, f"UPDATE {schema}.layout SET version = 9")  # noqa: S608  (made of constants)
    async with opened(postgres_url, schema) as state:
        with pytest.raises(StoreTooNew) as caught:
            await state.values("o")

    assert (caught.value.found, caught.value.supported) == (9, 1)


async def test_a_schema_that_was_changed_by_hand_is_corrupt(postgres_url: str, schema: str) -> None:
    async with opened(postgres_url, schema) as state:
        await state.update("o", "k", increment)
        run(postgres_url, f"ALTER TABLE {schema}.state RENAME TO letters")
        with pytest.raises(StoreCorrupt):
            await state.update("o", "k", increment)
        run(postgres_url, f"ALTER TABLE {schema}.letters RENAME TO state")

        assert await state.update("o", "k", increment) == 2


async def test_a_row_that_is_held_too_long_is_busy_and_then_not(postgres_url: str, schema: str) -> None:
    async with opened(postgres_url, schema, timeout=0.2) as state:
        await state.update("o", "k", increment)
        with psycopg.connect(postgres_url) as other:
            other.execute(f"SELECT FROM {schema}.state FOR UPDATE".encode())
            with pytest.raises(StoreBusy):
                await state.update("o", "k", increment)

        assert await state.update("o", "k", increment) == 2


async def test_a_session_that_the_server_ended_is_replaced_before_it_is_used(postgres_url: str, schema: str) -> None:
    url = f"{postgres_url}?application_name={schema}"
    theirs = f"FROM pg_stat_activity WHERE application_name = '{schema}'"
    async with opened(url, schema) as state:
        for count in (1, 2, 3):
            assert await state.update("o", "k", increment) == count
            assert len(run(postgres_url, f"SELECT pg_terminate_backend(pid, 10000) {theirs}")) == 1


async def test_a_session_that_is_lost_in_mid_write_is_told_once_and_replaced(postgres_url: str, schema: str) -> None:
    async with opened(postgres_url, schema) as state:
        await state.update("o", "k", increment)
        with psycopg.connect(postgres_url) as other:
            other.execute(f"SELECT FROM {schema}.state FOR UPDATE".encode())
            ending = Thread(target=end_who_waits, args=(postgres_url,))
            ending.start()
            with pytest.raises(StoreUnavailable):
                await state.update("o", "k", increment)
            ending.join()

        assert await state.update("o", "k", increment) == 2


def end_who_waits(url: str) -> None:
    while not run(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
        pass


async def test_who_was_too_late_decides_again_and_holds_the_value_meanwhile(postgres_url: str, schema: str) -> None:
    seen: list[bytes | None] = []

    def change(value: bytes | None, now: float) -> Changed[int]:
        seen.append(value)
        if len(seen) == 1:
            run(postgres_url, f"UPDATE {schema}.state SET value = '100', mark = mark + 1")  # noqa: S608  (constants)
        else:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                run(postgres_url, f"SELECT FROM {schema}.state FOR UPDATE NOWAIT")
        return increment(value, now)

    async with opened(postgres_url, schema) as state:
        await state.update("o", "k", increment)
        assert await state.update("o", "k", change) == 101
        assert seen == [b"1", b"100"]
        assert await state.values("o") == {"k": b"101"}


async def test_who_was_too_late_and_has_nothing_to_write_holds_nothing(postgres_url: str, schema: str) -> None:
    def change(value: bytes | None, _: float) -> Changed[bytes | None]:
        if value == b"1":
            run(postgres_url, f"UPDATE {schema}.state SET value = '9', mark = mark + 1")  # noqa: S608  (constants)
        return Changed(value=b"9", result=value)

    async with opened(postgres_url, schema) as state:
        await state.update("o", "k", increment)
        assert await state.update("o", "k", change) == b"9"

        run(postgres_url, f"SELECT FROM {schema}.state FOR UPDATE NOWAIT")


async def test_a_clock_that_was_set_back_counts_from_the_last_write_on(postgres_url: str, schema: str) -> None:
    async with opened(postgres_url, schema) as state:
        await state.update("o", "k", put(b"v"))
        run(postgres_url, f"UPDATE {schema}.state SET at = 4e9, until = 4e9 + 5")  # noqa: S608  (constants)

        assert await state.update("o", "k", look) == (b"v", 4e9)
        assert await state.update("o", "k", put(b"w", keep=1)) == 4e9
        assert await state.values("o") == {"k": b"w"}
        assert await state.update("o", "k", put(b"gone", keep=0)) == 4e9
        assert await state.values("o") == {}


async def test_values_that_nobody_asks_for_any_more_are_deleted(postgres_url: str, schema: str) -> None:
    keys = f"SELECT key FROM {schema}.state"  # noqa: S608  (constants)
    async with opened(postgres_url, schema) as state:
        for n in range(20):
            await state.update("o", f"old{n}", put(b"v"))
        run(postgres_url, f"UPDATE {schema}.state SET at = 1, until = 2")  # noqa: S608  (constants)
        assert await state.values("o") == {}

        for _ in range(3 * 64):  # once to the end of the rows, once from their beginning, and to be sure
            await state.update("o", "k", increment)

    assert run(postgres_url, keys) == [("k",)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("gone"), StoreUnavailable),
        (psycopg.ProgrammingError("odd"), StoreError),
        (psycopg.errors.InvalidPassword(), StoreUnavailable),
        (psycopg.errors.DivisionByZero(), StoreError),
        (psycopg.errors.TooManyConnections(), StoreUnavailable),
        (psycopg.errors.DataCorrupted(), StoreCorrupt),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_postgres_are_ours(error: psycopg.Error, kind: type[StoreError]) -> None:
    assert type(ADVICE.store_error(error, "here")) is kind


async def test_an_erasure_deletes_nothing_while_it_waits_for_a_row(postgres_url: str, schema: str) -> None:
    # Who holds that row would wait for what was deleted, and neither could go on.
    one_by_one = "-c enable_hashjoin=off -c enable_mergejoin=off"  # how a join of a large table with few rows is made
    async with opened(at(postgres_url, options=one_by_one), schema) as state:
        for key in ("a", "b"):
            await state.update("o", key, increment)
        table = f"{schema}.state"
        with psycopg.connect(postgres_url) as other:
            hold = f"SELECT spot FROM {table} ORDER BY spot DESC LIMIT 1 FOR UPDATE"  # noqa: S608  (constants)
            held = other.execute(hold.encode()).fetchall()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(state.erase, "o")
                waiting = f"wait_event_type = 'Lock' AND query LIKE '%{schema}%'"
                while not run(postgres_url, f"SELECT 1 FROM pg_stat_activity WHERE {waiting}"):  # noqa: S608  (the same)
                    await anyio.lowlevel.checkpoint()
                again = f"INSERT INTO {table} SELECT * FROM {table} WHERE spot != %s ON CONFLICT DO NOTHING"  # noqa: S608
                assert other.execute(again.encode(), held[0]).rowcount == 0  # and at once
                other.commit()

        assert await state.values("o") == {}
