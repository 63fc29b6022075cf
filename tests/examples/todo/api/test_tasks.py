"""Tasks over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from dirty_equals import IsStr

from tests.examples.todo.service import Person, Running

pytestmark = pytest.mark.anyio


def _task(task_id: int, title: str, description: str = "", *, done: bool = False) -> dict[str, Any]:
    moments = {"created_at": IsStr, "updated_at": IsStr}
    return {"id": task_id, "title": title, "description": description, "done": done, **moments}


async def _added(person: Person, title: str) -> int:
    answer = await person.ask("POST", "/tasks", {"title": title})
    assert answer.status_code == 201
    return answer.json()["id"]


def _code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_task_is_added_changed_completed_and_deleted(ann: Person) -> None:
    answer = await ann.ask("POST", "/tasks", {"title": " buy  milk ", "description": "two bottles"})
    number = answer.json()["id"]
    assert (answer.status_code, answer.json()) == (201, _task(number, "buy milk", "two bottles"))
    path = f"/tasks/{number}"
    assert await ann.get(path) == answer.json()
    answer = await ann.ask("PATCH", path, {"title": "buy oat milk"})
    assert answer.json() == _task(number, "buy oat milk", "two bottles")
    answer = await ann.ask("PATCH", f"{path}/complete")
    assert answer.json() == _task(number, "buy oat milk", "two bottles", done=True)
    answer = await ann.ask("PATCH", f"{path}/complete", {"done": False})
    assert answer.json()["done"] is False
    answer = await ann.ask("PUT", path, {"title": "cook", "done": True})
    assert answer.json() == _task(number, "cook", done=True)
    answer = await ann.ask("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert _code(await ann.ask("GET", path)) == (404, "not_found")


async def test_tasks_are_listed_by_their_state(ann: Person) -> None:
    first, second = await _added(ann, "milk"), await _added(ann, "bread")
    await ann.ask("PATCH", f"/tasks/{first}/complete")
    assert await ann.get("/tasks") == [_task(first, "milk", done=True), _task(second, "bread")]
    assert await ann.get("/tasks?status=open") == [_task(second, "bread")]
    assert await ann.get("/tasks?status=done") == [_task(first, "milk", done=True)]
    assert _code(await ann.ask("GET", "/tasks?status=some")) == (422, "invalid")


async def test_a_task_is_added_once_under_a_key(ann: Person) -> None:
    answers = [await ann.ask("POST", "/tasks", {"title": "milk"}, key="k1") for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert await ann.titles() == ["milk"]
    assert _code(await ann.ask("POST", "/tasks", {"title": "bread"}, key="k1")) == (409, "conflict")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tasks", {"title": "  "}),
        ("POST", "/tasks", {"title": "x" * 201}),
        ("POST", "/tasks", {"title": "milk", "description": "x" * 2001}),
        ("POST", "/tasks", {"title": "a\0b"}),
        ("POST", "/tasks", {"title": 7}),
        ("POST", "/tasks", {"titel": "milk"}),
        ("POST", "/tasks", "milk"),
        ("PATCH", "/tasks/1", {}),
        ("PATCH", "/tasks/1", {"user_id": "somebody"}),
        ("PUT", "/tasks/1", {"description": "no title"}),
        ("PATCH", "/tasks/1/complete", {"done": "perhaps"}),
        ("GET", "/tasks/one", None),
        ("GET", "/tasks/1e3", None),
    ],
)
async def test_what_is_no_task_is_invalid(bob: Person, method: str, path: str, body: Any) -> None:
    assert _code(await bob.ask(method, path, body)) == (422, "invalid")


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 10**30])
async def test_numbers_that_no_task_has_are_not_found(bob: Person, number: int) -> None:
    assert _code(await bob.ask("GET", f"/tasks/{number}")) == (404, "not_found")
    assert _code(await bob.ask("DELETE", f"/tasks/{number}")) == (404, "not_found")


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 50_000, b'{"title": "\xe9"}'])
async def test_a_body_that_is_no_json_is_told_so(bob: Person, body: bytes) -> None:
    headers = bob.headers | {"Content-Type": "application/json"}
    answer = await bob.http.post(bob.url("/tasks"), content=body, headers=headers)
    assert _code(answer) in ((400, "bad_request"), (422, "invalid"))


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "in pieces"])
async def test_a_body_that_is_too_large_is_refused(bob: Person, *, declared: bool) -> None:
    body = b'{"title": "' + b"x" * 100_000 + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:50_000]
        yield body[50_000:]

    headers = bob.headers | {"Content-Type": "application/json"}
    answer = await bob.http.post(bob.url("/tasks"), content=body if declared else pieces(), headers=headers)
    assert _code(answer) == (413, "too_large")


async def test_what_is_nowhere_is_told_in_the_same_form(service: Running, bob: Person) -> None:
    assert _code(await service.http.get("/nowhere")) == (404, "not_found")
    answer = await service.http.delete(bob.url("/tasks"), headers=bob.headers)
    assert _code(answer) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST"
