"""Notes: what users write stays theirs, is written once, and nothing that others add at the same time is lost."""

import json
import sqlite3
from base64 import b64decode
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import httpx2
import pytest
from sqlalchemy.exc import DBAPIError
from starlette.testclient import TestClient

from assistant_kit import HTTPTools, MCPServer, ToolError
from assistant_kit.artifact_stores import make_artifact_store
from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.messages import text_of
from assistant_kit.protocols.artifact_store import ArtifactStore
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.stores.encrypted import MasterKeys
from assistant_kit.testing.no_leak import assert_no_leak
from examples.flask_demo.service_tokens import KeyRing, Verifier
from examples.flask_demo.tables import database_at, engine_at
from examples.flask_demo.tool_servers import notes as notes_module
from examples.flask_demo.tool_servers.__main__ import main
from examples.flask_demo.tool_servers.notes import LARGEST, Notes, notes_tools
from examples.flask_demo.tool_servers.server import AUDIENCE, make_admin, make_server, make_service
from examples.flask_demo.tool_servers.settings import Settings
from tests.indexes.postgres_places import database
from tests.integrations.serving.hosting import called, hosted

pytestmark = pytest.mark.anyio
ISSUER = "https://front.example"
KEYS = KeyRing.made()
MASTER_KEYS = MasterKeys({"k": bytes(range(32))})
PATIENCE = 30.0


class Desk:
    """The tools of notes for any user, on one place."""

    def __init__(self, folder: Path, database: str = "") -> None:
        self.artifacts: ArtifactStore = EncryptedArtifactStore(
            make_artifact_store((folder / "files").as_uri()), MASTER_KEYS
        )
        self.notes = Notes(
            engine_at(database_at(database or f"sqlite:///{folder / 'web.db'}"), "notes"), self.artifacts
        )
        self.notes.open()
        self.tools: Toolset = notes_tools(self.notes)

    async def call(self, tool: str, arguments: Any = None, *, user: str | None = "ann", key: str | None = None) -> Any:
        """Call a tool, and return what it says, from JSON if it is that. Raises ToolError."""
        with anyio.fail_after(PATIENCE):
            output = await self.tools.call(tool, arguments or {}, called(tool, user=user, key=key))
        text = text_of(output.content)
        with suppress(ValueError):
            return json.loads(text)
        return text

    async def titles(self, user: str = "ann") -> list[str]:
        return [note["title"] for note in await self.call("list_notes", user=user)]

    async def write(self, title: str, text: str, **who: Any) -> Any:
        return await self.call("create_note", {"title": title, "text": text}, **who)

    async def add(self, title: str, text: str, **who: Any) -> Any:
        return await self.call("append_to_note", {"title": title, "text": text}, **who)

    async def text(self, title: str, **who: Any) -> str:
        return (await self.call("read_note", {"title": title}, **who))["text"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.notes.close()


@pytest.fixture(params=["sqlite", "postgres"])
def any_desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with ExitStack() as stack:
        url = ""
        if request.param == "postgres":
            url = stack.enter_context(database(request.getfixturevalue("postgres_url")))
        desk = Desk(tmp_path, url)
        stack.callback(desk.notes.close)
        yield desk


async def test_a_note_is_written_found_read_added_to_and_deleted_by_its_title(desk: Desk) -> None:
    assert await desk.titles() == []
    made = await desk.write("Shopping", "milk")
    await desk.write("Ideas", "fly")
    added = await desk.add("shopping", "bread")

    assert (made["title"], made["size"], added["size"]) == ("Shopping", 4, 10)
    assert await desk.titles() == ["Shopping", "Ideas"]
    assert await desk.text(" SHOPPING ") == "milk\nbread"
    assert await desk.call("delete_note", {"title": "Shopping"}) == "deleted"
    assert await desk.titles() == ["Ideas"]
    assert "no such note" in await desk.call("delete_note", {"title": "Shopping"})
    assert len(await desk.artifacts.for_user("ann").list()) == 1


async def test_users_never_see_each_others_notes(desk: Desk) -> None:
    await desk.write("Diary", "hers", user="ann")
    await desk.write("Diary", "his", user="bob")
    await desk.add("Diary", "more", user="bob")

    assert await desk.text("Diary", user="ann") == "hers"
    assert await desk.titles("carl") == []
    with pytest.raises(ToolError):
        await desk.text("Diary", user="carl")
    with pytest.raises(ToolError):
        await desk.add("Diary", "x", user="carl")
    assert "no such note" in await desk.call("delete_note", {"title": "Diary"}, user="carl")
    assert await desk.text("Diary", user="bob") == "his\nmore"


async def test_nobody_has_no_notes(desk: Desk) -> None:
    for tool in ("create_note", "read_note", "append_to_note", "delete_note", "list_notes"):
        with pytest.raises(ToolError):
            await desk.call(tool, {"title": "x", "text": "x"}, user=None)


async def test_a_title_is_that_of_one_note_without_regard_to_case(desk: Desk) -> None:
    await desk.write("Café  plans", "one")
    with pytest.raises(ToolError):
        await desk.write("CAFÉ plans", "two")

    assert await desk.titles() == ["Café plans"]
    assert await desk.text("café plans") == "one"


async def test_a_repeated_call_does_nothing_twice(desk: Desk, tmp_path: Path) -> None:
    another = Desk(tmp_path)  # a server that knows nothing of the calls of the first one
    for each in (desk, another):
        await each.write("Shopping", "milk", key="k1")
    for each in (desk, another):
        await each.add("Shopping", "bread", key="k2")
    another.notes.close()

    assert await desk.text("Shopping") == "milk\nbread"
    assert len(await desk.artifacts.for_user("ann").list()) == 1


async def test_lines_that_are_added_at_the_same_time_are_all_there(any_desk: Desk) -> None:
    desk = any_desk
    await desk.write("Log", "begin")
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(desk.add, "Log", f"line {number}")

    assert sorted((await desk.text("Log")).splitlines()) == ["begin", *(f"line {n}" for n in range(5))]
    assert len(await desk.artifacts.for_user("ann").list()) == 1


async def test_of_notes_that_are_written_at_the_same_time_one_gets_the_title(any_desk: Desk) -> None:
    desk = any_desk
    refused: list[ToolError] = []

    async def write(number: int) -> None:
        try:
            await desk.write("Log", f"{number}")
        except ToolError as error:
            refused.append(error)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(write, number)

    assert len(refused) == 4
    assert await desk.titles() == ["Log"]
    assert len(await desk.artifacts.for_user("ann").list()) == 1


async def test_a_user_whose_files_are_erased_has_no_notes_and_may_begin_anew(desk: Desk) -> None:
    await desk.write("Diary", "old")
    await desk.write("Plans", "old")
    await desk.artifacts.for_user("ann").erase()

    with pytest.raises(ToolError):
        await desk.text("Diary")
    await desk.write("Diary", "new")
    assert await desk.titles() == ["Diary"]
    assert await desk.text("Diary") == "new"


@pytest.mark.parametrize(
    ("title", "text"), [("\u200b", "x"), (" ", "x"), ("", "x"), ("x" * 101, "x"), ("x", ""), ("x", "ä" * LARGEST)]
)
async def test_what_is_no_note_is_refused(desk: Desk, title: str, text: str) -> None:
    with pytest.raises(ToolError):
        await desk.write(title, text)
    assert await desk.titles() == []
    assert list(await desk.artifacts.for_user("ann").list()) == []


async def test_a_note_does_not_grow_beyond_its_limit(desk: Desk) -> None:
    await desk.write("Log", "x" * (LARGEST - 3))
    await desk.add("Log", "yy")
    with pytest.raises(ToolError):
        await desk.add("Log", "")
    with pytest.raises(ToolError):
        await desk.add("Log", "z")
    assert (await desk.text("Log")).endswith("x\nyy")


async def test_there_are_only_so_many_notes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes_module, "MOST_NOTES", 2)
    await desk.write("1", "x")
    await desk.write("2", "x")
    with pytest.raises(ToolError):
        await desk.write("3", "x")
    assert len(await desk.artifacts.for_user("ann").list()) == 2  # what was put for the third is gone again
    await desk.write("3", "x", user="bob")


async def test_who_never_gets_a_turn_is_told_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.write("Log", "begin")
    monkeypatch.setattr(notes_module, "_ATTEMPTS", 0)
    with pytest.raises(ToolError):
        await desk.write("Other", "x")
    with pytest.raises(ToolError):
        await desk.add("Log", "x")


def test_a_database_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "web.db.notes").write_bytes(b"this is no database" * 100)
    with pytest.raises(DBAPIError):
        Desk(tmp_path)


def _settings(folder: Path) -> Settings:
    return Settings(
        listen="127.0.0.1:1",
        admin_listen="127.0.0.1:2",
        jwks_url="http://127.0.0.1:1/",
        token_issuer=ISSUER,
        database_url=f"sqlite:///{folder / 'web.db'}",
        files_url=(folder / "files").as_uri(),
        master_keys=MASTER_KEYS,
    )


@asynccontextmanager
async def _serving(folder: Path) -> AsyncGenerator[str]:
    settings = _settings(folder)
    verifier = Verifier(KEYS, issuer=ISSUER, audience=AUDIENCE)
    with hosted(make_server(make_service("notes", settings), settings, verifier)) as url:
        yield url


def _bearing(user: str, audience: str = AUDIENCE) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS.issue(user, issuer=ISSUER, audience=audience)}"}


@pytest.mark.parametrize("door", ["mcp", "plain"])
async def test_both_protocols_give_each_user_their_own_notes(tmp_path: Path, door: str) -> None:
    async with _serving(tmp_path) as url:
        with anyio.fail_after(PATIENCE):
            made: Any = (
                MCPServer(f"{url}/mcp", headers=lambda user: _bearing(user or "nobody"))
                if door == "mcp"
                else HTTPTools(url, headers=lambda user: _bearing(user or "nobody"))
            )
            async with made as tools:
                offered = {spec.name: spec for spec in (await tools.tools_for("ann")).tools}
                assert set(offered) == {"create_note", "list_notes", "read_note", "append_to_note", "delete_note"}
                note = {"title": "Diary", "text": "hers"}
                await tools.call("create_note", note, called("create_note", user="ann"))
                read = await tools.call("read_note", {"title": "diary"}, called("read_note", user="ann"))
                assert json.loads(text_of(read.content))["text"] == "hers"
                listed = await tools.call("list_notes", {}, called("list_notes", user="bob"))
                assert text_of(listed.content) == "[]"


async def test_the_plain_contract_checks_tokens_and_arguments_and_makes_a_call_once(tmp_path: Path) -> None:
    async with _serving(tmp_path) as url, httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http:
        call = {"tool": "create_note", "arguments": {"title": "Shopping", "text": "milk"}}

        async def execute(headers: dict[str, str], body: Any) -> httpx2.Response:
            return await http.post("/mcp/execute", json=body, headers=headers)

        assert (await execute({}, call)).status_code == 401
        assert (await execute(_bearing("ann", "orchestrator"), call)).status_code == 401
        wrong = await execute(_bearing("ann"), {"tool": "create_note", "arguments": {"title": 7}})
        assert (wrong.status_code, wrong.json()["error"]["type"]) == (422, "invalid_arguments")

        key = {"idempotency-key": uuid4().hex}
        first, again = [await execute(_bearing("ann") | key, call) for _ in range(2)]
        assert first.json()["ok"]
        assert again.json() == first.json()
        other = await execute(_bearing("ann") | key, {**call, "arguments": {"title": "x", "text": "y"}})
        assert (other.status_code, other.json()["error"]["type"]) == (409, "key_reused")
        listed = await execute(_bearing("ann"), {"tool": "list_notes", "arguments": {}})
        assert [note["title"] for note in json.loads(listed.json()["content"][0]["text"])] == ["Shopping"]


async def test_what_a_user_has_written_is_exported_erased_and_nowhere_in_clear(tmp_path: Path) -> None:
    async with _serving(tmp_path) as url, httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http:

        async def execute(user: str, tool: str, arguments: Any) -> Any:
            call = {"tool": tool, "arguments": arguments}
            answer = await http.post("/mcp/execute", json=call, headers=_bearing(user))
            assert answer.json()["ok"], answer.text
            return json.loads(answer.json()["content"][0]["text"])

        for user in ("ann", "bob"):
            await execute(user, "create_note", {"title": "Diary of Tuesday", "text": "I was seen by nobody."})
        assert assert_no_leak(tmp_path, ["Diary of Tuesday", "diary of tuesday", "seen by nobody"]) > 0

        (told,) = (await http.get("/user-data", headers=_bearing("ann"))).json()["data"]
        assert (told["name"], b64decode(told["base64"])) == ("Diary of Tuesday", b"I was seen by nobody.")
        for _ in range(2):
            assert (await http.delete("/user-data", headers=_bearing("ann"))).status_code == 204

        assert (await http.get("/user-data", headers=_bearing("ann"))).json() == {"data": []}
        assert await execute("ann", "list_notes", {}) == []
        assert [note["title"] for note in await execute("bob", "list_notes", {})] == ["Diary of Tuesday"]
    with closing(sqlite3.connect(tmp_path / "web.db.notes")) as database:
        assert database.execute("SELECT count(*) FROM web_note").fetchall() == [(1,)]


def test_notes_are_kept_under_keys_or_not_at_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = {"LISTEN": "127.0.0.1:1", "ADMIN_LISTEN": "127.0.0.1:1", "JWKS_URL": "http://x", "TOKEN_ISSUER": ISSUER}
    for name, value in (told | {"FILES_URL": tmp_path.as_uri(), "DATABASE_URL": f"sqlite:///{tmp_path}/x"}).items():
        monkeypatch.setenv(name, value)
    for keys in ("", "no key", "k:YWJj"):
        monkeypatch.setenv("MASTER_KEYS", keys)
        assert main(["notes"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert "MASTER_KEYS" in said or "master key" in said
        assert said.count("\n") == 1


@pytest.mark.parametrize("broken", ["files", "database"])
def test_readiness_tells_which_dependency_does_not_answer(tmp_path: Path, broken: str) -> None:
    service = make_service("notes", _settings(tmp_path))
    anyio.run(service.open)
    admin = TestClient(make_admin(service, lambda: ""))
    assert admin.get("/ready").json()["dependencies"] == {"database": "ok", "files": "ok"}
    if broken == "files":
        (tmp_path / "files" / "notes" / ".unfinished").rmdir()
        (tmp_path / "files" / "notes").rmdir()
        (tmp_path / "files" / "notes").write_text("a file where the folder was")
    else:
        anyio.run(service.close)
        (tmp_path / "web.db.notes").write_bytes(b"this is no database" * 100)

    answer = admin.get("/ready")

    assert answer.status_code == 503
    assert answer.json()["dependencies"] == {"database": "ok", "files": "ok", broken: "unavailable"}
    anyio.run(service.close)


async def test_after_a_rotation_the_old_master_key_is_not_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old, new = (MasterKeys.generate(name) for name in ("old", "new"))
    told = {"LISTEN": "127.0.0.1:1", "ADMIN_LISTEN": "127.0.0.1:1", "JWKS_URL": "http://x", "TOKEN_ISSUER": ISSUER}
    told |= {"FILES_URL": tmp_path.as_uri(), "DATABASE_URL": f"sqlite:///{tmp_path}/web.db"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)

    def kept(keys: str) -> Notes:
        artifacts = EncryptedArtifactStore(
            make_artifact_store(f"{tmp_path.as_uri()}/notes"), MasterKeys.from_text(keys)
        )
        notes = Notes(engine_at(database_at(f"sqlite:///{tmp_path}/web.db"), "notes"), artifacts)
        notes.open()
        return notes

    await kept(old).create("ann", "k1", "Diary", "It rained.")
    for keys, status, said in (
        (new, 1, "users=1 failed=1\n"),
        (f"{new}\n{old}", 0, "users=1 failed=0\n"),
        (new, 0, "users=1 failed=0\n"),
    ):
        monkeypatch.setenv("MASTER_KEYS", keys)
        assert await anyio.to_thread.run_sync(main, ["notes", "rotate"]) == status
        assert capsys.readouterr().out.endswith(said)
    assert (await kept(new).read("ann", "Diary")).text == "It rained."


def test_a_server_without_master_keys_has_nothing_to_rotate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = {"LISTEN": "127.0.0.1:1", "ADMIN_LISTEN": "127.0.0.1:1", "JWKS_URL": "http://x", "TOKEN_ISSUER": ISSUER}
    for name, value in (told | {"DATABASE_URL": f"sqlite:///{tmp_path}/web.db"}).items():
        monkeypatch.setenv(name, value)
    assert main(["calendar", "rotate"]) == 2
    assert "nothing to rotate" in capsys.readouterr().err
