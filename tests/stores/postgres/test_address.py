"""Which server an address names, and what may be said of it."""

import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location

import pytest

from assistant_kit import registry
from assistant_kit.errors import (
    ConfigurationError,
    MissingDependency,
    UnknownStore,
)
from assistant_kit.stores.postgres import PostgresStore, Timeouts
from tests.stores.postgres.asking import everything_said


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("postgresql://ann:s3cret@db.example:6432/chat?sslmode=require", "postgresql://ann@db.example:6432/chat"),
        ("postgres://db.example/chat?user=ann&password=s3cret", "postgresql://ann@db.example/chat"),
        ("postgresql:///chat?host=/run/postgresql&password=s3cret", "postgresql:///run/postgresql/chat"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, place: str) -> None:
    store = registry.make_store(address)

    assert isinstance(store, PostgresStore)
    assert repr(store) == f"PostgresStore({place!r}, schema='assistant_kit')"


@pytest.mark.parametrize("url", ["postgresql://u:s3cret@[::1/db", "postgresql://u:s3cret@h/db?nonsense=1", "s3cret"])
def test_an_address_that_cannot_be_read_is_refused_and_its_password_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PostgresStore(url)

    assert "s3cret" not in everything_said(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("address", ["sqlite:///chat.db", "postgresql+psycopg://host/db", "host=localhost"])
def test_a_foreign_address_is_refused(address: str) -> None:
    with pytest.raises(UnknownStore) as caught:
        PostgresStore.from_address(address)

    assert caught.value.address == address


def test_settings_under_which_nothing_could_run_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        PostgresStore("postgresql://localhost/db", connections=1)
    for seconds in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ConfigurationError):
            Timeouts(lock=seconds)


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_spec("assistant_kit.stores.postgres")
    assert found
    assert found.origin
    again = spec_from_file_location("postgres_again", found.origin)
    assert again
    assert again.loader
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(MissingDependency) as caught:
        again.loader.exec_module(module_from_spec(again))

    assert (caught.value.package, caught.value.extra) == ("psycopg", "postgres")


def test_a_program_without_psycopg_is_told_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from assistant_kit.errors import MissingDependency\n"
        "from assistant_kit import registry\n"
        "try: registry.make_store('postgresql://localhost/db')\n"
        "except MissingDependency as error: print(error.package, error.extra)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.split() == ["psycopg", "postgres"]
