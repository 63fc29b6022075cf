"""A pytest plugin (`-p`): branch coverage of a worker of pytest-xdist, in a data file of its own.

Only the workers: programs that tests start are not measured, as coverage's own `patch = ["subprocess"]` would do.
"""

import os

import coverage
import pytest

MEASURED = coverage.Coverage(data_suffix=True) if "PYTEST_XDIST_WORKER" in os.environ else None
if MEASURED is not None:
    MEASURED.start()  # here, as what is imported later is measured from its first line


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Save what was measured, before the worker says that it is done and may be ended."""
    if MEASURED is not None:
        MEASURED.stop()
        MEASURED.save()
