"""An access token says who somebody is, for a short time, and only when all of it is right."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest

from examples.todo_chatbot.auth.tokens import ALGORITHM, AUDIENCE, ISSUER, LEAST_SECRET, LIFE, AccessTokens
from examples.todo_chatbot.services.errors import Unauthorized

SECRET = b"s" * LEAST_SECRET
USER = uuid4()


def now() -> datetime:
    return datetime.now(UTC)


def stamp(moment: datetime) -> int:
    return int(moment.timestamp())


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a good token, changed; those that are None are left out."""
    good = {"sub": str(USER), "iss": ISSUER, "aud": AUDIENCE, "iat": stamp(now()), "exp": stamp(now() + LIFE)}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def signed(said: dict[str, Any], *, secret: bytes = SECRET, algorithm: str = ALGORITHM, **headers: Any) -> str:
    return jwt.PyJWS().encode(json.dumps(said).encode(), secret, algorithm=algorithm, headers={"typ": "JWT", **headers})


def refused(token: str) -> bool:
    with pytest.raises(Unauthorized):
        AccessTokens(SECRET).user_of(token)
    return True


def test_a_token_is_its_users() -> None:
    tokens = AccessTokens(SECRET)
    first, second = tokens.issue(USER), tokens.issue(USER)
    assert first != second
    assert tokens.user_of(first) == tokens.user_of(second) == USER
    assert AccessTokens(SECRET).user_of(signed(claims())) == USER


def test_a_token_says_from_when_until_when() -> None:
    at = now().replace(microsecond=0) - timedelta(minutes=1)
    said = jwt.decode(AccessTokens(SECRET).issue(USER, at=at), options={"verify_signature": False})
    assert (said["iat"], said["exp"]) == (at.timestamp(), (at + timedelta(minutes=15)).timestamp())


def test_a_token_ends_with_its_time_and_does_not_count_before_it() -> None:
    tokens = AccessTokens(SECRET)
    assert refused(tokens.issue(USER, at=now() - LIFE - timedelta(minutes=1)))
    assert refused(tokens.issue(USER, at=now() + timedelta(minutes=1)))
    assert refused(signed(claims(nbf=stamp(now() + timedelta(minutes=1)))))


def test_clocks_may_differ_by_seconds() -> None:
    tokens = AccessTokens(SECRET)
    assert tokens.user_of(tokens.issue(USER, at=now() + timedelta(seconds=3))) == USER


@pytest.mark.parametrize("missing", ["sub", "iss", "aud", "iat", "exp"])
def test_a_token_without_a_claim_is_refused(missing: str) -> None:
    assert refused(signed(claims(**{missing: None})))


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "somebody-else"},
        {"aud": "another-api"},
        {"sub": "ada"},
        {"sub": 7},
        {"iss": [ISSUER]},
        {"exp": "soon"},
        {"iat": "long ago"},
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(wrong: dict[str, Any]) -> None:
    assert refused(signed(claims(**wrong)))


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")  # the longer hashes want longer keys
@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_token_signed_in_another_way_is_refused_even_with_the_key(algorithm: str) -> None:
    assert refused(signed(claims(), algorithm=algorithm))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_a_token_that_needs_no_signature_is_refused(algorithm: str) -> None:
    header = part({"alg": algorithm, "typ": "JWT"})
    body = part(claims())
    good = signed(claims())
    for signature in ("", good.rpartition(".")[2]):
        assert refused(f"{header}.{body}.{signature}")


def test_a_token_of_another_key_is_refused() -> None:
    assert refused(AccessTokens(b"t" * LEAST_SECRET).issue(USER))
    assert refused(signed(claims(), secret=b"t" * LEAST_SECRET, kid="../../dev/null", jku="https://evil.example/keys"))


def test_a_token_that_was_changed_anywhere_is_refused() -> None:
    header, body, signature = AccessTokens(SECRET).issue(USER).split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert refused(f"{header}.{part({**said, 'sub': str(uuid4())})}.{signature}")
    assert refused(f"{header}.{part({**said, 'exp': said['exp'] + 3600})}.{signature}")
    assert refused(f"{header}.{body}.{signature[:-4]}AAAA")
    assert refused(f"{header}.{body}.")
    assert refused(f"{header}.{body}")


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "\ud800", "\0", "é.é.é", "x" * 100_000])
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refused(text)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="31 bytes"):
        AccessTokens(SECRET[1:])


def part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
