"""The whole suite over SQLite and Postgres: `pytest tests/stores/projected/whole_suite.py`, more than a minute.

The usual run has a part of it, in test_suites.py.
"""

import pytest

from assistant_kit.testing.conformance.store import StoreConformance
from tests.stores.projected.over import OverPostgres, OverSQLite

pytestmark = pytest.mark.anyio


class TestAllOfItOverSQLite(StoreConformance, OverSQLite):
    pass


class TestAllOfItOverPostgres(StoreConformance, OverPostgres):
    pass
