"""How a schema comes to be, is upgraded, and is left alone when it is not ours."""

from urllib.parse import urlsplit

import anyio
import psycopg
import pytest

from assistant_kit.errors import ConfigurationError, StoreCorrupt, StoreTooNew, StoreUnavailable
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.stores.postgres.migrations import steps, written
from tests.stores.postgres.writing import ids, write

pytestmark = pytest.mark.anyio


async def opens(store: PostgresStore) -> None:
    """Use a store for a write and a read, and close it."""
    with anyio.fail_after(30):
        try:
            user = store.for_user("u")
            lease = await user.claim("c", owner="w", ttl=60)
            await user.append(write(lease, lease.seq, f"r{lease.seq}"))
            assert (await ids(user, "c"))[-1] == f"r{lease.seq}"
        finally:
            await store.aclose()


def version(admin: psycopg.Connection, schema: str) -> int | None:
    if admin.execute("SELECT to_regnamespace(%s)", [schema]).fetchone() == (None,):
        return None
    row = admin.execute(written("SELECT version FROM assistant_kit.store", schema).encode()).fetchone()
    assert row
    return row[0]


async def test_the_first_use_makes_the_schema(postgres_url: str, schema: str, admin: psycopg.Connection) -> None:
    await opens(PostgresStore(postgres_url, schema=schema))
    await opens(PostgresStore(postgres_url, schema=schema))

    assert version(admin, schema) == len(steps())


async def test_the_sql_for_review_makes_the_schema(postgres_url: str, schema: str, admin: psycopg.Connection) -> None:
    with pytest.raises(StoreUnavailable):
        await opens(PostgresStore(postgres_url, schema=schema, migrate=False))
    assert version(admin, schema) is None

    admin.execute(PostgresStore.sql(schema).encode())

    await opens(PostgresStore(postgres_url, schema=schema, migrate=False))
    assert version(admin, schema) == len(steps())
    assert PostgresStore.sql(schema, after=len(steps())) == ""


@pytest.mark.parametrize("old", range(1, len(steps())))
async def test_an_old_schema_is_upgraded_step_by_step(
    postgres_url: str, schema: str, admin: psycopg.Connection, old: int
) -> None:
    admin.execute(f"CREATE SCHEMA {schema}".encode())
    for step in steps()[:old]:
        admin.execute(written(step, schema).encode())
    admin.execute(written("UPDATE assistant_kit.store SET version = %s", schema).encode(), [old])

    with pytest.raises(StoreUnavailable):
        await opens(PostgresStore(postgres_url, schema=schema, migrate=False))
    assert version(admin, schema) == old
    if old % 2:
        admin.execute(PostgresStore.sql(schema, after=old).encode())

    await opens(PostgresStore(postgres_url, schema=schema))
    assert version(admin, schema) == len(steps())


async def test_a_schema_of_a_newer_version_is_left_as_it_is(
    postgres_url: str, schema: str, admin: psycopg.Connection
) -> None:
    admin.execute(PostgresStore.sql(schema).encode())
    admin.execute(written("UPDATE assistant_kit.store SET version = 99", schema).encode())

    with pytest.raises(StoreTooNew) as caught:
        await opens(PostgresStore(postgres_url, schema=schema))

    assert (caught.value.found, caught.value.supported) == (99, len(steps()))
    assert version(admin, schema) == 99


async def test_a_schema_of_another_program_is_left_as_it_is(
    postgres_url: str, schema: str, admin: psycopg.Connection
) -> None:
    admin.execute(f"CREATE SCHEMA {schema} CREATE TABLE letters (body text)".encode())

    with pytest.raises(StoreCorrupt):
        await opens(PostgresStore(postgres_url, schema=schema))

    found = admin.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s", [schema]).fetchone()
    assert found == (1,)


async def test_an_empty_schema_is_used(postgres_url: str, schema: str, admin: psycopg.Connection) -> None:
    admin.execute(f"CREATE SCHEMA {schema}".encode())

    await opens(PostgresStore(postgres_url, schema=schema))


async def test_many_that_start_at_once_make_one_schema(
    postgres_url: str, schema: str, admin: psycopg.Connection
) -> None:
    stores = [PostgresStore(postgres_url, schema=schema, connections=2) for _ in range(8)]

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for store in stores:
                tasks.start_soon(store.open)

    for store in stores:
        await store.aclose()
    assert version(admin, schema) == len(steps())


async def test_a_role_without_rights_is_told_so_and_works_when_it_has_them(
    postgres_url: str, schema: str, admin: psycopg.Connection
) -> None:
    admin.execute(f"CREATE ROLE {schema}_app LOGIN".encode())
    url = postgres_url.replace(f"//{urlsplit(postgres_url).username}@", f"//{schema}_app@")

    with pytest.raises(StoreUnavailable):
        await opens(PostgresStore(url, schema=schema))
    assert version(admin, schema) is None

    admin.execute(PostgresStore.sql(schema).encode())
    with pytest.raises(StoreUnavailable):
        await opens(PostgresStore(url, schema=schema))

    # --8<-- [start:grants]
    grants = """
        GRANT USAGE ON SCHEMA assistant_kit TO app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA assistant_kit TO app;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA assistant_kit TO app;
    """
    # --8<-- [end:grants]
    admin.execute(grants.replace("assistant_kit", schema).replace("TO app", f"TO {schema}_app").encode())

    await opens(PostgresStore(url, schema=schema))
    await opens(PostgresStore(url, schema=schema, migrate=False, audit=True))


@pytest.mark.parametrize("name", ["", "Upper", "a b", 'a"b', "a.b", "1a", "pg_own", "x" * 64, "a;--"])
def test_a_name_that_needs_care_in_sql_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        PostgresStore("postgresql://localhost/db", schema=name)
    with pytest.raises(ConfigurationError):
        PostgresStore.sql(name)


async def test_schemas_of_one_database_share_nothing(postgres_url: str, schema: str) -> None:
    one, two = PostgresStore(postgres_url, schema=schema), PostgresStore(postgres_url, schema=f"{schema}_2")
    lease = await one.for_user("u").claim("c", owner="w", ttl=60)
    await one.for_user("u").append(write(lease, 0, "a"))

    assert not await two.for_user("u").conversations()
    assert list(await one.users()) == ["u"]
    assert list(await two.users()) == []
    for store in (one, two):
        await store.aclose()


async def test_an_audit_log_stays_on_for_those_who_did_not_ask_for_it(postgres_url: str, schema: str) -> None:
    before = PostgresStore(postgres_url, schema=schema)
    user = before.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    await user.append(write(lease, 0, "a"))

    audited = PostgresStore(postgres_url, schema=schema, audit=True)
    await audited.open()
    await user.append(write(lease, 1, "b"))
    after = PostgresStore(postgres_url, schema=schema)
    await after.for_user("u").append(write(lease, 2, "c"))

    assert [link.n for link in await user.audit_log()] == [1, 2]
    for store in (before, audited, after):
        await store.aclose()
