"""The command behind scripts/cancel-sweep."""

import argparse
import gc
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from tempfile import TemporaryDirectory

import anyio

from tests.cancellation.sweep import Tally, settings, sweep
from tests.services.postgres import running_postgres
from tests.services.valkey import running_valkey

SHOWN = 20
SERVERS = (running_postgres, running_valkey)


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Sweep, print what is left behind and the figures; 1 if anything is."""
    parser = argparse.ArgumentParser(prog="scripts/cancel-sweep", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only each so-manieth point")
    parser.add_argument("--only", default="", help="only settings that have this text in their name")
    parser.add_argument("--servers", action="store_true", help="with a real Postgres and a real Valkey, too")
    given = parser.parse_args()
    logging.disable()  # turns that are cancelled say so
    warnings.simplefilter("error")
    begun, tally = time.monotonic(), Tally(say=_say_some())
    with TemporaryDirectory() as nothing, ExitStack() as servers:
        addresses = [servers.enter_context(start()) for start in SERVERS] if given.servers else []
        # Each client reads the certificates of the world, which takes longer than a trial; loopback needs none.
        os.environ.pop("SSL_CERT_FILE", None)
        os.environ["SSL_CERT_DIR"] = nothing
        gc.freeze()  # what was imported is no garbage
        for index, setting in enumerate(settings(*addresses)):
            if given.only in str(setting):
                before = tally.points
                # Each setting begins at another point, so that together they see more of them.
                first = 1 + index % given.every
                anyio.run(partial(sweep, setting, tally, first=first, every=given.every), backend=setting.backend)
                say(f"{setting}: {tally.points - before}")
    say(f"points={tally.points} leaks={tally.leaks} seconds={time.monotonic() - begun:.0f}")
    return int(tally.leaks > 0 or not tally.points)


def _say_some() -> Callable[[str], None]:
    left = iter(range(SHOWN))
    return lambda text: None if next(left, None) is None else say(f"LEAK {text}")


if __name__ == "__main__":
    sys.exit(main())
