"""Access tokens that are none, or not any more, or somebody else's."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import uuid4

import jwt
import pytest

from examples.todo_chatbot.auth.tokens import AUDIENCE, ISSUER, LIFE, AccessTokens
from examples.todo_chatbot.settings import signing_key
from tests.examples.todo.service import Person, Running

pytestmark = pytest.mark.anyio

Spoil: TypeAlias = Callable[[dict[str, Any], bytes, str], str]
"""Makes a token of the claims, the key and the token of somebody who is logged in."""

NOT_VALID = {
    "error": {
        "code": "unauthorized",
        "message": "the access token is not valid, or not any more: log in, or refresh it",
    }
}


def _signed(**changes: Any) -> Spoil:
    def spoil(claims: dict[str, Any], key: bytes, _: str) -> str:
        changed = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(changed, key, algorithm="HS256")

    return spoil


def _of_no_algorithm(claims: dict[str, Any], _: bytes, __: str) -> str:
    return jwt.encode(claims, "", algorithm="none")


def _of_another_algorithm(claims: dict[str, Any], key: bytes, _: str) -> str:
    return jwt.encode(claims, key * 2, algorithm="HS512")


def _of_another_key(claims: dict[str, Any], _: bytes, __: str) -> str:
    return jwt.encode(claims, b"x" * 64, algorithm="HS256")


def _tampered(_: dict[str, Any], __: bytes, token: str) -> str:
    head, _claims, signature = token.split(".")
    claims = urlsafe_b64encode(f'{{"sub":"{uuid4()}","iss":"{ISSUER}","aud":"{AUDIENCE}"}}'.encode()).decode()
    return f"{head}.{claims.rstrip('=')}.{signature}"


def _unsigned(_: dict[str, Any], __: bytes, token: str) -> str:
    return token.rpartition(".")[0] + "."


_NOW = datetime.now(UTC)
SPOILT: dict[str, Spoil] = {
    "expired": _signed(exp=_NOW - timedelta(minutes=1)),
    "from the future": _signed(iat=_NOW + timedelta(hours=1)),
    "without an end": _signed(exp=None),
    "without a beginning": _signed(iat=None),
    "of another issuer": _signed(iss="somebody"),
    "without an issuer": _signed(iss=None),
    "for another audience": _signed(aud="somebody"),
    "without an audience": _signed(aud=None),
    "of nobody": _signed(sub=None),
    "of what is no user": _signed(sub="ann"),
    "of no algorithm": _of_no_algorithm,
    "of another algorithm": _of_another_algorithm,
    "of another key": _of_another_key,
    "tampered": _tampered,
    "unsigned": _unsigned,
    "no token": lambda _, __, ___: "no token",
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
async def test_a_token_that_is_not_good_is_not_believed(service: Running, bob: Person, spoil: Spoil) -> None:
    key = signing_key(service.parts.settings)
    claims = jwt.decode(bob.token, key, algorithms=["HS256"], audience=AUDIENCE)
    token = spoil(claims, key, bob.token)
    answer = await service.http.get(bob.url("/tasks"), headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()) == (401, NOT_VALID)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}])
async def test_without_a_token_nobody_is_let_in(service: Running, bob: Person, headers: dict[str, str]) -> None:
    answer = await service.http.get(bob.url("/tasks"), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


async def test_a_token_ends_a_quarter_of_an_hour_after_it_was_made(service: Running, bob: Person) -> None:
    tokens = AccessTokens(signing_key(service.parts.settings))
    user = tokens.user_of(bob.token)
    now = datetime.now(UTC)
    for age, status in ((LIFE - timedelta(minutes=1), 200), (LIFE + timedelta(minutes=1), 401)):
        headers = {"Authorization": f"Bearer {tokens.issue(user, at=now - age)}"}
        assert (await service.http.get(bob.url("/tasks"), headers=headers)).status_code == status


async def test_the_token_of_a_user_who_is_gone_is_over(ann: Person) -> None:
    assert (await ann.ask("DELETE", "")).status_code == 204
    answer = await ann.ask("GET", "/tasks")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
