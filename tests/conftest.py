"""What every test may ask for: both event loops, and real servers."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.services.postgres import running_postgres
from tests.services.valkey import running_valkey

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test of a file marked `pytest.mark.anyio` on both event loops."""
    return request.param


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real Postgres with pgvector, as `postgresql://…`; all tests share it: use names of your own."""
    with running_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A real Valkey that writes its append-only file, as `redis://…`; all tests share it: use keys of your own."""
    with running_valkey() as url:
        yield url
