"""Signing up, logging in, staying logged in, over HTTP."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsInt, IsStr, IsUUID

from examples.todo_chatbot.settings import LimitSettings
from tests.examples.todo.service import PASSWORD, Person, Running, running, settings_in

pytestmark = pytest.mark.anyio

WRONG = {"error": {"code": "unauthorized", "message": "the e-mail address or the password is wrong"}}
OVER = {"error": {"code": "unauthorized", "message": "this refresh token is over: log in again"}}


async def _post(service: Running, path: str, body: Any) -> tuple[int, Any]:
    content = json.dumps(body)  # in ASCII: the client's own way cannot send half a surrogate pair
    headers = {"Content-Type": "application/json"}
    answer = await service.http.post(f"/api/auth/{path}", content=content, headers=headers)
    return answer.status_code, answer.json() if answer.content else None


async def test_who_signs_up_gets_tokens_and_their_id(service: Running) -> None:
    status, login = await _post(service, "sign-up", {"email": "Eve@Example.org", "password": PASSWORD})
    assert status == 201
    assert login == {
        "user_id": IsUUID,
        "access_token": IsStr,
        "token_type": "bearer",
        "expires_in": IsInt(gt=0),
        "refresh_token": IsStr,
        "refresh_expires_at": IsStr,
    }
    status, again = await _post(service, "log-in", {"email": "eve@example.org", "password": PASSWORD})
    assert (status, again["user_id"]) == (200, login["user_id"])


async def test_an_address_signs_up_once(service: Running, ann: Person) -> None:
    status, body = await _post(service, "sign-up", {"email": ann.email.upper(), "password": PASSWORD})
    assert (status, body["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    "body",
    [
        {"email": "eve", "password": PASSWORD},
        {"email": "eve@example", "password": PASSWORD},
        {"email": "short@example.org", "password": "short"},
        {"email": "long@example.org", "password": "x" * 201},
        {"email": f"{'x' * 250}@example.org", "password": PASSWORD},
        {"email": "nul\0@example.org", "password": PASSWORD},
        {"email": "half@example.org", "password": "\ud800" * 12},
        {"email": 7, "password": PASSWORD},
        {"email": "eve@example.org"},
        [],
        None,
    ],
)
async def test_what_cannot_be_an_account_is_invalid(service: Running, body: Any) -> None:
    status, told = await _post(service, "sign-up", body)
    assert (status, told["error"]["code"]) == (422, "invalid")
    assert PASSWORD not in str(told)


async def test_a_wrong_password_is_told_as_an_unknown_address_is(service: Running, ann: Person) -> None:
    assert await _post(service, "log-in", {"email": ann.email, "password": "wrong wrong"}) == (401, WRONG)
    assert await _post(service, "log-in", {"email": "nobody@example.org", "password": PASSWORD}) == (401, WRONG)


async def test_somebody_who_guesses_passwords_has_to_wait(tmp_path: Path) -> None:
    async with running(settings_in(tmp_path, limits=LimitSettings(log_ins_per_minute=1))) as service:
        tries = {"email": "ann@example.org", "password": "wrong wrong"}
        answers = [await service.http.post("/api/auth/log-in", json=tries) for _ in range(3)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused  # a minute may end between two, and not between three
        assert 1 <= int(refused[0].headers["Retry-After"]) <= 60
        other = {"email": "bob@example.org", "password": "wrong wrong"}
        assert await _post(service, "log-in", other) == (401, WRONG)


async def test_a_refresh_token_is_exchanged_for_new_tokens_that_work(service: Running, ann: Person) -> None:
    status, login = await _post(service, "refresh", {"refresh_token": ann.refresh_token})
    assert status == 200
    assert login["refresh_token"] != ann.refresh_token
    assert await replace(ann, token=login["access_token"]).get("/tasks") == []


async def test_a_refresh_token_that_comes_twice_ends_its_family(service: Running, ann: Person) -> None:
    _, login = await _post(service, "refresh", {"refresh_token": ann.refresh_token})
    assert await _post(service, "refresh", {"refresh_token": ann.refresh_token}) == (401, OVER)
    assert await _post(service, "refresh", {"refresh_token": login["refresh_token"]}) == (401, OVER)


async def test_who_logs_out_does_not_stay_logged_in(service: Running, ann: Person) -> None:
    assert await _post(service, "log-out", {"refresh_token": ann.refresh_token}) == (204, None)
    assert await _post(service, "refresh", {"refresh_token": ann.refresh_token}) == (401, OVER)
    assert await _post(service, "log-out", {"refresh_token": "unknown"}) == (204, None)
