"""Addresses stand for models and stores; one that stands for nothing says what could be written."""

from collections.abc import Callable
from typing import Any

import pytest

from assistant_kit import registry
from assistant_kit.errors import UnknownModel, UnknownStore
from assistant_kit.models.openai import OpenAI
from assistant_kit.protocols.shared_state import SharedState
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.shared_states.postgres import PostgresState
from assistant_kit.shared_states.redis import RedisState
from assistant_kit.shared_states.sqlite import SQLiteState
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore


def test_a_model_string_names_a_provider_and_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "made-up")
    model = registry.make_model("openai: gpt-5.6-luna ")
    assert isinstance(model, OpenAI)
    assert model.name == "openai:gpt-5.6-luna"


@pytest.mark.parametrize(
    "address", ["", "gpt-5.6-luna", "openai", "openai:", "openai: ", "opnai:gpt", ":gpt"], ids=repr
)
def test_an_unknown_model_says_what_could_be_written(address: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        registry.make_model(address)
    assert caught.value.model == address
    assert "openai:gpt-5.6-luna" in str(caught.value)


def test_a_store_address_names_a_store() -> None:
    assert isinstance(registry.make_store("memory:"), MemoryStore)
    assert isinstance(registry.make_store("sqlite:///chat.db"), SQLiteStore)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("memory:", MemoryState),
        ("sqlite:///state.db", SQLiteState),
        ("postgresql://ann@host/db", PostgresState),
        ("postgres://ann@host/db", PostgresState),
        ("redis://host:6379/0", RedisState),
        ("rediss://host", RedisState),
        ("valkey://host", RedisState),
        ("valkeys://host", RedisState),
    ],
)
def test_a_state_address_names_a_shared_state(address: str, kind: type[SharedState]) -> None:
    assert isinstance(registry.make_state(address), kind)


@pytest.mark.parametrize("address", ["", "chat.db", "memory", "mysql://db"], ids=repr)
@pytest.mark.parametrize("make", [registry.make_store, registry.make_state])
def test_an_unknown_place_says_what_could_be_written(make: Callable[[str], Any], address: str) -> None:
    with pytest.raises(UnknownStore) as caught:
        make(address)
    assert caught.value.address == address
    assert all(scheme in str(caught.value) for scheme in ("memory:", *registry.STORES, *registry.STATES))


def test_every_place_in_the_tables_exists() -> None:
    singles: list[Any] = [value for value in vars(registry).values() if isinstance(value, tuple)]
    places = [*singles, *registry.MODELS.values(), *registry.STORES.values(), *registry.STATES.values()]
    assert all(registry.load(place) is not None for place in places)
