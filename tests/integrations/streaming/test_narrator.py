"""What a narrator leaves out, because readers have been told already, and what it does when the log is not there."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import anyio
import pytest

from assistant_kit.entries import Entry, Measured, ModelResponded, ToolFinished, TurnStarted
from assistant_kit.errors import LeaseLost, StoreUnavailable
from assistant_kit.events import (
    ApprovalRequired,
    Event,
    ReasoningToken,
    TextRetracted,
    Token,
    ToolProgress,
    ToolRequest,
    ToolResult,
    ToolsetUnavailable,
)
from assistant_kit.integrations.streaming.failures import failure_of
from assistant_kit.integrations.streaming.narrator import Narrator
from assistant_kit.maskers.memory_vault import MemoryVault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.messages import AssistantMessage, DeveloperMessage, Text, ToolCall, UserMessage
from assistant_kit.protocols.event_log import NewEvent
from assistant_kit.protocols.masker import Private, UserVault, Vault
from assistant_kit.run.masking import Masks
from assistant_kit.testing.conformance.event_log_workbench import events, told
from assistant_kit.testing.no_leak import assert_no_leak
from assistant_kit.usage import Usage
from tests.integrations.streaming.relaying import FaultyLog

pytestmark = pytest.mark.anyio

PSEUDONYMS = re.compile(r"<EMAIL_[0-9]+>")
STARTED = TurnStarted(turn="t", request_id="r", input=UserMessage(content=(Text(text="x"),)))
CONTENT = (Text(text="done"),)
REQUEST = ToolRequest(call_id="a", tool="tool", arguments={})
RESULT = ToolResult(call_id="a", tool="tool", outcome="ok", content=CONTENT)
MISSING = ToolsetUnavailable(toolset="s", reason="down")


async def held() -> None:
    """Hold the lease."""


async def lost() -> None:
    raise LeaseLost("c")


def narrator(log: FaultyLog, *, holds: bool = True, vault: Vault | None = None) -> Narrator:
    still_held = held if holds else lost
    masks = None if vault is None else Masks(RuleMasker(vault), "u", given_values=(), plain=True)
    return Narrator(log.for_user("u"), "c", tell=failure_of, still_held=still_held, masks=masks)


def measured(*entries: Entry) -> list[Measured]:
    return [Measured(entry=entry, tokens=0, counted_by="") for entry in (STARTED, *entries)]


def answer(step: int, text: str, *, prompt: str | None = None, calls: Sequence[str] = ()) -> ModelResponded:
    asked = tuple(ToolCall(call_id=call, name="tool", arguments="{}") for call in calls)
    return ModelResponded(
        turn="t",
        step=step,
        model="m",
        items=(AssistantMessage(text=text), *asked),
        usage=Usage(),
        prompt=None if prompt is None else DeveloperMessage(text=prompt),
    )


async def written(log: FaultyLog, made: Narrator, heard: Sequence[Event]) -> list[tuple[str, object]]:
    """Let the narrator hear events and write all; return what the log has."""
    for event in heard:
        made.hear(event)
    made.close()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(made.run)
            await made.written()
    return [(entry.name, entry.data.get("text")) for entry in await log.for_user("u").read("c")]


async def test_what_the_loop_tells_again_is_left_out() -> None:
    log = FaultyLog()
    made = narrator(log)
    refused = ToolFinished(turn="t", key="2.0", call_id="a", tool="tool", outcome="error", content=CONTENT)
    entries = measured(answer(1, "bad"), answer(2, "good ", prompt="again", calls=["a"]), refused)
    made.hear(MISSING)
    made.go_on(entries, fence=1)

    found = await written(
        log, made, [TextRetracted(text="bad"), REQUEST, RESULT, Token("new"), TextRetracted(text="new")]
    )

    assert found == [
        ("message", "x"),
        ("toolset_unavailable", None),
        ("token", "good "),
        ("tool_request", None),
        ("tool_result", "done"),
        ("token", "new"),
        ("text_retracted", "new"),
    ]


async def test_a_call_that_waits_is_shown_once() -> None:
    log = FaultyLog()
    first = narrator(log)
    first.begin(STARTED, fence=1)
    waiting = ApprovalRequired(call_id="a", tool="tool", arguments={}, digest="d")
    before = await written(log, first, [waiting])
    second = narrator(log)
    second.go_on(measured(answer(1, "", calls=["a"])), fence=2)

    assert await written(log, second, [waiting]) == before


async def test_a_log_that_cannot_be_read_is_told_from_the_journal() -> None:
    log = FaultyLog()
    log.is_down = True
    made = narrator(log)
    made.go_on(measured(answer(1, "one ")), fence=1)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(made.run)
            await made.tried()
            log.is_down = False
            made.hear(Token("two"))
            made.close()
            await made.written()

    found = [(entry.name, entry.data.get("text")) for entry in await log.for_user("u").read("c")]
    assert found == [("message", "x"), ("token", "one two")]


async def test_what_was_told_to_its_end_is_not_mended() -> None:
    log = FaultyLog()
    made = narrator(log)
    made.begin(STARTED, fence=1)
    made.end(NewEvent(name="complete", data={"request_id": "r"}), over=True)
    before = await written(log, made, [])
    await narrator(log).mend(fence=2)

    assert [entry.name for entry in await log.for_user("u").read("c")] == [name for name, _ in before]


async def test_a_turn_that_the_log_has_in_part_is_told_anew() -> None:
    log = FaultyLog()
    other = await log.for_user("u").open("c", fence=1)
    await other.append(events("of another turn"))
    made = narrator(log)
    made.go_on(measured(answer(1, "one ")), fence=2)

    found = await written(log, made, [Token("two")])

    assert found == [("token", "of another turn"), ("reset", None), ("message", "x"), ("token", "one two")]


async def test_who_has_lost_the_lease_says_nothing() -> None:
    log = FaultyLog()
    other = await log.for_user("u").open("c", fence=7)
    await told(other, "a")
    made = narrator(log, holds=False)
    made.begin(STARTED, fence=6)

    found = await written(log, made, [Token("lost")])
    made.hear(Token("lost as well"))

    assert found == [("token", "a")]


async def test_the_log_of_a_deleted_conversation_of_this_name_is_forgotten() -> None:
    log = FaultyLog()
    await told(await log.for_user("u").open("c", fence=7), "a")
    made = narrator(log)
    made.begin(STARTED, fence=1)

    assert await written(log, made, [Token("b")]) == [("message", "x"), ("token", "b")]


async def test_what_the_log_forgets_in_the_middle_is_told_anew() -> None:
    log = FaultyLog()
    made = narrator(log)
    made.begin(STARTED, fence=1)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(made.run)
            await made.tried()
            await log.for_user("u").forget("c")
            made.hear(Token("a"))
            await anyio.wait_all_tasks_blocked()
            made.end(NewEvent(name="complete", data={"request_id": "r"}), over=True)
            made.close()
            await made.written()

    found = await log.for_user("u").read("c")
    names = [entry.name for entry in found]
    assert names[names.index("reset") :] == ["reset", "message", "token", "complete"]
    assert (await log.for_user("u").standing("c")).mark == found[-1].id


class FailingVault:
    """A vault that fails once."""

    def __init__(self, fails_at: int) -> None:
        self.vault = MemoryVault()
        self._fails_at = fails_at
        self.calls = 0

    def for_user(self, user: str) -> UserVault:
        return _FailingUserVault(self, self.vault.for_user(user))

    async def erase_user(self, user: str) -> None:
        await self.vault.erase_user(user)

    def export_user(self, user: str) -> Any:
        return self.vault.export_user(user)

    async def aclose(self) -> None:
        await self.vault.aclose()

    def check(self) -> None:
        self.calls += 1
        if self.calls == self._fails_at:
            raise StoreUnavailable("the vault is down")


class _FailingUserVault:
    def __init__(self, faults: FailingVault, vault: UserVault) -> None:
        self._faults = faults
        self._vault = vault

    async def hide(self, values: Sequence[Private]) -> Sequence[str]:
        self._faults.check()
        return await self._vault.hide(values)

    async def reveal(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        return await self._vault.reveal(pseudonyms)


@pytest.mark.parametrize("fails_at", range(1, 9))
async def test_private_values_wait_for_a_vault_that_fails(fails_at: int) -> None:
    log = FaultyLog()
    made = narrator(log, vault=FailingVault(fails_at))
    made.begin(STARTED, fence=1)
    working = ToolProgress(call_id="a", tool="tool", progress=1, message="asking ann@example.org")

    found = await written(
        log,
        made,
        [
            ReasoningToken("Is it ann@exa"),
            Token("To ann@exa"),
            working,
            Token("mple.org and bob@example.org, "),
            Token("or carl@exam"),
            ReasoningToken("mple.org?"),
            Token("ple.org"),
            TextRetracted(text="To ann@example.org and bob@example.org, or carl@example.org"),
            Token("cut off at eve@example.or"),
        ],
    )

    stored = [(name, text) for name, text in found if name in ("token", "text_retracted")]
    texts = {name: "".join(str(text) for each, text in found if each == name) for name, _ in found}
    assert_no_leak(
        repr(await log.for_user("u").read("c")),
        ["ann@example.org", "bob@example.org", "carl@example.org", "eve@example"],
    )
    assert texts["token"].startswith(texts["text_retracted"])
    assert PSEUDONYMS.sub("<>", texts["text_retracted"]) == "To <> and <>, or <>"
    assert PSEUDONYMS.sub("<>", texts["reasoning_token"]) == "Is it <>?"
    assert all(str(text).count("<") == str(text).count(">") for _, text in stored)


async def test_an_error_ends_a_text_that_was_held_back() -> None:
    log = FaultyLog()
    made = narrator(log, vault=MemoryVault())
    made.begin(STARTED, fence=1)
    made.hear(Token("ann@example.org"))
    made.end(NewEvent(name="error", data={"request_id": "r", "text": "of ann@example.org"}), over=True)

    assert await written(log, made, []) == [("message", "x"), ("token", "<EMAIL_1>"), ("error", "of <EMAIL_1>")]
