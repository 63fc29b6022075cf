"""Erasing and exporting a user reach the same places, each of which is looked at itself."""

import ast
import json
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

import assistant_kit
from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.documents import Documents, DocumentSearch
from assistant_kit.errors import ConfigurationError
from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.memories.indexed import IndexMemory
from assistant_kit.policies.quota import Quota, Quotas
from assistant_kit.protocols.user_data import Kept, UserData
from assistant_kit.resilience import Policies
from assistant_kit.settings import Settings, WindowSettings
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.shared_states.sqlite import SQLiteState
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from assistant_kit.toolsets.functions import FunctionTools
from assistant_kit.toolsets.mcp.oauth import MCPOAuth, MemoryTokens, Redirect, TokenKey
from assistant_kit.toolsets.mcp.oauth.grants import Client, Grant, grant_text
from assistant_kit.toolsets.mcp.server import MCPServer
from assistant_kit.toolsets.memory_tools import MemoryTools
from assistant_kit.transfer import import_lines

pytestmark = pytest.mark.anyio
PATIENCE = 60
USER = "ann-xylograph"
LONG = "\n".join(f"line {number} of zibeline" for number in range(3000))

CANARIES = {
    "journals.db": "quokka",
    "nested.db": "wombat",
    "memories.db": "numbat",
    "tools.db": "bilby",
    "documents.db": "potoroo",
    "quotas.db": USER,
}
"""What stands in which file of the user alone. A new place of the library is a line here."""


# --8<-- [start:keeper]
class Diary(FunctionTools):
    """Tools that keep a note of each user."""

    def __init__(self, kept: dict[str, str]) -> None:
        super().__init__([])
        self.kept: dict[str, str] = kept

    async def erase_user(self, user: str) -> None:
        self.kept.pop(user, None)

    async def export_user(self, user: str) -> AsyncIterator[Kept]:
        if user in self.kept:
            yield UserData(place="diary", name="today", data={"text": self.kept[user]})


# --8<-- [end:keeper]


class Everything:
    """An assistant that keeps data of users wherever the library can, each place in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.store = SQLiteStore(folder / "journals.db", audit=True)
        self.nested = SQLiteStore(folder / "nested.db")
        self.indexes = [SQLiteIndex(folder / f"{name}.db") for name in ("memories", "tools", "documents")]
        self.memory, self.tools = (IndexMemory(index) for index in self.indexes[:2])
        self.documents = Documents(self.indexes[2])
        self.state = SQLiteState(folder / "quotas.db")
        self.diary = Diary({USER: "bettong", "bob": "bandicoot"})

    def assistant(self) -> Assistant[str]:
        def report() -> str:
            """Everything we know."""
            return LONG

        steps = [CallTools(Call("clerk", {"message": "wombat?"}), Call("report")), "quokka!"] * 2
        clerk = Assistant(ScriptedModel(["wombat!"] * 2), store=self.nested, settings=Settings(name="clerk"))
        return Assistant(
            ScriptedModel(steps),
            tools=[
                report,
                clerk.as_tool(name="clerk", description="Finds."),
                MemoryTools(self.tools),
                DocumentSearch(self.documents, scope="both"),
                self.diary,
            ],
            store=self.store,
            context=Context(memory=self.memory),
            policies=Policies(quotas=Quotas(Quota("daily", limit=10**9, unit="requests"), state=self.state)),
            settings=Settings(window=WindowSettings(max_result_tokens=1_000)),
        )

    async def fill(self, assistant: Assistant[str], user: str) -> None:
        await assistant.run("quokka?", user=user, conversation="c")
        await self.memory.for_user(user).remember(f"numbat {user}")
        await self.tools.for_user(user).remember(f"bilby {user}")
        await self.documents.for_user(user).add("notes.txt", f"potoroo {user}")

    async def aclose(self) -> None:
        for part in (self.store, self.nested, *self.indexes, self.state):
            await part.aclose()


def places_with(folder: Path, canaries: dict[str, str]) -> set[str]:
    """The places in whose files their canary stands."""
    return {
        place
        for place, canary in canaries.items()
        if any(canary.encode() in path.read_bytes() for path in folder.glob(f"{place}*"))
    }


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.db")}


async def test_a_user_is_exported_from_and_erased_in_every_place(tmp_path: Path) -> None:
    with anyio.fail_after(PATIENCE):
        everything = Everything(tmp_path)
        async with everything.assistant() as assistant:
            await everything.fill(assistant, USER)
            assert places_with(tmp_path, CANARIES) == {*CANARIES} == files(tmp_path)

            lines = [line async for line in assistant.export_user(USER)]
            assert await assistant.erase_user(USER) == 3

            assert places_with(tmp_path, CANARIES) == set()
            assert places_with(tmp_path, dict.fromkeys(CANARIES, USER)) == set()
            assert places_with(tmp_path, dict.fromkeys(CANARIES, "zibeline")) == set()
            assert USER not in everything.diary.kept
        await everything.aclose()
    text = "".join(lines)
    assert {place for place, canary in CANARIES.items() if canary in text or place == "quotas.db"} == {*CANARIES}
    assert "zibeline" in text
    found = [json.loads(line) for line in lines]
    kinds = {line["line"] if line["line"] != "kept" else line["place"] for line in found}
    assert kinds >= {"conversation", "record", "audit", "memory", "quotas", "documents", "diary"}
    (quota,) = [line["data"] for line in found if line.get("place") == "quotas"]
    assert (quota["quota"], quota["unit"], quota["window"], quota["reserved"]) == ("daily", "requests", "day", [])
    assert quota["used"] == 2
    assert quota["resets"] == quota["begins"] + 86_400
    with anyio.fail_after(PATIENCE):
        there = MemoryStore().for_user(USER)
        assert (await import_lines(there, lines))[-1] == "c"
        assert len(await there.conversations()) == 3
    end = found[-1]
    assert (end["conversations"], end["memories"], end["kept"]) == (3, 2, 3)


async def test_data_of_others_is_neither_exported_nor_erased(tmp_path: Path) -> None:
    with anyio.fail_after(PATIENCE):
        everything = Everything(tmp_path)
        async with everything.assistant() as assistant:
            await everything.fill(assistant, "bob")
            await everything.fill(assistant, USER)
            before = [line async for line in assistant.export_user("bob")]
            assert USER not in "".join(before)
            await assistant.erase_user(USER)
            assert [line async for line in assistant.export_user("bob")] == before
            assert everything.diary.kept == {"bob": "bandicoot"}
        await everything.aclose()


async def test_what_can_be_reached_in_two_ways_is_exported_once(tmp_path: Path) -> None:
    memory, address = IndexMemory(SQLiteIndex(tmp_path / "memory.db")), f"sqlite:///{tmp_path / 'chat.db'}"
    SQLiteStore(tmp_path / "chat.db", audit=True)
    inner = Assistant(
        ScriptedModel(["yes"]),
        store=address,
        tools=[MemoryTools(memory)],
        context=Context(memory=memory),
        settings=Settings(name="inner"),
    )
    outer = Assistant(
        ScriptedModel([CallTools(Call("inner", {"message": "x"})), "done"]),
        tools=[inner.as_tool(name="inner", description="Knows."), MemoryTools(memory)],
        store=SQLiteStore(tmp_path / "chat.db", audit=True),
        context=Context(memory=memory),
    )
    with anyio.fail_after(PATIENCE):
        async with outer:
            await outer.run("x", user="u", conversation="c")
            await memory.for_user("u").remember("once")
            lines = [json.loads(line) async for line in outer.export_user("u")]
            assert await outer.erase_user("u") == 2
    counted = lines[-1]
    assert (counted["conversations"], counted["memories"]) == (2, 1)
    links = [line["n"] for line in lines if line["line"] == "audit"]
    assert links == [*range(1, counted["links"] + 1)]


async def test_a_nested_assistant_without_a_store_keeps_nothing_in_one() -> None:
    inner = Assistant(ScriptedModel([]), settings=Settings(name="inner")).as_tool(name="inner", description="Knows.")
    outer = Assistant(ScriptedModel([]), tools=[inner], store=MemoryStore())
    assert await outer.erase_user("u") == 0


@pytest.mark.parametrize("only", ["erase_user", "export_user"])
def test_a_part_that_does_only_one_of_both_is_refused(only: str) -> None:
    half = FunctionTools([])
    setattr(half, only, getattr(Diary({}), only))
    with pytest.raises(ConfigurationError):
        Assistant(ScriptedModel([]), tools=[half])


async def test_without_a_store_nothing_is_exported_or_erased() -> None:
    assistant = Assistant(ScriptedModel([]))
    with pytest.raises(ConfigurationError):
        await assistant.erase_user("u")
    with pytest.raises(ConfigurationError):
        assistant.export_user("u")


def test_every_class_of_the_library_that_erases_a_user_exports_one() -> None:
    halves = [
        f"{path.name}: {node.name}"
        for path, node in classes()
        if len(methods(node) & {"erase_user", "export_user"}) == 1 and node.name not in FACADES
    ]
    assert halves == []


FACADES = {"Erasing", "Exporting", "SyncAssistant"}
"""One half of the protocol each; and the synchronous facade, which hands on what the assistant has."""

EXPORTED_BY = {
    "UserStore": "conversation",
    "UserMemory": "memory",
    "OwnedArtifacts": "artifacts",
    "OwnedIndex": "memory, documents",
    "SharedState": "quotas",
}
"""Each contract of a place that can erase an owner, and the lines by which what it holds is exported."""


def test_every_contract_of_a_place_that_can_erase_is_one_that_is_exported() -> None:
    contracts = {node.name for path, node in classes() if path.parent.name == "protocols" and "erase" in methods(node)}
    assert contracts == {*EXPORTED_BY}


@cache
def classes() -> list[tuple[Path, ast.ClassDef]]:
    """All classes of the library that may be places: those of modules in which something is erased or exported."""
    texts = {path: path.read_text(encoding="utf-8") for path in Path(assistant_kit.__file__).parent.rglob("*.py")}
    return [
        (path, node)
        for path, text in sorted(texts.items())
        if "def erase" in text or "def export_user" in text
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
    ]


def methods(node: ast.ClassDef) -> set[str]:
    return {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}


async def test_what_a_user_has_allowed_by_oauth_is_exported_without_the_token() -> None:
    url = "https://tools.example/mcp"
    storage, key = MemoryTokens(), TokenKey(server=url, kind="grant", user=USER)
    grant = Grant(
        access_token="secret",
        token_endpoint=url,
        issuer="https://login.example",
        client=Client(client_id="i", method="none"),
    )
    await storage.save(key, grant_text(grant))
    oauth = MCPOAuth(url, consent=Redirect(redirect_uri=url, open_url=ignored, wait_for_code=nowhere), storage=storage)
    tools = [MCPServer(url, auth=oauth), MCPServer(["true"], name="local")]
    assistant = Assistant(ScriptedModel([]), tools=tools, store=MemoryStore())
    lines = [line async for line in assistant.export_user(USER)]
    (kept,) = [json.loads(line) for line in lines if '"line":"kept"' in line]
    assert (kept["place"], kept["data"]["server"], kept["data"]["issuer"]) == ("mcp", url, "https://login.example")
    assert "secret" not in "".join(lines)
    await assistant.erase_user(USER)
    assert await storage.load(key) is None
    assert not any('"line":"kept"' in line for line in [line async for line in assistant.export_user(USER)])


async def ignored(_: object) -> None:
    """Open no page."""


async def nowhere(_: object) -> str:
    return ""


async def test_values_of_a_shared_place_that_are_no_quota_are_exported_as_they_are() -> None:
    state = MemoryState()
    odd = {"quota/tokens/day/daily": b"{", "quota/tokens/fortnight/x": b"y", "other": b"\xff"}
    for key, value in odd.items():
        await state.update(USER, key, lambda _, __, value=value: SimpleNamespace(value=value, result=None, keep=60.0))  # pyright: ignore[reportArgumentType]
    quotas = Quotas(Quota("hourly", limit=5, unit="requests", window=3600), state=state)
    assistant = Assistant(ScriptedModel(["yes"]), store=MemoryStore(), policies=[quotas])
    await assistant.run("x", user=USER)
    found = [json.loads(line) async for line in assistant.export_user(USER)]
    kept = {line["name"]: line["data"] for line in found if line["line"] == "kept"}
    assert [kept[key] for key in odd] == [{"base64": "ew=="}, {"base64": "eQ=="}, {"base64": "/w=="}]
    assert (kept["quota/requests/3600/hourly"]["used"], kept["quota/requests/3600/hourly"]["window"]) == (1, 3600)
