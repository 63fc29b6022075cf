"""Sessions: what the browser has of them, what Redis has, when they end, and what is when Redis is away."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from examples.flask_demo.frontend.sessions import SessionStore, SessionsUnavailable, redis_client
from tests.examples.web.frontend.surroundings import System, system, told
from tests.services.processes import free_port

AWAY = "http://127.0.0.1:1"


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def store_at(url: str, clock: Callable[[], float], *, idle: int = 100, life: int = 1000) -> SessionStore:
    client: Any = redis.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    return SessionStore(client, idle=idle, life=life, now=clock)


def test_the_cookie_is_for_tls_and_this_host_and_no_script(web: System) -> None:
    answer = web.browser().sign_in("Ann")

    (cookie,) = [one for one in answer.headers.getlist("Set-Cookie") if one.startswith("__Host-session=")]
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert parts == {"secure", "httponly", "samesite=lax", "path=/"}


def test_redis_does_not_have_the_id_of_a_session(web: System, valkey_url: str) -> None:
    browser = web.browser()
    browser.sign_in("Ann")
    assert browser.session_id is not None

    with redis.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        name = hashlib.sha256(browser.session_id.encode()).hexdigest()
        assert client.exists(f"web:session:{name}")
        assert not client.exists(f"web:session:{browser.session_id}")


def test_who_only_looks_gets_no_session(web: System) -> None:
    answer = web.browser().get("/sign-in")

    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


def test_a_session_lives_on_while_it_is_used_but_not_for_ever(valkey_url: str) -> None:
    clock = Clock()
    store = store_at(valkey_url, clock)
    store.write("one", {"user": "ann"}, new=True)

    clock.now += 999
    assert (store.read("one") or {})["user"] == "ann"
    clock.now += 1
    assert store.read("one") is None
    clock.now -= 500
    assert store.read("one") is None
    store.close()


def test_a_session_without_a_user_is_not_kept_for_long(valkey_url: str) -> None:
    store = store_at(valkey_url, Clock(), idle=5000, life=50_000)
    store.write("six", {}, new=True)
    store.write("seven", {"user": {}}, new=True)
    with redis.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        lives = [int(str(client.ttl(f"web:session:{hashlib.sha256(id_).hexdigest()}"))) for id_ in (b"six", b"seven")]
    store.close()

    assert lives[0] <= 600
    assert lives[1] > 4000


def test_an_unused_session_ends_and_a_read_keeps_it(valkey_url: str) -> None:
    store = store_at(valkey_url, Clock())
    store.write("two", {}, new=True)
    with redis.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        key = f"web:session:{hashlib.sha256(b'two').hexdigest()}"
        client.expire(key, 5)
        store.read("two")
        assert 90 < int(str(client.ttl(key))) <= 100
        client.expire(key, 0)
    assert store.read("two") is None
    store.close()


def test_a_session_at_the_end_of_its_life_is_kept_no_longer_than_that(valkey_url: str) -> None:
    clock = Clock()
    store = store_at(valkey_url, clock)
    values: dict[str, Any] = {}
    store.write("three", values, new=True)
    clock.now += 990
    store.write("three", values, new=False)
    with redis.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        assert int(str(client.ttl(f"web:session:{hashlib.sha256(b'three').hexdigest()}"))) <= 10
    store.close()


def test_a_request_that_was_under_way_does_not_bring_a_session_back(valkey_url: str) -> None:
    store = store_at(valkey_url, Clock())
    store.write("four", {"user": "ann"}, new=True)
    under_way = store.read("four")
    assert under_way is not None

    store.delete("four")
    store.write("four", under_way | {"more": 1}, new=False)

    assert store.read("four") is None
    store.close()


def test_nothing_is_kept_of_a_session_whose_life_has_ended(valkey_url: str) -> None:
    clock = Clock()
    store = store_at(valkey_url, clock)
    clock.now += 1000
    store.write("five", {"_born": clock.now - 1000}, new=True)

    assert store.read("five") is None
    store.close()


def test_without_redis_sessions_say_so() -> None:
    store = SessionStore(redis_client(f"redis://127.0.0.1:{free_port()}"), idle=1, life=1)

    with pytest.raises(SessionsUnavailable):
        store.ping()


def test_without_redis_a_page_says_so_and_what_needs_no_session_works(issuer: str, tmp_path: Path) -> None:
    with system(tmp_path, f"redis://127.0.0.1:{free_port()}", issuer, AWAY) as made:
        browser = made.browser()
        browser.http.set_cookie("__Host-session", "x", domain="localhost", secure=True)
        page, api = browser.get("/conversations"), browser.get("/api/v1/usage")
        begun, keys = browser.get("/sign-in/start"), browser.get("/.well-known/jwks.json")
        nowhere = browser.get("/nowhere")
        posted = browser.ask("POST", "/sign-out", headers={"X-CSRF-Token": "x"})

    assert [answer.status_code for answer in (page, api, begun, posted)] == [503, 503, 503, 503]
    assert page.mimetype == "text/html"
    assert page.headers["Retry-After"]
    assert "Content-Security-Policy" in page.headers
    assert told(api)["error"]["code"] == "unavailable"
    assert keys.status_code == 200
    assert nowhere.status_code == 404
