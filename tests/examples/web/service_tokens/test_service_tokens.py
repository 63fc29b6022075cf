"""Tokens between services: who is let in, who is not, and how keys change."""

import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from examples.flask_demo.service_tokens import (
    KEEP,
    MOST_BYTES,
    PAUSE,
    PUBLISHED,
    Claims,
    KeyRing,
    KeysUnavailable,
    KeysUnusable,
    SigningKey,
    TokenRefused,
    Verifier,
    bearer,
)

pytestmark = pytest.mark.anyio
ISSUER, AUDIENCE = "https://front.example", "orchestrator"


class Publisher:
    """A real server that publishes keys: `body` is what it answers, `asked` how often it was asked."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.asked = 0
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.asked += 1
                self.send_response(publisher.status if self.path == PUBLISHED else 404)
                self.send_header("Content-Length", str(len(publisher.body)))
                self.end_headers()
                self.wfile.write(publisher.body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name in the base class)
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{PUBLISHED}"

    def publish(self, ring: KeyRing) -> None:
        self.body = json.dumps(ring.published()).encode()


class Clock:
    """A time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher()
    thread = threading.Thread(target=publisher.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield publisher
    publisher.server.shutdown()
    publisher.server.server_close()
    thread.join()


def _verifier(keys: KeyRing | str, *, clock: Callable[[], float] = time.monotonic) -> Verifier:
    return Verifier(keys, issuer=ISSUER, audience=AUDIENCE, clock=clock)


def _issued(ring: KeyRing, user: str = "u_1", *, at: float | None = None) -> str:
    return ring.issue(user, issuer=ISSUER, audience=AUDIENCE, at=at)


async def _verified(verifier: Verifier, token: str) -> Claims:
    with anyio.fail_after(10):
        return await verifier.verify(token)


async def test_a_token_says_whose_request_it_is_and_is_one_of_its_own() -> None:
    ring = KeyRing.made()
    verifier = _verifier(ring)
    one, other = (_issued(ring) for _ in range(2))
    claims = await _verified(verifier, one)
    assert claims.user == "u_1"
    assert 50 < claims.expires_at - time.time() <= 61
    assert claims == verifier.verify_blocking(one)
    assert claims.id != verifier.verify_blocking(other).id


def _forged(ring: KeyRing, *, algorithm: str = "ES256", **changes: object) -> str:
    now = time.time()
    claims: dict[str, object] = {"iss": ISSUER, "sub": "u_1", "aud": AUDIENCE, "jti": "1"}
    claims |= {"iat": now, "exp": now + 60} | changes
    kept = {name: value for name, value in claims.items() if value is not None}
    keys: dict[str, Any] = {"ES256": ring.keys[0].private, "HS256": "a public key, taken for a secret", "none": None}
    return jwt.encode(kept, keys[algorithm], algorithm=algorithm, headers={"kid": ring.keys[0].id})


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "tools"},
        {"aud": ["orchestrator", "tools"]},
        {"iss": "https://another.example"},
        {"exp": time.time() - 30},
        {"iat": time.time() + 3600},
        {"sub": ""},
        {"sub": None},
        {"sub": 7},
        {"jti": None},
        {"exp": None},
        {"algorithm": "HS256"},
        {"algorithm": "none"},
    ],
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_token_for_somebody_else_or_of_another_time_or_algorithm_is_refused(changes: dict[str, Any]) -> None:
    ring = KeyRing.made()
    with pytest.raises(TokenRefused):
        await _verified(_verifier(ring), _forged(ring, **changes))


async def test_a_token_counts_until_its_end_and_a_little_longer_for_clocks_that_differ() -> None:
    ring = KeyRing.made()
    verifier = _verifier(ring)
    assert (await _verified(verifier, _issued(ring, at=time.time() - 65))).user == "u_1"
    with pytest.raises(TokenRefused):
        await _verified(verifier, _issued(ring, at=time.time() - 75))


async def test_a_token_of_another_ring_is_refused_also_when_it_claims_a_known_key() -> None:
    ring, stranger = KeyRing.made(), KeyRing.made()
    claimed = KeyRing([SigningKey(id=ring.keys[0].id, private=stranger.keys[0].private)])
    for forger in (stranger, claimed):
        with pytest.raises(TokenRefused):
            await _verified(_verifier(ring), _issued(forger))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", jwt.encode({}, "k" * 32)])
async def test_what_is_no_token_of_ours_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        await _verified(_verifier(KeyRing.made()), token)


def test_the_header_bears_a_token_or_is_refused() -> None:
    assert bearer("bearer abc") == "abc"
    for header in (None, "", "Bearer", "Bearer ", "Basic abc"):
        with pytest.raises(TokenRefused):
            bearer(header)


async def test_published_keys_are_fetched_once_for_many_requests(publisher: Publisher) -> None:
    ring = KeyRing.made()
    publisher.publish(ring)
    verifier = _verifier(publisher.url)
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(_verified, verifier, _issued(ring))
    assert verifier.verify_blocking(_issued(ring, "u_2")).user == "u_2"
    assert publisher.asked == 1


def test_threads_that_ask_at_the_same_time_make_one_fetch(publisher: Publisher) -> None:
    ring = KeyRing.made()
    publisher.publish(ring)
    verifier, token = _verifier(publisher.url), _issued(ring)
    together, users = threading.Barrier(8), list[str]()

    def verify() -> None:
        together.wait(10)
        users.append(verifier.verify_blocking(token).user)

    threads = [threading.Thread(target=verify) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert users == ["u_1"] * 8
    assert publisher.asked == 1


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_new_key_is_asked_for_and_one_taken_away_counts_no_longer(
    publisher: Publisher, *, blocking: bool
) -> None:
    clock, old, new = Clock(), KeyRing.made(), KeyRing.made()
    verifier = _verifier(publisher.url, clock=clock)

    async def user_of(ring: KeyRing) -> str:
        token = _issued(ring)
        return (verifier.verify_blocking(token) if blocking else await _verified(verifier, token)).user

    publisher.publish(KeyRing([*old.keys, *new.keys]))
    assert await user_of(old) == "u_1"
    assert await user_of(new) == "u_1"
    publisher.publish(new)
    assert await user_of(old) == "u_1"
    clock.now += KEEP
    with pytest.raises(TokenRefused):
        await user_of(old)
    assert publisher.asked == 2


async def test_strangers_who_name_unknown_keys_make_one_fetch_in_ten_seconds(publisher: Publisher) -> None:
    clock, ring = Clock(), KeyRing.made()
    publisher.publish(ring)
    verifier = _verifier(publisher.url, clock=clock)
    for _ in range(20):
        with pytest.raises(TokenRefused):
            await _verified(verifier, _issued(KeyRing.made()))
    assert publisher.asked == 1
    clock.now += PAUSE
    with pytest.raises(TokenRefused):
        await _verified(verifier, _issued(KeyRing.made()))
    assert publisher.asked == 2


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": 1}', b"x" * (MOST_BYTES + 1), b"broken"])
async def test_without_keys_nobody_is_let_in_and_the_next_fetch_comes_soon(
    publisher: Publisher, body: bytes, *, blocking: bool
) -> None:
    clock, ring = Clock(), KeyRing.made()
    verifier = _verifier(publisher.url, clock=clock)
    token = _issued(ring)
    publisher.body, publisher.status = body, 500 if body == b"broken" else 200
    with pytest.raises(KeysUnavailable):
        verifier.verify_blocking(token) if blocking else await _verified(verifier, token)
    publisher.publish(ring)
    publisher.status = 200
    clock.now += 1
    assert (await _verified(verifier, token)).user == "u_1"


@pytest.mark.parametrize("blocking", [True, False])
async def test_known_keys_go_on_to_count_while_they_cannot_be_fetched(publisher: Publisher, *, blocking: bool) -> None:
    clock, ring = Clock(), KeyRing.made()
    publisher.publish(ring)
    verifier = _verifier(publisher.url, clock=clock)
    token = _issued(ring)
    await _verified(verifier, token)
    publisher.server.server_close()  # connections are refused from here on
    clock.now += 2 * KEEP
    assert (verifier.verify_blocking(token) if blocking else await _verified(verifier, token)).user == "u_1"


async def test_keys_of_other_kinds_in_a_list_are_passed_over(publisher: Publisher) -> None:
    ring = KeyRing.made()
    good = ring.published()["keys"]
    odd: list[object] = [1, {}, {"kty": "RSA", "kid": "r", "n": "AQ", "e": "AQAB"}, {**good[0], "kid": 1}]
    odd += [{**good[0], "kid": "x", "x": "AA"}, {**good[0], "kid": "y", "y": None}, {**good[0], "crv": "P-384"}]
    publisher.body = json.dumps({"keys": [*odd, *good]}).encode()
    verifier = _verifier(publisher.url)
    assert (await _verified(verifier, _issued(ring))).user == "u_1"


def test_no_private_part_is_published() -> None:
    (key,) = KeyRing.made().published()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_a_missing_file_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    place = tmp_path / "keys" / "signing.pem"
    rings: list[KeyRing] = []
    threads = [threading.Thread(target=lambda: rings.append(KeyRing.from_file(place))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({ring.keys[0].id for ring in rings}) == 1
    assert len(rings) == 8
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert list(place.parent.iterdir()) == [place]


def test_the_first_key_of_a_file_signs_and_all_are_published(tmp_path: Path) -> None:
    newest, before = SigningKey.made(), SigningKey.made()
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    place = tmp_path / "signing.pem"
    place.write_bytes(parameters + newest.pem() + before.pem())
    ring = KeyRing.from_file(place)
    assert jwt.get_unverified_header(_issued(ring))["kid"] == newest.id
    assert [key["kid"] for key in ring.published()["keys"]] == [newest.id, before.id]
    assert repr(newest.private) not in repr(newest)


def _pem(key: Any, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize("case", ["empty", "rubbish", "rsa", "p384", "locked", "folder"])
def test_a_file_without_usable_keys_is_refused(tmp_path: Path, case: str) -> None:
    plain, locked = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"x")
    place = tmp_path / "signing.pem"
    match case:
        case "empty":
            place.write_bytes(b"")
        case "rubbish":
            place.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        case "rsa":
            place.write_bytes(_pem(rsa.generate_private_key(65537, 2048), plain))
        case "p384":
            place.write_bytes(_pem(ec.generate_private_key(ec.SECP384R1()), plain))
        case "locked":
            place.write_bytes(_pem(ec.generate_private_key(ec.SECP256R1()), locked))
        case _:
            place.mkdir()
    with pytest.raises(KeysUnusable):
        KeyRing.from_file(place)
