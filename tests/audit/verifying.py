"""Histories that are told, copied, tampered with and verified."""

from typing import cast

from assistant_kit.audit import Anchor, AuditReport, verify
from assistant_kit.audit_chain import GENESIS, AuditLink, digest_of, link_after
from assistant_kit.protocols.store import UserStore
from assistant_kit.stores.memory import MemoryStore
from tests.audit.histories import Act, Copied, carry_out, copy_of

A_HISTORY = [
    Act("append", "a", number=3),
    Act("append", "b", number=1),
    Act("rename", "a", number=4),
    Act("fork", "a", "c", number=2),
    Act("append", "a", number=2),
    Act("rewind", "a", number=3),
    Act("append", "c", number=1),
    Act("append", "a", number=0),
]


async def told(*history: Act) -> UserStore:
    store = MemoryStore(audit=True).for_user("u")
    for act in history:
        await carry_out(store, act)
    return store


async def copied(*history: Act) -> Copied:
    return await copy_of(await told(*history))


async def verified(copy: Copied, *, anchor: Anchor | None = None) -> AuditReport:
    return await verify(cast("UserStore", copy), anchor=anchor)


def places(report: AuditReport) -> list[tuple[str, str | int | None, int | None]]:
    return [
        (finding.problem, finding.n if finding.conversation is None else finding.conversation, finding.seq)
        for finding in report.findings
    ]


def forged(previous: AuditLink | None, payload: bytes, *, at_us: int = 5) -> AuditLink:
    """Return a link whose hashes are right, as somebody can make who can write to the store."""
    n, before = (1, GENESIS) if previous is None else (previous.n + 1, previous.link)
    digest = digest_of(payload, b"salt")
    link = link_after(before, digest, at_us)
    return AuditLink(n=n, at_us=at_us, payload=payload, salt=b"salt", digest=digest, link=link)
