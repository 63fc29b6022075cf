"""Addresses: what they may say, and that no password is ever shown."""

import sys
from collections.abc import Iterator

import pytest

from assistant_kit.errors import ConfigurationError, MissingDependency, UnknownStore
from assistant_kit.redis_address import Address
from assistant_kit.registry import make_store
from assistant_kit.stores.redis import RedisStore


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://", "redis://localhost:6379/0"),
        ("rediss://host:1/2", "rediss://host:1/2"),
        ("valkey://host:1", "valkey://host:1/0"),
        ("valkeys://host:1/?db=3", "valkeys://host:1/3"),
        ("redis://me:secret@host:1/2?client_name=x", "redis://host:1/2"),
        ("redis://:s%2Fcret@host", "redis://host:6379/0"),
        ("rediss://host?ssl_cert_reqs=none", "rediss://host:6379/0"),
        ("unix:///var/run/redis.sock", "unix:///var/run/redis.sock"),
    ],
)
def test_an_address_names_a_place_without_its_password(url: str, place: str) -> None:
    assert Address(url, timeout=1, of="RedisStore").place == place


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "host:6379",
        "redis://:sec/ret@host:6379/0",
        "redis://:secret@host:port/0",
        "redis://:secret@host/zero",
        "redis://:secret@host?db=zero",
        "redis://:secret@host?decode_responses=true",
        "redis://:secret@host?protocol=3",
        "redis://:secret@[host",
    ],
)
def test_an_address_that_is_none_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisStore(url)

    error = caught.value
    assert not any(
        "sec" in str(each)
        for each in (error, error.__cause__, error.__context__ if not error.__suppress_context__ else "")
    )


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_a_store_is_made_of_an_address(scheme: str) -> None:
    assert isinstance(make_store(f"{scheme}://localhost:1/0"), RedisStore)


def test_another_scheme_is_unknown() -> None:
    with pytest.raises(UnknownStore) as caught:
        RedisStore.from_address("postgres://me:secret@host")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_timeout_is_a_positive_number_of_seconds(timeout: float) -> None:
    with pytest.raises(ConfigurationError):
        RedisStore("redis://localhost", timeout=timeout)


def test_an_unknown_durability_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        RedisStore("redis://localhost", durability="somewhat")  # pyright: ignore[reportArgumentType]


@pytest.fixture
def without_redis() -> Iterator[None]:
    """As if redis-py was not installed."""
    away = {name: module for name, module in sys.modules.items() if name.startswith("assistant_kit.stores.redis")}
    away |= {"redis": sys.modules["redis"]}
    for name in away:
        del sys.modules[name]
    sys.modules["redis"] = None  # pyright: ignore[reportArgumentType]
    yield
    sys.modules.update(away)


@pytest.mark.usefixtures("without_redis")
def test_without_redis_py_the_extra_to_install_is_named() -> None:
    with pytest.raises(MissingDependency) as caught:
        make_store("redis://localhost")

    assert (caught.value.package, caught.value.extra) == ("redis", "redis")
