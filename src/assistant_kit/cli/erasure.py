"""`store erase`: erases a user, and looks everywhere whether anything is left."""

from collections.abc import AsyncIterator, Sequence

from assistant_kit.audit import anchor
from assistant_kit.cli.addresses import Wrapping, opened
from assistant_kit.cli.checkup import PAGE, all_users
from assistant_kit.cli.screen import Screen, counted
from assistant_kit.cli.unfinished import UNFINISHED, free
from assistant_kit.errors import ConversationNotFound
from assistant_kit.protocols.store import ConversationInfo, Store, UserStore
from assistant_kit.stores._pages import all_conversations, all_links

_ERASED = "erased-"  # the audit chains of erased users pass to users whose names begin so


async def erase(address: str, screen: Screen, *, user: str, yes: bool) -> int:
    """Erase a user. Return 1 if anything is left of the user, 2 if nothing was done as nobody said yes."""
    async with opened(address) as store:
        journals = store.for_user(user)
        kept = [info async for info in all_conversations(journals)]
        links = (await anchor(journals)).n
        if not kept and not links:
            screen.line(f"nothing is kept of user {user}")
            return 0
        held = ", ".join(
            (
                counted(len(kept), "conversation"),
                counted(sum(info.records for info in kept), "record"),
                counted(links, "audit link"),
            )
        )
        if not yes:
            screen.line(f"user {user} has {held}: to erase all of it, add --yes")
            return 2
        chains = {name async for name in _erased_users(store)}
        await journals.erase()
        # What a store keeps around another one, by encryption for one, is looked for in that.
        inside = store.kept if isinstance(store, Wrapping) else store
        found = [line async for line in _left(inside, user, kept)]
        heirs = [name async for name in _erased_users(store) if name not in chains]
        found += [line for heir in heirs async for line in _payloads(store.for_user(heir), heir)]
    screen.line(f"erased: {held}")
    for heir in heirs:
        screen.beside("", f"the audit chain lives on without its content, as user {heir}")
    for line in found:
        screen.beside("LEFT  ", line)
    if not found:
        screen.line("a scan of the store finds nothing of this user")
    return 1 if found else 0


async def _left(store: Store, user: str, kept: Sequence[ConversationInfo]) -> AsyncIterator[str]:
    """Yield what can still be found of a user, by all the ways there are."""
    journals = store.for_user(user)
    if user in [name async for name in all_users(store, None)]:
        yield "the user is listed"
    async for info in all_conversations(journals):
        yield f"conversation {info.conversation!r} is listed"
    for info in kept:
        try:
            await journals.read(info.conversation, limit=1)
        except ConversationNotFound:
            continue
        yield f"conversation {info.conversation!r} can be read"
    if await journals.audit_log(limit=1):
        yield "the audit chain has links"
    for turn in [turn for state in UNFINISHED for turn in await free(store, state) if turn.user == user]:
        yield f"an unfinished turn of conversation {turn.conversation!r} is listed"


async def _payloads(chain: UserStore, heir: str) -> AsyncIterator[str]:
    """Yield which links of an erased chain still say something; the last one notes the erasure."""
    end = (await anchor(chain)).n
    async for link in all_links(chain, upto=end - 1):
        if link.payload is not None or link.salt is not None:
            yield f"link {link.n} of {heir} still has its payload or salt"


async def _erased_users(store: Store) -> AsyncIterator[str]:
    after = _ERASED
    while page := await store.users(after=after, limit=PAGE):
        for name in page:
            if not name.startswith(_ERASED):
                return
            yield name
        after = page[-1]
