"""Counters, gauges and histograms, and their text in the exposition format of Prometheus.

Source: prometheus.io/docs/instrumenting/exposition_formats, "Text-based format", version 0.0.4.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, isnan
from typing import Final, Literal

OTHER: Final = "(other)"
"""The value of every label of what is beyond the number of series that a metric may have."""
_Labels = tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Metric:
    """A counter or a gauge: a number for each set of values of its `labels`, of `most` such sets."""

    name: str
    help: str
    labels: _Labels = ()
    most: int = 1000
    type: Literal["counter", "gauge"] = "counter"
    _values: dict[_Labels, float] = field(default_factory=dict[_Labels, float])

    def add(self, *labels: str, by: float = 1) -> None:
        """Add to a number, which begins at 0."""
        labels = _bounded(labels, self._values, self.most)
        self._values[labels] = self._values.get(labels, 0) + by

    def lines(self) -> Iterator[str]:
        """Return the lines of this metric; none while there is no number."""
        yield from _head(self.name, self.help, self.type, self._values)
        for labels, value in self._values.items():
            yield _sample(self.name, self.labels, labels, value)


@dataclass(slots=True)
class _Counts:
    """What a histogram knows of one set of labels; `buckets` are not summed up yet."""

    buckets: list[int]
    total: float = 0.0


@dataclass(slots=True, kw_only=True)
class Histogram:
    """How many values were at most so much, for each set of values of its `labels`."""

    name: str
    help: str
    labels: _Labels = ()
    most: int = 1000
    bounds: Sequence[float]
    _values: dict[_Labels, _Counts] = field(default_factory=dict[_Labels, _Counts])

    def observe(self, *labels: str, value: float) -> None:
        """Count a value."""
        labels = _bounded(labels, self._values, self.most)
        counts = self._values.get(labels)
        if counts is None:
            counts = self._values[labels] = _Counts([0] * (len(self.bounds) + 1))
        counts.buckets[bisect_left(self.bounds, value)] += 1
        counts.total += value

    def lines(self) -> Iterator[str]:
        """Return the lines of this metric; none while there is no value."""
        yield from _head(self.name, self.help, "histogram", self._values)
        for labels, counts in self._values.items():
            so_far = 0
            for bound, number in zip((*self.bounds, inf), counts.buckets, strict=True):
                so_far += number
                names, values = (*self.labels, "le"), (*labels, _number(bound))
                yield _sample(f"{self.name}_bucket", names, values, so_far)
            yield _sample(f"{self.name}_sum", self.labels, labels, counts.total)
            yield _sample(f"{self.name}_count", self.labels, labels, so_far)


def _bounded(labels: _Labels, values: Mapping[_Labels, object], most: int) -> _Labels:
    """Return labels, or those of all that is too much: what never ends must not fill memory, here or at the server."""
    return labels if labels in values or len(values) < most else (OTHER,) * len(labels)


def _head(name: str, text: str, kind: str, values: Mapping[_Labels, object]) -> Iterator[str]:
    if values:
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} {kind}"


def _sample(name: str, names: Sequence[str], values: Sequence[str], number: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(names, values, strict=True))
    return f"{name}{{{pairs}}} {_number(number)}" if pairs else f"{name} {_number(number)}"


def _escaped(value: str) -> str:
    whole = value.encode(errors="replace").decode()  # half a pair of UTF-16 is no text
    return whole.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if not isfinite(value):
        return "NaN" if isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    return str(int(value)) if value == int(value) else repr(value)
