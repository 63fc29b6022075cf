"""Leases and transactions of the conformance suite over SQLite and Postgres; whole_suite.py has all of it.

The suite over memory stands in test_store.py.
"""

import pytest

from assistant_kit.testing.conformance.store_leases import StoreLeases
from tests.stores.projected.over import OverPostgres, OverSQLite

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop is enough: the suite over memory runs on both, and so does whole_suite.py."""
    return "asyncio"


class TestProjectedSQLite(StoreLeases, OverSQLite):
    pass


class TestProjectedPostgres(StoreLeases, OverPostgres):
    pass
