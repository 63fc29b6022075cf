"""Certificates and a service for the tests of this folder."""

from pathlib import Path

import pytest

from examples.flask_demo import certificates


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Servers of uvicorn run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA and its certificates; tests do not change it."""
    folder = tmp_path_factory.mktemp("tls")
    certificates.make(folder)
    return folder


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of another CA."""
    folder = tmp_path_factory.mktemp("others")
    certificates.make(folder)
    return folder
