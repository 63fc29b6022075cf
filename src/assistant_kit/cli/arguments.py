"""What may be written behind `assistant-kit`, and which command it means."""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NoReturn, TypeAlias

from assistant_kit import __version__
from assistant_kit.cli.audits import show_anchor, verify_users
from assistant_kit.cli.checkup import check
from assistant_kit.cli.erasure import erase
from assistant_kit.cli.migration import migrate, print_sql
from assistant_kit.cli.moving import export, import_file
from assistant_kit.cli.screen import Screen
from assistant_kit.cli.timeline import Place, inspect, inspect_as_json
from assistant_kit.cli.turns import close, recover, retry

Command: TypeAlias = Callable[[Screen], Awaitable[int]]
"""A command with its arguments; it returns the exit status."""

_URL = "address of the store: sqlite:///chat.db, postgresql://…, redis://…"
_APP = "where the application's Assistant is, or a function that makes it: module:name"


class UsageError(Exception):
    """The arguments make no sense; the message says which, and how they are written."""


class _Parser(argparse.ArgumentParser):
    """A parser that leaves it to its caller to print and to exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help says more)")


def command_of(argv: Sequence[str]) -> Command:
    """Return what the arguments ask for. Raises UsageError; SystemExit after --help and --version."""
    parser = _Parser(prog="assistant-kit", description="Look after the stores of assistants.")
    parser.add_argument("--version", action="version", version=f"assistant-kit {__version__}")
    groups = parser.add_subparsers(metavar="COMMAND", required=True)
    store = groups.add_parser("store", help="make, check, repair, move and erase what is stored")
    _store_commands(store.add_subparsers(metavar="COMMAND", required=True))
    audit = groups.add_parser("audit", help="prove from the audit chain that nothing was changed")
    _audit_commands(audit.add_subparsers(metavar="COMMAND", required=True))
    _inspect(groups.add_parser("inspect", help="show what happened in a conversation, entry by entry"))
    given = parser.parse_args(argv)
    command: Command = given.command(given)
    return command


def _store_commands(commands: Any) -> None:
    _migrate(commands.add_parser("migrate", help="make a store, or bring it up to date"))
    _check(commands.add_parser("check", help="read every journal; list damage and unfinished turns"))
    _recover(commands.add_parser("recover", help="finish turns whose worker has died"))
    _retry(commands.add_parser("retry", help="try once more to finish a parked turn"))
    _close(commands.add_parser("close", help="end an unfinished turn without an answer"))
    _export(commands.add_parser("export", help="write a user's data as lines of JSON"))
    _import(commands.add_parser("import", help="make the conversations of an export in a store"))
    _erase(commands.add_parser("erase", help="erase all that is kept of a user"))


def _audit_commands(commands: Any) -> None:
    _verify(commands.add_parser("verify", help="compare journals and titles with the audit chain"))
    _anchor(commands.add_parser("anchor", help="print the end of a chain, to be kept elsewhere"))


def _on_store(parser: argparse.ArgumentParser, *, user: str | None = None) -> None:
    parser.add_argument("url", metavar="URL", help=_URL)
    if user is not None:
        parser.add_argument("--user", required=True, metavar="USER", help=user)


def _on_conversation(parser: argparse.ArgumentParser) -> None:
    _on_store(parser, user="whose conversation it is")
    parser.add_argument("--conversation", required=True, metavar="NAME", help="the conversation")


def _means(parser: argparse.ArgumentParser, command: Callable[[Any], Command]) -> None:
    """Set what these arguments, once parsed, ask for."""
    parser.set_defaults(command=command)


def _migrate(parser: argparse.ArgumentParser) -> None:
    _on_store(parser)
    parser.add_argument("--sql", action="store_true", help="print the SQL for review, and change nothing")
    parser.add_argument("--after", type=_version, default=0, metavar="VERSION", help="with --sql: what is there (0)")
    _means(
        parser,
        lambda given: partial(print_sql, given.url, after=given.after) if given.sql else partial(migrate, given.url),
    )


def _check(parser: argparse.ArgumentParser) -> None:
    _on_store(parser)
    parser.add_argument("--user", metavar="USER", help="look at this user only")
    parser.add_argument("--leases", action="store_true", help="also take the lease of unfinished turns for a moment")
    _means(parser, lambda given: partial(check, given.url, user=given.user, leases=given.leases))


def _recover(parser: argparse.ArgumentParser) -> None:
    _on_store(parser)
    parser.add_argument("--app", required=True, metavar="APP", help=_APP)
    parser.add_argument("--limit", type=_positive, default=100, metavar="N", help="turns taken up at once (100)")
    _means(parser, lambda given: partial(recover, given.url, app=given.app, limit=given.limit))


def _retry(parser: argparse.ArgumentParser) -> None:
    _on_conversation(parser)
    parser.add_argument("--app", required=True, metavar="APP", help=_APP)
    _means(
        parser,
        lambda given: partial(retry, given.url, app=given.app, user=given.user, conversation=given.conversation),
    )


def _close(parser: argparse.ArgumentParser) -> None:
    _on_conversation(parser)
    parser.add_argument("--reason", default="closed by hand", metavar="TEXT", help="what the journal says of it")
    _means(
        parser,
        lambda given: partial(close, given.url, user=given.user, conversation=given.conversation, reason=given.reason),
    )


def _export(parser: argparse.ArgumentParser) -> None:
    _on_store(parser, user="whose data is exported")
    parser.add_argument("--conversation", metavar="NAME", help="this conversation only")
    parser.add_argument("-o", "--output", default="-", metavar="FILE", help="where to (standard output)")
    _means(
        parser,
        lambda given: partial(export, given.url, user=given.user, conversation=given.conversation, target=given.output),
    )


def _import(parser: argparse.ArgumentParser) -> None:
    _on_store(parser, user="whose conversations they become")
    parser.add_argument("file", metavar="FILE", help="an export; - stands for standard input")
    _means(parser, lambda given: partial(import_file, given.url, user=given.user, source=given.file))


def _erase(parser: argparse.ArgumentParser) -> None:
    _on_store(parser, user="whose data is erased")
    parser.add_argument("--yes", action="store_true", help="do it; otherwise it is only told what there is")
    _means(parser, lambda given: partial(erase, given.url, user=given.user, yes=given.yes))


def _verify(parser: argparse.ArgumentParser) -> None:
    _on_store(parser)
    parser.add_argument("--user", metavar="USER", help="look at this user only")
    parser.add_argument("--anchor", metavar="N:HEX", help="an anchor of this user that was kept elsewhere")

    def command(given: Any) -> Command:
        if given.anchor is not None and given.user is None:
            parser.error("--anchor needs --user: it belongs to one chain")
        return partial(verify_users, given.url, user=given.user, anchored=given.anchor)

    _means(parser, command)


def _anchor(parser: argparse.ArgumentParser) -> None:
    _on_store(parser, user="whose chain it is")
    _means(parser, lambda given: partial(show_anchor, given.url, user=given.user))


def _inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help=_URL)
    parser.add_argument("conversation", metavar="CONVERSATION", help="the conversation")
    parser.add_argument("--user", required=True, metavar="USER", help="whose conversation it is")
    parser.add_argument("--turn", metavar="ID", help="one turn only, by the beginning of its id")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--full", action="store_true", help="whole texts, ids and keys")
    shape.add_argument("--json", action="store_true", help="one record a line, as JSON")

    def command(given: Any) -> Command:
        where = Place(given.url, given.user, given.conversation, given.turn)
        return partial(inspect_as_json, where) if given.json else partial(inspect, where, full=given.full)

    _means(parser, command)


def _positive(text: str) -> int:
    return _at_least(1, text)


def _version(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"a number from {least} on, not {number}")
    return number
