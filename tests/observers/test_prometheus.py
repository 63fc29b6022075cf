"""What is counted is rendered as text that Prometheus reads."""

import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf, isnan, nan

import pytest
from prometheus_client.parser import text_string_to_metric_families

from assistant_kit.observers.prometheus import SECONDS, PrometheusObserver
from assistant_kit.protocols.observer import (
    ConditionNoted,
    ModelCallBegan,
    ModelCallEnded,
    Notice,
    RunBegan,
    RunEnded,
    ToolCallBegan,
    ToolCallEnded,
)
from assistant_kit.protocols.policy import Condition, ConditionChanged
from assistant_kit.testing.conformance.observer import notices
from assistant_kit.usage import Usage

LINE = re.compile(
    r"# HELP assistant_[a-z_]+ [^\n]+|# TYPE assistant_[a-z_]+ (counter|gauge|histogram)|"
    r'assistant_[a-z_]+(\{([a-z]+="([^"\\\n]|\\["\\n])*"(,(?=[a-z])|(?=\})))+\})? '
    r"(NaN|[+-]Inf|-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?)"
)
"""A line of the text format, as its description has it; of names no more than are used."""
ASKED = ModelCallBegan(
    span=1, run="r", user="ann", model="m", upstream="m", streams=True, prompt_tokens=10, output_tokens=10
)
USED = Usage(requests=1, input_tokens=100, output_tokens=10, cached_tokens=60, reasoning_tokens=4)


def render(observer: PrometheusObserver) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples of a rendering, which is well-formed, each metric in one piece after its type."""
    text = observer.render()
    assert text == "" or text.endswith("\n")
    for line in text.split("\n")[:-1]:
        assert LINE.fullmatch(line), line
    types = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(types) == len(set(types)) == len(re.findall(r"^# HELP (\S+)", text, re.MULTILINE))
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        assert family.samples, family.name
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def value(observer: PrometheusObserver, name: str, /, **labels: str) -> float | None:
    return render(observer).get((f"assistant_{name}", frozenset(labels.items())))


def told(*some: Notice, by_user: bool = False, max_series: int = 1000) -> PrometheusObserver:
    observer = PrometheusObserver(by_user=by_user, max_series=max_series)
    for notice in some:
        observer.observe(notice)
    return observer


def test_nothing_is_rendered_of_nothing() -> None:
    assert PrometheusObserver().render() == ""


def test_all_that_happens_in_a_run_is_counted() -> None:
    observer = told(*notices("x"))
    found = {
        (name, *sorted(value for _, value in labels)): number
        for (name, labels), number in render(observer).items()
        if not name.endswith(("_bucket", "_sum"))
    }
    assert found == {
        ("assistant_runs_total", "completed", "x"): 1,
        ("assistant_runs_in_progress", "x"): 0,
        ("assistant_run_seconds_count", "x"): 1,
        ("assistant_first_token_seconds_count", "x"): 1,
        ("assistant_added_first_token_seconds_count", "x"): 1,
        ("assistant_model_calls_total", "", "ok", "openai:x"): 1,
        ("assistant_model_calls_total", "ModelUnavailable", "error", "openai:x"): 1,
        ("assistant_model_call_seconds_count", "openai:x"): 1,
        ("assistant_model_first_token_seconds_count", "openai:x"): 1,
        ("assistant_tokens_total", "input", "openai:x"): 90,
        ("assistant_tokens_total", "openai:x", "output"): 9,
        ("assistant_tokens_total", "cached", "openai:x"): 50,
        ("assistant_tokens_total", "openai:x", "reasoning"): 3,
        ("assistant_cost_dollars_total", "openai:x"): pytest.approx(0.0015),
        ("assistant_tool_calls_total", "ok", "x"): 1,
        ("assistant_tool_call_seconds_count", "x"): 1,
        ("assistant_tool_answers_total", "ok", "x"): 1,
        ("assistant_approvals_asked_total", "x"): 1,
        ("assistant_calls_in_progress", "model", "openai:x"): 0,
        ("assistant_calls_in_progress", "tool", "x"): 0,
        ("assistant_retries_total", "ModelUnavailable", "model", "x"): 1,
        ("assistant_delays_total", "model", "queue", "x"): 1,
        ("assistant_fallbacks_total", "outage", "x", "x"): 1,
        ("assistant_compactions_total", "x"): 1,
        ("assistant_condition_changes_total", "breaker x", "open"): 2,
        ("assistant_condition_ok", "breaker x"): 0,
        ("assistant_condition_state", "breaker x", "open"): 1,
        ("assistant_condition_figure", "breaker x", "calls"): 20,
        ("assistant_condition_figure", "breaker x", "rate"): 0.5,
        ("assistant_condition_figure", "breaker x", "by_a"): 1,
    }


@pytest.mark.parametrize("name", ['"', "\\", "\n", "\\n", 'a"b\\c\nd', "{}", 'x="1",y', "漢字", "\r", "\u2028", "#"])
def test_a_label_comes_back_as_it_went_out(name: str) -> None:
    observer = told(RunBegan(span=1, run="r", assistant=name, model="m"))

    assert value(observer, "runs_in_progress", assistant=name) == 1


def test_half_a_pair_of_utf_16_is_shown_as_a_question_mark() -> None:
    observer = told(RunBegan(span=1, run="r", assistant="\ud800", model="m"))

    assert value(observer, "runs_in_progress", assistant="?") == 1
    assert observer.render().encode()


def test_buckets_count_all_that_took_at_most_so_long() -> None:
    times = (0.001, 0.2, 0.2000001, 299.0, 300.0, 301.0)
    observer = told(*(ModelCallEnded(began=ASKED, status="ok", seconds=seconds) for seconds in times))

    found = {bound: value(observer, "model_call_seconds_bucket", model="m", le=f"{bound:g}") for bound in SECONDS}

    assert found == {bound: sum(seconds <= bound for seconds in times) for bound in SECONDS}
    assert value(observer, "model_call_seconds_bucket", model="m", le="+Inf") == 6
    assert value(observer, "model_call_seconds_count", model="m") == 6
    assert value(observer, "model_call_seconds_sum", model="m") == pytest.approx(sum(times))


def test_only_answered_requests_count_for_how_long_answers_take() -> None:
    failed = ModelCallEnded(began=ASKED, status="error", seconds=60.0, error="ModelTimeout")

    observer = told(ASKED, failed)

    assert value(observer, "model_calls_total", model="m", status="error", error="ModelTimeout") == 1
    assert value(observer, "model_call_seconds_count", model="m") is None


def test_calls_and_runs_in_progress_are_those_that_have_not_ended() -> None:
    run = RunBegan(span=1, run="r", assistant="helper", model="m")
    call = ToolCallBegan(span=2, run="r", user=None, tool="look", upstream="", effect="read")
    observer = told(run, replace(run, span=3), ASKED, call, replace(call, span=4))

    assert value(observer, "runs_in_progress", assistant="helper") == 2
    assert value(observer, "calls_in_progress", kind="tool", name="look") == 2
    assert value(observer, "calls_in_progress", kind="model", name="m") == 1

    observer.observe(RunEnded(began=run, status="failed", seconds=1, usage=Usage(), error="ModelBroke"))
    observer.observe(ToolCallEnded(began=call, outcome="error", seconds=1))

    assert value(observer, "runs_in_progress", assistant="helper") == 1
    assert value(observer, "calls_in_progress", kind="tool", name="look") == 1
    assert value(observer, "errors_total", assistant="helper", error="ModelBroke") == 1


def test_cost_by_user_is_counted_where_that_is_asked_for() -> None:
    paid = ModelCallEnded(began=ASKED, status="ok", seconds=1, usage=USED, cost=2_000_000_000)
    nobodys = replace(paid, began=replace(ASKED, user=None))

    assert "ann" not in told(paid, nobodys).render()
    observer = told(paid, paid, nobodys, by_user=True)
    assert value(observer, "user_cost_dollars_total", user="ann") == 4
    assert value(observer, "cost_dollars_total", model="m") == 6


def test_a_metric_has_no_more_series_than_it_may() -> None:
    runs = [RunBegan(span=number, run="r", assistant=f"a{number}", model="m") for number in range(10)]
    observer = told(*runs, max_series=3)

    found = {dict(labels)["assistant"]: number for (_, labels), number in render(observer).items()}
    assert found == {"a0": 1, "a1": 1, "a2": 1, "(other)": 7}

    for run in runs:
        observer.observe(RunEnded(began=run, status="completed", seconds=1, usage=Usage()))
    assert value(observer, "runs_in_progress", assistant="(other)") == 0


def test_states_that_were_told_are_shown_but_not_those_of_each_owner() -> None:
    def changed(name: str, owner: str = "") -> ConditionNoted:
        condition = Condition(ok=False, state="used up", data={"left": 0})
        return ConditionNoted(
            change=ConditionChanged(name=name, before="ok", after="used up", condition=condition, owner=owner)
        )

    observer = told(changed("one"), changed("quota", "ann"), changed("two"), changed("three"), max_series=2)

    found = render(observer)
    shown = {dict(labels)["condition"] for name, labels in found if name == "assistant_condition_ok"}
    assert shown == {"one", "two"}
    assert not any("ann" in str(labels) for _, labels in found)


def test_how_things_stand_is_asked_at_each_rendering_where_somebody_can_tell() -> None:
    now: dict[str, Condition] = {}

    def conditions() -> Mapping[str, Condition]:
        return now

    observer = PrometheusObserver(conditions=conditions)
    for notice in notices("x"):
        observer.observe(notice)
    assert value(observer, "condition_ok", condition="breaker x") is None

    now["bulkhead m"] = Condition(
        ok=True, state="waiting", data={"waiting": {"interactive": 3}, "service": nan, "longest": inf, "least": -inf}
    )
    assert value(observer, "condition_ok", condition="bulkhead m") == 1
    assert value(observer, "condition_state", condition="bulkhead m", state="waiting") == 1
    assert value(observer, "condition_figure", condition="bulkhead m", figure="waiting_interactive") == 3
    assert value(observer, "condition_figure", condition="bulkhead m", figure="longest") == inf
    assert value(observer, "condition_figure", condition="bulkhead m", figure="least") == -inf
    assert isnan(value(observer, "condition_figure", condition="bulkhead m", figure="service") or 0)


class Name(str):
    """A text that lets other threads have their turn while it is looked up."""

    __slots__ = ()

    def __hash__(self) -> int:
        time.sleep(0)  # gives up the interpreter's lock, and waits for nothing
        return 1


def test_threads_count_and_render_at_once() -> None:
    observer = PrometheusObserver()
    asked = replace(ASKED, model=Name("m"))
    ended = ModelCallEnded(began=asked, status="ok", seconds=0.1, first_token=0.05, usage=USED, cost=10)

    def work(_: int) -> None:
        for _ in range(50):
            observer.observe(asked)
            observer.observe(ended)
        render(observer)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))

    assert value(observer, "model_calls_total", model="m", status="ok", error="") == 200
    assert value(observer, "tokens_total", model="m", type="input") == 20_000
    assert value(observer, "calls_in_progress", kind="model", name="m") == 0
