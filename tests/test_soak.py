"""A few seconds of the soak, with many faults in them; the rest is `./scripts/soak`."""

from pathlib import Path

import pytest

from tests.soak.plan import MODEL_FAULTS, SURELY_RETRIED, TOOL_FAULTS, Plan
from tests.soak.resources import Standing, growth
from tests.soak.soak import Soak, run

REFS = [f"{person}.1.{turn}" for person in range(200) for turn in range(10)]


def test_people_see_no_error_that_a_policy_should_have_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))  # each client reads the world's certificates; loopback needs none
    wrong: list[str] = []
    soak = Soak(seconds=2, conversations=20, faults=0.1, store="memory", pause=0.2, silence=0.8)
    report = run(soak, wrong.append)

    assert wrong == []
    assert (report.tally.violations, report.tally.unaccounted, report.leaked) == (0, 0, 0)
    assert report.tally.completed > 20
    assert report.faults > 0
    assert report.tally.retried + report.tally.fell_back > 0


def test_a_plan_is_kept_by_everybody_and_has_every_fault() -> None:
    plan, same, other = Plan(seed=1, rate=0.2), Plan(seed=1, rate=0.2), Plan(seed=2, rate=0.2)
    faults = [plan.model_fault("first", ref, 1, 1) for ref in REFS]
    assert faults == [same.model_fault("first", ref, 1, 1) for ref in REFS]
    assert faults != [other.model_fault("first", ref, 1, 1) for ref in REFS]
    assert {fault for fault in faults if fault is not None} == set(MODEL_FAULTS)
    assert 0.15 < sum(fault is not None for fault in faults) / len(REFS) < 0.25
    assert {plan.tool_fault("pay", ref) for ref in REFS} == {*TOOL_FAULTS, None}


def test_an_error_may_be_seen_only_where_both_models_fail() -> None:
    plan = Plan(seed=1, rate=0.3)
    may_fail = [ref for ref in REFS if plan.may_fail(ref, 1)]
    assert 0 < len(may_fail) < len(REFS) / 10
    for ref in may_fail:
        for model in ("first", "second"):
            faults = [plan.model_fault(model, ref, 1, attempt) for attempt in (1, 2, 3)]
            assert faults[0] is not None
            assert None not in faults or any(fault is not None and fault not in SURELY_RETRIED for fault in faults)


def test_memory_is_held_against_its_second_quarter() -> None:
    assert growth([900, 100, 100, 110]) == pytest.approx(10)
    assert growth([1, 1]) == 0


def test_what_is_open_is_counted(tmp_path: Path) -> None:
    before = Standing.now()
    with (tmp_path / "file").open("w"):
        assert Standing.now().beyond(before) == 1
    assert Standing.now().beyond(before) == 0
