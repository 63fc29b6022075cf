from collections.abc import Iterator

import pytest

from tests.toolsets.mcp.oauth.guarded_server import GuardedServer, guarded_server


@pytest.fixture
def server() -> Iterator[GuardedServer]:
    with guarded_server() as server:
        yield server
