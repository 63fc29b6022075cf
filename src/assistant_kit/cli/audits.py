"""`audit verify | anchor`: whether the journals are still what was written."""

from assistant_kit.audit import Anchor, AuditReport, anchor, verify
from assistant_kit.cli.addresses import opened
from assistant_kit.cli.checkup import all_users
from assistant_kit.cli.screen import Screen, counted


async def verify_users(address: str, screen: Screen, *, user: str | None, anchored: str | None) -> int:
    """Verify the audit chain of a user, or of all. Return 1 if something is wrong.

    Raises InputError for what is no anchor, StoreError, ConfigurationError.
    """
    at = None if anchored is None else Anchor.parse(anchored)
    users = wrong = 0
    async with opened(address) as store:
        async for name in all_users(store, user):
            report = await verify(store.for_user(name), anchor=at)
            users += 1
            wrong += not report.ok
            _show(screen, name, report)
    screen.line(f"users={users} wrong={wrong}")
    return 1 if wrong else 0


def _show(screen: Screen, user: str, report: AuditReport) -> None:
    links = counted(report.head.n, "link")
    compared = f"{counted(report.conversations, 'conversation')}, {counted(report.records, 'record')}"
    erased = ", erased" if report.erased else ""
    screen.beside("whole  " if report.ok else "WRONG  ", f"{user}: {links}, {compared}{erased}")
    for finding in report.findings:
        screen.beside("       ", str(finding))
    if not report.complete:
        screen.line("       … and more")


async def show_anchor(address: str, screen: Screen, *, user: str) -> int:
    """Print the end of a user's audit chain, to be written down elsewhere."""
    async with opened(address) as store:
        screen.line(str(await anchor(store.for_user(user))))
    return 0
