"""Starts an orchestrator, or looks after what it keeps: `python -m examples.flask_demo.orchestrator [COMMAND]`."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import anyio

from assistant_kit import AssistantKitError
from assistant_kit.stores.encrypted import MasterKeys
from examples.flask_demo.environment import SettingsError, needed
from examples.flask_demo.orchestrator.audit import verify_users
from examples.flask_demo.orchestrator.databases import Databases
from examples.flask_demo.orchestrator.rotation import rotate
from examples.flask_demo.orchestrator.serve import run
from examples.flask_demo.orchestrator.settings import (
    FILES_FORM,
    VARIABLES,
    database_url,
    master_keys,
    read_settings,
)
from examples.flask_demo.service_tokens import KeysUnusable
from examples.flask_demo.serving import ServingError
from examples.flask_demo.tls import TLSError

_CANNOT_START = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes: 0 then, 2 when it cannot start; of the other commands 1 when something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.flask_demo.orchestrator",
        description="The orchestrator of the web assistant.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("keys", help="print a new master key, to be put before all others")
    commands.add_parser("rotate", help="put what is kept of all users under the newest master key")
    audit = commands.add_parser("audit", help="the audit log of conversations").add_subparsers(required=True)
    verifying = audit.add_parser("verify", help="see whether journals are what was written")
    verifying.add_argument("user", nargs="?", help="a user's id (default: all users)")
    asked = parser.parse_args(arguments)
    try:
        match asked.command:
            case "keys":
                sys.stdout.write(f"{MasterKeys.generate(f'{datetime.now(UTC):%Y-%m}')}\n")
            case "rotate":
                files_url = needed(os.environ, "FILES_URL", FILES_FORM)
                kept = Databases.at(database_url(os.environ)), files_url, master_keys(os.environ)
                return 0 if anyio.run(rotate, *kept, sys.stdout) else 1
            case "audit":
                store = Databases.at(database_url(os.environ)).kept()
                return 0 if anyio.run(partial(verify_users, store, asked.user, sys.stdout)) else 1
            case _:
                run(read_settings(os.environ))
    except (SettingsError, KeysUnusable, ServingError, TLSError, AssistantKitError) as error:
        sys.stderr.write(f"error: {error}\n")
        return _CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
