"""A strict server for each test, and what `openai:NAME` needs to find it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.talking import KEY
from tests.openai_server import OpenAIServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    with OpenAIServer() as started:
        monkeypatch.setenv("OPENAI_BASE_URL", started.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield started
