"""Serves the front end by gunicorn: one worker process with many threads, as every stream and socket holds one."""

# gunicorn comes without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final, cast

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from examples.flask_demo.frontend.admin import make_admin_app, serve_beside
from examples.flask_demo.frontend.app import Frontend, make_frontend
from examples.flask_demo.frontend.logs import set_up_traces
from examples.flask_demo.frontend.settings import Settings
from examples.flask_demo.serving import address, settle

GRACE: Final = 10
"""Seconds that requests have to end after SIGTERM."""
KEPT: Final = 75
"""Seconds for which a connection without requests stays: longer than browsers and proxies keep theirs, so that none
sends a request just when its connection is closed."""
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  (for the worker's sign of life, where the disk is read-only)


class Server(BaseApplication):
    """The program. Its master process starts the worker again should it die."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.frontend: Frontend | None = None
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn our settings; none come from files, arguments or its own variables."""
        for name, value in self._options().items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        """Make the application, in the worker process, with the listener for operators beside it."""
        set_up_traces(self._settings.otlp_endpoint)
        made = self.frontend = make_frontend(self._settings)
        admin = make_admin_app(sessions=made.sessions, client=made.client, keys=made.keys, metrics=made.metrics)
        host, port = address(self._settings.admin_listen)
        serve_beside(admin, host, port)
        settle()
        return made.app

    def _options(self) -> dict[str, Any]:
        return {
            "bind": self._settings.listen,
            "workers": 1,  # as there is one listener for operators; more front ends are processes of their own
            "worker_class": Worker,
            "threads": self._settings.threads,
            "worker_connections": 2 * self._settings.threads,
            "keepalive": KEPT,
            "graceful_timeout": GRACE,
            "forwarded_allow_ips": "",  # nobody's word about an address or a scheme is taken here
            "control_socket_disable": True,
            "logger_class": Logs,
            "loglevel": "warning",
            "worker_tmp_dir": str(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else None,
        }


class Worker(ThreadWorker):
    """Tells the application that it ends, so that streams do not hold it up."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        super().handle_exit(sig, frame)
        if (made := cast("Server", self.app).frontend) is not None:
            threading.Thread(target=made.shut, name="shut", daemon=True).start()  # it takes locks


class Logs(Logger):
    """Hands gunicorn's records to the logging that is set up."""

    def setup(self, cfg: Any) -> None:
        """Add no handlers of its own."""
        self.cfg = cfg
        self.error_log.propagate = True
        self.error_log.setLevel(self.LOG_LEVELS[cfg.loglevel])
        self._access_log_enabled = False
