"""Whether journals are still what was written: `python -m examples.flask_demo.orchestrator audit verify [USER]`."""

from typing import TextIO

from assistant_kit.audit import verify
from assistant_kit.protocols.store import Store
from examples.flask_demo.orchestrator.databases import users_of


async def verify_users(store: Store, user: str | None, out: TextIO) -> bool:
    """Verify the audit chain of a user, or of all, and say what was found; tell whether all is well.

    The chain is about what is kept, which is encrypted: no key is needed. Raises StoreError.
    """
    users = wrong = 0
    try:
        await store.open()
        async for name in users_of(store, user):
            report = await verify(store.for_user(name))
            users += 1
            wrong += not report.ok
            word = "whole" if report.ok else "WRONG"
            out.write(f"{word}  {name}: {report.head.n} links, {report.records} records\n")
            out.writelines(f"       {finding}\n" for finding in report.findings)
    finally:
        await store.aclose()
    out.write(f"users={users} wrong={wrong}\n")
    return not wrong
