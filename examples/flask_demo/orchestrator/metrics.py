"""What is counted of requests, beside what the assistant's observer counts: `web_…` in the form of Prometheus."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_OTHER: Final = "(other)"


@dataclass(slots=True)
class WebMetrics:
    """Counts in this process. Routes are patterns, so there are few of them."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter[tuple[str, str, int]])
    buckets: Counter[tuple[str, float]] = field(default_factory=Counter[tuple[str, float]])
    seconds: Counter[str] = field(default_factory=Counter[str])
    answered: Counter[str] = field(default_factory=Counter[str])
    readers: int = 0
    _lock: Lock = field(default_factory=Lock)

    def answer(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request whose answer has begun after so many seconds."""
        with self._lock:
            self.requests[method, route, status] += 1
            self.answered[route] += 1
            self.seconds[route] += seconds  # pyright: ignore[reportArgumentType]  (a Counter of floats)
            for bound in SECONDS:
                self.buckets[route, bound] += seconds <= bound

    def read(self, more: int) -> None:
        """Count those who read a stream now."""
        with self._lock:
            self.readers += more

    def render(self) -> str:
        """Return the metrics as text."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield "# HELP web_requests_total Requests that were answered."
        yield "# TYPE web_requests_total counter"
        for (method, route, status), count in sorted(self.requests.items()):
            yield f'web_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}'
        yield "# HELP web_request_seconds Until an answer began."
        yield "# TYPE web_request_seconds histogram"
        for route, count in sorted(self.answered.items()):
            for bound in SECONDS:
                yield f'web_request_seconds_bucket{{route="{route}",le="{bound}"}} {self.buckets[route, bound]}'
            yield f'web_request_seconds_bucket{{route="{route}",le="+Inf"}} {count}'
            yield f'web_request_seconds_sum{{route="{route}"}} {self.seconds[route]}'
            yield f'web_request_seconds_count{{route="{route}"}} {count}'
        yield "# HELP web_stream_readers Streams of events that are read now."
        yield "# TYPE web_stream_readers gauge"
        yield f"web_stream_readers {self.readers}"


class Measured:
    """Stands around an application, and counts its answers."""

    def __init__(self, app: ASGIApp, metrics: WebMetrics) -> None:
        """Take the application, and where to count."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = monotonic()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", _OTHER)
                self._metrics.answer(scope["method"], route, message["status"], monotonic() - begun)
            await send(message)

        await self._app(scope, receive, counted)
