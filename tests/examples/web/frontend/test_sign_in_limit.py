"""Sign-ins are limited by address, for all front ends together; who is signed in does not notice."""

from pathlib import Path
from secrets import randbits
from typing import Any, cast

import pytest
import redis
from werkzeug.test import TestResponse

from examples.flask_demo.frontend.sessions import SessionsUnavailable, redis_client
from examples.flask_demo.frontend.sign_in_limit import WINDOW, SignInLimit, TooManySignIns, network_of
from tests.examples.web.frontend.surroundings import Browser, Recorder, local, system, typed
from tests.services.processes import free_port

AWAY = "http://127.0.0.1:1"


def _address() -> str:
    """Return an address that no other test has."""
    return f"10.{randbits(8)}.{randbits(8)}.{randbits(8)}"


def _starts(browser: Browser, address: str, forwarded: str | None = None) -> TestResponse:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return browser.get("/sign-in/start", headers=headers, environ_overrides={"REMOTE_ADDR": address})


def test_an_address_begins_so_many_sign_ins_at_all_front_ends_together(
    valkey_url: str, issuer: str, tmp_path: Path
) -> None:
    address, other = _address(), _address()
    with (
        system(tmp_path, valkey_url, issuer, AWAY, sign_ins=2) as one,
        system(tmp_path, valkey_url, issuer, AWAY, sign_ins=2) as two,
    ):
        begun = [_starts(made.browser(), address).status_code for made in (one, two, one)]
        refused = _starts(two.browser(), address)
        assert begun == [302, 302, 429]
        assert _starts(two.browser(), other).status_code == 302

    seconds = int(refused.headers["Retry-After"])
    assert 0 < seconds <= WINDOW
    assert refused.status_code == 429
    assert "Set-Cookie" not in refused.headers, "who is refused costs no session"
    said = "a second" if seconds == 1 else f"{seconds} seconds"
    assert f"Try again in {said}." in refused.text


def test_who_is_signed_in_does_not_notice_that_their_address_has_no_more_sign_ins(
    valkey_url: str, issuer: str, running_recorder: Recorder, tmp_path: Path
) -> None:
    with system(tmp_path, valkey_url, issuer, running_recorder.url, sign_ins=1, proxies=1) as made:
        ann, bob = made.browser(), made.browser()
        mine = {"X-Forwarded-For": _address()}
        for browser, back in ((ann, 303), (bob, 429)):
            begun = browser.get("/sign-in/start", headers={"X-Forwarded-For": _address()})
            back_again = local(typed(begun.headers["Location"], "Ann"))
            assert browser.get(back_again, headers=mine).status_code == back, "those that end are counted as well"

        assert _starts(ann, "127.0.0.1", mine["X-Forwarded-For"]).status_code == 302
        assert _starts(bob, "127.0.0.1", mine["X-Forwarded-For"]).status_code == 429
        assert ann.get("/api/v1/usage", headers=mine).status_code == 200
        assert bob.get("/api/v1/usage", headers=mine).status_code == 401


@pytest.mark.parametrize(("proxies", "statuses"), [(0, [302, 429]), (1, [302, 302]), (2, [302, 429])])
def test_only_trusted_proxies_say_who_calls(
    valkey_url: str, issuer: str, tmp_path: Path, proxies: int, statuses: list[int]
) -> None:
    proxy, first = _address(), _address()
    with system(tmp_path, valkey_url, issuer, AWAY, sign_ins=1, proxies=proxies) as made:
        said = [f"{first}, {_address()}" for _ in range(2)]  # the caller before the proxies wrote the first one

        assert [_starts(made.browser(), proxy, line).status_code for line in said] == statuses


def test_sign_ins_are_counted_anew_when_the_window_has_ended(valkey_url: str) -> None:
    address = _address()
    with redis_client(valkey_url) as client:
        limit, before = SignInLimit(client, most=1), _keys(client)
        limit.count("start", address)
        with pytest.raises(TooManySignIns):
            limit.count("start", address)
        (key,) = _keys(client) - before
        assert address.encode() not in key

        client.pexpire(key, 0)  # as a minute later

        limit.count("start", address)


def _keys(client: redis.Redis) -> set[bytes]:
    return set(cast("Any", client).scan_iter("web:sign-ins:start:*"))


def test_without_redis_nobody_can_be_counted() -> None:
    limit = SignInLimit(redis_client(f"redis://127.0.0.1:{free_port()}"), most=1)

    with pytest.raises(SessionsUnavailable):
        limit.count("callback", None)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::"),
        ("unknown", "unknown"),
        (None, ""),
    ],
)
def test_an_ipv6_network_is_one_caller(address: str | None, network: str) -> None:
    assert network_of(address) == network
