import pytest
import redis.exceptions as foreign

from assistant_kit.errors import ConfigurationError, StoreBusy, StoreCorrupt, StoreError, StoreUnavailable
from assistant_kit.event_logs._redis_wire import ADVICE
from assistant_kit.event_logs.redis import RedisEventLog


@pytest.mark.parametrize(
    "url",
    ["http://x", "redis://x/a", "redis://x:port/0", "redis://x/0?decode_responses=1"],
    ids=["scheme", "database", "port", "option"],
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        RedisEventLog(url)


def test_settings_that_make_no_sense_are_refused() -> None:
    for prefix in ("", "a{", "}", "\n"):
        with pytest.raises(ConfigurationError):
            RedisEventLog("redis://x", prefix=prefix)
    for keep, most in ((0.0, 1), (1.0, 0)):
        with pytest.raises(ConfigurationError):
            RedisEventLog("redis://x", keep=keep, most=most)
    with pytest.raises(ConfigurationError):
        RedisEventLog("redis://x", timeout=0)


def test_a_password_is_not_shown() -> None:
    assert repr(RedisEventLog("redis://me:secret@x:1/2")) == "RedisEventLog('redis://x:1/2')"
    assert repr(RedisEventLog("unix:///run/redis.sock")) == "RedisEventLog('unix:///run/redis.sock')"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (foreign.AuthenticationError("x"), StoreUnavailable),
        (foreign.ResponseError("BUSY script"), StoreBusy),
        (foreign.ResponseError("ERR in script: -MISCONF x"), StoreUnavailable),
        (foreign.ResponseError("WRONGTYPE x"), StoreCorrupt),
        (foreign.ResponseError("ERR unknown"), StoreError),
    ],
    ids=["password", "busy", "disk", "type", "unknown"],
)
def test_errors_of_the_server_are_ours(error: Exception, kind: type[StoreError]) -> None:
    assert type(ADVICE.store_error(error, "redis://x")) is kind
