"""The suites that every implementation of a protocol passes: ours, and yours.

`store.StoreConformance` is for stores; its docstring has an example. The suites need pytest, and anyio's pytest plugin.
"""

import pytest

# A failed assert shows its values only in modules that pytest knows before they are imported.
pytest.register_assert_rewrite(
    f"{__name__}.store_audit",
    f"{__name__}.store_concurrency",
    f"{__name__}.store_contention",
    f"{__name__}.store_erasure",
    f"{__name__}.store_forks",
    f"{__name__}.store_isolation",
    f"{__name__}.store_leases",
    f"{__name__}.store_listing",
    f"{__name__}.store_reads",
    f"{__name__}.store_rewinds",
    f"{__name__}.store_transactions",
    f"{__name__}.store_writes",
)
