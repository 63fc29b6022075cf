"""A real server for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.services.s3 import S3Server, running_s3


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 on loopback, with the bucket `tests`; all tests share it: use prefixes of your own."""
    with running_s3() as server:
        server.make_bucket("tests")
        yield server
