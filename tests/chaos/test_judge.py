"""The judge finds what is wrong: the evidence of a faultless run is spoilt in each way that matters."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.context import Context
from assistant_kit.protocols.store import Record
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.settings import Settings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.token_counters.upper_bound import UpperBound
from tests.chaos import ledger
from tests.chaos.judge import Acknowledged, Evidence, judge
from tests.chaos.orders import DELEGATE, Clerk, Deed, tools
from tests.chaos.turns import Blame

pytestmark = pytest.mark.anyio

Spoil: TypeAlias = Callable[[Evidence], None]
USER = "u"
KEY = (USER, "c")
ORDERS = ("r1 all", "r2 plain", "r3 write", "r4 delegate")


@dataclass
class Outdoors:
    """What the tools did."""

    deeds: list[Deed] = field(default_factory=list[Deed])

    async def do(self, deed: Deed, context: ToolContext) -> None:
        if deed.promise == "transactional":
            ledger.write(context.connection, deed)
        else:
            self.deeds.append(deed)


async def faultless() -> Evidence:
    """What is there after a run with all kinds of tools, a nested assistant among them."""
    store = MemoryStore(audit=True)
    outdoors = Outdoors()

    def named(name: str, *more: Any) -> Assistant[str]:
        return Assistant(
            Clerk(),
            tools=[*tools(outdoors), *more],
            store=store,
            settings=Settings(name=name),
            context=Context(token_counter=UpperBound()),
        )

    told: list[Acknowledged] = []
    async with named("desk", named("branch").as_tool(name=DELEGATE, description="")) as desk:
        for text in ORDERS:
            name = text.split()[0]
            result = await desk.run(text, user=USER, conversation="c", request_id=name)
            told.append(Acknowledged(order=name, outcome="completed", text=result.text))
    handle = store.for_user(USER)
    return Evidence(
        journals={
            (USER, info.conversation): await handle.read(info.conversation) for info in await handle.conversations()
        },
        deeds=[*outdoors.deeds, *ledger.in_memory(store.tables)],
        acknowledged=told,
        audited={USER: await handle.audit_log()},
    )


def renumbered(records: Iterable[Record]) -> list[Record]:
    """The records as a journal that never had others."""
    total = 0
    made: list[Record] = []
    for seq, record in enumerate(records, start=1):
        total += record.tokens
        made.append(replace(record, seq=seq, total_tokens=total))
    return made


def in_journal(change: Callable[[list[Record]], Iterable[Record]]) -> Spoil:
    """Spoil the journal, and let no audit tell."""

    def spoil(evidence: Evidence) -> None:
        evidence.journals = {**evidence.journals, KEY: list(change(list(evidence.journals[KEY])))}
        evidence.audited = {}

    return spoil


def without(kind: str, number: int = 0) -> Spoil:
    """Leave a record of a kind out, so that nothing but its meaning is missing."""

    def change(records: list[Record]) -> Iterable[Record]:
        missing = [record for record in records if record.kind == kind][number]
        return renumbered(record for record in records if record is not missing)

    return in_journal(change)


def twice(kind: str, number: int = 0) -> Spoil:
    """Let a record stand there again, under an id of its own."""

    def change(records: list[Record]) -> Iterable[Record]:
        again = [record for record in records if record.kind == kind][number]
        at = records.index(again) + 1
        return renumbered([*records[:at], replace(again, record_id="again"), *records[at:]])

    return in_journal(change)


def done_again(tool: str, *, key: str | None = None) -> Spoil:
    """Execute a call a second time."""

    def spoil(evidence: Evidence) -> None:
        deed = next(deed for deed in evidence.deeds if deed.tool == tool)
        evidence.deeds = [*evidence.deeds, deed if key is None else replace(deed, key=key)]

    return spoil


def not_done(tool: str) -> Spoil:
    """Let there be no trace of a call outside."""

    def spoil(evidence: Evidence) -> None:
        missing = next(deed for deed in evidence.deeds if deed.tool == tool)
        evidence.deeds = [deed for deed in evidence.deeds if deed is not missing]

    return spoil


def told(told: Acknowledged) -> Spoil:
    """Let a client have been told something else."""

    def spoil(evidence: Evidence) -> None:
        evidence.acknowledged = [*evidence.acknowledged, told]

    return spoil


def at_record(number: int, **change: Any) -> Spoil:
    """Change a record."""
    return in_journal(lambda records: [*records[:number], replace(records[number], **change), *records[number + 1 :]])


def says_otherwise(records: list[Record]) -> Iterable[Record]:
    return [replace(record, body=record.body.replace(b"pay=ok", b"pay=no")) for record in records]


def in_chain(change: Callable[[list[Any]], list[Any]]) -> Spoil:
    """Spoil the audit chain."""

    def spoil(evidence: Evidence) -> None:
        evidence.audited = {USER: change(list(evidence.audited[USER]))}

    return spoil


def held(evidence: Evidence) -> None:
    evidence.held = ["c"]


def also_elsewhere(evidence: Evidence) -> None:
    evidence.journals = {**evidence.journals, (USER, "other"): evidence.journals[KEY]}
    evidence.audited = {}


def unheard_of(evidence: Evidence) -> None:
    evidence.deeds = [*evidence.deeds, Deed(tool="put", what="r9/0.0", key="k")]


SPOILT: dict[str, tuple[Blame, Spoil]] = {
    "a once tool was executed twice": ("doubled", done_again("pay")),
    "a once tool was executed twice under two keys": ("doubled", done_again("pay", key="other")),
    "a keyed tool was executed under two keys": ("doubled", done_again("send", key="other")),
    "a transactional tool has written twice": ("doubled", done_again("write")),
    "a payment that is reported was never made": ("lost", not_done("pay")),
    "a write that is reported was never made": ("lost", not_done("write")),
    "a call was made that nobody asked for": ("lost", unheard_of),
    "a client was told of an order that is not there": ("lost", told(Acknowledged(order="r9", outcome="completed"))),
    "a client was told other words": ("lost", told(Acknowledged(order="r2", outcome="completed", text="other"))),
    "a client was told of a failure": ("lost", told(Acknowledged(order="r2", outcome="failed"))),
    "an order became two turns": ("doubled", also_elsewhere),
    "the last record is gone": ("lost", in_journal(lambda records: records[:-1])),
    "a record is gone": ("broken", in_journal(lambda records: [*records[:3], *records[4:]])),
    "a record stands there twice": ("doubled", in_journal(lambda records: [*records, records[-1]])),
    "an older holder has written": ("broken", at_record(3, fence=0)),
    "a record is older than the one before": ("broken", at_record(3, at=0.0)),
    "the total of tokens is wrong": ("broken", at_record(3, total_tokens=0)),
    "a record is not readable": ("broken", at_record(3, body=b"{}")),
    "an intent is missing": ("broken", without("tool_started")),
    "an end is missing": ("broken", without("tool_finished")),
    "an end stands there twice": ("doubled", twice("tool_finished")),
    "an answer stands there twice": ("broken", twice("model_responded")),
    "a beginning is missing": ("broken", without("turn_started", 1)),
    "a turn goes on after its end": ("broken", twice("turn_finished")),
    "the answer is not what the calls came to": ("broken", in_journal(says_otherwise)),
    "somebody still holds a lease": ("broken", held),
    "an audit link is missing": ("broken", in_chain(lambda links: [*links[:2], *links[3:]])),
    "the last audit link is missing": ("broken", in_chain(lambda links: links[:-1])),
    "two audit links have changed places": ("broken", in_chain(lambda links: [links[1], links[0], *links[2:]])),
    "an audit link says something else": (
        "broken",
        in_chain(lambda links: [replace(links[0], payload=b"{}"), *links[1:]]),
    ),
}


async def test_the_judge_has_nothing_to_say_about_a_faultless_run() -> None:
    evidence = await faultless()
    verdict = judge(evidence)

    assert verdict.violations == []
    assert verdict.unknown == 0
    assert [turn.order.name for turn in verdict.turns if turn.conversation == "u/c"] == ["r1", "r2", "r3", "r4"]
    assert len(evidence.deeds) == 13


@pytest.mark.parametrize("what", SPOILT)
async def test_the_judge_finds_what_is_wrong(what: str) -> None:
    evidence = await faultless()
    blame, spoil = SPOILT[what]
    spoil(evidence)

    assert blame in {violation.blame for violation in judge(evidence).violations}


async def test_calls_that_may_be_repeated_may_be_repeated() -> None:
    evidence = await faultless()
    for tool in ("look", "put", "send"):
        done_again(tool)(evidence)

    assert judge(evidence).violations == []
