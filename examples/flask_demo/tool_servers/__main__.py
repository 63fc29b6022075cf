"""Starts a tool server, or changes its master key: `… tool_servers calendar|notes|search [rotate]`."""

import argparse
import os
import sys
from collections.abc import Sequence

import anyio

from assistant_kit import AssistantKitError
from examples.flask_demo.environment import SettingsError
from examples.flask_demo.request_ids import RequestIDs
from examples.flask_demo.serving import ServerTLS, ServingError, listening, serve
from examples.flask_demo.telemetry import set_up_logging
from examples.flask_demo.tls import TLSError
from examples.flask_demo.tool_servers.server import (
    NAMES,
    Counted,
    Service,
    make_admin,
    make_server,
    make_service,
)
from examples.flask_demo.tool_servers.settings import VARIABLES, Settings, read_settings
from examples.flask_demo.tracing import Traces, exporting, with_request

CALLERS = ("orchestrator",)
_COMMANDS = "serve (the default), or put what is kept of users under the newest master key"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal: 0 then, 2 when it cannot start; of `rotate` 1 when something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.flask_demo.tool_servers",
        description="Tools of the web assistant, by MCP and by plain HTTP.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("command", choices=("serve", "rotate"), nargs="?", default="serve", help=_COMMANDS)
    asked = parser.parse_args(arguments)
    try:
        settings = read_settings(os.environ)
        if asked.command == "rotate":
            return 0 if anyio.run(_rotate, make_service(asked.name, settings)) else 1
        _run(asked.name, settings)
    except (SettingsError, ServingError, TLSError, AssistantKitError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


async def _rotate(service: Service) -> bool:
    if service.rotate is None:
        raise SettingsError(f"{service.name} keeps nothing under a master key: there is nothing to rotate")
    try:
        return await service.rotate(sys.stdout)
    finally:
        await service.close()


def _run(name: str, settings: Settings) -> None:
    set_up_logging(name, settings.log_level, more=[with_request])
    service = make_service(name, settings)
    app = Counted(RequestIDs(Traces(make_server(service, settings))))
    tls = None
    if settings.tls_dir is not None:
        tls = ServerTLS(directory=settings.tls_dir, name="tools", allowed=CALLERS)
    with exporting(name, settings.otlp_endpoint):
        serve(listening(app, settings.listen, tls=tls), listening(make_admin(service, app.text), settings.admin_listen))


if __name__ == "__main__":
    sys.exit(main())
