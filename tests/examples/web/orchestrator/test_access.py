"""Whose requests are taken."""

import base64
import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest

from examples.flask_demo.service_tokens import KeyRing
from tests.examples.web.orchestrator.world import ISSUER, Person, World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/conversations"


async def status(world: World, token: str | None, *, method: str = "GET", path: str = PATH) -> tuple[int, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = await world.http.request(method, path, headers=headers)
    return answer.status_code, "" if answer.is_success else answer.json()["error"]["code"]


def token(person: Person, **changed: object) -> str:
    given = {"issuer": ISSUER, "audience": "orchestrator"} | changed
    return person.keys.issue(person.id, **given)  # pyright: ignore[reportArgumentType]  (what each test says)


async def test_a_valid_token_is_let_in(world: World, ann: Person) -> None:
    assert await status(world, token(ann)) == (200, "")


@pytest.mark.parametrize(
    "changed",
    [
        {"audience": "tools"},
        {"issuer": "http://elsewhere.test"},
        {"at": -120},
        {"at": 120},
    ],
)
async def test_a_token_for_another_place_or_time_is_refused(world: World, ann: Person, changed: dict[str, Any]) -> None:
    if "at" in changed:  # from when the test runs: the tests are collected minutes before
        changed = {"at": time.time() + changed["at"]}
    assert await status(world, token(ann, **changed)) == (401, "unauthorized")


async def test_a_token_of_an_unknown_key_is_refused(world: World, ann: Person) -> None:
    assert await status(world, token(replace(ann, keys=KeyRing.made()))) == (401, "unauthorized")


async def test_a_token_that_nobody_has_signed_is_refused(world: World, ann: Person) -> None:
    claims = jwt.decode(token(ann), options={"verify_signature": False})
    kid = ann.keys.keys[0].id
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": kid})
    by_public_key = jwt.encode(claims, ann.keys.published()["keys"][0]["x"], algorithm="HS256", headers={"kid": kid})
    head, _, signature = token(ann).split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "u_0"}).encode()).rstrip(b"=").decode()
    for forged in (unsigned, by_public_key, f"{head}.{other}.{signature}", "nothing"):
        assert await status(world, forged) == (401, "unauthorized")
    assert await status(world, None) == (401, "unauthorized")


async def test_a_token_that_has_changed_something_counts_for_nothing_else(world: World, ann: Person) -> None:
    headers = ann.headers
    first = await world.http.post(PATH, headers=headers, json={})
    assert first.status_code == 201
    path = f"{PATH}/{first.json()['id']}"
    replayed = await world.http.request("DELETE", path, headers=headers)
    assert (replayed.status_code, replayed.json()["error"]["code"]) == (401, "unauthorized")
    assert (await world.http.post(PATH, headers=headers, json={})).status_code == 201  # the very same request


async def test_the_id_of_a_request_is_taken_over_or_made(world: World, ann: Person) -> None:
    given = "0123456789abcdef" * 2
    answer = await world.http.get(PATH, headers=ann.headers | {"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given
    answer = await world.http.get(PATH, headers={"X-Request-ID": "<script>"})
    assert len(answer.headers["X-Request-ID"]) == 32


async def test_errors_are_json_everywhere(ann: Person) -> None:
    for method, path, status_code, code in (
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/conversations", 405, "invalid"),
        ("GET", "/conversations?limit=0", 422, "invalid"),
        ("GET", "/conversations?before=yesterday", 422, "invalid"),
        ("GET", "/conversations/..%2f..%2fetc", 404, "not_found"),
        ("GET", "/conversations/c_short", 404, "not_found"),
    ):
        answer = await ann.ask(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status_code, code), path


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(world: World, ann: Person) -> None:
    answer = await ann.ask("POST", "/conversations", content=b"x" * 70_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")

    async def pieces() -> object:
        for _ in range(20):
            yield b"x" * 10_000

    answer = await world.http.post(PATH, headers=ann.headers, content=pieces())  # pyright: ignore[reportArgumentType]
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
