"""How many calls at once an upstream can take, found out by trying: more while it goes well, fewer when it does not.

Additive increase and multiplicative decrease (Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance", 1989), with the figures of Netflix concurrency-limits' `AIMDLimit`: a tenth less on a sign of
overload, and more only where the limit was in the way. That latency counts as such a sign, and that it is compared with
one measured now and then at a lower limit, is from Envoy's gradient controller (its `minRTT`).
"""

from dataclasses import dataclass, replace
from math import sqrt

from assistant_kit.errors import ConfigurationError

_CUT = 0.9
_SAMPLES = 20
"""A round has twice as many answers as the limit, and at least so many: the mean of fewer says little."""
_TOLERATED = 0.1
"""The share of calls in a round that may fail: a limit that is a tenth too high has more of them rejected."""
_PROBE_EVERY = 25
"""Rounds from one probe to the next."""
_PROBE_WEIGHT = 0.3
"""How far the newest probe moves the baseline: service times scatter, and so do means of few of them."""
_PROBE_AFTER_CUTS = 5
"""So many cuts in a row for latency: it may have risen for another reason than load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """Lets a limit follow what the upstream can take, between `minimum` and `maximum`.

    It falls by a tenth, once in a round trip, when more than a tenth of the calls time out, are rate-limited or find
    the upstream unavailable, and when they take more than `latency` times as long as at a low limit; None looks at
    errors alone. It rises by one after each good round in which it was what kept calls from running, faster before its
    first fall. A round has twice as many answers as the limit, 20 at least. How long calls take without load is
    measured in the first round and then in every 25th, with the limit lowered for it to 1 / (2 x `latency`).
    """

    minimum: int = 1
    maximum: int = 200
    latency: float | None = 1.4

    def __post_init__(self) -> None:
        """Raise ConfigurationError for limits that leave nothing to adapt."""
        if not 1 <= self.minimum <= self.maximum:
            raise ConfigurationError("Adaptive: minimum is at least 1, and maximum at least minimum")
        if self.latency is not None and not self.latency > 1:
            raise ConfigurationError("Adaptive: latency is a factor above 1, or None to look at errors alone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Where the search for the limit stands.

    An `epoch` ends with each cut and each probe: what began in an earlier one does not speak of the limit as it is.
    `baseline` is the seconds that a call takes without load. `answers`, their `seconds`, the `failures` and the `peak`
    of calls at once are of this round; `rounds` and `cuts` count since the last probe and in a row.
    """

    settings: Adaptive
    limit: float
    probing: bool
    epoch: int = 0
    cut_at: int = 0
    baseline: float | None = None
    rounds: int = 0
    cuts: int = 0
    answers: int = 0
    seconds: float = 0.0
    failures: int = 0
    peak: int = 0


def set_out(settings: Adaptive, limit: int) -> Course:
    """Begin at a limit, with a probe where latency is looked at."""
    start = float(min(max(limit, settings.minimum), settings.maximum))
    return Course(settings=settings, limit=start, probing=settings.latency is not None)


def allowed(course: Course) -> int:
    """Return how many calls may run at once now."""
    settings = course.settings
    if not course.probing or settings.latency is None:
        return int(course.limit)
    return max(settings.minimum, int(course.limit / (2 * settings.latency)))


def overloaded(course: Course, *, began_in: int) -> Course:
    """Learn that a call which began in epoch `began_in` met with an overload."""
    if began_in < course.cut_at:  # the overload that it met was answered by a cut already
        return course
    failures = course.failures + 1
    return _cut(course) if failures > _TOLERATED * _length(course) else replace(course, failures=failures)


def answered(course: Course, *, began_in: int, seconds: float, running: int) -> Course:
    """Learn that a call which began in epoch `began_in` took so many seconds, with `running` at once at its end."""
    if began_in != course.epoch:
        return course
    answers, total, peak = course.answers + 1, course.seconds + seconds, max(course.peak, running)
    longer = replace(course, answers=answers, seconds=total, peak=peak)
    return longer if answers < _length(course) else _concluded(longer)


def _length(course: Course) -> int:
    """Return how many answers make a round."""
    return max(_SAMPLES, 2 * allowed(course))


def _concluded(course: Course) -> Course:
    """Decide at the end of a round."""
    mean = course.seconds / course.answers
    fresh = replace(course, answers=0, seconds=0.0, failures=0, peak=0)
    if course.probing:
        baseline = _baseline(course, mean)
        return replace(fresh, baseline=baseline, probing=False, epoch=course.epoch + 1, rounds=0, cuts=0)
    if course.peak < int(course.limit):  # it kept nobody waiting: nothing can be said of a higher one or a lower one
        return fresh
    rounds, factor = course.rounds + 1, course.settings.latency
    late = factor is not None and course.baseline is not None and mean > factor * course.baseline
    if late:
        then = _cut(replace(fresh, rounds=rounds, cuts=course.cuts + 1))
    else:
        limit = min(_raised(course), float(course.settings.maximum))
        then = replace(fresh, limit=limit, rounds=rounds, cuts=0)
    due = then.rounds >= _PROBE_EVERY or then.cuts >= _PROBE_AFTER_CUTS
    return replace(then, probing=True, epoch=then.epoch + 1) if due and factor is not None else then


def _baseline(course: Course, mean: float) -> float:
    """Return what a probe makes of the baseline; one that is far too high was measured under load."""
    before, factor = course.baseline, course.settings.latency
    if before is None or factor is None or mean * factor < before:
        return mean
    return before + _PROBE_WEIGHT * (mean - before)


def _raised(course: Course) -> float:
    if course.cut_at:
        return course.limit + 1
    return sqrt(course.limit**2 + 2 * course.answers)  # before the first cut: what 1 / limit for each answer comes to


def _cut(course: Course) -> Course:
    limit, epoch = max(float(course.settings.minimum), course.limit * _CUT), course.epoch + 1
    return replace(course, limit=limit, epoch=epoch, cut_at=epoch, answers=0, seconds=0.0, failures=0, peak=0)
