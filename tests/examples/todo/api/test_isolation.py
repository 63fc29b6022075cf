"""Nobody reaches what is another's, and nobody learns that it is there."""

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples.todo.service import Person, Running, running, settings_in

pytestmark = pytest.mark.anyio

BODIES: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("POST", "/tasks"): {"title": "mine"},
    ("PUT", "/tasks/{task_id}"): {"title": "mine"},
    ("PATCH", "/tasks/{task_id}"): {"title": "mine"},
    ("PATCH", "/tasks/{task_id}/complete"): {},
    ("POST", "/chat"): {"conversation_id": None, "message": "what is on my list?"},
    ("POST", "/chat/stream"): {"conversation_id": None, "message": "what is on my list?"},
}
"""What is sent where something has to be sent."""
ENDPOINTS = 13
EXAMPLES = int(os.environ.get("TODO_ISOLATION_EXAMPLES", "25"))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to ask for something of a user."""

    method: str
    path: str

    async def asked(self, person: Person, owner: str, number: int) -> tuple[int, str]:
        """Ask as a person for what an owner has under a number; return the answer without that number."""
        path = f"/api/{owner}{self.path}".replace("{task_id}", str(number)).replace("{conversation_id}", str(number))
        body = BODIES.get((self.method, self.path))
        if body is not None and "conversation_id" in body:
            body = {**body, "conversation_id": number}
        answer = await person.http.request(self.method, path, json=body, headers=person.headers)
        return answer.status_code, answer.text.replace(str(number), "#")

    @property
    def thing(self) -> str:
        """What it asks for by a number, if it does."""
        if "{task_id}" in self.path:
            return "tasks"
        return "conversations" if "{" in self.path or "/chat" in self.path else ""


@dataclass(frozen=True, slots=True)
class Someone:
    """Somebody with things of their own; their texts bear a mark that nobody else may ever read."""

    person: Person
    mark: str
    numbers: Mapping[str, Sequence[int]]

    async def everything(self) -> str:
        """Return all that they can see of their own."""
        conversations = await self.person.get("/conversations")
        said = [await self.person.said(one["id"]) for one in conversations]
        return json.dumps([await self.person.get("/tasks"), conversations, said])


@dataclass(frozen=True, slots=True)
class World:
    """A service with people in it, and all ways to ask for what is a user's."""

    service: Running
    people: Sequence[Someone]
    endpoints: Sequence[Endpoint]


@pytest.fixture(scope="module")
async def world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    del anyio_backend
    async with running(settings_in(tmp_path_factory.mktemp("world"))) as service:
        people = [await _someone(service, f"secret{name}") for name in "abc"]
        yield World(service, people, _endpoints(service))


async def _someone(service: Running, mark: str) -> Someone:
    person = await service.person()
    for number in range(3):
        await person.chat(f"add {mark} {number} to my list")
    numbers = {thing: [one["id"] for one in await person.get(f"/{thing}")] for thing in ("tasks", "conversations")}
    return Someone(person, mark, numbers)


def _endpoints(service: Running) -> Sequence[Endpoint]:
    """Return all endpoints of a user that the service has: one that is new is here by itself."""
    prefix = "/api/{user_id}"
    return [
        Endpoint(method.upper(), path.removeprefix(prefix))
        for path, methods in service.app.openapi()["paths"].items()
        if path.startswith(prefix)
        for method in methods
    ]


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asking=st.permutations(range(3)),
    which=st.tuples(st.integers(0, ENDPOINTS - 1), st.integers(0, 2)),
    unknown=st.integers(-(2**70), 0) | st.integers(1_000, 2**70),
    stranger=st.uuids(),
)
async def test_what_is_another_users_is_as_what_does_not_exist(
    world: World, asking: Sequence[int], which: tuple[int, int], unknown: int, stranger: UUID
) -> None:
    me, other = (world.people[one] for one in asking[:2])
    endpoint = world.endpoints[which[0]]
    number = other.numbers[endpoint.thing or "tasks"][which[1]]
    before = await other.everything()

    in_their_path = await endpoint.asked(me.person, other.person.id, number)
    assert in_their_path[0] == 403
    assert in_their_path == await endpoint.asked(me.person, str(stranger), number)
    assert in_their_path == await endpoint.asked(me.person, other.person.id, unknown)
    if endpoint.thing:
        theirs = await endpoint.asked(me.person, me.person.id, number)
        assert theirs[0] == 404
        assert theirs == await endpoint.asked(me.person, me.person.id, unknown)
        assert other.mark not in theirs[1]
    assert await other.everything() == before


async def test_every_endpoint_is_there_to_be_asked(world: World) -> None:
    assert {(one.method, one.path) for one in world.endpoints} >= {*BODIES, ("DELETE", ""), ("GET", "/tasks")}
    assert len(world.endpoints) == ENDPOINTS


async def test_what_people_see_is_their_own(world: World) -> None:
    for someone in world.people:
        seen = await someone.everything()
        assert [other.mark for other in world.people if other.mark in seen] == [someone.mark]


async def test_the_assistant_is_no_way_around(world: World) -> None:
    me, other = world.people[0], world.people[1]
    before = await other.everything()
    for number in other.numbers["tasks"]:
        for words in ("delete task {}", "complete task {}", "rename task {} to mine"):
            answers = {one: (await me.person.chat(words.format(one)))["response"] for one in (number, 10**8)}
            assert answers[number].replace(str(number), "#") == answers[10**8].replace(str(10**8), "#")
    assert other.mark not in (await me.person.chat("what is on my list?"))["response"]
    assert await other.everything() == before


async def test_a_user_in_the_path_is_written_in_one_way(world: World) -> None:
    me = world.people[0].person
    for written in (
        me.id.upper(),
        UUID(me.id).hex,
        f"{{{me.id}}}",
        f"{me.id}%00",
        f"urn:uuid:{me.id}",
        str(uuid4()),
        "me",
    ):
        answer = await me.http.get(f"/api/{written}/tasks", headers=me.headers)
        assert answer.status_code == (200 if written == me.id else 403), written


def _files(folder: Path) -> Mapping[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


async def test_erasing_one_user_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    async with running(settings_in(tmp_path)) as service:
        ann, bob = await _someone(service, "secreta"), await _someone(service, "secretb")
        before = await bob.everything()
        assert (await ann.person.ask("DELETE", "")).status_code == 204
        assert await bob.everything() == before
        await service.parts.assistant.settled()
    files = _files(tmp_path)
    assert "todo.db" in files
    for name, content in files.items():
        assert ann.person.id.encode() not in content, name
        assert UUID(ann.person.id).hex.encode() not in content, name
        assert b"secreta" not in content, name
