"""Compares what the chain tells with what the journals hold, while others may be writing.

A write and its link are one, and links never change. So the chain is read first, then the journals, then the links that
have come meanwhile: a difference that one of these brings about is none.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final, Protocol, runtime_checkable

from assistant_kit.audit.chain import Appended, ChainCheck, Deleted, Erased, Renamed, Rewound, Step, Written, step_of
from assistant_kit.audit.readahead import Readahead, Seen
from assistant_kit.audit.report import MAX_FINDINGS, Anchor, AuditReport, Finding
from assistant_kit.audit.standing import Impossible, Standing
from assistant_kit.audit_chain import GENESIS, AuditLink
from assistant_kit.errors import ConversationNotFound
from assistant_kit.protocols.store import UserStore
from assistant_kit.stores._pages import all_conversations, all_links

_FINDINGS_OF_ONE: Final = 100
"""Findings kept of one conversation."""

_ROUNDED: Final = 1.0
"""Microseconds by which a time in seconds may differ from the same one in microseconds."""

_ATTEMPTS: Final = 10
"""Times to begin anew because the user was erased meanwhile."""


@runtime_checkable
class Keeping(Protocol):
    """A handle that changes what it stores, by encryption for one; the chain is about what is kept."""

    @property
    def kept(self) -> UserStore:
        """The handle on what is kept, and chained."""
        ...


async def anchor(store: UserStore) -> Anchor:
    """Return the end of the user's audit chain. Costs a few reads however long the chain is."""
    store = _kept(store)
    there, absent = Anchor(n=0, link=GENESIS), 1
    while links := await store.audit_log(after=absent - 1, limit=1):
        there, absent = Anchor(n=absent, link=links[0].link), 2 * absent
    while there.n + 1 < absent:
        middle = (there.n + absent) // 2
        if links := await store.audit_log(after=middle - 1, limit=1):
            there = Anchor(n=middle, link=links[0].link)
        else:
            absent = middle
    return there


async def verify(store: UserStore, *, anchor: Anchor | None = None) -> AuditReport:
    """Check the user's audit chain, and the user's journals and titles against it.

    Takes time in proportion to the history, and memory for a few thousand records and the names of conversations.
    Writing may go on meanwhile. With `anchor` the chain must hold that link where it was: otherwise somebody who can
    write to the store could cut its end off, or compute a whole new chain.
    """
    store = _kept(store)
    for _ in range(_ATTEMPTS - 1):
        verification = _Verification(store, anchor)
        if await verification.run():
            return verification.report()
    verification = _Verification(store, anchor)
    await verification.run()
    return verification.report()


def _kept(store: UserStore) -> UserStore:
    return store.kept if isinstance(store, Keeping) else store


@dataclass(slots=True)
class _Since:
    """What happened to a conversation while the journals were read."""

    cut: float = math.inf
    gone: bool = False
    renamed: bool = False

    def note(self, step: Step) -> None:
        match step:
            case Rewound(to=to):
                self.cut = min(self.cut, to)
            case Deleted():
                self.gone = True
            case Renamed():
                self.renamed = True
            case _:
                pass

    def explains(self, finding: Finding) -> bool:
        """Whether a difference came about meanwhile."""
        if finding.problem == "changed_title":
            return self.renamed or self.gone
        return self.gone or (finding.seq is not None and self.cut < finding.seq)


class _Verification:
    """One look at the chain, the journals, and the chain again."""

    def __init__(self, store: UserStore, anchor: Anchor | None) -> None:
        self._store = store
        self._anchor = anchor
        self._check = ChainCheck()
        self._standing = Standing()
        self._head = Anchor(n=0, link=GENESIS)
        self._conversations = 0
        self._records = 0
        self._in_chain: list[Finding] = []
        self._complete = True
        self._suspects: defaultdict[str, list[Finding]] = defaultdict(list)
        self._unexpected: list[str] = []
        self._lost: set[str] = set()
        self._astray: set[str] = set()
        self._totals: defaultdict[str, int] = defaultdict(int)
        self._beyond: dict[str, int] = {}
        self._since: defaultdict[str, _Since] = defaultdict(_Since)

    async def run(self) -> bool:
        """Read and compare everything. Return whether the chain is still the one that was read."""
        async with aclosing(all_links(self._store)) as links:
            async for link in links:
                self._take(link)
        self._head = Anchor(n=self._check.n, link=self._check.head)
        self._conversations = len(self._standing.conversations)
        unlisted = await self._compare_list()
        await self._compare_records()
        await self._look_beyond()
        for name in sorted(unlisted - self._lost):
            self._suspect(name, Finding(problem="unlisted_conversation"))
        return await self._catch_up()

    def _take(self, link: AuditLink) -> Step | None:
        """Check a link, and carry out its step. Return the step if it was possible."""
        found = list(self._check.take(link))
        if self._anchor is not None and link.n == self._anchor.n and link.link != self._anchor.link:
            found.append(Finding(problem="rewritten_chain", n=link.n))
        step = step_of(link)
        try:
            if step is not None:
                self._standing.take(step)
        except Impossible as error:
            found.append(Finding(problem="impossible_step", n=link.n, detail=str(error)))
            step = None
        self._in_chain += found[: MAX_FINDINGS + 1 - len(self._in_chain)]
        return step

    def _suspect(self, conversation: str, finding: Finding) -> None:
        suspects = self._suspects[conversation]
        if len(suspects) < _FINDINGS_OF_ONE:
            suspects.append(replace(finding, conversation=conversation))
        else:
            self._complete = False

    async def _compare_list(self) -> set[str]:
        """Compare titles, and return the conversations that are not listed."""
        expected = self._standing.conversations
        listed: set[str] = set()
        async with aclosing(all_conversations(self._store)) as infos:
            async for info in infos:
                name = info.conversation
                listed.add(name)
                if name in expected:
                    if hashlib.sha256(info.title.encode()).hexdigest() != expected[name].title:
                        self._suspect(name, Finding(problem="changed_title"))
                elif info.title or info.records or await self._newest(name):
                    self._unexpected.append(name)  # a claim is not chained: an empty conversation may be there
        return expected.keys() - listed

    async def _newest(self, name: str, *, after: int = 0) -> int | None:
        """Return the seq of the newest record; 0 when there is none, None when there is no conversation."""
        try:
            found = await self._store.read(name, after=after, limit=1)
        except ConversationNotFound:
            return None
        return found[-1].seq if found else 0

    def _lose(self, name: str) -> None:
        self._lost.add(name)
        self._suspect(name, Finding(problem="missing_conversation"))

    async def _compare_records(self) -> None:
        """Go along the chain once more, with the journals beside it."""
        readers = self._standing.readers()
        replay, journals = Standing(), Readahead(self._store)
        async with aclosing(all_links(self._store, upto=self._head.n)) as links:
            async for link in links:
                step = step_of(link)
                try:
                    place = None if step is None else replay.take(step)
                except Impossible:
                    continue
                if isinstance(step, Appended) and place is not None:
                    for name, upto in readers.get(place.segment, ()):
                        await self._compare(journals, name, place.seq, step.records[: max(0, upto - place.seq + 1)])

    async def _compare(self, journals: Readahead, name: str, seq: int, written: Sequence[Written]) -> None:
        if not written or name in self._lost:
            return
        try:
            found = await journals.records(name, seq, len(written))
        except ConversationNotFound:
            self._lose(name)
            return
        self._records += len(written)
        for number, (expected, seen) in enumerate(zip(written, found, strict=True), start=seq):
            self._totals[name] += expected.tokens
            finding = _difference(expected, seen, self._totals[name])
            known = finding is not None and finding.problem != "changed_record" and name in self._astray
            if finding is None or finding.problem == "changed_record":
                self._astray.discard(name)
            else:
                # Where one record was put in or taken out, all that follow stand elsewhere: that is one finding.
                self._astray.add(name)
            if finding is not None and not known:
                self._suspect(name, replace(finding, seq=number))

    async def _look_beyond(self) -> None:
        """Look for records behind the last one that the chain tells of."""
        for name, conversation in self._standing.conversations.items():
            if name not in self._lost:
                newest = await self._newest(name, after=conversation.length)
                if newest is None:
                    self._lose(name)
                elif newest > conversation.length:
                    self._beyond[name] = newest

    async def _catch_up(self) -> bool:
        """Read the links that have come meanwhile. Return False if the user was erased meanwhile."""
        if self._head.n:
            last = await self._store.audit_log(after=self._head.n - 1, limit=1)
            if not last or last[0].link != self._head.link:
                return False
        erased = False
        async with aclosing(all_links(self._store, after=self._head.n)) as links:
            async for link in links:
                step = self._take(link)
                if isinstance(step, Erased):
                    erased = True
                elif step is not None:
                    self._since[step.conversation].note(step)
        # Without any link there is nothing by which to notice an erasure but that it is over the next time.
        return not erased and (self._head.n > 0 or not any(self._of_conversations()))

    def report(self) -> AuditReport:
        """Return what was found."""
        found = list(islice(chain(self._of_chain(), self._of_conversations(), self._of_records()), MAX_FINDINGS + 1))
        return AuditReport(
            head=self._head,
            conversations=self._conversations,
            records=self._records,
            erased=self._check.erased,
            findings=tuple(found[:MAX_FINDINGS]),
            complete=self._complete and len(found) <= MAX_FINDINGS,
        )

    def _of_chain(self) -> Iterator[Finding]:
        yield from self._in_chain
        yield from self._check.blanks()
        if self._anchor is not None and self._anchor.n > self._check.n:
            yield Finding(problem="cut_chain", n=self._check.n, detail=f"the anchor is link {self._anchor.n}")

    def _of_conversations(self) -> Iterator[Finding]:
        for name in self._unexpected:
            if self._check.n == 0:
                yield Finding(problem="no_chain")
                return
            if name not in self._standing.conversations and name not in self._since:
                yield Finding(problem="unexpected_conversation", conversation=name)

    def _of_records(self) -> Iterator[Finding]:
        for name, suspects in self._suspects.items():
            since = self._since.get(name, _Since())
            yield from (finding for finding in suspects if not since.explains(finding))
        for name, newest in self._beyond.items():
            since = self._since.get(name, _Since())
            length = self._standing.conversations[name].length if not since.gone else newest
            if newest > length and since.cut == math.inf:
                yield Finding(problem="unexpected_record", conversation=name, seq=length + 1)


def _difference(expected: Written, seen: Seen | None, total: int) -> Finding | None:
    if seen is None:
        return Finding(problem="missing_record")
    if seen.record_id != expected.record_id:
        return Finding(problem="other_record", detail=f"{seen.record_id!r} in the place of {expected.record_id!r}")
    fields = {
        "kind": seen.kind == expected.kind,
        "tokens": seen.tokens == expected.tokens,
        "total_tokens": seen.total_tokens == total,
        "body": seen.sha256 == expected.sha256,
        "fence": expected.fence in (None, seen.fence),
        "at": expected.at_us is None or abs(seen.at * 1e6 - expected.at_us) <= _ROUNDED,
    }
    changed = [name for name, same in fields.items() if not same]
    return Finding(problem="changed_record", detail=", ".join(changed)) if changed else None
