"""The service behind the doors of the MCP server."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from tests.examples.todo.mcp.doors import DOORS, Service, service_in


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service_in(tmp_path_factory.mktemp("todo")) as service:
        yield service


@pytest.fixture(scope="module", params=DOORS)
def door(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def ada(service: Service) -> UUID:
    return service.user()


@pytest.fixture
def eve(service: Service) -> UUID:
    return service.user()
