"""What happens here in figures, in the text form of Prometheus."""

import threading
from collections.abc import Mapping
from typing import Final

BUCKETS: Final = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)
"""Seconds."""
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ABOUT: Final[Mapping[str, tuple[str, str]]] = {
    "web_requests_total": ("counter", "Requests of browsers, by route and status."),
    "web_upstream_requests_total": ("counter", "Requests to orchestrators, by instance and outcome."),
    "web_upstream_failovers_total": ("counter", "Requests that went on at another orchestrator."),
    "web_stream_readers": ("gauge", "Answers of orchestrators that browsers read now, streams most of them."),
    "web_sign_ins_total": ("counter", "Sign-ins, by outcome."),
    "web_refused_total": ("counter", "Requests that were refused, by reason."),
}
_SECONDS: Final = "web_request_seconds"
_Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters, gauges and one histogram; from any thread. Labels come from our own words only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, _Labels], float] = {}
        self._times: dict[_Labels, list[float]] = {}

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter or a gauge."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def took(self, seconds: float, **labels: str) -> None:
        """Count the time that a request took."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            row = self._times.setdefault(key, [0.0] * (len(BUCKETS) + 2))  # buckets, count, sum
            for place, bound in enumerate(BUCKETS):
                row[place] += seconds <= bound
            row[-2] += 1
            row[-1] += seconds

    def text(self) -> str:
        """Return all figures."""
        with self._lock:
            values, times = dict(self._values), {key: list(row) for key, row in self._times.items()}
        lines: list[str] = []
        for name, (kind, about) in _ABOUT.items():
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_braced(key)} {value:g}" for (of, key), value in sorted(values.items()) if of == name]
        lines += [f"# HELP {_SECONDS} Time until a response began.", f"# TYPE {_SECONDS} histogram"]
        for key, row in sorted(times.items()):
            bounds = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")
            lines += [
                f"{_SECONDS}_bucket{_braced((*key, ('le', bound)))} {count:g}"
                for bound, count in zip(bounds, row[:-1], strict=True)
            ]
            lines += [f"{_SECONDS}_count{_braced(key)} {row[-2]:g}", f"{_SECONDS}_sum{_braced(key)} {row[-1]:.6f}"]
        return "\n".join(lines) + "\n"


def _braced(labels: _Labels) -> str:
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{written}}}" if written else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
