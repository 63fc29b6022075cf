"""How tests reach the S3 of `tests.services.s3`."""

from datetime import timedelta

from obstore.store import S3Store

from tests.services.s3 import S3Server


def s3_store(server: S3Server, prefix: str, *, bucket: str = "tests") -> S3Store:
    """Return a client that gives up soon."""
    return S3Store(
        bucket,
        prefix=prefix,
        endpoint=server.url,
        region="us-east-1",
        access_key_id="somebody",
        secret_access_key="a secret of tests",
        client_options={"allow_http": True, "timeout": timedelta(seconds=20)},
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=1)},
    )
