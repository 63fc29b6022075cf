# redis leaves its keyword arguments without types.
# pyright: reportUnknownMemberType=false

import psycopg
import redis

from tests.services.valkey import running_valkey


def test_postgres_answers_and_has_pgvector(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("create extension if not exists vector")
        row = connection.execute("select 1, '[1,2,3]'::vector <-> '[1,2,5]'::vector").fetchone()
        connection.rollback()

    assert row == (1, 2.0)


def test_valkey_answers_and_writes_its_append_only_file(valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        assert client.ping()
        assert client.config_get("appendonly", "appendfsync") == {"appendonly": "yes", "appendfsync": "always"}


def test_a_valkey_of_its_own_need_not_write_to_disk() -> None:
    with running_valkey(append_only=False) as url, redis.Redis.from_url(url) as client:
        assert client.config_get("appendonly") == {"appendonly": "no"}
