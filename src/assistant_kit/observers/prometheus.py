"""Count what happens, and render it as text for Prometheus, without a dependency."""

from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Final

from assistant_kit.observers._facts import NANO, figures_of
from assistant_kit.observers._series import Histogram, Metric
from assistant_kit.protocols.observer import (
    ApprovalAsked,
    CallDelayed,
    CallRetried,
    Compacted,
    ConditionNoted,
    ModelCallBegan,
    ModelCallEnded,
    ModelReplaced,
    Notice,
    RunBegan,
    RunEnded,
    ToolAnswered,
    ToolCallBegan,
    ToolCallEnded,
)
from assistant_kit.protocols.policy import Condition

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""What an endpoint says that it sends."""
SECONDS: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.2,
    0.3,
    0.5,
    0.75,
    1.0,
    2.0,
    3.0,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
)
"""Bounds of the histograms of times; 0.2 is a goal that many set for what is added to the first token."""


class _Metrics:
    """All metrics. Their names, with their labels, are in docs/observability.md."""

    def __init__(self, most: int) -> None:
        self._most = most
        counter, gauge, times = self._counter, self._gauge, self._times
        self.runs = counter("runs_total", "Turns that have ended, or wait.", "assistant", "status")
        self.running = gauge("runs_in_progress", "Turns that go on now.", "assistant")
        self.run_seconds = times("run_seconds", "How long turns took.", "assistant")
        self.first_token = times("first_token_seconds", "Until a reader saw the first of an answer.", "assistant")
        self.added = times("added_first_token_seconds", "The part of it that was not the model's own.", "assistant")
        self.errors = counter("errors_total", "Turns that failed, by the class of the error.", "assistant", "error")
        self.model_calls = counter("model_calls_total", "Requests to models.", "model", "status", "error")
        self.model_seconds = times("model_call_seconds", "How long requests took that were answered.", "model")
        self.model_first = times("model_first_token_seconds", "Until a streamed answer began.", "model")
        self.tokens = counter("tokens_total", "Tokens, as providers reported them.", "model", "type")
        self.cost = counter("cost_dollars_total", "What requests cost that have a known price.", "model")
        self.user_cost = counter("user_cost_dollars_total", "The same by user.", "user")
        self.tool_calls = counter("tool_calls_total", "Calls of tools that were made.", "tool", "outcome")
        self.tool_seconds = times("tool_call_seconds", "How long calls of tools took.", "tool")
        self.answers = counter("tool_answers_total", "What models were told of calls.", "tool", "outcome")
        self.approvals = counter("approvals_asked_total", "Calls that wait for a decision.", "tool")
        self.on_the_way = gauge("calls_in_progress", "Calls of models and tools that go on now.", "kind", "name")
        self.retries = counter("retries_total", "Calls that were made again.", "kind", "name", "error")
        self.delays = counter("delays_total", "Calls that had to wait.", "kind", "name", "reason")
        self.fallbacks = counter("fallbacks_total", "Models asked in place of others.", "model", "to", "reason")
        self.compactions = counter("compactions_total", "Windows that were made smaller.", "strategy")
        self.changes = counter("condition_changes_total", "Changes of breakers, queues, limits.", "condition", "state")

    def lines(self) -> Iterator[str]:
        for metric in vars(self).values():
            if isinstance(metric, Metric | Histogram):
                yield from metric.lines()

    def _counter(self, name: str, text: str, *labels: str) -> Metric:
        return Metric(name=f"assistant_{name}", help=text, labels=labels, most=self._most)

    def _gauge(self, name: str, text: str, *labels: str) -> Metric:
        return Metric(name=f"assistant_{name}", help=text, labels=labels, most=self._most, type="gauge")

    def _times(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name=f"assistant_{name}", help=text, labels=labels, most=self._most, bounds=SECONDS)


class PrometheusObserver:
    """Counts what happens in this process, and renders it for a `/metrics` endpoint.

    `conditions` is asked at each rendering how things stand: `lambda: assistant.health().conditions`. Without it what
    was told of last is rendered. `by_user` counts cost by user, too: a label of which there are as many values as
    users. A metric has `max_series` sets of labels; the rest is counted together, with `(other)` for each label. It may
    be used by any number of threads and assistants.
    """

    def __init__(
        self,
        *,
        conditions: Callable[[], Mapping[str, Condition]] | None = None,
        by_user: bool = False,
        max_series: int = 1000,
    ) -> None:
        """Begin with nothing counted."""
        self._conditions = conditions
        self._by_user = by_user
        self._most = max_series
        self._metrics = _Metrics(max_series)
        self._known: dict[str, Condition] = {}
        self._lock = Lock()

    def render(self) -> str:
        """Return all metrics as text of the type `CONTENT_TYPE`. Raises what `conditions` raises."""
        now = None if self._conditions is None else self._conditions()
        with self._lock:
            lines = [*self._metrics.lines(), *_standing(self._known if now is None else now, self._most)]
        return "".join(f"{line}\n" for line in lines)

    def observe(self, notice: Notice) -> None:
        """Count a notice."""
        with self._lock:
            match notice:
                case RunBegan() | ModelCallBegan() | ToolCallBegan():
                    self._began(notice)
                case RunEnded():
                    self._run_ended(notice)
                case ModelCallEnded():
                    self._model_call_ended(notice)
                case ToolCallEnded():
                    self._tool_call_ended(notice)
                case ConditionNoted():
                    self._noted(notice)
                case _:
                    self._counted(notice)

    def _began(self, notice: RunBegan | ModelCallBegan | ToolCallBegan) -> None:
        metrics = self._metrics
        if isinstance(notice, RunBegan):
            metrics.running.add(notice.assistant)
        elif isinstance(notice, ModelCallBegan):
            metrics.on_the_way.add("model", notice.model)
        else:
            metrics.on_the_way.add("tool", notice.tool)

    def _run_ended(self, notice: RunEnded) -> None:
        metrics, assistant = self._metrics, notice.began.assistant
        metrics.running.add(assistant, by=-1)
        metrics.runs.add(assistant, notice.status)
        metrics.run_seconds.observe(assistant, value=notice.seconds)
        if notice.first_token is not None:
            metrics.first_token.observe(assistant, value=notice.first_token)
        if notice.added is not None:
            metrics.added.observe(assistant, value=notice.added)
        if notice.error:
            metrics.errors.add(assistant, notice.error)

    def _model_call_ended(self, notice: ModelCallEnded) -> None:
        metrics, model = self._metrics, notice.began.model
        metrics.on_the_way.add("model", model, by=-1)
        metrics.model_calls.add(model, notice.status, notice.error)
        if notice.status == "ok":
            metrics.model_seconds.observe(model, value=notice.seconds)
        if notice.first_token is not None:
            metrics.model_first.observe(model, value=notice.first_token)
        if notice.usage is not None:
            usage = notice.usage
            metrics.tokens.add(model, "input", by=usage.input_tokens)
            metrics.tokens.add(model, "output", by=usage.output_tokens)
            metrics.tokens.add(model, "cached", by=usage.cached_tokens)
            metrics.tokens.add(model, "reasoning", by=usage.reasoning_tokens)
        if notice.cost is not None:
            metrics.cost.add(model, by=notice.cost * NANO)
            if self._by_user and notice.began.user is not None:
                metrics.user_cost.add(notice.began.user, by=notice.cost * NANO)

    def _tool_call_ended(self, notice: ToolCallEnded) -> None:
        metrics, tool = self._metrics, notice.began.tool
        metrics.on_the_way.add("tool", tool, by=-1)
        metrics.tool_calls.add(tool, notice.outcome)
        metrics.tool_seconds.observe(tool, value=notice.seconds)

    def _noted(self, notice: ConditionNoted) -> None:
        change = notice.change
        self._metrics.changes.add(change.name, change.after)
        if not change.owner and (change.name in self._known or len(self._known) < self._most):
            self._known[change.name] = change.condition

    def _counted(
        self, notice: ToolAnswered | ApprovalAsked | CallRetried | CallDelayed | ModelReplaced | Compacted
    ) -> None:
        metrics = self._metrics
        match notice:
            case ToolAnswered():
                metrics.answers.add(notice.tool, notice.outcome)
            case ApprovalAsked():
                metrics.approvals.add(notice.tool)
            case CallRetried():
                metrics.retries.add(notice.call, notice.name, notice.error)
            case CallDelayed():
                metrics.delays.add(notice.call, notice.name, notice.reason)
            case ModelReplaced():
                metrics.fallbacks.add(notice.model, notice.to, notice.reason)
            case _:
                metrics.compactions.add(notice.strategy)


def _standing(conditions: Mapping[str, Condition], most: int) -> Iterator[str]:
    """Return how things stand: whether each is well, its state, and the figures behind it."""
    well = Metric(
        name="assistant_condition_ok", help="1 while it is well.", labels=("condition",), type="gauge", most=most
    )
    state = Metric(
        name="assistant_condition_state",
        help="1 for the state it is in.",
        labels=("condition", "state"),
        type="gauge",
        most=most,
    )
    figure = Metric(
        name="assistant_condition_figure",
        help="Figures of queues, breakers, budgets.",
        labels=("condition", "figure"),
        type="gauge",
        most=most,
    )
    for name, condition in conditions.items():
        well.add(name, by=condition.ok)
        state.add(name, condition.state)
        for what, number in figures_of(condition.data).items():
            figure.add(name, what, by=number)
    for metric in (well, state, figure):
        yield from metric.lines()
