"""Starts the development provider: `python -m examples.flask_demo.identity`."""

import argparse
import os
import sys
from collections.abc import Sequence

from examples.flask_demo.environment import SettingsError
from examples.flask_demo.identity.app import make_app
from examples.flask_demo.identity.settings import VARIABLES, read_settings
from examples.flask_demo.serving import ServingError, listening, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal: 0 when it ended in good order, 2 when it could not start."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.flask_demo.identity",
        description="An identity provider for development: anybody signs in under any name.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    try:
        settings = read_settings(os.environ)
        serve(listening(make_app(settings), settings.listen))
    except (SettingsError, ServingError) as error:
        print(f"identity: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
