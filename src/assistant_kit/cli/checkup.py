"""`store check`: reads every journal of a store, and says what is damaged and what is not finished."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import islice

from assistant_kit.cli.addresses import masked, opened
from assistant_kit.cli.journal_check import JournalCheck
from assistant_kit.cli.screen import Screen, counted, moment
from assistant_kit.cli.unfinished import UNFINISHED, cause, free
from assistant_kit.entries import ToolFinished
from assistant_kit.errors import ConversationNotFound, DecryptionFailed, StoreCorrupt, UnreadableEntry
from assistant_kit.protocols.store import ConversationInfo, Record, Store, UserStore
from assistant_kit.stores._pages import all_conversations

PAGE = 200
"""Records or users read at once."""

_FINDINGS = 1000  # that are listed; more are counted
_FINDINGS_OF_ONE = 20
_ATTEMPTS = 5  # at a conversation that others write to meanwhile
_HOLD = 10.0  # seconds for which a lease is taken to look at it
_OWNER = "assistant-kit store check"


@dataclass(slots=True)
class _Seen:
    """What was read of one conversation. `damage` is places with what is wrong there."""

    check: JournalCheck
    damage: list[tuple[int | None, str]] = field(default_factory=list[tuple[int | None, str]])


async def all_users(store: Store, user: str | None) -> AsyncIterator[str]:
    """Yield all users of a store, or the one that is named."""
    if user is not None:
        yield user
        return
    after = ""
    while page := await store.users(after=after, limit=PAGE):
        for name in page:
            yield name
        after = page[-1]


async def check(address: str, screen: Screen, *, user: str | None, leases: bool) -> int:
    """Check a store. Return 1 if something is damaged. Raises StoreError, ConfigurationError."""
    async with opened(address) as store:
        checkup = _Checkup(store, leases=leases)
        async for name in all_users(store, user):
            await checkup.look_at_user(name)
        screen.line(masked(address))
        checkup.show(screen)
    return 1 if checkup.counts["damaged"] else 0


class _Checkup:
    """One look at a store."""

    def __init__(self, store: Store, *, leases: bool) -> None:
        self._store = store
        self._leases = leases
        self._free: set[tuple[str, str]] | None = None
        self.counts: Counter[str] = Counter()
        self._unfinished: list[tuple[str, ...]] = []
        self._unknown: list[tuple[str, ...]] = []
        self._damage: list[tuple[str, ...]] = []

    async def look_at_user(self, user: str) -> None:
        """Read all journals of a user."""
        self.counts["users"] += 1
        store = self._store.for_user(user)
        async for info in all_conversations(store):
            try:
                seen, info = await _look(store, info)  # noqa: PLW2901  (as it was when it was read)
                if self._leases and seen.check.turn:
                    await self._look_at_lease(store, user, info, seen)
            except ConversationNotFound:
                continue  # deleted meanwhile
            await self._note(user, info, seen)

    async def _look_at_lease(self, store: UserStore, user: str, info: ConversationInfo, seen: _Seen) -> None:
        """Compare where the store believes the unfinished turn to begin, which only a lease tells."""
        if not await self._is_free(user, info):
            return
        lease = await store.claim(info.conversation, owner=_OWNER, ttl=_HOLD)
        await store.release(lease)
        begins = seen.check.turn[0].seq
        if lease.seq == seen.check.seq and lease.open_turn != begins:
            where = "nowhere" if lease.open_turn is None else f"at record {lease.open_turn}"
            seen.damage.append((None, f"the unfinished turn begins at record {begins}, for the store {where}"))

    async def _is_free(self, user: str, info: ConversationInfo) -> bool:
        if self._free is None:
            turns = [turn for state in UNFINISHED for turn in await free(self._store, state)]
            self._free = {(turn.user, turn.conversation) for turn in turns}
        return (user, info.conversation) in self._free

    async def _note(self, user: str, info: ConversationInfo, seen: _Seen) -> None:
        place = (user, info.conversation)
        self.counts["conversations"] += 1
        self.counts["records"] += seen.check.seq
        self.counts["turns"] += seen.check.turns
        if info.state != "idle":
            self.counts[info.state] += 1
            held = not await self._is_free(user, info)
            words = "held: a worker has it, or had it until now" if held else _cause(seen.check)
            self._unfinished.append((info.state, *place, f"{moment(info.updated_at)}  {words}"))
        for (turn, key), measured in seen.check.unknown.items():
            assert isinstance(measured.entry, ToolFinished)  # noqa: S101  (what the check keeps there)
            self._unknown.append((*place, f"{moment(measured.at)}  {measured.entry.tool}  {turn}/{key}"))
        self.counts["unknown"] += len(seen.check.unknown)
        self.counts["damaged"] += bool(seen.damage)
        for seq, problem in islice(seen.damage, _FINDINGS_OF_ONE):
            self._damage.append((*place, "" if seq is None else f"record {seq}", problem))

    def show(self, screen: Screen) -> None:
        """Print what was found, and the counts last."""
        for title, rows in (
            ("unfinished turns", self._unfinished),
            ("calls of unknown outcome", self._unknown),
            ("damage", self._damage),
        ):
            if rows:
                screen.line()
                screen.line(title)
                screen.table(rows[:_FINDINGS])
            if len(rows) > _FINDINGS:
                screen.line(f"  … and {counted(len(rows) - _FINDINGS, 'line')} more")
        names = ("users", "conversations", "records", "turns", *UNFINISHED, "unknown", "damaged")
        screen.line()
        screen.line(" ".join(f"{name}={self.counts[name]}" for name in names))


async def _look(store: UserStore, info: ConversationInfo) -> tuple[_Seen, ConversationInfo]:
    """Read a conversation; anew if it was written to meanwhile. Raises ConversationNotFound."""
    seen = await _read_through(store, info)
    for _ in range(_ATTEMPTS):
        now = await _again(store, info) if seen.damage else info
        if now.updated_at == info.updated_at:
            break
        info, seen = now, await _read_through(store, now)
    return seen, info


async def _again(store: UserStore, info: ConversationInfo) -> ConversationInfo:
    async for now in all_conversations(store):
        if now.conversation == info.conversation:
            return now
    raise ConversationNotFound(info.conversation)


async def _read_through(store: UserStore, info: ConversationInfo) -> _Seen:
    seen = _Seen(JournalCheck(info.conversation))
    async for seq, found in _records(store, info):
        if isinstance(found, str):
            seen.check.lose_track()
            seen.damage.append((seq, found))
        else:
            seen.damage += [(seq, problem) for problem in seen.check.take(found)]
    seen.damage += [(None, problem) for problem in seen.check.compare(info)]
    return seen


async def _records(store: UserStore, info: ConversationInfo) -> AsyncIterator[tuple[int, Record | str]]:
    """Yield the records that the list tells of, or why one cannot be had."""
    for after in range(0, info.records, PAGE):
        before = min(after + PAGE, info.records) + 1
        try:
            page: Iterator[Record | str] = iter(await store.read(info.conversation, after=after, before=before))
        except _DAMAGE:
            async for one in _one_by_one(store, info, after, before):
                yield one
            continue
        for record in page:
            yield record.seq, record


async def _one_by_one(
    store: UserStore, info: ConversationInfo, after: int, before: int
) -> AsyncIterator[tuple[int, Record | str]]:
    for seq in range(after + 1, before):
        try:
            for record in await store.read(info.conversation, after=seq - 1, before=seq + 1):
                yield seq, record
        except _DAMAGE as error:
            yield seq, str(error)


_DAMAGE = (DecryptionFailed, StoreCorrupt, UnreadableEntry)


def _cause(check: JournalCheck) -> str:
    return cause(check.turn) if check.turn else "its entries cannot be read"
