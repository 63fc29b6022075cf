"""What goes wrong with a server, and what is left of it: nothing is lost, and what failed can be repeated."""

import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import anyio
import psycopg
import pytest

from assistant_kit.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    StoreVolatile,
)
from assistant_kit.postgres_session import check_version
from assistant_kit.protocols.store import Lease
from assistant_kit.stores.postgres import PostgresStore, Timeouts
from assistant_kit.stores.postgres.failures import ADVICE
from tests.services.deaf_proxy import proxy_to
from tests.services.postgres import DURABLE, Cluster, postgres_cluster
from tests.services.processes import free_port
from tests.stores.postgres.asking import at, everything_said
from tests.stores.postgres.writing import ids, write

pytestmark = pytest.mark.anyio

CRASH = signal.Signals.SIGQUIT


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres_cluster(DURABLE) as cluster:
        yield cluster


def role(admin: psycopg.Connection, name: str, settings: str) -> str:
    """A role that may do everything, with a setting of its own."""
    admin.execute(f"CREATE ROLE {name} LOGIN SUPERUSER".encode())
    admin.execute(f"ALTER ROLE {name} {settings}".encode())
    return name


async def until_it_raises(error: type[StoreError], operation: Callable[[], Awaitable[object]]) -> None:
    """Try until the server has heard of what was changed."""
    while True:
        try:
            await operation()
        except error:
            return


async def until_it_works(operation: Callable[[], Awaitable[object]]) -> None:
    """Try until the server has heard of what was changed."""
    while True:
        with suppress(StoreUnavailable):
            await operation()
            return


async def test_a_store_reconnects_when_the_server_was_restarted(cluster: Cluster, schema: str) -> None:
    store = PostgresStore(cluster.url, schema=schema)
    user = store.for_user("u")

    with anyio.fail_after(60):
        with cluster.running():
            lease = await user.claim("c", owner="w", ttl=60)
            await user.append(write(lease, 0, "a"))
            assert await ids(user, "c") == ["a"]
        with pytest.raises(StoreUnavailable):
            await user.append(write(lease, 1, "b"))
        with pytest.raises(StoreUnavailable):
            await user.read("c")
        with cluster.running():
            await user.append(write(lease, 1, "b"))
            assert await ids(user, "c") == ["a", "b"]
            await store.aclose()


async def test_what_was_acknowledged_before_a_crash_is_there_and_the_rest_may_be_repeated(
    cluster: Cluster, schema: str
) -> None:
    store = PostgresStore(cluster.url, schema=schema, connections=2)
    user = store.for_user("u")
    acknowledged: dict[str, int] = {}
    leases: list[Lease] = []
    enough = anyio.Event()

    async def converse(lease: Lease) -> None:
        with suppress(StoreUnavailable):
            for n in range(10_000):
                await user.append(write(lease, n, f"r{n}"))
                acknowledged[lease.conversation] = n + 1
                if n == 20:
                    enough.set()

    with anyio.fail_after(90):
        async with anyio.create_task_group() as tasks:
            with cluster.running(stop=CRASH):
                leases += [await user.claim(f"c{n}", owner="w", ttl=600) for n in range(10)]
                for lease in leases:
                    tasks.start_soon(converse, lease)
                await enough.wait()
        with cluster.running():
            for lease in leases:
                stored = await ids(user, lease.conversation)
                known = acknowledged[lease.conversation]
                assert len(stored) in (known, known + 1)
                await user.append(write(lease, known, f"r{known}"))
                assert await ids(user, lease.conversation) == [f"r{n}" for n in range(known + 1)]
            await store.aclose()


async def test_an_append_whose_acknowledgement_was_lost_is_recognised(postgres_url: str, schema: str) -> None:
    with anyio.fail_after(60), proxy_to(postgres_url) as proxy:
        store = PostgresStore(proxy.url, schema=schema)
        user = store.for_user("u")
        lease = await user.claim("c", owner="w", ttl=600)
        proxy.deaf = True
        with pytest.raises(StoreUnavailable):
            await user.append(write(lease, 0, "a"))
        proxy.deaf = False
        await user.append(write(lease, 0, "a"))
        assert await ids(user, "c") == ["a"]
        await store.aclose()


async def test_a_session_that_the_server_ended_is_replaced_before_it_is_used(
    store: PostgresStore, admin: psycopg.Connection
) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    await user.read("c")

    with anyio.fail_after(30):
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'assistant_kit'"
        )
        await user.append(write(lease, 0, "a"))
        assert await ids(user, "c") == ["a"]


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    store = PostgresStore(f"postgresql://u:s3cret@127.0.0.1:{free_port()}/db")

    with anyio.fail_after(30), pytest.raises(StoreUnavailable) as caught:
        await store.open()

    assert "s3cret" not in everything_said(caught.value)
    assert "s3cret" not in repr(store)
    await store.aclose()


async def test_a_server_of_another_kind_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        store = PostgresStore(f"postgresql://127.0.0.1:{server.getsockname()[1]}/db?sslmode=disable")
        with anyio.fail_after(30), pytest.raises(StoreUnavailable):
            await store.open()
        thread.join(10)
        await store.aclose()


async def test_a_wrong_password_is_refused_and_not_shown(cluster: Cluster, schema: str) -> None:
    rules = cluster.log.parent / "data" / "pg_hba.conf"
    old = rules.read_text(encoding="utf-8")
    rules.write_text(f"host all {schema} 127.0.0.1/32 scram-sha-256\n{old}", encoding="utf-8")
    try:
        with cluster.running(), psycopg.connect(cluster.url, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE {schema} LOGIN SUPERUSER PASSWORD 'right'".encode())
            wrong = PostgresStore(at(cluster.url, user=schema, password="wr0ng"), schema=schema)
            right = PostgresStore(at(cluster.url, user=schema, password="right"), schema=schema)
            with anyio.fail_after(30):
                with pytest.raises(StoreUnavailable) as caught:
                    await wrong.open()
                await right.open()
                for store in (wrong, right):
                    await store.aclose()
    finally:
        rules.write_text(old, encoding="utf-8")

    assert "wr0ng" not in everything_said(caught.value)


async def test_a_database_that_does_not_exist_is_unavailable(postgres_url: str) -> None:
    store = PostgresStore(at(postgres_url, database="nowhere"))

    with anyio.fail_after(30), pytest.raises(StoreUnavailable):
        await store.for_user("u").claim("c", owner="w", ttl=60)

    await store.aclose()


async def test_a_database_that_cannot_hold_all_names_is_refused(
    postgres_url: str, schema: str, admin: psycopg.Connection
) -> None:
    admin.execute(f"CREATE DATABASE {schema} ENCODING 'SQL_ASCII' TEMPLATE template0".encode())
    store = PostgresStore(at(postgres_url, database=schema))

    with anyio.fail_after(30), pytest.raises(StoreUnavailable):
        await store.open()

    await store.aclose()
    admin.execute(f"DROP DATABASE {schema} WITH (FORCE)".encode())


async def test_a_server_that_is_read_only_can_be_read(
    postgres_url: str, store: PostgresStore, schema: str, admin: psycopg.Connection
) -> None:
    lease = await store.for_user("u").claim("c", owner="w", ttl=60)
    await store.for_user("u").append(write(lease, 0, "a"))
    reader = role(admin, f"{schema}_ro", "SET default_transaction_read_only = on")
    standby = PostgresStore(at(postgres_url, user=reader), schema=schema)

    assert await ids(standby.for_user("u"), "c") == ["a"]
    with pytest.raises(StoreUnavailable):
        await standby.open()
    with pytest.raises(StoreUnavailable):
        await standby.for_user("u").append(write(lease, 1, "b"))

    assert await ids(store.for_user("u"), "c") == ["a"]
    await standby.aclose()


async def test_a_server_that_becomes_read_only_refuses_writes(store: PostgresStore, admin: psycopg.Connection) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)

    with anyio.fail_after(30):
        admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        admin.execute("SELECT pg_reload_conf()")
        try:
            await until_it_raises(StoreUnavailable, lambda: user.renew(lease, ttl=60))
        finally:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            admin.execute("SELECT pg_reload_conf()")
        await until_it_works(lambda: user.renew(lease, ttl=60))


def test_a_server_that_is_too_old_is_refused() -> None:
    check_version("place", 140000)
    with pytest.raises(StoreUnavailable):
        check_version("place", 130099)


async def test_a_server_that_would_lose_writes_is_refused_unless_it_says_that_this_is_meant(
    postgres_url: str, schema: str, admin: psycopg.Connection
) -> None:
    user = role(admin, f"{schema}_v", "SET assistant_kit.volatile = off")
    store = PostgresStore(at(postgres_url, user=user), schema=schema)

    with anyio.fail_after(30), pytest.raises(StoreVolatile):
        await store.open()

    await store.aclose()
    assert admin.execute("SELECT to_regnamespace(%s)", [schema]).fetchone() == (None,)


async def test_a_role_that_does_not_wait_for_the_disk_waits_for_journals(
    postgres_url: str, schema: str, admin: psycopg.Connection
) -> None:
    user = role(admin, f"{schema}_s", "SET synchronous_commit = off")
    store = PostgresStore(at(postgres_url, user=user), schema=schema)
    journals = store.for_user("u")
    lease = await journals.claim("c", owner="w", ttl=60)
    seen: list[object] = []

    async def work(connection: psycopg.Connection) -> object:
        seen.append(connection.execute("SHOW synchronous_commit").fetchone())
        return write(lease, 0, "a")

    await journals.transact(lease, work)  # pyright: ignore[reportArgumentType]

    assert seen == [("on",)]
    await store.aclose()


async def test_a_server_that_has_frozen_is_given_up_and_used_again_when_it_is_back(
    postgres_url: str, schema: str, admin: psycopg.Connection
) -> None:
    store = PostgresStore(
        postgres_url, schema=schema, connections=2, timeouts=Timeouts(statement=1.0, lock=0.1, network=0.5)
    )
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    found = admin.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'assistant_kit' ORDER BY backend_start DESC LIMIT 1"
    ).fetchone()
    assert found

    with anyio.fail_after(30):
        os.kill(found[0], signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                await user.append(write(lease, 0, "a"))
            await user.append(write(lease, 0, "a"))
        finally:
            os.kill(found[0], signal.SIGCONT)

    assert await ids(user, "c") == ["a"]
    await store.aclose()


async def test_a_schema_that_was_changed_by_hand_is_said_to_be_so(
    store: PostgresStore, schema: str, admin: psycopg.Connection
) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    admin.execute(f"ALTER TABLE {schema}.records RENAME TO letters".encode())

    with pytest.raises(StoreCorrupt):
        await user.append(write(lease, 0, "a"))
    with pytest.raises(StoreCorrupt):
        await user.read("c")

    admin.execute(f"ALTER TABLE {schema}.letters RENAME TO records".encode())
    await user.append(write(lease, 0, "a"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("08006", StoreUnavailable),
        ("25006", StoreUnavailable),
        ("25P03", StoreUnavailable),
        ("28P01", StoreUnavailable),
        ("3D000", StoreUnavailable),
        ("3F000", StoreCorrupt),
        ("40001", StoreBusy),
        ("40P01", StoreBusy),
        ("42501", StoreUnavailable),
        ("42883", StoreCorrupt),
        ("53100", StoreUnavailable),
        ("53300", StoreUnavailable),
        ("55P03", StoreBusy),
        ("57014", StoreBusy),
        ("57P01", StoreUnavailable),
        ("58030", StoreUnavailable),
        ("XX000", StoreError),
        ("XX001", StoreCorrupt),
    ],
)
def test_each_error_of_postgres_has_its_place_in_our_tree(code: str, kind: type[StoreError]) -> None:
    assert type(ADVICE.store_error(psycopg.errors.lookup(code)("said"), "place")) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("lost"), StoreUnavailable),
        (psycopg.InterfaceError("closed"), StoreUnavailable),
        (psycopg.ProgrammingError(), StoreError),
    ],
)
def test_an_error_without_a_code_is_one_of_the_connection_or_ours(error: psycopg.Error, kind: type[StoreError]) -> None:
    assert type(ADVICE.store_error(error, "place")) is kind
