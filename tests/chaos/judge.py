"""The judge of what workers did under faults: journals and the outside world, held against what was promised."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from assistant_kit.audit_chain import FENCE_IS_TIME, GENESIS, AuditLink, digest_of, link_after
from assistant_kit.entries import ToolFinished
from assistant_kit.messages import Outcome, text_of
from assistant_kit.protocols.store import Record
from assistant_kit.registry import CHILD
from tests.chaos.orders import DELEGATE, Deed, Promise
from tests.chaos.turns import Turn, Violation, check_records, turns_in

KEPT = f"{CHILD}kept:"
"""What the names of conversations begin with that keep the whole texts of results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What a client was told about an order: its answer, or how its turn has ended without one."""

    order: str
    outcome: str
    text: str = ""


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What is there when everything has come to rest. Journals go by user and conversation, deeds in their order."""

    journals: Mapping[tuple[str, str], Sequence[Record]]
    deeds: Sequence[Deed]
    acknowledged: Sequence[Acknowledged] = ()
    held: Sequence[str] = ()
    audited: Mapping[str, Sequence[AuditLink]] = field(default_factory=dict[str, Sequence[AuditLink]])


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What was found."""

    turns: list[Turn]
    violations: list[Violation]

    @property
    def unknown(self) -> int:
        """Calls whose outcome nobody knows."""
        return sum(outcome == "unknown" for turn in self.turns for outcome in turn.became.values())

    def count(self, blame: str) -> int:
        return sum(violation.blame == blame for violation in self.violations)


def judge(evidence: Evidence) -> Verdict:
    """Hold the evidence against every promise."""
    turns: list[Turn] = []
    violations: list[Violation] = []
    for (user, conversation), records in evidence.journals.items():
        if conversation.startswith(KEPT):
            violations += check_records(f"{user}/{conversation}", records)
            continue
        found, wrong = turns_in(f"{user}/{conversation}", records)
        turns += found
        violations += wrong
    violations += check_requests(turns, evidence.acknowledged)
    violations += check_deeds(turns, evidence.deeds)
    violations += check_delegated(turns)
    violations += check_kept(turns, evidence.journals)
    violations += [Violation(blame="broken", text=f"{name} is still leased") for name in evidence.held]
    for user, links in evidence.audited.items():
        journals = {name: records for (owner, name), records in evidence.journals.items() if owner == user}
        violations += check_audit(user, links, journals)
    return Verdict(turns=turns, violations=violations)


def check_kept(turns: Iterable[Turn], journals: Mapping[tuple[str, str], Sequence[Record]]) -> Iterator[Violation]:
    """Check that of each result of which the model reads a part, the whole text is there, and begins and ends so."""
    for turn in turns:
        user = turn.conversation.partition("/")[0]
        for end in turn.entries:
            if not isinstance(end, ToolFinished) or not end.kept:
                continue
            records = journals.get((user, f"{KEPT}{end.kept}"), ())
            whole = "".join(piece for record in records for piece in json.loads(record.body))
            first, last = text_of(end.content).split("\n[… ")[0], text_of(end.content).rpartition("…]\n")[2]
            if not whole or not whole.startswith(first) or not whole.endswith(last):
                where = f"{turn.conversation} {turn.order.name}: call {end.call_id}"
                yield Violation(blame="lost", text=f"{where} was cut, and its whole text is not there")


def check_requests(turns: Iterable[Turn], acknowledged: Iterable[Acknowledged]) -> Iterator[Violation]:
    """Check that each order is one turn at most, and that an acknowledged one says what its client was told."""
    by_name: defaultdict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        by_name[turn.order.name].append(turn)
    for name, same in by_name.items():
        if len(same) > 1:
            yield Violation(blame="doubled", text=f"order {name} became {len(same)} turns")
    for told in acknowledged:
        if told.order not in by_name:
            yield Violation(blame="lost", text=f"order {told.order} was acknowledged and is not recorded")
            continue
        turn = by_name[told.order][0]
        if (told.outcome, told.text) != (turn.outcome, turn.text if told.outcome == "completed" else ""):
            recorded = f"{turn.outcome} {turn.text!r}"
            yield Violation(blame="lost", text=f"{told} was acknowledged, recorded is {recorded}")


def check_deeds(turns: Iterable[Turn], deeds: Iterable[Deed]) -> Iterator[Violation]:
    """Check that the outside world has what the journals say, no more and no less."""
    done: defaultdict[str, list[Deed]] = defaultdict(list)
    for deed in deeds:
        done[deed.what].append(deed)
    for turn in turns:
        for call in turn.calls:
            if call.name == DELEGATE:
                continue
            same = done.pop(call.call_id, [])
            yield from _check_call(turn, call.call_id, turn.became.get(call.call_id), same)
    for what, same in done.items():
        yield Violation(blame="lost", text=f"call {what} was made {len(same)} times and no record has it: {same[0]}")


def _check_call(turn: Turn, call_id: str, outcome: Outcome | None, same: Sequence[Deed]) -> Iterator[Violation]:
    where = f"{turn.conversation} {turn.order.name}: call {call_id}"
    keys = {deed.key for deed in same}
    if len(keys) > 1:
        yield Violation(blame="doubled", text=f"{where} was made under {len(keys)} idempotency keys")
    if outcome == "ok" and not same:
        yield Violation(blame="lost", text=f"{where} is reported ok and was never made")
    if outcome == "error" or (outcome == "denied" and same):
        yield Violation(blame="broken", text=f"{where} is reported as {outcome} and was made {len(same)} times")
    if same and same[0].promise in ("once", "keyed") and keys != turn.keys_of(call_id):
        yield Violation(blame="broken", text=f"{where} was made without a recorded intent of this key")
    if same:
        yield from _check_number(where, same[0].promise, outcome, len(same))


def _check_number(where: str, promised: Promise, outcome: Outcome | None, times: int) -> Iterator[Violation]:
    if promised in ("once", "transactional") and times > 1:
        yield Violation(blame="doubled", text=f"{where} was made {times} times (reported {outcome})")
    if promised == "transactional" and outcome != "ok":
        yield Violation(blame="lost", text=f"{where} took place without its record, which says {outcome}")


def check_delegated(turns: Sequence[Turn]) -> Iterator[Violation]:
    """Check that what another assistant was asked is one turn of its own, and that its answer was passed on."""
    for turn in turns:
        for call in turn.calls:
            if call.name != DELEGATE or turn.ends.get(call.call_id) != "ok":
                continue
            answers = [child.text for child in turns if child.order.name == call.call_id]
            if answers != [turn.words[call.call_id]]:
                where = f"{turn.conversation} {turn.order.name}: call {call.call_id}"
                yield Violation(blame="broken", text=f"{where} passed on other words than {answers}")


def check_audit(user: str, links: Sequence[AuditLink], journals: Mapping[str, Sequence[Record]]) -> Iterator[Violation]:
    """Check that a user's chain is whole, and that what it tells is what the journals hold."""
    previous = GENESIS
    told: dict[str, list[Told]] = {}
    for number, link in enumerate(links, start=1):
        if link.n != number or link.link != link_after(previous, link.digest, link.at_us):
            yield Violation(blame="broken", text=f"{user}: the audit chain breaks at link {number}")
        if link.payload is None or link.salt is None or digest_of(link.payload, link.salt) != link.digest:
            yield Violation(blame="broken", text=f"{user}: audit link {number} does not hold its payload")
        else:
            _retell(json.loads(link.payload), link.at_us, told)
        previous = link.link
    for earlier, later in pairwise(links):
        if later.at_us < earlier.at_us:
            yield Violation(blame="broken", text=f"{user}: audit link {later.n} is older than the one before it")
    for name, records in journals.items():
        expected = told.get(name, [])
        if len(records) != len(expected) or not all(map(_is_told, records, expected)):
            yield Violation(blame="broken", text=f"{user}/{name}: the audit chain tells of other records")


class Told(NamedTuple):
    """A record as the chain tells of it."""

    record_id: str
    sha256: str
    fence: int
    at_us: int


def _is_told(record: Record, told: Told) -> bool:
    digest = hashlib.sha256(record.body).hexdigest()
    same = (record.record_id, digest, record.fence) == (told.record_id, told.sha256, told.fence)
    return same and abs(record.at * 1e6 - told.at_us) <= 1


def _retell(payload: dict[str, Any], at_us: int, told: dict[str, list[Told]]) -> None:
    """Do again what a link of the chain says was done."""
    records = told.setdefault(payload["conversation"], [])
    match payload["do"]:
        case "append":
            fence = at_us if payload["fence"] == FENCE_IS_TIME else payload["fence"]
            records += [Told(record_id, digest, fence, at_us) for record_id, _, _, digest in payload["records"]]
        case "rewind":
            del records[payload["to"] :]
        case "delete":
            records.clear()
        case _:
            message = f"nothing here does {payload['do']}"
            raise AssertionError(message)
