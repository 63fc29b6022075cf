"""An outage is not multiplied by those who suffer from it."""

from typing import get_args

import pytest

from tests.outage.__main__ import JUDGED, MOST_ADDED
from tests.outage.provider import ILLNESSES, Illness
from tests.outage.worlds import play


def test_every_illness_is_played() -> None:
    assert set(ILLNESSES) == set(get_args(Illness))


@pytest.mark.parametrize("policies", JUDGED)
@pytest.mark.parametrize("illness", ["fails 100 %", "rate-limits"])
def test_policies_add_little_to_what_a_provider_has_to_bear(illness: Illness, policies: str) -> None:
    assert play(illness, policies, users=300, requests=2, seed=3).added <= MOST_ADDED


def test_bare_retries_multiply_an_outage() -> None:
    """What the rule is there for: without a budget and a breaker the provider has to bear three times as much."""
    assert play("fails 100 %", "bare retries", users=300, requests=2, seed=3).added > 1.5


def test_with_a_backup_nobody_notices() -> None:
    outcome = play("fails 100 %", "with a backup", users=300, requests=2, seed=3)
    assert outcome.errors == 0
    assert outcome.sent_ill < outcome.asked_ill / 2
