"""`store recover`, `store retry` and `store close`."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from assistant_kit.cli.unfinished import became
from assistant_kit.protocols.store import Unfinished
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from tests.cli.conftest import Ran
from tests.cli.scribe import Scribe, answered, call, finished, resumed, said

Cli = Callable[..., Ran]
URL = "sqlite:///chat.db"
APP = """
from assistant_kit import Assistant, Settings, RecoverySettings, tool
from assistant_kit.errors import ModelRejected, ModelUnavailable
from assistant_kit.testing.scripted_model import Call, CallTools, Fail, ScriptedModel

def answer(request):
    text = request.items[0].content[0].text
    return {{
        "down": Fail(ModelUnavailable("overloaded", model="luna")),
        "refused": Fail(ModelRejected("not\\x1b[2J allowed", model="luna")),
        "delete": CallTools(Call("delete_account")),
    }}.get(text, f"answer to {{text}}")

@tool(needs_approval=True)
def delete_account() -> str:
    return "gone"

def make():
    return Assistant(ScriptedModel([answer] * 1000), tools=[delete_account], store="{store}",
                     settings=Settings(name="travel", recovery=RecoverySettings(backoff=60)))

assistant = make()
nothing = 1
"""


@pytest.fixture
def app(tmp_path: Path) -> str:
    """Return the name of an application's module on the store."""
    return written(tmp_path, URL)


def written(folder: Path, store: str) -> str:
    module = f"app_{uuid4().hex}"
    (folder / f"{module}.py").write_text(APP.format(store=store))
    return module


def test_turns_that_are_due_are_finished_and_it_is_told_what_became_of_them(cli: Cli, scribe: Scribe, app: str) -> None:
    for text in ("hello", "down", "refused", "delete"):
        scribe.write("u", text, said(f"t-{text}", text))
    scribe.write("u", "deadly", said("t", "x"), *[resumed("t", attempt) for attempt in (2, 3, 4, 5)])
    ran = cli("store", "recover", URL, "--app", f"{app}:assistant")
    assert ran.status == 0
    assert sorted(" ".join(line.split()) for line in ran.out.splitlines()) == [
        "",
        "completed u hello",
        "completed=1 failed=1 waiting=1 parked=1 suspended=0 busy=0 left=1",
        "failed u refused luna: not\\x1b[2J allowed",
        "open u down attempt 2 left it for later: luna: overloaded",
        "parked u deadly it was tried 5 times, and no attempt came to an end",
        "waiting u delete delete_account (call_1) needs a decision",
    ]
    assert "\x1b" not in ran.out + ran.err
    assert len(ran.err.splitlines()) == 3


def test_more_turns_than_are_taken_up_at_once_are_finished(cli: Cli, scribe: Scribe, app: str) -> None:
    for number in range(3):
        scribe.write("u", f"down{number}", said("t", "down"))
    cli("store", "recover", URL, "--app", f"{app}:make")
    for number in range(5):
        scribe.write("u", f"c{number}", said("t", "hello"))
    ran = cli("store", "recover", URL, "--app", f"{app}:make", "--limit", "2")
    assert ran.out.splitlines()[-1] == "completed=5 failed=0 waiting=0 parked=0 suspended=0 busy=0 left=3"


def test_without_unfinished_turns_the_application_is_not_even_loaded(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("t", "x"), finished("t"))
    ran = cli("store", "recover", URL, "--app", "no.such:module")
    assert (ran.status, ran.out) == (0, "no turn is left to recover\n")


def test_a_turn_of_a_damaged_journal_is_left_and_told(cli: Cli, scribe: Scribe, app: str) -> None:
    scribe.write("u", "c", said("t", "hello"), resumed("t", 2))
    scribe.sql("UPDATE records SET body = x'00' WHERE record_id = 'r2'")
    ran = cli("store", "recover", URL, "--app", f"{app}:assistant")
    assert ran.status == 0
    assert "left  u  c  it cannot be read: entry 2" in ran.out
    assert ran.out.endswith("left=1\n")


@pytest.mark.parametrize(("conversation", "became_of_it"), [("c", "left"), ("gone", "deleted")])
def test_a_turn_that_is_no_longer_there_is_told(conversation: str, became_of_it: str) -> None:
    async def look() -> tuple[str, str]:
        store = MemoryStore()
        await store.for_user("u").claim("c", owner="w", ttl=1)
        return await became(store, Unfinished(user="u", conversation=conversation, state="open", updated_at=0.0))

    assert anyio.run(look)[0] == became_of_it


def test_an_assistant_on_another_store_is_refused(cli: Cli, scribe: Scribe, tmp_path: Path) -> None:
    scribe.write("u", "c", said("t", "hello"))
    ran = cli("store", "recover", URL, "--app", f"{written(tmp_path, 'sqlite:///other.db')}:assistant")
    assert (ran.status, ran.out) == (2, "")
    assert "keeps its conversations somewhere else" in ran.err
    app = f"{written(tmp_path, 'sqlite:///other.db')}:assistant"
    retried = cli("store", "retry", URL, "--user", "u", "--conversation", "c", "--app", app)
    assert (retried.status, retried.out) == (2, "")
    assert "users=0 " in cli("store", "check", "sqlite:///other.db").out


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nonsense", "names no assistant"),
        (":x", "names no assistant"),
        ("x:", "names no assistant"),
        ("no.such.module:x", "cannot import no.such.module"),
        ("{app}:absent", "has no absent"),
        ("{app}:nothing", "is no Assistant"),
        ("{app}:answer.x", "has no answer.x"),
    ],
)
def test_a_name_that_is_no_assistant_is_refused(cli: Cli, scribe: Scribe, app: str, place: str, words: str) -> None:
    scribe.write("u", "c", said("t", "hello"))
    ran = cli("store", "recover", URL, "--app", place.format(app=app))
    assert (ran.status, ran.out) == (2, "")
    assert words in ran.err
    assert ran.err.count("\n") == 1


def test_a_parked_turn_is_tried_once_more(cli: Cli, scribe: Scribe, app: str) -> None:
    scribe.write("u", "c", said("t", "hello"), finished("t", "parked", reason="dead"))
    ran = cli("store", "retry", URL, "--user", "u", "--conversation", "c", "--app", f"{app}:make")
    assert (ran.status, ran.out) == (0, "completed: answer to hello\n")
    again = cli("store", "retry", URL, "--user", "u", "--conversation", "c", "--app", f"{app}:make")
    assert (again.status, again.out) == (2, "")


def test_a_retry_that_fails_says_why(cli: Cli, scribe: Scribe, app: str) -> None:
    scribe.write("u", "c", said("t", "refused"), finished("t", "parked", reason="dead"))
    ran = cli("store", "retry", URL, "--user", "u", "--conversation", "c", "--app", f"{app}:assistant")
    assert (ran.status, ran.out, ran.err) == (1, "", "assistant-kit: luna: not\\x1b[2J allowed\n")


@pytest.mark.parametrize("pause", ["waiting", "parked", None])
def test_a_turn_is_closed_without_its_application(cli: Cli, scribe: Scribe, pause: str | None) -> None:
    pauses = [] if pause is None else [finished("t", pause)]
    scribe.write("u", "c", said("t", "x"), answered("t", 1, call(1, "pay", "{}")), *pauses)
    ran = cli("store", "close", URL, "--user", "u", "--conversation", "c", "--reason", "the user has left")
    assert (ran.status, ran.out) == (0, "closed: the user has left\n")
    assert "cancelled, the user has left" in cli("inspect", URL, "c", "--user", "u").out.replace(": ", ", ")
    assert cli("store", "check", URL).out.endswith("turns=1 open=0 waiting=0 parked=0 unknown=0 damaged=0\n")
    again = cli("store", "close", URL, "--user", "u", "--conversation", "c")
    assert (again.status, again.out) == (2, "")


def test_a_turn_that_a_worker_has_is_not_closed(cli: Cli, tmp_path: Path) -> None:
    async def hold() -> None:
        store = SQLiteStore(tmp_path / "chat.db")
        await store.for_user("u").claim("c", owner="w", ttl=60)
        await store.aclose()

    anyio.run(hold)
    ran = cli("store", "close", URL, "--user", "u", "--conversation", "c")
    assert (ran.status, ran.out) == (1, "")
    assert "another run holds" in ran.err


@pytest.mark.parametrize("command", ["retry", "close"])
def test_a_mistyped_conversation_is_an_error_and_not_made(cli: Cli, scribe: Scribe, app: str, command: str) -> None:
    scribe.write("u", "c", said("t", "hello"))
    more = ["--app", f"{app}:assistant"] if command == "retry" else []
    ran = cli("store", command, URL, "--user", "u", "--conversation", "C", *more)
    assert (ran.status, ran.out) == (1, "")
    assert "conversations=1 " in cli("store", "check", URL).out
