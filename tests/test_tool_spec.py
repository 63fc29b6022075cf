"""A tool says what a second execution would do."""

from math import inf, nan

import pytest

from assistant_kit.tool_spec import Effect, Keyed, keyed, may_repeat


@pytest.mark.parametrize(
    ("effect", "repeatable"), [("read", True), ("idempotent", True), ("once", False), (Keyed(60), False)], ids=str
)
def test_only_harmless_calls_may_simply_be_made_again(effect: Effect, repeatable: bool) -> None:  # noqa: FBT001
    assert may_repeat(effect) == repeatable


def test_a_key_lives_for_a_positive_number_of_seconds() -> None:
    assert keyed(86_400) == Keyed(86_400)
    assert keyed(inf).ttl == inf


@pytest.mark.parametrize("ttl", [0, -1, nan, -inf])
def test_a_key_that_does_not_live_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        keyed(ttl)
