"""Whoever wants to hear of changes hears each once, and harms nobody."""

import logging

import pytest

from assistant_kit.policies._reports import Reports
from assistant_kit.protocols.policy import Condition, ConditionChanged

OPEN = Condition(ok=False, state="open", data={"trips": 1})


def test_a_change_is_told_to_everybody_once() -> None:
    reports, one, other = Reports(), list[ConditionChanged](), list[ConditionChanged]()
    assert not reports
    for hear in (one.append, other.append, one.append):
        reports.add(hear)
    assert reports
    reports.tell("breaker x", "closed", OPEN, owner="ann")
    change = ConditionChanged(name="breaker x", before="closed", after="open", condition=OPEN, owner="ann")
    assert one == other == [change]


def test_a_state_that_stays_the_same_is_not_told() -> None:
    reports, told = Reports(), list[ConditionChanged]()
    reports.add(told.append)
    reports.tell("breaker x", "open", OPEN)
    assert told == []


def test_one_who_fails_is_logged_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    reports, told = Reports(), list[ConditionChanged]()

    def broken(_: ConditionChanged) -> None:
        raise KeyError("broken")

    reports.add(broken)
    reports.add(told.append)
    with caplog.at_level(logging.ERROR, "assistant_kit.policies"):
        reports.tell("breaker x", "closed", OPEN)
    assert len(told) == 1
    assert [record.exc_info is not None for record in caplog.records] == [True]
