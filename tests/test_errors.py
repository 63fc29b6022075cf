"""Errors form the tree that is drawn of them, cross processes, and say nothing private."""

import copy
import pickle
from inspect import cleandoc
from typing import Any

import pytest

from assistant_kit import errors
from assistant_kit.errors import (
    ApprovalPending,
    AssistantKitError,
    BudgetExceeded,
    CallRefused,
    CannotAsk,
    CannotFit,
    CircuitOpen,
    ConversationBusy,
    ConversationConflict,
    ConversationExists,
    ConversationNotFound,
    DeadlineExceeded,
    DecryptionFailed,
    DocumentUnreadable,
    DuplicateTool,
    IndexMismatch,
    Interrupted,
    InvalidTool,
    LeaseLost,
    MissingDependency,
    ModelError,
    ModelRateLimited,
    NoAnswer,
    NotTransactional,
    OutputInvalid,
    Overloaded,
    ProjectionFailed,
    QuotaExceeded,
    RateLimitReached,
    StepLimitExceeded,
    StoreTooNew,
    StoreVolatile,
    ToolError,
    ToolsetError,
    TurnParked,
    UnknownModel,
    UnknownStore,
    UnreadableEntry,
)

EXAMPLES: list[tuple[AssistantKitError, dict[str, Any]]] = [
    (UnknownModel("gpt", ["openai"]), {"model": "gpt"}),
    (UnknownStore("mysql://db", ["sqlite:"]), {"address": "mysql://db"}),
    (DuplicateTool("add", ["a.add", "b.add"]), {"name": "add", "origins": ("a.add", "b.add")}),
    (InvalidTool("a.add", "no annotation"), {"tool": "a.add", "problem": "no annotation"}),
    (MissingDependency("redis", "redis"), {"package": "redis", "extra": "redis"}),
    (NotTransactional("book", "this is Redis"), {"tool": "book"}),
    (StoreVolatile("redis", "no file"), {"place": "redis", "problem": "no file"}),
    (IndexMismatch("a.db", kept="a/3", given="b/3"), {"place": "a.db", "kept": "a/3", "given": "b/3"}),
    (DocumentUnreadable("a.pdf", "encrypted"), {"source": "a.pdf", "problem": "encrypted"}),
    (TurnParked("c", "it died"), {"conversation": "c", "reason": "it died"}),
    (DecryptionFailed("c", 3, "wrong key"), {"conversation": "c", "seq": 3, "problem": "wrong key"}),
    (DecryptionFailed("c", None, "wrong key"), {"conversation": "c", "seq": None, "problem": "wrong key"}),
    (ConversationExists("c"), {"conversation": "c"}),
    (CallRefused("no", retry_after=2.0), {"retry_after": 2.0}),
    (CircuitOpen("m", retry_after=2.0), {"upstream": "m", "retry_after": 2.0}),
    (
        Overloaded("m", limit=3, waiting=9, retry_after=1.0),
        {"upstream": "m", "limit": 3, "waiting": 9, "retry_after": 1.0},
    ),
    (RateLimitReached("m", retry_after=2.0), {"upstream": "m", "retry_after": 2.0}),
    (
        QuotaExceeded("daily", unit="tokens", needed=9, left=5, retry_after=60.0),
        {"quota": "daily", "unit": "tokens", "needed": 9, "left": 5, "retry_after": 60.0},
    ),
    (
        BudgetExceeded(unit="tokens", needed=9, used=5, limit=10),
        {"unit": "tokens", "needed": 9, "used": 5, "limit": 10},
    ),
    (CannotFit("the tools", needed=9, available=5), {"part": "the tools", "needed": 9, "available": 5}),
    (
        ModelRateLimited("slow", model="m", status=429, code="c", request_id="r", retry_after=2.5, should_retry=True),
        {"model": "m", "status": 429, "code": "c", "request_id": "r", "retry_after": 2.5, "should_retry": True},
    ),
    (ModelError("x", model="m"), {"model": "m", "status": None, "retry_after": None, "should_retry": None}),
    (DeadlineExceeded("the model call", timeout=5), {"during": "the model call", "timeout": 5}),
    (DeadlineExceeded("the start"), {"during": "the start", "timeout": None}),
    (StepLimitExceeded(3), {"max_steps": 3}),
    (OutputInvalid("{}", "name: Field required"), {"text": "{}", "problems": "name: Field required"}),
    (ApprovalPending("c1", ["call_1"]), {"conversation": "c1", "call_ids": ("call_1",)}),
    (Interrupted("r1", "failed", ""), {"request_id": "r1", "outcome": "failed"}),
    (ToolsetError("mcp", "gone"), {"toolset": "mcp"}),
    (
        ProjectionFailed("rows", "c", "IntegrityError"),
        {"projection": "rows", "conversation": "c", "cause": "IntegrityError"},
    ),
    (CannotAsk("form"), {"kind": "form"}),
    (NoAnswer("name", "declined"), {"question": "name", "problem": "declined"}),
    (StoreTooNew("a.db", found=3, supported=2), {"place": "a.db", "found": 3, "supported": 2}),
    (UnreadableEntry("c1", 7, "torn"), {"conversation": "c1", "seq": 7, "problem": "torn"}),
    (ConversationNotFound("c1"), {"conversation": "c1"}),
    (ConversationBusy("c1", 2.0), {"conversation": "c1", "retry_after": 2.0}),
    (ConversationConflict("c1", expected=2, found=3), {"conversation": "c1", "expected": 2, "found": 3}),
    (LeaseLost("c1"), {"conversation": "c1"}),
    (ToolError("no such user"), {}),
]


def drawn() -> list[tuple[int, str]]:
    """The depths and names of the drawing in the module's docstring."""
    lines = (errors.__doc__ or "").partition("\n\n")[2].splitlines()
    names = [(line, line.lstrip("│├└─ ")) for line in cleandoc("\n".join(lines)).splitlines()]
    return [((len(line) - len(rest)) // 4, rest.split()[0]) for line, rest in names]


def derived(kind: type[Any], depth: int = 0) -> list[tuple[int, str]]:
    own = [below for below in kind.__subclasses__() if below.__module__.startswith(f"{errors.__name__}.")]
    return [(depth, kind.__name__), *(line for below in own for line in derived(below, depth + 1))]


def parents(lines: list[tuple[int, str]]) -> dict[str, list[str]]:
    """What stands above each class: the order of its siblings does not count."""
    above: list[str] = []
    found: dict[str, list[str]] = {}
    for depth, name in lines:
        above[depth:] = [name]
        found[name] = above[:-1]
    return found


def test_the_tree_is_as_it_is_drawn() -> None:
    assert parents(drawn()) == parents(derived(AssistantKitError))


def test_every_class_has_an_example_here_or_takes_only_a_message() -> None:
    shown = {type(error) for error, _ in EXAMPLES}
    own: dict[str, Any] = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    with_data = {kind for kind in own.values() if "__init__" in vars(kind)}
    assert with_data <= shown


@pytest.mark.parametrize(
    ("error", "data"), EXAMPLES, ids=[f"{i}-{type(e).__name__}" for i, (e, _) in enumerate(EXAMPLES)]
)
def test_an_error_carries_data_and_crosses_processes_with_it(error: AssistantKitError, data: dict[str, Any]) -> None:
    error.add_note("while testing")
    for one in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301  (our own bytes)
        assert type(one) is type(error)
        assert str(one) == str(error)
        assert {name: getattr(one, name) for name in data} == data
        assert one.__notes__ == ["while testing"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgres://ann:s3cret@db/chat", "postgres://ann:…@db/chat"),
        ("mongodb://:s3cret@db", "mongodb://:…@db"),
        ("mysql://ann:s3:cr@et@db/chat", "mysql://ann:…@db/chat"),
        ("mysql://ann@db/chat", "mysql://ann@db/chat"),
        ("nowhere", "nowhere"),
    ],
)
def test_a_store_address_is_shown_without_its_password(address: str, shown: str) -> None:
    error = UnknownStore(address, ["sqlite:"])
    assert error.address == shown
    assert shown in str(error)
    for text in (str(error), repr(error), repr(vars(error))):
        assert "s3" not in text


def test_what_the_model_wrote_is_data_and_no_part_of_the_message() -> None:
    error = OutputInvalid('{"iban": "private"}', "name: Field required")
    assert "private" not in str(error) + repr(error)
