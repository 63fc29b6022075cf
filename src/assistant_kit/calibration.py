"""How a server's own count of a request relates to ours, and so what may be sent within its window."""

from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

RECENT = 64
"""Reports that are remembered: a freak one is forgotten after as many."""
ENOUGH = 3
"""Reports of more than a trivial size after which a server is known."""
TRIVIAL = 200
"""Tokens of a request that is too small to tell a tokenizer from what the server puts around the request."""
TEMPLATE = 300
"""Tokens that a server may put around requests that are smaller than all that were seen."""
OVERFLOW = 1.25
"""What a refused request is taken to have cost, compared with what was believed."""

_LEAST_RATIO = 0.5
_LEAST_SAFETY = 0.02


class _Report(NamedTuple):
    predicted: int
    reported: float


class Calibration:
    """What is known of one model on one server. Pure: no clock, no input or output.

    A server is taken to count at most `factor * predicted + fixed`: its tokenizer differs, and it adds a template of
    its own. Both follow the worst of the last 64 reports, with a safety of 10 % that shrinks to 2 % as reports come
    in. A `trusted` server, which is OpenAI's own, is known from the start: factor 1, nothing fixed, and no safety as
    long as it reports no more than was predicted.

    What always holds:

    - `0 <= budget(tokens) <= tokens`, and it never falls when `tokens` grows.
    - While a report is among the last 64, a request of its size fits only into what was reported for it, or more.
    - After `overflowed`, a request of that size does not fit into the same number of tokens again, until 64 more
      reports have come in.
    - The factor is never below 1. A server that reports less than was predicted is not believed: what was counted too
      high (pictures, reasoning) may be missing from the next request.
    - What is known stays known.

    So a server whose count is ours times a fixed ratio (at least a half) and up to 300 tokens of its own is never
    exceeded once it is known. One that reports less than half is passed over: it counts only what was not in its
    cache, or pictures were counted too high. Not locked: two threads at once may lose a report.
    """

    def __init__(self, *, trusted: bool = False) -> None:
        self._trusted = trusted
        self._telling: deque[_Report] = deque(maxlen=RECENT)
        self._trivial: deque[_Report] = deque(maxlen=RECENT)
        self._known = trusted
        self._factor = 1.0
        self._fixed = 0.0 if trusted else float(TEMPLATE)
        self._smallest = 0

    @property
    def known(self) -> bool:
        """Whether exact counts can be relied on. Until then, requests are to be counted by an upper bound."""
        return self._known

    def observe(self, predicted: int, reported: int) -> None:
        """Take note of what the server counted for a request.

        `predicted` is our exact count of the whole request, also while the server is not known; `reported` is 0 when
        the server says nothing.
        """
        if predicted <= 0 or reported < max(1, predicted * _LEAST_RATIO):
            return
        reports = self._telling if predicted >= TRIVIAL else self._trivial
        reports.append(_Report(predicted, reported))
        self._known = self._known or len(self._telling) >= ENOUGH
        if self._known:
            self._fit()

    def overflowed(self, predicted: int, *, limit: int = 0) -> None:
        """Take note that the server refused a request that was believed to fit.

        `predicted` is its count by the counter in use: an upper bound while the server is not known. `limit` is the
        tokens that the last budget was asked for; 0 when that is not at hand.
        """
        if predicted <= 0:
            return
        cost = max(OVERFLOW * self._cost(predicted), limit + 1.0)
        if not self._known:  # upper bounds are no reports: nothing is kept of them but a doubt
            self._factor = (cost - self._fixed) / predicted
            return
        reports = self._telling if predicted >= TRIVIAL else self._trivial
        reports.append(_Report(predicted, cost))
        self._fit()

    def budget(self, tokens: int) -> int:
        """Return how many tokens by our count may be sent, so that the server counts at most `tokens`.

        By an upper bound while the server is not known, then by the exact counter.
        """
        most = int((tokens - self._fixed) / self._factor)
        if most < self._smallest and not self._trusted:
            most = int((tokens - max(self._fixed, TEMPLATE)) / self._factor)
        return max(0, most)

    def _cost(self, predicted: int) -> float:
        return self._factor * predicted + self._fixed

    def _reports(self) -> Iterator[_Report]:
        return chain(self._telling, self._trivial)

    def _fit(self) -> None:
        """Lay a line over all reports.

        Its slope comes from the larger ones, in which the fixed part weighs least: a slope between two reports would be
        closer, and wrong as soon as they hold different kinds of text.
        """
        half = max((report.predicted for report in self._telling), default=0) / 2
        worst = max(
            (report.reported / report.predicted for report in self._telling if report.predicted >= half), default=1.0
        )
        safety = 1 + max(_LEAST_SAFETY, 0.3 / max(ENOUGH, len(self._telling)))
        if self._trusted and worst <= 1:
            safety = 1.0
        self._factor = max(1.0, worst * safety)
        self._fixed = max(
            0.0, *(report.reported * safety - self._factor * report.predicted for report in self._reports())
        )
        self._smallest = min(report.predicted for report in self._reports())
