"""What an OpenTelemetry observer has sent, kept in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from assistant_kit.observers.opentelemetry import OpenTelemetryObserver


@dataclass
class Collected:
    """Spans and metrics of an observer."""

    spans: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    metrics: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def observer(self, **options: Any) -> OpenTelemetryObserver:
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        return OpenTelemetryObserver(tracer_provider=tracers, meter_provider=MeterProvider([self.metrics]), **options)

    def text(self) -> str:
        spans = [span.to_json() for span in self.spans.get_finished_spans()]
        found = self.metrics.get_metrics_data()
        return "\n".join([*spans, "" if found is None else found.to_json()])

    @property
    def all(self) -> Sequence[ReadableSpan]:
        return self.spans.get_finished_spans()

    def tree(self) -> set[tuple[str, str | None]]:
        """Return the name of each span with that of its parent, if it has one."""
        by_id = {span.context.span_id: span.name for span in self.all if span.context is not None}
        return {(span.name, None if span.parent is None else by_id[span.parent.span_id]) for span in self.all}

    def points(self) -> Mapping[str, Sequence[HistogramDataPoint]]:
        """Return the points of each metric."""
        found = self.metrics.get_metrics_data()
        assert found is not None
        scopes = (scope for resource in found.resource_metrics for scope in resource.scope_metrics)
        return {
            metric.name: [point for point in metric.data.data_points if isinstance(point, HistogramDataPoint)]
            for scope in scopes
            for metric in scope.metrics
        }
