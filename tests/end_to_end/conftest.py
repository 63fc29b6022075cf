"""A strict server for each test, and what `openai:NAME` needs to find it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.talking import KEY
from tests.openai_server import OpenAIServer


@pytest.fixture(autouse=True)
def no_certificates(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client reads the certificates of the world, which takes longer than a test; loopback needs none."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(_nothing(tmp_path_factory)))


def _nothing(folders: pytest.TempPathFactory) -> Path:
    folder = folders.getbasetemp() / "no certificates"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    with OpenAIServer() as started:
        monkeypatch.setenv("OPENAI_BASE_URL", started.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield started
