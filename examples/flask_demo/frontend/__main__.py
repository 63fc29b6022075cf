"""Starts the front end: `python -m examples.flask_demo.frontend`."""

import argparse
import os
import sys
from collections.abc import Sequence

from examples.flask_demo.environment import SettingsError
from examples.flask_demo.frontend.logs import set_up_logs
from examples.flask_demo.frontend.server import Server
from examples.flask_demo.frontend.settings import VARIABLES, read_settings
from examples.flask_demo.service_tokens import KeyRing, KeysUnusable
from examples.flask_demo.tls import TLSError, client_context


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal: 0 when it ended in good order, 2 when it could not start."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.flask_demo.frontend",
        description="The pages of the web assistant.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    try:
        settings = read_settings(os.environ)
        KeyRing.from_file(settings.signing_keys)  # a file that cannot be used is found before anything starts
        if settings.tls_dir is not None:
            client_context(settings.tls_dir, "frontend")
    except (SettingsError, KeysUnusable, TLSError) as error:
        print(f"frontend: {error}", file=sys.stderr)
        return 2
    set_up_logs(settings.log_level)
    Server(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
