"""Starts a tool server: `python -m examples.flask_demo.tool_servers calendar|notes|search`."""

import argparse
import os
import sys
from collections.abc import Sequence

from assistant_kit import AssistantKitError
from examples.flask_demo.environment import SettingsError
from examples.flask_demo.request_ids import RequestIDs
from examples.flask_demo.serving import ServerTLS, ServingError, listening, serve
from examples.flask_demo.telemetry import set_up_logging
from examples.flask_demo.tls import TLSError
from examples.flask_demo.tool_servers.server import NAMES, Counted, make_admin, make_server, make_service
from examples.flask_demo.tool_servers.settings import VARIABLES, Settings, read_settings
from examples.flask_demo.tracing import Traces, exporting, with_request

CALLERS = ("orchestrator",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal: 0 then, 2 when it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.flask_demo.tool_servers",
        description="Tools of the web assistant, by MCP and by plain HTTP.",
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=NAMES)
    name: str = parser.parse_args(arguments).name
    try:
        _run(name, read_settings(os.environ))
    except (SettingsError, ServingError, TLSError, AssistantKitError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


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
